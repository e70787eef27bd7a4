// Package f2fs finds the blocks in use of F2FS by the bitmaps of its segment
// information table (SIT). It reads no files, and it repairs nothing.
//
// In use are both superblocks, everything from the checkpoints to the node
// address table, the summaries (SSA) of segments that hold anything, and the
// valid blocks of the main area. Not in use: the gap between the superblocks
// and the first segment, the summaries of free segments, what lies behind the
// last segment.
//
// A file system that was not unmounted is read as it will be after its
// recovery: the chain of nodes that fsync wrote behind the checkpoint is
// followed, and the blocks that these nodes name count too.
//
// Where SIT and checkpoint differ in the number of blocks, which is no error as
// long as some are reserved and not yet placed, all nodes are read: blocks that
// these name and the SIT does not make the file system a damaged one.
//
// Facts: the kernel's documentation (Documentation/filesystems/f2fs.rst),
// what dump.f2fs and fsck.f2fs print, and volumes of mkfs.f2fs and Linux. Not
// supported, and refused: several devices, zoned devices, blocks that are not of
// 4 KiB, a checkpoint pack that cannot be read, features that this package does
// not know.
package f2fs

import (
	"encoding/binary"
	"fmt"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

var le = binary.LittleEndian

// fileSystem is one opened F2FS.
type fileSystem struct {
	r     io.ReaderAt
	sb    superblock
	info  filesystem.Info
	area  areas
	block int64 // bytes

	views []view // of the checkpoint in force, and of one that was being written
	// recovered holds, by segment, the blocks of nodes behind the checkpoint
	// and those that such nodes name.
	recovered marks
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads the
// checkpoints, the whole SIT and the nodes behind the checkpoint.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	return filesystem.Opened(open(r, size))
}

func open(r io.ReaderAt, size int64) (*fileSystem, error) {
	sb, err := readSuperblocks(r, size)
	if err != nil {
		return nil, err
	}
	f := &fileSystem{r: r, sb: sb, block: sb.blockSize(), recovered: marks{}}
	if f.area, err = sb.areas(size); err != nil {
		return nil, err
	}
	f.info = filesystem.Info{
		Type: "f2fs", Label: sb.label(), UUID: sb.uuid(), BlockSize: f.block, Size: f.area.blocks * f.block,
	}
	if f.views, err = f.readCheckpoints(); err != nil {
		return nil, err
	}
	chain := int64(0)
	for _, v := range f.views {
		n, err := f.followNodes(v.cp)
		if err != nil {
			return nil, err
		}
		chain += n
	}
	f.info.State = f.views[0].cp.state(chain > 0 || len(f.views) > 1)
	if err := f.checkCounts(); err != nil {
		return nil, err
	}
	f.info.Used, err = extent.Sum(f.Allocated())
	return f, err
}

// Info describes the file system.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// readBlock reads one block.
func (f *fileSystem) readBlock(p []byte, number int64) error {
	return readFull(f.r, p[:f.block], number*f.block)
}

// readFull reads len(p) bytes at off.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	if err := filesystem.ReadFull(r, p, off); err != nil {
		return fmt.Errorf("f2fs: reading %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}

// formatError says what is wrong at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "f2fs", Offset: offset, What: fmt.Sprintf(format, args...)}
}
