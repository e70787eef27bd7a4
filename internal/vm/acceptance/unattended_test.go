package acceptance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/live/clock/chrony"
	"doppel.live/internal/store/storetest/sshd"
	"doppel.live/internal/vm"
)

// The disk of a night, and the data on it, in bytes.
const (
	nightDisk = 120 << 20
	nightData = 60 << 20
)

// A night without a person, from a job file of a web server: save, check,
// restore to the disk that a rule names, programs around them, some of them
// fetched and named on the kernel command line, then power off as the file says.
// The disks:
//
//	SOURCE-01  GPT with one ext4 of random data
//	STICK      ext4: where images and logs go
//	TARGET-03  empty, larger, on AHCI
func TestJobFile(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	job := `{
		"images": "LABEL=STICK",
		"before": [["sh", "-c", "echo before $DOPPEL_JOB >>/images/said"]],
		"steps": [
			{"command": "save", "image": "night", "sources": ["serial:SOURCE-01"], "compress": "fast"},
			{"command": "verify", "image": "night"},
			{"command": "restore", "image": "night", "targets": ["rule:bus=sata,empty=yes,size>=100M"], "verify": true,
			 "after": [["sh", "-c", "echo $DOPPEL_COMMAND $DOPPEL_TARGET $DOPPEL_STATUS >>/images/said"]]}
		],
		"after": [["sh", "-c", "echo after $DOPPEL_STATUS >>/images/said"]],
		"then": "poweroff"}`
	web := serveWeb(t, map[string][]byte{"/jobs/night.json": []byte(job), "/tools.tar.gz": archive(t, "tools/note", note)})
	stick, source, target := empty(t, "stick", 300<<20), empty(t, "source", nightDisk), empty(t, "target", nightDisk+40<<20)
	extDisk(t, stick, "STICK", "")
	extDisk(t, source, "SOURCE", random(t, nightData))
	c := start(t, vm.Config{
		Kernel: l.kernel, Initrd: l.initrd, CPUs: 2,
		NIC: true,
		Append: commandLine + fmt.Sprintf(` doppel.job=%[1]s/jobs/night.json#sha256=%[2]x ocs_preload=%[1]s/tools.tar.gz`+
			` doppel.prerun="/opt/tools/note first" doppel.prerun="sh -c 'echo a shell too'" doppel.postrun="/opt/tools/note last"`, web, sha256.Sum256([]byte(job))),
		Disks: []vm.Disk{{Path: source, Bus: "scsi", Serial: "SOURCE-01"}, {Path: stick, Bus: "usb", Serial: "STICK-02"}, {Path: target, Bus: "ahci", Serial: "TARGET-03"}},
	}, 5*time.Minute)
	if err := c.WaitExit(c.ctx); err != nil {
		c.fail(err)
	}
	place := imagesOf(t, stick)
	if said, err := os.ReadFile(filepath.Join(place, "said")); !regexp.MustCompile(`^before night\nrestore /dev/sd[abc] 0\nafter 0\n$`).Match(said) {
		t.Errorf("programs said %q, %v", said, err)
	}
	if said, err := os.ReadFile(filepath.Join(place, "hooks")); err != nil || string(said) != "first before 0\nlast after 0\n" {
		t.Errorf("programs of the command line said %q, %v", said, err)
	}
	if kept := keptLog(t, place, "unattended"); !strings.Contains(kept, "before: /opt/tools/note first") || !strings.Contains(kept, "\na shell too\n") ||
		!strings.Contains(kept, "after: exit status 0") {
		t.Errorf("their log:\n%s", kept)
	}
	if _, err := os.Stat(filepath.Join(place, "night/doppel.json")); err != nil {
		t.Error(err)
	}
	if log := keptLog(t, place, "run-night"); !strings.Contains(log, "job night is done: 3 steps") || !strings.Contains(log, "step 3 of 3") {
		t.Errorf("its log:\n%s", log)
	}
	sameTable(t, source, target)
	root := func(disk string) string { return mount(t, disk, 1<<20, nightDisk-2<<20) }
	a, b := tree(t, root(source)), tree(t, root(target))
	for name, was := range a {
		if b[name] != was {
			t.Errorf("%s was %s and is %q", name, was, b[name])
		}
	}
	if len(a) == 0 || len(b) != len(a) {
		t.Errorf("%d files, %d in the target", len(a), len(b))
	}
}

// note is a program of an administrator's: it keeps what it is told, and puts it
// into the place for images once there is one.
const note = `#!/bin/sh
echo "$1 $DOPPEL_WHEN $DOPPEL_STATUS" >>/tmp/hooks
[ "$1" = first ] || cp /tmp/hooks /images/hooks
`

// archive packs one program.
func archive(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// serveWeb serves files to a machine, and gives its address there.
func serveWeb(t *testing.T, files map[string][]byte) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "10.0.2.2", 1)
}

