package blockdev

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Sectors reads a source sector by sector, past the page cache: the kernel
// would read pages and ahead of them, and one sector that cannot be read would
// take its neighbours with it.
type Sectors struct {
	*Source
	direct *os.File // nil where that cannot be had
	system System
}

// Sectors opens the source once more. The source stays open.
func (s *Source) Sectors() *Sectors {
	d := &Sectors{Source: s}
	path := "/proc/self/fd/" + strconv.Itoa(int(s.file.Fd()))
	if fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0); err == nil {
		d.direct = os.NewFile(uintptr(fd), s.file.Name())
	}
	_ = unix.Fadvise(int(s.file.Fd()), 0, 0, unix.FADV_RANDOM) // where it must do instead
	return d
}

// ReadAt reads whole sectors into memory that is aligned to sectors.
func (d *Sectors) ReadAt(p []byte, off int64) (int, error) {
	if d.direct != nil {
		if n, err := d.direct.ReadAt(p, off); n > 0 || !noDirect(err) {
			return n, err
		}
	}
	return d.Source.ReadAt(p, off)
}

// Present says whether the disk is still there: unplugged, it has no size any
// more; given up by the kernel after too many errors, it is offline.
func (d *Sectors) Present() bool {
	if d.disk.Transport == "file" {
		return true
	}
	if size, err := ioctlSize(d.file); err != nil || size < d.disk.Size {
		return false
	}
	state := d.system.attribute(d.system.wholeName(d.disk.Name), filepath.Join("device", "state"))
	return state == "" || state == "running" || state == "live"
}

// Close closes what Sectors opened.
func (d *Sectors) Close() error {
	if d.direct == nil {
		return nil
	}
	return d.direct.Close()
}
