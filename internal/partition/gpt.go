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
//	84      4       size of an entry, 128 or more
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

// readHeader reads and checks the copy of the GPT at lba. problem says what is
// wrong with it; err is for reads that fail.
func (t *Table) readHeader(r io.ReaderAt, lba int64) (h *gptHeader, problem string, err error) {
	if lba < 1 || lba >= t.DiskSize/t.SectorSize {
		return nil, fmt.Sprintf("sector %d is not on the disk", lba), nil
	}
	sector, err := t.read(r, lba*t.SectorSize, t.SectorSize)
	if err != nil {
		return nil, "", err
	}
	h = &gptHeader{sector: sector}
	switch {
	case string(sector[:8]) != gptMagic:
		return nil, "no header", nil
	case h.size() < 92 || h.size() > t.SectorSize:
		return nil, fmt.Sprintf("header of %d bytes", h.size()), nil
	case h.sum() != le.Uint32(sector[16:]):
		return nil, "wrong checksum of the header", nil
	case h.myLBA() != uint64(lba):
		return nil, fmt.Sprintf("the header says that it lies at sector %d", h.myLBA()), nil
	case h.entrySize() < 128 || h.entrySize() > maxArrayBytes || h.arrayBytes() > maxArrayBytes:
		return nil, fmt.Sprintf("%d entries of %d bytes", h.entries(), h.entrySize()), nil
	case h.arrayLBA() < 2 || h.arrayLBA() > uint64(t.DiskSize/t.SectorSize):
		return nil, fmt.Sprintf("entries at sector %d", h.arrayLBA()), nil
	}
	off, n := int64(h.arrayLBA())*t.SectorSize, t.arraySectors(h)*t.SectorSize
	if n > t.DiskSize-off {
		return nil, "the entries leave the disk", nil
	}
	if h.array, err = t.read(r, off, n); err != nil {
		return nil, "", err
	}
	if crc32.ChecksumIEEE(h.array[:h.arrayBytes()]) != h.arrayCRC() {
		return nil, "wrong checksum of the entries", nil
	}
	return h, "", nil
}

// arraySectors is the length of the entry array in sectors.
func (t *Table) arraySectors(h *gptHeader) int64 {
	return (h.arrayBytes() + t.SectorSize - 1) / t.SectorSize
}

// noteLostGPT warns of a GPT that nothing uses for want of a protective MBR.
func (t *Table) noteLostGPT(r io.ReaderAt) error {
	h, _, err := t.readHeader(r, 1)
	if err == nil && h != nil {
		t.warn("there is a GPT without a protective MBR; systems do not use it")
	}
	return err
}

// readGPT reads both copies of a GPT and takes the primary one, if it is good.
func (t *Table) readGPT(r io.ReaderAt, mbr []byte) error {
	last := t.DiskSize/t.SectorSize - 1
	primary, problem1, err := t.readHeader(r, 1)
	if err != nil {
		return err
	}
	at := last
	if primary != nil && primary.otherLBA() <= uint64(last) {
		at = int64(primary.otherLBA())
	}
	backup, problem2, err := t.readHeader(r, at)
	if err != nil {
		return err
	}
	use := primary
	if primary == nil {
		use = backup
	}
	if use == nil {
		t.warn("protective MBR, but no good GPT: primary: %s; backup: %s", problem1, problem2)
		return nil
	}
	t.Scheme, t.gpt = GPT, use
	t.whole = primary != nil && backup != nil
	switch {
	case primary == nil:
		t.warn("primary GPT damaged (%s), backup used", problem1)
	case backup == nil:
		t.warn("backup GPT damaged or absent (%s)", problem2)
	case !bytes.Equal(primary.guid(), backup.guid()) || primary.arrayCRC() != backup.arrayCRC():
		t.warn("backup GPT is not the same table as the primary one")
		t.whole = false
	case at != last:
		t.warn("backup GPT lies at sector %d, not at the end of the disk", at)
	}
	if err := t.keepGPT(r, mbr, primary, backup, at); err != nil {
		return err
	}
	t.readEntries()
	return nil
}

// keepGPT keeps the sectors of the MBR and of both copies. Of a damaged copy
// it keeps those where it should be, if no partition can lie there.
func (t *Table) keepGPT(r io.ReaderAt, mbr []byte, primary, backup *gptHeader, at int64) error {
	t.keep(AreaMBR, 0, mbr)
	n := t.arraySectors(t.gpt)
	if primary != nil {
		t.keepCopy(AreaGPTPrimary, primary)
	} else if end := 2 + n; t.gpt.firstUsable() >= end && end <= at-n {
		data, err := t.read(r, t.SectorSize, (1+n)*t.SectorSize)
		if err != nil {
			return err
		}
		t.keep(AreaGPTPrimary, t.SectorSize, data)
	}
	if backup != nil {
		t.keepCopy(AreaGPTBackup, backup)
	} else if start := at - n; start > t.gpt.lastUsable() && start > 2+n && start*t.SectorSize >= t.Sectors[len(t.Sectors)-1].end() {
		data, err := t.read(r, start*t.SectorSize, (1+n)*t.SectorSize)
		if err != nil {
			return err
		}
		t.keep(AreaGPTBackup, start*t.SectorSize, data)
	}
	return nil
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
