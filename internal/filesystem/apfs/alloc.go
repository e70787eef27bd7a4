package apfs

import (
	"math/bits"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/bitmap"
)

// reserve collects the blocks that are in use whatever the bitmaps say.
func (f *fileSystem) reserve() error {
	s := f.super
	metadata := []extent.Extent{
		{Offset: 0, Length: 1},
		{Offset: s.descBase(), Length: int64(s.descBlocks())},
		{Offset: s.dataBase(), Length: int64(s.dataBlocks())},
		f.spaceman.ring(),
		f.spaceman.pool(),
		{Offset: s.omap(), Length: 1},
	}
	for _, e := range metadata {
		if e.Length == 0 || !within(e.Offset, e.Length, 0, f.blocks) {
			return formatError(f.spaceman.offset, "metadata in %d blocks from %d on, of %d", e.Length, e.Offset, f.blocks)
		}
	}
	f.inUse = extent.Union(metadata)
	return f.reserveNamed()
}

// reserveNamed collects the blocks that nothing but the superblock may name:
// whether the bitmaps have them too does not matter.
func (f *fileSystem) reserveNamed() error {
	s := f.super
	named := []extent.Extent{s.blockedOut(), s.keylocker(), s.mkbLocker()}
	if at := s.evictTree(); at != 0 {
		named = append(named, extent.Extent{Offset: at, Length: 1})
	}
	start, err := f.jumpstart()
	if err != nil {
		return err
	}
	for _, e := range append(named, start...) {
		if e.Length == 0 {
			continue
		}
		if !within(e.Offset, e.Length, 0, f.blocks) {
			return formatError(0, "the superblock names %d blocks from %d on, of %d", e.Length, e.Offset, f.blocks)
		}
		f.also = append(f.also, e)
	}
	f.also = extent.Union(f.also)
	return nil
}

// jumpstart gives the block with the EFI jumpstart and those of the driver that
// it names, which firmware reads. One that firmware would not take names none.
//
//	32  4  "JSDR"              44   4   runs of blocks
//	36  4  version, 1          176  16  each run
func (f *fileSystem) jumpstart() ([]extent.Extent, error) {
	at := f.super.jumpstart()
	if at == 0 {
		return nil, nil
	}
	all := []extent.Extent{{Offset: at, Length: 1}}
	if !within(at, 1, 0, f.blocks) {
		return all, nil
	}
	p := make(object, f.block)
	if err := readFull(f.r, p, at*f.block); err != nil {
		return nil, err
	}
	n := int64(le.Uint32(p[44:])) // nej_num_extents
	if string(p[32:36]) != "JSDR" || !p.sound() || n > (f.block-176)/16 {
		return all, nil
	}
	for i := range n {
		all = append(all, prange(p[176+16*i:])) // nej_rec_extents
	}
	return all, nil
}

// scan is one pass over all bitmaps. Bit 0 of byte 0 is the first block of a
// chunk; 1 is in use.
type scan struct {
	f     *fileSystem
	next  int64 // first block of the next chunk
	free  uint64
	inUse []extent.Extent
	also  []extent.Extent
	buf   []byte
	add   func(extent.Extent) error
}

// all reads the bitmaps and adds the runs of blocks in use, ascending.
func (s *scan) all() error {
	s.buf = make([]byte, s.f.block)
	if err := s.f.chunks(s.chunk); err != nil {
		return err
	}
	if d := s.f.spaceman; s.free != d.main().free() {
		return formatError(d.offset+72, "the chunks have %d free blocks, the space manager %d", s.free, d.main().free())
	}
	return nil
}

