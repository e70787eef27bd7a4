package place

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store/remote"
)

// attempt is one way to mount.
type attempt struct {
	driver   string // fs type of the kernel
	source   string // device, host:/export, //host/share
	readOnly bool
	options  []option
}

// option is one of a driver's options. Its value may be a password: it goes
// to the kernel alone.
type option struct{ key, value string }

// flags reads options written as in fstab.
func flags(text string) []option {
	var out []option
	for word := range strings.SplitSeq(text, ",") {
		if key, value, _ := strings.Cut(word, "="); key != "" {
			out = append(out, option{key, value})
		}
	}
	return out
}

// create mounts nowhere: the file given is the root of a mount that no path
// leads to. It ends with the file, and thereby with the process, unless it is
// attached to the tree. The options go to the kernel one by one (fsopen(2)),
// so that a comma in a password or a folder's name is nothing special.
func (a attempt) create() (*os.File, error) {
	fd, err := unix.Fsopen(a.driver, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, openError(err)
	}
	defer unix.Close(fd)
	set := func(o option) error {
		if o.value == "" && !emptyValue(o.key) {
			return unix.FsconfigSetFlag(fd, o.key)
		}
		return unix.FsconfigSetString(fd, o.key, o.value)
	}
	options := append([]option{{"source", a.source}}, a.options...)
	if a.readOnly {
		options = append(options, option{"ro", ""})
	}
	for _, o := range options {
		if err := set(o); err != nil {
			return nil, fmt.Errorf("option %s: %w", o.key, err)
		}
	}
	if err := unix.FsconfigCreate(fd); err != nil {
		return nil, withLog(fd, err)
	}
	attributes := unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOATIME
	if a.readOnly {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	root, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return nil, withLog(fd, err)
	}
	return os.NewFile(uintptr(root), a.source), nil
}

// emptyValue tells whether an option takes a text that may be empty, so that
// without one it is no flag.
func emptyValue(key string) bool { return key == "username" || key == "password" }

// openError is what is behind a kernel that does not begin to mount.
func openError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return &remote.Error{Reason: remote.Broken, What: "only root may mount", Err: err,
			Next: "Run this as root, or mount the place yourself and name its folder."}
	case errors.Is(err, unix.ENOSYS):
		return &remote.Error{Reason: remote.Broken, What: "this kernel is older than Linux 5.2", Err: err,
			Next: "Mount the place yourself and name its folder."}
	}
	return err
}

// withLog adds to err what the driver says beside it. It names options and
// servers, never the value of a password.
func withLog(fd int, err error) error {
	var said []string
	buf := make([]byte, 1024)
	for range 8 { // as many as the kernel keeps
		n, readErr := unix.Read(fd, buf)
		if readErr != nil || n < 2 {
			break
		}
		said = append(said, strings.TrimSpace(string(buf[2:n]))) // "e " before it
	}
	if len(said) == 0 {
		return err
	}
	return fmt.Errorf("%s: %w", strings.Join(said, "; "), err)
}

// attach gives the mount a place in the tree.
func attach(root *os.File, dir string) error {
	if err := unix.MoveMount(int(root.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// forbidWriting makes the mount read-only for everybody who uses it.
func forbidWriting(root *os.File) error {
	return unix.MountSetattr(int(root.Fd()), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// procPath leads to the mount, for this process while root is open.
func procPath(root *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", root.Fd()) }
