// Package partition reads partition tables (GPT, MBR with logical partitions),
// keeps their sectors byte for byte and moves them to larger disks. It does
// not create tables and never writes to a device.
package partition

import (
	"errors"
	"io"
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

// Partition is one partition.
type Partition struct {
	Number     int
	Start      int64  // bytes from the start of the disk
	Size       int64  // bytes
	Type       string // GUID in upper case, or two hex digits
	UUID       string // as PARTUUID: a GUID in lower case, or DISKID-NN
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
}

var errNotYet = errors.New("partition: not written yet")

// Read reads the table of a disk of size bytes. Where there is none, the
// Scheme is None and the error nil.
func Read(r io.ReaderAt, size, sectorSize int64) (*Table, error) { return nil, errNotYet }

// Parse is Read from kept sectors.
func Parse(scheme Scheme, sectors []Sector, size, sectorSize int64) (*Table, error) {
	return nil, errNotYet
}

// Gap is what lies between the table and the first partition.
func (t *Table) Gap() extent.Extent { return extent.Extent{} }

// MoveTo gives the table for a disk of size bytes, at least as large as the
// present one: the backup GPT at its end, headers and checksums corrected,
// everything else byte for byte.
func (t *Table) MoveTo(size int64) (*Table, error) { return nil, errNotYet }

// SfdiskDump is what `sfdisk --dump device` prints.
func (t *Table) SfdiskDump(device string) string { return "" }

// PartitionName is the kernel's name of a partition of disk: sda1, nvme0n1p1, loop0p1.
func (t *Table) PartitionName(disk string, number int) string {
	if n := len(disk); n > 0 && disk[n-1] >= '0' && disk[n-1] <= '9' {
		disk += "p"
	}
	return disk + strconv.Itoa(number)
}
