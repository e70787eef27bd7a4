package pack

import "math/bits"

const (
	leastLength = 3  // bytes of the shortest match that the format has
	minMatch    = 4  // bytes of the shortest match that is looked for
	margin      = 9  // bytes before the end of a block in which no match begins
	shortRun    = 16 // bytes of literals that are copied at once
)

// sequence is a run of literals and a match behind it.
type sequence struct {
	literals uint32 // bytes
	length   uint32 // bytes, less leastLength
	offset   uint32 // as the format has it: 1 is a distance used before, else the distance and 3
}

// match is a run of bytes that lay in the frame before. A length of 0: none.
type match struct {
	at, length, distance int
}

// divide takes match after match as search finds them.
func (f *finder) divide(e *Encoder, src []byte, start, end int) {
	if start == 0 {
		f.reset()
	}
	last, other := int(e.known.repeats[0]), int(e.known.repeats[1])
	anchor := start
	for pos := start; pos <= end-margin; pos = anchor {
		m := f.search(src, pos, anchor, end, last)
		if m.length == 0 {
			break
		}
		s := sequence{literals: uint32(m.at - anchor), length: uint32(m.length - leastLength), offset: 1}
		if m.distance != last || s.literals == 0 {
			s.offset = uint32(m.distance + 3)
			last, other = m.distance, last
		}
		e.addLiterals(src, anchor, m.at)
		e.sequences = append(e.sequences, s)
		if anchor = m.at + m.length; anchor > end-margin {
			break
		}
		f.rememberMatch(src, m.at, anchor)
		// Matches that lie one behind the other have the distances of the last
		// two in turns. Behind no literals the format has 1 for the last but one.
		for anchor <= end-margin && load32(src, anchor) == load32(src, anchor-other) {
			n := minMatch + common(src, anchor-other+minMatch, anchor+minMatch, end)
			last, other = other, last
			f.remember(src, anchor)
			e.sequences = append(e.sequences, sequence{length: uint32(n - leastLength), offset: 1})
			anchor += n
		}
	}
	e.known.repeats = repeats{uint32(last), uint32(other)}
	e.addLiterals(src, anchor, end)
}

// addLiterals adds src[from:to]. Most runs are short.
func (e *Encoder) addLiterals(src []byte, from, to int) {
	if n := len(e.literals); to-from <= shortRun && from+shortRun <= len(src) {
		copy(e.literals[n:n+shortRun], src[from:from+shortRun])
		e.literals = e.literals[:n+to-from]
		return
	}
	e.literals = append(e.literals, src[from:to]...)
}

// finder finds matches. It remembers where bytes were, the last place for each
// hash: of 8 bytes and of 5, or, where it is to be fast, of 6.
//
// An entry holds the low bits of a place, and above them a tag, more bits of the
// hash. So most of what has the same hash by chance is passed over without a
// look at its bytes. What lies a window or more behind seems nearer, and is
// then compared in vain.
type finder struct {
	fast  bool
	long  [1 << longBits]uint32
	short [1 << shortBits]uint32 // the only one where it is fast
}

const (
	longBits  = 17
	shortBits = 16
	placeMask = 1<<windowBits - 1
	tagBits   = 32 - windowBits
	prime     = 0x9E3779B97F4A7C15 // 2^64 by the golden ratio
)

func hash8(v uint64) uint64 { return v * prime }
func hash6(v uint64) uint64 { return (v << 16) * prime }
func hash5(v uint64) uint64 { return (v << 24) * prime }
func hash4(v uint64) uint64 { return (v << 32) * prime }
func hash3(v uint64) uint64 { return (v << 40) * prime }

// entry is what a table of 1<<size holds for hash and pos.
func entry(hash uint64, size, pos int) uint32 {
	return uint32(hash>>(64-size-tagBits))<<windowBits | uint32(pos)&placeMask
}

// distance is how far before pos the place of an entry lies, less than a window.
func distance(entry uint32, pos int) int { return int((uint32(pos) - entry) & placeMask) }

// reset forgets everything, for another frame.
func (f *finder) reset() {
	clear(f.short[:])
	if !f.fast {
		clear(f.long[:])
	}
}

