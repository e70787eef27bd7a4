package place

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store"
	"doppel.live/internal/store/dir"
	"doppel.live/internal/store/remote"
)

// TestServers: each kind of place works, and each failure has its word.
func TestServers(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, _ func()) {
		t.Run("good", testGood)
		t.Run("bad", testBad)
		t.Run("half", testHalf)
		t.Run("use", testUse)
		t.Run("command", testCommand)
		t.Run("silent", testSilent)
	})
}

func credentials(user, secret string) remote.Credentials {
	return remote.Credentials{User: user, Password: remote.NewSecret(secret)}
}

func testGood(t *testing.T) {
	for _, spec := range []string{
		"nfs://127.0.0.1/mnt/whole", "nfs://127.0.0.1/mnt/whole?version=3", "nfs://127.0.0.1/mnt/whole?version=4", "nfs://127.0.0.1/mnt/whole?version=4.2",
		"nfs://127.0.0.1:2049/mnt/whole", "smb://backup@127.0.0.1/whole", "smb://LAB;backup@127.0.0.1/whole", "smb://127.0.0.1/open", "smb://backup@127.0.0.1:445/open",
	} {
		for _, below := range []string{"", "/folder/deep"} {
			base, query, _ := strings.Cut(spec, "?")
			t.Run(spec+below, func(t *testing.T) { roundTrip(t, strings.TrimSuffix(base+below+"?"+query, "?"), below != "") })
		}
	}
	nothingInUse(t)
}

// inUse is what the kernel says of the servers' folders that it holds, mounted
// somewhere or nowhere.
func inUse(t *testing.T) string {
	t.Helper()
	nfs, err := os.ReadFile("/proc/fs/nfsfs/volumes")
	must(t, err)
	smb, err := os.ReadFile("/proc/fs/cifs/DebugData")
	must(t, err)
	_, volumes, _ := strings.Cut(string(nfs), "\n") // a line of headings
	if strings.Contains(string(smb), "127.0.0.1") {
		volumes += string(smb)
	}
	return volumes
}

// nothingInUse waits until the kernel has let go of every server's folder.
func nothingInUse(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		used := inUse(t)
		if used == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still mounted:\n%s", used)
		}
	}
}

// roundTrip writes to a place that is mounted for this process alone.
func roundTrip(t *testing.T, spec string, deep bool) {
	path, release, err := Mount(t.Context(), spec, credentials("", password))
	must(t, err)
	st, err := dir.Open(path)
	must(t, err)
	must(t, store.WriteFile(st, "object", []byte(spec), 0o644))
	if data, err := store.ReadFile(st, "object", 1000); err != nil || string(data) != spec {
		t.Errorf("read back %q, %v", data, err)
	}
	if _, err := store.ReadFile(st, "here", 1000); (err == nil) != deep {
		t.Errorf("the wrong folder: %v", err)
	}
	if free, err := st.Free(); err != nil || free <= 0 {
		t.Errorf("free: %d, %v", free, err)
	}
	if inUse(t) == "" {
		t.Error("the kernel says that nothing is mounted")
	}
	must(t, st.Close())
	must(t, release())
	for _, folder := range []string{"/mnt/whole/", "/mnt/whole/folder/deep/"} {
		if _, err := os.Stat(folder + "object"); (err == nil) != (deep == strings.Contains(folder, "deep")) {
			t.Errorf("%s: %v", folder, err)
		}
		os.Remove(folder + "object")
	}
}

