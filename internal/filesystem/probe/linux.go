package probe

import (
	"encoding/binary"
	"hash/crc32"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/btrfs"
	"doppel.live/internal/filesystem/ext"
	"doppel.live/internal/filesystem/f2fs"
	"doppel.live/internal/filesystem/xfs"
)

// extX: superblock at byte 1024, magic 53 EF at its byte 56.
func extX(v *volume) *found {
	if !v.has(1024+0x38, "\x53\xEF") {
		return nil
	}
	info, err := ext.Identify(v.r, v.size)
	if err != nil {
		return nil
	}
	h := simple(info.Type, 1024+0x38, 2)
	h.info = info
	fs, err := ext.Open(v.r, v.size)
	switch {
	case err != nil:
		h.reason = err.Error()
	case fs.Info().State == filesystem.Dirty:
		h.reason = "it was not unmounted, or errors were found: run e2fsck to have only used blocks saved"
	default:
		h.fs, h.info = fs, fs.Info()
	}
	return h
}

// xfsX: superblock at 0, big-endian.
//
//	0    4   "XFSB"
//	4    4   block size
//	8    8   number of blocks
//	32   16  UUID
//	108  12  label
//	120  1   log2 of the block size
func xfsX(v *volume) *found {
	sb := v.at(0, 512)
	if sb == nil || !v.has(0, "XFSB") || !powerOfTwo(be.Uint32(sb[4:]), 512, 65536) || sb[120] > 16 || 1<<sb[120] != be.Uint32(sb[4:]) {
		return nil
	}
	h := simple("xfs", 0, 4)
	h.info.UUID, h.info.Label = filesystem.UUID(sb[32:48]), text(sb[108:120])
	h.info.BlockSize = int64(be.Uint32(sb[4:]))
	h.info.Size = bounded(be.Uint64(sb[8:]), h.info.BlockSize)
	info, err := xfs.Identify(v.r, v.size)
	if err != nil {
		h.reason = err.Error()
		return h
	}
	h.info = info
	if info.State == filesystem.Dirty {
		h.reason = "it is marked as damaged: run xfs_repair to have only used blocks saved"
		return h
	}
	fs, err := xfs.Open(v.r, v.size)
	switch {
	case err == nil:
		h.fs, h.info = fs, fs.Info()
	case info.State == filesystem.Recovery:
		h.reason = "its log can't be replayed (" + err.Error() + "): mount and unmount it once to have only used blocks saved"
	default:
		h.reason, h.info.State = err.Error(), filesystem.Unknown
	}
	return h
}

// bounded is n blocks in bytes, 0 where that is no sensible size.
func bounded(n uint64, block int64) int64 {
	if block <= 0 || n > uint64(1<<62/block) {
		return 0
	}
	return int64(n) * block
}

// btrfsX: superblock at 64 KiB, mirrors at 64 MiB and 256 GiB.
//
//	32   16   UUID of the file system
//	48   8    own address
//	64   8    "_BHRfS_M"
//	112  8    total bytes, of all devices
//	136  8    number of devices
//	144  4    sector size, its block
//	299  256  label
func btrfsX(v *volume) *found {
	const first = 64 << 10
	var h *found
	for _, at := range []int64{first, 64 << 20, 256 << 30} {
		sb := v.at(at, 4096)
		if sb == nil || string(sb[64:72]) != "_BHRfS_M" || le.Uint64(sb[48:]) != uint64(at) {
			continue
		}
		switch {
		case h != nil:
			h.also(at+64, 8)
		case at == first:
			h = simple("btrfs", at+64, 8)
			h.info.UUID, h.info.Label = filesystem.UUID(sb[32:48]), text(sb[299:555])
			h.info.BlockSize = int64(le.Uint32(sb[144:]))
			h.info.Size = bounded(le.Uint64(sb[112:]), 1)
			if le.Uint64(sb[136:]) > 1 {
				h.reason = "btrfs on several devices"
			}
		}
	}
	if h != nil && h.reason == "" {
		h.openBtrfs(v)
	}
	return h
}

