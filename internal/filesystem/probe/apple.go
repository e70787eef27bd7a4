package probe

import (
	"crypto/md5"
	"encoding/binary"
)

// hfs: HFS, HFS+ and HFSX have their header at byte 1024, big-endian. An HFS+
// may lie inside an HFS wrapper.
//
//	HFS                              HFS+, HFSX
//	0    2  "BD"                     0    2   "H+", "HX"
//	20   4  allocation block size    2    2   version, 4 or 5
//	28   2  first block, in sectors  40   4   block size
//	36   28 name, length first       44   4   number of blocks
//	92   32 Finder info              80   32  Finder info; its last 8 bytes make the UUID
//	124  2  embedded "H+"            272  80  fork of the catalog file
//	126  2  its first block
func hfs(v *volume) *found {
	sb := v.at(1024, 512)
	switch {
	case sb == nil:
		return nil
	case isHFSPlus(sb):
		return hfsPlus(v, 0)
	case string(sb[:2]) != "BD" || be.Uint32(sb[20:]) == 0 || be.Uint32(sb[20:])%512 != 0:
		return nil
	}
	if sig := string(sb[124:126]); sig == "H+" || sig == "HX" {
		inner := int64(be.Uint16(sb[28:]))*512 + int64(be.Uint16(sb[126:]))*int64(be.Uint32(sb[20:]))
		if p := v.at(inner+1024, 512); p != nil && isHFSPlus(p) {
			h := hfsPlus(v, inner)
			h.also(1024, 2)
			return h
		}
	}
	h := simple("hfs", 1024, 2)
	h.info.BlockSize = int64(be.Uint32(sb[20:]))
	h.info.UUID = appleUUID(sb[92+24 : 92+32])
	h.info.Label = text(sb[37 : 37+min(int(sb[36]), 27)])
	return h
}

func isHFSPlus(p []byte) bool {
	sig, version := string(p[:2]), be.Uint16(p[2:])
	return (sig == "H+" && version == 4 || sig == "HX" && version == 5) && powerOfTwo(be.Uint32(p[40:]), 512, 1<<30)
}

func hfsPlus(v *volume, base int64) *found {
	sb := v.at(base+1024, 512)
	h := simple("hfsplus", base+1024, 2)
	h.info.BlockSize = int64(be.Uint32(sb[40:]))
	h.info.Size = bounded(uint64(be.Uint32(sb[44:])), h.info.BlockSize)
	h.info.UUID = appleUUID(sb[80+24 : 80+32])
	if end := base + h.info.Size - 1024; h.info.Size > 4096 {
		if p := v.at(end, 512); p != nil && isHFSPlus(p) {
			h.also(end, 2) // the alternate header
		}
	}
	// The first leaf of the catalog begins with the record of the root
	// folder, whose name is the volume's.
	catalog := base + int64(be.Uint32(sb[272+16:]))*h.info.BlockSize
	if node := v.at(catalog, 64); node != nil {
		size, leaf := int64(be.Uint16(node[14+18:])), int64(be.Uint32(node[14+10:]))
		if p := v.at(catalog+leaf*size, size); len(p) >= 512 && be.Uint32(p[14+2:]) == 1 {
			n := min(2*int(be.Uint16(p[14+6:])), 510)
			h.info.Label = utf16Text(p[14+8:min(14+8+n, len(p))], be)
		}
	}
	return h
}

// appleUUID makes a UUID of the 8 bytes that HFS keeps: version 3, with a name
// space of Apple's.
func appleUUID(id []byte) string {
	if binary.BigEndian.Uint64(id) == 0 {
		return ""
	}
	space := []byte{0xB3, 0xE2, 0x0F, 0x39, 0xF2, 0x92, 0x11, 0xD6, 0x97, 0xA4, 0x00, 0x30, 0x65, 0x43, 0xEC, 0xAC}
	sum := md5.Sum(append(space, id...))
	sum[6] = sum[6]&0x0F | 0x30
	sum[8] = sum[8]&0x3F | 0x80
	return uuid(sum[:])
}

// apfs: container superblock at 0.
//
//	32  4   "NXSB"
//	36  4   block size
//	40  8   number of blocks
//	72  16  UUID
func apfs(v *volume) *found {
	sb := v.at(0, 512)
	if sb == nil || !v.has(32, "NXSB") || !powerOfTwo(le.Uint32(sb[36:]), 4096, 65536) {
		return nil
	}
	h := simple("apfs", 32, 4)
	h.info.UUID, h.info.BlockSize = uuid(sb[72:88]), int64(le.Uint32(sb[36:]))
	h.info.Size = bounded(le.Uint64(sb[40:]), h.info.BlockSize)
	return h
}
