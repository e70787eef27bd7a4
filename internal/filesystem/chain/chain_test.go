package chain

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"doppel.live/internal/filesystem"
)

// links is a table in memory: what follows each cluster.
type links map[int64]int64

var errLink = errors.New("a link to nowhere")

func (l links) next(cluster int64) (int64, error) {
	next := l[cluster]
	if next < 0 {
		return 0, errLink
	}
	return next, nil
}

// volume has clusters of 4 bytes, each full of its own number.
func volume(clusters int64, l links) *Volume {
	p := []byte("some")
	for c := range clusters {
		p = append(p, bytes.Repeat([]byte{byte(c + 2)}, 4)...)
	}
	return &Volume{Reader: bytes.NewReader(p), Format: "test", Data: 4, Cluster: 4, Clusters: clusters, Next: l.next, Entry: func(cluster int64) int64 { return cluster }}
}

func TestMeasure(t *testing.T) {
	for _, n := range []int64{1, 2, 3, 4, 5, 7, 8, 9, 31, 100} {
		straight := links{}
		for c := int64(2); c < n+1; c++ {
			straight[c] = c + 1
		}
		v := volume(200, straight)
		for _, limit := range []int64{1, n, n + 1, 1 << 40} {
			if got, err := v.Measure(2, limit); got != min(n, limit) || err != nil {
				t.Errorf("%d clusters, limit %d: %d, %v", n, limit, got, err)
			}
		}
		straight[n+1] = -1
		if got, err := v.Measure(2, 1<<40); got != n || !errors.Is(err, errLink) {
			t.Errorf("%d clusters to nowhere: %d, %v", n, got, err)
		}
		for back := int64(2); back <= n+1; back++ {
			straight[n+1] = back
			if got, err := v.Measure(2, 1<<40); got != n || err == nil {
				t.Errorf("%d clusters, back to %d: %d, %v", n, back, got, err)
			}
		}
	}
	for _, first := range []int64{-1, 0, 1, 202} {
		if n, err := volume(200, nil).Measure(first, 9); n != 0 || err == nil {
			t.Errorf("a chain from %d: %d, %v", first, n, err)
		}
	}
}

// scattered is a chain of n clusters in any order, with runs.
func scattered(rng *rand.Rand, n int64) (l links, order []int64) {
	for c := int64(2); int64(len(order)) < n; {
		for range 1 + rng.Int64N(5) {
			order = append(order, c)
			c++
		}
		c++ // a gap
	}
	order = order[:n]
	for range n / 4 {
		i, k := rng.Int64N(n), rng.Int64N(n)
		order[i], order[k] = order[k], order[i]
	}
	l = links{}
	for i := range n - 1 {
		l[order[i]] = order[i+1]
	}
	return l, order
}

func TestContent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int64{1, 2, 3, 50, 5000} {
		l, order := scattered(rng, n)
		v := volume(slices.Max(order), l)
		for _, s := range []Stream{
			{Size: 4 * n}, {Size: 4*n - 3}, {Size: 1}, {Size: 4 * n, Written: 2}, {Size: 4*n - 1, Written: 4 * (n / 2)}, {Size: 0},
		} {
			if s.Written == 0 {
				s.Written = s.Size
			}
			s.First, s.Clusters = order[0], n
			want := make([]byte, s.Size)
			for i := range s.Written {
				want[i] = byte(order[i/4])
			}
			c := v.Open(s)
			if err := iotest.TestReader(io.NewSectionReader(c, 0, s.Size), want); err != nil {
				t.Fatalf("%+v: %v", s, err)
			}
			for range 300 {
				p := make([]byte, rng.Int64N(40))
				off := rng.Int64N(s.Size + 1)
				m, err := c.ReadAt(p, off)
				if left := s.Size - off; int64(m) != min(int64(len(p)), left) || !bytes.Equal(p[:m], want[off:off+int64(m)]) || m < len(p) && err != io.EOF {
					t.Fatalf("%+v: %d bytes at %d, %v", s, m, off, err)
				}
			}
			if len(c.marks) > maxMarks {
				t.Errorf("%d places are kept", len(c.marks))
			}
			checkRuns(t, v, c, want, s)
		}
	}
}

