package f2fs

import (
	"iter"
	"slices"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/bitmap"
)

// Allocated gives the extents in use.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		used := func(start, end int64) error { // blocks
			return add(extent.Extent{Offset: start * f.block, Length: (end - start) * f.block})
		}
		if err := used(0, 2); err != nil { // the superblocks
			return err
		}
		if err := used(f.area.checkpoint, f.area.ssa); err != nil {
			return err
		}
		if err := f.summaries(used); err != nil {
			return err
		}
		return f.united(func(segment int64, blocks []byte) error {
			first := f.area.main + segment*segmentBlocks
			for i := int64(0); i < segmentBlocks; {
				from := bitmap.NextHigh(blocks, i, segmentBlocks, true)
				i = bitmap.NextHigh(blocks, from, segmentBlocks, false)
				if err := used(first+from, first+i); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// summaries gives the blocks of the SSA, one for each segment: those of
// segments with blocks in use, and of those that are being written to.
func (f *fileSystem) summaries(used func(start, end int64) error) error {
	if f.area.ssa == f.area.main {
		return nil
	}
	var current []int64
	for _, v := range f.views {
		current = append(current, v.cp.currentSegments()...)
	}
	return f.united(func(segment int64, blocks []byte) error {
		if bitmap.Count(blocks) == 0 && !slices.Contains(current, segment) {
			return nil
		}
		return used(f.area.ssa+segment, f.area.ssa+segment+1)
	})
}

// united walks the bitmaps of all segments: what any view says is valid, and
// what the recovery needs.
func (f *fileSystem) united(visit func(segment int64, blocks []byte) error) error {
	other := marks{}
	if len(f.views) > 1 {
		err := f.segments(f.views[1], func(segment int64, e entry, _ int64) error {
			if bitmap.Count(e.bitmap()) > 0 {
				other[segment] = (*[mapSize]byte)(slices.Clone(e.bitmap()))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	var blocks [mapSize]byte
	return f.segments(f.views[0], func(segment int64, e entry, _ int64) error {
		copy(blocks[:], e.bitmap())
		for _, m := range []*[mapSize]byte{f.recovered[segment], other[segment]} {
			if m == nil {
				continue
			}
			for i, b := range m {
				blocks[i] |= b
			}
		}
		return visit(segment, blocks[:])
	})
}
