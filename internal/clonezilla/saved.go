package clonezilla

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/partclone"
	"doppel.live/internal/record"
	"doppel.live/internal/store"
)

// empty is a volume without data: swap, or left out.
type empty struct{ volume image.Volume }

var _ image.Saved = empty{}

func (e empty) Volume() image.Volume { return e.volume }
func (e empty) Allocated() iter.Seq2[extent.Extent, error] {
	return func(func(extent.Extent, error) bool) {}
}
func (e empty) Records(context.Context) record.Reader { return e }
func (e empty) ReadRecord() (record.Record, error)    { return record.Record{}, io.EOF }
func (e empty) Frames() iter.Seq2[image.Frame, error] { return func(func(image.Frame, error) bool) {} }
func (e empty) Close() error                          { return nil }

func (e empty) ReadAt(p []byte, off int64) (int, error) {
	return readZeros(p, off, e.volume.Size)
}

// readZeros fills p as ReadAt does on size bytes of zeros.
func readZeros(p []byte, off, size int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at byte %d", off)
	}
	n = int(max(0, min(int64(len(p)), size-off)))
	clear(p[:n])
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// cachedFrames is how many unpacked frames a volume keeps for ReadAt.
const cachedFrames = 8

// framed is a volume in frames, with its frames file.
type framed struct {
	*framesFile
	volume image.Volume
	bitmap *partclone.Bitmap // nil in a raw stream
	data   store.Reader
	table  store.Reader // the frames file
	tail   []byte       // what lies behind the last whole block

	life    context.Context // ends with Close
	end     context.CancelFunc
	readers sync.WaitGroup // goroutines of Records

	mu     sync.Mutex // for what follows
	unpack unpacker
	packed []byte
	cache  []cached // the last used one first
}

// cached is a frame unpacked.
type cached struct {
	frame
	index int64
	data  []byte
}

var _ image.Saved = (*framed)(nil)

func openFramed(d *directory, v image.Volume) (_ *framed, err error) {
	s := &framed{volume: v}
	s.life, s.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.table, err = d.store.Open(d.path(framesName(v.File))); err != nil {
		return nil, err
	}
	if s.data, err = d.openParts(v.File); err != nil {
		return nil, err
	}
	if s.framesFile, err = openFrames(s.table, s.table.Size()); err != nil {
		return nil, err
	}
	if s.volumeSize != v.Size || s.storeEnd != s.data.Size() || (s.stream == streamRaw) != (v.Method == image.Raw) {
		return nil, fmt.Errorf("%w: %s, its frames file and doppel.json are not of each other", image.ErrDamaged, v.File)
	}
	if s.unpack, err = newUnpacker(s.framesFile.packed); err != nil {
		return nil, err
	}
	if s.stream == streamPartclone {
		if err := s.readBitmap(); err != nil {
			return nil, err
		}
	}
	if err := s.readTail(d); err != nil {
		return nil, err
	}
	if s.used*s.blockSize+int64(len(s.tail)) != v.Used || s.stream == streamRaw && v.Used != v.Size {
		return nil, fmt.Errorf("%w: %s holds %d bytes of the volume, not %d", image.ErrDamaged, v.File, s.used*s.blockSize+int64(len(s.tail)), v.Used)
	}
	return s, nil
}

// readBitmap reads and checks the frames before the blocks.
func (s *framed) readBitmap() error {
	r := &frameReader{saved: s, end: s.framesFile.data}
	head := make([]byte, partclone.HeaderSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	h, err := partclone.ParseHeader(head)
	if err != nil {
		return err
	}
	if h.BlockSize != s.blockSize || h.DeviceSize != s.volumeSize || h.Blocks != s.volumeSize/s.blockSize ||
		h.Used != s.used || h.Checksum != partclone.ChecksumCRC32 {
		return fmt.Errorf("%w: header of the stream does not fit the frames file", image.ErrDamaged)
	}
	if s.bitmap, err = partclone.ReadBitmap(r, h); err != nil {
		return err
	}
	if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return fmt.Errorf("%w: frames before the blocks", image.ErrDamaged)
	}
	return nil
}

func (s *framed) readTail(d *directory) (err error) {
	if s.stream == streamPartclone && d.has(tailFile(s.volume)) {
		s.tail, err = d.readChecked(tailFile(s.volume), s.volumeSize%s.blockSize)
	}
	return err
}

// frameReader reads the content of frames from next to before end, one behind the other.
type frameReader struct {
	saved     *framed
	next, end int64
	rest      []byte
}

