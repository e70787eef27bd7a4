package probe

import (
	"cmp"
	"slices"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/apfs"
	"doppel.live/internal/filesystem/hfsplus"
)

// hfs: HFS, HFS+ and HFSX have their header at byte 1024, big-endian. An HFS+
// may lie inside an HFS wrapper; both have a copy near their end.
//
//	HFS                              HFS+, HFSX
//	0    2  "BD"                     0   2  "H+", "HX"
//	20   4  block size               40  4  block size
//	28   2  first block, sectors     44  4  number of blocks
//	124  2  embedded "H+", "HX"
//	126  2  its first block
func hfs(v *volume) *found {
	const at = 1024
	info, err := hfsplus.Identify(v.r, v.size)
	if err != nil {
		return v.unlessFormat(err)
	}
	sb := v.at(at, 512)
	if sb == nil {
		return nil
	}
	h := simple(info.Type, at, 2)
	if info.Type == "hfsplus" {
		base := int64(0)
		if string(sb[:2]) == "BD" {
			base = int64(be.Uint16(sb[28:]))*512 + int64(be.Uint16(sb[126:]))*int64(be.Uint32(sb[20:]))
			h = simple(info.Type, base+at, 2)
			h.also(at, 2)
		}
		h.copies(v, base, sb)
	}
	h.info = info
	if h.read(hfsplus.Open(v.r, v.size)); h.info.State == filesystem.Dirty {
		h.fs, h.reason = nil, cmp.Or(h.reason, "it was not unmounted, or errors were found: mount and eject it in macOS, or run fsck_hfs, to have only used blocks saved")
	}
	return h
}

// copies adds the copies of the header of an HFS+ that begins at base: 1024
// bytes before the end of its blocks, and of the volume.
func (h *found) copies(v *volume, base int64, head []byte) {
	sb := v.at(base+1024, 512)
	if sb == nil {
		return
	}
	block := int64(be.Uint32(sb[40:]))
	end := base + bounded(uint64(be.Uint32(sb[44:])), block)
	ends := []int64{end, v.size - v.size%512}
	if base > 0 {
		ends[1] = base + int64(be.Uint16(head[128:]))*int64(be.Uint32(head[20:]))
	}
	for _, end := range slices.Compact(ends) {
		if p := v.at(end-1024, 4); p != nil && end-1024 > base+1024 && (string(p) == "H+\x00\x04" || string(p) == "HX\x00\x05") {
			h.also(end-1024, 2)
		}
	}
}

// apfsX: container superblock at 0.
//
//	32  4   "NXSB"
//	36  4   block size
//	40  8   number of blocks
//	72  16  UUID
func apfsX(v *volume) *found {
	sb := v.at(0, 512)
	if sb == nil || !v.has(32, "NXSB") || !powerOfTwo(le.Uint32(sb[36:]), 4096, 65536) {
		return nil
	}
	h := simple("apfs", 32, 4)
	h.info.UUID, h.info.BlockSize = filesystem.UUID(sb[72:88]), int64(le.Uint32(sb[36:]))
	h.info.Size = bounded(le.Uint64(sb[40:]), h.info.BlockSize)
	h.read(apfs.Open(v.r, v.size))
	return h
}