func (h *found) openBtrfs(v *volume) {
	fs, err := btrfs.Open(v.r, v.size)
	switch {
	case err != nil:
		h.reason = err.Error()
	case fs.Info().State == filesystem.Dirty:
		h.reason = "errors were found in it: run btrfs check to have only used blocks saved"
	default:
		h.fs, h.info = fs, fs.Info()
	}
}

// f2fsX: superblock at byte 1024, its copy 4096 bytes behind.
//
//	0    4     10 20 F5 F2
//	16   4     log2 of the block size
//	36   8     number of blocks
//	108  16    UUID
//	124  1024  label, UTF-16LE
func f2fsX(v *volume) *found {
	const magic = "\x10\x20\xF5\xF2"
	sb := v.at(1024, 2048)
	if sb == nil || !v.has(1024, magic) || le.Uint32(sb[16:]) > 16 {
		return nil
	}
	h := simple("f2fs", 1024, 4)
	h.info.UUID, h.info.Label = filesystem.UUID(sb[108:124]), filesystem.UTF16(sb[124:124+1024], le)
	h.info.BlockSize = 1 << le.Uint32(sb[16:])
	h.info.Size = bounded(le.Uint64(sb[36:]), h.info.BlockSize)
	if v.has(4096+1024, magic) {
		h.also(4096+1024, 4)
	}
	fs, err := f2fs.Open(v.r, v.size)
	switch {
	case err != nil:
		h.reason = err.Error()
	case fs.Info().State == filesystem.Dirty:
		h.info = fs.Info()
		h.reason = "errors were found in it, or it was resized or mounted without checkpoints: run fsck.f2fs to have only used blocks saved"
	default:
		h.fs, h.info = fs, fs.Info()
	}
	return h
}

// jfs: superblock at 32 KiB, its copy at 60 KiB.
//
//	0    4   "JFS1"
//	16   4   block size
//	20   2   log2 of the block size
//	136  16  UUID
//	152  16  label
func jfs(v *volume) *found {
	sb := v.at(32<<10, 512)
	if sb == nil || string(sb[:4]) != "JFS1" || le.Uint16(sb[20:]) > 16 || le.Uint32(sb[16:]) != 1<<le.Uint16(sb[20:]) {
		return nil
	}
	h := simple("jfs", 32<<10, 4)
	h.info.UUID, h.info.Label, h.info.BlockSize = filesystem.UUID(sb[136:152]), text(sb[152:168]), int64(le.Uint32(sb[16:]))
	if v.has(60<<10, "JFS1") {
		h.also(60<<10, 4)
	}
	return h
}

// reiserfs: superblock at 64 KiB, or 8 KiB in old ones; Reiser4 at 64 KiB.
//
//	0    4   number of blocks      Reiser4:  0   8   "ReIsEr4"
//	44   2   block size                      20  16  UUID
//	52   10  "ReIsErFs", "ReIsEr2Fs", "ReIsEr3Fs"    36  16  label
//	84   16  UUID
//	100  16  label
func reiserfs(v *volume) *found {
	const at = 64 << 10
	if v.has(at, "ReIsEr4\x00") {
		sb := v.at(at, 64)
		h := simple("reiser4", at, 7)
		h.info.UUID, h.info.Label = filesystem.UUID(sb[20:36]), text(sb[36:52])
		return h
	}
	for _, at := range []int64{at, 8 << 10} {
		sb := v.at(at, 128)
		if sb == nil || !powerOfTwo(le.Uint16(sb[44:]), 512, 8192) {
			continue
		}
		for _, magic := range []string{"ReIsErFs", "ReIsEr2Fs", "ReIsEr3Fs"} {
			if v.has(at+52, magic) {
				h := simple("reiserfs", at+52, int64(len(magic)))
				h.info.BlockSize = int64(le.Uint16(sb[44:]))
				if magic != "ReIsErFs" {
					h.info.UUID, h.info.Label = filesystem.UUID(sb[84:100]), text(sb[100:116])
				}
				return h
			}
		}
	}
	return nil
}

