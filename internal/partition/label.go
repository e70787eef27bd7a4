package partition

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"doppel.live/internal/extent"
)

// disklabel is a BSD disklabel, from its magic number on. Numbers are in the
// byte order of the machine that wrote it.
//
//	offset  length
//	0       4       d_magic 0x82564557
//	40      4       d_secsize: bytes of a sector
//	64      8       d_uid: DUID (OpenBSD only)
//	114     2       d_version: 1 where offsets have 48 bits (OpenBSD only)
//	132     4       d_magic2, the same as d_magic
//	136     2       d_checksum: all 16-bit words up to the last partition give 0 by xor
//	138     2       d_npartitions
//	148     16 each the partitions a, b, c, ...
type disklabel struct {
	data  []byte
	order binary.ByteOrder
	at    int64 // bytes from the start of the disk
}

// labelEntry is one partition of a disklabel.
//
//	offset  length
//	0       4       p_size, sectors
//	4       4       p_offset, sectors
//	8       2       p_offseth: bits 32 to 47 of the offset (version 1 only)
//	10      2       p_sizeh: bits 32 to 47 of the size (version 1 only)
//	12      1       p_fstype
type labelEntry struct {
	index       int   // a is 0
	start, size int64 // sectors
	kind        byte  // p_fstype
}

const (
	labelMagic  = 0x82564557
	labelHead   = 148 // bytes before the partitions
	maxLetters  = 64  // partitions of a label; FreeBSD has 20, OpenBSD 52
	rawLetter   = 2   // c, the whole slice or disk
	kindUnused  = 0   // FS_UNUSED
	bootAreaMin = 8192
)

func (l *disklabel) secsize() int64       { return int64(l.order.Uint32(l.data[40:])) }
func (l *disklabel) duid() []byte         { return l.data[64:72] }
func (l *disklabel) version() uint16      { return l.order.Uint16(l.data[114:]) }
func (l *disklabel) magic2() uint32       { return l.order.Uint32(l.data[132:]) }
func (l *disklabel) npartitions() int     { return int(l.order.Uint16(l.data[138:])) }
func (l *disklabel) length() int64        { return labelHead + 16*int64(l.npartitions()) }
func (l *disklabel) entryAt(i int) []byte { return l.data[labelHead+16*i:][:16] }

// sum is 0 for a label whose checksum is right.
func (l *disklabel) sum() (x uint16) {
	for i := int64(0); i < l.length(); i += 2 {
		x ^= l.order.Uint16(l.data[i:])
	}
	return x
}

// bootArea is how much at the start of a slice or disk is boot code and label:
// BBSIZE, 8 KiB, and the label's sector at least.
func (t *Table) bootArea(size int64) int64 {
	return min(max(bootAreaMin, 2*t.SectorSize), size/t.SectorSize*t.SectorSize)
}

// findLabel looks for a label at offset at of an area. problem says why one
// that has its magic numbers cannot be used.
func (t *Table) findLabel(area []byte, base, at int64) (l *disklabel, problem string) {
	if int64(len(area)) < at+labelHead {
		return nil, ""
	}
	l = &disklabel{data: area[at:], at: base + at}
	switch {
	case le.Uint32(l.data) == labelMagic:
		l.order = binary.LittleEndian
	case binary.BigEndian.Uint32(l.data) == labelMagic:
		l.order = binary.BigEndian
	default:
		return nil, ""
	}
	switch {
	case l.magic2() != labelMagic:
		return nil, ""
	case l.npartitions() > maxLetters || l.length() > int64(len(l.data)):
		return nil, fmt.Sprintf("a disklabel of %d partitions at byte %d", l.npartitions(), l.at)
	case l.sum() != 0:
		return nil, fmt.Sprintf("wrong checksum of the disklabel at byte %d", l.at)
	case l.secsize() != t.SectorSize:
		return nil, fmt.Sprintf("the disklabel at byte %d is for sectors of %d bytes", l.at, l.secsize())
	}
	return l, ""
}

