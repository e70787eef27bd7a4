package clonezilla

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync/atomic"

	"doppel.live/internal/clonezilla/unpack"
	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/partclone"
	"doppel.live/internal/record"
)

// forward is a volume in one compressed stream, as real Clonezilla saves it:
// it can be read from its start to its end and in no other way.
type forward struct {
	directory *directory
	volume    image.Volume
	read      atomic.Int64 // stored bytes that were read
}

// counted counts the bytes that are read.
type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

var _ image.Saved = (*forward)(nil)

func openForward(d *directory, v image.Volume) (*forward, error) {
	f := &forward{directory: d, volume: v}
	in, err := f.unpack()
	if err != nil {
		return nil, err
	}
	return f, in.Close()
}

// stream is an unpacked stream and all that must be closed behind it, in that
// order.
type stream struct {
	io.Reader
	closers []io.Closer
}

func (s *stream) Close() error {
	for _, c := range s.closers {
		c.Close()
	}
	return nil
}

// unpack opens the volume's files as one unpacked stream.
func (f *forward) unpack() (_ *stream, err error) {
	s := new(stream)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	parts, err := f.directory.parts(f.volume.File)
	if err != nil {
		return nil, err
	}
	var readers []io.Reader
	for _, part := range parts {
		r, err := f.directory.store.Open(f.directory.path(part))
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, r)
		readers = append(readers, counted{io.NewSectionReader(r, 0, r.Size()), &f.read})
	}
	in := bufio.NewReaderSize(io.MultiReader(readers...), 1<<20)
	name, ok := parseImageFile(f.volume.File)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNotYet, clean(f.volume.File))
	}
	unpacked, err := unpack.New(in, clean(name.suffix))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clean(f.volume.File), err)
	}
	s.Reader, s.closers = unpacked, slices.Insert(s.closers, 0, io.Closer(unpacked)) // it may read the others until then
	return s, nil
}

// Volume implements image.Saved.
func (f *forward) Volume() image.Volume { return f.volume }

// ReadAt implements io.ReaderAt: it cannot be done.
func (f *forward) ReadAt([]byte, int64) (int, error) {
	return 0, fmt.Errorf("%s: %w: doppel convert makes an image of it that can be read anywhere", f.volume.Name, ErrForward)
}

// Allocated implements image.Saved.
func (f *forward) Allocated() iter.Seq2[extent.Extent, error] {
	if f.volume.Method == image.Raw {
		return func(yield func(extent.Extent, error) bool) {
			if f.volume.Size > 0 {
				yield(extent.Extent{Length: f.volume.Size}, nil)
			}
		}
	}
	return func(yield func(extent.Extent, error) bool) {
		in, err := f.unpack()
		if err != nil {
			yield(extent.Extent{}, err)
			return
		}
		defer in.Close()
		r, err := f.partclone(in)
		if err != nil {
			yield(extent.Extent{}, err)
			return
		}
		r.Allocated()(yield)
	}
}

// partclone reads the head of the stream and checks that it fits the volume.
func (f *forward) partclone(in io.Reader) (*partclone.Reader, error) {
	r, err := partclone.NewReader(in, f.volume.Size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clean(f.volume.File), unpack.Damaged(err))
	}
	return r, nil
}

// Frames implements image.Saved: there are none.
func (f *forward) Frames() iter.Seq2[image.Frame, error] {
	return func(yield func(image.Frame, error) bool) {
		yield(image.Frame{}, fmt.Errorf("%s: %w", f.volume.Name, ErrForward))
	}
}

// Close implements image.Saved.
func (f *forward) Close() error { return nil }

// Records implements image.Saved. The files stay open until the last record,
// an error, or the end of ctx is seen by ReadRecord.
func (f *forward) Records(ctx context.Context) record.Reader {
	return &forwardRecords{ctx: ctx, saved: f}
}

type forwardRecords struct {
	ctx    context.Context
	saved  *forward
	in     *stream
	blocks *partclone.Reader // nil for a raw stream
	buf    []byte
	offset int64 // of a raw stream
	err    error
}

// ReadRecord implements record.Reader.
func (r *forwardRecords) ReadRecord() (record.Record, error) {
	if r.err == nil {
		r.err = r.ctx.Err()
	}
	if r.err == nil && r.in == nil {
		r.err = r.open()
	}
	var out record.Record
	if r.err == nil {
		out, r.err = r.read()
	}
	if r.err != nil {
		if r.in != nil {
			r.in.Close()
			r.in = nil
		}
		if r.err == io.EOF {
			return record.Record{}, io.EOF
		}
		return record.Record{}, r.err
	}
	return out, nil
}

func (r *forwardRecords) open() (err error) {
	if r.in, err = r.saved.unpack(); err != nil {
		return err
	}
	if r.saved.volume.Method == image.Raw {
		r.buf = make([]byte, frameBytes)
		return nil
	}
	r.blocks, err = r.saved.partclone(r.in)
	return err
}

func (r *forwardRecords) read() (record.Record, error) {
	v := r.saved.volume
	if r.blocks != nil {
		offset, data, err := r.blocks.Next()
		return record.Record{Volume: v.Index, Offset: offset, Data: data}, unpack.Damaged(err)
	}
	// Not by io.ReadFull: decompressors too say of a stream that is cut off that
	// its end was unexpected.
	n, err := 0, error(nil)
	for n < len(r.buf) && err == nil {
		var k int
		k, err = r.in.Read(r.buf[n:])
		n += k
	}
	if err == io.EOF && n > 0 {
		err = nil // the next read says it again
	}
	if err == io.EOF && r.offset != v.Size || int64(n) > v.Size-r.offset {
		err = fmt.Errorf("%w: %s does not hold the %d bytes of the partition", image.ErrDamaged, v.File, v.Size)
	}
	out := record.Record{Volume: v.Index, Offset: r.offset, Data: r.buf[:n]}
	r.offset += int64(n)
	return out, unpack.Damaged(err)
}
