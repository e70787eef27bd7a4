// Package power ends the live system in order, or asks the first process to.
// It does not decide when; that is the user's or an unattended job's.
package power

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Action is how the machine ends.
type Action int

// The ends there are.
const (
	Off Action = iota
	Restart
	Halt
)

// Signal is what the first process takes as a request for a, in the habit of
// other small init programs.
func (a Action) Signal() unix.Signal {
	switch a {
	case Off:
		return unix.SIGUSR2
	case Halt:
		return unix.SIGUSR1
	}
	return unix.SIGTERM
}

// Requested gives the action that a signal to the first process asks for.
// SIGINT is what the kernel makes of Ctrl-Alt-Del.
func Requested(s os.Signal) (Action, bool) {
	switch s {
	case unix.SIGUSR2, unix.SIGPWR:
		return Off, true
	case unix.SIGUSR1:
		return Halt, true
	case unix.SIGTERM, unix.SIGINT:
		return Restart, true
	}
	return 0, false
}

func (a Action) String() string {
	return [...]string{"power off", "restart", "halt"}[a]
}

// Ask asks the first process for a. It returns at once.
func Ask(a Action) error {
	if err := unix.Kill(1, a.Signal()); err != nil {
		return fmt.Errorf("%s: the first process cannot be asked: %w", a, err)
	}
	return nil
}

// Now ends the machine at once; it returns only when that did not work.
func Now(a Action) error {
	how := unix.LINUX_REBOOT_CMD_RESTART
	switch a {
	case Off:
		how = unix.LINUX_REBOOT_CMD_POWER_OFF
	case Halt:
		how = unix.LINUX_REBOOT_CMD_HALT
	}
	if err := unix.Reboot(how); err != nil {
		return fmt.Errorf("%s: %w", a, err)
	}
	return nil
}

// Storage writes out what is cached and unmounts what is mounted from devices
// and from the network, the last mounted first; what is in use becomes
// read-only. It gives up after limit, as a dying disk may never answer.
func Storage(limit time.Duration) error {
	done := make(chan error, 1)
	go func() {
		unix.Sync()
		text, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			done <- err
			return
		}
		var problems []error
		for _, dir := range Mounted(string(text)) {
			problems = append(problems, release(dir))
		}
		unix.Sync()
		done <- errors.Join(problems...)
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("disks did not answer within %v", limit)
	}
}

func release(dir string) error {
	if unix.Unmount(dir, 0) == nil {
		return nil
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("%s is in use and cannot be made read-only: %w", dir, err)
	}
	return nil
}

// Mounted gives, from the text of /proc/self/mountinfo, the mount points that
// lead to disks or to the network, the last mounted first.
func Mounted(mountinfo string) []string {
	var out []string
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || dash+1 >= len(f) {
			continue
		}
		switch f[dash+1] { // the file system's type
		case "rootfs", "ramfs", "tmpfs", "proc", "sysfs", "devtmpfs", "devpts", "efivarfs", "cgroup2",
			"securityfs", "debugfs", "tracefs", "bpf", "pstore", "hugetlbfs", "mqueue", "configfs":
		default:
			out = append(out, unescape(f[4]))
		}
	}
	slices.Reverse(out)
	return out
}

// unescape undoes the octal escapes of mountinfo: space, tab, newline, backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
