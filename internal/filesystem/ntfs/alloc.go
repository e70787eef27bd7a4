package ntfs

import (
	"fmt"
	"iter"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/bitmap"
)

const (
	windowBytes = 1 << 20 // of $Bitmap or $MFT, read at once
	maxExtra    = 1 << 20 // runs that $Bitmap does not know
)

// Allocated gives the extents in use: the clusters that $Bitmap marks, those
// of all runs of MFT records in use, and what lies behind the last cluster.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		extra, err := f.unmarked()
		if err != nil {
			return err
		}
		err = f.windows(func(w []byte, first, n int64) error {
			extra = markIn(w, first, n, extra)
			for bit := int64(0); bit < n; {
				from := bitmap.Next(w, bit, n, true)
				bit = bitmap.Next(w, from, n, false)
				if err := add(extent.Extent{Offset: (first + from) * f.boot.cluster, Length: (bit - from) * f.boot.cluster}); err != nil {
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

// windows calls each for all of $Bitmap, piece by piece: n bits from cluster
// first on. The bits of w behind those are zero; its length is a multiple of 8.
func (f *fileSystem) windows(each func(w []byte, first, n int64) error) error {
	buf := make([]byte, min(windowBytes, (f.boot.clusters+63)/64*8))
	for first := int64(0); first < f.boot.clusters; first += windowBytes * 8 {
		n := min(f.boot.clusters-first, windowBytes*8)
		w := buf[:(n+63)/64*8]
		if err := f.readBits(w, first, n); err != nil {
			return err
		}
		if err := each(w, first, n); err != nil {
			return err
		}
	}
	return nil
}

// readBits fills w with n bits of $Bitmap and zeros.
func (f *fileSystem) readBits(w []byte, first, n int64) error {
	clear(w)
	if err := f.bitmap.readAt(w[:(n+7)/8], first/8); err != nil {
		return err
	}
	if n%8 != 0 {
		w[n/8] &= 1<<(n%8) - 1
	}
	return nil
}

// markIn sets the bits of clusters, ascending extents, that lie in the window.
// It gives those that may concern later windows.
func markIn(w []byte, first, n int64, clusters []extent.Extent) []extent.Extent {
	for len(clusters) > 0 && clusters[0].Offset < first+n {
		e := clusters[0]
		for c := max(e.Offset, first); c < min(e.End(), first+n); c++ {
			w[(c-first)/8] |= 1 << ((c - first) % 8)
		}
		if e.End() > first+n {
			break
		}
		clusters = clusters[1:]
	}
	return clusters
}

// unmarked gives the clusters, ascending, that runs of MFT records in use name
// and $Bitmap does not mark. There are none on a volume that was left in order.
func (f *fileSystem) unmarked() ([]extent.Extent, error) {
	var list []extent.Extent
	pages := &bitPages{f: f, page: map[int64][]byte{}}
	total := int64(0)
	err := f.records(func(rec record) error {
		var runsErr error
		err := rec.attributes(func(a attribute) bool {
			if !a.nonResident() {
				return true
			}
			runs, err := f.runs(a)
			if err != nil {
				runsErr = formatError(rec.offset, "attribute %#x: %v", a.kind(), err)
				return false
			}
			for _, r := range runs {
				if r.lcn == sparse {
					continue
				}
				total += r.length
				if list, runsErr = pages.clear(list, r); runsErr != nil {
					return false
				}
			}
			return true
		})
		switch {
		case err != nil:
			return err
		case runsErr != nil:
			return runsErr
		case total > 2*f.boot.clusters: // each cluster is somebody's, and only his
			return formatError(rec.offset, "the MFT records up to here claim clusters that belong to others")
		}
		return nil
	})
	return extent.Union(list), err
}

// records calls each for all MFT records in use. A record is in use when it
// says so or when $MFT's bitmap does: the more careful of two that should
// agree.
func (f *fileSystem) records(each func(rec record) error) error {
	size := f.boot.record
	count := f.mft.initialized / size
	buf := make([]byte, min(windowBytes, count*size))
	var marks []byte
	for first := int64(0); first < count; first += windowBytes / size {
		n := min(windowBytes/size, count-first)
		if err := f.mft.readAt(buf[:n*size], first*size); err != nil {
			return err
		}
		// windowBytes/size is a multiple of 8: 16 records at least.
		marks = append(marks[:0], make([]byte, (n+7)/8)...)
		if at := first / 8; at < f.mftBitmap.size {
			if err := f.mftBitmap.readAt(marks[:min(int64(len(marks)), f.mftBitmap.size-at)], at); err != nil {
				return err
			}
		}
		for i := range n {
			p := buf[i*size:][:size]
			marked := marks[i/8]&(1<<(i%8)) != 0
			if !marked && (string(p[:4]) != "FILE" || le.Uint16(p[0x16:])&1 == 0) {
				continue
			}
			off, _ := f.mft.offset((first + i) * size)
			rec, err := parseRecord(p, off)
			if err == nil {
				err = each(rec)
			}
			if err != nil {
				return fmt.Errorf("MFT record %d: %w", first+i, err)
			}
		}
	}
	return nil
}

// bitPages reads $Bitmap at places far from each other. It keeps pages up to
// 24 MiB, which is all of the bitmap of 768 GiB in clusters of 4 KiB.
type bitPages struct {
	f    *fileSystem
	page map[int64][]byte
	last int64 // number of the page in use
	bits []byte
}

const (
	pageBits = 64 << 13 // in 64 KiB
	maxPages = 384
)

// clear appends the clusters of the run that are not marked.
func (b *bitPages) clear(list []extent.Extent, r run) ([]extent.Extent, error) {
	for lcn, end := r.lcn, r.lcn+r.length; lcn < end; {
		number := lcn / pageBits
		if b.bits == nil || b.last != number {
			if err := b.load(number); err != nil {
				return list, err
			}
		}
		base := number * pageBits
		stop := min(end-base, pageBits)
		from := bitmap.Next(b.bits, lcn-base, stop, false)
		to := bitmap.Next(b.bits, from, stop, true)
		if to > from {
			if len(list) >= maxExtra {
				return list, formatError((base+from)*b.f.boot.cluster, "too many clusters in use that $Bitmap does not mark")
			}
			list = append(list, extent.Extent{Offset: base + from, Length: to - from})
		}
		lcn = base + to
	}
	return list, nil
}

func (b *bitPages) load(number int64) error {
	p, ok := b.page[number]
	if !ok {
		if len(b.page) >= maxPages {
			for n := range b.page { // any of them
				p = b.page[n]
				delete(b.page, n)
				break
			}
		}
		n := min(pageBits, b.f.boot.clusters-number*pageBits)
		if need := (n + 63) / 64 * 8; int64(cap(p)) < need {
			p = make([]byte, need)
		} else {
			p = p[:need]
		}
		if err := b.f.readBits(p, number*pageBits, n); err != nil {
			return err
		}
		b.page[number] = p
	}
	b.last, b.bits = number, p
	return nil
}
