package unpack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/ulikunitz/xz/lzma"

	"doppel.live/internal/image"
)

// lzipReader reads a stream in the format of lzip (its manual, chapter "File
// format"): members, each of a header, an LZMA stream that ends with a marker,
// and a trailer.
//
//	header:  "LZIP", version 1, dictionary size (1)
//	trailer: CRC-32 (4), unpacked length (8), length of the member (8)
//
// In the byte of the dictionary size bits 0-4 are the power of two, bits 5-7
// how many sixteenths of it are taken off again: 0xD3 is 2^19 - 6 * 2^15.
type lzipReader struct {
	in     *bufio.Reader
	member *lzma.Reader // nil between members
	packed *lzipBytes
	sum    hash.Hash32
	plain  uint64
	seen   bool // a member ended
}

const (
	lzipHeader  = 6
	lzipTrailer = 20
)

// lzipBytes gives an LZMA header, then the bytes of the member, and counts them.
type lzipBytes struct {
	head []byte
	in   *bufio.Reader
	n    uint64
}

func (b *lzipBytes) ReadByte() (byte, error) {
	if len(b.head) > 0 {
		c := b.head[0]
		b.head = b.head[1:]
		return c, nil
	}
	c, err := b.in.ReadByte()
	if err == nil {
		b.n++
	}
	return c, err
}

func (b *lzipBytes) Read(p []byte) (int, error) {
	if len(b.head) > 0 {
		n := copy(p, b.head)
		b.head = b.head[n:]
		return n, nil
	}
	n, err := b.in.Read(p)
	b.n += uint64(n)
	return n, err
}

// Read implements io.Reader.
func (r *lzipReader) Read(p []byte) (int, error) {
	for {
		if r.member == nil {
			if err := r.open(); err != nil {
				return 0, err
			}
		}
		n, err := r.member.Read(p)
		r.sum.Write(p[:n])
		r.plain += uint64(n)
		switch {
		case err == io.EOF:
			if err := r.close(); err != nil || n > 0 {
				return n, err
			}
		case err != nil:
			return n, lzipError(err)
		case n > 0 || len(p) == 0:
			return n, nil
		}
	}
}

func lzipError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = errors.New("it is cut")
	}
	return fmt.Errorf("%w: lzip stream: %w", image.ErrDamaged, err)
}

// open reads the header of a member; io.EOF behind the last one.
func (r *lzipReader) open() error {
	var head [lzipHeader]byte
	n, err := io.ReadFull(r.in, head[:])
	if n == 0 && err == io.EOF && r.seen {
		return io.EOF
	}
	if err != nil {
		return lzipError(err)
	}
	bits, less := head[5]&31, int64(head[5]>>5)
	if string(head[:4]) != "LZIP" || head[4] != 1 || bits < 12 || bits > 29 {
		return lzipError(errors.New("header of a member"))
	}
	size := int64(1)<<bits - less<<(bits-4)
	if size > maxWindow {
		return fmt.Errorf("%w: lzip stream with a dictionary of %d bytes", ErrNotYet, size)
	}
	// The header of an LZMA file: lc 3, lp 0, pb 2; dictionary; no length.
	start := append([]byte{0x5D}, binary.LittleEndian.AppendUint32(nil, uint32(size))...)
	r.packed = &lzipBytes{head: append(start, bytes.Repeat([]byte{0xFF}, 8)...), in: r.in}
	r.sum, r.plain = crc32.NewIEEE(), 0
	if r.member, err = (lzma.ReaderConfig{DictCap: maxWindow}).NewReader(r.packed); err != nil {
		return lzipError(err)
	}
	return nil
}

// close checks the trailer of a member.
func (r *lzipReader) close() error {
	var b [lzipTrailer]byte
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return lzipError(err)
	}
	le := binary.LittleEndian
	if le.Uint32(b[:]) != r.sum.Sum32() || le.Uint64(b[4:]) != r.plain || le.Uint64(b[12:]) != r.packed.n+lzipHeader+lzipTrailer {
		return lzipError(errors.New("checksum or length of a member"))
	}
	r.member, r.seen = nil, true
	return nil
}
