package unpack

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"

	"github.com/anchore/go-lzo"

	"doppel.live/internal/image"
)

// lzopReader reads a stream in the format of lzop: a header, then blocks that
// are compressed each by itself, with checksums. Numbers are big-endian. The
// layout is known from what lzop 1.04 writes.
//
//	header: magic (9), version (2), of the library (2), needed (2), method (1),
//	        level (1), flags (4), mode (4), time (4, 4), length of a name (1),
//	        the name, checksum (4)
//	block:  unpacked length (4; 0 ends the stream), packed length (4), the
//	        checksums that the flags name (4 each), data
type lzopReader struct {
	in    *bufio.Reader
	flags uint32
	src   []byte
	dst   []byte
	rest  []byte // unpacked and not yet given
	ended bool
}

const (
	lzopMagic    = "\x89LZO\x00\r\n\x1a\n"
	lzopFixed    = 9 + 2 + 2 + 2 + 1 + 1 + 4 + 4 + 8 + 1 // bytes of a header before the name
	lzopMaxBlock = 64 << 20                              // bytes, of lzop itself

	lzopAdlerPlain  = 0x1
	lzopAdlerPacked = 0x2
	lzopCRCPlain    = 0x100
	lzopCRCPacked   = 0x200
	lzopExtra       = 0x40
	lzopFilter      = 0x800
	lzopCRCHeader   = 0x1000
)

func lzopError(what string) error { return fmt.Errorf("%w: lzop stream: %s", image.ErrDamaged, what) }

func newLzopReader(in *bufio.Reader) (*lzopReader, error) {
	head := make([]byte, lzopFixed)
	if _, err := io.ReadFull(in, head); err != nil || string(head[:9]) != lzopMagic {
		return nil, lzopError("header")
	}
	be := binary.BigEndian
	version, method, flags := be.Uint16(head[9:]), head[15], be.Uint32(head[17:])
	if version < 0x0940 || method < 1 || method > 3 || flags&(lzopExtra|lzopFilter) != 0 {
		return nil, fmt.Errorf("%w: lzop stream of version %#x, method %d, flags %#x", ErrNotYet, version, method, flags)
	}
	end := make([]byte, int(head[lzopFixed-1])+4)
	if _, err := io.ReadFull(in, end); err != nil {
		return nil, lzopError("header")
	}
	head = append(head, end[:len(end)-4]...)
	sum := adler32.Checksum(head[9:])
	if flags&lzopCRCHeader != 0 {
		sum = crc32.ChecksumIEEE(head[9:])
	}
	if sum != be.Uint32(end[len(end)-4:]) {
		return nil, lzopError("checksum of the header")
	}
	return &lzopReader{in: in, flags: flags}, nil
}

// Read implements io.Reader.
func (r *lzopReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if err := r.block(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *lzopReader) number() (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return 0, lzopError("it is cut")
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

// sums reads the checksums that stand before a block; those of the packed
// data only where there is packed data.
func (r *lzopReader) sums(packed bool) (list map[uint32]uint32, err error) {
	list = make(map[uint32]uint32)
	for _, flag := range []uint32{lzopAdlerPlain, lzopCRCPlain, lzopAdlerPacked, lzopCRCPacked} {
		if r.flags&flag == 0 || !packed && flag&(lzopAdlerPacked|lzopCRCPacked) != 0 {
			continue
		}
		if list[flag], err = r.number(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// block reads the next block into rest.
func (r *lzopReader) block() error {
	plain, err := r.number()
	if err != nil {
		return err
	}
	if plain == 0 {
		if _, err := r.in.Peek(1); err == nil {
			return lzopError("bytes behind its end")
		}
		r.ended = true
		return nil
	}
	packed, err := r.number()
	if err != nil {
		return err
	}
	if plain > lzopMaxBlock || packed > plain || packed == 0 {
		return lzopError("length of a block")
	}
	sums, err := r.sums(packed < plain)
	if err != nil {
		return err
	}
	if r.src, err = readGrown(r.in, r.src, int64(packed)); err != nil {
		return lzopError("it is cut")
	}
	if r.rest = r.src; packed < plain {
		if err := r.expand(int(plain)); err != nil {
			return err
		}
	}
	return r.check(sums)
}

func (r *lzopReader) expand(plain int) error {
	if cap(r.dst) < plain {
		r.dst = make([]byte, plain)
	}
	r.dst = r.dst[:plain]
	n, err := lzo.Decompress(r.src, r.dst)
	if err == nil && n != plain {
		err = errors.New("length of a block")
	}
	if err != nil {
		return lzopError(err.Error())
	}
	r.rest = r.dst
	return nil
}

func (r *lzopReader) check(sums map[uint32]uint32) error {
	for flag, want := range sums {
		data := r.rest
		if flag&(lzopAdlerPacked|lzopCRCPacked) != 0 {
			data = r.src
		}
		sum := adler32.Checksum(data)
		if flag&(lzopCRCPlain|lzopCRCPacked) != 0 {
			sum = crc32.ChecksumIEEE(data)
		}
		if sum != want {
			return lzopError("checksum of a block")
		}
	}
	return nil
}

// readGrown reads n bytes into buf, which grows only as far as there is data.
func readGrown(in io.Reader, buf []byte, n int64) ([]byte, error) {
	const piece = 1 << 20
	buf = buf[:0]
	for int64(len(buf)) < n {
		at, more := len(buf), int(min(piece, n-int64(len(buf))))
		if cap(buf)-at < more {
			buf = append(buf, make([]byte, more)...)
		}
		buf = buf[:at+more]
		if _, err := io.ReadFull(in, buf[at:]); err != nil {
			return nil, err
		}
	}
	return buf, nil
}
