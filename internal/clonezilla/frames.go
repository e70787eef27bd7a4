package clonezilla

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/zeebo/blake3"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// The frames file; FORMAT.md has its bytes.
const (
	framesMagic  = "DOPFRAME"
	framesHeader = 64
	framesEntry  = 72
	framesSum    = 32
	frameBytes   = 1 << 20   // of a raw frame and of a piece of a bitmap
	maxPlain     = 128 << 20 // bytes of one frame unpacked, and packed
)

// frameKind says what a frame holds.
type frameKind uint32

// The kinds, in the order in which they lie in a stream.
const (
	kindHeader    frameKind = iota // partclone's header
	kindBitmap                     // a piece of the bitmap
	kindBitmapSum                  // its checksum
	kindData                       // blocks, with their checksum in a partclone stream
	kindSeek                       // zstd's seek table
)

// What a stream is, and how its frames are packed.
const (
	streamPartclone = 1
	streamRaw       = 2
	packedNot       = 0
	packedZstd      = 1
	packedGzip      = 2
)

// framesHead is the header of a frames file.
type framesHead struct {
	stream, packed uint32
	blockSize      int64 // bytes; 1 for a raw stream
	volumeSize     int64 // bytes
	entries        int64
	used           int64 // blocks
}

func (h framesHead) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, framesHeader)
	copy(b, framesMagic)
	le.PutUint32(b[8:], 1)
	le.PutUint32(b[12:], h.stream)
	le.PutUint32(b[16:], h.packed)
	le.PutUint32(b[20:], uint32(h.blockSize))
	le.PutUint64(b[24:], uint64(h.volumeSize))
	le.PutUint64(b[32:], uint64(h.entries))
	le.PutUint64(b[40:], uint64(h.used))
	return b
}

func parseFramesHead(b []byte) (framesHead, error) {
	le := binary.LittleEndian
	if len(b) < framesHeader || string(b[:8]) != framesMagic {
		return framesHead{}, fmt.Errorf("%w: not a frames file", image.ErrDamaged)
	}
	if v := le.Uint32(b[8:]); v != 1 {
		return framesHead{}, fmt.Errorf("%w: frames file of version %d", ErrNotYet, v)
	}
	h := framesHead{
		stream:     le.Uint32(b[12:]),
		packed:     le.Uint32(b[16:]),
		blockSize:  int64(le.Uint32(b[20:])),
		volumeSize: int64(le.Uint64(b[24:])),
		entries:    int64(le.Uint64(b[32:])),
		used:       int64(le.Uint64(b[40:])),
	}
	if h.stream-1 > 1 || h.packed > packedGzip || h.blockSize < 1 || h.volumeSize < 0 || h.volumeSize > math.MaxInt64/4 ||
		h.entries < 0 || h.entries > math.MaxInt64/framesEntry/2 || h.used < 0 || h.used > h.volumeSize/h.blockSize ||
		[16]byte(b[48:]) != [16]byte{} {
		return framesHead{}, fmt.Errorf("%w: header of the frames file", image.ErrDamaged)
	}
	return h, nil
}

// frame is one entry of a frames file.
type frame struct {
	offset        int64 // bytes in the stored stream
	stored, plain uint32
	first, end    int64 // blocks of the volume: from first to before end
	used          uint32
	kind          frameKind
	sum           [32]byte
}

func (f frame) encode(b *[framesEntry]byte) {
	le := binary.LittleEndian
	le.PutUint64(b[0:], uint64(f.offset))
	le.PutUint32(b[8:], f.stored)
	le.PutUint32(b[12:], f.plain)
	le.PutUint64(b[16:], uint64(f.first))
	le.PutUint64(b[24:], uint64(f.end))
	le.PutUint32(b[32:], f.used)
	le.PutUint32(b[36:], uint32(f.kind))
	copy(b[40:], f.sum[:])
}

func parseFrame(b *[framesEntry]byte) frame {
	le := binary.LittleEndian
	return frame{
		offset: int64(le.Uint64(b[0:])),
		stored: le.Uint32(b[8:]),
		plain:  le.Uint32(b[12:]),
		first:  int64(le.Uint64(b[16:])),
		end:    int64(le.Uint64(b[24:])),
		used:   le.Uint32(b[32:]),
		kind:   frameKind(le.Uint32(b[36:])),
		sum:    [32]byte(b[40:]),
	}
}

// follows tells whether f can stand behind the entry before.
func (f frame) follows(before frame, h framesHead) error {
	wrong := func(what string) error {
		return fmt.Errorf("%w: frames file: %s of the frame at byte %d", image.ErrDamaged, what, f.offset)
	}
	switch {
	case f.offset != before.offset+int64(before.stored):
		return wrong("place")
	case f.kind > kindSeek || f.kind < before.kind:
		return wrong("kind")
	case f.stored > maxPlain || f.plain > maxPlain || h.packed == packedNot && f.plain != f.stored:
		return wrong("length")
	case f.kind != kindData:
		if f.first != 0 || f.end != 0 || f.used != 0 {
			return wrong("blocks")
		}
		return nil
	case f.first < before.end || f.end <= f.first || f.end > h.volumeSize/h.blockSize ||
		int64(f.used) > f.end-f.first || f.used == 0:
		return wrong("blocks")
	case int64(f.plain) != int64(f.used)*h.blockSize+h.sumSize():
		return wrong("unpacked length")
	}
	return nil
}

