package clonezilla

import (
	"encoding/binary"
	"fmt"

	"doppel.live/internal/image"
)

// zstd's seekable format: a skippable frame at the end of the stream that
// lists the packed and unpacked length of every frame before it.
const (
	seekMagic  = 0x184D2A5E // of the skippable frame
	seekFooter = 0x8F92EAB1 // last four bytes
	seekEntry  = 8          // bytes, without checksums
	seekFrame  = 8 + 9      // bytes beside the entries
)

// seekSize is the packed and unpacked length of a frame.
type seekSize struct{ stored, plain uint32 }

// encodeSeekTable gives the skippable frame for the frames of list.
func encodeSeekTable(list []seekSize) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, len(list)*seekEntry+seekFrame)
	b = le.AppendUint32(b, seekMagic)
	b = le.AppendUint32(b, uint32(len(list)*seekEntry+9))
	for _, s := range list {
		b = le.AppendUint32(b, s.stored)
		b = le.AppendUint32(b, s.plain)
	}
	b = le.AppendUint32(b, uint32(len(list)))
	b = append(b, 0) // descriptor: no checksums
	return le.AppendUint32(b, seekFooter)
}

// parseSeekTable decodes what encodeSeekTable gives.
func parseSeekTable(b []byte) ([]seekSize, error) {
	le := binary.LittleEndian
	n := (len(b) - seekFrame) / seekEntry
	if len(b) < seekFrame || len(b) != n*seekEntry+seekFrame || le.Uint32(b) != seekMagic ||
		int64(le.Uint32(b[4:])) != int64(len(b)-8) || le.Uint32(b[len(b)-4:]) != seekFooter ||
		int64(le.Uint32(b[len(b)-9:])) != int64(n) || b[len(b)-5] != 0 {
		return nil, fmt.Errorf("%w: seek table", image.ErrDamaged)
	}
	list := make([]seekSize, n)
	for i := range list {
		at := b[8+i*seekEntry:]
		list[i] = seekSize{le.Uint32(at), le.Uint32(at[4:])}
	}
	return list, nil
}
