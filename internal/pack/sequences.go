package pack

import (
	"encoding/binary"
	"math/bits"
)

// The three parts of a sequence, each with codes of its own; in the order in
// which their tables lie in a block.
const (
	literalCodes = iota // of the length of a run of literals
	offsetCodes
	lengthCodes // of the length of a match
	kinds
)

// How the table of a kind is given.
const (
	predefined = iota
	oneCode    // all sequences have it
	described
	repeated // as in the block before
)

// codeCount and mostLog are the number of codes of each kind, and the largest
// table for them.
var (
	codeCount = [kinds]int{36, 32, maxCodes}
	mostLog   = [kinds]int{9, 8, 9}
)

// codes are those of a sequence.
type codes struct{ literals, offset, length uint8 }

// A code stands for a range of lengths, as many as there are numbers of so many
// bits, which say which it is: the low ones of the length, since every range
// begins at a multiple of its size. RFC 8878, 3.1.1.3.2.1.1.
var (
	literalBits = [64]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	lengthBits  = [64]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	literalCode = firstCodes(literalBits)
	lengthCode  = firstCodes(lengthBits)
)

// Where the codes begin that are powers of 2, in lengths.
const (
	longLiterals = 64
	longLength   = 128 // without the 3 that every match has
)

// firstCodes gives the codes of small lengths.
func firstCodes(size [64]uint8) (list [longLength]uint8) {
	n := 0
	for c, bits := range size {
		for range 1 << bits {
			if n < len(list) {
				list[n] = uint8(c)
			}
			n++
		}
	}
	return list
}

// codesOf gives the codes of a sequence. Long runs have a code for each power of
// 2: 64 literals have 25, a match of 131 bytes, less 3, has 43.
func codesOf(s sequence) codes {
	c := codes{literals: literalsCode(s.literals), offset: uint8(bits.Len32(s.offset) - 1)}
	if n := s.length; n < longLength {
		c.length = lengthCode[n]
	} else {
		c.length = uint8(bits.Len32(n) + 35)
	}
	return c
}

// literalsCode gives the code of a run of n literals.
func literalsCode(n uint32) uint8 {
	if n < longLiterals {
		return literalCode[n]
	}
	return uint8(bits.Len32(n) + 18)
}

// appendSequences appends the sequences of the block.
func (e *Encoder) appendSequences(dst []byte) []byte {
	if dst = appendCount(dst, len(e.sequences)); len(e.sequences) == 0 {
		return dst
	}
	var counts [kinds][64]uint32
	e.countCodes(&counts)
	modes := len(dst)
	dst = append(dst, 0)
	for kind := range kinds {
		var mode byte
		mode, dst = e.chooseTable(dst, kind, &counts[kind])
		dst[modes] |= mode << (6 - 2*kind)
	}
	return e.appendBits(dst)
}

// appendCount appends the number of sequences, at most 0x7F00 + 0xFFFF.
func appendCount(dst []byte, n int) []byte {
	switch {
	case n < 128:
		return append(dst, byte(n))
	case n < 0x7F00:
		return append(dst, byte(n>>8)+128, byte(n))
	}
	return append(dst, 255, byte(n-0x7F00), byte((n-0x7F00)>>8))
}

// countCodes sets codes, and counts them by kind.
func (e *Encoder) countCodes(counts *[kinds][64]uint32) {
	if cap(e.codes) < len(e.sequences) {
		e.codes = make([]codes, cap(e.sequences))
	}
	e.codes = e.codes[:len(e.sequences)]
	for i, s := range e.sequences {
		c := codesOf(s)
		e.codes[i] = c
		counts[literalCodes][c.literals&63]++
		counts[offsetCodes][c.offset&63]++
		counts[lengthCodes][c.length&63]++
	}
}

// tables are two of a kind: one is in the making while the other is known.
type tables [2]fse

