package f2fs

import (
	"bytes"

	"doppel.live/internal/filesystem"
)

// Flags of a checkpoint, as dump.f2fs names them.
const (
	flagUnmount  = 0x1
	flagCompact  = 0x4 // compacted_summary
	flagError    = 0x8
	flagFsck     = 0x10
	flagLargeNAT = 0x400 // large_nat_bitmap
	flagDisabled = 0x1000
	flagResize   = 0x4000 // resizefs
)

// checkpoint is the first block of a checkpoint pack and the blocks of bitmaps
// behind it. The last block of the pack repeats the first.
type checkpoint struct {
	p     []byte
	at    int64 // block of the pack
	block int64 // bytes
}

func (c checkpoint) version() uint64         { return le.Uint64(c.p[0:]) }             // checkpoint_ver
func (c checkpoint) validBlocks() int64      { return int64(le.Uint64(c.p[16:])) }     // valid_block_count
func (c checkpoint) nodeSegment(i int) int64 { return int64(le.Uint32(c.p[36+4*i:])) } // cur_node_segno
func (c checkpoint) nodeOffset(i int) int64  { return int64(le.Uint16(c.p[68+2*i:])) } // cur_node_blkoff
func (c checkpoint) dataSegment(i int) int64 { return int64(le.Uint32(c.p[84+4*i:])) } // cur_data_segno
func (c checkpoint) flags() uint32           { return le.Uint32(c.p[132:]) }
func (c checkpoint) blocks() int64           { return int64(le.Uint32(c.p[136:])) } // cp_pack_total_block_count
func (c checkpoint) summaries() int64        { return int64(le.Uint32(c.p[140:])) } // cp_pack_start_sum, in blocks
func (c checkpoint) validNodes() int64       { return int64(le.Uint32(c.p[144:])) } // valid_node_count
func (c checkpoint) sitBitmapBytes() int64   { return int64(le.Uint32(c.p[156:])) }
func (c checkpoint) natBitmapBytes() int64   { return int64(le.Uint32(c.p[160:])) }
func (c checkpoint) checksumOffset() int64   { return int64(le.Uint32(c.p[164:])) }

const bitmapOffset = 192 // sit_nat_version_bitmap

// state says how the file system was left; behind tells of nodes that are newer
// than the checkpoint.
func (c checkpoint) state(behind bool) filesystem.State {
	switch {
	case c.flags()&(flagError|flagFsck|flagDisabled|flagResize) != 0:
		return filesystem.Dirty
	case c.flags()&flagUnmount == 0 || behind:
		return filesystem.Recovery
	}
	return filesystem.Clean
}

// currentSegments are the six that are being written to.
func (c checkpoint) currentSegments() []int64 {
	var list []int64
	for i := range 3 {
		list = append(list, c.nodeSegment(i), c.dataSegment(i))
	}
	return list
}

// valid checks the checksum of a checkpoint block. Where it lies right before
// the bitmaps, it covers what is behind it too.
func (c checkpoint) valid() bool {
	at := c.checksumOffset()
	if at < bitmapOffset || at > c.block-4 || at%4 != 0 {
		return false
	}
	sum := crc(superMagic, c.p[:at])
	if at < c.block-4 {
		sum = crc(sum, c.p[at+4:c.block])
	}
	return sum == le.Uint32(c.p[at:])
}

// bitmaps finds the version bitmaps of SIT and NAT: one bit for each of their
// blocks, set where the second copy is the one in force.
//
//	usual               SIT, NAT at byte 192
//	large_nat_bitmap    checksum at byte 192, NAT, SIT behind it
//	cp_payload blocks   NAT at byte 192, SIT in the blocks behind
func (c checkpoint) bitmaps(payload int64) (sit, nat []byte, err error) {
	n, s := c.natBitmapBytes(), c.sitBitmapBytes()
	sum := c.block - 4
	sitAt, natAt, sitEnd, natEnd := int64(bitmapOffset), bitmapOffset+s, sum, sum
	switch end := c.block * (1 + payload); {
	case c.flags()&flagLargeNAT != 0:
		natAt, sitAt, sitEnd, natEnd = bitmapOffset+4, bitmapOffset+4+n, end, end
	case payload > 0:
		natAt, sitAt, sitEnd = bitmapOffset, c.block, end
	}
	if sitAt+s > sitEnd || natAt+n > natEnd {
		return nil, nil, formatError(c.at*c.block+156, "bitmaps of %d and %d bytes have no room", s, n)
	}
	return c.p[sitAt : sitAt+s], c.p[natAt : natAt+n], nil
}

// readCheckpoint reads the first block of the pack at a block, and its bitmaps.
func (f *fileSystem) readCheckpoint(at int64) (checkpoint, error) {
	c := checkpoint{p: make([]byte, f.block*(1+f.sb.payload())), at: at, block: f.block}
	if err := readFull(f.r, c.p, at*f.block); err != nil {
		return c, err
	}
	if !c.valid() {
		return c, formatError(at*f.block, "wrong checksum of the checkpoint")
	}
	if n, first := c.blocks(), c.summaries(); n < 2+f.sb.payload() || n > segmentBlocks || first <= f.sb.payload() || first >= n {
		return c, formatError(at*f.block+136, "a checkpoint pack of %d blocks, with summaries in the %dth", n, first)
	}
	if c.sitBitmapBytes() != f.area.sitBlocks/8 || c.natBitmapBytes() != f.area.natBlocks/8 {
		return c, formatError(at*f.block+156, "bitmaps of %d and %d bytes for %d and %d blocks",
			c.sitBitmapBytes(), c.natBitmapBytes(), f.area.sitBlocks, f.area.natBlocks)
	}
	return c, nil
}

// whole says whether the pack was written to its end: its last block is then
// the same as its first.
func (f *fileSystem) whole(c checkpoint) (bool, error) {
	last := make([]byte, f.block)
	if err := f.readBlock(last, c.at+c.blocks()-1); err != nil {
		return false, err
	}
	return bytes.Equal(last, c.p[:f.block]), nil
}

// readCheckpoints reads both packs and gives the newest whole one. One that is
// newer and not whole was being written when the power went, or is damaged:
// what it says is in use counts too.
func (f *fileSystem) readCheckpoints() ([]view, error) {
	var packs []checkpoint
	var whole []bool
	for i := range int64(2) {
		c, err := f.readCheckpoint(f.area.checkpoint + i*segmentBlocks)
		if err != nil {
			return nil, err
		}
		ok, err := f.whole(c)
		if err != nil {
			return nil, err
		}
		packs, whole = append(packs, c), append(whole, ok)
	}
	newer := 0
	if int64(packs[1].version()-packs[0].version()) > 0 {
		newer = 1
	}
	older := 1 - newer
	if whole[newer] {
		v, err := f.readView(packs[newer])
		return []view{v}, err
	}
	if !whole[older] {
		return nil, formatError(f.area.checkpoint*f.block, "no checkpoint pack is whole")
	}
	v, err := f.readView(packs[older])
	if err != nil {
		return nil, err
	}
	torn, err := f.readView(packs[newer])
	return []view{v, torn}, err
}
