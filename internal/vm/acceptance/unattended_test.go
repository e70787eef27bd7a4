package acceptance

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// The disk of a night, and the data on it, in bytes.
const (
	nightDisk = 120 << 20
	nightData = 60 << 20
)

// A night without a person, from a job file on a stick: save, check, restore to
// the disk that a rule names, programs around them, power off. The disks:
//
//	SOURCE-01  GPT with one ext4 of random data
//	IMAGES     ext4: jobs/night.json, and where images and logs go
//	TARGET-03  empty, larger, on AHCI
func TestJobFile(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	folder := t.TempDir()
	writeJob(t, folder, "night.json", `{
		"images": "LABEL=STICK",
		"before": [["sh", "-c", "echo before $DOPPEL_JOB >>/images/said"]],
		"steps": [
			{"command": "save", "image": "night", "sources": ["serial:SOURCE-01"], "compress": "fast"},
			{"command": "verify", "image": "night"},
			{"command": "restore", "image": "night", "targets": ["rule:bus=sata,empty=yes,size>=100M"], "verify": true,
			 "after": [["sh", "-c", "echo $DOPPEL_COMMAND $DOPPEL_TARGET $DOPPEL_STATUS >>/images/said"]]}
		],
		"after": [["sh", "-c", "echo after $DOPPEL_STATUS >>/images/said"]],
		"then": "poweroff"}`)
	stick, source, target := empty(t, "stick", 300<<20), empty(t, "source", nightDisk), empty(t, "target", nightDisk+40<<20)
	extDisk(t, stick, "STICK", folder)
	extDisk(t, source, "SOURCE", random(t, nightData))
	c := start(t, vm.Config{
		Kernel: l.kernel, Initrd: l.initrd, CPUs: 2,
		Append: commandLine + " doppel.job=LABEL=STICK:/jobs/night.json",
		Disks:  []vm.Disk{{Path: source, Bus: "scsi", Serial: "SOURCE-01"}, {Path: stick, Bus: "usb", Serial: "STICK-02"}, {Path: target, Bus: "ahci", Serial: "TARGET-03"}},
	}, 5*time.Minute)
	if err := c.WaitExit(c.ctx); err != nil {
		c.fail(err)
	}
	place := imagesOf(t, stick)
	if said, err := os.ReadFile(filepath.Join(place, "said")); !regexp.MustCompile(`^before night\nrestore /dev/sd[abc] 0\nafter 0\n$`).Match(said) {
		t.Errorf("programs said %q, %v", said, err)
	}
	if _, err := os.Stat(filepath.Join(place, "night/doppel.json")); err != nil {
		t.Error(err)
	}
	logs, err := filepath.Glob(filepath.Join(place, "doppel-logs/2*-run-night.log"))
	if err != nil || len(logs) != 1 {
		t.Fatalf("logs %q, %v", logs, err)
	}
	log, err := os.ReadFile(logs[0])
	if err != nil || !strings.Contains(string(log), "job night is done: 3 steps") || !strings.Contains(string(log), "step 3 of 3") {
		t.Errorf("%v: %s", err, log)
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

func writeJob(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(folder, "jobs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "jobs", name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A job that fails leaves the machine on, with the reason and the log on the
// screen; OpenSSH's client comes in with a key from the same stick, is told the
// same, runs doppel and gets its exit status.
func TestFailedJobAndSSH(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("needs ssh and ssh-keygen (package openssh-client)")
	}
	folder, keys := t.TempDir(), t.TempDir()
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(keys, "key"))
	run(t, "cp", filepath.Join(keys, "key.pub"), filepath.Join(folder, "authorized_keys"))
	writeJob(t, folder, "bad.json", `{"images": "LABEL=STICK",
		"steps": [{"command": "restore", "image": "missing", "targets": ["serial:TARGET-03"]}],
		"after": [["sh", "-c", "echo $DOPPEL_STATUS >>/images/said"]], "then": "poweroff"}`)
	stick := empty(t, "stick", 64<<20)
	extDisk(t, stick, "STICK", folder)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	c := start(t, vm.Config{
		Kernel: l.kernel, Initrd: l.initrd, NIC: true, Forward: map[int]int{port: 22},
		Append: commandLine + " doppel.console=ttyS0 doppel.job=LABEL=STICK:jobs/bad.json doppel.ssh=LABEL=STICK:authorized_keys ip=dhcp",
		Disks:  []vm.Disk{{Path: stick, Bus: "usb", Serial: "STICK-02"}, {Path: empty(t, "target", nightDisk), Bus: "ahci", Serial: "TARGET-03"}},
	}, 5*time.Minute)
	c.seeWithin(4*time.Minute, `job bad failed at step 1 of 1`)
	c.see(`the log is`)
	s := &shell{t: t, port: port, key: filepath.Join(keys, "key")}
	s.says(0, `TARGET-03`, "doppel", "disks")
	s.says(1, `not an image`, "doppel", "verify", "missing")
	s.says(0, `failed: job bad failed`, "cat", "/run/doppel/outcome")
	s.says(0, "1", "cat", "/images/said")
	s.says(0, `job bad failed at step 1`, "doppel logs show $(doppel logs)")
	s.says(0, `"kind":"Ethernet"`, "network", "status", "--json")
	fingerprint := s.says(0, `SHA256:`, "cat", "/run/doppel/ssh")
	s.menu("The unattended job failed", strings.TrimSpace(fingerprint)[:20], menu)
	if keygen := run(t, "ssh-keygen", "-l", "-f", filepath.Join(keys, "hosts")); !strings.Contains(keygen, strings.TrimSpace(fingerprint)) {
		t.Errorf("the machine says that its key is %s, OpenSSH %s", fingerprint, keygen)
	}
	c.key("\r")
	c.see("The unattended job failed")
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
