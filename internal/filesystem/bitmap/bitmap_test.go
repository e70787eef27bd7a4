package bitmap

import (
	"math/rand/v2"
	"testing"
)

// TestNext holds both against a look at every bit.
func TestNext(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, tt := range map[string]struct {
		next func(p []byte, at, n int64, set bool) int64
		bit  func(p []byte, i int64) bool
	}{
		"lowest bit first":  {Next, func(p []byte, i int64) bool { return p[i/8]>>(i%8)&1 != 0 }},
		"highest bit first": {NextHigh, func(p []byte, i int64) bool { return p[i/8]<<(i%8)&0x80 != 0 }},
	} {
		for range 400 {
			p := make([]byte, 8*(1+rng.IntN(5)))
			for i := 0; i < len(p); { // runs of equal bytes, and any others
				b := []byte{0x00, 0xFF, byte(rng.Uint32())}[rng.IntN(3)]
				for range 1 + rng.IntN(12) {
					if i < len(p) {
						p[i] = b
						i++
					}
				}
			}
			n := 1 + rng.Int64N(int64(len(p))*8)
			at, set := rng.Int64N(n+1), rng.IntN(2) == 0
			want := at
			for want < n && tt.bit(p, want) != set {
				want++
			}
			if got := tt.next(p, at, n, set); got != want {
				t.Fatalf("%s: bit %d of %x, from %d up to %d, set %v; want %d", name, got, p, at, n, set, want)
			}
		}
	}
}

func TestCount(t *testing.T) {
	for _, tt := range []struct {
		p    []byte
		want int64
	}{
		{nil, 0},
		{make([]byte, 16), 0},
		{[]byte{1, 0, 0, 0, 0, 0, 0, 0x80}, 2},
		{[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}, 63},
	} {
		if got := Count(tt.p); got != tt.want {
			t.Errorf("%x: %d, want %d", tt.p, got, tt.want)
		}
	}
}

var sink int64

// BenchmarkRuns walks the runs of a map of 1 MiB: of a volume of 32 GiB in
// blocks of 4 KiB.
func BenchmarkRuns(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	sparse, dense := make([]byte, 1<<20), make([]byte, 1<<20)
	for i := range dense {
		dense[i] = byte(rng.Uint32())
		if i%512 == 0 {
			sparse[i] = dense[i]
		}
	}
	for name, p := range map[string][]byte{"a few": sparse, "many": dense} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				for at, n := int64(0), int64(len(p))*8; at < n; {
					at = Next(p, at, n, true)
					at = Next(p, at, n, false)
					sink++
				}
			}
		})
	}
}
