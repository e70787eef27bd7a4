package filesystem

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"time"

	"doppel.live/internal/extent"
)

// Lister is a file system that can name its files.
type Lister interface {
	FileSystem
	// Files walks all files and directories, each directory before what lies
	// in it, in the order of the disk. It holds only what the way down to the
	// present file needs. A damaged directory or file is given as an error that
	// names it, and the walk goes on behind it; the caller may stop at any.
	Files() iter.Seq2[*File, error]
}

// ErrContent says that the content of a file cannot be read by us, though its
// extents may be known: encrypted, or compressed in a way without a decoder.
var ErrContent = errors.New("content cannot be read")

// File is one name of a file, a directory or something else in a file system.
// A file with several names is given once for each.
type File struct {
	Path       string      // from the root of the volume, with "/" between names and none in front; "." is the root
	Stream     string      // name of an alternate data stream of NTFS; "" is the file itself
	Inode      uint64      // number of the inode or MFT record; 0 where the format has none
	Links      uint32      // names that it has; 0 where the format does not count them
	Mode       fs.FileMode // type and permissions; formats without permissions give 0644 and 0755
	UID, GID   uint32      // 0 where the format has none
	Size       int64       // bytes of content
	Modified   time.Time   // zero where the format has none, as the ones below
	Changed    time.Time   // of the inode
	Accessed   time.Time
	Created    time.Time
	LinkTarget string  // of a symbolic link
	Device     uint64  // of a device node: major<<32 | minor
	Content    Content // nil where there is none: directories, links, devices
	// Metadata gives the extents of the volume that hold what describes the
	// file: its inode or MFT record, the map of its blocks, the blocks of a
	// directory, attributes. They are in no order and may be parts of blocks
	// that belong to many files. nil where the reader does not tell.
	Metadata iter.Seq2[extent.Extent, error]
}

// Content is where the data of a file lies.
type Content interface {
	// ReadAt reads the file: zeros from holes and from what was never
	// written, io.EOF at its end. It wraps ErrContent where only Runs works.
	io.ReaderAt
	// Runs gives where the data lies, ascending by Offset. Holes are left out.
	// Blocks are whole, and those behind the end of the file are among them: a
	// run may end behind Size, or begin there.
	Runs() iter.Seq2[Run, error]
}

// Run is a piece of a file that lies in one piece on the volume.
type Run struct {
	Offset int64         // bytes from the start of the file
	Extent extent.Extent // bytes of the volume; of data inside metadata (inline, resident) exactly those bytes
	// Unwritten says that the blocks belong to the file and are read as
	// zeros, whatever is in them.
	Unwritten bool
}

// Open gives the content for reading from its start, as io.SectionReader does.
// A file without content reads as empty.
func (f *File) Open() *io.SectionReader {
	if f.Content == nil {
		return io.NewSectionReader(nothing{}, 0, 0)
	}
	return io.NewSectionReader(f.Content, 0, f.Size)
}

// nothing is content of no length.
type nothing struct{}

func (nothing) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
