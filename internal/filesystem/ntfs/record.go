package ntfs

import (
	"fmt"
	"unicode/utf16"
)

// The types of attributes that matter here.
const (
	attrStandardInformation = 0x10
	attrAttributeList       = 0x20
	attrFileName            = 0x30
	attrVolumeName          = 0x60
	attrVolumeInformation   = 0x70
	attrData                = 0x80
	attrIndexRoot           = 0x90
	attrIndexAllocation     = 0xA0
	attrBitmap              = 0xB0
	attrReparsePoint        = 0xC0
	attrEnd                 = 0xFFFFFFFF
)

// record is an MFT record with its fixups undone.
//
//	0x00  4  "FILE"
//	0x04  2  offset of the update sequence array
//	0x06  2  its length, in 16-bit words
//	0x10  2  sequence number
//	0x14  2  offset of the first attribute
//	0x16  2  flags: 1 in use, 2 a directory
//	0x18  4  bytes in use
//	0x20  8  base record, where this one only holds attributes of another
type record struct {
	data   []byte
	offset int64 // bytes from the start of the volume, for messages
	number int64 // of the record; 0 where nobody asks
}

func (r record) sequence() uint16 { return le.Uint16(r.data[0x10:]) }
func (r record) inUse() bool      { return le.Uint16(r.data[0x16:])&1 != 0 }
func (r record) directory() bool  { return le.Uint16(r.data[0x16:])&2 != 0 }
func (r record) base() reference  { return reference(le.Uint64(r.data[0x20:])) }

// reference names an MFT record: its number, and the sequence number that it
// had then in the upper 16 bits.
type reference uint64

func (r reference) number() int64    { return int64(r & (1<<48 - 1)) }
func (r reference) sequence() uint16 { return uint16(r >> 48) }

// parseRecord undoes the fixups in p, an MFT record that was read at offset.
func parseRecord(p []byte, offset int64) (record, error) {
	if string(p[:4]) != "FILE" {
		return record{}, formatError(offset, "an MFT record begins with %q", p[:4])
	}
	if err := undoFixups(p); err != nil {
		return record{}, formatError(offset, "MFT record: %v", err)
	}
	rec := record{data: p, offset: offset}
	if first, used := int64(le.Uint16(p[0x14:])), int64(le.Uint32(p[0x18:])); first < 0x28 || first%8 != 0 || used > int64(len(p)) || first > used {
		return record{}, formatError(offset, "MFT record with attributes from %d to %d", first, used)
	}
	return rec, nil
}

const stride = 512 // bytes, at whose ends the update sequence number stands

// undoFixups verifies that all strides of p were written at the same time, and
// puts back the words that the update sequence number took the place of.
//
//	update sequence array: number, word of stride 0, word of stride 1, …
func undoFixups(p []byte) error {
	at, n := int(le.Uint16(p[4:])), int(le.Uint16(p[6:]))
	if n != len(p)/stride+1 || at%2 != 0 || at < 8 || at+2*n > stride-2 {
		return fmt.Errorf("update sequence array of %d words at %d", n, at)
	}
	number := le.Uint16(p[at:])
	for i := 1; i < n; i++ {
		if last := p[i*stride-2:]; le.Uint16(last) != number {
			return fmt.Errorf("torn: stride %d has number %d, not %d", i-1, le.Uint16(last), number)
		}
	}
	for i := 1; i < n; i++ {
		copy(p[i*stride-2:i*stride], p[at+2*i:])
	}
	return nil
}

// attribute is one attribute of a record, cut at its length.
//
//	0x00  4  type                    resident:      0x10  4  length of the value
//	0x04  4  length                                 0x14  2  offset of the value
//	0x08  1  1: not resident         not resident:  0x10  8  lowest VCN
//	0x09  1  length of the name                     0x18  8  highest VCN
//	0x0A  2  offset of the name                     0x20  2  offset of the runs
//	0x0C  2  flags: 1 compressed,                   0x30  8  size in bytes
//	         0x4000 encrypted,                      0x38  8  bytes that were written
//	         0x8000 sparse
type attribute []byte

// place is where an attribute of the record begins, in bytes from the start of
// the record: it is cut from the record's bytes, and reaches up to their end.
func (r record) place(a attribute) int64 { return int64(cap(r.data) - cap(a)) }

func (a attribute) kind() uint32      { return le.Uint32(a) }
func (a attribute) nonResident() bool { return a[8] != 0 }
func (a attribute) flags() uint16     { return le.Uint16(a[0x0C:]) }
func (a attribute) lowestVCN() int64  { return int64(le.Uint64(a[0x10:])) }
func (a attribute) highestVCN() int64 { return int64(le.Uint64(a[0x18:])) }
func (a attribute) value() []byte     { return a[le.Uint16(a[0x14:]):][:le.Uint32(a[0x10:])] }

// name is "" for most attributes; the offset then means nothing.
func (a attribute) name() string {
	if a[9] == 0 {
		return ""
	}
	return utf16String(a[le.Uint16(a[0x0A:]):][:2*int(a[9])])
}

// check says whether the lengths and offsets of the attribute stay within it.
func (a attribute) check() bool {
	n := int64(len(a))
	if n < 0x18 || a[9] > 0 && int64(le.Uint16(a[0x0A:]))+2*int64(a[9]) > n {
		return false
	}
	if !a.nonResident() {
		return int64(le.Uint16(a[0x14:]))+int64(le.Uint32(a[0x10:])) <= n
	}
	return n >= 0x40 && int64(le.Uint16(a[0x20:])) <= n
}

// attributes calls each for the attributes of the record until that returns
// false.
func (r record) attributes(each func(a attribute) bool) error {
	end := int(le.Uint32(r.data[0x18:]))
	for at := int(le.Uint16(r.data[0x14:])); ; {
		if at+4 > end {
			return formatError(r.offset+int64(at), "the attributes of an MFT record have no end")
		}
		if le.Uint32(r.data[at:]) == attrEnd {
			return nil
		}
		if at+8 > end {
			return formatError(r.offset+int64(at), "the attributes of an MFT record have no end")
		}
		n := int64(le.Uint32(r.data[at+4:]))
		if n < 0x18 || n%8 != 0 || n > int64(end-at) {
			return formatError(r.offset+int64(at), "an attribute of %d bytes", n)
		}
		a := attribute(r.data[at : at+int(n)])
		if !a.check() {
			return formatError(r.offset+int64(at), "an attribute whose parts do not lie in it")
		}
		if !each(a) {
			return nil
		}
		at += int(n)
	}
}

// find gives the attribute of that type and name, nil where there is none. Of
// several, as only attribute lists explain, it gives the first.
func (r record) find(kind uint32, name string) (found attribute, err error) {
	err = r.attributes(func(a attribute) bool {
		if a.kind() == kind && a.name() == name {
			found = a
		}
		return found == nil
	})
	return found, err
}

// utf16String is all of p, in UTF-16.
func utf16String(p []byte) string {
	units := make([]uint16, len(p)/2)
	for i := range units {
		units[i] = le.Uint16(p[2*i:])
	}
	return string(utf16.Decode(units))
}
