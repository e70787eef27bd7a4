package blockdev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// OwnMedium is the disk that the live system was started from, opened to make
// room for images behind the image that was written to it. It is the second
// and last door for writing; what the image holds cannot be written through it.
type OwnMedium struct {
	file   *os.File
	disk   Disk
	image  int64 // where the image ends, bytes
	system System
}

// OpenOwnMedium opens the disk of that path if the running build was started
// from it, nobody uses it, and check, which sees it opened for this process
// alone, agrees. Else the error is a Refusal, or that of check.
func OpenOwnMedium(path string, check func(io.ReaderAt) error) (*OwnMedium, error) {
	return System{}.OpenOwnMedium(path, check)
}

// OpenOwnMedium is OpenOwnMedium of that system.
func (s System) OpenOwnMedium(path string, check func(io.ReaderAt) error) (*OwnMedium, error) {
	d, err := s.Disk(path)
	if err != nil {
		return nil, err
	}
	if err := s.refuseOwn(d); err != nil {
		return nil, err
	}
	f, err := openWritable(d)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EWOULDBLOCK) {
		return nil, d.refusal(Options{}, "another program or the kernel holds it", "end what uses it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: open for writing: %w", d.Path, err)
	}
	m := &OwnMedium{file: f, disk: d, system: s}
	if err := m.look(check); err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

// refuseOwn looks for a reason to leave the disk alone.
func (s System) refuseOwn(d Disk) error {
	switch media := s.BootMedia(); {
	case d.Name != s.wholeName(d.Name):
		return d.refusal(Options{}, "it is a partition", "name the disk")
	case !s.isBootMedium(d.Path):
		return d.refusal(Options{}, "the live system was not started from it", "it is left alone")
	case len(media) > 1:
		return d.refusal(Options{}, fmt.Sprintf("there are %d media of this build, and it is not known which one the machine was started from", len(media)), "leave only that one plugged in, and start again")
	case len(d.InUse) > 0:
		return d.refusal(Options{}, d.InUse[0], s.release(d))
	case d.ReadOnly:
		return d.refusal(Options{}, "it is read-only", "open its write protection")
	case d.SectorSize != fileSector:
		return d.refusal(Options{}, fmt.Sprintf("its sectors have %d bytes, not %d", d.SectorSize, fileSector), "images need another disk or stick")
	}
	return nil
}

// volumeSpace is where the descriptor has the number of blocks of the image,
// of 2048 bytes each (ECMA-119 8.4.8).
const volumeSpace = 80

// look reads where the image ends, and asks check.
func (m *OwnMedium) look(check func(io.ReaderAt) error) error {
	if !m.system.isBootMedium(m.disk.Path) {
		return m.disk.refusal(Options{}, "another disk took its name", "start again")
	}
	b := make([]byte, 4)
	if _, err := m.file.ReadAt(b, descriptorOffset+volumeSpace); err != nil {
		return fmt.Errorf("%s: %w", m.disk.Path, err)
	}
	m.image = int64(binary.LittleEndian.Uint32(b)) * 2048
	if err := check(m.file); err != nil {
		return fmt.Errorf("%s: %w", m.disk.Path, err)
	}
	return nil
}

// BootMedia gives the paths of all disks and discs with the build that runs.
func (s System) BootMedia() []string {
	entries, _ := os.ReadDir(s.path("sys/class/block"))
	var found []string
	for _, e := range entries {
		name := e.Name()
		if s.isPartition(name) || s.number(name, "size") == 0 || s.attribute(name, "loop/backing_file") != "" {
			continue
		}
		if path := s.devicePath(name); s.isBootMedium(path) {
			found = append(found, path)
		}
	}
	return found
}

// Disk describes the disk.
func (m *OwnMedium) Disk() Disk { return m.disk }

// ReadAt reads from the disk.
func (m *OwnMedium) ReadAt(p []byte, off int64) (int, error) { return m.file.ReadAt(p, off) }

// WriteAt writes before the ISO 9660 volume or behind the image, never in it.
func (m *OwnMedium) WriteAt(p []byte, off int64) (int, error) {
	if end := off + int64(len(p)); off < 0 || end > descriptorOffset && off < m.image || end > m.disk.Size {
		return 0, fmt.Errorf("%s: bytes %d to %d belong to the image that the machine was started from", m.disk.Path, off, end)
	}
	return m.file.WriteAt(p, off)
}

// Sync returns when everything written is on the medium.
func (m *OwnMedium) Sync() error { return m.file.Sync() }

// ReReadTable tells the kernel to look at the partition table again.
func (m *OwnMedium) ReReadTable() error {
	return (&Target{file: m.file, disk: m.disk}).ReReadTable()
}

// Close closes the disk.
func (m *OwnMedium) Close() error { return m.file.Close() }
