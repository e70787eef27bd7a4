package place

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"doppel.live/internal/vm/lab"
)

// These tests run on a kernel of their own, which is client and server over
// its loopback: its nfsd with rpc.mountd, and smbd.
//
//	/mnt/whole    exported and shared for writing, with folder/deep in it
//	/mnt/reading  exported and shared for reading
//	/mnt/squashed exported with root as nobody, who may not write there
//	/mnt/closed   exported to another machine only
//	/mnt/full     ext4 without room, on ubda
//
// ubdb, 64 MiB, is empty.
const (
	password = `p,ä ss"w%40rd=` // of backup, in SMB
	// plainPassword is that of games. Kernels before 6.5 forget the character
	// set of a mount when they connect again, and then send another "ä".
	plainPassword  = `p,a ss"w%40rd=`
	machineAddress = "10.77.0.1"
)

var serverModules = []string{"nls_utf8", "cmac", "sha512_generic", "hmac", "md4", "arc4", "ccm", "gcm", "ctr", "ghash-generic", "ecb", "des_generic",
	"sunrpc", "lockd", "nfs", "nfsv3", "nfsv4", "nfsd", "cifs", "dummy numdummies=0"}

// servers runs body beside them, with more commands of ours.
func servers(t *testing.T, body func(t *testing.T, stopSMB func()), more ...string) {
	var disks []string
	for _, size := range []int64{8 << 20, 64 << 20} {
		if lab.Inside() {
			break
		}
		disk := filepath.Join(t.TempDir(), "disk")
		must(t, os.WriteFile(disk, nil, 0o600))
		must(t, os.Truncate(disk, size))
		disks = append(disks, disk)
	}
	lab.Run(t, lab.Config{Modules: serverModules, Disks: disks, Memory: 768, Commands: append([]string{"uroot-cmds/doppel", "uroot-cmds/place"}, more...),
		Needs: []string{"rpcbind", "rpc.mountd", "rpc.nfsd", "exportfs", "smbd", "smbpasswd", "mke2fs"}}, func(t *testing.T) {
		folders(t)
		newRoot(t)
		startNFS(t)
		body(t, startSMB(t))
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func folders(t *testing.T) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	must(t, netlink.LinkSetUp(lo))
	address, err := netlink.ParseAddr(machineAddress + "/32") // of which the command place takes it that there is a network
	must(t, err)
	must(t, netlink.AddrAdd(lo, address))
	for _, d := range []string{"whole/folder/deep", "reading", "squashed", "closed", "full"} {
		must(t, os.MkdirAll("/mnt/"+d, 0o755))
	}
	must(t, os.WriteFile("/mnt/whole/folder/deep/here", []byte("deep"), 0o644))
	lab.Do(t, "mke2fs", "-q", "-F", "-m", "0", "-L", "FULL", "/dev/ubda")
	must(t, unix.Mount("/dev/ubda", "/mnt/full", "ext4", 0, ""))
	f, err := os.Create("/mnt/full/filler")
	must(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 1<<10))
	}
	f.Close()
}

// newRoot gives this process a root with a folder /images in it: that of the
// guest is the host's and read-only.
func newRoot(t *testing.T) {
	t.Helper()
	const root = "/run/root"
	must(t, os.MkdirAll(root, 0o755))
	must(t, unix.Mount("none", root, "tmpfs", 0, ""))
	entries, err := os.ReadDir("/")
	must(t, err)
	for _, e := range entries {
		to := filepath.Join(root, e.Name())
		switch {
		case e.Type()&os.ModeSymlink != 0:
			link, err := os.Readlink("/" + e.Name())
			must(t, err)
			must(t, os.Symlink(link, to))
		case e.IsDir():
			must(t, os.Mkdir(to, 0o755))
			must(t, unix.Mount("/"+e.Name(), to, "", unix.MS_BIND|unix.MS_REC, ""))
		}
	}
	must(t, os.Mkdir(root+Dir, 0o755))
	wd, err := os.Getwd()
	must(t, err)
	must(t, unix.Chroot(root))
	must(t, os.Chdir(wd))
}