// checkRuns puts the content together from its runs.
func checkRuns(t *testing.T, v *Volume, c *Content, want []byte, s Stream) {
	t.Helper()
	got := make([]byte, 0, len(want))
	last := filesystem.Run{}
	for run, err := range c.Runs() {
		if err != nil || run.Offset != int64(len(got)) {
			t.Fatalf("%+v: run %+v at %d, %v", s, run, len(got), err)
		}
		if run.Unwritten == last.Unwritten && last.Extent.End() == run.Extent.Offset {
			t.Fatalf("%+v: run %+v goes on with %+v", s, last, run)
		}
		p := make([]byte, run.Extent.Length)
		if !run.Unwritten {
			if _, err := v.Reader.ReadAt(p, run.Extent.Offset); err != nil {
				t.Fatal(err)
			}
		}
		got, last = append(got, p...), run
	}
	if int64(len(got)) != v.Count(s.Size)*v.Cluster || !bytes.Equal(got[:len(want)], want) {
		t.Errorf("%+v: the runs hold something else", s)
	}
}

// TestEnded reads streams whose chain is shorter than they are.
func TestEnded(t *testing.T) {
	v := volume(9, links{2: 3, 3: 5})
	for _, s := range []Stream{
		{First: 2, Clusters: 3, Size: 40, Written: 40},
		{First: 2, Clusters: 4, Size: 40, Written: 40}, // the table changed
		{First: 2, Clusters: 3, Size: 40, Written: 40, Straight: true},
	} {
		c := v.Open(s)
		p := make([]byte, 40)
		n, err := c.ReadAt(p, 0)
		bad := new(filesystem.FormatError)
		if n != 12 || !errors.As(err, &bad) || bad.Format != "test" {
			t.Errorf("%+v: %d bytes, %v", s, n, err)
		}
		last := error(nil)
		for _, err := range c.Runs() {
			last = err
		}
		if !errors.As(last, &bad) {
			t.Errorf("%+v: runs end with %v", s, last)
		}
	}
	if n, err := v.Open(Stream{Size: 5, Written: 5}).ReadAt(make([]byte, 5), 0); n != 0 || err == nil {
		t.Errorf("no clusters: %d bytes, %v", n, err)
	}
	if _, err := v.Open(Stream{Size: 5}).ReadAt(make([]byte, 5), -1); err == nil {
		t.Error("reading at -1")
	}
}

// broken cannot read bytes 5000 to 5007.
type broken struct{ *bytes.Reader }

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off < 5008 && off+int64(len(p)) > 5000 {
		return 0, errLink
	}
	return b.Reader.ReadAt(p, off)
}

func TestCache(t *testing.T) {
	p := make([]byte, 3<<20+5)
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	c := NewCache(broken{bytes.NewReader(p)})
	for i := range 20000 {
		off, n := rng.Int64N(int64(len(p))), 1+rng.Int64N(8)
		if i%5 == 0 {
			off = off / windowSize * windowSize
			off = max(off-2, 0)
		}
		if i%5 == 1 {
			off = 4096 + rng.Int64N(4096) // in the window that cannot be read
		}
		got, err := c.Uint(off, n)
		if bad := off < 5008 && off+n > 5000 || off+n > int64(len(p)); bad != (err != nil) {
			t.Fatalf("%d bytes at %d: %v", n, off, err)
		}
		want := uint64(0)
		for k := n - 1; err == nil && k >= 0; k-- {
			want = want<<8 | uint64(p[off+k])
		}
		if got != want {
			t.Fatalf("%d bytes at %d: %#x, want %#x", n, off, got, want)
		}
	}
	if _, err := c.Uint(int64(len(p)), 4); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("behind the end: %v", err)
	}
}
