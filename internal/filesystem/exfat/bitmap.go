package exfat

import (
	"errors"
	"math/bits"

	"doppel.live/internal/extent"
)

const bitmapPiece = 1 << 20 // bytes of the bitmap read at once

var errStopped = errors.New("stopped by the caller")

// scan is the state of one pass over the bitmap. Bit 0 of byte 0 is cluster 2.
type scan struct {
	cluster int64 // of the next bit
	end     int64 // behind the last cluster
	first   int64 // of the run that is open; 0: none
	inUse   []extent.Extent
	reached clusterSet // in use, too; nil: none
	emit    func(first, end int64) bool
}

// scanBitmap reads the bitmap and calls emit with the runs of clusters in use,
// ascending, until it returns false.
func (f *fileSystem) scanBitmap(emit func(first, end int64) bool) error {
	s := &scan{cluster: 2, end: f.boot.clusters() + 2, inUse: f.inUse, reached: f.reached, emit: emit}
	left := (f.boot.clusters() + 7) / 8
	buf := make([]byte, min(bitmapPiece, left))
	for _, run := range f.bitmap {
		at := f.boot.offset(run.Offset)
		for n := min(left, run.Length<<f.boot.clusterShift()); n > 0; {
			p := buf[:min(n, int64(len(buf)))]
			if err := readFull(f.r, p, at); err != nil {
				return err
			}
			if err := s.piece(p, at); err != nil {
				return err
			}
			at, n, left = at+int64(len(p)), n-int64(len(p)), left-int64(len(p))
		}
	}
	return s.close(s.end)
}

// piece takes the next bytes of the bitmap, read at byte at.
func (s *scan) piece(p []byte, at int64) error {
	if err := s.check(p, at); err != nil {
		return err
	}
	for _, b := range p {
		if s.reached != nil {
			b |= s.reached[(s.cluster-2)/8]
		}
		n := min(8, s.end-s.cluster)
		b &= byte(1<<uint(n) - 1) // what is behind the last cluster means nothing
		if b == 0 || b == 0xFF {
			if err := s.run(0, b != 0); err != nil {
				return err
			}
		} else {
			for i := range n {
				if err := s.run(i, b>>uint(i)&1 != 0); err != nil {
					return err
				}
			}
		}
		s.cluster += n
	}
	return nil
}

// run opens or closes the present run at bit i of the present byte.
func (s *scan) run(i int64, used bool) error {
	if used && s.first == 0 {
		s.first = s.cluster + i
	}
	if !used && s.first != 0 {
		return s.close(s.cluster + i)
	}
	return nil
}

// close ends the run that is open, if any.
func (s *scan) close(end int64) error {
	if s.first == 0 {
		return nil
	}
	first := s.first
	s.first = 0
	if !s.emit(first, end) {
		return errStopped
	}
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