// chooseTable takes the table with which the codes of a kind become smallest, and
// appends what describes it.
func (e *Encoder) chooseTable(dst []byte, kind int, counts *[64]uint32) (mode byte, _ []byte) {
	total, last, different := uint32(len(e.sequences)), 0, 0
	for c, n := range counts[:codeCount[kind]] {
		if n > 0 {
			last, different = c, different+1
		}
	}
	own := &e.tables[kind][0]
	if own == e.known.tables[kind] {
		own = &e.tables[kind][1]
	}
	if different == 1 {
		own.single(last)
		e.known.tables[kind] = own
		return oneCode, append(dst, byte(last))
	}
	own.share(counts[:last+1], total, mostLog[kind])
	head := len(dst)
	dst = own.describe(dst, last+1)
	standard := &predefinedTables[kind]
	cost := own.cost(counts, last+1) + uint64(len(dst)-head)*8<<costBits
	costStandard, costKnown := standard.cost(counts, last+1), e.known.tables[kind].cost(counts, last+1)
	switch {
	case costKnown <= min(cost, costStandard):
		return repeated, dst[:head]
	case costStandard <= cost:
		e.known.tables[kind] = standard
		return predefined, dst[:head]
	}
	own.build(last + 1)
	e.known.tables[kind] = own
	return described, dst
}

// appendBits appends the codes, and the bits that go with them, from the last
// sequence to the first: so a decoder, which begins at the end, has them in order.
func (e *Encoder) appendBits(dst []byte) []byte {
	literals, offsets, lengths := e.known.tables[literalCodes], e.known.tables[offsetCodes], e.known.tables[lengthCodes]
	start := len(dst)
	dst = grow(dst, len(e.sequences)*12+16)
	out, at := dst[start:cap(dst)], 0
	list, sequences := e.codes, e.sequences[:len(e.codes)]
	last := len(list) - 1
	// A code takes 9 bits at most; what comes with it 16, 16 and windowBits and 1.
	c, s := list[last], &sequences[last]
	l, o, m := literals.first(c.literals), offsets.first(c.offset), lengths.first(c.length)
	b := bitWriter{}.add(s.literals, literalBits[c.literals&63]).add(s.length, lengthBits[c.length&63]).add(s.offset, c.offset)
	at, b = b.flush(out, at)
	for i := last - 1; i >= 0; i-- {
		c, s := list[i], &sequences[i]
		b, o = offsets.next(b, o, c.offset)
		b, m = lengths.next(b, m, c.length)
		b, l = literals.next(b, l, c.literals)
		at, b = b.flush(out, at)
		b = b.add(s.literals, literalBits[c.literals&63]).add(s.length, lengthBits[c.length&63]).add(s.offset, c.offset)
		at, b = b.flush(out, at)
	}
	// The 1 is where the bits begin.
	b = b.add(m, uint8(lengths.log)).add(o, uint8(offsets.log)).add(l, uint8(literals.log)).add(1, 1)
	at, b = b.flush(out, at)
	dst = dst[:start+at]
	if b.waiting > 0 {
		dst = append(dst, byte(b.bits))
	}
	return dst
}

// grow gives b with room for n bytes more, and for a block behind them.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return append(make([]byte, 0, len(b)+n+blockMax), b...)
}

// bitWriter collects bits, the lowest first.
type bitWriter struct {
	bits    uint64
	waiting uint // of bits, less than 64
}

// add takes the low n bits of v, n less than 32.
func (b bitWriter) add(v uint32, n uint8) bitWriter {
	return bitWriter{b.bits | uint64(v&(1<<(n&31)-1))<<(b.waiting&63), b.waiting + uint(n)}
}

// flush writes whole bytes to out[at:], which must have 8; less than 8 bits wait
// on. It gives where the next byte goes.
func (b bitWriter) flush(out []byte, at int) (int, bitWriter) {
	binary.LittleEndian.PutUint64(out[at:], b.bits)
	return at + int(b.waiting>>3), bitWriter{b.bits >> (b.waiting & 56), b.waiting & 7}
}
