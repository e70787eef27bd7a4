package fat

import (
	"iter"
	"math/bits"
)

// bitmap has a bit for each cluster; cluster 2 is bit 0.
type bitmap []uint64

func newBitmap(n int64) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) set(cluster int64) { b[(cluster-2)/64] |= 1 << uint((cluster-2)%64) }

func (b bitmap) has(cluster int64) bool { return b[(cluster-2)/64]>>uint((cluster-2)%64)&1 != 0 }

func (b bitmap) count() (n int64) {
	for _, w := range b {
		n += int64(bits.OnesCount64(w))
	}
	return n
}

// next is the first bit from i on that is set, or that is clear where invert
// is all ones; behind the last word there is none.
func (b bitmap) next(i int64, invert uint64) int64 {
	for n := i / 64; n < int64(len(b)); n++ {
		w := b[n] ^ invert
		if n == i/64 {
			w = w >> uint(i%64) << uint(i%64)
		}
		if w != 0 {
			return n*64 + int64(bits.TrailingZeros64(w))
		}
	}
	return int64(len(b)) * 64
}

// runs gives the runs of set bits: first, and the one behind the last.
func (b bitmap) runs() iter.Seq2[int64, int64] {
	return func(yield func(first, end int64) bool) {
		total := int64(len(b)) * 64
		for i := b.next(0, 0); i < total; {
			end := b.next(i, ^uint64(0))
			if !yield(i, end) {
				return
			}
			i = b.next(end, 0)
		}
	}
}
