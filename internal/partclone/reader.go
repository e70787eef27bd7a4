package partclone

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"iter"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
)

// pieceBytes is the most that Next gives at once.
const pieceBytes = 1 << 20

// Reader reads a stream from its start to its end.
type Reader struct {
	Header Header
	Bitmap *Bitmap

	in        io.Reader
	offset    int64  // in the stream, of the next byte
	volume    int64  // in the volume, of the next byte
	runLeft   int64  // bytes left of the present run of blocks
	groupLeft int64  // bytes left until the next checksum
	left      int64  // bytes left of all blocks
	digest    digest // nil: there is no checksum
	buf       []byte
	err       error
}

// NewReader reads the header and the bitmap of a stream of a volume of at most
// limit bytes.
func NewReader(in io.Reader, limit int64) (*Reader, error) {
	r := &Reader{in: in}
	var head [HeaderSize]byte
	if n, err := io.ReadFull(in, head[:]); err != nil && (n < 16 || string(head[:15]) != magic[:15]) {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = ErrFormat
		}
		return nil, err
	} else if err != nil {
		return nil, r.cut(err)
	}
	var err error
	if r.Header, err = ParseHeader(head[:]); err != nil {
		return nil, err
	}
	if h := r.Header; h.Blocks*h.BlockSize > limit {
		return nil, fmt.Errorf("%w: the stream is of %d bytes, its volume of %d", image.ErrDamaged, h.Blocks*h.BlockSize, limit)
	}
	if n := r.Header.headerSize() - HeaderSize; n > 0 {
		if _, err := io.CopyN(io.Discard, in, n); err != nil {
			return nil, r.cut(err)
		}
	}
	r.offset = r.Header.headerSize()
	if r.Bitmap, err = ReadBitmap(in, r.Header); err != nil {
		return nil, err
	}
	r.offset += r.Header.BitmapSize() + r.Header.bitmapEnd()
	r.digest = newDigest(r.Header)
	r.left = r.Header.Used * r.Header.BlockSize
	r.groupLeft = r.groupSize()
	return r, nil
}

// cut is err, with what it means where the stream ends too early.
func (r *Reader) cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: partclone stream ends near byte %d", image.ErrDamaged, r.offset)
	}
	return err
}

