package probe

import (
	"fmt"
	"strings"

	"doppel.live/internal/filesystem"
)

// ntfs: boot sector at 0, its copy in the volume's last sector.
//
//	3    8  "NTFS    "
//	11   2  bytes per sector
//	13   1  sectors per cluster; above 0x80 the negative log2
//	40   8  number of sectors, without the copy
//	48   8  first cluster of $MFT
//	64   1  clusters per MFT record; negative: log2 of its bytes
//	72   8  serial number
func ntfs(v *volume) *found {
	boot := v.at(0, 512)
	if boot == nil || !v.has(3, "NTFS    ") || !powerOfTwo(le.Uint16(boot[11:]), 256, 4096) {
		return nil
	}
	cluster := int64(boot[13])
	if boot[13] > 0x80 {
		cluster = 1 << min(-int(int8(boot[13])), 31)
	}
	sector := int64(le.Uint16(boot[11:]))
	if !powerOfTwo(cluster, 1, 1<<31) {
		return nil
	}
	h := simple("ntfs", 3, 8)
	h.info.UUID = fmt.Sprintf("%016X", le.Uint64(boot[72:]))
	h.info.BlockSize, h.info.Size = cluster*sector, bounded(le.Uint64(boot[40:]), sector)
	if v.has(h.info.Size+3, "NTFS    ") && h.info.Size > 0 {
		h.also(h.info.Size+3, 8)
	}
	record := int64(int8(boot[64])) * cluster * sector
	if int8(boot[64]) < 0 {
		record = 1 << min(-int(int8(boot[64])), 31)
	}
	if mft := bounded(le.Uint64(boot[48:]), h.info.BlockSize); mft > 0 && record >= 256 && record <= 65536 {
		h.info.Label = ntfsLabel(v.at(mft+3*record, record))
	}
	return h
}

// ntfsLabel reads the volume's name: attribute 0x60 of MFT record 3, resident.
//
//	record  20  2  first attribute      attribute  0   4  type
//	                                               4   4  length
//	                                               16  4  length of the value
//	                                               20  2  offset of the value
func ntfsLabel(record []byte) string {
	if len(record) < 48 || string(record[:4]) != "FILE" {
		return ""
	}
	for at := int(le.Uint16(record[20:])); at+24 <= len(record); {
		a := record[at:]
		kind, n := le.Uint32(a), int(le.Uint32(a[4:]))
		if kind == 0xFFFFFFFF || n < 24 || n > len(a) {
			return ""
		}
		if kind == 0x60 {
			length, off := int(le.Uint32(a[16:])), int(le.Uint16(a[20:]))
			if a[8] != 0 || off > n || length < 0 || length > n-off {
				return ""
			}
			return utf16Text(a[off:off+length], le)
		}
		at += n
	}
	return ""
}

// bitlocker: "-FVE-FS-" where NTFS has its name; BitLocker To Go has a FAT
// boot sector with a GUID at byte 424.
func bitlocker(v *volume) *found {
	const toGo = "\x3B\xD6\x67\x49\x29\x2E\xD8\x4A\x83\x99\xF6\xA3\x39\xE3\xD0\x01"
	boot := v.at(0, 512)
	switch {
	case boot == nil || boot[0] != 0xEB || boot[2] != 0x90:
		return nil
	case v.has(3, "-FVE-FS-"):
		return simple("BitLocker", 3, 8)
	case v.has(3, "MSWIN4.1") && v.has(424, toGo):
		return simple("BitLocker", 424, 16)
	}
	return nil
}

// exfat: boot sector at 0.
//
//	3    8  "EXFAT   "
//	72   8  number of sectors
//	80   4  first sector of the FAT
//	88   4  first sector of the cluster heap
//	92   4  number of clusters
//	96   4  first cluster of the root directory
//	100  4  serial number
//	108  1  log2 of bytes per sector
//	109  1  log2 of sectors per cluster
func exfat(v *volume) *found {
	boot := v.at(0, 512)
	if boot == nil || !v.has(3, "EXFAT   ") || boot[108] < 9 || boot[108] > 12 || int(boot[108])+int(boot[109]) > 25 {
		return nil
	}
	sector := int64(1) << boot[108]
	h := simple("exfat", 3, 8)
	h.info.UUID = serial(le.Uint32(boot[100:]))
	h.info.BlockSize, h.info.Size = sector<<boot[109], bounded(le.Uint64(boot[72:]), sector)
	next := func(cluster uint32) uint32 {
		if e := v.at(int64(le.Uint32(boot[80:]))*sector+4*int64(cluster), 4); e != nil {
			return le.Uint32(e)
		}
		return 0
	}
	heap := int64(le.Uint32(boot[88:])) * sector
	walk(v, heap, h.info.BlockSize, le.Uint32(boot[96:]), 0xFFFFFFF7, next, func(entry []byte) bool {
		if entry[0] == 0x83 { // volume label: length, then UTF-16
			h.info.Label = utf16Text(entry[2:2+2*min(int(entry[1]), 11)], le)
		}
		return entry[0] == 0 || entry[0] == 0x83
	})
	return h
}

// serial prints the serial number of a FAT volume.
func serial(n uint32) string { return fmt.Sprintf("%04X-%04X", n>>16, n&0xFFFF) }

const (
	maxRootClusters = 256     // of a root directory searched for the label
	maxRootBytes    = 4 << 20 // the same in bytes
)

