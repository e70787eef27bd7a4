package partition

import (
	"bytes"
	"fmt"
	"io"
	"math"
)

// mbrEntry is one of the four entries of an MBR or EBR.
//
//	offset  length
//	0       1       0x80 bootable, 0x00 not
//	1       3       CHS of the first sector; ignored, as everybody does
//	4       1       type
//	5       3       CHS of the last sector; ignored
//	8       4       first sector, relative
//	12      4       number of sectors
type mbrEntry []byte

func (e mbrEntry) status() byte  { return e[0] }
func (e mbrEntry) kind() byte    { return e[4] }
func (e mbrEntry) start() int64  { return int64(le.Uint32(e[8:])) }  // sectors
func (e mbrEntry) length() int64 { return int64(le.Uint32(e[12:])) } // sectors
func (e mbrEntry) used() bool    { return e.kind() != 0 && e.length() != 0 }

// extended says whether the entry is an extended partition: 05 (DOS), 0f
// (Windows, LBA), 85 (Linux).
func (e mbrEntry) extended() bool {
	return e.used() && (e.kind() == 0x05 || e.kind() == 0x0F || e.kind() == 0x85)
}

// entry gives entry i (0 to 3) of the sector of an MBR or EBR.
func entry(sector []byte, i int) mbrEntry { return mbrEntry(sector[446+16*i : 446+16*i+16]) }

const maxLogical = 1024 // more are taken for a damaged chain; the kernel stops at 256

const kindProtective = 0xEE

// isProtective says whether the sector is the MBR of a GPT disk: one entry,
// in hybrid MBRs any, of type EE that begins at sector 1.
func isProtective(sector []byte) bool {
	for i := range 4 {
		if e := entry(sector, i); e.kind() == kindProtective && e.start() == 1 {
			return true
		}
	}
	return false
}

// isHybrid says whether a protective MBR has entries of another type too:
// old systems find some of the partitions of the GPT by them.
func isHybrid(sector []byte) bool {
	for i := range 4 {
		if e := entry(sector, i); e.used() && e.kind() != kindProtective {
			return true
		}
	}
	return false
}

// protectedEnd is the sector behind the last one that the protective entry
// covers, 0 where it covers all that it can.
func protectedEnd(sector []byte) int64 {
	for i := range 4 {
		if e := entry(sector, i); e.kind() == kindProtective && e.start() == 1 && e.length() < math.MaxUint32 {
			return 1 + e.length()
		}
	}
	return 0
}

// isMBR tells a partition table from a boot sector of a file system that ends
// with the same 55 AA. A table without any entry counts as none: the whole
// disk is looked at then, and nothing is lost.
func isMBR(sector []byte, sectors int64) bool {
	used := 0
	for i := range 4 {
		e := entry(sector, i)
		if e.status()&0x7F != 0 {
			return false // boot code or text where the entries should be
		}
		if e.used() {
			used++
		}
	}
	if used == 0 {
		return false
	}
	return !hasBPB(sector) || sane(sector, sectors)
}

// hasBPB says whether the sector looks like the boot sector of FAT, NTFS or
// exFAT: a jump, and the name of the format.
func hasBPB(sector []byte) bool {
	if sector[0] != 0xEB && sector[0] != 0xE9 {
		return false
	}
	return bytes.HasPrefix(sector[54:], []byte("FAT")) || bytes.HasPrefix(sector[82:], []byte("FAT32")) ||
		bytes.HasPrefix(sector[3:], []byte("NTFS    ")) || bytes.HasPrefix(sector[3:], []byte("EXFAT   "))
}

// sane says whether all entries are what a partitioner would have written: a
// start behind the MBR, within the disk, disjoint. Sticks made bootable by
// old tools have both a BPB and a true table; a FAT that fakes a table has
// an entry that begins at 0.
func sane(sector []byte, sectors int64) bool {
	for i := range 4 {
		e := entry(sector, i)
		if !e.used() {
			continue
		}
		if e.start() == 0 || e.start()+e.length() > sectors {
			return false
		}
		for j := range i {
			o := entry(sector, j)
			if o.used() && e.start() < o.start()+o.length() && o.start() < e.start()+e.length() {
				return false
			}
		}
	}
	return true
}

