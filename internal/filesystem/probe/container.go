package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"doppel.live/internal/filesystem"
)

// mdMember: a member of a Linux software array. The superblock lies near the
// end (0.90, 1.0), at 0 (1.1) or at 4 KiB (1.2).
//
//	version 1.x                  version 0.90
//	0    4   FC 4E 2B A9         0    4   magic, in the maker's byte order
//	4    4   1                   4    4   0
//	16   16  UUID                8    4   90
//	32   32  name                20   4   first word of the UUID
//	144  8   own address,        52   12  the others
//	         in sectors
func mdMember(v *volume) *found {
	sectors := v.size / 512
	for _, at := range []int64{4096, 0, (sectors - 16) &^ 7 * 512} {
		sb := v.at(at, 256)
		if at < 0 || sb == nil || le.Uint32(sb) != 0xA92B4EFC || le.Uint32(sb[4:]) != 1 || le.Uint64(sb[144:]) != uint64(at/512) {
			continue
		}
		h := simple("linux_raid_member", at, 4)
		h.info.UUID, h.info.Label = filesystem.UUID(sb[16:32]), text(sb[32:64])
		h.reason = "a member of an array"
		return h
	}
	at := v.size&^0xFFFF - 0x10000
	sb := v.at(at, 4096)
	if sb == nil {
		return nil
	}
	for _, order := range []binary.ByteOrder{le, be} {
		if order.Uint32(sb) != 0xA92B4EFC || order.Uint32(sb[4:]) != 0 || order.Uint32(sb[8:]) != 90 {
			continue
		}
		h := simple("linux_raid_member", at, 4)
		id := make([]byte, 16)
		for i, off := range []int{20, 52, 56, 60} {
			be.PutUint32(id[4*i:], order.Uint32(sb[off:]))
		}
		h.info.UUID, h.reason = filesystem.UUID(id), "a member of an array"
		return h
	}
	return nil
}

// biosRAID: members of arrays that a mainboard's firmware knows: Intel in the
// last but one sector, DDF in the last.
func biosRAID(v *volume) *found {
	end := v.size &^ 511
	switch {
	case v.has(end-1024, "Intel Raid ISM Cfg Sig. "):
		h := simple("isw_raid_member", end-1024, 24)
		h.reason = "a member of an array of the firmware"
		return h
	case v.has(end-512, "\xDE\x11\xDE\x11"):
		h := simple("ddf_raid_member", end-512, 4)
		h.reason = "a member of an array of the firmware"
		return h
	}
	return nil
}

// luks: header at 0; version 2 has a second one behind it.
//
//	0    6   "LUKS" BA BE
//	6    2   version
//	8    8   length of the header (version 2)
//	24   48  label (version 2)
//	168  40  UUID, text
func luks(v *volume) *found {
	p := v.at(0, 512)
	if p == nil || !v.has(0, "LUKS\xBA\xBE") || be.Uint16(p[6:]) < 1 || be.Uint16(p[6:]) > 2 {
		return luksSecond(v)
	}
	h := simple("crypto_LUKS", 0, 6)
	h.info.UUID, h.reason = text(p[168:208]), "encrypted"
	if be.Uint16(p[6:]) == 2 {
		h.info.Label = text(p[24:72])
		if n := int64(be.Uint64(p[8:])); n > 0 && v.has(n, "SKUL\xBA\xBE") {
			h.also(n, 6)
		}
	}
	return h
}

// luksSecond finds the second header of a LUKS2 whose first one is gone.
func luksSecond(v *volume) *found {
	for at := int64(0x4000); at <= 0x400000; at *= 2 {
		if p := v.at(at, 512); p != nil && string(p[:6]) == "SKUL\xBA\xBE" && be.Uint16(p[6:]) == 2 && be.Uint64(p[256:]) == uint64(at) {
			h := simple("crypto_LUKS", at, 6)
			h.info.UUID, h.info.Label = text(p[168:208]), text(p[24:72])
			h.reason = "encrypted, and its first header is damaged"
			return h
		}
	}
	return nil
}