// nilfs2: superblock at byte 1024, its copy in the last whole 4 KiB block.
//
//	6    2   34 34
//	8    2   bytes that the checksum covers
//	12   4   seed of the checksum
//	16   4   CRC32 of the superblock, with this field 0
//	20   4   log2 of the block size, less 10
//	32   8   size in bytes
//	152  16  UUID
//	168  80  label
func nilfs2(v *volume) *found {
	var h *found
	for _, at := range []int64{1024, (v.size>>12 - 1) << 12} {
		sb := v.at(at, 1024)
		if sb == nil || le.Uint16(sb[6:]) != 0x3434 || le.Uint16(sb[8:]) < 248 || le.Uint16(sb[8:]) > 1024 || le.Uint32(sb[20:]) > 6 {
			continue
		}
		covered := append([]byte(nil), sb[:le.Uint16(sb[8:])]...)
		clear(covered[16:20])
		if ^crc32.Update(^le.Uint32(sb[12:]), crc32.IEEETable, covered) != le.Uint32(sb[16:]) {
			continue
		}
		if h != nil {
			h.also(at+6, 2)
			continue
		}
		h = simple("nilfs2", at+6, 2)
		h.info.UUID, h.info.Label = filesystem.UUID(sb[152:168]), text(sb[168:248])
		h.info.BlockSize, h.info.Size = 1024<<le.Uint32(sb[20:]), bounded(le.Uint64(sb[32:]), 1)
	}
	return h
}

// minix: superblock at byte 1024, in the byte order of the machine that made
// it; version 3 differs.
//
//	versions 1, 2            version 3
//	0    2  inodes           0    4  inodes
//	2    2  zones (v1)       6    2  blocks of the inode map
//	4    2  blocks of the inode map
//	6    2  blocks of the zone map   8    2
//	8    2  first data zone  10   2
//	16   2  magic            20   4  zones
//	20   4  zones (v2)       24   2  magic
//	                         28   2  block size
func minix(v *volume) *found {
	sb := v.at(1024, 64)
	if sb == nil {
		return nil
	}
	for _, order := range []binary.ByteOrder{le, be} {
		inodes, zones := uint32(order.Uint16(sb)), uint32(order.Uint16(sb[2:]))
		inodeMap, zoneMap := order.Uint16(sb[4:]), order.Uint16(sb[6:])
		first, block, at := order.Uint16(sb[8:]), uint16(1024), int64(16)
		switch order.Uint16(sb[16:]) {
		case 0x137F, 0x138F:
		case 0x2468, 0x2478:
			zones = order.Uint32(sb[20:])
		default:
			if order.Uint16(sb[24:]) != 0x4D5A {
				continue
			}
			at, inodes, zones = 24, order.Uint32(sb), order.Uint32(sb[20:])
			inodeMap, zoneMap, first, block = order.Uint16(sb[6:]), order.Uint16(sb[8:]), order.Uint16(sb[10:]), order.Uint16(sb[28:])
		}
		bits := 8 * int64(block)
		if inodes == 0 || block < 512 || int64(inodeMap)*bits <= int64(inodes) || uint32(first) >= zones ||
			int64(zoneMap)*bits < int64(zones-uint32(first)) {
			continue
		}
		h := simple("minix", 1024+at, 2)
		h.info.BlockSize = int64(block)
		return h
	}
	return nil
}

// squashfs: at 0 "hsqs", version at 28, size in bytes at 40.
func squashfs(v *volume) *found {
	sb := v.at(0, 96)
	if sb == nil || !v.has(0, "hsqs") {
		return nil
	}
	h := simple("squashfs", 0, 4)
	if le.Uint16(sb[28:]) < 4 {
		h = simple("squashfs3", 0, 4)
		return h
	}
	h.info.BlockSize, h.info.Size = int64(le.Uint32(sb[12:])), bounded(le.Uint64(sb[40:]), 1)
	return h
}

// erofs: at 1024 E2 E1 F5 E0, log2 of the block size at 12, UUID at 48, label
// at 64.
func erofs(v *volume) *found {
	sb := v.at(1024, 128)
	if sb == nil || !v.has(1024, "\xE2\xE1\xF5\xE0") || sb[12] < 9 || sb[12] > 16 {
		return nil
	}
	h := simple("erofs", 1024, 4)
	h.info.UUID, h.info.Label, h.info.BlockSize = filesystem.UUID(sb[48:64]), text(sb[64:80]), 1<<sb[12]
	return h
}
