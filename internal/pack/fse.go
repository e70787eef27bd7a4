package pack

import (
	"math"
	"math/bits"
)

// Of a table: the most codes and the largest number of cells that any kind has.
const (
	maxCodes = 53
	maxCells = 512
)

// fse is a table of Finite State Entropy for writing: a code that has n of its
// cells takes about log minus the log2 of n bits. RFC 8878, 4.1.
type fse struct {
	log    uint      // of the number of cells
	shares [64]int16 // cells of each code; -1: one, among the last
	cells  [maxCells]uint16
	steps  [64]step
}

// step says what becomes of a state when a code is written.
type step struct {
	bits   uint32 // those that leave the state are this plus the state, over 65536
	toCell int32  // and what is left of it plus this is the next one's place in cells
}

// share divides 1<<log cells among the codes as their counts are. There are at
// least two codes.
func (t *fse) share(counts []uint32, total uint32, most int) {
	t.log = uint(min(most, max(5, bits.Len32(total-1)-2)))
	if len(counts) > 1<<t.log {
		t.log++ // 53 codes need 64 cells
	}
	clear(t.shares[:])
	left, largest := 1<<t.log, 0
	for c, n := range counts {
		if n > 0 {
			t.shares[c] = int16(max(1, (uint64(n)<<(t.log+1)+uint64(total))/(2*uint64(total))))
		}
		left -= int(t.shares[c])
		if t.shares[c] > t.shares[largest] {
			largest = c
		}
	}
	for ; left < 0; left++ { // what rare codes got too much
		for c := range counts {
			if t.shares[c] > t.shares[largest] {
				largest = c
			}
		}
		t.shares[largest]--
	}
	t.shares[largest] += int16(left)
}

// describe appends the shares of n codes as a block has them.
func (t *fse) describe(dst []byte, n int) []byte {
	var b bitWriter
	left := 1<<t.log + 1 // what the codes to come can have, and 1
	put := func(v, n int) {
		b = b.add(uint32(v), uint8(n))
		for ; b.waiting >= 8; b.waiting -= 8 {
			dst = append(dst, byte(b.bits))
			b.bits >>= 8
		}
	}
	put(int(t.log)-5, 4)
	for c := 0; c < n; c++ {
		share := int(t.shares[c])
		// A value from 0 to left, as a number of so many bits; the small ones
		// have one bit less.
		size := bits.Len(uint(left))
		few := 1<<size - 1 - left
		v := share + 1
		switch {
		case v < few:
			put(v, size-1)
		case v < 1<<(size-1):
			put(v, size)
		default:
			put(v+few, size)
		}
		left -= max(share, -share)
		if share != 0 {
			continue
		}
		// How many more have none follows, in pieces of 3.
		zeros := 0
		for c+1 < n && t.shares[c+1] == 0 {
			c, zeros = c+1, zeros+1
		}
		for ; zeros >= 3; zeros -= 3 {
			put(3, 2)
		}
		put(zeros, 2)
	}
	if b.waiting > 0 {
		dst = append(dst, byte(b.bits))
	}
	return dst
}

// build lays out the cells of n codes.
func (t *fse) build(n int) {
	var owner [maxCells]uint8 // of each cell
	size := 1 << t.log
	end := size
	for c, share := range t.shares[:n] {
		if share == -1 {
			end--
			owner[end] = uint8(c)
		}
	}
	at := 0
	for c, share := range t.shares[:n] {
		for range share {
			owner[at] = uint8(c)
			for at = (at + size>>1 + size>>3 + 3) & (size - 1); at >= end; {
				at = (at + size>>1 + size>>3 + 3) & (size - 1)
			}
		}
	}
	t.number(n, owner[:size])
}

// number gives every code its cells in ascending order.
func (t *fse) number(n int, owner []uint8) {
	size := len(owner)
	var next [64]int
	before := 0
	for c, share := range t.shares[:n] {
		next[c] = before
		has := int(max(share, -share))
		if has == 0 {
			continue
		}
		// A state from size to 2*size-1 becomes one from has to 2*has-1.
		most := t.log + 1 - uint(bits.Len(uint(has-1)))
		t.steps[c] = step{uint32(most)<<16 - uint32(has)<<most, int32(before - has)}
		before += has
	}
	for cell, c := range owner {
		t.cells[next[c]] = uint16(size + cell)
		next[c]++
	}
}

// single makes a table of one code, which takes no bits.
func (t *fse) single(code int) {
	*t = fse{}
	t.shares[code] = 1
}

// first gives the state that begins with a code.
func (t *fse) first(code uint8) uint32 {
	s := t.steps[code&63]
	n := (s.bits + 1<<15) >> 16
	return uint32(t.cells[(int32((n<<16-s.bits)>>(n&31))+s.toCell)&(maxCells-1)])
}

// next writes what leaves the state with a code and gives the next state.
func (t *fse) next(b bitWriter, state uint32, code uint8) (bitWriter, uint32) {
	s := t.steps[code&63]
	n := (state + s.bits) >> 16
	return b.add(state, uint8(n)), uint32(t.cells[(int32(state>>(n&31))+s.toCell)&(maxCells-1)])
}

// costBits are those behind the point of a cost.
const costBits = 8

// logs are the log2 of the numbers up to maxCells, as costs.
var logs = func() (list [maxCells + 1]uint64) {
	for i := range list[1:] {
		list[i+1] = uint64(math.Log2(float64(i+1))*(1<<costBits) + 0.5)
	}
	return list
}()

// cost is about how many bits the first n codes take, with costBits behind the
// point; very much where the table has not all of them.
func (t *fse) cost(counts *[64]uint32, n int) (sum uint64) {
	if t == nil {
		return math.MaxUint64
	}
	for c, count := range counts[:n] {
		if count == 0 {
			continue
		}
		share := t.shares[c]
		if share == 0 {
			return math.MaxUint64
		}
		sum += uint64(count) * (uint64(t.log)<<costBits - logs[max(share, -share)])
	}
	return sum
}

// predefinedTables are those that need no description. RFC 8878, 3.1.1.3.2.2.
var predefinedTables = [kinds]fse{
	literalCodes: predefine(6, 4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1),
	offsetCodes:  predefine(5, 1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1),
	lengthCodes: predefine(6, 1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1),
}

func predefine(log uint, shares ...int16) (t fse) {
	t.log = log
	copy(t.shares[:], shares)
	t.build(len(shares))
	return t
}
