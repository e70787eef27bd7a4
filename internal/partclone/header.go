// Package partclone encodes version 2 of partclone's stream and decodes it and
// version 1: a header, a bitmap of the blocks in use, and those blocks with a
// checksum after every group. It does not compress, and knows no files or
// devices; the slices that partclone makes for torrents are not read.
//
// The bytes are described in FORMAT.md.
package partclone

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// HeaderSize is the length of a header in bytes, its checksum included.
const HeaderSize = 110

// SumSize is the length in bytes of the checksum behind header, bitmap and,
// with ChecksumCRC32, behind every group.
const SumSize = 4

const (
	magic         = "partclone-image\x00"
	version1      = "0001"
	version2      = "0002"
	littleEndian  = 0xC0DE
	featureSize   = 18
	imageVersion  = 2
	maxBlockSize  = 64 << 20 // bytes; partclone's own limit
	groupBytes    = 1 << 20  // that Group aims at
	writerVersion = "0.3.23" // what a header says that names none; readers only print it
)

// The checksum modes of a stream.
const (
	ChecksumNone   = 0x00
	ChecksumCRC32  = 0x20
	ChecksumXXH64  = 0x30
	ChecksumXXH128 = 0x31
)

// The ways in which a bitmap is stored.
const (
	BitmapNone = 0 // every block is in use
	BitmapBit  = 1
	BitmapByte = 8
)

// ErrFormat says that a stream is not partclone's.
var ErrFormat = errors.New("not a partclone stream")

// FormatError says that a stream begins as partclone's and goes on wrong.
type FormatError struct {
	Offset int64 // bytes from the start of the stream
	What   string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("partclone stream: at byte %d: %s", e.Offset, e.What)
}

// Header is the header of a stream. Its zero values of Writer, GroupBlocks,
// Checksum and Bitmap are not defaults; New fills them in.
type Header struct {
	V1          bool   // version 1, which has no fields of Writer, Checksum and what follows
	Writer      string // ptc_version: version of the partclone that wrote it
	FileSystem  string // fs: EXTFS, NTFS, …, raw
	DeviceSize  int64  // device_size, bytes
	Blocks      int64  // totalblock: bits of the bitmap
	UsedByFS    uint64 // superBlockUsedBlocks: the file system's own idea
	Used        int64  // usedblocks: 1 bits, and blocks that follow
	BlockSize   int64  // block_size, bytes
	Checksum    uint16 // checksum_mode
	GroupBlocks int64  // blocks_per_checksum; 0 with ChecksumNone
	Running     bool   // reseed_checksum 0: a checksum covers all blocks so far
	Bitmap      byte   // bitmap_mode
}

// New is the header of a stream as this package writes it: CRC32 after every
// Group of blocks, one bit for each block.
func New(fileSystem string, deviceSize, blockSize, used int64) Header {
	return Header{
		Writer:      writerVersion,
		FileSystem:  fileSystem,
		DeviceSize:  deviceSize,
		Blocks:      deviceSize / blockSize,
		UsedByFS:    uint64(used),
		Used:        used,
		BlockSize:   blockSize,
		Checksum:    ChecksumCRC32,
		GroupBlocks: Group(blockSize),
		Bitmap:      BitmapBit,
	}
}

// Group is the number of blocks between two checksums: 1 MiB of whole blocks,
// which is also what partclone chooses. Group(4096) is 256.
func Group(blockSize int64) int64 { return max(1, groupBytes/blockSize) }

// BitmapSize is the length in bytes of the stored bitmap without its checksum.
func (h Header) BitmapSize() int64 {
	switch h.Bitmap {
	case BitmapBit:
		return (h.Blocks + 7) / 8
	case BitmapByte:
		return h.Blocks
	}
	return 0
}

// headerSize is the length in bytes of the header.
func (h Header) headerSize() int64 {
	if h.V1 {
		return headerSize1
	}
	return HeaderSize
}

// bitmapEnd is the length in bytes of what stands behind the bitmap.
func (h Header) bitmapEnd() int64 {
	if h.V1 {
		return int64(len(bitmapMagic1))
	}
	return SumSize
}

// sumSize is the length in bytes of the checksum of a group.
func (h Header) sumSize() int64 {
	if h.V1 {
		return SumSize
	}
	return int64(checksumSize(h.Checksum))
}

// StreamSize is the length in bytes of the whole stream.
func (h Header) StreamSize() int64 {
	size := h.headerSize() + h.BitmapSize() + h.bitmapEnd() + h.Used*h.BlockSize
	if h.GroupBlocks > 0 {
		size += (h.Used + h.GroupBlocks - 1) / h.GroupBlocks * h.sumSize()
	}
	return size
}

// Weakness says what the checksums of the stream do not protect; "" where they
// protect all.
func (h Header) Weakness() string {
	switch {
	case h.V1:
		return "its checksum is weak: partclone's version 1 protects only the first byte of each block"
	case h.Checksum == ChecksumNone:
		return "it has no checksum of its blocks"
	}
	return ""
}

