package pack

import (
	"math"
	"slices"
)

// optimal divides blocks into sequences so that they become small. Piece by piece
// it finds, of all the ways through, the one that costs the fewest bits, as far
// as what was used of late tells what something will cost.
type optimal struct {
	buckets buckets
	nodes   [piece + enough]node // of each place in a piece, and of what matches reach beyond
	path    []pathMatch
	costs   costs
}

const (
	piece = 8 << 10 // bytes
	// enough is the length from which on a match is taken without a look at
	// other ways, in bytes.
	enough = 128
	// plenty is the length from which on a match with a distance used before is
	// not beaten by one with another.
	plenty = 32
	// What would end within overlap bytes of the end of a piece is found again
	// with the next: there it is seen what follows.
	overlap = 64
	// Where the next place costs hardly more than a place, as a match leads over
	// it, no match is looked for: in bits with costBits behind the point.
	hardlyMore = 1 << costBits
	// lead is the cost that a piece begins with: a run of literals that goes on
	// may cost less with one more, and no cost is below 0.
	lead = 256 << costBits
	// Behind many literals matches are looked for in fewer places: in every
	// second behind 1<<patience of them, in every third behind twice as many,
	// and so on to leastOften.
	patience   = 8
	leastOften = 16
)

// node is the cheapest way to a place.
type node struct {
	cost     uint32 // of the way, in bits with costBits behind the point
	length   uint32 // bytes of the match that leads here; 0: a literal does
	offset   uint32 // of it, as the format has it
	literals uint32 // bytes of literals before the place
	repeats  repeats
}

// pathMatch is a match of the cheapest way.
type pathMatch struct {
	at, length int // bytes
	offset     uint32
}

// repeats are the distances of the last three matches, the last first, in bytes.
type repeats [3]uint32

// distance is what an offset of 1 to 3 stands for. RFC 8878, 3.1.1.5.
func (r *repeats) distance(offset, literals uint32) int {
	if literals == 0 {
		offset++
	}
	if offset == 4 {
		return int(r[0]) - 1
	}
	return int(r[(offset-1)&3])
}

// after gives the repeats behind a match with that offset and so many literals
// before it.
func (r *repeats) after(offset, literals uint32) repeats {
	if offset > 3 {
		return repeats{offset - 3, r[0], r[1]}
	}
	if literals == 0 {
		offset++
	}
	switch offset {
	case 1:
		return *r
	case 2:
		return repeats{r[1], r[0], r[2]}
	case 3:
		return repeats{r[2], r[0], r[1]}
	}
	return repeats{r[0] - 1, r[0], r[1]}
}

// divide divides src[start:end].
func (o *optimal) divide(e *Encoder, src []byte, start, end int) {
	if start == 0 {
		o.buckets.reset()
		o.costs.guess(src[:end])
	}
	anchor := start
	for pos := start; pos <= end-margin; {
		o.nodes[0] = node{cost: lead, literals: uint32(pos - anchor), repeats: e.known.repeats}
		n, taken := o.walk(src, pos, min(pos+piece, end), end)
		o.trace(n)
		next := pos + n
		switch {
		case taken.length > 0:
			o.path = append(o.path, taken)
			next += taken.length
			o.buckets.passOver(next - overlap)
		case next < end:
			next = pos + o.leave(n-overlap)
		}
		for _, m := range o.path {
			anchor = o.add(e, src, anchor, pos, m)
		}
		o.costs.learn(next - pos)
		pos = next
	}
	e.addLiterals(src, anchor, end)
	o.costs.addLiterals(src[anchor:end])
}

// trace sets path to the way to the node n.
func (o *optimal) trace(n int) {
	o.path = o.path[:0]
	for n > 0 {
		at := &o.nodes[n]
		if at.length == 0 {
			n--
			continue
		}
		n -= int(at.length)
		o.path = append(o.path, pathMatch{n, int(at.length), at.offset})
	}
	slices.Reverse(o.path)
}

// leave takes from the path what ends behind end, and gives where to go on.
func (o *optimal) leave(end int) int {
	for n := len(o.path) - 1; n >= 0 && o.path[n].at+o.path[n].length > end; n-- {
		end = min(end, o.path[n].at)
		o.path = o.path[:n]
	}
	return end
}