func testBad(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	for _, tt := range []struct {
		spec   string
		cred   remote.Credentials
		reason remote.Reason
	}{
		{"nfs://127.0.0.1/mnt/nothing", remote.Credentials{}, remote.NoFolder},
		{"nfs://127.0.0.1/mnt/nothing?version=3", remote.Credentials{}, remote.NoFolder},
		{"nfs://127.0.0.1/mnt/closed", remote.Credentials{}, remote.NoFolder}, // NFS 4 does not show it
		{"nfs://127.0.0.1/mnt/closed?version=3", remote.Credentials{}, remote.NoFolder},
		{"nfs://127.0.0.1/mnt/whole/folder/none", remote.Credentials{}, remote.NoFolder},
		{"nfs://127.0.0.1/mnt/whole/folder/deep/here", remote.Credentials{}, remote.NoFolder},
		{"nfs://127.0.0.1:2050/mnt/whole", remote.Credentials{}, remote.Refused},
		{"nfs://10.255.255.1/mnt/whole", remote.Credentials{}, remote.NoRoute},
		{"nfs://no-such-server.invalid/mnt/whole", remote.Credentials{}, remote.UnknownName},
		{"nfs://" + silent.Addr().String() + "/mnt/whole", remote.Credentials{}, remote.NoRoute},
		{"smb://127.0.0.1/whole", credentials("backup", "wrong"), remote.Denied},
		{"smb://127.0.0.1/whole", credentials("backup", ""), remote.Denied},
		{"smb://127.0.0.1/whole", remote.Credentials{}, remote.Denied},
		{"smb://backup@127.0.0.1/whole", remote.Credentials{Guest: true}, remote.Denied},
		{"smb://127.0.0.1/closed", credentials("backup", password), remote.Denied},
		{"smb://127.0.0.1/nothing", credentials("backup", password), remote.NoFolder},
		{"smb://127.0.0.1/whole/none", credentials("backup", password), remote.NoFolder},
		{"smb://127.0.0.1:446/whole", credentials("backup", password), remote.Refused},
		{"smb://no-such-server.invalid/whole", credentials("backup", password), remote.UnknownName},
		{"smb://" + silent.Addr().String() + "/whole", credentials("backup", password), remote.NoRoute},
	} {
		t.Run(tt.spec, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if strings.Contains(tt.spec, silent.Addr().String()) {
				ctx, cancel = context.WithTimeout(ctx, time.Second)
			}
			defer cancel()
			_, err := System{}.Test(ctx, tt.spec, tt.cred)
			var e *remote.Error
			if !errors.As(err, &e) || e.Reason != tt.reason || e.Next == "" {
				t.Errorf("%#v: %v", err, err)
				return
			}
			t.Logf("%v. %s", e, e.Next)
			if strings.Contains(fmt.Sprintf("%v %+v", err, e), password) {
				t.Error("the error tells the password")
			}
		})
	}
}

