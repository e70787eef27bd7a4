package partition

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
)

// MoveTo gives the table for a disk of size bytes, at least as large as the
// present one. On a GPT disk of another size, or where a copy was damaged,
// both copies are made good: the backup at the end of the disk, the usable
// range, the addresses and the checksums; everything else stays byte for byte.
func (t *Table) MoveTo(size int64) (*Table, error) {
	if t.Scheme != None && len(t.Sectors) == 0 {
		return nil, fmt.Errorf("partition: the sectors of the table were not kept")
	}
	if size < t.DiskSize {
		return nil, fmt.Errorf("partition: the table of a disk of %d bytes does not fit one of %d", t.DiskSize, size)
	}
	if t.Scheme != GPT || t.whole && size/t.SectorSize == t.DiskSize/t.SectorSize {
		moved := *t
		moved.DiskSize = size
		return &moved, nil
	}
	h, sectors := t.gpt, size/t.SectorSize
	n := t.arraySectors(h)
	backupArray := sectors - 1 - n
	arrayLBA := int64(2)
	if h.myLBA() == 1 {
		arrayLBA = int64(h.arrayLBA())
	}
	for _, p := range t.Partitions {
		if p.End() > backupArray*t.SectorSize || p.Start < (2+n)*t.SectorSize && arrayLBA == 2 {
			return nil, fmt.Errorf("partition: partition %d lies where a copy of the GPT must be written", p.Number)
		}
	}
	mbr := bytes.Clone(t.Sectors[0].Data)
	growProtective(mbr, t.DiskSize/t.SectorSize, sectors)
	primary := header(h, 1, sectors-1, arrayLBA, backupArray-1)
	backup := header(h, sectors-1, 1, backupArray, backupArray-1)
	return Parse(GPT, []Sector{
		{AreaMBR, 0, mbr},
		{AreaGPTPrimary, t.SectorSize, primary},
		{AreaGPTPrimary, arrayLBA * t.SectorSize, h.array},
		{AreaGPTBackup, backupArray * t.SectorSize, h.array},
		{AreaGPTBackup, (sectors - 1) * t.SectorSize, backup},
	}, size, t.SectorSize)
}

// header is a copy of h at LBA my, with its checksum corrected.
func header(h *gptHeader, my, other, array, lastUsable int64) []byte {
	c := &gptHeader{sector: bytes.Clone(h.sector)}
	le.PutUint64(c.sector[24:], uint64(my))
	le.PutUint64(c.sector[32:], uint64(other))
	le.PutUint64(c.sector[48:], uint64(lastUsable))
	le.PutUint64(c.sector[72:], uint64(array))
	le.PutUint32(c.sector[88:], crc32.ChecksumIEEE(h.array[:h.arrayBytes()]))
	le.PutUint32(c.sector[16:], c.sum())
	return c.sector
}

// growProtective lets the EE entry that covered the old disk cover the new
// one. Hybrid MBRs, whose EE entry covers less, stay as they are.
func growProtective(mbr []byte, before, after int64) {
	for i := range 4 {
		e := entry(mbr, i)
		if e.kind() == 0xEE && e.start() == 1 && e.length() == min(before-1, math.MaxUint32) {
			le.PutUint32(e[12:], uint32(min(after-1, math.MaxUint32)))
		}
	}
}