// chunk takes the next chunk, described at a byte of the volume.
func (s *scan) chunk(c chunk, at int64) error {
	count := min(s.f.spaceman.blocksPerChunk(), s.f.blocks-s.next)
	switch {
	case c.first() != uint64(s.next) || c.blocks() != count:
		return formatError(at+8, "a chunk of %d blocks from %d on, where %d from %d on must be", c.blocks(), c.first(), count, s.next)
	case c.xid() > s.f.super.xid():
		return formatError(at, "a chunk of transaction %d, the checkpoint is of %d", c.xid(), s.f.super.xid())
	case c.free() > count:
		return formatError(at+20, "%d free blocks in a chunk of %d", c.free(), count)
	}
	s.free += uint64(c.free())
	if c.bitmap() == 0 && c.free() == count && !s.named(count) {
		s.next += count
		return nil
	}
	if err := s.bitmap(c, at, count); err != nil {
		return err
	}
	s.set(count)
	if err := s.runs(count); err != nil {
		return err
	}
	s.next += count
	return nil
}

// named says whether blocks of the next chunk, of count, are in use by more
// than its bitmap.
func (s *scan) named(count int64) bool {
	end := s.next + count
	return len(s.inUse) > 0 && s.inUse[0].Offset < end || len(s.also) > 0 && s.also[0].Offset < end
}

// bitmap reads the bitmap of a chunk of count blocks. A chunk without one has
// no block in use, or, for all that is known, no free one.
func (s *scan) bitmap(c chunk, at, count int64) error {
	if c.bitmap() == 0 {
		if c.free() != count && c.free() != 0 {
			return formatError(at+24, "no bitmap, and %d free blocks in a chunk of %d", c.free(), count)
		}
		clear(s.buf)
		if c.free() == 0 {
			fill(s.buf, 0, count)
		}
		return s.check(at+24, count)
	}
	if pool := s.f.spaceman.pool(); !within(c.bitmap(), 1, pool.Offset, pool.Length) {
		return formatError(at+24, "a bitmap in block %d, outside the internal pool", c.bitmap())
	}
	if err := readFull(s.f.r, s.buf, c.bitmap()*s.f.block); err != nil {
		return err
	}
	used := int64(0)
	for i := int64(0); i < count; i += 64 {
		word := le.Uint64(s.buf[i/8:])
		if rest := count - i; rest < 64 { // what is behind the last block means nothing
			word &= 1<<uint(rest) - 1
		}
		used += int64(bits.OnesCount64(word))
	}
	if used != count-c.free() {
		return formatError(c.bitmap()*s.f.block, "a bitmap has %d of %d blocks in use, its chunk has %d free", used, count, c.free())
	}
	return s.check(c.bitmap()*s.f.block, count)
}

// check holds the bitmap, read at a byte, against the blocks that must be in
// use.
func (s *scan) check(at, count int64) error {
	end := s.next + count
	for ; len(s.inUse) > 0 && s.inUse[0].Offset < end; s.inUse = s.inUse[1:] {
		e := s.inUse[0]
		for b := max(e.Offset, s.next); b < min(e.End(), end); b++ {
			if i := b - s.next; s.buf[i/8]>>uint(i%8)&1 == 0 {
				return formatError(at, "block %d, which holds metadata, is free", b)
			}
		}
		if e.End() > end {
			break
		}
	}
	return nil
}

// set adds what counts as in use whatever the bitmap says.
func (s *scan) set(count int64) {
	end := s.next + count
	for ; len(s.also) > 0 && s.also[0].Offset < end; s.also = s.also[1:] {
		e := s.also[0]
		if from, to := max(e.Offset, s.next), min(e.End(), end); from < to {
			fill(s.buf, from-s.next, to-s.next)
		}
		if e.End() > end {
			break
		}
	}
}

// fill sets the bits [from, to).
func fill(p []byte, from, to int64) {
	for i := from; i < to; {
		if i%8 == 0 && to-i >= 8 {
			p[i/8] = 0xFF
			i += 8
			continue
		}
		p[i/8] |= 1 << uint(i%8)
		i++
	}
}

// runs adds the runs of bits of a chunk of count blocks.
func (s *scan) runs(count int64) error {
	for i := int64(0); i < count; {
		from := bitmap.Next(s.buf, i, count, true)
		i = bitmap.Next(s.buf, from, count, false)
		if err := s.add(extent.Extent{Offset: (s.next + from) * s.f.block, Length: (i - from) * s.f.block}); err != nil {
			return err
		}
	}
	return nil
}
