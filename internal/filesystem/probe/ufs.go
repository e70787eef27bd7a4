package probe

import (
	"encoding/binary"

	"doppel.live/internal/filesystem/ufs"
)

// ufsX: superblock at 64 KiB (UFS2), 8 KiB (UFS1), 0 or 256 KiB, in the byte
// order of the machine that made it. Its magic at byte 1372 is 0x011954,
// 0x19540119 or, with NetBSD's extended attributes, 0x19012038; what has it at
// one of these places may also be a copy of the superblock.
func ufsX(v *volume) *found {
	var h *found
	for _, at := range []int64{64 << 10, 8 << 10, 0, 256 << 10} {
		sb := v.at(at, 1376)
		switch {
		case sb == nil || !ufsMagic(sb[1372:]):
		case h == nil:
			h = simple("ufs", at+1372, 4)
		default:
			h.also(at+1372, 4)
		}
	}
	if h == nil {
		return nil
	}
	info, err := ufs.Identify(v.r, v.size)
	if err != nil {
		return v.unlessFormat(err)
	}
	h.info = info
	h.read(ufs.Open(v.r, v.size))
	return h
}

func ufsMagic(p []byte) bool {
	for _, order := range []binary.ByteOrder{le, be} {
		switch order.Uint32(p) {
		case 0x011954, 0x19540119, 0x19012038:
			return true
		}
	}
	return false
}
