package xfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"doppel.live/internal/filesystem"
)

var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

// superblock is the first sector of the volume, sb_sectsize bytes.
//
//	0    4   sb_magicnum "XFSB"       104  2   sb_inodesize
//	4    4   sb_blocksize             108  12  sb_fname
//	8    8   sb_dblocks               120  1   sb_blocklog
//	16   8   sb_rblocks               121  1   sb_sectlog
//	32   16  sb_uuid                  124  1   sb_agblklog
//	48   8   sb_logstart              126  1   sb_inprogress
//	84   4   sb_agblocks              179  1   sb_shared_vn
//	88   4   sb_agcount               200  4   sb_features2
//	96   4   sb_logblocks             204  4   sb_bad_features2
//	100  2   sb_versionnum
//	102  2   sb_sectsize
//
// and in version 5
//
//	208  4   sb_features_compat       224  4   sb_crc, little-endian
//	212  4   sb_features_ro_compat    240  8   sb_lsn
//	216  4   sb_features_incompat     248  16  sb_meta_uuid
//	220  4   sb_features_log_incompat
type superblock []byte

const (
	superSize = 512 // bytes that are defined, at least
	superCRC  = 224
)

func (s superblock) blockSize() uint32   { return be.Uint32(s[4:]) }
func (s superblock) blocks() uint64      { return be.Uint64(s[8:]) }
func (s superblock) rtBlocks() uint64    { return be.Uint64(s[16:]) }
func (s superblock) uuid() []byte        { return s[32:48] }
func (s superblock) logStart() uint64    { return be.Uint64(s[48:]) }
func (s superblock) agBlocks() int64     { return int64(be.Uint32(s[84:])) }
func (s superblock) agCount() int64      { return int64(be.Uint32(s[88:])) }
func (s superblock) logBlocks() int64    { return int64(be.Uint32(s[96:])) }
func (s superblock) versionFlags() int   { return int(be.Uint16(s[100:])) }
func (s superblock) version() int        { return s.versionFlags() & 0xF }
func (s superblock) sectorSize() int64   { return int64(be.Uint16(s[102:])) }
func (s superblock) blockLog() uint      { return uint(s[120]) }
func (s superblock) agBlockLog() uint    { return uint(s[124]) }
func (s superblock) inProgress() bool    { return s[126] != 0 }
func (s superblock) sharedVersion() byte { return s[179] }
func (s superblock) metaUUID() []byte    { return s[248:264] }

func (s superblock) label() string {
	name, _, _ := bytes.Cut(s[108:120], []byte{0})
	return string(name)
}

func (s superblock) uuidString() string { return filesystem.UUID(s.uuid()) }

// features2 is sb_features2, which some machines once wrote four bytes behind
// its place.
func (s superblock) features2() uint32 { return be.Uint32(s[200:]) | be.Uint32(s[204:]) }

// incompat is sb_features_incompat, of version 5.
func (s superblock) incompat() uint32 {
	if s.version() < 5 {
		return 0
	}
	return be.Uint32(s[216:])
}

// logIncompat is sb_features_log_incompat, of version 5: what may be in the log.
func (s superblock) logIncompat() uint32 {
	if s.version() < 5 {
		return 0
	}
	return be.Uint32(s[220:])
}

// sb_versionnum, sb_features2 and sb_features_incompat. The features of
// sb_features_ro_compat leave the tree of free space as it is: who does not
// know them may still read.
const (
	versionShared   = 0x0200
	versionMoreBits = 0x8000

	features2Known = 0x2 | // lazy counters
		0x8 | // second version of attributes
		0x10 | // parent pointers
		0x80 | // 32-bit project identifiers
		0x100 | // checksums
		0x200 // file types in directories

	incompatMetaUUID    = 0x4
	incompatNeedsRepair = 0x10
	incompatKnown       = 0x1 | // file types in directories
		0x2 | // sparse inodes
		incompatMetaUUID |
		0x8 | // times beyond 2038
		incompatNeedsRepair |
		0x20 | // 64-bit counts of extents
		0x40 | // exchange of ranges
		0x80 // parent pointers

	logIncompatKnown = 0x1 // intents to change attributes
)

