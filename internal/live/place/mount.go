package place

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store/remote"
)

// Chosen is what became of a request to use or to test a place.
type Chosen struct {
	Spec     string        // a device, Boot, or a URL without a secret
	Path     string        // where it is mounted; "" for a place that is none of files
	Free     int64         // bytes; -1: not known
	ReadOnly bool          // nothing can be saved there
	Reason   remote.Reason // remote.ReadOnly or remote.Full where nothing can be saved there; else ""
	Advice   string        // why nothing can be saved and what helps; "" when it can
}

// Use makes the place that spec means the one for images, instead of the
// former one: a disk, NFS and SMB are mounted at Dir, for the others a record
// is left. When that does not work the former one stays.
func (s System) Use(ctx context.Context, spec string, cred remote.Credentials) (Chosen, error) {
	if remote.Is(spec) {
		return s.useRemote(ctx, spec, cred)
	}
	p, err := s.local(spec)
	if err != nil {
		return Chosen{}, err
	}
	if p.Current {
		return s.chosen(Chosen{Spec: p.Spec})
	}
	root, advice, err := s.mount(p)
	if err != nil {
		return Chosen{}, err
	}
	defer root.Close()
	if err := s.replace(root); err != nil {
		return Chosen{}, err
	}
	return s.chosen(Chosen{Spec: p.Spec, Advice: advice})
}

// local finds a place on a disk that can be used.
func (s System) local(spec string) (Place, error) {
	list, err := s.disks()
	if err != nil {
		return Place{}, err
	}
	p, err := find(list, spec)
	if err != nil {
		return Place{}, err
	}
	if p.BootMedium && s.toRAM() {
		return Place{}, &Error{What: "the medium that was started from is left alone: this is a start to RAM",
			Next: "Choose another place, or start the machine without \"to RAM\"."}
	}
	if p.Problem != "" {
		return Place{}, &Error{What: p.Problem, Next: "Choose another place."}
	}
	return p, nil
}

// replace puts a new mount at Dir instead of what is the place until now.
func (s System) replace(root *os.File) error {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return err
	}
	if err := s.Release(); err != nil {
		return err
	}
	return attach(root, Dir)
}

// Release unmounts what is mounted at Dir and forgets a place that is not.
func (s System) Release() error {
	for {
		now, err := s.mounted()
		if err != nil {
			return err
		}
		if now == nil {
			return s.forget()
		}
		if err := now.unmount(); err != nil {
			return err
		}
	}
}

// unmount takes the mount at Dir away. A server that does not answer is not
// waited for.
func (m *mounted) unmount() error {
	if m.network() && m.free < 0 {
		_ = unix.Unmount(Dir, unix.MNT_FORCE) // ends what waits for the server
		return unix.Unmount(Dir, unix.MNT_DETACH)
	}
	switch err := unix.Unmount(Dir, 0); {
	case err == unix.EBUSY:
		return &Error{What: "the present place for images is in use", Next: "Wait until the job has ended, and leave " + Dir + " in every shell."}
	case err != nil:
		return fmt.Errorf("%s: %w", Dir, err)
	}
	return nil
}

// mount mounts a place of a disk. It gives advice when it can be read only.
func (s System) mount(p Place) (root *os.File, advice string, err error) {
	device := p.Path
	if p.Spec == Boot {
		// Mounted as a whole it would keep its partitions from being mounted.
		loop, err := s.loop(device)
		if err != nil {
			return nil, "", err
		}
		defer loop.Close() // the mount holds it from here on
		device = loop.Name()
	}
	var first error
	for _, a := range attempts(p.FileSystem, device, p.ReadOnly) {
		root, err := a.create()
		if err == nil {
			return root, readOnlyAdvice(p, a.readOnly, first), nil
		}
		if first == nil {
			first = err
		}
		if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EBUSY) {
			break
		}
	}
	return nil, "", mountError(p, first)
}

// attempts are the ways to mount a file system, the best first: for writing;
// for reading, since the medium may be protected or NTFS dirty; and for
// reading without replaying a journal, which a protected medium does not allow.
func attempts(fs, device string, readOnly bool) []attempt {
	driver, options, noReplay := fs, "", ""
	switch fs {
	case "ext2", "ext3", "ext4":
		driver, noReplay = "ext4", "noload"
	case "xfs":
		noReplay = "norecovery"
	case "btrfs":
		noReplay = "rescue=nologreplay"
	case "vfat":
		options = "utf8=1,shortname=mixed"
	case "exfat":
		options = "iocharset=utf8"
	case "ntfs":
		driver, options = "ntfs3", "iocharset=utf8"
	case "iso9660":
		options = "iocharset=utf8"
	}
	var out []attempt
	if !readOnly {
		out = append(out, attempt{driver, device, false, flags(options)})
	}
	out = append(out, attempt{driver, device, true, flags(options)})
	if noReplay != "" {
		out = append(out, attempt{driver, device, true, flags(noReplay)})
	}
	return out
}

// readOnlyAdvice says why nothing can be saved in p.
func readOnlyAdvice(p Place, readOnly bool, first error) string {
	switch {
	case !readOnly:
		return ""
	case p.Spec == Boot:
		return "The medium that was started from can only be read: choose another place to save to."
	case p.FileSystem == "ntfs" && !errors.Is(first, unix.EROFS) && !errors.Is(first, unix.EACCES):
		return "Windows has not closed this file system, so it is read only. To save here, start Windows and shut it down while holding the Shift key, or run chkdsk there."
	}
	return "The medium is write protected: take the protection off, or choose another place to save to."
}

// mountError says what to do when nothing worked.
func mountError(p Place, err error) error {
	var e *remote.Error
	if errors.As(err, &e) {
		return err
	}
	what := fmt.Sprintf("%s (%s) cannot be mounted: %v", p.Spec, p.FileSystem, err)
	switch {
	case errors.Is(err, unix.ENODEV):
		return &Error{What: what, Err: err, Next: "This kernel has no driver for it: choose another place."}
	case errors.Is(err, unix.EBUSY):
		return &Error{What: what, Err: err, Next: "It is in use: unmount it, or end what uses it, and try again."}
	case errors.Is(err, unix.ENOMEDIUM), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOENT):
		return &Error{What: what, Err: err, Next: "Put the medium back in and try again.", Missing: true}
	case errors.Is(err, unix.EIO):
		return &Error{What: what, Err: err, Next: "The disk cannot be read: look at its health before trusting it with images."}
	}
	return &Error{What: what, Err: err, Next: "The file system seems damaged: check it with its own tool, or choose another place."}
}
