package place

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
)

// opened gives a System whose servers are one store, and what they were asked.
func opened(t *testing.T, st store.Store, errs ...error) (System, *[]remote.Credentials) {
	s, _ := machine(t)
	var asked []remote.Credentials
	s.Open = func(_ context.Context, _ remote.Location, cred remote.Credentials) (store.Store, error) {
		asked = append(asked, cred)
		if n := len(asked); n <= len(errs) {
			return nil, errs[n-1]
		}
		return st, nil
	}
	return s, &asked
}

// TestRecord: a place that is not mounted is remembered, for root alone.
func TestRecord(t *testing.T) {
	s, asked := opened(t, &store.Memory{})
	const url = "sftp://u@srv/images"
	cred := remote.Credentials{Password: remote.NewSecret("hush"), HostKey: "SHA256:x"}
	if c, err := s.Test(t.Context(), url, cred); err != nil || c.Spec != url || c.ReadOnly {
		t.Fatalf("%+v, %v", c, err)
	}
	if p, err := s.Status(); err != nil || p != nil {
		t.Errorf("after a test: %+v, %v", p, err)
	}
	if c, err := s.Use(t.Context(), "sftp://u:hush@srv/images", remote.Credentials{HostKey: "SHA256:x"}); err != nil || c.Spec != url || c.Path != "" {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, a := range *asked {
		if a.Password.Reveal() != "hush" {
			t.Errorf("the server was given %+v", a)
		}
	}
	file := s.path(useRecord)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	r, err := ReadRecord(file)
	if err != nil || r.URL != url || r.Credentials.Password.Reveal() != "hush" || r.Credentials.HostKey != "SHA256:x" {
		t.Errorf("%+v, %v", r, err)
	}
	p, err := s.Status()
	if err != nil || p == nil || p.Spec != url || p.FileSystem != remote.SFTP || !p.Current || p.Free != -1 {
		t.Fatalf("%+v, %v", p, err)
	}
	if text, _ := json.Marshal(p); strings.Contains(string(text), "hush") {
		t.Errorf("status tells the password: %s", text)
	}
	if list, err := s.List(); err != nil || list[0] != *p {
		t.Errorf("%+v, %v", list, err)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRecord(file); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestBadRecord(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	for _, text := range []string{"", "hush", `{"url": ""}`, `{"url": "sftp://a/b", "credentials": {"pasword": "hush"}}`, strings.Repeat("hush", maxRecord)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRecord(file); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.30q: %v", text, err)
		}
	}
}

// broken is a store in which nothing can be written, or nothing listed.
type broken struct {
	store.Store
	list, create error
	readOnly     bool
}

func (b broken) List(folder string) ([]store.Entry, error) {
	if b.list != nil {
		return nil, b.list
	}
	return b.Store.List(folder)
}

func (b broken) Create(name string, mode fs.FileMode) (store.Object, error) {
	if b.create != nil {
		return nil, b.create
	}
	return b.Store.Create(name, mode)
}

func (b broken) ReadOnly() bool { return b.readOnly }

func TestTry(t *testing.T) {
	l := remote.Location{Scheme: remote.SFTP, Host: "srv", Path: "/x"}
	for _, tt := range []struct {
		name     string
		st       broken
		reason   remote.Reason
		usable   bool
		readOnly bool
	}{
		{"good", broken{}, "", true, false},
		{"read-only by itself", broken{readOnly: true}, remote.ReadOnly, true, true},
		{"read-only when tried", broken{create: fmt.Errorf("x: %w", store.ErrReadOnly)}, remote.ReadOnly, true, true},
		{"not allowed", broken{create: unix.EACCES}, remote.ReadOnly, true, true},
		{"full", broken{create: store.ErrFull}, remote.Full, true, false},
		{"failing", broken{create: unix.EIO}, remote.Broken, false, false},
		{"no folder", broken{list: fs.ErrNotExist}, remote.NoFolder, false, false},
		{"not to be read", broken{list: fs.ErrPermission}, remote.Denied, false, false},
		{"gone", broken{list: unix.ESTALE}, remote.Broken, false, false},
		{"said by the store", broken{list: &remote.Error{Reason: remote.Refused, Next: "x"}}, remote.Refused, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.st.Store = &store.Memory{}
			c, err := try(l, tt.st)
			var e *remote.Error
			switch {
			case tt.usable:
				if err != nil || c.Reason != tt.reason || c.ReadOnly != tt.readOnly || (c.Advice == "") != (tt.reason == "") {
					t.Errorf("%+v, %v", c, err)
				}
			case !errors.As(err, &e) || e.Reason != tt.reason || e.Next == "":
				t.Errorf("%+v, %v", c, err)
			}
			if left, _ := tt.st.Store.List("."); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestWait: a server that is about to start is waited for, a wrong password
// is not, and the network comes first.
func TestWait(t *testing.T) {
	refused := &remote.Error{Reason: remote.Refused, Next: "x"}
	for _, tt := range []struct {
		name  string
		wait  time.Duration
		errs  []error
		tries int
		want  error
	}{
		{"comes", time.Minute, []error{refused, &remote.Error{Reason: remote.NoRoute}}, 3, nil},
		{"comes too late", 5 * time.Second, []error{refused, refused, refused, refused}, 3, refused},
		{"not waited for", 0, []error{refused}, 1, refused},
		{"denied", time.Minute, []error{&remote.Error{Reason: remote.Denied}}, 1, &remote.Error{Reason: remote.Denied}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, asked := opened(t, &store.Memory{}, tt.errs...)
			networks := 0
			s.Network = func(context.Context) error { networks++; return nil }
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.wait)
				defer cancel()
				_, err := s.UseWhenThere(ctx, "sftp://srv/x", remote.Credentials{})
				var got, want *remote.Error
				if errors.As(err, &got) != errors.As(tt.want, &want) || got != nil && got.Reason != want.Reason {
					t.Errorf("%v", err)
				}
			})
			if len(*asked) != tt.tries || networks != 1 {
				t.Errorf("%d tries, network asked for %d times", len(*asked), networks)
			}
		})
	}
	s, asked := opened(t, &store.Memory{})
	s.Network = func(context.Context) error { return errors.New("no cable") }
	var e *remote.Error
	if _, err := s.UseWhenThere(t.Context(), "sftp://srv/x", remote.Credentials{}); !errors.As(err, &e) || e.Reason != remote.NoRoute || len(*asked) > 0 {
		t.Errorf("without a network: %v", err)
	}
}

// options are those of an attempt as a mount would show them.
func options(a attempt) string {
	var out []string
	for _, o := range a.options {
		out = append(out, strings.TrimSuffix(o.key+"="+o.value, "="))
	}
	slices.Sort(out)
	return a.driver + " " + a.source + " " + strings.Join(out, " ")
}

func TestAttempts(t *testing.T) {
	four, six := server{addr: netip.MustParseAddr("10.0.0.1"), local: netip.MustParseAddr("10.0.0.9")}, server{addr: netip.MustParseAddr("fd00::1"), local: netip.MustParseAddr("fd00::9")}
	location := func(url string) remote.Location {
		l, _, err := remote.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for _, tt := range []struct {
		got  attempt
		want string
	}{
		{nfsAttempt(four, location("nfs://srv/a b"), "4.2"), "nfs srv:/a b addr=10.0.0.1 clientaddr=10.0.0.9 proto=tcp retrans=59 softerr timeo=100 vers=4.2"},
		{nfsAttempt(four, location("nfs://srv:2050/a"), "3"), "nfs srv:/a addr=10.0.0.1 mountaddr=10.0.0.1 mountproto=tcp mountvers=3 nolock port=2050 proto=tcp retrans=59 softerr timeo=100 vers=3"},
		{nfsAttempt(six, location("nfs://[fd00::1]/a"), "4.0"), "nfs [fd00::1]:/a addr=fd00::1 clientaddr=fd00::9 proto=tcp6 retrans=59 softerr timeo=100 vers=4.0"},
		{smbAttempt(four, location("smb://D;u@srv:446/s/f"), option{"username", "u"}), "cifs //srv/s/f domain=D echo_interval=20 hard iocharset=utf8 ip=10.0.0.1 port=446 username=u vers=default"},
	} {
		if got := options(tt.got); got != tt.want {
			t.Errorf("\n got %s\nwant %s", got, tt.want)
		}
	}
	for version, want := range map[string]string{"": "4.1 4.0 3", "4": "4.1 4.0", "4.2": "4.2", "3": "3", "4.1": "4.1", "4.7": "4.7"} {
		if got := strings.Join(versions(remote.Location{Version: version}), " "); got != want {
			t.Errorf("version %q: %s, want %s", version, got, want)
		}
	}
}

// TestReach: what is wrong with the way to a server, without a kernel's word.
func TestReach(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if at, err := reach(t.Context(), remote.Location{Scheme: remote.SMB, Host: "127.0.0.1", Port: port}); err != nil || at.port != port || at.local.String() != "127.0.0.1" {
		t.Errorf("%+v, %v", at, err)
	}
	l.Close()
	for _, tt := range []struct {
		l      remote.Location
		reason remote.Reason
	}{
		{remote.Location{Scheme: remote.SMB, Host: "127.0.0.1", Port: port}, remote.Refused},
		{remote.Location{Scheme: remote.NFS, Host: "no-such-server.invalid"}, remote.UnknownName},
	} {
		var e *remote.Error
		if _, err := reach(t.Context(), tt.l); !errors.As(err, &e) || e.Reason != tt.reason || e.Next == "" {
			t.Errorf("%v: %v", tt.l, err)
		}
	}
}

func TestErrors(t *testing.T) {
	l, cred := remote.Location{Scheme: remote.SMB, Host: "srv", Path: "/s", User: "u", Domain: "D"}, remote.Credentials{Password: remote.NewSecret("hush")}
	for errno, want := range map[unix.Errno][2]remote.Reason{ // of NFS, of SMB
		unix.EACCES: {remote.NoFolder, remote.Denied}, unix.ENOENT: {remote.NoFolder, remote.NoFolder}, unix.EKEYEXPIRED: {remote.Broken, remote.Denied},
		unix.ECONNREFUSED: {remote.Refused, remote.Refused}, unix.ETIMEDOUT: {remote.NoRoute, remote.NoRoute}, unix.EHOSTDOWN: {remote.NoRoute, remote.NoRoute},
		unix.EPROTONOSUPPORT: {remote.Refused, remote.Refused}, unix.EROFS: {remote.ReadOnly, remote.ReadOnly}, unix.ENOSPC: {remote.Full, remote.Full},
		unix.ENODEV: {remote.Broken, remote.Broken}, unix.EIO: {remote.Broken, remote.Broken},
	} {
		for i, err := range []error{nfsError(l, errno), smbError(l, cred, fmt.Errorf("CIFS: x: %w", errno))} {
			var e *remote.Error
			if !errors.As(err, &e) || e.Reason != want[i] || e.Next == "" || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v: %v, want %s", errno, err, want[i])
			}
		}
	}
	if smbError(l, cred, nil) != nil {
		t.Error("an error out of nothing")
	}
}

func TestCutPlace(t *testing.T) {
	for name, want := range map[string]string{
		"boot:c.json": "boot c.json true", "boot:/a/../../c": "boot c true", "LABEL=x:/a b": "LABEL=x a b true", "UUID=1-2:c": "UUID=1-2 c true",
	} {
		if spec, file, ok := cutPlace(name); fmt.Sprint(spec, " ", file, " ", ok) != want {
			t.Errorf("%s: %s, %s, %v", name, spec, file, ok)
		}
	}
	for _, name := range []string{"/etc/c", "c", "boot", "boot:", "boot:/", "PARTUUID=x:c", "a:b"} {
		if _, _, ok := cutPlace(name); ok {
			t.Errorf("%s is a file on a disk", name)
		}
	}
}
