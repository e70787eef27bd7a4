package exfat

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// entrySet are the entries that name a file: the file's own, its stream, parts
// of its name, and others that may be passed over.
//
//	file 0x85                        stream 0xC0
//	1   1  entries that follow       1   1  flags: 1 has clusters, 2 no chain
//	2   2  checksum of the set       3   1  units of the name
//	4   2  attributes                8   8  bytes that were written
//	8   4  created                   20  4  first cluster
//	12  4  modified                  24  8  bytes
//	16  4  accessed
//	20  1  created, 10 ms            name 0xC1
//	21  1  modified, 10 ms           2   30 units of UTF-16
//	22  1  created, offset of UTC
//	23  1  modified
//	24  1  accessed
type entrySet []byte

const (
	maxSet    = 18 // entries behind the first one
	partUnits = 15 // of a name, in one entry
)

// Attributes of a file.
const (
	attrReadOnly  = 1
	attrDirectory = 1 << 4
)

func (s entrySet) sum() uint16         { return le.Uint16(s[2:]) }
func (s entrySet) attributes() uint16  { return le.Uint16(s[4:]) }
func (s entrySet) created() time.Time  { return moment(le.Uint32(s[8:]), s[20], s[22]) }
func (s entrySet) modified() time.Time { return moment(le.Uint32(s[12:]), s[21], s[23]) }
func (s entrySet) accessed() time.Time { return moment(le.Uint32(s[16:]), 0, s[24]) }
func (s entrySet) entry(i int) dirEntry {
	return dirEntry(s[i*entrySize : (i+1)*entrySize])
}
func (s entrySet) stream() dirEntry { return s.entry(1) }

// The entry of a stream, and what every entry behind the first one has.
func (e dirEntry) secondary() bool { return e.kind()&0xC0 == 0xC0 }
func (e dirEntry) hasData() bool   { return e[1]&1 != 0 }
func (e dirEntry) straight() bool  { return e[1]&2 != 0 }
func (e dirEntry) written() uint64 { return le.Uint64(e[8:]) }

// checksum is that of all bytes but its own.
func (s entrySet) checksum() (sum uint16) {
	for i, c := range s {
		if i != 2 && i != 3 {
			sum = sum>>1 | sum<<15
			sum += uint16(c)
		}
	}
	return sum
}

// name puts the name together; entries behind it are passed over where they
// say that they may be.
func (s entrySet) name() (string, error) {
	if s.stream().kind() != kindStream {
		return "", fmt.Errorf("an entry set without a stream, but an entry %#x", s.stream().kind())
	}
	units := make([]uint16, 0, 255)
	n := int(s.stream()[3])
	for i := 2; i < len(s)/entrySize; i++ {
		e := s.entry(i)
		switch {
		case len(units) >= n && e.kind()&0x20 != 0: // benign
			continue
		case len(units) >= n || e.kind() != kindName:
			return "", fmt.Errorf("an entry set with an entry %#x in place %d", e.kind(), i)
		}
		for u := range partUnits {
			units = append(units, le.Uint16(e[2+2*u:]))
		}
	}
	if len(units) < n {
		return "", fmt.Errorf("an entry set with %d of %d characters of its name", len(units), n)
	}
	name := string(utf16.Decode(units[:n]))
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("an entry set with the name %q", name)
	}
	return name, nil
}

// sizes checks the numbers of the stream against the volume.
func (s entrySet) sizes(b bootSector) error {
	e := s.stream()
	switch {
	case e.length() > uint64(b.clusters()<<b.clusterShift()):
		return fmt.Errorf("%d bytes in %d clusters", e.length(), b.clusters())
	case e.written() > e.length():
		return fmt.Errorf("%d of %d bytes are written", e.written(), e.length())
	case e.length() > 0 && !e.hasData():
		return errors.New("it has bytes, but can have no clusters")
	}
	return nil
}

// moment is a time with its offset of UTC in quarters of an hour, or that of
// this machine where it has none. What is no date is the zero time.
//
//	31-25 year from 1980  24-21 month  20-16 day
//	15-11 hour            10-5 minute  4-0 seconds / 2
//	offset: 7 there is one, 6-0 signed
func moment(stamp uint32, fine, offset byte) time.Time {
	day, month := int(stamp>>16&31), time.Month(stamp>>21&15)
	if day == 0 || month == 0 || month > 12 {
		return time.Time{}
	}
	zone := time.Local
	if offset&0x80 != 0 {
		quarters := int(int8(offset<<1)) / 2
		zone = time.FixedZone("", quarters*15*60)
	}
	nanoseconds := int(min(fine, 199)) * int(10*time.Millisecond)
	return time.Date(1980+int(stamp>>25), month, day, int(stamp>>11&31), int(stamp>>5&63), int(stamp&31)*2, nanoseconds, zone)
}
