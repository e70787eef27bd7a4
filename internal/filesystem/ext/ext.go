// Package ext finds the blocks in use of ext2, ext3 and ext4 by their block
// bitmaps, and lists and reads their files. It repairs nothing.
//
// All block sizes from 1 to 64 KiB, 64bit, flex_bg, meta_bg, bigalloc,
// sparse_super and sparse_super2, uninitialised groups, both sizes of group
// descriptors. Checksums are verified where the file system has them: of
// superblock, descriptors and bitmaps, of inodes, extent trees and directories.
// Files lie in extents, maps of blocks, or their inodes. Of what is encrypted
// the names are shown as bytes, and only the places of the contents are known.
// Not supported: the compression of ext2, features that this package does not
// know, and extended attributes but those with inline data.
//
// A file system that was not unmounted is read as it will be after recovery:
// through its journal, replayed in memory. Journals on other devices and fast
// commits are refused.
//
// The layout is that of the kernel's documentation, "ext4 Data Structures and
// Algorithms" (Documentation/filesystems/ext4).
package ext

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// fileSystem is one opened ext2, ext3 or ext4.
type fileSystem struct {
	r    io.ReaderAt
	sb   superblock
	info filesystem.Info

	blockSize     int64
	clusterBlocks int64 // blocks in a cluster; 1 without bigalloc
	blocks        int64 // s_blocks_count
	firstBlock    int64 // s_first_data_block, the first block of group 0
	groupBlocks   int64 // s_blocks_per_group
	groups        int64
	descSize      int64
	inodeBlocks   int64 // blocks of one group's inode table
	descsPerBlock int64
	descBlocks    int64 // blocks of the whole descriptor table
	oldDescBlocks int64 // those that lie behind every superblock: all, or s_first_meta_bg
	reservedDescs int64 // s_reserved_gdt_blocks
	checksumSeed  uint32
	castagnoli    *crc32.Table
	foreign       []extent.Extent // blocks of bitmaps and inode tables that lie outside their group, ascending
	freeClusters  int64           // by the descriptors
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads superblock
// and group descriptors; the bitmaps are read by Allocated, unless the counts
// of free blocks contradict each other.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	return filesystem.Opened(open(r, size))
}

func open(r io.ReaderAt, size int64) (*fileSystem, error) {
	sb, err := readSuperblock(r, size)
	if err != nil {
		return nil, err
	}
	f := &fileSystem{r: r, sb: sb, castagnoli: crc32.MakeTable(crc32.Castagnoli)}
	if err := f.geometry(size); err != nil {
		return nil, err
	}
	if sb.incompat()&incompatRecover != 0 {
		if f, err = f.recovered(size); err != nil {
			return nil, err
		}
	}
	sb = f.sb
	f.info = filesystem.Info{
		Type:      sb.name(),
		Label:     sb.label(),
		UUID:      filesystem.UUID(sb.uuid()),
		BlockSize: f.blockSize,
		Size:      f.blocks * f.blockSize,
		State:     sb.cleanliness(),
	}
	if err := f.scanDescriptors(); err != nil {
		return nil, err
	}
	return f, f.countUsed()
}

// recovered is the file system as it will be after the replay of its journal.
func (f *fileSystem) recovered(size int64) (*fileSystem, error) {
	r, err := f.replay()
	if err != nil {
		return nil, err
	}
	sb, err := readSuperblock(r, size)
	if err != nil {
		return nil, err
	}
	after := &fileSystem{r: r, sb: sb, castagnoli: f.castagnoli}
	if err := after.geometry(size); err != nil {
		return nil, err
	}
	if after.blocks != f.blocks || after.blockSize != f.blockSize {
		return nil, formatError(superOffset, "the journal changes the size of the file system")
	}
	le.PutUint32(sb[0x60:], sb.incompat()|incompatRecover) // on the volume it still must be replayed
	return after, nil
}

// countUsed takes the count of used bytes from the descriptors where they
// agree with the superblock, as they do after a clean unmount, and from the
// bitmaps otherwise.
func (f *fileSystem) countUsed() error {
	if f.info.State == filesystem.Clean && f.sb.freeBlocks() == f.freeClusters*f.clusterBlocks {
		f.info.Used = (f.blocks - f.sb.freeBlocks()) * f.blockSize
		if f.info.Used > 0 {
			return nil
		}
	}
	f.info.Used = 0 // while the bitmaps are counted: see Allocated
	used, err := extent.Sum(f.Allocated())
	f.info.Used = used
	return err
}

// Info describes the file system.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// readSuperblock reads the superblock at byte 1024 and checks its magic.
func readSuperblock(r io.ReaderAt, size int64) (superblock, error) {
	if size < superOffset+superSize {
		return nil, fmt.Errorf("ext: %w", filesystem.ErrFormat)
	}
	sb := make(superblock, superSize)
	if err := filesystem.ReadFull(r, sb, superOffset); err != nil {
		return nil, fmt.Errorf("ext: superblock: %w", err)
	}
	if sb.magic() != superMagic {
		return nil, fmt.Errorf("ext: %w", filesystem.ErrFormat)
	}
	return sb, nil
}

// formatError says what is wrong at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "ext", Offset: offset, What: fmt.Sprintf(format, args...)}
}

// cString is a string up to its first 0.
func cString(p []byte) string {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return string(p)
}

// Identify reads the superblock alone: what the file system calls itself,
// whether or not Open would take it. Used is by its own count.
func Identify(r io.ReaderAt, size int64) (filesystem.Info, error) {
	sb, err := readSuperblock(r, size)
	if err != nil {
		return filesystem.Info{}, err
	}
	if sb.revision() > 1 || sb.logBlockSize() > 6 || sb.blocks() == 0 || sb.inodesPerGroup() == 0 && sb.name() != "jbd" {
		return filesystem.Info{}, formatError(superOffset, "no superblock in spite of its magic")
	}
	info := filesystem.Info{
		Type:      sb.name(),
		Label:     sb.label(),
		UUID:      filesystem.UUID(sb.uuid()),
		BlockSize: 1024 << sb.logBlockSize(),
		State:     sb.cleanliness(),
	}
	if blocks := sb.blocks(); blocks < 1<<46 {
		info.Size = int64(blocks) * info.BlockSize
		info.Used = (int64(blocks) - min(max(sb.freeBlocks(), 0), int64(blocks))) * info.BlockSize
	}
	return info, nil
}