// labelEntries gives the partitions that are not empty. wide says whether the label
// may be OpenBSD's, with offsets of 48 bits.
func (t *Table) labelEntries(l *disklabel, wide bool) []labelEntry {
	const most = 1 << 60 // bytes: keeps sums of offsets from overflowing
	var list []labelEntry
	for i := range l.npartitions() {
		p := l.entryAt(i)
		e := labelEntry{index: i, size: int64(l.order.Uint32(p)), start: int64(l.order.Uint32(p[4:])), kind: p[12]}
		if wide && l.version() == 1 {
			e.start |= int64(l.order.Uint16(p[8:])) << 32
			e.size |= int64(l.order.Uint16(p[10:])) << 32
		}
		switch {
		case e.size == 0:
		case e.start > most/t.SectorSize || e.size > most/t.SectorSize:
			t.contradict("partition %s of the disklabel at byte %d has %d sectors from sector %d", letter(i), l.at, e.size, e.start)
		default:
			list = append(list, e)
		}
	}
	return list
}

// fstypes are the names of p_fstype as disklabel(8) prints them.
var fstypes = [...]string{
	"unused", "swap", "Version6", "Version7", "SystemV", "4.1BSD", "Eighth-Edition", "4.2BSD", "MSDOS", "4.4LFS", "unknown",
	"HPFS", "ISO9660", "boot", "ADOS", "HFS", "ADFS", "ext2fs", "ccd", "RAID", "NTFS", "UDF",
}

func (e labelEntry) typeName() string {
	if int(e.kind) < len(fstypes) {
		return fstypes[e.kind]
	}
	return fmt.Sprintf("type %d", e.kind)
}

// partition makes the Partition of an entry that begins at sector start.
func (t *Table) partition(l *disklabel, e labelEntry, start int64, openBSD bool) Partition {
	p := Partition{Start: start * t.SectorSize, Size: e.size * t.SectorSize, Type: e.typeName(), Name: letter(e.index)}
	if openBSD && !isZero(l.duid()) {
		p.UUID = fmt.Sprintf("%x.%s", l.duid(), p.Name)
	}
	return p
}

// letter names a partition: a to z, then A to Z as OpenBSD goes on.
func letter(index int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if index < len(letters) {
		return letters[index : index+1]
	}
	return fmt.Sprint(index + 1)
}

// isDedicated says whether an MBR is that of FreeBSD's "dangerously dedicated"
// disks: a slice that begins at sector 0, put there for the BIOS; the label
// that follows is the disk's.
func isDedicated(sector []byte) bool {
	dedicated := false
	for i := range 4 {
		switch e := entry(sector, i); {
		case !e.used():
		case isBSD(e.kind()) && e.start() == 0:
			dedicated = true
		default:
			return false
		}
	}
	return dedicated
}

// The types of slices with disklabels.
const (
	sliceFreeBSD = 0xA5
	sliceOpenBSD = 0xA6
	sliceNetBSD  = 0xA9
)

func isBSD(kind byte) bool {
	return kind == sliceFreeBSD || kind == sliceOpenBSD || kind == sliceNetBSD
}

// readDiskLabel reads a label that is the table of the whole disk: in sector
// 1, or at byte 64 of sector 0 (Alpha and others). A label that has its magic
// numbers but cannot be used is found too, and contradicts itself.
func (t *Table) readDiskLabel(r io.ReaderAt) (found bool, err error) {
	area, err := t.read(r, 0, t.bootArea(t.DiskSize))
	if err != nil {
		return false, err
	}
	var l *disklabel
	for _, at := range []int64{t.SectorSize, 64} {
		var problem string
		if l, problem = t.findLabel(area, 0, at); problem != "" {
			t.Scheme = BSD
			t.contradict("%s", problem)
			return true, nil
		}
		if l != nil {
			break
		}
	}
	if l == nil {
		return false, nil
	}
	t.Scheme = BSD
	first, last := l.at/t.SectorSize*t.SectorSize, (l.at+l.length()+t.SectorSize-1)/t.SectorSize*t.SectorSize
	last = min(last, int64(len(area)))
	for _, part := range []struct {
		name     string
		from, to int64
	}{{AreaBSDBoot, 0, first}, {AreaBSDLabel, first, last}, {AreaBSDBoot, last, int64(len(area))}} {
		if part.from < part.to {
			t.keep(part.name, part.from, area[part.from:part.to])
		}
	}
	t.readDiskEntries(l)
	return true, nil
}

func (t *Table) readDiskEntries(l *disklabel) {
	openBSD := l.version() == 1
	list := t.labelEntries(l, true)
	for _, e := range list {
		if e.index == rawLetter && e.start != 0 {
			t.contradict("partition c of the disklabel at byte %d begins at sector %d, not with the disk", l.at, e.start)
		}
		if e.kind == kindUnused && (e.index == rawLetter || overlapsUsed(e, list)) {
			continue
		}
		p := t.partition(l, e, e.start, openBSD)
		p.Number = e.index + 1
		t.Partitions = append(t.Partitions, p)
	}
}

