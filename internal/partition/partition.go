// Package partition reads partition tables (GPT, hybrid MBR, MBR with logical
// partitions, BSD disklabels, the Apple partition map), keeps their sectors
// byte for byte, repairs a GPT of which one copy is good, and moves tables to
// larger disks. It does not make tables for empty disks, never writes to a
// device, and knows nothing of what lies in a partition.
//
// The formats are those of the UEFI specification 2.10, chapter 5 (GPT and
// protective MBR), of what fdisk and the Linux kernel make of an MBR, of the
// sys/disklabel.h of FreeBSD, OpenBSD and NetBSD (BSD licence), and of Inside
// Macintosh: Devices, chapter 3, with FreeBSD's sys/disk/apm.h (BSD licence).
// An Ultrix, Sun, SGI, Amiga or Atari label is not read: such a disk has no
// table here. A disklabel within a GPT or a logical partition is not read
// either, as the kernel does not: that partition is one volume. Nor are the
// slices of Solaris, UnixWare and Minix, which the kernel numbers in between.
//
// go-diskfs, which makes the tables of our own media, is not used here: it
// writes tables anew, and would not give back a byte that it does not know.
//
// Partitions have the numbers that the kernel gives them: see Partition.Number.
package partition

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Scheme names the kind of a partition table.
type Scheme string

// The schemes.
const (
	GPT  Scheme = "gpt"
	MBR  Scheme = "mbr"
	BSD  Scheme = "bsd"  // a disklabel that is the table of the whole disk
	APM  Scheme = "apm"  // Apple partition map
	None Scheme = "none" // no table: the whole disk is one volume, or empty
)

// The names of table sectors; those of image.Area.
const (
	AreaMBR         = "mbr"
	AreaGPTPrimary  = "gpt-primary"
	AreaGPTBackup   = "gpt-backup"
	AreaEBR         = "ebr"
	AreaBSDBoot     = "bsd-boot"     // boot code around the disklabel of a whole disk
	AreaBSDLabel    = "bsd-label"    // a disklabel; of a slice with the boot code around it
	AreaAppleDevice = "apple-device" // block 0: the driver descriptor record
	AreaAppleMap    = "apple-map"
	AreaAppleDriver = "apple-driver"
)

// WriteRank orders the sectors of a table for writing: what makes a disk look
// whole has the highest rank. It is -1 for names that are no table sectors.
func WriteRank(name string) int {
	return slices.Index([]string{
		AreaBSDBoot, AreaAppleDriver, AreaEBR, AreaGPTBackup, AreaGPTPrimary, AreaAppleMap, AreaBSDLabel, AreaMBR, AreaAppleDevice,
	}, name)
}

// Sector is a run of sectors of a table, as read.
type Sector struct {
	Name   string // one of the Area constants
	Offset int64  // bytes from the start of the disk
	Data   []byte // whole sectors
}

func (s Sector) end() int64 { return s.Offset + int64(len(s.Data)) }

// Partition is one partition.
type Partition struct {
	// Number is that of the kernel's name, sda5. In a GPT it is the place of
	// the entry, in an MBR that of a primary entry, and 5 and more for the
	// logical ones. The partitions of the disklabels of an MBR's slices follow
	// behind the logical ones, slice by slice: with two logical partitions and
	// FreeBSD in slice 1, its a and b are sda7 and sda8. In a disklabel of the
	// whole disk it is the place of the letter: a is 1, d is 4 (Linux knows
	// only such labels of Alpha, and names them so). In an Apple map it is the
	// place in the map, the map itself being 1.
	Number     int
	Start      int64  // bytes from the start of the disk
	Size       int64  // bytes
	Type       string // GUID in upper case, two hex digits in lower case, disklabel(8)'s name, or Apple's type
	UUID       string // the kernel's PARTUUID: a GUID in lower case, or DISKID-NN; DUID.LETTER of OpenBSD
	Name       string // of GPT and Apple; the letter in a disklabel
	Attributes uint64 // GPT only
	Bootable   bool   // MBR only
	Extended   bool   // MBR only: holds the logical ones
	Logical    bool   // MBR only
	Slice      bool   // MBR only: its disklabel's partitions have it as Parent
	Parent     int    // number of the slice that it lies in; 0: it lies on the disk
	Kept       bool   // Apple only: the map or a driver, all of it kept in Table.Sectors
	Free       bool   // Apple only: room that no partition has
}

// End is the first byte behind the partition.
func (p Partition) End() int64 { return p.Start + p.Size }

// Volume says whether the partition is a volume: neither empty nor made of
// others, of the table or of free room.
func (p Partition) Volume() bool {
	return p.Size > 0 && !p.Extended && !p.Slice && !p.Kept && !p.Free
}

// Table is a partition table with the sectors that it was read from.
type Table struct {
	Scheme     Scheme
	SectorSize int64       // bytes
	DiskSize   int64       // bytes
	ID         string      // GUID in upper case, or 0x and 8 hex digits in lower case
	Partitions []Partition // by Number; unused entries of a disklabel last
	Sectors    []Sector    // ascending by Offset
	Warnings   []string    // "primary GPT damaged, backup used", ...
	Hybrid     bool        // GPT only: its MBR has more than the protective entry

	conflict string     // see Conflict
	gpt      *gptHeader // the copy in use; nil for other schemes
	whole    bool       // both GPT copies are good, the same, and where they belong

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
	if err := t.recognise(r, first); err != nil {
		return nil, err
	}
	t.check()
	return t, nil
}

// recognise finds out which table it is, in the order in which the kernel
// does. The tables that have no mark in sector 0 come last.
func (t *Table) recognise(r io.ReaderAt, first []byte) error {
	marked := first[510] == 0x55 && first[511] == 0xAA
	switch {
	case marked && isProtective(first):
		t.readGPT(r, first)
		return nil
	case marked && isMBR(first, t.DiskSize/t.SectorSize):
		if isDedicated(first) {
			if found, err := t.readDiskLabel(r); found || err != nil {
				return err
			}
		}
		return t.readMBR(r, first)
	}
	// The kernel looks for a GPT only behind a protective MBR.
	if t.noteLostGPT(r); t.conflict != "" {
		return nil
	}
	if found, err := t.readDiskLabel(r); found || err != nil {
		return err
	}
	return t.readApple(r, first)
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
	switch {
	case t.Scheme != scheme:
		return nil, fmt.Errorf("partition: the kept sectors hold a table %q, not %q", t.Scheme, scheme)
	case scheme == GPT && t.gpt == nil:
		return nil, fmt.Errorf("partition: the kept sectors: %s", t.conflict)
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
	slices.SortStableFunc(t.Sectors, func(a, b Sector) int { return cmp.Compare(a.Offset, b.Offset) })
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

// Kind names the table for people: "gpt with a hybrid MBR".
func (t *Table) Kind() string {
	if t.Hybrid {
		return string(t.Scheme) + " with a hybrid MBR"
	}
	return string(t.Scheme)
}

// PartitionName is the kernel's name of a partition of disk: sda1, nvme0n1p1,
// loop0p1. It takes a path too. See Partition.Number.
func (t *Table) PartitionName(disk string, number int) string {
	if n := len(disk); n > 0 && disk[n-1] >= '0' && disk[n-1] <= '9' {
		disk += "p"
	}
	return disk + strconv.Itoa(number)
}
