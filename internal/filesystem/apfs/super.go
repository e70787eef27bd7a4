package apfs

import (
	"fmt"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

const (
	minBlock = 4096  // bytes: NX_MINIMUM_BLOCK_SIZE
	maxBlock = 65536 // bytes: NX_MAXIMUM_BLOCK_SIZE

	// inPieces, in the number of blocks of a checkpoint area, says that the
	// area is not contiguous and its address that of a B-tree.
	inPieces = 1 << 31

	// maxDescriptors is the largest checkpoint descriptor area that is read,
	// in blocks: mkapfs makes 280 for 12 TiB.
	maxDescriptors = 1 << 16
)

// Incompatible features.
const (
	incompatVersion1 = 1 << 0 // NX_INCOMPAT_VERSION1
	incompatVersion2 = 1 << 1 // NX_INCOMPAT_VERSION2
	incompatFusion   = 1 << 8 // NX_INCOMPAT_FUSION
)

// superblock is the container's: behind the header of an object
//
//	32    4   "NXSB"                     152   8   identifier of the space manager
//	36    4   block size                 160   8   block of the object map
//	40    8   number of blocks           1240  16  blocked-out blocks
//	64    8   incompatible features      1256  8   block of their mapping tree
//	72    16  UUID                       1272  8   block of the EFI jumpstart
//	104   4   blocks of the descriptor   1296  16  blocks of the container's keybag
//	          area                       1392  16  blocks of the wrapped media keys
//	108   4   of the data area
//	112   8   first block of the descriptor area
//	120   8   first block of the data area
//	136   4   first block of this checkpoint within the descriptor area
//	140   4   its blocks there: maps, then the superblock
type superblock []byte

func (s superblock) xid() uint64          { return object(s).xid() }
func (s superblock) blockSize() int64     { return int64(le.Uint32(s[36:])) }  // nx_block_size
func (s superblock) blockCount() uint64   { return le.Uint64(s[40:]) }         // nx_block_count
func (s superblock) incompatible() uint64 { return le.Uint64(s[64:]) }         // nx_incompatible_features
func (s superblock) descBlocks() uint32   { return le.Uint32(s[104:]) }        // nx_xp_desc_blocks
func (s superblock) dataBlocks() uint32   { return le.Uint32(s[108:]) }        // nx_xp_data_blocks
func (s superblock) descBase() int64      { return int64(le.Uint64(s[112:])) } // nx_xp_desc_base
func (s superblock) dataBase() int64      { return int64(le.Uint64(s[120:])) } // nx_xp_data_base
func (s superblock) descIndex() uint32    { return le.Uint32(s[136:]) }        // nx_xp_desc_index
func (s superblock) descLen() uint32      { return le.Uint32(s[140:]) }        // nx_xp_desc_len
func (s superblock) spacemanOID() uint64  { return le.Uint64(s[152:]) }        // nx_spaceman_oid
func (s superblock) omap() int64          { return int64(le.Uint64(s[160:])) } // nx_omap_oid

// blockedOut are blocks that nothing may be put into, while a container is
// made smaller; evictTree is the tree of what must leave them.
func (s superblock) blockedOut() extent.Extent   { return s.prange(1240) }             // nx_blocked_out_prange
func (s superblock) evictTree() int64            { return int64(le.Uint64(s[1256:])) } // nx_evict_mapping_tree_oid
func (s superblock) jumpstart() int64            { return int64(le.Uint64(s[1272:])) } // nx_efi_jumpstart
func (s superblock) keylocker() extent.Extent    { return s.prange(1296) }             // nx_keylocker
func (s superblock) mkbLocker() extent.Extent    { return s.prange(1392) }             // nx_mkb_locker
func (s superblock) prange(at int) extent.Extent { return prange(s[at:]) }

// prange is a run of blocks: its first, and their number.
func prange(p []byte) extent.Extent {
	return extent.Extent{Offset: int64(le.Uint64(p)), Length: int64(le.Uint64(p[8:]))}
}

func (s superblock) uuid() string { return filesystem.UUID(s[72:88]) }

// readBlockZero reads the copy of a superblock in block 0. It may be older than
// the newest one.
func readBlockZero(r io.ReaderAt, size int64) (superblock, error) {
	if size < minBlock {
		return nil, fmt.Errorf("apfs: %w", filesystem.ErrFormat)
	}
	s := make(superblock, minBlock)
	if err := readFull(r, s, 0); err != nil {
		return nil, err
	}
	block := s.blockSize()
	if string(s[32:36]) != "NXSB" || block < minBlock || block > maxBlock || block&(block-1) != 0 {
		return nil, fmt.Errorf("apfs: %w", filesystem.ErrFormat)
	}
	if block > size {
		return nil, formatError(36, "blocks of %d bytes on a volume of %d", block, size)
	}
	s = make(superblock, block)
	if err := readFull(r, s, 0); err != nil {
		return nil, err
	}
	if !object(s).sound() {
		return nil, formatError(0, "the checksum of the superblock in block 0 does not fit")
	}
	return s, s.supported(0, size)
}

// supported says what is wrong with a superblock that lies at a byte of a
// volume of size bytes.
func (s superblock) supported(at, size int64) error {
	blocks := size / s.blockSize()
	switch {
	case object(s).kind() != typeSuperblock || object(s).oid() != 1:
		return formatError(at+8, "type %#x, identifier %d where a superblock must be", object(s).kind(), object(s).oid())
	case s.blockCount() == 0 || s.blockCount() > uint64(blocks):
		return formatError(at+40, "%d blocks of %d bytes on a volume of %d bytes", s.blockCount(), s.blockSize(), size)
	case s.incompatible()&incompatFusion != 0:
		return formatError(at+64, "a Fusion container lies on two devices")
	case s.incompatible()&incompatVersion1 != 0:
		return formatError(at+64, "version 1 of the format is not supported")
	case s.incompatible() != incompatVersion2:
		return formatError(at+64, "unknown features %#x", s.incompatible())
	case s.descBlocks()&inPieces != 0:
		return formatError(at+104, "a checkpoint descriptor area in several pieces is not supported")
	case s.dataBlocks()&inPieces != 0:
		return formatError(at+108, "a checkpoint data area in several pieces is not supported")
	case s.descBlocks() == 0 || s.descBlocks() > maxDescriptors:
		return formatError(at+104, "a checkpoint descriptor area of %d blocks", s.descBlocks())
	case !within(s.descBase(), int64(s.descBlocks()), 1, int64(s.blockCount())-1):
		return formatError(at+112, "the checkpoint descriptor area, %d blocks from %d on, leaves the container", s.descBlocks(), s.descBase())
	case s.dataBlocks() == 0 || !within(s.dataBase(), int64(s.dataBlocks()), 1, int64(s.blockCount())-1):
		return formatError(at+120, "the checkpoint data area, %d blocks from %d on, leaves the container", s.dataBlocks(), s.dataBase())
	}
	return nil
}
