// Package partition reads partition tables (GPT, MBR with logical partitions),
// keeps their sectors byte for byte and moves them to larger disks. It does
// not create tables, never writes to a device, and knows nothing of what lies
// in a partition.
//
// The formats are those of the UEFI specification 2.10, chapter 5 (GPT and
// protective MBR), and of what fdisk and the Linux kernel make of an MBR.
// BSD disklabels and the Apple partition map are not read.
package partition

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"

	"doppel.live/internal/extent"
)

// Scheme names the kind of a partition table.
type Scheme string

// The schemes.
const (
	GPT  Scheme = "gpt"
	MBR  Scheme = "mbr"
	None Scheme = "none" // no table: the whole disk is one volume, or empty
)

// The names of table sectors; those of image.Area.
const (
	AreaMBR        = "mbr"
	AreaGPTPrimary = "gpt-primary"
	AreaGPTBackup  = "gpt-backup"
	AreaEBR        = "ebr"
)

// Sector is a run of sectors of a table, as read.
type Sector struct {
	Name   string // mbr, gpt-primary, gpt-backup, ebr
	Offset int64  // bytes from the start of the disk
	Data   []byte // whole sectors
}

func (s Sector) end() int64 { return s.Offset + int64(len(s.Data)) }

// Partition is one partition.
type Partition struct {
	Number     int
	Start      int64  // bytes from the start of the disk
	Size       int64  // bytes
	Type       string // GUID in upper case, or two hex digits in lower case
	UUID       string // the kernel's PARTUUID: a GUID in lower case, or DISKID-NN
	Name       string // GPT only
	Attributes uint64 // GPT only
	Bootable   bool   // MBR only
	Extended   bool   // MBR only: holds the logical ones
	Logical    bool   // MBR only
}

// End is the first byte behind the partition.
func (p Partition) End() int64 { return p.Start + p.Size }

// Table is a partition table with the sectors that it was read from.
type Table struct {
	Scheme     Scheme
	SectorSize int64       // bytes
	DiskSize   int64       // bytes
	ID         string      // GUID in upper case, or 0x and 8 hex digits in lower case
	Partitions []Partition // by Number
	Sectors    []Sector    // ascending by Offset
	Warnings   []string    // "primary GPT damaged, backup used", ...

	conflict string     // see Conflict
	gpt      *gptHeader // the copy in use; nil for other schemes
	whole    bool       // both GPT copies are good and where they belong

	firstUsable, lastUsable, entries int64 // of a GPT: LBA, LBA, number
}

var le = binary.LittleEndian

// Read reads the table of a disk of size bytes. Where there is none, the
// Scheme is None and the error nil. A table that contradicts itself is read as
// far as it goes: see Warnings and Conflict.
func Read(r io.ReaderAt, size, sectorSize int64) (*Table, error) {
	if sectorSize < 512 || sectorSize > 1<<16 || sectorSize&(sectorSize-1) != 0 {
		return nil, fmt.Errorf("partition: sectors of %d bytes", sectorSize)
	}
	t := &Table{Scheme: None, SectorSize: sectorSize, DiskSize: size}
	if size < sectorSize {
		return t, nil
	}
	first, err := t.read(r, 0, sectorSize)
	if err != nil {
		return nil, err
	}
	switch {
	case first[510] != 0x55 || first[511] != 0xAA:
		// The kernel looks for a GPT only behind a protective MBR.
		err = t.noteLostGPT(r)
	case isProtective(first):
		err = t.readGPT(r, first)
	case isMBR(first, size/sectorSize):
		err = t.readMBR(r, first)
	}
	if err != nil {
		return nil, err
	}
	t.check()
	return t, nil
}

// Parse is Read from kept sectors. It is an error if they do not make a table
// of that scheme.
func Parse(scheme Scheme, sectors []Sector, size, sectorSize int64) (*Table, error) {
	if scheme == None {
		return &Table{Scheme: None, SectorSize: sectorSize, DiskSize: size}, nil
	}
	t, err := Read(kept(sectors), size, sectorSize)
	if err != nil {
		return nil, err
	}
	if t.Scheme != scheme {
		return nil, fmt.Errorf("partition: the kept sectors hold a table %q, not %q", t.Scheme, scheme)
	}
	return t, nil
}

// kept reads from kept sectors, and zeros where nothing was kept.
type kept []Sector

func (k kept) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for _, s := range k {
		if s.Offset < off+int64(len(p)) && s.end() > off {
			if s.Offset >= off {
				copy(p[s.Offset-off:], s.Data)
			} else {
				copy(p, s.Data[off-s.Offset:])
			}
		}
	}
	return len(p), nil
}

