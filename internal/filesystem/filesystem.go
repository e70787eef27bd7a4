// Package filesystem says what a reader of a file system gives: what it is and
// which byte ranges of its volume are in use. The readers themselves lie in
// packages below it, one for each format; none of them sees a device.
package filesystem

import (
	"errors"
	"fmt"
	"io"
	"iter"

	"doppel.live/internal/extent"
)

// ErrFormat says that a volume does not hold the format asked for. Every
// reader returns it, wrapped or not, when the magic does not fit.
var ErrFormat = errors.New("not this format")

// FormatError says that a volume has the right magic and wrong content.
type FormatError struct {
	Format string // "ext", "ntfs"
	Offset int64  // bytes from the start of the volume
	What   string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s: at byte %d: %s", e.Format, e.Offset, e.What)
}

// State is what a file system says about how it was last left.
type State string

// The states that a reader can find.
const (
	Unknown    State = ""
	Clean      State = "clean"
	Dirty      State = "dirty"      // not unmounted, or marked with errors
	Recovery   State = "recovery"   // its journal must be replayed
	Hibernated State = "hibernated" // a sleeping system will come back to it
)

// Info describes one file system.
type Info struct {
	Type      string // as blkid names it: ext4, vfat, ntfs, swap, crypto_LUKS, …
	Version   string // as blkid names it, where the type has several that differ: FAT16
	Label     string
	UUID      string // as blkid prints it
	BlockSize int64  // bytes; 0 where the format has none
	// SectorSize is the least that the file system reads or writes, in bytes,
	// where that may be less than BlockSize: it can be mounted on no disk with
	// larger sectors. 0: BlockSize.
	SectorSize int64
	Size       int64 // bytes that the file system covers, from the start of its volume
	Used       int64 // bytes in use, as Allocated gives them
	State      State
}

// FileSystem is one opened file system.
type FileSystem interface {
	Info() Info
	// Allocated gives the extents in use, ascending and disjoint, whole
	// blocks, within Info().Size. The first error ends it.
	Allocated() iter.Seq2[extent.Extent, error]
}

// Opener opens the format of its package on a volume of size bytes. It returns
// an error that wraps ErrFormat where the volume holds something else.
type Opener func(r io.ReaderAt, size int64) (FileSystem, error)

// Stamped is a FileSystem that knows which bytes, beside both ends of the
// volume, every mount for writing changes.
type Stamped interface {
	FileSystem
	// Stamps gives those extents, in bytes of the volume; a few, and short.
	Stamps() []extent.Extent
}

// Opened gives what a reader has opened as an Opener does: nothing with an
// error, where a nil pointer in the interface would be something.
func Opened[F FileSystem](f F, err error) (FileSystem, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}