// readMBR reads an MBR and the chains of logical partitions below it.
func (t *Table) readMBR(r io.ReaderAt, sector []byte) error {
	t.Scheme = MBR
	t.keep(AreaMBR, 0, sector)
	id := le.Uint32(sector[440:]) // disk signature
	t.ID = fmt.Sprintf("0x%08x", id)
	var extended mbrEntry
	for i := range 4 {
		e := entry(sector, i)
		if !e.used() {
			continue
		}
		p := t.fromEntry(e, i+1, 0)
		switch {
		case p.Extended && extended != nil:
			t.contradict("partition %d is a second extended partition", p.Number)
		case p.Extended:
			extended = e
		case e.kind() == kindProtective:
			t.contradict("partition %d says that this is a GPT disk, but does not begin at sector 1 as it must", p.Number)
		}
		t.Partitions = append(t.Partitions, p)
	}
	next := 5
	if extended != nil {
		if err := t.readChain(r, extended, &next); err != nil {
			return err
		}
	}
	for i := range t.Partitions {
		if id != 0 {
			t.Partitions[i].UUID = fmt.Sprintf("%08x-%02x", id, t.Partitions[i].Number)
		}
	}
	if h, _ := t.readHeader(r, 1); h != nil {
		t.warn("behind the MBR there is a GPT, which systems do not use: gdisk removes the one or the other")
	}
	return t.readSlices(r, next)
}

// fromEntry makes a Partition; base is what the entry's start is relative to,
// in sectors.
func (t *Table) fromEntry(e mbrEntry, number int, base int64) Partition {
	return Partition{
		Number:   number,
		Start:    (base + e.start()) * t.SectorSize,
		Size:     e.length() * t.SectorSize,
		Type:     fmt.Sprintf("%02x", e.kind()),
		Bootable: e.status() == 0x80,
		Extended: e.extended(),
	}
}

// readChain follows the EBRs of an extended partition. An EBR lies at the
// first sector of the extended partition; its data entry is relative to the
// EBR itself, its link entry to the first EBR:
//
//	extended at 2048: EBR 2048 {data 2048+63, link 2048+20480}
//	                  EBR 22528 {data 22528+63, no link}
//
// next is the number of the next logical partition.
func (t *Table) readChain(r io.ReaderAt, extended mbrEntry, next *int) error {
	first := extended.start()
	seen := map[int64]bool{}
	for at := first; ; {
		if seen[at] {
			t.contradict("the chain of logical partitions comes back to sector %d", at)
			return nil
		}
		if len(seen) == maxLogical {
			t.contradict("more than %d logical partitions", maxLogical)
			return nil
		}
		seen[at] = true
		if at >= t.DiskSize/t.SectorSize {
			t.contradict("the chain of logical partitions leaves the disk at sector %d", at)
			return nil
		}
		sector, err := t.read(r, at*t.SectorSize, t.SectorSize)
		if err != nil {
			return err
		}
		if sector[510] != 0x55 || sector[511] != 0xAA {
			t.contradict("no table at sector %d, where the chain of logical partitions leads", at)
			return nil
		}
		t.keep(AreaEBR, at*t.SectorSize, sector)
		link := t.readEBR(sector, at, next)
		if link == nil {
			return nil
		}
		at = first + link.start()
	}
}

// readEBR adds the logical partitions of an EBR, normally one, and gives its
// link to the next, nil for the last. Its third and fourth entry are not used
// and hold garbage on some disks.
func (t *Table) readEBR(sector []byte, at int64, number *int) (link mbrEntry) {
	found := false
	for i := range 4 {
		e := entry(sector, i)
		switch {
		case !e.used() || e.status()&0x7F != 0:
		case e.extended():
			if link == nil {
				link = e
			}
		case found || i >= 2:
			t.contradict("the logical table at sector %d has more than one data entry", at)
		default:
			found = true
			p := t.fromEntry(e, *number, at)
			p.Logical = true
			t.Partitions = append(t.Partitions, p)
			*number++
		}
	}
	return link
}