// ReadBitmap reads the bitmap that follows the header h, with its checksum or,
// in version 1, the word that ends it.
func ReadBitmap(in io.Reader, h Header) (*Bitmap, error) {
	b := &Bitmap{blocks: h.Blocks, all: h.Bitmap == BitmapNone}
	crc, err := b.read(in, h)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = fmt.Errorf("%w: partclone stream ends within its bitmap", image.ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	want := StoredSum(crc)
	end := want[:]
	if h.V1 {
		end = []byte(bitmapMagic1)
	}
	stored := make([]byte, len(end))
	if _, err := io.ReadFull(in, stored); err != nil {
		return nil, fmt.Errorf("%w: partclone stream ends within its bitmap", image.ErrDamaged)
	}
	if !bytes.Equal(stored, end) {
		return nil, fmt.Errorf("%w: what ends the bitmap of used blocks", image.ErrDamaged)
	}
	if n := b.count(); n != h.Used {
		return nil, fmt.Errorf("%w: bitmap has %d used blocks, header %d", image.ErrDamaged, n, h.Used)
	}
	return b, nil
}

// read fills b and gives the CRC of the stored bytes.
func (b *Bitmap) read(in io.Reader, h Header) (crc uint32, err error) {
	if b.all {
		return 0, nil // however many blocks a header may claim
	}
	piece := min(h.Blocks, pieceSize*8)
	var stored []byte
	if h.Bitmap == BitmapByte {
		stored = make([]byte, piece)
	}
	packed := make([]byte, (piece+7)/8)
	for done := int64(0); done < h.Blocks; done += pieceSize * 8 {
		blocks := min(h.Blocks-done, pieceSize*8)
		bits := packed[:(blocks+7)/8]
		switch h.Bitmap {
		case BitmapBit:
			if _, err := io.ReadFull(in, bits); err != nil {
				return 0, err
			}
			crc = crc32.Update(crc, crc32.IEEETable, bits)
		case BitmapByte:
			if _, err := io.ReadFull(in, stored[:blocks]); err != nil {
				return 0, err
			}
			crc = crc32.Update(crc, crc32.IEEETable, stored[:blocks])
			clear(bits)
			for i, used := range stored[:blocks] {
				if used == 1 {
					bits[i/8] |= 1 << (i % 8)
				}
			}
		}
		b.add(bits)
	}
	return crc, nil
}

func (r *Reader) groupSize() int64 {
	if r.Header.GroupBlocks == 0 || !r.Header.V1 && r.Header.Checksum == ChecksumNone {
		return r.left
	}
	return r.Header.GroupBlocks * r.Header.BlockSize
}

// Next gives the next piece of the volume: its offset there in bytes, and at
// most 1 MiB of data, valid until the next call. Behind the last piece it
// returns io.EOF, and only then are all checksums known to be right: what a
// group holds is given before the checksum behind it is seen.
func (r *Reader) Next() (offset int64, data []byte, err error) {
	if r.err != nil {
		return 0, nil, r.err
	}
	offset, data, r.err = r.next()
	return offset, data, r.err
}

func (r *Reader) next() (int64, []byte, error) {
	if r.left == 0 {
		return 0, nil, r.end()
	}
	size := r.Header.BlockSize
	if r.runLeft == 0 {
		first := r.Bitmap.find(r.volume/size, true)
		r.volume = first * size
		r.runLeft = (r.Bitmap.find(first, false) - first) * size
	}
	n := min(pieceBytes, r.runLeft, r.groupLeft, r.left)
	if int64(len(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	data, offset := r.buf[:n], r.volume
	if _, err := io.ReadFull(r.in, data); err != nil {
		return 0, nil, r.cut(err)
	}
	if r.digest != nil {
		r.digest.add(data)
	}
	r.offset, r.volume = r.offset+n, r.volume+n
	r.runLeft, r.groupLeft, r.left = r.runLeft-n, r.groupLeft-n, r.left-n
	if r.groupLeft == 0 || r.left == 0 {
		if err := r.checkGroup(); err != nil {
			return 0, nil, err
		}
	}
	return offset, data, nil
}

func (r *Reader) checkGroup() error {
	r.groupLeft = r.groupSize()
	if r.digest == nil {
		return nil
	}
	var stored, want [16]byte
	n := int(r.Header.sumSize())
	if _, err := io.ReadFull(r.in, stored[:n]); err != nil {
		return r.cut(err)
	}
	if !bytes.Equal(stored[:n], r.digest.stored(want[:0])) {
		return fmt.Errorf("%w: checksum of blocks before byte %d of the partclone stream", image.ErrDamaged, r.offset)
	}
	r.offset += int64(n)
	if !r.Header.Running {
		r.digest.reset()
	}
	return nil
}

// end checks that nothing follows the last block.
func (r *Reader) end() error {
	var b [1]byte
	n, err := io.ReadFull(r.in, b[:])
	if n > 0 {
		return fmt.Errorf("%w: bytes behind the end of the partclone stream", image.ErrDamaged)
	}
	return err // io.EOF
}

// Allocated gives the extents of the volume that the stream holds.
func (r *Reader) Allocated() iter.Seq2[extent.Extent, error] {
	return r.Bitmap.Extents(r.Header.BlockSize)
}

// Extents gives the blocks in use as bytes of the volume.
func (b *Bitmap) Extents(blockSize int64) iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		for first, n := range b.Runs(0, b.blocks) {
			if !yield(extent.Extent{Offset: first * blockSize, Length: n * blockSize}, nil) {
				return
			}
		}
	}
}
