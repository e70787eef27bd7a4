// Package apfs finds the blocks in use of an APFS container by its space
// manager. It reads no volumes and no files, needs no key, and repairs nothing.
//
// The way is that of a mount: block 0 names the checkpoint descriptor area;
// there lies the newest superblock whose checksum fits; its checkpoint maps
// name the space manager in the checkpoint data area; that leads, through
// chunk-info address blocks where there are many, to chunk-info blocks and the
// bitmap of each chunk. All checksums on the way are verified, and what every
// object of the checkpoint holds. Bitmaps have none: the number of their free
// blocks is held against that of the chunk and of the whole device, and against
// the blocks that no container has free: block 0, both checkpoint areas, the
// internal pool with its ring of bitmaps, the object map.
//
// What snapshots need is in use by the same bitmaps, as are the blocks in the
// free queues: those were given up by the newest checkpoints only. Older
// checkpoints get nothing beyond that, for APFS uses their blocks again: they
// are what a mount falls back to after a crash has torn the newest, not a
// history. A superblock that is whole is written behind all that belongs to it;
// damage there is an error and never a reason to take an older checkpoint.
//
// An APFS needs no repair after a crash. Its State is Dirty where block 0, which
// a clean unmount makes a copy of the newest superblock, is older than that.
//
// Not supported, and refused: Fusion containers of two devices, version 1 of
// the format (macOS 10.12), checkpoint areas in several pieces, structures of
// the space manager outside its internal pool.
//
// The layout is that of Apple's "Apple File System Reference" of 2020-06-22;
// that an absent bitmap means a free chunk, and where its structures lie, that
// of containers made by macOS and mkapfs.
package apfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

var le = binary.LittleEndian

// fileSystem is one opened container.
type fileSystem struct {
	r        io.ReaderAt
	block    int64 // bytes
	blocks   int64 // of the container
	super    superblock
	spaceman spaceman
	info     filesystem.Info

	inUse []extent.Extent // blocks, not bytes: those that the bitmaps must have in use, ascending
	also  []extent.Extent // blocks: those that count as in use whatever the bitmaps say, ascending
}

var _ filesystem.Opener = Open

// Open opens the container on a volume of size bytes. It reads the newest
// checkpoint and all bitmaps, which Allocated reads once more.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	return filesystem.Opened(open(r, size))
}

func open(r io.ReaderAt, size int64) (*fileSystem, error) {
	first, err := readBlockZero(r, size)
	if err != nil {
		return nil, err
	}
	f := &fileSystem{r: r, block: first.blockSize()}
	if err := f.readCheckpoint(first, size); err != nil {
		return nil, err
	}
	if err := f.reserve(); err != nil {
		return nil, err
	}
	f.info = filesystem.Info{
		Type:      "apfs",
		UUID:      first.uuid(),
		BlockSize: f.block,
		Size:      f.blocks * f.block,
		State:     filesystem.Clean,
	}
	if first.xid() < f.super.xid() {
		f.info.State = filesystem.Dirty
	}
	f.info.Used, err = extent.Sum(f.Allocated())
	return f, err
}

// Info describes the container. Labels belong to its volumes: as for blkid, it
// has none itself.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// Allocated gives the extents in use.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		s := &scan{f: f, inUse: f.inUse, also: f.also, add: add}
		return s.all()
	})
}

// within says whether count blocks from block at on lie in [from, from+length).
func within(at, count, from, length int64) bool {
	return at >= from && count >= 0 && count <= length && at-from <= length-count
}

// readFull reads len(p) bytes at off.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	if err := filesystem.ReadFull(r, p, off); err != nil {
		return fmt.Errorf("apfs: reading %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}

// formatError says what is wrong at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "apfs", Offset: offset, What: fmt.Sprintf(format, args...)}
}
