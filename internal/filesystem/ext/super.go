package ext

import (
	"encoding/binary"
	"hash/crc32"

	"doppel.live/internal/filesystem"
)

var le = binary.LittleEndian

const (
	superOffset = 1024 // bytes
	superSize   = 1024 // bytes
	superMagic  = 0xEF53
)

// superblock is the primary superblock, as read.
type superblock []byte

func (s superblock) blocks() uint64         { return s.wide(0x04, 0x150) }        // s_blocks_count
func (s superblock) inodes() int64          { return int64(le.Uint32(s[0x00:])) } // s_inodes_count
func (s superblock) firstDataBlock() int64  { return int64(le.Uint32(s[0x14:])) }
func (s superblock) logBlockSize() uint32   { return le.Uint32(s[0x18:]) }
func (s superblock) logClusterSize() uint32 { return le.Uint32(s[0x1C:]) }
func (s superblock) blocksPerGroup() int64  { return int64(le.Uint32(s[0x20:])) }
func (s superblock) clustersPerGroup() int64 {
	return int64(le.Uint32(s[0x24:]))
}
func (s superblock) inodesPerGroup() int64   { return int64(le.Uint32(s[0x28:])) }
func (s superblock) magic() uint16           { return le.Uint16(s[0x38:]) }
func (s superblock) state() uint16           { return le.Uint16(s[0x3A:]) }
func (s superblock) revision() uint32        { return le.Uint32(s[0x4C:]) } // s_rev_level
func (s superblock) compat() uint32          { return s.feature(0x5C) }
func (s superblock) incompat() uint32        { return s.feature(0x60) }
func (s superblock) roCompat() uint32        { return s.feature(0x64) }
func (s superblock) uuid() []byte            { return s[0x68:0x78] }
func (s superblock) label() string           { return cString(s[0x78:0x88]) } // s_volume_name
func (s superblock) reservedGDT() int64      { return int64(le.Uint16(s[0xCE:])) }
func (s superblock) journalInode() uint32    { return le.Uint32(s[0xE0:]) } // s_journal_inum
func (s superblock) descSize() int64         { return int64(le.Uint16(s[0xFE:])) }
func (s superblock) firstMetaBG() int64      { return int64(le.Uint32(s[0x104:])) }
func (s superblock) checksumSeed() uint32    { return le.Uint32(s[0x270:]) }
func (s superblock) checksum() uint32        { return le.Uint32(s[0x3FC:]) }
func (s superblock) backupGroup(i int) int64 { return int64(le.Uint32(s[0x24C+4*i:])) } // s_backup_bgs

// freeBlocks is s_free_blocks_count; blocks, not clusters.
func (s superblock) freeBlocks() int64 { return int64(s.wide(0x0C, 0x158)) }

// wide joins the halves of a 64-bit count; the upper one counts with 64bit only.
func (s superblock) wide(lo, hi int) uint64 {
	v := uint64(le.Uint32(s[lo:]))
	if s.incompat()&incompat64Bit != 0 {
		v |= uint64(le.Uint32(s[hi:])) << 32
	}
	return v
}

// feature reads a feature word; revision 0 has none.
func (s superblock) feature(off int) uint32 {
	if s.revision() == 0 {
		return 0
	}
	return le.Uint32(s[off:])
}

// firstInode is s_first_ino: those before it are the file system's own.
func (s superblock) firstInode() int64 {
	if s.revision() == 0 {
		return 11
	}
	return int64(le.Uint32(s[0x54:]))
}

// inodeSize is s_inode_size, in bytes.
func (s superblock) inodeSize() int64 {
	if s.revision() == 0 {
		return 128
	}
	return int64(le.Uint16(s[0x58:]))
}

// s_feature_compat, s_feature_incompat and s_feature_ro_compat, as far as they
// matter here.
const (
	compatHasJournal   = 0x4
	compatFastCommit   = 0x400
	compatSparseSuper2 = 0x200

	incompatCompression = 0x1
	incompatFileType    = 0x2
	incompatRecover     = 0x4
	incompatJournalDev  = 0x8
	incompatMetaBG      = 0x10
	incompatExtents     = 0x40
	incompat64Bit       = 0x80
	incompatMMP         = 0x100
	incompatFlexBG      = 0x200
	incompatEAInode     = 0x400
	incompatDirData     = 0x1000
	incompatCsumSeed    = 0x2000
	incompatLargeDir    = 0x4000
	incompatInlineData  = 0x8000
	incompatEncrypt     = 0x10000
	incompatCasefold    = 0x20000
	incompatKnown       = incompatFileType | incompatRecover | incompatMetaBG | incompatExtents | incompat64Bit |
		incompatMMP | incompatFlexBG | incompatEAInode | incompatDirData | incompatCsumSeed | incompatLargeDir |
		incompatInlineData | incompatEncrypt | incompatCasefold

	roCompatSparseSuper  = 0x1
	roCompatLargeFile    = 0x2
	roCompatBtreeDir     = 0x4
	roCompatGDTCsum      = 0x10
	roCompatBigalloc     = 0x200
	roCompatMetadataCsum = 0x400
)

// name tells the three generations apart, as blkid does: ext4 has a feature
// that ext3 does not know, ext3 has a journal.
func (s superblock) name() string {
	const (
		ext3RoCompat = roCompatSparseSuper | roCompatLargeFile | roCompatBtreeDir
		ext3Incompat = incompatFileType | incompatRecover | incompatMetaBG
	)
	switch {
	case s.incompat()&incompatJournalDev != 0:
		return "jbd"
	case s.roCompat()&^ext3RoCompat != 0 || s.incompat()&^ext3Incompat != 0:
		return "ext4"
	case s.compat()&compatHasJournal != 0:
		return "ext3"
	}
	return "ext2"
}