// keptLog reads the one log of that name that was kept below a folder.
func keptLog(t *testing.T, folder, name string) string {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(folder, "doppel-logs/2*-"+name+".log"))
	if err != nil || len(logs) != 1 {
		all, _ := filepath.Glob(filepath.Join(folder, "doppel-logs/*"))
		t.Fatalf("logs %q of %q, %v", logs, all, err)
	}
	log, err := os.ReadFile(logs[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// writeFile writes a file below a folder.
func writeFile(t *testing.T, folder, name string, data []byte) {
	t.Helper()
	name = filepath.Join(folder, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// Where the images partition of a stick begins, and how large the file system
// of this one's owner is, in bytes.
const (
	nightPlace = 256 << 20
	nightSize  = 160 << 20
)

// nightStick makes a stick with the image over an ext4 of its owner's that lies
// where its images partition belongs.
func (l lab) nightStick(t *testing.T, label, folder string) string {
	t.Helper()
	disk := empty(t, "stick", nightPlace+nightSize+32<<20)
	l.written(t, disk)
	run(t, "mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", label, "-d", folder, "-E", fmt.Sprintf("offset=%d", nightPlace), disk, fmt.Sprintf("%dK", nightSize>>10))
	return disk
}

// A job from the stick fails: the machine stays on, with the reason and the log
// on the screen, and the log is in the place for images and on the stick. All it
// needs lies there: the job file, the keys of who comes in by ssh, the
// credentials of the place. OpenSSH's client comes in, is told the same, runs
// doppel and gets its exit status. The stick is one whose owner had an ext4 on
// it. The clock is set by chrony; two more cards are a bond with a VLAN on it:
//
//	card ── the host, 10.0.2.2           card ═╗
//	                                           ╠═ bond0 ── bond0.5, 10.9.5.2    10.9.5.1 at the other end
//	                                     card ═╝
func TestFailedJobAndSSH(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("needs ssh and ssh-keygen (package openssh-client)")
	}
	folder, keys, images := t.TempDir(), t.TempDir(), t.TempDir()
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(keys, "key"))
	run(t, "cp", filepath.Join(keys, "key.pub"), filepath.Join(folder, "authorized_keys"))
	nas := sshd.Start(t)
	credentials, err := json.Marshal(map[string]string{"key": nas.Key})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, folder, "secrets/nas.json", credentials)
	writeFile(t, folder, "jobs/bad.json", fmt.Appendf(nil, `{"images": "sftp://%s@10.0.2.2:%d%s?host_key=%s", "credentials": "boot:secrets/nas.json",
		"steps": [{"command": "restore", "image": "missing", "targets": ["serial:TARGET-03"]}],
		"after": [["sh", "-c", "echo $DOPPEL_STATUS >>/tmp/said"]], "then": "poweroff"}`, nas.User, nas.Port, images, nas.Fingerprint))
	stick := l.nightStick(t, "NIGHT", folder)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	far := startVLAN(t, 5, net.IPv4(10, 9, 5, 1), "52:54:00:00:05:01", "52:54:00:00:05:02")
	clock, now := clockOf(t)
	c := start(t, vm.Config{
		Kernel: l.kernel, Initrd: l.initrd, NIC: true, Forward: map[int]int{port: 22}, Cables: far.cables,
		Append: commandLine + " doppel.console=ttyS0 doppel.medium=hd0 doppel.job=boot:jobs/bad.json doppel.ssh=boot:authorized_keys" +
			" bond=bond0:52-54-00-00-05-01,52-54-00-00-05-02:mode=active-backup,miimon=100 vlan=bond0.5:bond0 ip=10.9.5.2:::24::bond0.5:none" +
			" ip=52-54-00-12-34-56:dhcp" + clock,
		Disks: []vm.Disk{{Path: stick, Bus: "usb", Serial: "STICK-02"}, {Path: empty(t, "target", nightDisk), Bus: "ahci", Serial: "TARGET-03"}},
	}, 6*time.Minute)
	c.seeWithin(4*time.Minute, `job bad failed at step 1 of 1`)
	c.see(`the log is`)
	s := &shell{t: t, port: port, key: filepath.Join(keys, "key")}
	s.says(0, `TARGET-03`, "doppel", "disks")
	s.says(1, `not an image`, "doppel", "verify", "missing")
	s.says(0, `failed: job bad failed`, "cat", "/run/doppel/outcome")
	s.says(0, "1", "cat", "/tmp/said")
	s.says(0, `job bad failed at step 1`, "doppel logs show $(doppel logs)")
	s.says(0, `job bad failed at step 1`, "doppel logs show $(doppel logs --images LABEL=NIGHT) --images LABEL=NIGHT")
	s.says(0, `"kind":"Ethernet"`, "network", "status", "--json")
	said := strings.TrimSpace(s.says(0, "UTC", "date", "-u"))
	if theirs, err := time.Parse(time.UnixDate, said); err != nil || theirs.Sub(now()).Abs() > time.Minute {
		t.Errorf("the clock says %s, and it is %s (%v)", said, now().UTC(), err)
	}
	far.judge(s, c)
	fingerprint := s.says(0, `SHA256:`, "cat", "/run/doppel/ssh")
	s.menu("The unattended job failed", strings.TrimSpace(fingerprint)[:20], menu)
	if keygen := run(t, "ssh-keygen", "-l", "-f", filepath.Join(keys, "hosts")); !strings.Contains(keygen, strings.TrimSpace(fingerprint)) {
		t.Errorf("the machine says that its key is %s, OpenSSH %s", fingerprint, keygen)
	}
	c.key("\r")
	c.see("The unattended job failed")
	s.says(0, "", "poweroff")
	if err := c.WaitExit(c.ctx); err != nil {
		c.fail(err)
	}
	for _, place := range []string{images, mount(t, stick, nightPlace, nightSize)} {
		if log := keptLog(t, place, "run-bad"); !strings.Contains(log, "job bad failed at step 1") || strings.Contains(log, strings.Split(nas.Key, "\n")[1]) {
			t.Errorf("the log in %s:\n%s", place, log)
		}
	}
	if table := run(t, "sgdisk", "-v", "-p", stick); !strings.Contains(table, "No problems found") || !strings.Contains(table, "IMAGES") {
		t.Errorf("the stick: %s", table)
	}
}

// ahead is how far chrony is ahead of the machines' clocks.
const ahead = 40 * time.Minute

// clockOf gives the parameter for a server of time on the host, "" where there
// is none, and what the clock of a machine is then.
func clockOf(t *testing.T) (param string, now func() time.Time) {
	t.Helper()
	if why := chrony.Missing(); why != "" {
		t.Log("without a server of time: ", why)
		return "", time.Now
	}
	server := chrony.Start(t, chrony.Config{Ahead: ahead})
	return fmt.Sprintf(" doppel.ntp=10.0.2.2:%d", server.Port), func() time.Time { return time.Now().Add(server.Ahead) }
}

// judge sees that the machine reaches the host in its VLAN by either cable of
// its bond.
func (h *vlanHost) judge(s *shell, c *console) {
	s.t.Helper()
	s.says(0, `(?s)active-backup.*Slave Interface.*Slave Interface`, "cat", "/proc/net/bonding/bond0")
	for i, cable := range h.cables {
		before := h.answered[i].Load()
		others := h.cables[1-i]
		if err := others.Plug(c.Machine, false); err != nil {
			s.t.Fatal(err)
		}
		// The bond looks at its cables ten times a second.
		s.says(0, `10\.9\.5\.1`, "for n in 1 2 3 4 5; do ping -c 1 -w 2000 10.9.5.1 && exit 0; sleep 1; done; exit 1")
		if h.answered[i].Load() == before {
			s.t.Errorf("nothing came by the cable of %s", cable.MAC)
		}
		if err := others.Plug(c.Machine, true); err != nil {
			s.t.Fatal(err)
		}
	}
}

// shell is OpenSSH's client with a key.
type shell struct {
	t    *testing.T
	port int
	key  string
}

func (s *shell) command(args ...string) *exec.Cmd {
	return exec.Command("ssh", append([]string{"-F", "none", "-i", s.key, "-p", strconv.Itoa(s.port), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20",
		"-o", "StrictHostKeyChecking=accept-new", "-o", "HashKnownHosts=no", "-o", "UserKnownHostsFile=" + filepath.Join(filepath.Dir(s.key), "hosts")}, args...)...)
}

// says runs a command there and checks its exit status and what it says.
func (s *shell) says(status int, what string, argv ...string) string {
	s.t.Helper()
	out, err := s.command(append([]string{"root@127.0.0.1"}, argv...)...).CombinedOutput()
	var exit *exec.ExitError
	got := 0
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		s.t.Fatal(err)
	}
	if found, _ := regexp.MatchString(what, string(out)); got != status || !found {
		s.t.Errorf("ssh %s: exit status %d, want %d with %q; it said:\n%s", strings.Join(argv, " "), got, status, what, out)
	}
	return string(out)
}

// menu logs in on a terminal and waits until the menu shows these texts.
func (s *shell) menu(texts ...string) {
	s.t.Helper()
	cmd := s.command("-tt", "root@127.0.0.1")
	cmd.Env = append(os.Environ(), "TERM=xterm")
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer late.Stop()
	screen := vm.NewScreen(80, 24)
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf)
		screen.Write(buf[:n])
		if answer := screen.Answers(); len(answer) > 0 {
			in.Write(answer)
		}
		missing := ""
		for _, text := range texts {
			if !strings.Contains(screen.String(), text) {
				missing = text
			}
		}
		if missing == "" {
			break
		}
		if err != nil {
			s.t.Errorf("%q is not on the screen:\n%s", missing, screen)
			break
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
}
