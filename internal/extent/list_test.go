package extent

import (
	"errors"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
)

// paint is the slow and plain model: one bool for each byte.
func paint(list []Extent, size int64) []bool {
	m := make([]bool, size)
	for _, e := range list {
		for i := max(e.Offset, 0); i < e.End() && i < size; i++ {
			m[i] = true
		}
	}
	return m
}

// random gives an ascending list within size, with gaps and touching extents;
// overlapping ones too where overlap is set.
func random(rng *rand.Rand, size int64, overlap bool) []Extent {
	var list []Extent
	for at := rng.Int64N(4); at < size; {
		e := Extent{at, min(1+rng.Int64N(9), size-at)}
		list = append(list, e)
		step := e.Length + rng.Int64N(5)
		if overlap {
			step = rng.Int64N(e.Length + 4)
		}
		at += step
	}
	return list
}

func TestProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 3000 {
		size := int64(rng.Int64N(70))
		list := random(rng, size, false)
		want := paint(list, size)
		if err := Validate(list, size); err != nil {
			t.Fatalf("%d: %v", n, err)
		}
		merged := Merge(list)
		check(t, "merge", merged, size, want)
		if rough := random(rng, size, true); true {
			check(t, "merge overlapping", Merge(rough), size, paint(rough, size))
			check(t, "union", Union(rough, list), size, or(paint(rough, size), want))
		}
		inverse := Invert(list, size)
		check(t, "invert", inverse, size, not(want))
		if Total(inverse)+Total(list) != size {
			t.Fatalf("%d: %v and its inverse %v do not make %d bytes", n, list, inverse, size)
		}
		block := 1 + rng.Int64N(9)
		check(t, "align", Align(list, block, size), size, whole(want, block))
		at := rng.Int64N(size + 1)
		from := From(list, at)
		left := list[:len(list)-len(from)]
		if !slices.Equal(slices.Concat(left, from), list) || len(left) > 0 && left[len(left)-1].End() > at || len(from) > 0 && from[0].End() <= at {
			t.Fatalf("from %d: %v of %v", at, from, list)
		}
		got, err := Collect(all(list))
		if err != nil || !slices.Equal(got, merged) {
			t.Fatalf("%d: collect: %v, %v, want %v", n, got, err, merged)
		}
	}
}

func check(t *testing.T, what string, list []Extent, size int64, want []bool) {
	t.Helper()
	if err := Validate(list, size); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for i := 1; i < len(list); i++ {
		if list[i].Offset == list[i-1].End() {
			t.Fatalf("%s: %v is not merged", what, list)
		}
	}
	if !slices.Equal(paint(list, size), want) {
		t.Fatalf("%s: %v covers %v, want %v", what, list, paint(list, size), want)
	}
}

func not(m []bool) []bool {
	out := make([]bool, len(m))
	for i := range m {
		out[i] = !m[i]
	}
	return out
}

func or(a, b []bool) []bool {
	out := make([]bool, len(a))
	for i := range a {
		out[i] = a[i] || b[i]
	}
	return out
}

// whole paints every block in which a byte is painted.
func whole(m []bool, block int64) []bool {
	out := make([]bool, len(m))
	for i := range m {
		if !m[i] {
			continue
		}
		start := int64(i) / block * block
		for j := start; j < start+block && j < int64(len(m)); j++ {
			out[j] = true
		}
	}
	return out
}

func all(list []Extent) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	tests := []struct {
		name string
		list []Extent
	}{
		{"empty extent", []Extent{{0, 0}}},
		{"negative length", []Extent{{5, -1}}},
		{"negative offset", []Extent{{-1, 3}}},
		{"overlap", []Extent{{0, 5}, {4, 2}}},
		{"descending", []Extent{{10, 5}, {0, 2}}},
		{"beyond the end", []Extent{{99, 2}}},
		{"sum overflows", []Extent{{1 << 62, 1<<62 + 5}}},
	}
	for _, tt := range tests {
		if err := Validate(tt.list, 100); err == nil {
			t.Errorf("%s: %v is taken for valid", tt.name, tt.list)
		}
	}
}

func TestCollectStopsAtError(t *testing.T) {
	want := errors.New("read error")
	_, err := Collect(func(yield func(Extent, error) bool) {
		if yield(Extent{0, 1}, nil) && yield(Extent{}, want) {
			t.Error("asked on after the error")
		}
	})
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
