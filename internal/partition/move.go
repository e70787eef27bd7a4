package partition

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
)

// MoveTo gives the table for a disk of size bytes, at least as large as the
// present one. On a GPT disk of another size, or where a copy was damaged or
// lay elsewhere, both copies are made good: the backup at the end of the disk,
// the usable range, the addresses and the checksums; everything else stays
// byte for byte, and so do tables of other schemes.
func (t *Table) MoveTo(size int64) (*Table, error) {
	switch {
	case t.Scheme == GPT && t.gpt == nil:
		return nil, fmt.Errorf("partition: %s", t.conflict)
	case t.Scheme != None && len(t.Sectors) == 0:
		return nil, fmt.Errorf("partition: the sectors of the table were not kept")
	case size < t.DiskSize:
		return nil, fmt.Errorf("partition: the table of a disk of %d bytes does not fit one of %d", t.DiskSize, size)
	case t.Whole() && size/t.SectorSize == t.DiskSize/t.SectorSize || t.Scheme != GPT:
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
	growProtective(mbr, sectors)
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

// Whole says whether nothing of the table needs repair: false for a GPT of
// which one copy is damaged, is another table, or does not lie where it must.
func (t *Table) Whole() bool { return t.Scheme != GPT || t.whole }

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

// growProtective lets the EE entry cover a disk of that many sectors. That of
// a hybrid MBR stays as it is, and so does one that covers all that it can.
func growProtective(mbr []byte, sectors int64) {
	if isHybrid(mbr) {
		return
	}
	for i := range 4 {
		e := entry(mbr, i)
		if e.kind() == kindProtective && e.start() == 1 && e.length() != math.MaxUint32 {
			le.PutUint32(e[12:], uint32(min(sectors-1, math.MaxUint32)))
		}
	}
}
