package engine

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// queueDepth is how many pieces wait for a target that is slower than what is
// read for it.
const queueDepth = 4

// queueWriters is how many of them are written at once: a target that has
// written one has the next at hand.
const queueWriters = 2

// same is how finely a target is compared with what it shall hold: a multiple
// of every block size in use, small enough that little is written again.
const same = 64 << 10

// queue writes to a target behind the one who reads, so that source, decoder
// and target work at the same time. Data that touches is joined to pieces of up
// to chunk bytes that begin and end at multiples of chunk, where that can be:
// the target can write those past the page cache.
type queue struct {
	target  Target
	delta   bool // read first, and write only what differs
	free    chan []byte
	full    chan span
	current span // being filled
	failed  atomic.Pointer[error]
	written atomic.Int64 // bytes
	writers sync.WaitGroup
}

// span is a piece on its way to a target. Its place in the buffer is that in
// its chunk of the target, so that aligned data is aligned in memory too.
type span struct {
	buffer []byte // chunk bytes
	off    int64  // of data on the target
	data   []byte // a part of buffer
}

func (s *span) end() int64 { return s.off + int64(len(s.data)) }

// newQueue starts a queue. It must be closed.
func newQueue(ctx context.Context, t Target, delta bool) *queue {
	q := &queue{target: t, delta: delta, free: make(chan []byte, queueDepth), full: make(chan span, queueDepth)}
	for range queueDepth {
		q.free <- nil // allocated when they are needed: many volumes are small
	}
	for range queueWriters {
		q.writers.Go(func() { q.drain(ctx) })
	}
	return q
}

// write takes data for offset off of the target; it does not keep data.
func (q *queue) write(data []byte, off int64) error {
	for len(data) > 0 {
		if err := q.err(); err != nil {
			return err
		}
		if q.current.buffer != nil && (q.current.end() != off || off%chunk == 0) {
			q.submit()
		}
		if q.current.buffer == nil {
			q.current = q.empty(off)
		}
		n := min(len(data), chunk-int(off%chunk))
		q.current.data = append(q.current.data, data[:n]...)
		data, off = data[n:], off+int64(n)
	}
	return nil
}

// empty gives a span that begins at off, waiting for a buffer.
func (q *queue) empty(off int64) span {
	b := <-q.free
	if b == nil {
		b = make([]byte, chunk)
	}
	at := off % chunk
	return span{b, off, b[at:at]}
}

func (q *queue) submit() {
	if q.current.buffer != nil {
		q.full <- q.current
		q.current = span{}
	}
}

// close waits until everything is handed to the target, and gives the first
// error.
func (q *queue) close() error {
	q.submit()
	close(q.full)
	q.writers.Wait()
	return q.err()
}

func (q *queue) err() error {
	if err := q.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (q *queue) drain(ctx context.Context) {
	var old []byte
	if q.delta {
		old = make([]byte, chunk)
	}
	for s := range q.full {
		if q.err() == nil {
			err := ctx.Err()
			if err == nil {
				err = q.put(s, old)
			}
			if err != nil {
				q.failed.CompareAndSwap(nil, &err)
			}
		}
		q.free <- s.buffer
	}
}

// put writes one piece.
func (q *queue) put(s span, old []byte) error {
	if !q.delta {
		return q.writeAt(s.data, s.off)
	}
	old = old[:len(s.data)]
	if n, err := q.target.ReadAt(old, s.off); n < len(old) {
		return targetError(fmt.Sprintf("read at byte %d", s.off), err)
	}
	for from := 0; from < len(s.data); {
		n := differing(s.data[from:], old[from:])
		if n > 0 {
			if err := q.writeAt(s.data[from:from+n], s.off+int64(from)); err != nil {
				return err
			}
			from += n
			continue
		}
		from += min(same, len(s.data)-from)
	}
	return nil
}

// differing is the length of the run of pieces at the start of a and b, of the
// same length, that differ: whole pieces of same bytes, the last one shorter.
func differing(a, b []byte) (n int) {
	for n < len(a) {
		to := min(n+same, len(a))
		if bytes.Equal(a[n:to], b[n:to]) {
			break
		}
		n = to
	}
	return n
}

func (q *queue) writeAt(data []byte, off int64) error {
	if _, err := q.target.WriteAt(data, off); err != nil {
		return targetError(fmt.Sprintf("write at byte %d", off), err)
	}
	q.written.Add(int64(len(data)))
	return nil
}