// lvm2: the label lies in one of the first four sectors.
//
//	0   8   "LABELONE"
//	8   8   own sector
//	20  4   offset of the header that follows: the UUID, 32 characters
//	24  8   "LVM2 001"
func lvm2(v *volume) *found {
	for sector := range int64(4) {
		p := v.at(sector*512, 512)
		if p == nil || string(p[:8]) != "LABELONE" || string(p[24:32]) != "LVM2 001" || le.Uint64(p[8:]) != uint64(sector) {
			continue
		}
		h := simple("LVM2_member", sector*512, 32)
		if off := le.Uint32(p[20:]); off <= 512-32 {
			id := string(p[off : off+32])
			h.info.UUID = id[:6] + "-" + id[6:10] + "-" + id[10:14] + "-" + id[14:18] + "-" + id[18:22] + "-" + id[22:26] + "-" + id[26:]
		}
		h.reason = "a physical volume of LVM"
		return h
	}
	return nil
}

// bcache: superblock at 4 KiB: own sector at 8, magic at 24, UUID at 40.
// bcachefs began with the same superblock: UUID at 56, label at 72.
func bcache(v *volume) *found {
	const (
		at       = 4096
		magic    = "\xC6\x85\x73\xF6\x4E\x1A\x45\xCA\x82\x65\xF5\x7F\x48\xBA\x6D\x81"
		bcachefs = "\xC6\x85\x73\xF6\x66\xCE\x90\xA9\xD9\x6A\x60\xCF\x80\x3D\xF7\xEF"
	)
	p := v.at(at, 128)
	switch {
	case p == nil:
		return nil
	case v.has(at+24, magic) && le.Uint64(p[8:]) == 8:
		h := simple("bcache", at+24, 16)
		h.info.UUID, h.reason = filesystem.UUID(p[40:56]), "a device of bcache"
		return h
	case v.has(at+24, bcachefs):
		h := simple("bcachefs", at+24, 16)
		h.info.UUID, h.info.Label = filesystem.UUID(p[56:72]), text(p[72:104])
		return h
	}
	return nil
}

// zfs: four labels of 256 KiB, two at each end. Each has name-value pairs at
// 16 KiB and a ring of 128 uberblocks at 128 KiB, which begin with 0x00BAB10C.
// Fewer than four are leftovers.
func zfs(v *volume) *found {
	const label, ring = 256 << 10, 128 << 10
	h := &found{info: filesystem.Info{Type: "zfs_member"}, reason: "a member of a ZFS pool"}
	end := v.size / label * label
	for _, at := range []int64{0, label, end - 2*label, end - label} {
		p := v.at(at+ring, ring)
		if at < 0 || end < 4*label {
			return nil
		}
		for i := 0; i < len(p); i += 1024 {
			if le.Uint64(p[i:]) == 0x00BAB10C || be.Uint64(p[i:]) == 0x00BAB10C {
				h.also(at+ring+int64(i), 8)
			}
		}
	}
	if len(h.signatures) < 4 {
		return nil
	}
	h.info.Label, h.info.UUID = zfsNames(v.at(16<<10, 112<<10))
	return h
}

// zfsNames finds the pool's name and number among the name-value pairs, which
// are XDR: length of the name, name, type (8 number, 9 string), count, value.
func zfsNames(p []byte) (name, guid string) {
	if _, q, ok := bytes.Cut(p, []byte("\x00\x00\x00\x09pool_guid\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x01")); ok && len(q) >= 8 {
		guid = strconv.FormatUint(be.Uint64(q), 10)
	}
	if _, q, ok := bytes.Cut(p, []byte("\x00\x00\x00\x04name\x00\x00\x00\x09\x00\x00\x00\x01")); ok && len(q) >= 4 {
		if n := be.Uint32(q); int64(n) <= int64(len(q)-4) && n < 256 {
			name = text(q[4 : 4+n])
		}
	}
	return name, guid
}

