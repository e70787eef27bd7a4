package acceptance

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// share is an SMB server of the host's with one share, "images", which user
// backup may write to. The machine sees it at 10.0.2.2.
type share struct {
	t            *testing.T
	conf, folder string // folder is what is shared
	port         int
	server       *exec.Cmd
}

// sharePassword has what an option of a mount, a URL and JSON write in other
// ways.
const sharePassword = `g,ö "w%40rd=`

const shareConf = `[global]
workgroup = LAB
server role = standalone
smb ports = %[2]d
interfaces = lo
bind interfaces only = yes
disable spoolss = yes
load printers = no
log file = %[1]s/log
lock directory = %[1]s
state directory = %[1]s
cache directory = %[1]s
private dir = %[1]s
pid directory = %[1]s
ncalrpc dir = %[1]s/ncalrpc
[images]
path = %[3]s
force user = root
read only = no
`

// serveSMB starts the server.
func serveSMB(t *testing.T) *share {
	t.Helper()
	for _, name := range []string{"smbd", "smbpasswd"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("needs ", name)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: smbd takes the rights of its users")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &share{t: t, folder: t.TempDir(), port: free.Addr().(*net.TCPAddr).Port}
	free.Close()
	own := t.TempDir()
	s.conf = filepath.Join(own, "smb.conf")
	if err := os.WriteFile(s.conf, fmt.Appendf(nil, shareConf, own, s.port, s.folder), 0o600); err != nil {
		t.Fatal(err)
	}
	add := exec.Command("smbpasswd", "-c", s.conf, "-a", "-s", "backup")
	add.Stdin = strings.NewReader(sharePassword + "\n" + sharePassword + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("smbpasswd: %v\n%s", err, out)
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *share) start() {
	s.t.Helper()
	s.server = exec.Command("smbd", "--foreground", "--no-process-group", "-s", s.conf)
	s.server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.server.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the server and with it every connection.
func (s *share) stop() {
	syscall.Kill(-s.server.Process.Pid, syscall.SIGKILL)
	s.server.Wait()
}

// goneFor is how long the server is away in the middle of a job.
const goneFor = 30 * time.Second

// goAway lets the server go away and come back as soon as something has
// become that large.
func (s *share) goAway(c *console, size func() int64) {
	s.t.Helper()
	for size() < 8<<20 {
		select {
		case <-c.ctx.Done():
			c.fail(fmt.Errorf("the job did not begin; the screen:\n%s", c.Screen()))
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.stop()
	before := size()
	time.Sleep(goneFor)
	s.start()
	s.t.Logf("%d MB were done when the server went", before>>20)
}

// written counts the bytes below a folder.
func written(folder string) int64 {
	var sum int64
	filepath.WalkDir(folder, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}

// allocated counts the bytes of a sparse file that were written.
func allocated(file string) int64 {
	var st syscall.Stat_t
	syscall.Stat(file, &st)
	return st.Blocks * 512
}

// A job from the kernel command line saves a disk to an SMB share, with the
// credentials in a file on a stick; another restores it, with the password in
// Clonezilla's parameter. In the middle of each the server is away. Nobody
// gets to see the password.
func TestJobsOverSMB(t *testing.T) {
	t.Parallel()
	l := openLab(t)
	s := serveSMB(t)
	const data, size = 160 << 20, 200 << 20
	source, target := empty(t, "source", size), empty(t, "target", size+1<<20)
	extDisk(t, source, "SOURCE", random(t, data))
	stick, folder := empty(t, "stick", 8<<20), t.TempDir()
	text, _ := json.Marshal(map[string]string{"password": sharePassword})
	if err := os.WriteFile(filepath.Join(folder, "credentials.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	extDisk(t, stick, "KEYS", folder)
	config := vm.Config{Kernel: l.kernel, Initrd: l.initrd, NIC: true, Disks: []vm.Disk{
		{Path: source, Serial: "SOURCE", ReadOnly: true}, {Path: target, Serial: "TARGET"}, {Path: stick, Serial: "KEYS"}}}

	config.Append = commandLine + fmt.Sprintf(` doppel.images=smb://backup@10.0.2.2:%d/images doppel.credentials=LABEL=KEYS:/credentials.json`+
		` doppel.run="save serial:SOURCE lab" doppel.then=poweroff`, s.port)
	c := start(t, config, 8*time.Minute)
	s.goAway(c, func() int64 { return written(s.folder) })
	if err := c.WaitExit(c.ctx); err != nil {
		c.fail(err)
	}
	run(t, os.Getenv("DOPPEL_HOST"), "verify", "lab", "--images", s.folder)
	noPassword(t, c)

	config.Append = commandLine + fmt.Sprintf(` "ocs_repository=smb://backup:g,%%c3%%b6%%20%%22w%%2540rd=@10.0.2.2:%d/images"`+
		` doppel.run="restore lab serial:TARGET --yes"`, s.port)
	c = start(t, config, 8*time.Minute)
	s.goAway(c, func() int64 { return allocated(target) })
	c.seeWithin(4*time.Minute, "Restored: Done")
	c.key("\r")
	c.see(menu)
	c.shell("cat /proc/[0-9]*/cmdline /proc/cmdline /proc/mounts /run/doppel/notes /var/log/doppel/* > /images/seen; sync")
	seen, err := os.ReadFile(filepath.Join(s.folder, "seen"))
	if err != nil || !strings.Contains(string(seen), "backup:(hidden)@") || !strings.Contains(string(seen), " cifs ") || tells(string(seen)) {
		t.Errorf("what can be seen in the machine (%v):\n%s", err, seen)
	}
	noPassword(t, c)
	saved, restored := mount(t, source, 1<<20, size-2<<20), mount(t, target, 1<<20, size-2<<20)
	if sum(t, filepath.Join(saved, "random")) != sum(t, filepath.Join(restored, "random")) {
		t.Error("what was restored is not what was saved")
	}
}

// tells whether a text holds the password, as it is or as a URL writes it.
func tells(text string) bool {
	return strings.Contains(text, "w%40rd") || strings.Contains(text, "w%2540rd")
}

// noPassword looks for the password in all that a serial line has shown.
func noPassword(t *testing.T, c *console) {
	t.Helper()
	for line := range strings.Lines(c.Log()) {
		if tells(line) {
			t.Errorf("the password was shown: %q", line)
		}
	}
}
