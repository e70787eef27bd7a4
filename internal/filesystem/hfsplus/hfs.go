package hfsplus

import (
	"bytes"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// masterBlock is the master directory block of HFS, at byte 1024 of the volume;
// a copy lies 1024 bytes before its end. Blocks are counted from drAlBlSt on,
// what precedes them is the boot blocks, this, and the bitmap.
//
//	0   2  drSigWord "BD"         34   2   drFreeBks
//	10  2  drAtrb                 36   28  drVN, the name, length first
//	14  2  drVBMSt, sectors       92   32  drFndrInfo; its last 8 bytes make the UUID
//	18  2  drNmAlBlks             124  2   drEmbedSigWord "H+", "HX"
//	20  4  drAlBlkSiz, bytes      126  4   drEmbedExtent: first block, blocks
//	28  2  drAlBlSt, sectors      134  12  drXTExtRec: 3 × first block, blocks
//	                              150  12  drCTExtRec
type masterBlock []byte

func (m masterBlock) attributes() uint32 { return uint32(be.Uint16(m[10:])) }
func (m masterBlock) blocks() int64      { return int64(be.Uint16(m[18:])) }
func (m masterBlock) blockSize() int64   { return int64(be.Uint32(m[20:])) }
func (m masterBlock) bitmap() int64      { return int64(be.Uint16(m[14:])) * 512 }
func (m masterBlock) first() int64       { return int64(be.Uint16(m[28:])) * 512 }
func (m masterBlock) free() int64        { return int64(be.Uint16(m[34:])) }

func (m masterBlock) valid() bool {
	return string(m[:2]) == "BD" && m.blockSize() > 0 && m.blockSize()%512 == 0
}

// wraps says whether an HFS Plus lies inside.
func (m masterBlock) wraps() bool {
	return string(m[124:126]) == "H+" || string(m[124:126]) == "HX"
}

// embedded is where that lies, from byte to byte of a volume of size bytes.
func (m masterBlock) embedded(size int64) (base, end int64, err error) {
	base = m.first() + int64(be.Uint16(m[126:]))*m.blockSize()
	end = base + int64(be.Uint16(m[128:]))*m.blockSize()
	if end > size {
		return 0, 0, formatError(headerOffset+126, "the HFS Plus inside lies from byte %d to %d of %d", base, end, size)
	}
	return base, end, nil
}

// identity describes a volume without a usable HFS Plus inside.
func (m masterBlock) identity(size int64) filesystem.Info {
	name := m[37 : 37+min(int(m[36]), 27)]
	if i := bytes.IndexByte(name, 0); i >= 0 {
		name = name[:i]
	}
	info := filesystem.Info{
		Type:      "hfs",
		Label:     string(bytes.TrimRight(name, " ")),
		UUID:      appleUUID(m[92+24 : 92+32]),
		BlockSize: m.blockSize(),
		Size:      size,
		State:     filesystem.Clean,
	}
	if m.attributes()&volumeUnmounted == 0 || m.attributes()&volumeInconsistent != 0 {
		info.State = filesystem.Dirty
	}
	return info
}

// openHFS opens an HFS without an HFS Plus inside. All that is no block of its
// own counts as used: what precedes them and what follows.
func (f *fileSystem) openHFS(m masterBlock) error {
	f.info = m.identity(f.size)
	end := m.first() + m.blocks()*m.blockSize()
	switch {
	case m.blocks() < 1 || end > f.size:
		return formatError(headerOffset+18, "%d blocks of %d bytes from byte %d on a volume of %d", m.blocks(), m.blockSize(), m.first(), f.size)
	case m.bitmap() < headerOffset+headerSize || m.bitmap()+(m.blocks()+7)/8 > m.first():
		return formatError(headerOffset+14, "the bitmap of %d blocks at byte %d, the first block at byte %d", m.blocks(), m.bitmap(), m.first())
	}
	f.info.BlockSize = unit(m.first(), m.blockSize())
	f.tail = extent.Append(nil, extent.Extent{Offset: end, Length: f.size - end})
	f.area = area{first: m.first(), blockSize: m.blockSize(), blocks: m.blocks()}
	f.area.bits = func(p []byte, off int64) error { return readFull(f.r, p, m.bitmap()+off) }
	for _, at := range []int64{134, 150} {
		if err := f.hfsTree(m, at); err != nil {
			return err
		}
	}
	return f.countUsed(m.free(), headerOffset+34)
}

// hfsTree counts a B-tree as used, whose first extents are at byte at of the
// master directory block. Its first node must be its header:
//
//	8   1  kind, 1
//	32  2  size of a node, 512
func (f *fileSystem) hfsTree(m masterBlock, at int64) error {
	for i := range int64(3) {
		p := m[at+4*i:]
		r := run{int64(be.Uint16(p)), int64(be.Uint16(p[2:]))}
		if r.start+r.count > m.blocks() {
			return formatError(headerOffset+at+4*i, "%d blocks at block %d of %d", r.count, r.start, m.blocks())
		}
		f.area.also = append(f.area.also, r)
	}
	where := m.first() + int64(be.Uint16(m[at:]))*m.blockSize()
	if where > f.size-512 {
		return formatError(headerOffset+at, "a B-tree at byte %d", where)
	}
	p, err := read(f.r, where, 512)
	if err == nil && (p[8] != kindHeader || be.Uint16(p[nodeHead+18:]) != 512) {
		err = formatError(where, "no header of a B-tree")
	}
	return err
}