// vmfs: of VMware; a member has 0D D0 01 C0 at 1 MiB, the file system 5E F1 AB
// 2F at 2 MiB.
func vmfs(v *volume) *found {
	switch {
	case v.has(1<<20, "\x0D\xD0\x01\xC0"):
		h := simple("VMFS_volume_member", 1<<20, 4)
		if v.has(2<<20, "\x5E\xF1\xAB\x2F") {
			h.also(2<<20, 4)
		}
		return h
	case v.has(2<<20, "\x5E\xF1\xAB\x2F"):
		return simple("VMFS", 2<<20, 4)
	}
	return nil
}

// swap: the magic ends the first page, whatever its size; the header begins at
// byte 1024.
//
//	1024  4   version, 1
//	1036  16  UUID
//	1052  16  label
//
// A sleeping system puts another magic in its place.
func swap(v *volume) *found {
	for page := int64(4096); page <= 65536; page *= 2 {
		at := page - 10
		p := v.at(at, 10)
		switch {
		case p == nil:
			return nil
		case string(p) == "SWAP-SPACE" || string(p) == "SWAPSPACE2":
			h := simple("swap", at, 10)
			swapNames(v, h)
			h.info.BlockSize, h.info.State = page, filesystem.Clean
			h.reason = "swap space: its UUID and label say it all"
			return h
		case bytes.HasPrefix(p, []byte("S1SUSPEND")) || bytes.HasPrefix(p, []byte("S2SUSPEND")) ||
			bytes.HasPrefix(p, []byte("ULSUSPEND")) || string(p) == "LINHIB0001":
			h := simple("swsuspend", at, 10)
			swapNames(v, h)
			h.info.BlockSize, h.info.State = page, filesystem.Hibernated
			h.reason = "swap space that holds a hibernated system"
			return h
		}
	}
	return nil
}

func swapNames(v *volume, h *found) {
	if p := v.at(1024, 64); le.Uint32(p) == 1 || be.Uint32(p) == 1 {
		h.info.UUID, h.info.Label = filesystem.UUID(p[12:28]), text(p[28:44])
	}
}

// iso9660: volume descriptors from 32 KiB on, "CD001" at their byte 1.
//
//	40   32  volume identifier
//	813  17  time of creation: digits, from the year to hundredths
//	830  17  time of modification
func iso9660(v *volume) *found {
	p := v.at(32<<10, 2048)
	if p == nil || p[0] != 1 || string(p[1:6]) != "CD001" {
		return nil
	}
	h := simple("iso9660", 32<<10+1, 5)
	h.info.Label, h.info.BlockSize = text(p[40:72]), 2048
	h.info.Size = bounded(uint64(le.Uint32(p[80:])), 2048)
	for _, off := range []int{830, 813} {
		if d := p[off : off+16]; bytes.Trim(d, "0123456789") == nil && bytes.Trim(d, "0") != nil {
			h.info.UUID = fmt.Sprintf("%s-%s-%s-%s-%s-%s-%s", d[:4], d[4:6], d[6:8], d[8:10], d[10:12], d[12:14], d[14:16])
			break
		}
	}
	return h
}

// udf: among the volume descriptors, every 2 KiB (or every sector on disks of
// 4 KiB sectors), one of BEA01, then NSR02 or NSR03.
func udf(v *volume) *found {
	for _, step := range []int64{2048, 4096} {
		if at := nsr(v, step); at > 0 {
			return simple("udf", at+1, 5)
		}
	}
	return nil
}

// nsr finds the descriptor NSR02 or NSR03, 0 where there is none.
func nsr(v *volume, step int64) int64 {
	begun := false
	for i := range int64(64) {
		at := 32<<10 + i*step
		p := v.at(at, 8)
		if p == nil {
			return 0
		}
		switch id := string(p[1:6]); id {
		case "BEA01":
			begun = true
		case "NSR02", "NSR03":
			if begun {
				return at
			}
		case "CD001", "BOOT2", "CDW02", "TEA01":
		default:
			return 0
		}
	}
	return 0
}
