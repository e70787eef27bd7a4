// Package bitmap walks the bitmaps of file systems, a word at a time. It knows
// none of them: which bit is whose, and what a set one means, is the reader's.
//
// Bitmaps are whole multiples of 8 bytes; readers pad them. What is behind the
// last bit means nothing to Next and NextHigh.
package bitmap

import (
	"encoding/binary"
	"math/bits"
)

// Next is the first bit from at on that is set, or not set, and n where there
// is none. Bit 0 is the lowest of byte 0.
func Next(p []byte, at, n int64, set bool) int64 {
	for at < n {
		word := binary.LittleEndian.Uint64(p[at/64*8:])
		if !set {
			word = ^word
		}
		if word >>= at % 64; word != 0 {
			return min(n, at+int64(bits.TrailingZeros64(word)))
		}
		at += 64 - at%64
	}
	return n
}

// NextHigh is Next where bit 0 is the highest of byte 0.
func NextHigh(p []byte, at, n int64, set bool) int64 {
	for at < n {
		word := binary.BigEndian.Uint64(p[at/64*8:])
		if !set {
			word = ^word
		}
		if word <<= at % 64; word != 0 {
			return min(n, at+int64(bits.LeadingZeros64(word)))
		}
		at += 64 - at%64
	}
	return n
}

// Count is how many bits are set, in all of p.
func Count(p []byte) (n int64) {
	for ; len(p) > 0; p = p[8:] {
		n += int64(bits.OnesCount64(binary.LittleEndian.Uint64(p)))
	}
	return n
}
