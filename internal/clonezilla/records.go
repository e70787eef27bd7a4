package clonezilla

import (
	"context"
	"fmt"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/record"
)

// Records implements image.Saved. Frames are read, checked and unpacked ahead
// of the caller, on all processors, until the last record, an error, or the end
// of ctx is seen; the goroutines end with ctx, or with Close.
func (s *framed) Records(ctx context.Context) record.Reader {
	return &framedRecords{ctx: ctx, saved: s}
}

// framedRecords reads a volume frame by frame.
type framedRecords struct {
	ctx    context.Context
	saved  *framed
	frames chan *unpacked // nil before the first record
	spare  chan []byte    // buffers for frames
	end    error          // why frames was closed; io.EOF where it holds all
	data   []byte         // of the present frame, not given yet
	whole  []byte         // the present frame
	held   bool           // there is a present frame
	runs   []extent.Extent
	tail   bool // was given
}

// unpacked is a frame with its content.
type unpacked struct {
	frame
	data []byte
}

// ReadRecord implements record.Reader.
func (r *framedRecords) ReadRecord() (record.Record, error) {
	s := r.saved
	for len(r.runs) == 0 {
		err := r.load()
		if err == io.EOF && !r.tail && len(s.tail) > 0 {
			r.tail = true
			return record.Record{Volume: s.volume.Index, Offset: s.tailExtent().Offset, Data: s.tail}, nil
		}
		if err != nil {
			return record.Record{}, err
		}
	}
	e := r.runs[0]
	out := record.Record{Volume: s.volume.Index, Offset: e.Offset, Data: r.data[:e.Length]}
	r.runs, r.data = r.runs[1:], r.data[e.Length:]
	return out, nil
}

// load waits for the next frame.
func (r *framedRecords) load() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.frames == nil {
		r.start()
	}
	if r.held {
		r.spare <- r.whole
		r.held = false
	}
	f, ok := <-r.frames
	if !ok {
		return r.end
	}
	r.held, r.whole, r.data, r.runs = true, f.data, f.data, r.runs[:0]
	for e := range r.saved.runs(f.frame) {
		r.runs = append(r.runs, e)
	}
	return nil
}

// framesAhead is how many unpacked frames wait for the caller.
const framesAhead = 6

// start begins to unpack. The goroutine below ends all others before it ends.
func (r *framedRecords) start() {
	s := r.saved
	frames, spare := make(chan *unpacked, framesAhead), make(chan []byte, framesAhead+1)
	for range framesAhead + 1 { // one more is with the caller
		spare <- nil
	}
	r.frames, r.spare = frames, spare
	ctx, cancel := context.WithCancel(r.ctx)
	context.AfterFunc(s.life, cancel)
	hand := func(j *job) error {
		select {
		case b := <-spare:
			f := &unpacked{j.frame, j.plainData}
			j.plainData = b[:0]
			frames <- f // has room for as many as there are buffers
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.readers.Go(func() {
		defer cancel()
		defer close(frames)
		if r.end = s.unpackAll(ctx, hand); r.end == nil {
			r.end = io.EOF
		} else if err := r.ctx.Err(); err != nil {
			r.end = err
		}
	})
}

// unpackAll hands every frame of blocks on, in order.
func (s *framed) unpackAll(ctx context.Context, hand func(*job) error) error {
	p, err := startPipeline(0, s.frameUnpacker, hand)
	if err != nil {
		return err
	}
	for i := s.framesFile.data; i < s.dataEnd; i++ {
		j, err := p.next()
		if err != nil {
			break // the pipeline has it too
		}
		if err = ctx.Err(); err == nil {
			j.frame, err = s.frame(i)
		}
		if err == nil {
			j.packData, err = s.readPacked(j.frame, j.packData)
		}
		if err != nil {
			p.fail(err)
			p.free <- j
			break
		}
		p.submit(j)
	}
	return p.finish()
}

// frameUnpacker gives a worker that checks and unpacks frames.
func (s *framed) frameUnpacker() (func(*job) error, error) {
	unpack, err := newUnpacker(s.framesFile.packed)
	if err != nil {
		return nil, err
	}
	return func(j *job) (err error) {
		j.plainData, err = s.checkFrame(unpack, j.plainData[:0], j.frame, j.packData)
		if err == nil && int64(j.used) != s.usedIn(j.frame) {
			err = fmt.Errorf("%w: frame at byte %d does not fit the bitmap", image.ErrDamaged, j.offset)
		}
		return err
	}, nil
}
