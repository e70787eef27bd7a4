package rescue

import "fmt"

// Lost stands for a disk that is gone for good, or given up: nothing more is
// read of it, and what was not read before cannot be read.
type Lost struct {
	Bytes  int64 // size of the disk
	Sector int64 // bytes
}

var _ Source = Lost{}

// Size implements Source.
func (l Lost) Size() int64 { return l.Bytes }

// SectorSize implements Source.
func (l Lost) SectorSize() int64 { return l.Sector }

// Present implements Source: what is lost cannot go away.
func (l Lost) Present() bool { return true }

// ReadAt implements Source.
func (l Lost) ReadAt(_ []byte, off int64) (int, error) { return 0, l.unread(off) }

func (l Lost) unread(off int64) error {
	return fmt.Errorf("%w: byte %d was not read before the disk was given up", ErrUnreadable, off)
}