// overlapsUsed says whether an unused entry shares sectors with a used one:
// c, and d in NetBSD, are the slice and the disk. Others that are called
// unused may have been taken into use without a word to the label.
func overlapsUsed(e labelEntry, list []labelEntry) bool {
	return slices.ContainsFunc(list, func(o labelEntry) bool {
		return o.kind != kindUnused && e.start < o.start+o.size && o.start < e.start+e.size
	})
}

// readSlices reads the disklabels in the slices of an MBR and numbers their
// partitions from next on.
func (t *Table) readSlices(r io.ReaderAt, next int) error {
	var unused []Partition
	for i := range t.Partitions {
		p := &t.Partitions[i]
		kind := sliceKind(*p)
		if !isBSD(kind) || p.Start < 0 || p.Size < 2*t.SectorSize || p.End() > t.DiskSize {
			continue
		}
		area, err := t.read(r, p.Start, t.bootArea(p.Size))
		if err != nil {
			return err
		}
		l, problem := t.findLabel(area, p.Start, t.SectorSize)
		if problem != "" {
			t.warn("partition %d is taken as one volume: %s", p.Number, problem)
		}
		if l == nil {
			continue
		}
		used, rest := t.sliceEntries(l, *p, kind)
		if len(used) == 0 {
			continue // then the slice itself is the volume
		}
		p.Slice = true
		t.keep(AreaBSDLabel, p.Start, area)
		for _, q := range used {
			q.Number = next
			next++
			t.Partitions = append(t.Partitions, q)
		}
		unused = append(unused, rest...)
	}
	for _, q := range unused {
		q.Number = next
		next++
		t.Partitions = append(t.Partitions, q)
	}
	return nil
}

// sliceKind is the type of a primary partition, 0 for others.
func sliceKind(p Partition) (kind byte) {
	if !p.Logical && p.Parent == 0 {
		_, _ = fmt.Sscanf(p.Type, "%x", &kind)
	}
	return kind
}

// sliceEntries gives the partitions of a slice's label that lie in the slice:
// those in use, and those that are not, as far as they lie beside them.
func (t *Table) sliceEntries(l *disklabel, slice Partition, kind byte) (used, unused []Partition) {
	list := t.labelEntries(l, kind == sliceOpenBSD)
	base := t.labelBase(list, slice, kind)
	for _, e := range list {
		start := base + e.start
		p := t.partition(l, e, start, kind == sliceOpenBSD)
		p.Parent = slice.Number
		inside := p.Start >= slice.Start && p.End() <= slice.End()
		switch {
		case p.Start == slice.Start && p.Size == slice.Size:
			// the slice itself
		case e.kind == kindUnused:
			if inside && e.index != rawLetter && !overlapsUsed(e, list) {
				unused = append(unused, p)
			}
		case inside:
			used = append(used, p)
		case !t.elsewhere(p, slice):
			t.contradict("partition %s of the disklabel in partition %d lies from byte %d to %d, outside of it", p.Name, slice.Number, p.Start, p.End())
		}
	}
	return used, unused
}

// labelBase is the sector that offsets in the label of a slice count from.
// OpenBSD and NetBSD count from the start of the disk. FreeBSD counts from
// where c begins, and c is the slice:
//
//	slice at 63, c at 0,  a at 16: a lies at 79
//	slice at 63, c at 63, a at 79: the same
func (t *Table) labelBase(list []labelEntry, slice Partition, kind byte) int64 {
	if kind != sliceFreeBSD {
		return 0
	}
	base := slice.Start / t.SectorSize
	for _, e := range list {
		if e.index == rawLetter {
			base -= e.start
		}
	}
	return base
}

// elsewhere says whether p, which its slice does not hold, is a partition that
// the MBR has too: OpenBSD and NetBSD name those of other systems in their
// labels.
func (t *Table) elsewhere(p, slice Partition) bool {
	return slices.ContainsFunc(t.Partitions, func(q Partition) bool {
		return q.Parent == 0 && q.Number != slice.Number && p.Start >= q.Start && p.End() <= q.End()
	})
}

// sorted puts extents in the order of the disk.
func sorted(list []extent.Extent) []extent.Extent {
	slices.SortFunc(list, func(a, b extent.Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	return list
}
