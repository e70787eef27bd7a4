package hfsplus

import (
	"math/bits"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// header is the volume header, at byte 1024 of the volume; a copy lies 1024
// bytes before its end. The last 512 bytes are reserved.
//
//	0   2  signature "H+", "HX"     44   4   totalBlocks
//	2   2  version 4, 5             48   4   freeBlocks
//	4   4  attributes               80   32  finderInfo; its last 8 bytes make the UUID
//	8   4  lastMountedVersion       112  80  allocationFile
//	12  4  journalInfoBlock         192  80  extentsFile
//	40  4  blockSize                272  80  catalogFile
//	                                352  80  attributesFile
//	                                432  80  startupFile
type header []byte

const (
	headerOffset = 1024 // bytes
	headerSize   = 512

	volumeUnmounted    = 1 << 8 // bits of the attributes
	volumeInconsistent = 1 << 11
	volumeJournaled    = 1 << 13

	maxBlockSize = 1 << 30
)

func (h header) attributes() uint32        { return be.Uint32(h[4:]) }
func (h header) has(attribute uint32) bool { return h.attributes()&attribute != 0 }
func (h header) lastMounted() string       { return string(h[8:12]) }
func (h header) journalInfoBlock() int64   { return int64(be.Uint32(h[12:])) }
func (h header) blockSize() int64          { return int64(be.Uint32(h[40:])) }
func (h header) blocks() int64             { return int64(be.Uint32(h[44:])) } // totalBlocks
func (h header) free() int64               { return int64(be.Uint32(h[48:])) } // freeBlocks

// isHeader says whether p begins as a header of HFS Plus or HFSX.
func isHeader(p []byte) bool {
	sig, version, block := string(p[:2]), be.Uint16(p[2:]), be.Uint32(p[40:])
	return (sig == "H+" && version == 4 || sig == "HX" && version == 5) &&
		block >= 512 && block <= maxBlockSize && bits.OnesCount32(block) == 1
}

func (h header) identity() filesystem.Info {
	return filesystem.Info{
		Type:      "hfsplus",
		UUID:      appleUUID(h[80+24 : 80+32]),
		BlockSize: h.blockSize(),
		Size:      h.blocks() * h.blockSize(),
		Used:      max(h.blocks()-h.free(), 0) * h.blockSize(),
		State:     h.state(),
	}
}

// state is what the attributes say.
func (h header) state() filesystem.State {
	if h.has(volumeInconsistent) || !h.has(volumeUnmounted) {
		return filesystem.Dirty
	}
	return filesystem.Clean
}

// openPlus opens the HFS Plus that lies from base to end.
func (f *fileSystem) openPlus(base, end int64) error {
	if end-base < 2*headerOffset {
		return formatError(base, "an HFS Plus of %d bytes", end-base)
	}
	v := &volume{r: f.r, base: base, size: end - base}
	p, err := read(v, headerOffset, headerSize)
	if err != nil {
		return err
	}
	if !isHeader(p) {
		return formatError(base+headerOffset, "no HFS Plus where the wrapper says")
	}
	h := header(p)
	v.blockSize, v.blocks = h.blockSize(), h.blocks()
	if v.blocks < 1 || v.blocks > v.size/v.blockSize {
		return formatError(base+headerOffset+44, "%d blocks of %d bytes on a volume of %d", v.blocks, v.blockSize, v.size)
	}
	f.info = h.identity()
	if h, err = v.openJournal(h); err != nil {
		return err
	}
	if v.log != nil && f.info.State != filesystem.Clean || v.log.holds() {
		f.info.State = filesystem.Recovery
	}
	if h.has(volumeInconsistent) {
		f.info.State = filesystem.Dirty
	}
	if f.info.Label, err = label(v, h); err != nil {
		return err
	}
	return f.openArea(v, h)
}

// openArea finds the bitmap and all that counts as used beside it.
func (f *fileSystem) openArea(v *volume, h header) error {
	bitmap, err := v.specialFiles(h)
	if err != nil {
		return err
	}
	if need := (v.blocks + 7) / 8; bitmap.size < need {
		return formatError(v.base+headerOffset+112, "an allocation file of %d bytes for %d blocks", bitmap.size, v.blocks)
	}
	v.reserve(0, headerOffset+headerSize)
	v.reserve(v.size-1024, v.size)
	if end := v.blocks * v.blockSize; v.size-end > max(maxSlack, v.blockSize) {
		v.reserve(end-1024, end)
	}
	f.area = area{first: v.base, blockSize: v.blockSize, blocks: v.blocks, bits: bitmap.bits, also: v.also}
	f.info.BlockSize = unit(v.base, v.blockSize)
	if err := f.findTail(v); err != nil {
		return err
	}
	return f.countUsed(h.free(), v.base+headerOffset+48)
}

// maxSlack is how many bytes may lie behind the last block and still count as
// used without a look.
const maxSlack = 64 << 10

// findTail finds what is kept behind the last block. On a volume that is no
// whole number of blocks the copy of the header lies there, as a rule:
//
//	│ block 0 │ … │ block 5118 │ some sectors │ copy │ reserved │
//
// Where much lies there, since the volume grew, only the sectors of such a
// copy count. Around a volume inside a wrapper all does.
func (f *fileSystem) findTail(v *volume) error {
	end := v.base + v.blocks*v.blockSize
	f.info.Size = f.size
	if v.base > 0 || f.size-end <= max(maxSlack, v.blockSize) {
		f.tail = extent.Append(nil, extent.Extent{Offset: end, Length: f.size - end})
		return nil
	}
	last := f.size - f.size%512 - 1024
	p, err := read(f.r, last, headerSize)
	switch {
	case err != nil:
		return err
	case isHeader(p):
		f.tail = extent.Align([]extent.Extent{{Offset: last, Length: f.size - last}}, f.info.BlockSize, f.size)
	default:
		f.info.Size = end
	}
	return nil
}
