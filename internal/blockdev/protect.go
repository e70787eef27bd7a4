package blockdev

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// protectedFolder holds one record for each device that is set read-only while
// it is saved, named like the device: its diskseq, the kernel's number of a
// disk that no other disk gets before the next start. Who saves holds a shared
// lock on the record. A record that nobody holds is of a save that was killed:
// the next one to look takes the protection off.
const protectedFolder = "run/doppel/protected"

// protection is the share that one save has in the write protection of a device.
type protection struct {
	system System
	device *os.File
	record *os.File
}

// protect sets a device read-only until release. It is nil where somebody else
// did that already or the device cannot be protected: saving goes without, too.
func (s System) protect(name string, device *os.File) *protection {
	lock := s.lockProtections()
	if lock == nil {
		return nil
	}
	defer lock.Close()
	s.releaseAbandoned()
	record, err := openRecord(s.path(protectedFolder, name))
	if err != nil {
		return nil
	}
	p := &protection{s, device, record}
	old, _ := io.ReadAll(record)
	ro, err := readOnly(device)
	switch {
	case err != nil, ro && len(old) == 0, unix.Flock(int(record.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil:
	case ro:
		return p // another save did it, and holds the record
	default:
		// The record comes first: a kill between the two does no harm.
		if _, err = record.WriteAt([]byte(s.attribute(name, "diskseq")+"\n"), 0); err == nil {
			err = setReadOnly(device, true)
		}
		if err == nil {
			return p
		}
	}
	if !ro || len(old) == 0 {
		os.Remove(record.Name())
	}
	record.Close()
	return nil
}

// release takes the protection off unless another save needs it.
func (p *protection) release() {
	if lock := p.system.lockProtections(); lock != nil {
		defer lock.Close()
	}
	defer p.record.Close()
	if unix.Flock(int(p.record.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = setReadOnly(p.device, false)
		os.Remove(p.record.Name())
	}
}

// ReleaseAbandoned takes off the write protection of devices that a save set
// read-only which was killed before it could do so.
func ReleaseAbandoned() { System{}.ReleaseAbandoned() }

// ReleaseAbandoned is ReleaseAbandoned of that system.
func (s System) ReleaseAbandoned() {
	if _, err := os.Stat(s.path(protectedFolder)); err != nil {
		return
	}
	if lock := s.lockProtections(); lock != nil {
		defer lock.Close()
		s.releaseAbandoned()
	}
}

func (s System) releaseAbandoned() {
	records, _ := filepath.Glob(filepath.Join(s.path(protectedFolder), "[^.]*"))
	for _, path := range records {
		record, err := os.Open(path)
		if err != nil {
			continue
		}
		if unix.Flock(int(record.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			seq, _ := io.ReadAll(record)
			s.unprotect(filepath.Base(path), strings.TrimSpace(string(seq)))
			os.Remove(path)
		}
		record.Close()
	}
}

// unprotect takes the protection off a device unless another one took its name.
func (s System) unprotect(name, seq string) {
	if seq != s.attribute(name, "diskseq") {
		return
	}
	if device, err := os.Open(s.devicePath(name)); err == nil {
		_ = setReadOnly(device, false)
		device.Close()
	}
}

// lockProtections lets one process at a time look at the records. It is nil
// where there is no place for them, as for users other than root.
func (s System) lockProtections() *os.File {
	folder := s.path(protectedFolder)
	if os.MkdirAll(filepath.Dir(folder), 0o755) != nil {
		return nil
	}
	_ = os.Mkdir(folder, 0o700) // opening it tells whether it is there
	lock, err := os.Open(folder)
	if err != nil {
		return nil
	}
	if unix.Flock(int(lock.Fd()), unix.LOCK_EX) != nil {
		lock.Close()
		return nil
	}
	return lock
}

// openRecord opens a record below /run for writing, never a device.
func openRecord(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
}
