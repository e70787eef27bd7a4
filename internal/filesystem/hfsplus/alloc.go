package hfsplus

import (
	"iter"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/bitmap"
)

// area is the allocation blocks of a volume and their bitmap, whose first bit
// is the highest of its first byte.
type area struct {
	first     int64 // byte of the volume where block 0 begins
	blockSize int64 // bytes
	blocks    int64
	bits      func(p []byte, off int64) error // reads the bitmap from byte off on
	also      []run                           // in use whatever the bitmap says
}

// run is a run of blocks.
type run struct {
	start, count int64
}

const windowBytes = 64 << 10 // of the bitmap, read at a time

// windows hands over the bitmap in pieces: w has the bits of n blocks from
// block first on, then zeros up to a multiple of 8 bytes.
func (a *area) windows(visit func(w []byte, first, n int64) error) error {
	buf := make([]byte, min(windowBytes, (a.blocks+63)/64*8))
	for first := int64(0); first < a.blocks; first += windowBytes * 8 {
		n := min(windowBytes*8, a.blocks-first)
		w := buf[:(n+63)/64*8]
		clear(w)
		if err := a.bits(w[:(n+7)/8], first/8); err != nil {
			return err
		}
		if n%8 != 0 {
			w[n/8] &= 0xFF << (8 - n%8)
		}
		if err := visit(w, first, n); err != nil {
			return err
		}
	}
	return nil
}

// mark sets the bits of those blocks from block first on that are in use
// whatever the bitmap says.
func (a *area) mark(w []byte, first, n int64) {
	for _, r := range a.also {
		for i := max(r.start-first, 0); i < min(r.start+r.count-first, n); {
			if i%8 == 0 && r.start+r.count-first >= i+8 && i+8 <= n {
				w[i/8] = 0xFF
				i += 8
				continue
			}
			w[i/8] |= 0x80 >> (i % 8)
			i++
		}
	}
}

// Allocated gives the extents in use: the blocks that the bitmap marks, those
// that a header names, and all that lies outside of the blocks.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		err := add(extent.Extent{Length: f.area.first})
		if err != nil {
			return err
		}
		err = f.area.windows(func(w []byte, first, n int64) error {
			f.area.mark(w, first, n)
			for i := int64(0); i < n; {
				from := bitmap.NextHigh(w, i, n, true)
				i = bitmap.NextHigh(w, from, n, false)
				if err := add(extent.Extent{Offset: f.area.first + (first+from)*f.area.blockSize, Length: (i - from) * f.area.blockSize}); err != nil {
					return err
				}
			}
			return nil
		})
		for _, e := range f.tail {
			if err == nil {
				err = add(e)
			}
		}
		return err
	})
}

// countUsed counts what Allocated gives, and holds the bitmap of a volume that
// was unmounted against the number of free blocks at byte at of the volume.
func (f *fileSystem) countUsed(free, at int64) error {
	marked, used := int64(0), int64(0)
	err := f.area.windows(func(w []byte, first, n int64) error {
		marked += bitmap.Count(w)
		f.area.mark(w, first, n)
		used += bitmap.Count(w)
		return nil
	})
	if err != nil {
		return err
	}
	if got := f.area.blocks - marked; f.info.State == filesystem.Clean && got != free {
		return formatError(at, "%d blocks are free by the bitmap, %d by the header: doubtful", got, free)
	}
	f.info.Used = f.area.first + used*f.area.blockSize + extent.Total(f.tail)
	return nil
}
