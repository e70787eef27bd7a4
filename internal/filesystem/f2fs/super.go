package f2fs

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"

	"doppel.live/internal/filesystem"
)

const (
	superMagic  = 0xF2F52010
	superOffset = 1024 // bytes from the start of blocks 0 and 1
	superSize   = 3072 // bytes
	superCRC    = 3068 // where the checksum lies

	segmentBlocks = 512
)

// Features, as dump.f2fs names their bits. Those of known change nothing of
// where blocks are counted.
const (
	featureZoned       = 0x2    // blkzoned
	featureFlexInline  = 0x40   // flexible_inline_xattr
	featureSuperCRC    = 0x800  // sb_checksum
	featureReadOnly    = 0x4000 // ro: there is no SSA
	featureDeviceAlias = 0x8000 // files that stand for other devices

	known = 0x1 | // encrypt
		0x4 | // atomic_write
		0x8 | // extra_attr
		0x10 | // project_quota
		0x20 | // inode_checksum
		featureFlexInline |
		0x80 | // quota
		0x100 | // inode_crtime
		0x200 | // lost_found
		0x400 | // verity
		featureSuperCRC |
		0x1000 | // casefold
		0x2000 | // compression
		featureReadOnly
)

// superblock is the one at byte 1024 of block 0; block 1 holds a copy.
type superblock []byte

func (s superblock) magic() uint32        { return le.Uint32(s[0:]) }
func (s superblock) logBlockSize() uint32 { return le.Uint32(s[16:]) }
func (s superblock) logSegment() uint32   { return le.Uint32(s[20:]) } // log_blocks_per_seg
func (s superblock) blockSize() int64     { return 1 << s.logBlockSize() }
func (s superblock) blocks() uint64       { return le.Uint64(s[36:]) }          // block_count
func (s superblock) word(at int) int64    { return int64(le.Uint32(s[at:])) }   // of 32 bits
func (s superblock) payload() int64       { return int64(le.Uint32(s[1664:])) } // cp_payload, blocks
func (s superblock) features() uint32     { return le.Uint32(s[2180:]) }
func (s superblock) secondDevice() bool   { return s[2201] != 0 } // devs[0].path

func (s superblock) uuid() string { return filesystem.UUID(s[108:124]) }

// label is volume_name.
func (s superblock) label() string { return filesystem.UTF16(s[124:124+1024], le) }

// readSuperblocks reads both superblocks. They must agree in everything but
// the versions and errors that Linux notes in them.
func readSuperblocks(r io.ReaderAt, size int64) (superblock, error) {
	if size < superOffset+superSize {
		return nil, fmt.Errorf("f2fs: %w", filesystem.ErrFormat)
	}
	sb := make(superblock, superSize)
	if err := readFull(r, sb, superOffset); err != nil {
		return nil, err
	}
	if sb.magic() != superMagic {
		return nil, fmt.Errorf("f2fs: %w", filesystem.ErrFormat)
	}
	if err := sb.check(superOffset); err != nil {
		return nil, err
	}
	at := sb.blockSize() + superOffset
	if size < at+superSize {
		return nil, formatError(superOffset, "a superblock on a volume of %d bytes", size)
	}
	second := make(superblock, superSize)
	if err := readFull(r, second, at); err != nil {
		return nil, err
	}
	if second.magic() != superMagic {
		return nil, formatError(at, "no second superblock")
	}
	if err := second.check(at); err != nil {
		return nil, err
	}
	for _, part := range [][2]int{{0, 1148}, {1664, 1668}, {2180, 2745}} {
		if !bytes.Equal(sb[part[0]:part[1]], second[part[0]:part[1]]) {
			return nil, formatError(at, "the second superblock differs from the first one")
		}
	}
	return sb, nil
}

// check refuses what this package does not read.
func (s superblock) check(at int64) error {
	switch unknown := s.features() &^ known; {
	case s.logBlockSize() != 12:
		return formatError(at+16, "blocks of 2^%d bytes: only those of 4096 are supported", s.logBlockSize())
	case s.logSegment() != 9:
		return formatError(at+20, "segments of 2^%d blocks", s.logSegment())
	case s.features()&featureZoned != 0:
		return formatError(at+2180, "a zoned device: not supported")
	case s.secondDevice(), s.features()&featureDeviceAlias != 0:
		return formatError(at+2201, "it lies on several devices: not supported")
	case unknown != 0:
		return formatError(at+2180, "unknown features %#x", unknown)
	case s.features()&featureSuperCRC != 0 && (s.word(32) != superCRC || crc(superMagic, s[:superCRC]) != le.Uint32(s[superCRC:])):
		return formatError(at+superCRC, "wrong checksum of the superblock")
	}
	return nil
}

// crc is CRC-32 without the inversions at both ends, as F2FS uses it.
func crc(seed uint32, p []byte) uint32 {
	return ^crc32.Update(^seed, crc32.IEEETable, p)
}

// areas is where things lie, in blocks from the start of the volume, in their
// order.
type areas struct {
	checkpoint, sit, nat, ssa, main int64
	segments                        int64 // of the main area
	blocks                          int64 // of the whole file system

	sitBlocks, natBlocks int64 // of one of the two copies
}

// end is the block behind the last segment.
func (a areas) end() int64 { return a.main + a.segments*segmentBlocks }

// holds says whether a block lies in the main area.
func (a areas) holds(block int64) bool { return block >= a.main && block < a.end() }

// areas reads the geometry; each area must begin where the one before ends.
func (s superblock) areas(size int64) (areas, error) {
	const segments = 52 // segment_count_ckpt, _sit, _nat, _ssa, _main, segment0_blkaddr, cp_blkaddr and so on
	if s.blocks() > uint64(size/s.blockSize()) {
		return areas{}, formatError(superOffset+36, "%d blocks on a volume of %d bytes", s.blocks(), size)
	}
	a := areas{
		checkpoint: s.word(76), sit: s.word(80), nat: s.word(84), ssa: s.word(88), main: s.word(92),
		segments: s.word(68), blocks: int64(s.blocks()),
		sitBlocks: s.word(56) / 2 * segmentBlocks, natBlocks: s.word(60) / 2 * segmentBlocks,
	}
	at := s.word(72) // segment0_blkaddr
	if at < 2 {
		return a, formatError(superOffset+72, "segment 0 in block %d", at)
	}
	for i, want := range []int64{a.checkpoint, a.sit, a.nat, a.ssa, a.main} {
		if at != want {
			return a, formatError(superOffset+76+int64(i)*4, "an area in block %d, not %d", want, at)
		}
		at += s.word(segments+4*i) * segmentBlocks
	}
	switch {
	case at > a.blocks:
		return a, formatError(superOffset+68, "segments up to block %d of %d", at, a.blocks)
	case s.word(52) < 2, s.payload() >= segmentBlocks:
		return a, formatError(superOffset+52, "%d segments of checkpoints, %d blocks of bitmaps in each", s.word(52), s.payload())
	case s.word(56)%2 != 0, s.word(60)%2 != 0, a.natBlocks == 0:
		return a, formatError(superOffset+56, "%d segments of SIT, %d of NAT: not twice the same", s.word(56), s.word(60))
	case a.segments == 0, a.segments > a.sitBlocks*entriesPerBlock(s.blockSize()):
		return a, formatError(superOffset+68, "%d segments in a SIT of %d blocks", a.segments, a.sitBlocks)
	case a.segments > s.word(64)*segmentBlocks && (s.features()&featureReadOnly == 0 || s.word(64) != 0):
		return a, formatError(superOffset+64, "%d segments with %d segments of SSA", a.segments, s.word(64))
	}
	return a, nil
}