// search gives the first match that it finds at pos or behind. It goes faster the
// further pos is from anchor, where the last match ended, and tries the last
// distance too. A match ends before or at end.
func (f *finder) search(src []byte, pos, anchor, end, last int) match {
	if f.fast {
		return f.searchFast(src, pos, anchor, end, last)
	}
	for pos <= end-margin {
		v := load64(src, pos)
		long, short := hash8(v), hash5(v)
		nowLong, nowShort := entry(long, longBits, pos), entry(short, shortBits, pos)
		atLong, atShort := &f.long[long>>(64-longBits)], &f.short[short>>(64-shortBits)]
		oldLong, oldShort := *atLong, *atShort
		*atLong, *atShort = nowLong, nowShort
		otherLong, otherShort := (oldLong^nowLong)>>windowBits, (oldShort^nowShort)>>windowBits
		other := load32(src, pos+1-last) ^ uint32(v>>8)
		// One branch for the three: as a rule none is 0.
		if int64((uint64(otherLong)-1)|(uint64(otherShort)-1)|(uint64(other)-1)) >= 0 {
			pos += (pos-anchor)>>8 + 1
			continue
		}
		if other == 0 {
			return match{pos + 1, minMatch + common(src, pos+1+minMatch-last, pos+1+minMatch, end), last}
		}
		if d := distance(oldLong, pos); otherLong == 0 && d > 0 && load64(src, pos-d) == v {
			return widen(src, pos, 8, d, anchor, end)
		}
		if d := distance(oldShort, pos); otherShort == 0 && d > 0 && load32(src, pos-d) == uint32(v) {
			return f.better(src, pos, d, anchor, end)
		}
		pos += (pos-anchor)>>8 + 1
	}
	return match{}
}

// better gives the match of 8 bytes or more that begins a byte behind pos, else
// that of 4 or more at pos.
func (f *finder) better(src []byte, pos, d, anchor, end int) match {
	v := load64(src, pos+1)
	h := hash8(v)
	now, old := entry(h, longBits, pos+1), f.long[h>>(64-longBits)]
	f.long[h>>(64-longBits)] = now
	if next := distance(old, pos+1); (old^now)>>windowBits == 0 && next > 0 && load64(src, pos+1-next) == v {
		return widen(src, pos+1, 8, next, anchor, end)
	}
	return widen(src, pos, minMatch, d, anchor, end)
}

// searchFast is search with one table.
func (f *finder) searchFast(src []byte, pos, anchor, end, last int) match {
	for pos <= end-margin {
		v := load64(src, pos)
		h := hash6(v)
		now, at := entry(h, shortBits, pos), &f.short[h>>(64-shortBits)]
		old := *at
		*at = now
		otherHash, other := (old^now)>>windowBits, load32(src, pos+1-last)^uint32(v>>8)
		if int64((uint64(otherHash)-1)|(uint64(other)-1)) >= 0 {
			pos += (pos-anchor)>>6 + 1
			continue
		}
		if other == 0 {
			return match{pos + 1, minMatch + common(src, pos+1+minMatch-last, pos+1+minMatch, end), last}
		}
		if d := distance(old, pos); d > 0 && load32(src, pos-d) == uint32(v) {
			return widen(src, pos, minMatch, d, anchor, end)
		}
		pos += (pos-anchor)>>6 + 1
	}
	return match{}
}

// rememberMatch takes note of some places of a match.
func (f *finder) rememberMatch(src []byte, from, to int) {
	f.remember(src, from+2)
	if f.fast {
		f.rememberShort(hash6(load64(src, to-2)), to-2)
		return
	}
	f.rememberLong(hash8(load64(src, to-2)), to-2)
	f.rememberShort(hash5(load64(src, to-1)), to-1)
}

// remember takes note of a place.
func (f *finder) remember(src []byte, pos int) {
	v := load64(src, pos)
	if f.fast {
		f.rememberShort(hash6(v), pos)
		return
	}
	f.rememberLong(hash8(v), pos)
	f.rememberShort(hash5(v), pos)
}

func (f *finder) rememberLong(hash uint64, pos int) {
	f.long[hash>>(64-longBits)] = entry(hash, longBits, pos)
}
func (f *finder) rememberShort(hash uint64, pos int) {
	f.short[hash>>(64-shortBits)] = entry(hash, shortBits, pos)
}

// widen makes a match of n bytes at pos as long as it can be, to both sides: not
// beyond anchor and end.
func widen(src []byte, pos, n, d, anchor, end int) match {
	n += common(src, pos+n-d, pos+n, end)
	for room := min(pos-anchor, pos-d); room > 0; {
		if pos-d < 8 {
			if src[pos-1] != src[pos-d-1] {
				break
			}
			pos, n, room = pos-1, n+1, room-1
			continue
		}
		k := min(bits.LeadingZeros64(load64(src, pos-8)^load64(src, pos-d-8))>>3, room)
		pos, n, room = pos-k, n+k, room-k
		if k < 8 {
			break
		}
	}
	return match{pos, n, d}
}

// common gives the number of bytes that are the same from a and from b on, a
// before b, up to end.
func common(src []byte, a, b, end int) int {
	start := b
	for ; b+8 <= end; a, b = a+8, b+8 {
		if x := load64(src, a) ^ load64(src, b); x != 0 {
			return b - start + bits.TrailingZeros64(x)>>3
		}
	}
	for ; b < end && src[a] == src[b]; a, b = a+1, b+1 {
	}
	return b - start
}
