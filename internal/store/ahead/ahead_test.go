package ahead

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// source counts the fetches of an object and fails those that it is told to.
type source struct {
	data    []byte
	fetches atomic.Int64
	fail    atomic.Bool
	mu      sync.Mutex
	order   []int64
}

var errFetch = errors.New("cut")

func (s *source) fetch(_ context.Context, p []byte, off int64) error {
	s.fetches.Add(1)
	s.mu.Lock()
	s.order = append(s.order, off)
	s.mu.Unlock()
	if s.fail.Load() {
		return errFetch
	}
	if copy(p, s.data[off:]) != len(p) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func newSource(n int) *source {
	s := &source{data: make([]byte, n)}
	for i := range s.data {
		s.data[i] = byte(i*7 + i>>8)
	}
	return s
}

func TestReadsAnyRange(t *testing.T) {
	for _, size := range []int{0, 1, 99, 100, 101, 12345} {
		s := newSource(size)
		r := New(context.Background(), int64(size), Options{Piece: 100, Ahead: 4, Parallel: 3}, s.fetch)
		random := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			off, n := random.Int64N(int64(size)+50), random.IntN(1500)
			p := make([]byte, n)
			got, err := r.ReadAt(p, off)
			want := s.data[min(off, int64(size)):min(off+int64(n), int64(size))]
			if !bytes.Equal(p[:got], want) || (err == io.EOF) != (got < n) || err != nil && err != io.EOF {
				t.Fatalf("size %d: %d bytes at %d: %d, %v", size, n, off, got, err)
			}
		}
		r.Close()
		if _, err := r.ReadAt(make([]byte, 1), 0); size > 0 && !errors.Is(err, fs.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	}
}

func TestFetchesEachPieceOnceAndInOrder(t *testing.T) {
	s := newSource(10_000)
	r := New(context.Background(), 10_000, Options{Piece: 100, Ahead: 8, Parallel: 1}, s.fetch)
	defer r.Close()
	if got, err := io.ReadAll(io.NewSectionReader(r, 0, 10_000)); err != nil || !bytes.Equal(got, s.data) {
		t.Fatal(len(got), err)
	}
	if n := s.fetches.Load(); n != 100 {
		t.Errorf("%d fetches of 100 pieces", n)
	}
	for i, off := range s.order {
		if off != int64(i)*100 {
			t.Fatalf("fetch %d at %d", i, off)
		}
	}
}

func TestTriesAgainAfterAnError(t *testing.T) {
	s := newSource(1000)
	r := New(context.Background(), 1000, Options{Piece: 100, Ahead: 4, Parallel: 2}, s.fetch)
	defer r.Close()
	s.fail.Store(true)
	if _, err := r.ReadAt(make([]byte, 10), 0); !errors.Is(err, errFetch) {
		t.Fatal(err)
	}
	s.fail.Store(false)
	for range 10 { // pieces that were read ahead in vain tell it once each
		if got, err := r.ReadAt(make([]byte, 10), 0); err == nil && got == 10 {
			return
		}
	}
	t.Error("an error stays for ever")
}

func TestManyReaders(t *testing.T) {
	s := newSource(100_000)
	r := New(context.Background(), 100_000, Options{Piece: 100, Ahead: 8, Parallel: 4}, s.fetch)
	defer r.Close()
	var wg sync.WaitGroup
	for k := range 8 {
		wg.Go(func() {
			p := make([]byte, 333)
			for off := k * 1000; off+333 < 100_000; off += 777 {
				if _, err := r.ReadAt(p, int64(off)); err != nil || !bytes.Equal(p, s.data[off:off+333]) {
					t.Errorf("at %d: %v", off, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
