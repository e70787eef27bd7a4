package fat

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// More of an entry of a directory:
//
//	0   1   05 stands for E5        13  1   created: 10 ms, 0 to 199
//	11  1   attributes: 1 read only 14  4   created: time, date
//	12  1   8: base in lower case,  18  2   accessed: date
//	        10: extension           22  4   written: time, date
//	                                28  4   bytes
func (e dirEntry) readOnly() bool { return e[11]&1 != 0 }
func (e dirEntry) size() int64    { return int64(le.Uint32(e[28:])) }
func (e dirEntry) dots() bool {
	return string(e[:11]) == ".          " || string(e[:11]) == "..         "
}
func (e dirEntry) accessed() time.Time { return moment(le.Uint16(e[18:]), 0, 0) }
func (e dirEntry) modified() time.Time { return moment(le.Uint16(e[24:]), le.Uint16(e[22:]), 0) }
func (e dirEntry) created() time.Time  { return moment(le.Uint16(e[16:]), le.Uint16(e[14:]), e[13]) }

// moment is a time of FAT, which is local time of who wrote it: it is taken as
// that of this machine. What is no date is the zero time.
//
//	date  15-9 year from 1980  8-5 month   4-0 day
//	time  15-11 hour           10-5 minute 4-0 seconds / 2
func moment(date, clock uint16, fine byte) time.Time {
	day, month := int(date&31), time.Month(date>>5&15)
	if day == 0 || month == 0 || month > 12 {
		return time.Time{}
	}
	nanoseconds := int(min(fine, 199)) * int(10*time.Millisecond)
	return time.Date(1980+int(date>>9), month, day, int(clock>>11), int(clock>>5&63), int(clock&31)*2, nanoseconds, time.Local)
}

// shortName is the name of the entry itself, 8 and 3 characters of a code page
// that no FAT names: read as CP437, which is Linux's default. Systems of the
// Windows NT family keep in byte 12 that a part was in lower case.
func (e dirEntry) shortName() string {
	part := func(p []byte, lower bool) string {
		var b strings.Builder
		for _, c := range p {
			r := decode437(c)
			if l := unicode.ToLower(r); lower && (r < 0x80 || strings.ContainsRune(cp437, l)) {
				r = l
			}
			b.WriteRune(r)
		}
		return strings.TrimRight(b.String(), " ")
	}
	base := append([]byte(nil), e[:8]...)
	if base[0] == 0x05 {
		base[0] = 0xE5
	}
	name := part(base, e[12]&0x08 != 0)
	if ext := part(e[8:11], e[12]&0x10 != 0); ext != "" {
		name += "." + ext
	}
	return name
}

// cp437 are the upper 128 characters of the code page, by Unicode's table.
const cp437 = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
	"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00A0"

func decode437(c byte) rune {
	if c < 0x80 {
		return rune(c)
	}
	for i, n := range []rune(cp437) {
		if i == int(c-0x80) {
			return n
		}
	}
	return unicode.ReplacementChar
}

// nameable says whether a name can be part of a path.
func nameable(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// longName collects the entries of a long name, which lie in front of that of
// the file, the last part first.
//
//	0   1   number of the part, from 1; 40: the last one
//	1   10  5 units of UTF-16       13  1   checksum of the short name
//	11  1   0F                      14  12  6 units
//	                                28  4   2 units
type longName struct {
	units []uint16 // what was collected, in its order
	next  byte     // number of the part that must follow; 0: none, it is whole
	sum   byte
	some  bool
}

const maxParts = 20 // of 13 units: 255 and an end

func (l *longName) clear() { l.units, l.some = l.units[:0], false }

// add takes an entry of a long name. One that does not follow the one before is
// an orphan, and so are those before it.
func (l *longName) add(e dirEntry) {
	number := e[0] & 0x3F
	switch {
	case number == 0 || number > maxParts:
		l.clear()
		return
	case e[0]&0x40 != 0:
		l.clear()
		l.some, l.sum = true, e[13]
	case !l.some || number != l.next || e[13] != l.sum:
		l.clear()
		return
	}
	l.next = number - 1
	var part [13]uint16
	for i := range part {
		part[i] = le.Uint16(e[[13]int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}[i]:])
	}
	l.units = append(part[:], l.units...)
}

// take gives the long name of an entry, if the parts before it are whole and
// its own, and forgets it.
func (l *longName) take(e dirEntry) (name string, ok bool) {
	defer l.clear()
	if !l.some || l.next != 0 || l.sum != e.checksum() {
		return "", false
	}
	units := l.units
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	name = string(utf16.Decode(units))
	return name, len(units) <= 255 && nameable(name)
}

// checksum is that of the short name, as entries of long names hold it.
func (e dirEntry) checksum() (sum byte) {
	for _, c := range e[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}
