package f2fs

import (
	"errors"
	"iter"
	"slices"

	"doppel.live/internal/extent"
)

var errStopped = errors.New("stopped by the caller")

// Allocated gives the extents in use.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		out := &runs{yield: yield, block: f.block}
		err := out.add(0, 2) // the superblocks
		if err == nil {
			err = out.add(f.area.checkpoint, f.area.ssa)
		}
		if err == nil {
			err = f.summaries(out)
		}
		if err == nil {
			err = f.united(func(segment int64, bitmap []byte) error {
				return out.bitmap(f.area.main+segment*segmentBlocks, bitmap)
			})
		}
		if err == nil {
			err = out.flush()
		}
		if err != nil && err != errStopped {
			yield(extent.Extent{}, err)
		}
	}
}

// summaries gives the blocks of the SSA, one for each segment: those of
// segments with blocks in use, and of those that are being written to.
func (f *fileSystem) summaries(out *runs) error {
	if f.area.ssa == f.area.main {
		return nil
	}
	var current []int64
	for _, v := range f.views {
		current = append(current, v.cp.currentSegments()...)
	}
	return f.united(func(segment int64, bitmap []byte) error {
		if count(bitmap) == 0 && !slices.Contains(current, segment) {
			return nil
		}
		return out.add(f.area.ssa+segment, f.area.ssa+segment+1)
	})
}

// united walks the bitmaps of all segments: what any view says is valid, and
// what the recovery needs.
func (f *fileSystem) united(visit func(segment int64, bitmap []byte) error) error {
	other := marks{}
	if len(f.views) > 1 {
		err := f.segments(f.views[1], func(segment int64, e entry, _ int64) error {
			if count(e.bitmap()) > 0 {
				other[segment] = (*[mapSize]byte)(slices.Clone(e.bitmap()))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	var bitmap [mapSize]byte
	return f.segments(f.views[0], func(segment int64, e entry, _ int64) error {
		copy(bitmap[:], e.bitmap())
		for _, m := range []*[mapSize]byte{f.recovered[segment], other[segment]} {
			if m == nil {
				continue
			}
			for i, b := range m {
				bitmap[i] |= b
			}
		}
		return visit(segment, bitmap[:])
	})
}

// runs joins blocks that touch and yields the extents.
type runs struct {
	yield      func(extent.Extent, error) bool
	block      int64 // bytes
	start, end int64 // what was not yet given, in blocks
}

// add takes the next blocks, from start up to end.
func (r *runs) add(start, end int64) error {
	if start == r.end {
		r.end = end
		return nil
	}
	err := r.flush()
	r.start, r.end = start, end
	return err
}

// bitmap takes the blocks of a segment.
func (r *runs) bitmap(first int64, bitmap []byte) error {
	if count(bitmap) == 0 {
		return nil
	}
	for i := int64(0); i < segmentBlocks; i++ {
		if i%8 == 0 && bitmap[i/8] == 0 {
			i += 7
			continue
		}
		if bit(bitmap, i) {
			if err := r.add(first+i, first+i+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *runs) flush() error {
	if r.start < r.end && !r.yield(extent.Extent{Offset: r.start * r.block, Length: (r.end - r.start) * r.block}, nil) {
		return errStopped
	}
	return nil
}
