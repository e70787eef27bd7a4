// Package pack compresses frames of Zstandard (RFC 8878), which any zstd reads.
// It is made for pieces of a disk of about 1 MiB, each a frame of its own, with
// no history but the frame itself.
//
//	                            ┌─ literals ── literals.go (Huffman) ───────┐
//	128 KiB ─ match.go, or      │                                           ├─ block ─ frame
//	          optimal.go (Max) ─┴─ sequences ─ sequences.go, fse.go (FSE) ──┘
//
// Fast and Default take the first match that they come to. Max weighs all ways
// through against each other, which takes ten times as long.
//
// Whoever stores what it gives decodes it first with another decoder and
// compares: see internal/clonezilla.
package pack

import (
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/huff0"
)

// Level says how hard an Encoder looks for what repeats.
type Level int

const (
	Fast    Level = iota // as zstd -1
	Default              // as zstd -3
	Max                  // as zstd -16
)

// Of the format.
const (
	magic       = 0xFD2FB528
	blockMax    = 128 << 10 // bytes of a block, unpacked
	blockHead   = 3         // bytes before a block
	rawBlock    = 0
	packedBlock = 2
)

// windowBits is the log2 of how far back a frame refers, in bytes: what a
// decoder must hold.
const windowBits = 20

// An Encoder makes frames. It holds up to 4 MiB, and serves one goroutine at
// a time.
type Encoder struct {
	divider   divider
	literals  []byte // of the block, without what sequences copy
	sequences []sequence
	codes     []codes
	huffman   huff0.Scratch
	tables    [kinds]tables
	known     known
}

// A divider finds what repeats. Only the blocks of a frame in their order tell it
// what came before: the first one begins anew.
type divider interface {
	// divide adds src[start:end] to e as sequences and literals.
	divide(e *Encoder, src []byte, start, end int)
}

// known is what a decoder remembers from block to block.
type known struct {
	repeats repeats     // of Fast and Default the last two only
	tables  [kinds]*fse // of the last sequences; nil: not to be had
	huffman bool        // whether the table of the last literals is ours
}

// NewEncoder gives an encoder for any number of frames.
func NewEncoder(l Level) *Encoder {
	var d divider = &finder{fast: l == Fast}
	if l == Max {
		d = &optimal{}
	}
	return &Encoder{divider: d, literals: make([]byte, 0, blockMax+shortRun), sequences: make([]sequence, 0, blockMax/leastLength)}
}

// Append appends a frame that unpacks to src, with its length and checksum. The
// frame is at most 3 bytes for each 128 KiB and 17 longer than src.
func (e *Encoder) Append(dst, src []byte) []byte {
	dst = appendHead(dst, len(src))
	e.known = known{repeats: repeats{1, 4, 8}}
	for at := 0; ; at += blockMax {
		end := min(at+blockMax, len(src))
		dst = e.appendBlock(dst, src, at, end)
		if end == len(src) {
			return binary.LittleEndian.AppendUint32(dst, uint32(xxhash.Sum64(src)))
		}
	}
}

// appendHead appends the magic number and the frame's header: with a checksum, a
// window and the length of what it unpacks to, in 4 bytes where they hold it.
func appendHead(dst []byte, size int) []byte {
	const checksum, length4, length8, window = 1 << 2, 2 << 6, 3 << 6, (windowBits - 10) << 3
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	if size > math.MaxUint32 {
		return binary.LittleEndian.AppendUint64(append(dst, length8|checksum, window), uint64(size))
	}
	return binary.LittleEndian.AppendUint32(append(dst, length4|checksum, window), uint32(size))
}

// appendBlock appends src[start:end] as a block, the last of the frame where it
// ends with src: as it is where packing does not make it smaller.
func (e *Encoder) appendBlock(dst, src []byte, start, end int) []byte {
	head, before := len(dst), e.known
	e.sequences, e.literals = e.sequences[:0], e.literals[:0]
	e.divider.divide(e, src, start, end)
	dst = e.appendLiterals(append(dst, 0, 0, 0))
	dst = e.appendSequences(dst)
	kind, size := packedBlock, len(dst)-head-blockHead
	if size >= end-start {
		e.known = before
		e.known.huffman = false // its table was made for what nobody sees
		dst = append(dst[:head+blockHead], src[start:end]...)
		kind, size = rawBlock, end-start
	}
	last := 0
	if end == len(src) {
		last = 1
	}
	v := last | kind<<1 | size<<3
	dst[head], dst[head+1], dst[head+2] = byte(v), byte(v>>8), byte(v>>16)
	return dst
}
