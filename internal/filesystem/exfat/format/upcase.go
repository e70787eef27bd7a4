package format

import "unicode"

// upcaseTable is the table that makes names comparable without regard to case
// (7.2.5), for all of UTF-16, compressed: FFFF and a number stand for so many
// characters that are their own upper case. The mapping is Unicode's simple
// one, which for the first 128 characters is the one that 7.2.5 demands.
func upcaseTable() []byte {
	var b []byte
	same := 0 // characters that are their own upper case, not written yet
	flush := func(at int) {
		switch {
		case same > 2 || at > 0xFFFF: // FFFF cannot stand for itself
			b = le.AppendUint16(le.AppendUint16(b, 0xFFFF), uint16(same))
		default:
			for c := at - same; c < at; c++ {
				b = le.AppendUint16(b, uint16(c))
			}
		}
		same = 0
	}
	for c := 0; c <= 0xFFFF; c++ {
		up := upcase(c)
		if up == c {
			same++
			continue
		}
		if same > 0 {
			flush(c)
		}
		b = le.AppendUint16(b, uint16(up))
	}
	flush(0x10000)
	return b
}

// upcase is the upper case of one UTF-16 unit. Halves of pairs, and what has
// its upper case beyond UTF-16, stay.
func upcase(c int) int {
	if up := unicode.ToUpper(rune(c)); up < 0xFFFF && (c < 0xD800 || c > 0xDFFF) {
		return int(up)
	}
	return c
}

// tableChecksum is that of 7.2.2.
func tableChecksum(p []byte) uint32 {
	sum := uint32(0)
	for _, c := range p {
		sum = sum<<31 | sum>>1
		sum += uint32(c)
	}
	return sum
}
