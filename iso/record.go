package iso

import (
	"encoding/binary"
	"fmt"
	"time"
)

const sectorSize = 2048 // bytes of a logical block

// lba is the number of a logical block of 2048 bytes.
type lba uint32

// sectors returns how many sectors n bytes need.
func sectors(n int64) int64 { return (n + sectorSize - 1) / sectorSize }

// roundUp returns the least multiple of unit that is not less than n.
func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// both16 and both32 append a number in both byte orders, ECMA-119 7.2.3 and 7.3.3.
func both16(b []byte, v uint16) []byte { return be.AppendUint16(le.AppendUint16(b, v), v) }
func both32(b []byte, v uint32) []byte { return be.AppendUint32(le.AppendUint32(b, v), v) }

// Flags of a directory record, ECMA-119 9.1.6.
const (
	flagDirectory   = 1 << 1
	flagMultiExtent = 1 << 7 // not the last extent of the file
)

// maxRecord is the longest directory record: its length is one byte and even.
const maxRecord = 254

// A record is a directory record, ECMA-119 9.1.
type record struct {
	id        []byte
	start     lba
	size      uint32 // bytes
	time      time.Time
	flags     byte
	sequence  uint16 // number of the disc in its set
	systemUse []byte // Rock Ridge; empty in Joliet
}

// base is the length of a record without its system use field. The
// field begins at an even offset.
func (r record) base() int { return 33 + len(r.id) + (len(r.id)+1)%2 }

// encode returns the record, an even number of bytes.
func (r record) encode() []byte {
	b := make([]byte, 2, maxRecord) // 0 length, 1 length of the extended attribute record
	b = both32(b, uint32(r.start))  // 2
	b = both32(b, r.size)           // 10
	b = appendTime(b, r.time)       // 18
	b = append(b, r.flags, 0, 0)    // 25 flags, 26 unit size, 27 gap
	b = both16(b, r.sequence)       // 28
	b = append(b, byte(len(r.id)))  // 32
	b = append(b, r.id...)          // 33
	b = append(b, make([]byte, r.base()-len(b))...)
	b = append(b, r.systemUse...)
	if len(b)%2 != 0 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

// checkTime tells whether the one-byte year can hold a time.
func checkTime(t time.Time) error {
	if y := t.UTC().Year(); y < 1900 || y > 1900+255 {
		return fmt.Errorf("time %v is out of range, want the years 1900 to 2155", t)
	}
	return nil
}

// appendTime appends the seven bytes of ECMA-119 9.1.5, in UTC.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	return append(b, byte(t.Year()-1900), byte(t.Month()), byte(t.Day()),
		byte(t.Hour()), byte(t.Minute()), byte(t.Second()), 0)
}

// appendLongTime appends the 17 bytes of ECMA-119 8.4.26.1: 16 digits down to
// hundredths of a second and the distance from UTC, here 0.
func appendLongTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	b = t.AppendFormat(b, "20060102150405")
	return append(b, '0', '0', 0)
}
