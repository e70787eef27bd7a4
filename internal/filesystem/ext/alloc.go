package ext

import (
	"fmt"
	"iter"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/bitmap"
)

const windowBytes = 4 << 20 // bytes of bitmaps held at once

// window is a run of groups whose bitmaps are read together, since flex_bg
// puts the bitmaps of neighbouring groups side by side.
type window struct {
	groups  []group
	bitmaps []byte // one block for each group
}

// group is what Allocated needs of a descriptor.
type group struct {
	number      int64
	blockBitmap int64 // block
	uninit      bool
	sum         uint32 // of the block bitmap
	own         [3]extent.Extent
}

// Allocated gives the extents in use: all blocks that the bitmaps mark, the
// boot block, and all metadata whether marked or not.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		total := int64(0) // bytes
		used := func(e extent.Extent) error {
			total += e.Length
			return add(e)
		}
		// The boot block; where blocks are larger it is part of block 0.
		if err := used(extent.Extent{Length: f.firstBlock * f.blockSize}); err != nil {
			return err
		}
		n := max(16, windowBytes/f.blockSize)
		w := &window{}
		foreign := f.foreign
		flush := func() error {
			if err := f.readBitmaps(w); err != nil {
				return err
			}
			for i := range w.groups {
				bitmap := w.bitmaps[int64(i)*f.blockSize:][:f.blockSize]
				foreign = f.markMetadata(bitmap, &w.groups[i], foreign)
				if err := f.emit(used, bitmap, w.groups[i].number); err != nil {
					return err
				}
			}
			w.groups = w.groups[:0]
			return nil
		}
		err := f.descriptors(func(g int64, d descriptor) error {
			w.groups = append(w.groups, f.group(g, d))
			if int64(len(w.groups)) < n {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		// 0 while Open counts by these bitmaps.
		if err == nil && f.info.Used != 0 && total != f.info.Used {
			err = formatError(superOffset, "the bitmaps have %d bytes in use, the superblock %d", total, f.info.Used)
		}
		return err
	})
}

func (f *fileSystem) group(g int64, d descriptor) group {
	sum := uint32(le.Uint16(d[0x18:])) // bg_block_bitmap_csum_lo
	if len(d) >= 64 {
		sum |= uint32(le.Uint16(d[0x38:])) << 16
	}
	return group{g, int64(d.blockBitmap()), f.blockUninit(d), sum, f.metadata(d)}
}

// readBitmaps fills w.bitmaps. Bitmaps that lie side by side are read at once;
// those of uninitialised groups are not read, and zero.
func (f *fileSystem) readBitmaps(w *window) error {
	need := int64(len(w.groups)) * f.blockSize
	if int64(cap(w.bitmaps)) < need {
		w.bitmaps = make([]byte, need)
	}
	w.bitmaps = w.bitmaps[:need]
	for i := 0; i < len(w.groups); {
		g := &w.groups[i]
		p := w.bitmaps[int64(i)*f.blockSize:]
		if g.uninit {
			clear(p[:f.blockSize])
			i++
			continue
		}
		n := 1
		for i+n < len(w.groups) && !w.groups[i+n].uninit && w.groups[i+n].blockBitmap == g.blockBitmap+int64(n) {
			n++
		}
		if err := filesystem.ReadFull(f.r, p[:int64(n)*f.blockSize], g.blockBitmap*f.blockSize); err != nil {
			return fmt.Errorf("ext: block bitmap of group %d at byte %d: %w", g.number, g.blockBitmap*f.blockSize, err)
		}
		for j := range n {
			if err := f.checkBitmap(p[int64(j)*f.blockSize:][:f.blockSize], &w.groups[i+j]); err != nil {
				return err
			}
		}
		i += n
	}
	return nil
}

// checkBitmap verifies the checksum of a block bitmap: the lower half of it
// where descriptors have 32 bytes.
func (f *fileSystem) checkBitmap(bitmap []byte, g *group) error {
	if f.sb.roCompat()&roCompatMetadataCsum == 0 {
		return nil
	}
	sum := f.crc32c(f.checksumSeed, bitmap[:f.groupBlocks/f.clusterBlocks/8])
	if f.descSize < 64 {
		sum &= 0xFFFF
	}
	if sum != g.sum {
		return formatError(g.blockBitmap*f.blockSize, "wrong checksum of the block bitmap of group %d", g.number)
	}
	return nil
}

// markMetadata sets the bits of all metadata that lies in the group; foreign
// holds what other groups have from here on. It returns what of foreign may
// concern later groups.
func (f *fileSystem) markMetadata(bitmap []byte, g *group, foreign []extent.Extent) []extent.Extent {
	start := f.groupStart(g.number)
	f.mark(bitmap, g.number, extent.Extent{Offset: start, Length: f.baseBlocks(g.number)})
	for _, e := range g.own {
		f.mark(bitmap, g.number, e)
	}
	foreign = extent.From(foreign, start)
	for _, e := range foreign {
		if e.Offset >= f.groupEnd(g.number) {
			break
		}
		f.mark(bitmap, g.number, e)
	}
	return foreign
}

// mark sets the bits of the clusters that hold the part of blocks that lies in
// group g.
func (f *fileSystem) mark(bitmap []byte, g int64, blocks extent.Extent) {
	start := f.groupStart(g)
	from, to := max(blocks.Offset, start)-start, min(blocks.End(), f.groupEnd(g))-start
	if from >= to {
		return
	}
	for c := from / f.clusterBlocks; c <= (to-1)/f.clusterBlocks; c++ {
		bitmap[c/8] |= 1 << (c % 8)
	}
}

// emit gives the runs of set bits of group g to used.
func (f *fileSystem) emit(used func(extent.Extent) error, p []byte, g int64) error {
	start, end := f.groupStart(g), f.groupEnd(g)
	n := (end - start + f.clusterBlocks - 1) / f.clusterBlocks
	for bit := int64(0); bit < n; {
		from := bitmap.Next(p, bit, n, true)
		bit = bitmap.Next(p, from, n, false)
		first, last := start+from*f.clusterBlocks, min(start+bit*f.clusterBlocks, end)
		if err := used(extent.Extent{Offset: first * f.blockSize, Length: (last - first) * f.blockSize}); err != nil {
			return err
		}
	}
	return nil
}