// read reads n bytes at off, both within the disk.
func (t *Table) read(r io.ReaderAt, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || n > t.DiskSize || off > t.DiskSize-n {
		return nil, fmt.Errorf("partition: %d bytes at %d are not within the disk of %d", n, off, t.DiskSize)
	}
	p := make([]byte, n)
	if m, err := r.ReadAt(p, off); m < len(p) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("partition: reading the table at byte %d: %w", off, err)
	}
	return p, nil
}

// keep adds sectors to Sectors, ascending; what touches a run of the same
// name at its end is joined to it.
func (t *Table) keep(name string, off int64, data []byte) {
	t.Sectors = append(t.Sectors, Sector{name, off, data})
	slices.SortStableFunc(t.Sectors, func(a, b Sector) int {
		switch {
		case a.Offset < b.Offset:
			return -1
		case a.Offset > b.Offset:
			return 1
		}
		return 0
	})
	joined := t.Sectors[:1]
	for _, s := range t.Sectors[1:] {
		last := &joined[len(joined)-1]
		if s.Name == last.Name && s.Offset == last.end() {
			last.Data = slices.Concat(last.Data, s.Data)
			continue
		}
		joined = append(joined, s)
	}
	t.Sectors = joined
}

func (t *Table) warn(format string, args ...any) {
	switch n := len(t.Warnings); {
	case n < maxWarnings:
		t.Warnings = append(t.Warnings, fmt.Sprintf(format, args...))
	case n == maxWarnings:
		t.Warnings = append(t.Warnings, "and more of that kind")
	}
}

// contradict notes a warning that makes it unsafe to save the partitions one
// by one.
func (t *Table) contradict(format string, args ...any) {
	t.warn(format, args...)
	if t.conflict == "" {
		t.conflict = t.Warnings[len(t.Warnings)-1]
	}
}

// Conflict says in one sentence why the partitions can't be saved one by one:
// they overlap, leave the disk, or the table could not be read to its end.
// It is "" for a sound table. Who meets a conflict saves the whole disk raw.
func (t *Table) Conflict() string { return t.conflict }

// check looks for partitions that overlap, leave the disk or cover the table.
func (t *Table) check() {
	for i, p := range t.Partitions {
		if p.Size > t.DiskSize || p.Start > t.DiskSize-p.Size {
			t.contradict("partition %d ends at byte %d, behind the end of the disk", p.Number, p.End())
		}
		for _, s := range t.Sectors {
			if s.Name != AreaEBR && p.Start < s.end() && s.Offset < p.End() {
				t.contradict("partition %d covers sectors of the partition table", p.Number)
				break
			}
		}
		if i >= maxPairs {
			continue // hostile: a table of thousands of entries is compared in part
		}
		for _, q := range t.Partitions[:i] {
			if p.Start < q.End() && q.Start < p.End() && !nested(p, q) && !nested(q, p) {
				t.contradict("partitions %d and %d overlap", q.Number, p.Number)
			}
		}
	}
	if len(t.Partitions) > maxPairs {
		t.contradict("more than %d partitions", maxPairs)
	}
}

const (
	maxPairs    = 1024 // partitions that are compared with each other
	maxWarnings = 32
)

// nested says whether p is a logical partition within the extended q.
func nested(p, q Partition) bool {
	return q.Extended && p.Logical && p.Start >= q.Start && p.End() <= q.End()
}

// Gap is what lies between the table and the first partition: boot loaders
// live there. On a GPT disk whose entry array was moved away from LBA 2 the
// gap holds that array too. Its length is 0 where there is no partition.
func (t *Table) Gap() extent.Extent {
	if len(t.Partitions) == 0 || len(t.Sectors) == 0 {
		return extent.Extent{}
	}
	var start int64
	for _, s := range t.Sectors {
		if s.Offset != start {
			break
		}
		start = s.end()
	}
	first := t.Partitions[0].Start
	for _, p := range t.Partitions {
		first = min(first, p.Start)
	}
	if first <= start {
		return extent.Extent{}
	}
	return extent.Extent{Offset: start, Length: min(first, t.DiskSize) - start}
}

// PartitionName is the kernel's name of a partition of disk: sda1, nvme0n1p1,
// loop0p1. It takes a path too.
func (t *Table) PartitionName(disk string, number int) string {
	if n := len(disk); n > 0 && disk[n-1] >= '0' && disk[n-1] <= '9' {
		disk += "p"
	}
	return disk + strconv.Itoa(number)
}