// walk calls stop with each 32-byte entry of a directory that begins at
// cluster, until it returns true; clusters count from 2 at byte heap.
func walk(v *volume, heap, clusterSize int64, cluster, end uint32, next func(uint32) uint32, stop func([]byte) bool) {
	for n := int64(0); n < maxRootClusters && n*clusterSize < maxRootBytes && cluster >= 2 && cluster < end; n++ {
		p := v.at(heap+(int64(cluster)-2)*clusterSize, min(clusterSize, maxRootBytes))
		if scan(p, stop) || p == nil {
			return
		}
		cluster = next(cluster)
	}
}

func scan(p []byte, stop func([]byte) bool) bool {
	for ; len(p) >= 32; p = p[32:] {
		if stop(p[:32]) {
			return true
		}
	}
	return false
}

// bpb is the boot sector of FAT12, FAT16 or FAT32.
//
//	11  2  bytes per sector        FAT12, FAT16       FAT32
//	13  1  sectors per cluster     39  4   serial     36  4   sectors per FAT
//	14  2  reserved sectors        43  11  label      44  4   first cluster of the root
//	16  1  FATs                    54  8   "FAT16   " 67  4   serial
//	17  2  root entries                               71  11  label
//	19  2  sectors, or 32  4                          82  8   "FAT32   "
//	21  1  media
//	22  2  sectors per FAT; 0: FAT32
type bpb []byte

func (b bpb) sector() int64   { return int64(le.Uint16(b[11:])) }
func (b bpb) cluster() int64  { return int64(b[13]) }
func (b bpb) reserved() int64 { return int64(le.Uint16(b[14:])) }
func (b bpb) fats() int64     { return int64(b[16]) }
func (b bpb) root() int64     { return int64(le.Uint16(b[17:])) }
func (b bpb) fat32() bool     { return le.Uint16(b[22:]) == 0 }

func (b bpb) fatLength() int64 {
	if b.fat32() {
		return int64(le.Uint32(b[36:]))
	}
	return int64(le.Uint16(b[22:]))
}

func (b bpb) sectors() int64 {
	if n := le.Uint16(b[19:]); n != 0 {
		return int64(n)
	}
	return int64(le.Uint32(b[32:]))
}

// extra is where the serial number lies: behind it label and name.
func (b bpb) extra() int {
	if b.fat32() {
		return 67
	}
	return 39
}

// plausible says whether the numbers can be those of a FAT.
func (b bpb) plausible() bool {
	data := b.sectors() - b.reserved() - b.fats()*b.fatLength() - b.root()*32/max(b.sector(), 1)
	return powerOfTwo(b.sector(), 512, 4096) && powerOfTwo(b.cluster(), 1, 128) &&
		b.reserved() > 0 && b.fats() > 0 && b.fats() <= 4 && b.fatLength() > 0 &&
		(b[21] == 0xF0 || b[21] >= 0xF8) && data > 0 && (b.fat32() || b.root() > 0)
}

// vfat: the boot sector has no sure magic. The numbers must fit, and either a
// name of the format or a jump and 55 AA must be there.
func vfat(v *volume) *found {
	boot := bpb(v.at(0, 512))
	if boot == nil || !boot.plausible() || v.has(3, "NTFS    ") || v.has(3, "-FVE-FS-") {
		return nil
	}
	name := boot.extra() + 15
	var h *found
	switch {
	case strings.HasPrefix(string(boot[name:]), "FAT") || strings.HasPrefix(string(boot[name:]), "MSDOS"):
		h = simple("vfat", int64(name), 8)
	case (boot[0] == 0xEB || boot[0] == 0xE9) && boot[510] == 0x55 && boot[511] == 0xAA:
		h = simple("vfat", 11, 10) // the numbers themselves
	default:
		return nil
	}
	if boot[510] == 0x55 && boot[511] == 0xAA {
		h.also(0, 3) // the jump
		h.also(510, 2)
	}
	h.info.BlockSize, h.info.Size = boot.cluster()*boot.sector(), boot.sectors()*boot.sector()
	h.info.UUID = serial(le.Uint32(boot[boot.extra():]))
	if le.Uint32(boot[boot.extra():]) == 0 {
		h.info.UUID = ""
	}
	if h.info.Label = fatLabel(v, boot); h.info.Label == "" {
		if l := string(boot[boot.extra()+4 : boot.extra()+15]); l != "NO NAME    " {
			h.info.Label = text([]byte(l))
		}
	}
	h.info.State = filesystem.Unknown
	return h
}

// fatLabel finds the label among the entries of the root directory: the one
// with attribute 8 that is no part of a long name.
func fatLabel(v *volume, b bpb) string {
	label := ""
	stop := func(e []byte) bool {
		if e[0] != 0 && e[0] != 0xE5 && e[11]&0x3F != 0x0F && e[11]&0x18 == 0x08 {
			label = text(e[:11])
			return true
		}
		return e[0] == 0
	}
	table := b.reserved() * b.sector()
	behind := table + b.fats()*b.fatLength()*b.sector()
	if !b.fat32() {
		scan(v.at(behind, b.root()*32), stop)
		return label
	}
	next := func(cluster uint32) uint32 {
		if e := v.at(table+4*int64(cluster), 4); e != nil {
			return le.Uint32(e) & 0x0FFFFFFF
		}
		return 0
	}
	walk(v, behind, b.cluster()*b.sector(), le.Uint32(b[44:]), 0x0FFFFFF8, next, stop)
	return label
}
