package probe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"

	"doppel.live/internal/filesystem"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// volume reads pieces of a volume. The first error of a read stays in err.
type volume struct {
	r    io.ReaderAt
	size int64 // bytes
	head []byte
	err  error
}

const headSize = 136 << 10 // bytes: holds what lies at fixed places

// at gives n bytes at off, nil where the volume does not have them.
func (v *volume) at(off, n int64) []byte {
	if off < 0 || n < 0 || n > v.size || off > v.size-n || v.err != nil {
		return nil
	}
	if v.head == nil {
		// What lies behind a sector that cannot be read is read by itself, if
		// somebody asks for it.
		v.head = make([]byte, min(headSize, v.size))
		m, _ := v.r.ReadAt(v.head, 0)
		v.head = v.head[:m]
	}
	if off+n <= int64(len(v.head)) {
		return v.head[off : off+n]
	}
	return v.read(off, n)
}

func (v *volume) read(off, n int64) []byte {
	p := make([]byte, n)
	m, err := v.r.ReadAt(p, off)
	if m == len(p) {
		return p
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	v.err = fmt.Errorf("probe: reading %d bytes at %d: %w", n, off, err)
	return nil
}

// has says whether the bytes at off are magic.
func (v *volume) has(off int64, magic string) bool {
	return string(v.at(off, int64(len(magic)))) == magic
}

// simple is a hit of one signature.
func simple(kind string, off, length int64) *found {
	return &found{
		info:       filesystem.Info{Type: kind},
		signatures: []Signature{{kind, off, length}},
	}
}

// also adds a signature at another place.
func (h *found) also(off, length int64) {
	h.signatures = append(h.signatures, Signature{h.info.Type, off, length})
}

// powerOfTwo says whether n is one, between lo and hi.
func powerOfTwo[T uint8 | uint16 | uint32 | uint64 | int64](n, lo, hi T) bool {
	return n >= lo && n <= hi && n&(n-1) == 0
}

// uuid prints 16 bytes in their order; all zero is no UUID.
func uuid(p []byte) string {
	if len(p) != 16 || bytes.Equal(p, make([]byte, 16)) {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", p[:4], p[4:6], p[6:8], p[8:10], p[10:])
}

// text is a string up to its first 0, without spaces at its end.
func text(p []byte) string {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return string(bytes.TrimRight(p, " "))
}

// utf16Text is UTF-16 up to its first 0.
func utf16Text(p []byte, order binary.ByteOrder) string {
	var units []uint16
	for ; len(p) >= 2; p = p[2:] {
		u := order.Uint16(p)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
