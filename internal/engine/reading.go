package engine

import (
	"context"
	"io"
	"iter"
	"sync"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
)

// How a source is read: in pieces of up to chunk bytes that begin and end at
// multiples of readUnit of the disk, so that they can go past the page cache,
// some ahead of who uses them and more than one under way.
const (
	readUnit  = 4096      // bytes
	readsDeep = 3         // under way at once
	readsHeld = 6         // buffers of chunk bytes
	maxHole   = 128 << 10 // bytes: what lies between extents and costs less to read than to go around
)

// piece is a part of an extent that was read.
type piece struct {
	offset int64 // bytes of the volume
	data   []byte
}

// scoop is one read: a range of the volume with all that is wanted of it.
type scoop struct {
	extent.Extent                 // what is read
	wanted        []extent.Extent // in it, ascending
	buffer        []byte          // chunk bytes
	place         int64           // of the range in buffer: that in its chunk of the disk
	failed        extent.Extent   // of wanted: the one that could not be read
	failure       *readError
	done          chan struct{}
}

// scoops cuts extents of a volume of size bytes, which lies at byte base of its
// disk, into reads. None crosses a multiple of chunk of the disk.
//
//	wanted 5000+100 and 9000+100, base 0  →  one read of 4096 to 12288
func scoops(list []extent.Extent, base, size int64) iter.Seq[*scoop] {
	return func(yield func(*scoop) bool) {
		var s *scoop
		give := func() bool {
			if s == nil {
				return true
			}
			first, last := s.wanted[0].Offset, s.wanted[len(s.wanted)-1].End()
			from := max(0, (base+first)&^(readUnit-1)-base)
			to := min(size, (base+last+readUnit-1)&^(readUnit-1)-base)
			s.Extent = extent.Extent{Offset: from, Length: to - from}
			s.place = (base + from) % chunk
			return yield(s)
		}
		for _, e := range list {
			for off := e.Offset; off < e.End(); {
				n := min(e.End()-off, chunk-(base+off)%chunk)
				part := extent.Extent{Offset: off, Length: n}
				if s == nil || !s.takes(part, base) {
					if !give() {
						return
					}
					s = &scoop{done: make(chan struct{})}
				}
				s.wanted = append(s.wanted, part)
				off += n
			}
		}
		give()
	}
}

// takes says whether part is read together with what s has already.
func (s *scoop) takes(part extent.Extent, base int64) bool {
	last := s.wanted[len(s.wanted)-1]
	return part.Offset-last.End() <= maxHole && (base+part.Offset)/chunk == (base+last.Offset)/chunk
}

// data is where a range within s lies in its buffer.
func (s *scoop) data(e extent.Extent) []byte {
	at := s.place + e.Offset - s.Offset
	return s.buffer[at : at+e.Length]
}

// read reads all of s at once; where that fails, only what is wanted, one
// after the other: a hole that cannot be read does no harm.
func (s *scoop) read(r io.ReaderAt) {
	defer close(s.done)
	if n, _ := r.ReadAt(s.data(s.Extent), s.Offset); int64(n) == s.Length {
		return
	}
	for _, e := range s.wanted {
		b := s.data(e)
		n, err := r.ReadAt(b, e.Offset)
		if n < len(b) {
			n, err = readSmall(r, b, e.Offset, n)
		}
		if n == len(b) {
			continue
		}
		if err == nil || err == io.EOF {
			err = errEnded
		}
		s.failed, s.failure = e, &readError{e.Offset + int64(n), err}
		return
	}
}

// small is how much is read at once to find the place that cannot be read: a
// large read past the page cache fails as a whole.
const small = 64 << 10

// readSmall reads b, of which n bytes are there already, in small pieces. It
// gives how many bytes are there then.
func readSmall(r io.ReaderAt, b []byte, off int64, n int) (int, error) {
	for n < len(b) {
		m, err := r.ReadAt(b[n:min(n+small, len(b))], off+int64(n))
		if n += m; err != nil {
			return n, err
		}
		if m == 0 {
			return n, io.EOF
		}
	}
	return n, nil
}

// readAhead reads the extents of a volume ahead of the caller of next.
type readAhead struct {
	ctx     context.Context
	cancel  context.CancelFunc
	free    chan []byte
	order   chan *scoop
	group   sync.WaitGroup
	current *scoop // whose data the caller has
}

// startReadAhead begins to read. The goroutines end with ctx, with stop, or when
// everything was read.
func startReadAhead(ctx context.Context, r io.ReaderAt, v image.Volume, list []extent.Extent) *readAhead {
	a := &readAhead{free: make(chan []byte, readsHeld), order: make(chan *scoop, readsHeld)}
	a.ctx, a.cancel = context.WithCancel(ctx)
	for range readsHeld {
		a.free <- nil // allocated when they are needed: many volumes are small
	}
	work := make(chan *scoop, readsHeld)
	a.group.Go(func() {
		defer close(work)
		defer close(a.order)
		for s := range scoops(list, v.Offset, v.Size) {
			select {
			case s.buffer = <-a.free:
			case <-a.ctx.Done():
				return
			}
			if s.buffer == nil {
				s.buffer = make([]byte, chunk)
			}
			a.order <- s // both have room for as many as there are buffers
			work <- s
		}
	})
	for range readsDeep {
		a.group.Go(func() {
			for s := range work {
				if a.ctx.Err() != nil {
					return
				}
				s.read(r)
			}
		})
	}
	return a
}

// next gives the next piece, whose data is valid until the next call; io.EOF
// behind the last, a readError where the source cannot be read, or the error of
// the context.
func (a *readAhead) next() (piece, error) {
	for a.current == nil || len(a.current.wanted) == 0 {
		if a.current != nil {
			a.free <- a.current.buffer
			a.current = nil
		}
		if err := a.ctx.Err(); err != nil {
			return piece{}, err
		}
		s, ok := <-a.order
		if !ok {
			if err := a.ctx.Err(); err != nil {
				return piece{}, err
			}
			return piece{}, io.EOF
		}
		select {
		case <-s.done:
			a.current = s
		case <-a.ctx.Done():
			return piece{}, a.ctx.Err()
		}
	}
	s := a.current
	e := s.wanted[0]
	if s.failure != nil && e == s.failed {
		return piece{}, s.failure
	}
	s.wanted = s.wanted[1:]
	return piece{offset: e.Offset, data: s.data(e)}, nil
}

// stop ends the goroutines. A read under way is waited for.
func (a *readAhead) stop() {
	a.cancel()
	a.group.Wait()
}
