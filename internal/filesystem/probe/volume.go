package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

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
	if err := filesystem.ReadFull(v.r, p, off); err != nil {
		v.err = fmt.Errorf("probe: reading %d bytes at %d: %w", n, off, err)
		return nil
	}
	return p
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

// text is a string up to its first 0, without spaces at its end.
func text(p []byte) string {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return string(bytes.TrimRight(p, " "))
}