// readSuperblock reads the first sector and checks magic and checksum.
func (f *fileSystem) readSuperblock(size int64) error {
	if size < superSize {
		return filesystem.ErrFormat
	}
	sb := make(superblock, superSize)
	if err := filesystem.ReadFull(f.r, sb, 0); err != nil {
		return fmt.Errorf("xfs: superblock: %w", err)
	}
	if string(sb[:4]) != "XFSB" {
		return filesystem.ErrFormat
	}
	n := sb.sectorSize()
	if n < 512 || n > 32768 || n&(n-1) != 0 || n > size {
		return formatError(102, "sectors of %d bytes", n)
	}
	sb = make(superblock, n)
	if err := filesystem.ReadFull(f.r, sb, 0); err != nil {
		return fmt.Errorf("xfs: superblock: %w", err)
	}
	f.sb, f.sectorSize, f.size = sb, n, size
	if err := sb.supported(); err != nil {
		return err
	}
	if sb.version() >= 5 && f.checksum(sb, superCRC) != le.Uint32(sb[superCRC:]) {
		return formatError(superCRC, "wrong checksum of the superblock")
	}
	return nil
}

// supported refuses what could make the trees mean something else.
func (s superblock) supported() error {
	switch v := s.version(); {
	case v != 4 && v != 5:
		return formatError(100, "version %d", v)
	case s.versionFlags()&versionMoreBits != 0 && s.features2()&^features2Known != 0:
		return formatError(200, "unknown features %#x", s.features2()&^features2Known)
	case s.incompat()&^incompatKnown != 0:
		return formatError(216, "unknown features %#x", s.incompat()&^incompatKnown)
	case s.versionFlags()&versionShared != 0 && s.sharedVersion() != 0:
		return formatError(179, "shared by several machines, version %d", s.sharedVersion())
	case s.inProgress():
		return formatError(126, "mkfs.xfs did not finish")
	case s.logStart() == 0:
		return formatError(48, "its log lies on another device")
	case s.rtBlocks() != 0:
		return formatError(16, "it has a real-time section on another device")
	}
	return nil
}

// geometry takes the layout from the superblock and checks that it fits itself
// and the volume of size bytes.
func (f *fileSystem) geometry(size int64) error {
	sb := f.sb
	f.blockSize = int64(sb.blockSize())
	if f.blockSize < 512 || f.blockSize > 65536 || sb.blockLog() > 16 || f.blockSize != 1<<sb.blockLog() || f.blockSize < f.sectorSize {
		return formatError(4, "block size %d in sectors of %d bytes", f.blockSize, f.sectorSize)
	}
	if sb.blocks() > uint64(size/f.blockSize) {
		return formatError(8, "%d blocks of %d bytes on a volume of %d bytes", sb.blocks(), f.blockSize, size)
	}
	f.blocks, f.agBlocks, f.agCount = int64(sb.blocks()), sb.agBlocks(), sb.agCount()
	if f.agBlocks == 0 || f.agBlocks*f.blockSize > 1<<40 || sb.agBlockLog() != uint(bits.Len64(uint64(f.agBlocks-1))) {
		return formatError(84, "allocation groups of %d blocks, log2 %d", f.agBlocks, sb.agBlockLog())
	}
	if f.agCount != (f.blocks+f.agBlocks-1)/f.agBlocks {
		return formatError(88, "%d allocation groups of %d blocks for %d blocks", f.agCount, f.agBlocks, f.blocks)
	}
	if f.agCount == 0 || f.groupLength(f.agCount-1) <= f.headBlocks() {
		return formatError(8, "%d blocks leave nothing behind the head of the last allocation group", f.blocks)
	}
	f.uuid = sb.uuid()
	if sb.incompat()&incompatMetaUUID != 0 {
		f.uuid = sb.metaUUID()
	}
	// The upper bits of sb_logstart are the allocation group, the lower
	// sb_agblklog ones the block in it.
	n, block := sb.logStart()>>sb.agBlockLog(), int64(sb.logStart()&(1<<sb.agBlockLog()-1))
	f.logBlocks = sb.logBlocks()
	if n >= uint64(f.agCount) || block < f.headBlocks() || f.logBlocks == 0 || f.logBlocks > f.groupLength(int64(n))-block {
		return formatError(48, "a log of %d blocks at block %d of allocation group %d", f.logBlocks, block, n)
	}
	f.logStart = int64(n)*f.agBlocks + block
	return nil
}

// groupLength is the length of an allocation group in blocks.
func (f *fileSystem) groupLength(n int64) int64 {
	return min(f.agBlocks, f.blocks-n*f.agBlocks)
}

// headBlocks is the number of blocks of the four sectors that begin every
// allocation group: a superblock, AGF, AGI and AGFL.
func (f *fileSystem) headBlocks() int64 {
	return (4*f.sectorSize + f.blockSize - 1) / f.blockSize
}