// testHalf: what can only be read is a place, but says so.
func testHalf(t *testing.T) {
	for _, tt := range []struct {
		spec   string
		reason remote.Reason
		word   string
	}{
		{"nfs://127.0.0.1/mnt/reading", remote.ReadOnly, "reading"},
		{"nfs://127.0.0.1/mnt/reading?version=3", remote.ReadOnly, "reading"},
		{"nfs://127.0.0.1/mnt/squashed", remote.ReadOnly, "no_root_squash"},
		{"nfs://127.0.0.1/mnt/full", remote.Full, "room"},
		{"nfs://127.0.0.1/mnt/full?version=3", remote.Full, "room"},
		{"smb://127.0.0.1/reading", remote.ReadOnly, "write"},
		{"smb://127.0.0.1/full", remote.Full, "room"},
		{"nfs://127.0.0.1/mnt/whole", "", ""},
	} {
		t.Run(tt.spec, func(t *testing.T) {
			c, err := System{}.Test(t.Context(), tt.spec, credentials("backup", password))
			if err != nil || c.Reason != tt.reason || c.ReadOnly != (tt.reason == remote.ReadOnly) || !strings.Contains(c.Advice, tt.word) {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
	for _, d := range []string{"whole", "full"} {
		if left, _ := filepath.Glob("/mnt/" + d + "/*doppel*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// testUse: the place in use, by another one and none, and what is told of it.
func testUse(t *testing.T) {
	s := System{}
	ctx := t.Context()
	use := func(spec string, reason remote.Reason) {
		t.Helper()
		c, err := s.UseWhenThere(ctx, spec, credentials("", password))
		if err != nil || c.Path != Dir || c.Reason != reason || strings.Contains(fmt.Sprintf("%+v", c), password) {
			t.Fatalf("%+v, %v", c, err)
		}
		p, err := s.Status()
		if err != nil || p == nil || p.Spec != spec || !p.Current || p.Free < 0 || p.Path != Dir || p.ReadOnly != (reason == remote.ReadOnly) {
			t.Fatalf("status %+v, %v", p, err)
		}
		list, err := s.List()
		if err != nil || len(list) == 0 {
			t.Fatalf("list %+v, %v", list, err)
		}
		first := list[0]
		if first.Free = p.Free; first != *p { // others write there meanwhile
			t.Errorf("the first of the list is %+v, want %+v", first, *p)
		}
		noSecret(t)
	}
	use("nfs://127.0.0.1/mnt/whole", "")
	must(t, os.WriteFile(Dir+"/by-nfs", nil, 0o644))
	use("smb://backup@127.0.0.1/whole/folder", "")
	if _, err := os.Stat(Dir + "/deep/here"); err != nil {
		t.Error(err)
	}
	if _, err := s.Use(ctx, "smb://backup@127.0.0.1/nothing", credentials("", password)); err == nil {
		t.Error("a share that does not exist")
	}
	if p, err := s.Status(); err != nil || p.Spec != "smb://backup@127.0.0.1/whole/folder" {
		t.Errorf("after a failure: %+v, %v", p, err)
	}
	use("nfs://127.0.0.1/mnt/reading?version=3", remote.ReadOnly)
	if err := os.WriteFile(Dir+"/x", nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("written: %v", err)
	}
	if c, err := s.Use(ctx, "LABEL=FULL", remote.Credentials{}); err != nil || c.Spec != "/dev/ubda" || c.Path != Dir || c.ReadOnly {
		t.Errorf("a disk: %+v, %v", c, err)
	}
	if p, err := s.Status(); err != nil || p.Label != "FULL" || !p.Current {
		t.Errorf("a disk: %+v, %v", p, err)
	}
	info, err := os.Stat(Dir + "/filler")
	must(t, err)
	must(t, s.Release())
	// mounted for writing at /mnt/full as well
	if data, err := s.ReadFile(ctx, "LABEL=FULL:/filler", 8<<20); err != nil || int64(len(data)) != info.Size() {
		t.Errorf("a file of a disk: %d bytes, %v", len(data), err)
	}
	if _, err := s.ReadFile(ctx, "LABEL=FULL:filler", 5); err == nil || !strings.Contains(err.Error(), "more than 5 bytes") {
		t.Errorf("a file that is too large: %v", err)
	}
	if p, err := s.Status(); err != nil || p != nil {
		t.Errorf("released: %+v, %v", p, err)
	}
	if left, _ := filepath.Glob("/run/doppel/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	os.Remove("/mnt/whole/by-nfs")
}

// testCommand: what the menu and the first process get to read.
func testCommand(t *testing.T) {
	share := "smb://backup@" + machineAddress + "/whole"
	file := "/run/tmp/credentials.json"
	text, err := json.Marshal(map[string]string{"password": password})
	must(t, err)
	must(t, os.WriteFile(file, text, 0o600))
	place := func(stdin string, args ...string) map[string]any {
		t.Helper()
		cmd := exec.Command("place", append(args, "--json")...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		var answer map[string]any
		if json.Unmarshal(out, &answer) != nil || answer["ok"] != (err == nil) && answer["current"] == nil && args[0] != "status" || strings.Contains(string(out), "w%40rd") {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return answer
	}
	if a := place(`{"password": "wrong"}`, "test", share, "--credentials", "-"); a["reason"] != "denied" || a["next"] == "" {
		t.Errorf("wrong password: %v", a)
	}
	if a := place("", "test", share, "--credentials", "/no/such/file"); a["reason"] != "denied" || !strings.Contains(a["error"].(string), "credentials") {
		t.Errorf("no file: %v", a)
	}
	if a := place("", "use", "ftp://srv/x"); a["reason"] != "bad-name" {
		t.Errorf("no URL: %v", a)
	}
	if a := place(string(text), "test", share, "--credentials", "-"); a["ok"] != true || a["path"] != "" {
		t.Errorf("test: %v", a)
	}
	if a := place("", "status"); a["current"] != nil {
		t.Errorf("a test leaves %v", a)
	}
	if a := place("", "use", share, "--credentials", file, "--wait", "5s"); a["ok"] != true || a["path"] != Dir || a["spec"] != share || a["free"].(float64) <= 0 {
		t.Errorf("use: %v", a)
	}
	if a := place("", "status"); a["current"].(map[string]any)["spec"] != share {
		t.Errorf("status: %v", a)
	}
	noSecret(t)
	if a := place("", "use", "nfs://"+machineAddress+"/mnt/reading"); a["reason"] != "read-only" || a["read_only"] != true || a["next"] == "" {
		t.Errorf("for reading: %v", a)
	}
	place("", "release")
	must(t, os.Remove(file))
}

// testSilent: a server that has gone keeps nobody waiting who only asks, and
// the place can be given up.
func testSilent(t *testing.T) {
	s := System{}
	if _, err := s.Use(t.Context(), "nfs://127.0.0.1/mnt/whole", remote.Credentials{}); err != nil {
		t.Fatal(err)
	}
	nfsd(t, 0)
	p, err := s.Status()
	if err != nil || p == nil || p.Free != -1 || p.Problem == "" || !p.Current {
		t.Errorf("status of a place without its server: %+v, %v", p, err)
	}
	must(t, s.Release())
	if p, err := s.Status(); err != nil || p != nil {
		t.Errorf("released: %+v, %v", p, err)
	}
	nfsd(t, 4)
}

// noSecret looks for the password wherever the system shows what goes on.
func noSecret(t *testing.T) {
	t.Helper()
	files := []string{"/proc/mounts", "/proc/self/mountinfo", "/proc/fs/cifs/DebugData"}
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ", "/run/doppel/*", "/run/smb/log*", "/run/tmp/*.log"} {
		found, _ := filepath.Glob(pattern)
		files = append(files, found...)
	}
	for _, file := range files {
		if text, _ := os.ReadFile(file); strings.Contains(string(text), "w%40rd") {
			t.Errorf("the password stands in %s", file)
		}
	}
	log := make([]byte, 1<<20)
	n, err := unix.Klogctl(3, log) // SYSLOG_ACTION_READ_ALL
	if err != nil || n == 0 || strings.Contains(string(log[:n]), "w%40rd") {
		t.Errorf("kernel log: %d bytes, %v", n, err)
	}
}
