package blockdev

import (
	"errors"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Large reads, and writes of a target, go past the page cache: what is read back
// comes from the medium, what is written is not copied once more, and the rest
// of the machine keeps its memory. They must begin and end at multiples of
// directUnit, and lie so in memory; the kernel refuses what does not.
const (
	directUnit  = 4096      // bytes; a multiple of every logical sector size in use
	directLeast = 256 << 10 // bytes: smaller ones are left to the page cache
)

// openDirect opens what f is once more, past the page cache, as mode says
// (O_RDONLY or O_RDWR). It is nil where that cannot be had: not every file
// system does it.
func openDirect(f *os.File, mode int) *os.File {
	path := "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) // the opened one, whatever its name is now
	fd, err := unix.Open(path, mode|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), f.Name())
}

// directPart gives the part of p, which is for offset off, that can go past the
// page cache: p[from:to]. It is empty where that is not worth it, or where p
// lies otherwise in memory than on the device.
//
//	off 512, 1 MiB  →  p[3584 : 1 MiB - 512], which begins at 4096 and ends at 1 MiB
func directPart(p []byte, off int64) (from, to int64) {
	n := int64(len(p))
	from = (directUnit - off%directUnit) % directUnit
	to = n - (off+n)%directUnit
	if to-from < directLeast || uintptr(unsafe.Pointer(&p[from]))%directUnit != 0 {
		return 0, 0
	}
	return from, to
}

// noDirect says whether the kernel would not do it past the page cache, though
// it may do it through it.
func noDirect(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) }
