package place

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Chosen is what became of a request to use a place.
type Chosen struct {
	Spec     string
	Free     int64  // bytes
	ReadOnly bool   // nothing can be saved there
	Advice   string // why it is read-only and what helps; "" when it is not
}

// stage is where a place is tried before the former one is given up.
const stage = "/run/doppel/place"

// Use mounts the place that spec means at Dir, instead of the former one. When
// that does not work the former one stays.
func (s System) Use(spec string) (Chosen, error) {
	if remote(spec) {
		return Chosen{}, &Error{What: spec + " lies in the network, which this version cannot mount",
			Next: "Choose a disk or stick of this machine."}
	}
	list, err := s.List()
	if err != nil {
		return Chosen{}, err
	}
	p, err := find(list, spec)
	if err != nil {
		return Chosen{}, err
	}
	if p.Problem != "" {
		return Chosen{}, &Error{What: p.Problem, Next: "Choose another place."}
	}
	if p.Current {
		return s.chosen(p.Spec, "")
	}
	advice, err := s.stage(p)
	if err != nil {
		return Chosen{}, err
	}
	if err := s.Release(); err != nil {
		_ = unix.Unmount(stage, 0)
		return Chosen{}, err
	}
	if err := unix.Mount(stage, Dir, "", unix.MS_MOVE, ""); err != nil {
		_ = unix.Unmount(stage, 0)
		return Chosen{}, fmt.Errorf("%s: %w", Dir, err)
	}
	return s.chosen(p.Spec, advice)
}

// Release unmounts what is mounted at Dir.
func (s System) Release() error {
	for {
		now, err := s.current()
		if err != nil || now == nil {
			return err
		}
		switch err := unix.Unmount(Dir, 0); {
		case err == unix.EBUSY:
			return &Error{What: "the present place for images is in use", Next: "Wait until the job has ended, and leave " + Dir + " in every shell."}
		case err != nil:
			return fmt.Errorf("%s: %w", Dir, err)
		}
	}
}

// stage mounts p where nobody looks yet. It gives advice when p can be read only.
func (s System) stage(p Place) (advice string, err error) {
	if err := os.MkdirAll(stage, 0o755); err != nil {
		return "", err
	}
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return "", err
	}
	device := p.Path
	if p.Spec == Boot {
		// Mounted as a whole it would keep its partitions from being mounted.
		loop, err := s.loop(device)
		if err != nil {
			return "", err
		}
		defer loop.Close() // the mount holds it from here on
		device = loop.Name()
	}
	var first error
	for _, a := range attempts(p.FileSystem, p.ReadOnly) {
		err := unix.Mount(device, stage, a.driver, a.flags, a.options)
		if err == nil {
			return readOnlyAdvice(p, a.flags, first), nil
		}
		if first == nil {
			first = err
		}
		if err == unix.ENODEV || err == unix.EBUSY {
			break
		}
	}
	return "", mountError(p, first)
}

// attempt is one way to mount.
type attempt struct {
	driver  string
	flags   uintptr
	options string
}

// attempts are the ways to mount a file system, the best first: for writing;
// for reading, since the medium may be protected or NTFS dirty; and for
// reading without replaying a journal, which a protected medium does not allow.
func attempts(fs string, readOnly bool) []attempt {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
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
		out = append(out, attempt{driver, flags, options})
	}
	out = append(out, attempt{driver, flags | unix.MS_RDONLY, options})
	if noReplay != "" {
		out = append(out, attempt{driver, flags | unix.MS_RDONLY, noReplay})
	}
	return out
}

// readOnlyAdvice says why nothing can be saved in p.
func readOnlyAdvice(p Place, flags uintptr, first error) string {
	switch {
	case flags&unix.MS_RDONLY == 0:
		return ""
	case p.Spec == Boot:
		return "The medium that was started from can only be read: choose another place to save to."
	case p.FileSystem == "ntfs" && first != unix.EROFS && first != unix.EACCES:
		return "Windows has not closed this file system, so it is read only. To save here, start Windows and shut it down while holding the Shift key, or run chkdsk there."
	}
	return "The medium is write protected: take the protection off, or choose another place to save to."
}

// mountError says what to do when nothing worked.
func mountError(p Place, err error) error {
	what := fmt.Sprintf("%s (%s) cannot be mounted: %v", p.Spec, p.FileSystem, err)
	switch {
	case errors.Is(err, unix.ENODEV):
		return &Error{What: what, Next: "This kernel has no driver for it: choose another place."}
	case errors.Is(err, unix.EBUSY):
		return &Error{What: what, Next: "It is in use: unmount it, or end what uses it, and try again."}
	case errors.Is(err, unix.ENOMEDIUM), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOENT):
		return &Error{What: what, Next: "Put the medium back in and try again.", Missing: true}
	case errors.Is(err, unix.EIO):
		return &Error{What: what, Next: "The disk cannot be read: look at its health before trusting it with images."}
	}
	return &Error{What: what, Next: "The file system seems damaged: check it with its own tool, or choose another place."}
}

// current is what is mounted at Dir.
type current struct {
	source   string // spec
	device   string // as mounted
	fs       string
	readOnly bool
	free     int64
}

// current reads the mount table. Nothing at Dir is nil: the folder alone is
// no place, it would fill the memory.
func (s System) current() (*current, error) {
	text, err := os.ReadFile(s.path("proc/self/mountinfo"))
	if err != nil {
		return nil, err
	}
	c := parseMounts(string(text))
	if c == nil {
		return nil, nil
	}
	c.source = c.device
	if strings.HasPrefix(c.device, "/dev/loop") || s.isBootMedium(filepath.Base(c.device)) {
		c.source = Boot
	}
	c.free = free(s.path(Dir))
	return c, nil
}

// parseMounts finds the last mount at Dir in a text like /proc/self/mountinfo
// (proc_pid_mountinfo(5)).
func parseMounts(text string) *current {
	var c *current
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+3 || f[4] != Dir {
			continue
		}
		ro := func(options string) bool { return slices.Contains(strings.Split(options, ","), "ro") }
		c = &current{device: unescape(f[dash+2]), fs: f[dash+1], readOnly: ro(f[5]) || len(f) > dash+3 && ro(f[dash+3])}
	}
	return c
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func free(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize
}

func (s System) chosen(spec, advice string) (Chosen, error) {
	now, err := s.current()
	if err == nil && now == nil {
		err = errors.New(Dir + ": nothing is mounted there after all")
	}
	if err != nil {
		return Chosen{}, err
	}
	if now.readOnly && advice == "" {
		advice = "It is mounted for reading only."
	}
	return Chosen{Spec: spec, Free: now.free, ReadOnly: now.readOnly, Advice: advice}, nil
}

// Status gives the chosen place, or nil.
func (s System) Status() (*Place, error) {
	now, err := s.current()
	if err != nil || now == nil {
		return nil, err
	}
	p := Place{Spec: now.source, FileSystem: now.fs}
	if list, err := s.List(); err == nil {
		for _, q := range list {
			if q.Spec == now.source {
				p = q
			}
		}
	}
	p.Path, p.Current, p.Free, p.ReadOnly = Dir, true, now.free, now.readOnly
	return &p, nil
}
