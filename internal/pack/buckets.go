package pack

// buckets finds matches of all lengths. It remembers places by a hash of 3, of 4
// and of 8 bytes there: of 3 the last one, of the others the last ones, the
// nearest first. An entry is as in finder; that of 3 bytes is the place and 1,
// or 0.
type buckets struct {
	known int // places before it are remembered
	three [1 << threeBits]uint32
	four  [1 << bucketBits]bucket
	eight [1 << bucketBits]bucket
}

type bucket [4]uint32

const (
	threeBits  = 14
	bucketBits = 16
)

// nearMatch is the distance of a match, and above windowBits its length.
type nearMatch uint32

func (m nearMatch) length() int   { return int(m >> windowBits) }
func (m nearMatch) distance() int { return int(m & placeMask) }

// nearMatches has room for one match from each entry of a place.
type nearMatches [1 + 2*len(bucket{})]nearMatch

// reset forgets everything, for another frame.
func (b *buckets) reset() {
	b.known = 0
	clear(b.three[:])
	clear(b.four[:])
	clear(b.eight[:])
}

// slots are where the entries of a place belong, and those that it gets.
type slots struct {
	three             *uint32
	four, eight       *bucket
	newFour, newEight uint32
}

// slots gives those of pos, where v is.
func (b *buckets) slots(v uint64, pos int) slots {
	three, four, eight := hash3(v), hash4(v), hash8(v)
	return slots{
		three: &b.three[three>>(64-threeBits)], four: &b.four[four>>(64-bucketBits)], eight: &b.eight[eight>>(64-bucketBits)],
		newFour: entry(four, bucketBits, pos), newEight: entry(eight, bucketBits, pos),
	}
}

// remember takes note of pos.
func (s slots) remember(pos int) {
	*s.three = uint32(pos + 1)
	*s.four = bucket{s.newFour, s.four[0], s.four[1], s.four[2]}
	*s.eight = bucket{s.newEight, s.eight[0], s.eight[1], s.eight[2]}
}

// rememberTo takes note of all places before pos that have 8 bytes.
func (b *buckets) rememberTo(src []byte, pos int) {
	pos = min(pos, len(src)-7)
	for at := b.known; at < pos; at++ {
		b.slots(load64(src, at), at).remember(at)
	}
	b.known = max(b.known, pos)
}

// passOver leaves out what is not remembered before pos.
func (b *buckets) passOver(pos int) { b.known = max(b.known, pos) }

// look gives the matches of pos, where v is: each longer than least bytes and
// than the one before, and none longer than enough. It takes note of pos. Where a
// piece is found again, places behind pos are known, which seem a window away.
func (b *buckets) look(list *nearMatches, src []byte, pos, end, least int, v uint64) []nearMatch {
	s := b.slots(v, pos)
	most, n := min(end, pos+enough), 0
	take := func(d, size int) {
		if size += common(src, pos-d+size, pos+size, most); size > least {
			list[n], least = nearMatch(size<<windowBits|d), size
			n++
		}
	}
	if d := pos + 1 - int(*s.three); least < leastLength && *s.three > 0 && d > 0 && d <= placeMask && (load32(src, pos-d)^uint32(v))<<8 == 0 {
		take(d, leastLength)
	}
	for _, old := range s.four {
		if d := distance(old, pos); (old^s.newFour)>>windowBits == 0 && d > 0 && d <= pos && load32(src, pos-d) == uint32(v) {
			take(d, 4)
		}
	}
	for _, old := range s.eight {
		if d := distance(old, pos); (old^s.newEight)>>windowBits == 0 && d > 0 && d <= pos && load64(src, pos-d) == v {
			take(d, 8)
		}
	}
	if pos == b.known {
		s.remember(pos)
		b.known++
	}
	return list[:n]
}