func checksumSize(mode uint16) uint16 {
	switch mode {
	case ChecksumCRC32:
		return 4
	case ChecksumXXH64:
		return 8
	case ChecksumXXH128:
		return 16
	}
	return 0
}

// Sum is the checksum of b as stored: CRC-32 (IEEE) without its last
// complement, little-endian.
func Sum(b []byte) [SumSize]byte { return StoredSum(crc32.ChecksumIEEE(b)) }

// StoredSum is Sum from a CRC kept over several slices.
func StoredSum(crc uint32) (sum [SumSize]byte) {
	binary.LittleEndian.PutUint32(sum[:], ^crc)
	return sum
}

// Encode gives the bytes of the header.
func (h Header) Encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, HeaderSize)
	copy(b[0:16], magic)
	copy(b[16:29], h.Writer)
	copy(b[30:34], version2)
	le.PutUint16(b[34:], littleEndian)
	copy(b[36:51], h.FileSystem)
	le.PutUint64(b[52:], uint64(h.DeviceSize))
	le.PutUint64(b[60:], uint64(h.Blocks))
	le.PutUint64(b[68:], h.UsedByFS)
	le.PutUint64(b[76:], uint64(h.Used))
	le.PutUint32(b[84:], uint32(h.BlockSize))
	le.PutUint32(b[88:], featureSize)
	le.PutUint16(b[92:], imageVersion)
	le.PutUint16(b[94:], 64) // cpu_bits
	le.PutUint16(b[96:], h.Checksum)
	le.PutUint16(b[98:], checksumSize(h.Checksum))
	le.PutUint32(b[100:], uint32(h.GroupBlocks))
	if !h.Running {
		b[104] = 1
	}
	b[105] = h.Bitmap
	sum := Sum(b[:106])
	copy(b[106:], sum[:])
	return b
}

// ParseHeader decodes the first HeaderSize bytes of a stream and checks that
// nothing in them is out of bounds. A header of version 1 goes on behind them,
// with nothing.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize || string(b[0:15]) != magic[:15] {
		return Header{}, ErrFormat
	}
	if string(b[30:34]) == version1 {
		return parseHeader1(b)
	}
	le := binary.LittleEndian
	switch {
	case b[15] != 0 || string(b[30:34]) != version2:
		return Header{}, &FormatError{30, fmt.Sprintf("version %q", b[30:34])}
	case le.Uint16(b[34:]) != littleEndian:
		return Header{}, &FormatError{34, "byte order"}
	case le.Uint32(b[106:]) != ^crc32.ChecksumIEEE(b[:106]):
		return Header{}, &FormatError{106, "checksum of the header"}
	case le.Uint32(b[88:]) != featureSize || le.Uint16(b[92:]) != imageVersion:
		return Header{}, &FormatError{88, "features of another version"}
	case b[104] > 1:
		return Header{}, &FormatError{104, "reseed_checksum"}
	}
	h := Header{
		Writer:      text(b[16:30]),
		FileSystem:  text(b[36:52]),
		DeviceSize:  int64(le.Uint64(b[52:])),
		Blocks:      int64(le.Uint64(b[60:])),
		UsedByFS:    le.Uint64(b[68:]),
		Used:        int64(le.Uint64(b[76:])),
		BlockSize:   int64(le.Uint32(b[84:])),
		Checksum:    le.Uint16(b[96:]),
		GroupBlocks: int64(le.Uint32(b[100:])),
		Running:     b[104] == 0,
		Bitmap:      b[105],
	}
	return h, h.check(le.Uint16(b[98:]))
}

// text is the field b up to its first NUL.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// check tells whether the numbers of the header can be worked with: none is
// negative and no product of them overflows.
func (h Header) check(sumSize uint16) error {
	switch {
	case h.DeviceSize < 0:
		return &FormatError{52, "device size"}
	case h.BlockSize <= 0 || h.BlockSize > maxBlockSize:
		return &FormatError{84, fmt.Sprintf("block size %d", h.BlockSize)}
	case h.Blocks < 0 || h.Blocks > math.MaxInt64/4/(h.BlockSize+16):
		return &FormatError{60, "number of blocks"}
	case h.Used < 0 || h.Used > h.Blocks:
		return &FormatError{76, "more blocks in use than there are"}
	case h.Bitmap != BitmapNone && h.Bitmap != BitmapBit && h.Bitmap != BitmapByte:
		return &FormatError{105, fmt.Sprintf("bitmap mode %d", h.Bitmap)}
	case h.Checksum != ChecksumNone && checksumSize(h.Checksum) == 0:
		return &FormatError{96, fmt.Sprintf("checksum mode %#x", h.Checksum)}
	case sumSize != checksumSize(h.Checksum):
		return &FormatError{98, "length of checksums"}
	case h.Checksum != ChecksumNone && h.GroupBlocks == 0:
		return &FormatError{100, "no blocks per checksum"}
	}
	return nil
}
