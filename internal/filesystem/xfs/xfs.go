// Package xfs finds the blocks in use of XFS by its trees of free space. It
// does not read files, and it repairs nothing.
//
// Versions 4 and 5, block sizes from 512 bytes to 64 KiB, sectors from 512
// bytes to 32 KiB, any number of allocation groups, the last one shorter.
// Reflinks, reverse mappings and sparse inodes need no attention: what the
// tree of free space does not hold is in use, whoever holds it. Checksums,
// identities and addresses of all that is read are verified where the version
// has them.
//
// A file system that was not unmounted has State Recovery. It is read as it will
// be after recovery, through its log, replayed in memory; besides, all that
// recovery itself reads is in use. Not supported: a log or a real-time section
// on another device, a log of a machine of the other byte order or of a file
// system that was being grown, and features that this package does not know.
//
// The layout is that of "XFS Algorithms & Data Structures" (Silicon Graphics
// and others), held against volumes that mkfs.xfs and the kernel made and
// against what xfs_db and xfs_logprint print of them.
package xfs

import (
	"fmt"
	"hash/crc32"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// fileSystem is one opened XFS.
type fileSystem struct {
	r    io.ReaderAt
	size int64 // bytes of the volume
	sb   superblock
	info filesystem.Info

	blockSize  int64 // bytes
	sectorSize int64 // bytes
	blocks     int64 // sb_dblocks
	agBlocks   int64 // sb_agblocks, of every allocation group but the last
	agCount    int64
	logStart   int64  // block of the internal log, counted from the start of the volume
	logBlocks  int64  // sb_logblocks
	uuid       []byte // as the metadata of version 5 bear it
	castagnoli *crc32.Table

	log      ring
	logEnd   *logEnd          // nil where logError is set
	logError error            // why the end of the log is not understood
	images   map[int64]*image // by byte of the volume: what recovery will write; nil where there is none
	touched  []extent.Extent  // whole blocks that recovery may read
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads the
// superblock, the head of each allocation group and the end of the log; the
// trees are read by Allocated. Where the file system was not unmounted it reads
// the log and the trees.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	return filesystem.Opened(open(r, size))
}

// Identify describes the file system without the count of bytes in use, for
// which a log that can't be replayed would have to be.
func Identify(r io.ReaderAt, size int64) (filesystem.Info, error) {
	f, err := identify(r, size)
	if err != nil {
		return filesystem.Info{}, err
	}
	return f.info, nil
}

func open(r io.ReaderAt, size int64) (*fileSystem, error) {
	f, err := identify(r, size)
	if err != nil {
		return nil, err
	}
	if f.info.State != filesystem.Recovery {
		return f, f.countUsed()
	}
	if err := f.replayLog(); err != nil {
		return nil, err
	}
	f.info.Label = f.sb.label()
	return f, f.countBlocks()
}

func identify(r io.ReaderAt, size int64) (*fileSystem, error) {
	f := &fileSystem{r: r, castagnoli: crc32.MakeTable(crc32.Castagnoli)}
	if err := f.readSuperblock(size); err != nil {
		return nil, err
	}
	if err := f.geometry(size); err != nil {
		return nil, err
	}
	f.info = filesystem.Info{
		Type:       "xfs",
		Label:      f.sb.label(),
		UUID:       f.sb.uuidString(),
		BlockSize:  f.blockSize,
		SectorSize: f.sectorSize,
		Size:       f.blocks * f.blockSize,
	}
	clean, err := f.readLog()
	switch {
	case err != nil:
		return nil, err
	case !clean:
		f.info.State = filesystem.Recovery
	case f.sb.incompat()&incompatNeedsRepair != 0:
		f.info.State = filesystem.Dirty
	default:
		f.info.State = filesystem.Clean
	}
	return f, nil
}

// Info describes the file system.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// countUsed takes the count of used bytes from the allocation groups.
// Allocated checks it against the trees.
func (f *fileSystem) countUsed() error {
	used := f.blocks
	for n := range f.agCount {
		g, err := f.readGroup(n)
		if err != nil {
			return err
		}
		used -= g.free
	}
	f.info.Used = used * f.blockSize
	return nil
}

// countBlocks counts the used bytes where groups do not tell all.
func (f *fileSystem) countBlocks() (err error) {
	f.info.Used, err = extent.Sum(f.Allocated())
	return err
}

// checksum is the CRC of a block or sector of version 5, whose own four bytes
// at off count as zero.
func (f *fileSystem) checksum(p []byte, off int) uint32 {
	crc := crc32.Update(0, f.castagnoli, p[:off])
	crc = crc32.Update(crc, f.castagnoli, make([]byte, 4))
	return crc32.Update(crc, f.castagnoli, p[off+4:])
}

func formatError(off int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "xfs", Offset: off, What: fmt.Sprintf(format, args...)}
}

// Stamps implements filesystem.Stamped: the log, which has what was done last.
func (f *fileSystem) Stamps() []extent.Extent {
	return []extent.Extent{{Offset: f.logStart * f.blockSize, Length: f.logBlocks * f.blockSize}}
}
