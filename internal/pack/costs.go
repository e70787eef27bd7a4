package pack

import (
	"math"
	"math/bits"
)

// costs are what the parts of a block cost, in bits with costBits behind the
// point, as far as can be told from what was used before.
type costs struct {
	literals [256]uint32
	codes    [kinds][64]uint32
	runs     [longLiterals]uint32 // of literals, by their number
	lengths  [enough]uint32       // of matches, in bytes

	literalCounts [256]uint32 // how often it was used, of late more than before
	codeCounts    [kinds][64]uint32
	since         int // bytes that the costs do not know of
}

const (
	relearn = 4 << 10 // bytes
	// Of a count, one of 1<<fade is forgotten when the costs are made anew.
	fade = 3
)

// guess begins with a frame, of which start is the first block.
func (c *costs) guess(start []byte) {
	c.since = 0
	clear(c.literalCounts[:])
	for _, b := range start {
		c.literalCounts[b]++
	}
	for i := range c.literalCounts {
		c.literalCounts[i] >>= 4 // most of it will be copied
	}
	for kind := range kinds {
		for code, share := range predefinedTables[kind].shares {
			c.codeCounts[kind][code] = uint32(max(share, -share)) * 4
		}
	}
	c.learn(relearn)
}

// add counts a sequence and the literals before it.
func (c *costs) add(s sequence, literals []byte) {
	code := codesOf(s)
	c.codeCounts[literalCodes][code.literals&63]++
	c.codeCounts[offsetCodes][code.offset&63]++
	c.codeCounts[lengthCodes][code.length&63]++
	c.addLiterals(literals)
}

func (c *costs) addLiterals(literals []byte) {
	for _, b := range literals {
		c.literalCounts[b]++
	}
}

// learn makes the costs anew, if enough bytes have come since that was done.
func (c *costs) learn(n int) {
	if c.since += n; c.since < relearn {
		return
	}
	c.since = 0
	fromCounts(c.literals[:], c.literalCounts[:])
	for kind, n := range codeCount {
		fromCounts(c.codes[kind][:n], c.codeCounts[kind][:n])
	}
	for n := range c.runs {
		c.runs[n] = c.ofCode(literalCodes, literalCode[n], literalBits[literalCode[n]])
	}
	for n := leastLength; n < enough; n++ {
		code := lengthCode[n-leastLength]
		c.lengths[n] = c.ofCode(lengthCodes, code, lengthBits[code])
	}
}

// fromCounts makes costs of counts, and lets some of the counts be forgotten.
func fromCounts(costs, counts []uint32) {
	total := 0.0
	for _, n := range counts {
		total += float64(n) + 0.5 // nothing is out of the question
	}
	most := math.Log2(total)
	for i, n := range counts {
		costs[i] = uint32((most-math.Log2(float64(n)+0.5))*(1<<costBits) + 0.5)
		counts[i] -= n >> fade
	}
}

// ofCode is the cost of a code with so many bits behind it.
func (c *costs) ofCode(kind int, code, more uint8) uint32 {
	return c.codes[kind][code&63] + uint32(more)<<costBits
}

// run is the cost of the length of a run of literals.
func (c *costs) run(n uint32) uint32 {
	if n < longLiterals {
		return c.runs[n]
	}
	code := literalsCode(n)
	return c.ofCode(literalCodes, code, literalBits[code&63])
}

// literal is what b costs more behind so many literals.
func (c *costs) literal(b byte, literals uint32) uint32 {
	return c.literals[b] + c.run(literals+1) - c.run(literals)
}

// match is the cost of a match but for its length; the next run of literals
// begins with it.
func (c *costs) match(offset uint32) uint32 {
	code := uint8(bits.Len32(offset) - 1)
	return c.ofCode(offsetCodes, code, code) + c.runs[0]
}
