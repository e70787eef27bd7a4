package partition

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

// gptHeader is one sector of a GPT header, as read.
//
//	offset  length
//	0       8       "EFI PART"
//	8       4       revision
//	12      4       header size, 92 or more
//	16      4       CRC32 of the header, with this field 0
//	24      8       LBA of this header
//	32      8       LBA of the other header
//	40      8       first usable LBA
//	48      8       last usable LBA
//	56      16      disk GUID
//	72      8       LBA of the entry array
//	80      4       number of entries
//	84      4       size of an entry: 128, or that times a power of 2
//	88      4       CRC32 of the entry array
type gptHeader struct {
	sector []byte
	array  []byte // whole sectors; the entries are the first arrayBytes of it
}

func (h *gptHeader) size() int64        { return int64(le.Uint32(h.sector[12:])) }
func (h *gptHeader) myLBA() uint64      { return le.Uint64(h.sector[24:]) }
func (h *gptHeader) otherLBA() uint64   { return le.Uint64(h.sector[32:]) }
func (h *gptHeader) firstUsable() int64 { return int64(le.Uint64(h.sector[40:])) }
func (h *gptHeader) lastUsable() int64  { return int64(le.Uint64(h.sector[48:])) }
func (h *gptHeader) guid() []byte       { return h.sector[56:72] }
func (h *gptHeader) arrayLBA() uint64   { return le.Uint64(h.sector[72:]) }
func (h *gptHeader) entries() int64     { return int64(le.Uint32(h.sector[80:])) }
func (h *gptHeader) entrySize() int64   { return int64(le.Uint32(h.sector[84:])) }
func (h *gptHeader) arrayCRC() uint32   { return le.Uint32(h.sector[88:]) }
func (h *gptHeader) arrayBytes() int64  { return h.entries() * h.entrySize() }

const (
	gptMagic      = "EFI PART"
	maxArrayBytes = 4 << 20 // 32768 entries of the usual 128 bytes
)

// sum is the header's own CRC, as it should be.
func (h *gptHeader) sum() uint32 {
	p := bytes.Clone(h.sector[:h.size()])
	clear(p[16:20])
	return crc32.ChecksumIEEE(p)
}

// readHeader reads and checks the copy of the GPT at lba; problem says what is
// wrong with it. A copy that the disk does not give is damaged like any other.
func (t *Table) readHeader(r io.ReaderAt, lba int64) (h *gptHeader, problem string) {
	if lba < 1 || lba >= t.DiskSize/t.SectorSize {
		return nil, fmt.Sprintf("sector %d is not on the disk", lba)
	}
	sector, err := t.read(r, lba*t.SectorSize, t.SectorSize)
	if err != nil {
		return nil, err.Error()
	}
	h = &gptHeader{sector: sector}
	switch {
	case string(sector[:8]) != gptMagic:
		return nil, "no header"
	case h.size() < 92 || h.size() > t.SectorSize:
		return nil, fmt.Sprintf("header of %d bytes", h.size())
	case h.sum() != le.Uint32(sector[16:]):
		return nil, "wrong checksum of the header"
	case h.myLBA() != uint64(lba):
		return nil, fmt.Sprintf("the header says that it lies at sector %d", h.myLBA())
	case h.entrySize() < 128 || h.entrySize()&(h.entrySize()-1) != 0 || h.entrySize() > maxArrayBytes || h.arrayBytes() > maxArrayBytes:
		return nil, fmt.Sprintf("%d entries of %d bytes", h.entries(), h.entrySize())
	case h.arrayLBA() < 2 || h.arrayLBA() > uint64(t.DiskSize/t.SectorSize):
		return nil, fmt.Sprintf("entries at sector %d", h.arrayLBA())
	}
	off, n := int64(h.arrayLBA())*t.SectorSize, t.arraySectors(h)*t.SectorSize
	if n > t.DiskSize-off {
		return nil, "the entries leave the disk"
	}
	if h.array, err = t.read(r, off, n); err != nil {
		return nil, err.Error()
	}
	if crc32.ChecksumIEEE(h.array[:h.arrayBytes()]) != h.arrayCRC() {
		return nil, "wrong checksum of the entries"
	}
	return h, ""
}

// arraySectors is the length of the entry array in sectors.
func (t *Table) arraySectors(h *gptHeader) int64 {
	return (h.arrayBytes() + t.SectorSize - 1) / t.SectorSize
}

// noteLostGPT looks for a GPT on a disk without entries in an MBR, of which
// systems make nothing. With its first copy in place it contradicts an empty
// disk; a copy at the end alone is what a former table leaves behind.
func (t *Table) noteLostGPT(r io.ReaderAt) {
	if h, _ := t.readHeader(r, 1); h != nil {
		t.Scheme = GPT
		t.contradict("there is a GPT without a protective MBR, which systems do not use: gdisk writes a new one")
		return
	}
	if h, _ := t.readHeader(r, t.DiskSize/t.SectorSize-1); h != nil {
		t.warn("the end of the disk has the backup of a GPT whose beginning is gone; if it is this disk's table, gdisk can rebuild it")
	}
}

// gptCopies is what was read of both copies of a GPT.
type gptCopies struct {
	primary, backup    *gptHeader // nil: not good
	problem1, problem2 string     // why
	at                 int64      // LBA where the backup is or should be
}

