package partclone

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Version 1 has a longer header, a bitmap of bytes with a word behind it, and a
// weak checksum behind every block; FORMAT.md has its bytes.
const (
	headerSize1  = 4160 // bytes
	bitmapMagic1 = "BiTmAgIc"
)

// parseHeader1 decodes what a header of version 1 has within its first
// HeaderSize bytes, which is all.
func parseHeader1(b []byte) (Header, error) {
	le := binary.LittleEndian
	h := Header{
		V1:          true,
		FileSystem:  text(b[15:30]),
		BlockSize:   int64(int32(le.Uint32(b[36:]))),
		DeviceSize:  int64(le.Uint64(b[40:])),
		Blocks:      int64(le.Uint64(b[48:])),
		Used:        int64(le.Uint64(b[56:])),
		GroupBlocks: 1,
		Running:     true,
		Bitmap:      BitmapByte,
	}
	switch {
	case h.BlockSize <= 0 || h.BlockSize > maxBlockSize:
		return Header{}, &FormatError{36, fmt.Sprintf("block size %d", h.BlockSize)}
	case h.DeviceSize < 0:
		return Header{}, &FormatError{40, "device size"}
	case h.Blocks < 0 || h.Blocks > math.MaxInt64/4/(h.BlockSize+SumSize):
		return Header{}, &FormatError{48, "number of blocks"}
	case h.Used < 0 || h.Used > h.Blocks:
		return Header{}, &FormatError{56, "more blocks in use than there are"}
	}
	return h, nil
}