// sumSize is the bytes of the checksum at the end of every frame of blocks.
func (h framesHead) sumSize() int64 {
	if h.stream == streamPartclone {
		return 4
	}
	return 0
}

// framesWriter writes a frames file.
type framesWriter struct {
	object store.Object
	buf    *bufio.Writer
	hash   *blake3.Hasher
	entry  [framesEntry]byte
}

func newFramesWriter(o store.Object, h framesHead) (*framesWriter, error) {
	w := &framesWriter{object: o, buf: bufio.NewWriterSize(o, 64<<10), hash: blake3.New()}
	return w, w.write(h.encode())
}

func (w *framesWriter) write(b []byte) error {
	w.hash.Write(b)
	_, err := w.buf.Write(b)
	return err
}

func (w *framesWriter) add(f frame) error {
	f.encode(&w.entry)
	return w.write(w.entry[:])
}

// finish writes the sum and commits the file. It gives the BLAKE3 of the whole file.
func (w *framesWriter) finish() (sum [32]byte, err error) {
	if err := w.write(w.hash.Sum(nil)); err != nil {
		return sum, err
	}
	if err := w.buf.Flush(); err != nil {
		return sum, err
	}
	return [32]byte(w.hash.Sum(nil)), w.object.Commit()
}

// framesFile is a frames file, opened and checked.
type framesFile struct {
	framesHead
	in       io.ReaderAt
	data     int64 // index of the first frame of blocks
	dataEnd  int64 // index behind the last one
	storeEnd int64 // bytes of the stored stream
}

// openFrames reads a frames file of size bytes once and checks that all of its
// entries fit each other and its sum.
func openFrames(in io.ReaderAt, size int64) (*framesFile, error) {
	buf := bufio.NewReaderSize(io.NewSectionReader(in, 0, size), 64<<10)
	hash := blake3.New()
	r := io.TeeReader(buf, hash)
	var head [framesHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("%w: frames file is cut", image.ErrDamaged)
	}
	h, err := parseFramesHead(head[:])
	if err != nil {
		return nil, err
	}
	if size != framesHeader+h.entries*framesEntry+framesSum {
		return nil, fmt.Errorf("%w: frames file has %d bytes for %d frames", image.ErrDamaged, size, h.entries)
	}
	f := &framesFile{framesHead: h, in: in, data: h.entries, dataEnd: h.entries}
	if err := f.check(r); err != nil {
		return nil, err
	}
	want := hash.Sum(nil)
	var got [framesSum]byte
	if _, err := io.ReadFull(buf, got[:]); err != nil || string(got[:]) != string(want) {
		return nil, fmt.Errorf("%w: sum of the frames file", image.ErrDamaged)
	}
	return f, nil
}

// check reads all entries from r.
func (f *framesFile) check(r io.Reader) error {
	var b [framesEntry]byte
	var before frame
	used := int64(0)
	for i := range f.entries {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return fmt.Errorf("%w: frames file is cut", image.ErrDamaged)
		}
		e := parseFrame(&b)
		if err := e.follows(before, f.framesHead); err != nil {
			return err
		}
		if e.kind == kindData && f.data == f.entries {
			f.data = i
		}
		if e.kind == kindSeek {
			f.dataEnd = min(f.dataEnd, i)
		} else {
			e.end = max(e.end, before.end)
		}
		used += int64(e.used)
		before = e
	}
	f.data = min(f.data, f.dataEnd)
	f.storeEnd = before.offset + int64(before.stored)
	if used != f.used {
		return fmt.Errorf("%w: frames hold %d blocks, their header says %d", image.ErrDamaged, used, f.used)
	}
	return nil
}

// frame reads entry i.
func (f *framesFile) frame(i int64) (frame, error) {
	var b [framesEntry]byte
	if _, err := f.in.ReadAt(b[:], framesHeader+i*framesEntry); err != nil {
		return frame{}, fmt.Errorf("frames file: %w", err)
	}
	e := parseFrame(&b)
	if e.stored > maxPlain || e.plain > maxPlain { // the file changed since it was opened
		return frame{}, fmt.Errorf("%w: frames file", image.ErrDamaged)
	}
	return e, nil
}

// find gives the index of the first frame of blocks that ends behind block;
// dataEnd where there is none.
func (f *framesFile) find(block int64) (int64, error) {
	low, high := f.data, f.dataEnd
	for low < high {
		middle := low + (high-low)/2
		e, err := f.frame(middle)
		if err != nil {
			return 0, err
		}
		if e.end > block {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}
