package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// server is a file server of the host's, which the machine sees at 10.0.2.2.
type server struct {
	t       *testing.T
	folder  string // what it serves
	port    int
	argv    []string
	process *exec.Cmd
}

// newServer makes a server's folder, its configuration, which is given that
// of the server, the port and what is served, and its port.
func newServer(t *testing.T, config string, programs ...string) (s *server, own string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("needs ", name)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: the server takes the rights of its users")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	s, own = &server{t: t, folder: t.TempDir(), port: free.Addr().(*net.TCPAddr).Port}, t.TempDir()
	if err := os.WriteFile(filepath.Join(own, "conf"), fmt.Appendf(nil, config, own, s.port, s.folder), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, own
}

// sharePassword has what an option of a mount, a URL and JSON write in other
// ways. It is that of user backup.
const sharePassword = `g,ö "w%40rd=`

const smbConfig = `[global]
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

// serveSMB starts samba with the share images.
func serveSMB(t *testing.T) *server {
	t.Helper()
	s, own := newServer(t, smbConfig, "smbd", "smbpasswd")
	add := exec.Command("smbpasswd", "-c", own+"/conf", "-a", "-s", "backup")
	add.Stdin = strings.NewReader(sharePassword + "\n" + sharePassword + "\n")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("smbpasswd: %v\n%s", err, out)
	}
	s.argv = []string{"smbd", "--foreground", "--no-process-group", "-s", own + "/conf"}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// NFS 4 by a server that is a program: the host's kernel may have none. Only
// version 4 does without the port mapper.
const nfsConfig = `NFS_CORE_PARAM {
	NFS_Port = %[2]d;
	Protocols = 4;
	Bind_addr = 127.0.0.1;
	Enable_NLM = false;
	Enable_RQUOTA = false;
	Enable_UDP = false;
	Plugins_Dir = /usr/lib/x86_64-linux-gnu/ganesha;
}
NFSv4 { Grace_Period = 5; Lease_Lifetime = 5; RecoveryRoot = %[1]s; }
EXPORT {
	Export_Id = 1;
	Path = %[3]s;
	Pseudo = /images;
	Access_Type = RW;
	Squash = No_Root_Squash;
	SecType = sys;
	FSAL { Name = VFS; }
}
`

// serveNFS starts nfs-ganesha with the export /images.
func serveNFS(t *testing.T) *server {
	t.Helper()
	config := nfsConfig
	if version, _ := exec.Command("ganesha.nfsd", "-v").Output(); !strings.Contains(string(version), " V4.") {
		// It asks for a service that needs CAP_SYS_RESOURCE, which root of a
		// container may not have, and ends without; version 4 does not.
		config = strings.Replace(config, "{\n", "{\n\tallow_set_io_flusher_fail = true;\n", 1)
	}
	s, own := newServer(t, config, "ganesha.nfsd")
	s.argv = []string{"ganesha.nfsd", "-F", "-f", own + "/conf", "-L", own + "/log", "-p", own + "/pid"}
	s.start()
	t.Cleanup(func() {
		s.stop()
		if text, _ := os.ReadFile(own + "/log"); t.Failed() {
			t.Logf("%s", text)
		}
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(s.argv[0], s.argv[1:]...)
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// stop ends the server and with it every connection.
func (s *server) stop() {
	syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL)
	s.process.Wait()
}

// goneFor is how long the server is away in the middle of a job.
const goneFor = 30 * time.Second

// goAway lets the server go away and come back as soon as something has
// become that large.
func (s *server) goAway(c *console, size func() int64) {
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

// A job from the kernel command line saves a disk to a server, another
// restores it; in the middle of each the server is away.
func TestJobsOverNetwork(t *testing.T) {
	l := openLab(t)
	t.Run("NFS", func(t *testing.T) {
		t.Parallel()
		s := serveNFS(t)
		images := fmt.Sprintf("doppel.images=nfs://10.0.2.2:%d/images", s.port)
		s.jobs(l, images, images)
	})
	// Once the password lies in a file on a stick, once it stands in
	// Clonezilla's parameter. Nobody gets to see it.
	t.Run("SMB", func(t *testing.T) {
		t.Parallel()
		s := serveSMB(t)
		c := s.jobs(l, fmt.Sprintf("doppel.images=smb://backup@10.0.2.2:%d/images doppel.credentials=LABEL=KEYS:/credentials.json", s.port),
			fmt.Sprintf(`"ocs_repository=smb://backup:g,%%c3%%b6%%20%%22w%%2540rd=@10.0.2.2:%d/images"`, s.port))
		c.shell("cat /proc/[0-9]*/cmdline /proc/cmdline /proc/mounts /run/doppel/notes /var/log/doppel/* > /images/seen; sync")
		seen, err := os.ReadFile(filepath.Join(s.folder, "seen"))
		if err != nil || !strings.Contains(string(seen), "backup:(hidden)@") || !strings.Contains(string(seen), " cifs ") || tells(string(seen)) {
			t.Errorf("what can be seen in the machine (%v):\n%s", err, seen)
		}
	})
}

// jobs saves to the server and restores from it, with the place named by those
// parameters, and gives the second machine with its menu on the screen.
func (s *server) jobs(l lab, saving, restoring string) *console {
	t := s.t
	t.Helper()
	const data, size = 120 << 20, 160 << 20
	source, target, stick, folder := empty(t, "source", size), empty(t, "target", size+1<<20), empty(t, "stick", 8<<20), t.TempDir()
	extDisk(t, source, "SOURCE", random(t, data))
	text, _ := json.Marshal(map[string]string{"password": sharePassword})
	if err := os.WriteFile(filepath.Join(folder, "credentials.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	extDisk(t, stick, "KEYS", folder)
	config := vm.Config{Kernel: l.kernel, Initrd: l.initrd, NIC: true, Disks: []vm.Disk{
		{Path: source, Serial: "SOURCE", ReadOnly: true}, {Path: target, Serial: "TARGET"}, {Path: stick, Serial: "KEYS"}}}

	config.Append = commandLine + " " + saving + ` doppel.run="save serial:SOURCE lab" doppel.then=poweroff`
	c := startJob(t, config, 8*time.Minute)
	s.goAway(c, func() int64 { return written(s.folder) })
	if err := c.WaitExit(c.ctx); err != nil {
		c.fail(err)
	}
	run(t, os.Getenv("DOPPEL_HOST"), "verify", "lab", "--images", s.folder)
	noPassword(t, c)

	config.Append = commandLine + " " + restoring + ` doppel.run="restore lab serial:TARGET --yes"`
	c = startJob(t, config, 8*time.Minute)
	s.goAway(c, func() int64 { return allocated(target) })
	c.seeWithin(4*time.Minute, "Restored: (Done|Failed)")
	c.see("Restored: Done")
	c.toMain()
	noPassword(t, c)
	saved, restored := mount(t, source, 1<<20, size-2<<20), mount(t, target, 1<<20, size-2<<20)
	if sum(t, filepath.Join(saved, "random")) != sum(t, filepath.Join(restored, "random")) {
		t.Error("what was restored is not what was saved")
	}
	return c
}

// startJob starts a machine that works by itself, once more where QEMU hangs it
// before its kernel says anything.
func startJob(t *testing.T, config vm.Config, limit time.Duration) *console {
	t.Helper()
	c := start(t, config, limit)
	ctx, cancel := context.WithTimeout(c.ctx, 150*time.Second)
	defer cancel()
	if _, err := c.WaitLog(ctx, 0, "doppel: menu started"); err != nil {
		t.Logf("no word from the machine, started once more: %v", err)
		c.Close()
		return start(t, config, limit)
	}
	return c
}

// tells whether a text holds the password, as it is or as a URL writes it.
func tells(text string) bool {
	return strings.Contains(text, "w%40rd") || strings.Contains(text, "w%2540rd")
}

// early is a line of the kernel's from before anything of ours runs. The serial
// line may lose a character while the machine is busy.
var early = regexp.MustCompile(`^\[ *0\.`)

// noPassword looks for the password in all that a serial line has shown, but
// for what the kernel says of its own command line before anything of ours runs.
func noPassword(t *testing.T, c *console) {
	t.Helper()
	for line := range strings.Lines(c.Log()) {
		if tells(line) && !early.MatchString(line) {
			t.Errorf("the password was shown: %q", line)
		}
	}
}
