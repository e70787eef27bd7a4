// Package tabletest makes partition tables for tests where no program of
// Linux does: disklabels in the slices of an MBR and on whole disks, Apple
// maps with drivers. It only writes, from the descriptions that package
// partition names, so that a mistake there is not made twice; it is imported
// by tests only.
package tabletest

import "encoding/binary"

// Letter is one partition of a disklabel.
type Letter struct {
	Letter      byte   // 'a' and so on
	Start, Size uint64 // sectors
	Kind        byte   // p_fstype: 7 is 4.2BSD, 1 swap, 0 unused
}

// Disklabel writes a label of n partitions at the start of d, for a disk of
// that many sectors of sectorSize bytes. version is 1 for OpenBSD's, with
// offsets of 48 bits and a DUID.
func Disklabel(d []byte, order binary.ByteOrder, sectorSize, sectors uint32, version uint16, n int, letters ...Letter) {
	const magic = 0x82564557
	order.PutUint32(d, magic)
	order.PutUint16(d[4:], 4)
	copy(d[8:24], "test disk")
	for i, v := range []uint32{sectorSize, 63, 16, sectors / 1008, 1008, sectors} {
		order.PutUint32(d[40+4*i:], v)
	}
	if version == 1 {
		copy(d[64:72], "\x01\x23\x45\x67\x89\xab\xcd\xef")
		order.PutUint16(d[114:], 1)
	}
	order.PutUint32(d[132:], magic)
	order.PutUint16(d[138:], uint16(n))
	order.PutUint32(d[140:], 8192)
	order.PutUint32(d[144:], 8192)
	for _, p := range letters {
		e := d[148+16*int(p.Letter-'a'):]
		order.PutUint32(e, uint32(p.Size))
		order.PutUint32(e[4:], uint32(p.Start))
		order.PutUint16(e[8:], uint16(p.Start>>32))
		order.PutUint16(e[10:], uint16(p.Size>>32))
		if version == 0 {
			order.PutUint32(e[8:], 2048)
		}
		e[12] = p.Kind
	}
	FixDisklabel(d, order)
}

// FixDisklabel makes the checksum of a label right.
func FixDisklabel(d []byte, order binary.ByteOrder) {
	order.PutUint16(d[136:], 0)
	var sum uint16
	for i := range 74 + 8*int(order.Uint16(d[138:])) {
		sum ^= order.Uint16(d[2*i:])
	}
	order.PutUint16(d[136:], sum)
}

// AppleEntry is one entry of an Apple map.
type AppleEntry struct {
	Start, Size uint32 // blocks
	Name, Kind  string
}

// AppleMap writes a device record and a map in blocks of that many bytes.
func AppleMap(d []byte, block int, entries ...AppleEntry) {
	be := binary.BigEndian
	copy(d, "ER")
	be.PutUint16(d[2:], uint16(block))
	be.PutUint32(d[4:], uint32(len(d)/block))
	for i, e := range entries {
		b := d[(i+1)*block:]
		copy(b, "PM")
		be.PutUint32(b[4:], uint32(len(entries)))
		be.PutUint32(b[8:], e.Start)
		be.PutUint32(b[12:], e.Size)
		copy(b[16:48], e.Name)
		copy(b[48:80], e.Kind)
		be.PutUint32(b[84:], e.Size)
		be.PutUint32(b[88:], 0x37)
	}
}

// MBREntry writes entry i, 0 to 3, of an MBR or EBR, and its mark.
func MBREntry(sector []byte, i int, status, kind byte, start, length uint32) {
	e := sector[446+16*i:]
	e[0], e[4] = status, kind
	binary.LittleEndian.PutUint32(e[8:], start)
	binary.LittleEndian.PutUint32(e[12:], length)
	sector[510], sector[511] = 0x55, 0xAA
}
