package pack

import "github.com/klauspost/compress/huff0"

// Of the header of literals.
const (
	rawLiterals    = 0
	sameLiterals   = 1
	packedLiterals = 2
	asBefore       = 3 // packed, with the table of the block before
)

// fewLiterals are not worth a table.
const fewLiterals = 64

// appendLiterals appends the literals of the block, as small as they go.
func (e *Encoder) appendLiterals(dst []byte) []byte {
	n := len(e.literals)
	if n < fewLiterals {
		return append(appendPlainHead(dst, rawLiterals, n), e.literals...)
	}
	h := &e.huffman
	h.Reuse = huff0.ReusePolicyNone
	if e.known.huffman {
		h.Reuse = huff0.ReusePolicyAllow
	}
	h.WantLogLess = 5 // at least a 32nd is won, or it is not worth the decoder's time
	pack, streams := huff0.Compress4X, 4
	if n < 1<<10 {
		pack, streams = huff0.Compress1X, 1
	}
	packed, asLast, err := pack(e.literals, h)
	switch {
	case err == huff0.ErrUseRLE:
		return append(appendPlainHead(dst, sameLiterals, n), e.literals[0])
	case err != nil:
		return append(appendPlainHead(dst, rawLiterals, n), e.literals...)
	}
	e.known.huffman = true
	kind := packedLiterals
	if asLast {
		kind = asBefore
	}
	return append(appendPackedHead(dst, kind, streams, n, len(packed)), packed...)
}

// appendPlainHead is the header of n literals that are not packed: 1 to 3 bytes.
func appendPlainHead(dst []byte, kind, n int) []byte {
	switch {
	case n < 1<<5:
		return append(dst, byte(kind|n<<3))
	case n < 1<<12:
		v := kind | 1<<2 | n<<4
		return append(dst, byte(v), byte(v>>8))
	}
	v := kind | 3<<2 | n<<4
	return append(dst, byte(v), byte(v>>8), byte(v>>16))
}

// appendPackedHead is the header of n literals packed to size bytes, less than
// n: 3 to 5 bytes. One stream is for less than 1024.
func appendPackedHead(dst []byte, kind, streams, n, size int) []byte {
	v, format, bits, bytes := uint64(kind), uint64(0), 10, 3
	switch {
	case streams == 1:
	case n < 1<<14:
		format, bits, bytes = 2, 14, 4
	default:
		format, bits, bytes = 3, 18, 5
	}
	v |= format<<2 | uint64(n)<<4 | uint64(size)<<(4+bits)
	for range bytes {
		dst = append(dst, byte(v))
		v >>= 8
	}
	return dst
}