// add adds a match of the piece at pos to the block, with the literals from
// anchor on. It gives where the match ends.
func (o *optimal) add(e *Encoder, src []byte, anchor, pos int, m pathMatch) int {
	at := pos + m.at
	s := sequence{literals: uint32(at - anchor), length: uint32(m.length - leastLength), offset: m.offset}
	e.known.repeats = e.known.repeats.after(s.offset, s.literals)
	e.addLiterals(src, anchor, at)
	e.sequences = append(e.sequences, s)
	o.costs.add(s, src[anchor:at])
	return at + m.length
}

// walk finds the cheapest way to each place from start to stop. Where a match is
// long enough it ends, at node n, and gives that.
func (o *optimal) walk(src []byte, start, stop, end int) (n int, taken pathMatch) {
	n = stop - start
	ready := 1 // the first node that holds what is left of another piece
	for i := range n {
		for ; ready < i+enough; ready++ {
			o.nodes[ready].cost = math.MaxUint32
		}
		at, next, pos := o.arrive(i), &o.nodes[i+1], start+i
		if c := at.cost + o.costs.literal(src[pos], at.literals); c < next.cost {
			next.cost, next.length = c, 0
		}
		if pos > end-margin {
			continue
		}
		if every := at.literals>>patience + 1; every > 1 && uint32(pos)%min(every, leastOften) != 0 {
			o.buckets.passOver(pos + 1)
			continue
		}
		o.buckets.rememberTo(src, pos)
		if next.cost <= at.cost+hardlyMore {
			continue
		}
		v := load64(src, pos)
		taken, longest := o.again(src, i, pos, end, v)
		if taken.length == 0 && longest < plenty {
			taken = o.look(src, i, pos, end, longest, v)
		}
		if taken.length > 0 {
			return i, taken
		}
	}
	return n, pathMatch{}
}

// arrive completes node i: from now on its way is certain.
func (o *optimal) arrive(i int) *node {
	at := &o.nodes[i]
	switch {
	case i == 0:
	case at.length == 0:
		before := &o.nodes[i-1]
		at.literals, at.repeats = before.literals+1, before.repeats
	default:
		before := &o.nodes[i-int(at.length)]
		at.literals, at.repeats = 0, before.repeats.after(at.offset, before.literals)
	}
	return at
}

// again goes on from node i by matches with distances used before. It gives the
// longest one's length, less than leastLength for none, or one that is taken.
func (o *optimal) again(src []byte, i, pos, end int, v uint64) (taken pathMatch, longest int) {
	at := &o.nodes[i]
	longest = leastLength - 1
	for offset := uint32(1); offset <= 3; offset++ {
		d := at.repeats.distance(offset, at.literals)
		if d <= 0 || d > pos || (load32(src, pos-d)^uint32(v))<<8 != 0 {
			continue
		}
		length := leastLength + common(src, pos-d+leastLength, pos+leastLength, end)
		if length >= enough {
			return pathMatch{i, length, offset}, length
		}
		if length > longest {
			o.reach(i, leastLength, length, offset)
			longest = length
		}
	}
	return pathMatch{}, longest
}

// look goes on from node i by matches of more than longest bytes. It gives one
// that is taken.
func (o *optimal) look(src []byte, i, pos, end, longest int, v uint64) pathMatch {
	var list nearMatches
	from := leastLength
	for _, m := range o.buckets.look(&list, src, pos, end, longest, v) {
		length, d := m.length(), m.distance()
		if length >= enough {
			return pathMatch{i, length + common(src, pos-d+length, pos+length, end), uint32(d + 3)}
		}
		o.reach(i, from, length, uint32(d+3))
		from = length + 1
	}
	return pathMatch{}
}

// reach goes from node i by a match of shortest to longest bytes to where no
// cheaper way leads.
func (o *optimal) reach(i, shortest, longest int, offset uint32) {
	cost := o.nodes[i].cost + o.costs.match(offset)
	nodes, lengths := o.nodes[i:i+longest+1], o.costs.lengths[:longest+1]
	for n := shortest; n < len(nodes) && n < len(lengths); n++ {
		if c := cost + lengths[n]; c < nodes[n].cost {
			nodes[n].cost, nodes[n].length, nodes[n].offset = c, uint32(n), offset
		}
	}
}
