package pid1

import (
	"fmt"
	"os"
	"strings"

	"doppel.live/internal/live/cmdline"
	"github.com/u-root/u-root/pkg/libinit"
	"golang.org/x/sys/unix"
)

// Folders and files that other programs of the live system know.
const (
	logFolder   = "/var/log/doppel"
	stateFolder = "/run/doppel"
	notesFile   = stateFolder + "/notes"   // what of the command line was not understood, one per line
	outcomeFile = stateFolder + "/outcome" // of the unattended start: running, done or failed, and what
	imagesPlace = "/images"
	lastFile    = "/.complete" // the last file of the initramfs
)

// neededMemory is what a machine should have, in MiB. The tree itself needs
// less; saving with two levels of buffers does not.
const neededMemory = 1024

func mountProc() {
	libinit.Create([]libinit.Creator{
		libinit.Dir{Name: "/proc", Mode: 0o555},
		libinit.Mount{Source: "proc", Target: "/proc", FSType: "proc", Flags: safe},
	}, false)
}

const safe = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV

// mountAll makes the rest of the tree. A mount that fails is said in the
// kernel's log and does not stop the others.
func mountAll() {
	libinit.Create([]libinit.Creator{
		libinit.Dir{Name: "/dev", Mode: 0o755},
		libinit.Mount{Source: "devtmpfs", Target: "/dev", FSType: "devtmpfs", Flags: unix.MS_NOSUID, Opts: "mode=0755"},
		libinit.Dir{Name: "/dev/pts", Mode: 0o755},
		libinit.Mount{Source: "devpts", Target: "/dev/pts", FSType: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Opts: "gid=5,mode=620,ptmxmode=666"},
		libinit.Dir{Name: "/dev/shm", Mode: 0o1777},
		libinit.Mount{Source: "tmpfs", Target: "/dev/shm", FSType: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Opts: "mode=1777"},
		libinit.Symlink{NewPath: "/dev/fd", Target: "/proc/self/fd"},
		libinit.Symlink{NewPath: "/dev/stdin", Target: "/proc/self/fd/0"},
		libinit.Symlink{NewPath: "/dev/stdout", Target: "/proc/self/fd/1"},
		libinit.Symlink{NewPath: "/dev/stderr", Target: "/proc/self/fd/2"},
		libinit.Dir{Name: "/sys", Mode: 0o555},
		libinit.Mount{Source: "sysfs", Target: "/sys", FSType: "sysfs", Flags: safe},
		libinit.Mount{Source: "securityfs", Target: "/sys/kernel/security", FSType: "securityfs", Flags: safe},
		libinit.Dir{Name: "/run", Mode: 0o755},
		libinit.Mount{Source: "tmpfs", Target: "/run", FSType: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Opts: "mode=755"},
		libinit.Dir{Name: "/run/lock", Mode: 0o1777}, // lvm, cryptsetup, mdadm
		libinit.Dir{Name: stateFolder, Mode: 0o755},
		libinit.Dir{Name: "/tmp", Mode: 0o1777},
		libinit.Mount{Source: "tmpfs", Target: "/tmp", FSType: "tmpfs", Flags: unix.MS_NOSUID | unix.MS_NODEV, Opts: "mode=1777"},
		libinit.Dir{Name: logFolder, Mode: 0o755},
		libinit.Dir{Name: imagesPlace, Mode: 0o755},
		libinit.Dir{Name: "/root", Mode: 0o700},
	}, false)
}

// environment is what every program inherits. It is set in this process too,
// since programs are looked up along its own PATH.
func environment() {
	unix.Umask(0o022)
	_ = unix.Sethostname([]byte("doppel"))
	_ = os.Chdir("/root")
	for _, pair := range []string{
		"PATH=/bbin:/bin:/usr/bin:/sbin:/usr/sbin",
		"HOME=/root",
		"USER=root",
		"LANG=C.UTF-8",
		"PS1=doppel:$PWD# ",
	} {
		key, value, _ := strings.Cut(pair, "=")
		os.Setenv(key, value)
	}
}

// complete tells whether the kernel unpacked all of the initramfs. With too
// little memory it stops in the middle, says so in its log and starts init
// all the same.
func complete() bool {
	_, err := os.Stat(lastFile)
	return err == nil
}

func cutShortText() string {
	return fmt.Sprintf("Not enough memory: the system was cut short.\nAt least %d MiB are needed.\n"+
		"Some commands are missing. Nothing was written to any disk.\n"+
		"What can be done: use a machine with more memory, or add rootfstype=ramfs to the\nkernel command line.\n", neededMemory)
}

// writeNotes leaves what was not understood where the menu finds it.
func writeNotes(notes []cmdline.Note) {
	if len(notes) == 0 {
		return
	}
	var text strings.Builder
	for _, n := range notes {
		fmt.Fprintln(&text, n)
	}
	_ = os.WriteFile(notesFile, []byte(text.String()), 0o644)
}

// firmwareVariables mounts EFI's variables. The kernel loads the module.
func (m *machine) firmwareVariables() {
	const dir = "/sys/firmware/efi/efivars"
	if _, err := os.Stat(dir); err != nil {
		return // started by a BIOS
	}
	if err := unix.Mount("efivarfs", dir, "efivarfs", safe, ""); err != nil {
		m.log.printf("firmware variables: %v", err)
	}
}