// readCopies reads both copies. The backup is where the primary one says, else
// at the end of the disk, else at the end of what the MBR protects: there it
// stays when a disk is copied to a larger one.
func (t *Table) readCopies(r io.ReaderAt, mbr []byte) (c gptCopies) {
	last := t.DiskSize/t.SectorSize - 1
	c.primary, c.problem1 = t.readHeader(r, 1)
	c.at = last
	if c.primary != nil && c.primary.otherLBA() <= uint64(last) {
		c.at = int64(c.primary.otherLBA())
	}
	c.backup, c.problem2 = t.readHeader(r, c.at)
	if end := protectedEnd(mbr); c.primary == nil && c.backup == nil && end > 2 && end < last {
		if h, _ := t.readHeader(r, end-1); h != nil {
			c.backup, c.at = h, end-1
		}
	}
	return c
}

// readGPT reads both copies of a GPT and takes the primary one, if it is good.
func (t *Table) readGPT(r io.ReaderAt, mbr []byte) {
	t.Scheme, t.Hybrid = GPT, isHybrid(mbr)
	c := t.readCopies(r, mbr)
	t.gpt = c.primary
	if c.primary == nil {
		t.gpt = c.backup
	}
	if t.gpt == nil {
		t.contradict("protective MBR, but no good GPT (primary: %s; backup: %s): gdisk or testdisk may rebuild it; until then the disk can only be saved as a whole",
			c.problem1, c.problem2)
		return
	}
	t.whole = false
	switch {
	case c.primary == nil:
		t.warn("primary GPT damaged (%s), backup used", c.problem1)
	case c.backup == nil:
		t.warn("backup GPT damaged or absent (%s)", c.problem2)
	case !bytes.Equal(c.primary.guid(), c.backup.guid()) || c.primary.arrayCRC() != c.backup.arrayCRC():
		t.warn("backup GPT is not the same table as the primary one")
	default:
		t.whole = c.at == t.DiskSize/t.SectorSize-1
	}
	if c.backup != nil && c.at != t.DiskSize/t.SectorSize-1 {
		t.warn("backup GPT lies at sector %d, not at the end of the disk", c.at)
	}
	t.keepGPT(r, mbr, c)
	t.readEntries()
}

// keepGPT keeps the sectors of the MBR and of both copies. Of a damaged copy
// it keeps those where it should be, if no partition can lie there and the
// disk gives them.
func (t *Table) keepGPT(r io.ReaderAt, mbr []byte, c gptCopies) {
	t.keep(AreaMBR, 0, mbr)
	n := t.arraySectors(t.gpt)
	if c.primary != nil {
		t.keepCopy(AreaGPTPrimary, c.primary)
	} else if end := 2 + n; t.gpt.firstUsable() >= end && end <= c.at-n {
		if data, err := t.read(r, t.SectorSize, (1+n)*t.SectorSize); err == nil {
			t.keep(AreaGPTPrimary, t.SectorSize, data)
		}
	}
	if c.backup != nil {
		t.keepCopy(AreaGPTBackup, c.backup)
	} else if start := c.at - n; start > t.gpt.lastUsable() && start > 2+n && start*t.SectorSize >= t.Sectors[len(t.Sectors)-1].end() {
		if data, err := t.read(r, start*t.SectorSize, (1+n)*t.SectorSize); err == nil {
			t.keep(AreaGPTBackup, start*t.SectorSize, data)
		}
	}
}

func (t *Table) keepCopy(name string, h *gptHeader) {
	t.keep(name, int64(h.myLBA())*t.SectorSize, h.sector)
	t.keep(name, int64(h.arrayLBA())*t.SectorSize, h.array)
}

// readEntries makes the partitions of the entries.
//
//	offset  length
//	0       16      type GUID; all zero: unused
//	16      16      GUID of the partition
//	32      8       first LBA
//	40      8       last LBA
//	48      8       attributes
//	56      72      name, UTF-16LE, to the first 0
func (t *Table) readEntries() {
	h := t.gpt
	t.ID = guid(h.guid())
	t.firstUsable, t.lastUsable, t.entries = h.firstUsable(), h.lastUsable(), h.entries()
	sectors := uint64(t.DiskSize / t.SectorSize)
	const most = 1 << 62 // keeps sums of offsets from overflowing
	limit := max(uint64(most/t.SectorSize), sectors)
	for i := range h.entries() {
		e := h.array[i*h.entrySize():][:h.entrySize()]
		if isZero(e[:16]) {
			continue
		}
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		if first > last || last >= limit {
			t.contradict("partition %d runs from sector %d to %d", i+1, first, last)
			continue
		}
		t.Partitions = append(t.Partitions, Partition{
			Number:     int(i) + 1,
			Start:      int64(first) * t.SectorSize,
			Size:       int64(last-first+1) * t.SectorSize,
			Type:       guid(e[:16]),
			UUID:       strings.ToLower(guid(e[16:32])),
			Attributes: le.Uint64(e[48:]),
			Name:       utf16Name(e[56:128]),
		})
	}
}

// guid prints a GUID as stored by EFI: the first three fields little-endian.
func guid(p []byte) string {
	return fmt.Sprintf("%08X-%04X-%04X-%04X-%012X", le.Uint32(p), le.Uint16(p[4:]), le.Uint16(p[6:]), p[8:10], p[10:16])
}

// utf16Name reads UTF-16LE to the first 0.
func utf16Name(p []byte) string {
	var units []uint16
	for i := 0; i+1 < len(p); i += 2 {
		u := le.Uint16(p[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

func isZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