func (r *frameReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.next >= r.end {
			return 0, io.EOF
		}
		c, err := r.saved.load(r.next, nil)
		if err != nil {
			return 0, err
		}
		r.rest = c.data
		r.next++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// readPacked reads the stored bytes of f into buf, which may grow.
func (s *framed) readPacked(f frame, buf []byte) ([]byte, error) {
	if int64(f.stored) > s.data.Size()-f.offset {
		return nil, fmt.Errorf("%w: frame at byte %d is cut", image.ErrDamaged, f.offset)
	}
	if cap(buf) < int(f.stored) {
		buf = make([]byte, f.stored)
	}
	buf = buf[:f.stored]
	if _, err := s.data.ReadAt(buf, f.offset); err != nil {
		return nil, fmt.Errorf("frame at byte %d: %w", f.offset, err)
	}
	return buf, nil
}

// load reads, checks and unpacks frame i into buf. The lock is held, or
// nothing else uses s yet.
func (s *framed) load(i int64, buf []byte) (c cached, err error) {
	c.index = i
	if c.frame, err = s.frame(i); err != nil {
		return c, err
	}
	if s.packed, err = s.readPacked(c.frame, s.packed); err != nil {
		return c, err
	}
	c.data, err = s.checkFrame(s.unpack, buf[:0], c.frame, s.packed)
	if err == nil && int64(c.used) != s.usedIn(c.frame) {
		err = fmt.Errorf("%w: frame at byte %d does not fit the bitmap", image.ErrDamaged, c.offset)
	}
	return c, err
}

// usedIn is the number of blocks in use in the range of a frame.
func (s *framed) usedIn(f frame) (n int64) {
	if f.kind != kindData || s.bitmap == nil {
		return f.end - f.first
	}
	for _, count := range s.bitmap.Runs(f.first, f.end) {
		n += count
	}
	return n
}

// runs gives the extents that a frame holds, in bytes of the volume.
func (s *framed) runs(f frame) iter.Seq[extent.Extent] {
	return func(yield func(extent.Extent) bool) {
		if s.bitmap == nil {
			yield(extent.Extent{Offset: f.first * s.blockSize, Length: (f.end - f.first) * s.blockSize})
			return
		}
		for first, n := range s.bitmap.Runs(f.first, f.end) {
			if !yield(extent.Extent{Offset: first * s.blockSize, Length: n * s.blockSize}) {
				return
			}
		}
	}
}

// Volume implements image.Saved.
func (s *framed) Volume() image.Volume { return s.volume }

// Allocated implements image.Saved.
func (s *framed) Allocated() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		if s.bitmap == nil {
			if s.volumeSize > 0 {
				yield(extent.Extent{Length: s.volumeSize}, nil)
			}
			return
		}
		tail := s.tailExtent()
		for e := range s.bitmap.Extents(s.blockSize) {
			if e.End() == tail.Offset { // they are one extent
				e.Length += tail.Length
				tail.Length = 0
			}
			if !yield(e, nil) {
				return
			}
		}
		if tail.Length > 0 {
			yield(tail, nil)
		}
	}
}

// tailExtent is what lies behind the last whole block and was saved.
func (s *framed) tailExtent() extent.Extent {
	return extent.Extent{Offset: s.volumeSize / s.blockSize * s.blockSize, Length: int64(len(s.tail))}
}

// Frames implements image.Saved.
func (s *framed) Frames() iter.Seq2[image.Frame, error] {
	return func(yield func(image.Frame, error) bool) {
		for i := range s.entries {
			f, err := s.frame(i)
			if err != nil {
				yield(image.Frame{}, err)
				return
			}
			out := image.Frame{Offset: f.offset, Length: int64(f.stored), Sum: f.sum}
			if f.kind == kindData {
				for e := range s.runs(f) {
					out.Extents = append(out.Extents, e)
				}
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

// ReadAt implements io.ReaderAt.
func (s *framed) ReadAt(p []byte, off int64) (int, error) {
	n, end := readZeros(p, off, s.volumeSize)
	if n == 0 {
		return 0, end
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	want := extent.Extent{Offset: off, Length: int64(n)}
	tail := s.tailExtent()
	copyInto(p, want, s.tail, tail)
	i, err := s.find(off / s.blockSize)
	for ; err == nil && i < s.dataEnd; i++ {
		var c *cached
		if c, err = s.cachedFrame(i, want); c == nil || err != nil {
			break
		}
		data := c.data
		for e := range s.runs(c.frame) {
			copyInto(p, want, data, e)
			data = data[e.Length:]
		}
	}
	if err != nil {
		return 0, err
	}
	return n, end
}

// copyInto copies what data, lying at e, has in common with p, lying at want.
func copyInto(p []byte, want extent.Extent, data []byte, e extent.Extent) {
	from, to := max(want.Offset, e.Offset), min(want.End(), e.End())
	if from < to {
		copy(p[from-want.Offset:], data[from-e.Offset:to-e.Offset])
	}
}

// cachedFrame gives frame i unpacked; nil where it begins behind want.
func (s *framed) cachedFrame(i int64, want extent.Extent) (*cached, error) {
	for at, c := range s.cache {
		if c.index == i {
			copy(s.cache[1:at+1], s.cache[:at])
			s.cache[0] = c
			return s.within(c, want), nil
		}
	}
	f, err := s.frame(i)
	if err != nil || f.first*s.blockSize >= want.End() {
		return nil, err
	}
	var buf []byte
	if len(s.cache) == cachedFrames {
		buf, s.cache = s.cache[cachedFrames-1].data, s.cache[:cachedFrames-1]
	}
	c, err := s.load(i, buf)
	if err != nil {
		return nil, err
	}
	s.cache = append([]cached{c}, s.cache...)
	return &s.cache[0], nil
}

func (s *framed) within(c cached, want extent.Extent) *cached {
	if c.first*s.blockSize >= want.End() {
		return nil
	}
	return &c
}

// Close implements image.Saved.
func (s *framed) Close() error {
	s.end()
	s.readers.Wait()
	for _, r := range []store.Reader{s.data, s.table} {
		if r != nil {
			r.Close()
		}
	}
	return nil
}