// cleanliness reads s_state: 1 cleanly unmounted, 2 errors were found, 4
// orphans are being recovered.
func (s superblock) cleanliness() filesystem.State {
	switch {
	case s.state()&2 != 0:
		return filesystem.Dirty
	case s.incompat()&incompatRecover != 0:
		return filesystem.Recovery
	case s.state()&3 == 1:
		return filesystem.Clean
	}
	return filesystem.Dirty
}

// geometry takes the layout from the superblock and checks that it fits itself
// and the volume of size bytes.
func (f *fileSystem) geometry(size int64) error {
	sb := f.sb
	if err := sb.supported(); err != nil {
		return err
	}
	if sb.roCompat()&roCompatMetadataCsum != 0 {
		if sum := f.crc32c(^uint32(0), sb[:0x3FC]); sum != sb.checksum() {
			return formatError(superOffset+0x3FC, "wrong checksum of the superblock")
		}
	}
	f.checksumSeed = f.crc32c(^uint32(0), sb.uuid())
	if sb.incompat()&incompatCsumSeed != 0 {
		f.checksumSeed = sb.checksumSeed()
	}
	if sb.logBlockSize() > 6 {
		return formatError(superOffset+0x18, "block size 2^%d KiB", sb.logBlockSize())
	}
	f.blockSize = 1024 << sb.logBlockSize()
	f.clusterBlocks = 1
	if sb.roCompat()&roCompatBigalloc != 0 {
		if sb.logClusterSize() < sb.logBlockSize() || sb.logClusterSize() > sb.logBlockSize()+16 {
			return formatError(superOffset+0x1C, "cluster size 2^%d KiB", sb.logClusterSize())
		}
		f.clusterBlocks = 1 << (sb.logClusterSize() - sb.logBlockSize())
	}
	f.firstBlock = sb.firstDataBlock()
	if f.firstBlock > 1 || f.firstBlock == 1 && f.blockSize != 1024 {
		return formatError(superOffset+0x14, "first data block %d", f.firstBlock)
	}
	if sb.blocks() > uint64(size/f.blockSize) {
		return formatError(superOffset+0x04, "%d blocks of %d bytes on a volume of %d bytes", sb.blocks(), f.blockSize, size)
	}
	f.blocks = int64(sb.blocks())
	if f.blocks <= f.firstBlock {
		return formatError(superOffset+0x04, "%d blocks", f.blocks)
	}
	return f.groupGeometry()
}

// supported refuses what could make the bitmaps mean something else.
func (s superblock) supported() error {
	switch unknown := s.incompat() &^ incompatKnown; {
	case s.revision() > 1:
		return formatError(superOffset+0x4C, "revision %d", s.revision())
	case unknown&incompatJournalDev != 0:
		return formatError(superOffset+0x60, "the journal of another file system")
	case unknown != 0:
		return formatError(superOffset+0x60, "unknown features %#x", unknown)
	}
	return nil
}

// groupGeometry is geometry for the block groups and their descriptors.
func (f *fileSystem) groupGeometry() error {
	sb := f.sb
	f.groupBlocks = sb.blocksPerGroup()
	clusters := f.groupBlocks / f.clusterBlocks
	if f.groupBlocks == 0 || f.groupBlocks%(8*f.clusterBlocks) != 0 || clusters > 8*f.blockSize ||
		f.clusterBlocks > 1 && clusters != sb.clustersPerGroup() {
		return formatError(superOffset+0x20, "%d blocks in a group", f.groupBlocks)
	}
	f.groups = (f.blocks - f.firstBlock + f.groupBlocks - 1) / f.groupBlocks
	f.descSize = 32
	if sb.incompat()&incompat64Bit != 0 {
		f.descSize = sb.descSize()
		if f.descSize < 64 || f.descSize > f.blockSize || f.descSize&(f.descSize-1) != 0 {
			return formatError(superOffset+0xFE, "group descriptors of %d bytes", f.descSize)
		}
	}
	if n := sb.inodeSize(); n < 128 || n > f.blockSize || n&(n-1) != 0 {
		return formatError(superOffset+0x58, "inodes of %d bytes", n)
	}
	if n := sb.inodesPerGroup(); n == 0 || n > 8*f.blockSize {
		return formatError(superOffset+0x28, "%d inodes in a group", n)
	}
	f.inodeBlocks = (sb.inodesPerGroup()*sb.inodeSize() + f.blockSize - 1) / f.blockSize
	f.descsPerBlock = f.blockSize / f.descSize
	f.descBlocks = (f.groups + f.descsPerBlock - 1) / f.descsPerBlock
	f.oldDescBlocks = f.descBlocks
	if sb.incompat()&incompatMetaBG != 0 {
		f.oldDescBlocks = min(sb.firstMetaBG(), f.descBlocks)
	} else {
		f.reservedDescs = sb.reservedGDT()
	}
	return nil
}

// crc32c is the checksum of ext4: the Castagnoli CRC that starts with crc and
// is not inverted at its end.
func (f *fileSystem) crc32c(crc uint32, p []byte) uint32 {
	return ^crc32.Update(^crc, f.castagnoli, p)
}
