package clonezilla

import (
	"context"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/record"
)

// Records implements image.Saved.
func (s *framed) Records(ctx context.Context) record.Reader {
	return &framedRecords{ctx: ctx, saved: s, next: s.framesFile.data}
}

// framedRecords reads a volume frame by frame.
type framedRecords struct {
	ctx   context.Context
	saved *framed
	next  int64 // frame
	buf   []byte
	data  []byte          // of the present frame, not given yet
	runs  []extent.Extent // of the present frame, not given yet
	tail  bool            // was given
}

// ReadRecord implements record.Reader.
func (r *framedRecords) ReadRecord() (record.Record, error) {
	s := r.saved
	for len(r.runs) == 0 {
		if r.next >= s.dataEnd {
			if r.tail || len(s.tail) == 0 {
				return record.Record{}, io.EOF
			}
			r.tail = true
			return record.Record{Volume: s.volume.Index, Offset: s.tailExtent().Offset, Data: s.tail}, nil
		}
		if err := r.load(); err != nil {
			return record.Record{}, err
		}
	}
	e := r.runs[0]
	out := record.Record{Volume: s.volume.Index, Offset: e.Offset, Data: r.data[:e.Length]}
	r.runs, r.data = r.runs[1:], r.data[e.Length:]
	return out, nil
}

func (r *framedRecords) load() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.saved.mu.Lock()
	defer r.saved.mu.Unlock()
	c, err := r.saved.load(r.next, r.buf)
	if err != nil {
		return err
	}
	r.buf, r.data, r.runs = c.data, c.data, r.runs[:0]
	for e := range r.saved.runs(c.frame) {
		r.runs = append(r.runs, e)
	}
	r.next++
	return nil
}
