package blockdev

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// fileSector is the sector size of a regular file in the place of a device.
const fileSector = 512

// Source is a device opened for reading. While it is open and nothing on its
// disk is mounted, the kernel lets nobody write to it.
type Source struct {
	file    *os.File
	direct  *os.File    // the same past the page cache; nil: not to be had
	refused atomic.Bool // the kernel will not read it past the page cache
	disk    Disk
	guard   *protection // nil: the device is not set read-only by us
}

// OpenSource opens a device or a regular file for reading.
func OpenSource(path string) (*Source, error) { return System{}.OpenSource(path) }

// OpenSource is OpenSource of that system.
func (s System) OpenSource(path string) (*Source, error) {
	d, err := s.Disk(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, err
	}
	// Who writes holds the lock alone: a restore, or a program that edits tables.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return nil, d.refusal(Options{}, "another program is writing to it", "wait until it has ended, or end it (lsblk and fuser show it), then try again")
	}
	src := &Source{file: f, disk: d, direct: openDirect(f, unix.O_RDONLY)}
	if d.Transport == "file" {
		return src, nil
	}
	if d.Size, err = ioctlSize(f); err != nil {
		src.Close()
		return nil, fmt.Errorf("%s: size: %w", d.Path, err)
	}
	src.disk.Size = d.Size
	s.settle(src)
	return src, nil
}

// settle writes back what the kernel still holds for the device and its
// partitions, so that the device shows it, and locks it.
func (s System) settle(src *Source) {
	for _, p := range s.sortedPartitions(src.disk.Name) {
		if f, err := os.Open(s.devicePath(p)); err == nil {
			_ = dropCache(f) // without the right to do it we read what is there
			f.Close()
		}
	}
	_ = dropCache(src.file)
	if len(src.disk.InUse) > 0 {
		return
	}
	src.guard = s.protect(src.disk.Name, src.file)
}

// Disk describes the device.
func (s *Source) Disk() Disk { return s.disk }

// Size is the size in bytes, whole sectors.
func (s *Source) Size() int64 { return s.disk.Size }

// SectorSize is the logical sector size in bytes.
func (s *Source) SectorSize() int64 { return s.disk.SectorSize }

// ReadAt reads from the device, large pieces past the page cache.
func (s *Source) ReadAt(p []byte, off int64) (int, error) {
	if from, to := directPart(p, off); s.direct != nil && to > 0 && !s.refused.Load() {
		n, err := pieces(p, off, from, to, s.file.ReadAt, s.direct.ReadAt)
		if !noDirect(err) {
			return n, err
		}
		s.refused.Store(true)
	}
	return s.file.ReadAt(p, off)
}

// Close puts the write protection back as it was and closes the device.
func (s *Source) Close() error {
	if s.guard != nil {
		s.guard.release()
		s.guard = nil
	}
	if s.direct != nil {
		s.direct.Close()
	}
	return s.file.Close()
}

// OpenToLook opens a device for a short look: nothing is flushed or locked.
func OpenToLook(path string) (*os.File, error) { return os.Open(path) }
