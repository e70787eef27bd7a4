// Package ahead reads objects that lie far away before their bytes are asked
// for, as long as they are asked for in order, and keeps the pieces read last.
// It hides how long a server takes to answer; it knows no protocol, retries
// nothing and never writes.
package ahead

import (
	"context"
	"io"
	"io/fs"
	"sync"
)

// Options say how much is read ahead. All are needed.
type Options struct {
	Piece    int // bytes that are fetched at once
	Ahead    int // pieces that are read ahead at most
	Parallel int // fetches at a time; with 1 they are in the order of the object
}

// Fetch fills p with the bytes at off, all of which the object has.
type Fetch func(ctx context.Context, p []byte, off int64) error

// Reader reads an object in pieces. It may be used from several goroutines.
type Reader struct {
	fetch Fetch
	size  int64
	opts  Options
	ctx   context.Context
	stop  context.CancelFunc

	mu      sync.Mutex
	workers sync.WaitGroup
	pieces  map[int64]*piece
	queue   []*piece // not fetched yet, oldest first
	active  int      // workers that run
	last    int64    // the piece that was asked for last; -1 at first
	window  int64    // pieces that are read ahead now
	clock   int64    // counts uses
	closed  bool
}

// piece is a part of the object: of number*Piece bytes from its start.
type piece struct {
	number int64
	done   chan struct{} // closed when data or err is there
	data   []byte
	err    error
	used   int64 // clock of the last use
}

// New reads an object of size bytes with fetch, until ctx ends.
func New(ctx context.Context, size int64, opts Options, fetch Fetch) *Reader {
	r := &Reader{fetch: fetch, size: size, opts: opts, pieces: map[int64]*piece{}, last: -1}
	r.ctx, r.stop = context.WithCancel(ctx)
	return r
}

// Size is the size of the object in bytes.
func (r *Reader) Size() int64 { return r.size }

// Close ends what is being fetched.
func (r *Reader) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.workers.Wait()
	return nil
}

// ReadAt implements io.ReaderAt.
func (r *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fs.ErrInvalid
	}
	want := p[:max(0, min(int64(len(p)), r.size-off))]
	batch := int64(r.opts.Ahead) * int64(r.opts.Piece)
	for len(want) > 0 {
		part := want[:min(int64(len(want)), batch)]
		got, err := r.read(part, off)
		if n += got; err != nil {
			return n, err
		}
		want, off = want[got:], off+int64(got)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// read reads what is not more than is read ahead.
func (r *Reader) read(p []byte, off int64) (n int, err error) {
	size := int64(r.opts.Piece)
	first, last := off/size, (off+int64(len(p))-1)/size
	pieces, err := r.take(first, last)
	if err != nil {
		return 0, err
	}
	for _, pc := range pieces {
		select {
		case <-pc.done:
		case <-r.ctx.Done():
			return n, fs.ErrClosed
		}
		if pc.err != nil {
			r.forget(pc)
			return n, pc.err
		}
		n += copy(p[n:], pc.data[off+int64(n)-pc.number*size:])
	}
	return n, nil
}

// take gives the pieces from first to last, and has those behind them fetched
// if the object is being read in order.
func (r *Reader) take(first, last int64) ([]*piece, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, fs.ErrClosed
	}
	var list []*piece
	for i := first; i <= last; i++ {
		list = append(list, r.piece(i))
	}
	switch {
	case first > r.last+r.window+1 || last < r.last-r.window: // somewhere else
		r.window = 0
	case last > r.last: // one step on
		r.window = min(2*r.window+1, int64(r.opts.Ahead))
	}
	if r.last = last; r.window > 0 {
		for i := last + 1; i <= last+r.window && i*int64(r.opts.Piece) < r.size; i++ {
			r.piece(i)
		}
	}
	r.evict()
	return list, nil
}

// piece gives a piece, which is fetched if it is not there; the lock is held.
func (r *Reader) piece(number int64) *piece {
	r.clock++
	if pc := r.pieces[number]; pc != nil {
		pc.used = r.clock
		return pc
	}
	pc := &piece{number: number, done: make(chan struct{}), used: r.clock}
	r.pieces[number] = pc
	r.queue = append(r.queue, pc)
	if r.active < r.opts.Parallel {
		r.active++
		r.workers.Go(r.work)
	}
	return pc
}

// work fetches pieces until none is waiting.
func (r *Reader) work() {
	for {
		r.mu.Lock()
		if len(r.queue) == 0 {
			r.active--
			r.mu.Unlock()
			return
		}
		pc := r.queue[0]
		r.queue = r.queue[1:]
		r.mu.Unlock()
		off := pc.number * int64(r.opts.Piece)
		data := make([]byte, min(int64(r.opts.Piece), r.size-off))
		if pc.err = r.ctx.Err(); pc.err == nil {
			pc.err = r.fetch(r.ctx, data, off)
		}
		pc.data = data
		close(pc.done)
	}
}

// forget lets a piece that could not be fetched be tried again.
func (r *Reader) forget(pc *piece) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pieces[pc.number] == pc {
		delete(r.pieces, pc.number)
	}
}

// evict forgets the pieces whose use is longest ago; the lock is held. Who
// waits for one of them has it still.
func (r *Reader) evict() {
	for len(r.pieces) > 2*r.opts.Ahead+2 {
		var oldest *piece
		for _, pc := range r.pieces {
			if oldest == nil || pc.used < oldest.used {
				oldest = pc
			}
		}
		delete(r.pieces, oldest.number)
	}
}