// background starts a server that ends with the guest.
func background(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	log, err := os.Create("/run/tmp/" + filepath.Base(name) + ".log")
	must(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s: %s", name, text)
		}
	})
	return cmd
}

func listening(t *testing.T, port string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func startNFS(t *testing.T) {
	t.Helper()
	for _, d := range []string{"/var/lib/nfs/v4recovery", "/var/lib/nfs/rpc_pipefs", "/run/rpcbind", "/run/sendsigs.omit.d"} {
		must(t, os.MkdirAll(d, 0o755))
	}
	for _, f := range []string{"etab", "rmtab", "state"} {
		must(t, os.WriteFile("/var/lib/nfs/"+f, nil, 0o644))
	}
	must(t, unix.Mount("none", "/proc/fs/nfsd", "nfsd", 0, ""))
	background(t, "rpcbind", "-f", "-w")
	listening(t, "111")
	for i, e := range []struct{ to, folder, options string }{
		{"*", "whole", "rw,no_root_squash"},
		{"*", "reading", "ro,no_root_squash"},
		{"*", "squashed", "rw,root_squash"},
		{"10.9.9.9", "closed", "rw"},
		{"*", "full", "rw,no_root_squash"},
	} {
		lab.Do(t, "exportfs", "-i", "-o", fmt.Sprintf("%s,insecure,no_subtree_check,fsid=%d", e.options, i+1), e.to+":/mnt/"+e.folder)
	}
	background(t, "rpc.mountd", "--foreground")
	nfsd(t, 4)
	listening(t, "2049")
}

// nfsd starts or, with 0, stops the server. A client that had a file open
// before it stopped has it again at once.
func nfsd(t *testing.T, threads int) {
	t.Helper()
	lab.Do(t, "rpc.nfsd", "--grace-time", "10", "--lease-time", "10", fmt.Sprint(threads))
	if threads > 0 {
		_ = os.WriteFile("/proc/fs/nfsd/v4_end_grace", []byte("Y\n"), 0)
	}
}

const smbConf = `[global]
workgroup = LAB
netbios name = SERVER
server role = standalone
map to guest = Bad User
guest account = nobody
log level = 1
log file = /run/smb/log
lock directory = /run/smb
state directory = /run/smb
cache directory = /run/smb
private dir = /run/smb
pid directory = /run/smb
ncalrpc dir = /run/smb/ncalrpc
disable spoolss = yes
load printers = no
interfaces = lo
bind interfaces only = yes
[whole]
path = /mnt/whole
force user = root
read only = no
[reading]
path = /mnt/reading
force user = root
read only = yes
[full]
path = /mnt/full
force user = root
read only = no
[closed]
path = /mnt/whole
valid users = root
[open]
path = /mnt/whole
force user = root
guest ok = yes
read only = no
`

func startSMB(t *testing.T) (stop func()) {
	t.Helper()
	must(t, os.MkdirAll("/run/smb", 0o755))
	must(t, os.WriteFile("/run/smb/conf", []byte(smbConf), 0o644))
	lab.Input(t, password+"\n"+password+"\n", "smbpasswd", "-c", "/run/smb/conf", "-a", "-s", "backup")
	lab.Input(t, plainPassword+"\n"+plainPassword+"\n", "smbpasswd", "-c", "/run/smb/conf", "-a", "-s", "games")
	return smbd(t)
}

// smbd starts the server, and gives what ends it and its processes, one for
// each connection.
func smbd(t *testing.T) (stop func()) {
	t.Helper()
	cmd := background(t, "smbd", "--foreground", "--no-process-group", "-s", "/run/smb/conf")
	listening(t, "445")
	return func() {
		must(t, unix.Kill(-cmd.Process.Pid, unix.SIGKILL))
		cmd.Wait()
	}
}
