// Package btrfs finds the bytes in use of a btrfs on one device by its extent
// tree. It does not read files, and it repairs nothing.
//
// All sizes of sectors and nodes, all checksums (crc32c, xxhash64, sha256,
// blake2b), data and metadata apart or mixed, skinny metadata, the block group
// tree, another metadata UUID. Every node that is read is verified, and the
// sum of the extents of each block group is held against the group's own
// count. Chunks may be single or DUP, or RAID0 of one stripe. Not supported:
// several devices, the other RAID profiles, zoned devices, the extent tree v2,
// the RAID stripe tree, and features that this package does not know.
//
// In use are the extents of the extent tree, through the chunk tree in every
// copy; the first MiB, which is left to boot loaders; the superblocks; and,
// after a crash, the blocks of the log trees and the extents that they name,
// which the extent tree does not hold yet. That is the state of the last
// transaction that was committed, and what was made durable since.
//
// The layout is that of "On-disk Format" in the documentation of btrfs
// (btrfs.readthedocs.io, dev/On-disk-format), where that is silent what
// `btrfs inspect-internal dump-super` and `dump-tree` show.
package btrfs

import (
	"bytes"
	"fmt"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

const reserved = 1 << 20 // bytes at the start of the device that btrfs does not touch

// fileSystem is one opened btrfs.
type fileSystem struct {
	r    io.ReaderAt
	sb   superblock
	sum  checksum
	info filesystem.Info

	sectorSize int64
	nodeSize   int64
	chunks     []chunk  // ascending by logical address, disjoint
	stripes    []stripe // ascending by place on the device, disjoint
	extentTree pointer
	fixed      []extent.Extent // of the device: in use without being in the extent tree
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads superblocks,
// chunks, block groups and the log; the extents are read by Allocated.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	return filesystem.Opened(open(r, size, checksumOf))
}

// open is Open with a choice of checksums, so that tests can do without.
func open(r io.ReaderAt, size int64, sums func(kind uint16) checksum) (*fileSystem, error) {
	sb, sum, err := readSuperblock(r, size, sums)
	if err != nil {
		return nil, err
	}
	f := &fileSystem{r: r, sb: sb, sum: sum, sectorSize: int64(sb.sectorSize()), nodeSize: int64(sb.nodeSize())}
	f.info = filesystem.Info{
		Type:      "btrfs",
		Label:     sb.labelString(),
		UUID:      filesystem.UUID(sb.fsid()),
		BlockSize: f.sectorSize,
		Size:      int64(sb.deviceBytes()),
		State:     sb.cleanliness(),
	}
	if err := f.loadChunks(); err != nil {
		return nil, err
	}
	groupTree, err := f.loadRoots()
	if err != nil {
		return nil, err
	}
	if err := f.loadGroups(groupTree); err != nil {
		return nil, err
	}
	if err := f.loadFixed(); err != nil {
		return nil, err
	}
	return f, f.countUsed()
}

// Info describes the file system.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// loadFixed lists what is in use without being in the extent tree.
func (f *fileSystem) loadFixed() error {
	list := []extent.Extent{{Length: min(reserved, f.info.Size)}}
	for _, at := range superOffsets() {
		if at+superSize <= f.info.Size {
			list = append(list, extent.Extent{Offset: at, Length: superSize})
		}
	}
	if f.sb.logRoot() != 0 {
		named, err := f.logged()
		if err != nil {
			return err
		}
		list = append(list, named...)
	}
	f.fixed = extent.Align(extent.Union(list), f.sectorSize, f.info.Size)
	return nil
}

// countUsed adds what the block groups count, copies included. Where some of
// it may be counted twice, the extents themselves are counted.
func (f *fileSystem) countUsed() (err error) {
	f.info.Used = extent.Total(f.fixed)
	simple := f.sb.logRoot() == 0
	for _, s := range f.stripes {
		f.info.Used += f.chunks[s.chunk].used
		simple = simple && s.physical >= reserved
	}
	if simple {
		return nil
	}
	f.info.Used, err = extent.Sum(f.Allocated())
	return err
}

// formatError says what is wrong at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "btrfs", Offset: offset, What: fmt.Sprintf(format, args...)}
}

// cString is a string up to its first 0.
func cString(p []byte) string {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return string(p)
}
