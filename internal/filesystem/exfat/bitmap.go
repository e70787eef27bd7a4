package exfat

import (
	"math/bits"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/bitmap"
)

const bitmapPiece = 1 << 20 // bytes of the bitmap read at once

// scan is the state of one pass over the bitmap. Bit 0 of byte 0 is cluster 2.
type scan struct {
	f       *fileSystem
	cluster int64 // of the next bit
	end     int64 // behind the last cluster
	inUse   []extent.Extent
	add     func(extent.Extent) error
}

// scanBitmap reads the bitmap and adds the runs of clusters in use, ascending.
func (f *fileSystem) scanBitmap(add func(extent.Extent) error) error {
	s := &scan{f: f, cluster: 2, end: f.boot.clusters() + 2, inUse: f.inUse, add: add}
	left := (f.boot.clusters() + 7) / 8
	buf := make([]byte, (min(bitmapPiece, left)+7)/8*8)
	for _, run := range f.bitmap {
		at := f.boot.offset(run.Offset)
		for n := min(left, run.Length<<f.boot.clusterShift()); n > 0; {
			p := buf[:min(n, int64(len(buf)))]
			if err := readFull(f.r, p, at); err != nil {
				return err
			}
			if err := s.check(p, at); err != nil {
				return err
			}
			if err := s.piece(buf, int64(len(p))); err != nil {
				return err
			}
			at, n, left = at+int64(len(p)), n-int64(len(p)), left-int64(len(p))
		}
	}
	return nil
}

// piece takes the next length bytes of the bitmap, which w begins with. What is
// behind the last cluster means nothing.
func (s *scan) piece(w []byte, length int64) error {
	if s.f.reached != nil {
		for i, b := range s.f.reached[(s.cluster-2)/8:][:length] {
			w[i] |= b
		}
	}
	n := min(8*length, s.end-s.cluster)
	for i := int64(0); i < n; {
		from := bitmap.Next(w, i, n, true)
		i = bitmap.Next(w, from, n, false)
		if err := s.add(extent.Extent{Offset: s.f.boot.offset(s.cluster + from), Length: (i - from) * s.f.boot.clusterSize()}); err != nil {
			return err
		}
	}
	s.cluster += n
	return nil
}

// check holds the bits of p against the clusters that must be in use.
func (s *scan) check(p []byte, at int64) error {
	end := min(s.cluster+8*int64(len(p)), s.end)
	for len(s.inUse) > 0 && s.inUse[0].Offset < end {
		e := s.inUse[0]
		for c := max(e.Offset, s.cluster); c < min(e.End(), end); c++ {
			if i := c - s.cluster; p[i/8]&bits.RotateLeft8(1, int(i%8)) == 0 {
				return formatError(at+i/8, "the allocation bitmap has cluster %d free, which holds metadata", c)
			}
		}
		if e.End() > end {
			return nil
		}
		s.inUse = s.inUse[1:]
	}
	return nil
}
