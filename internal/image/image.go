// Package image says what an image is, whatever keeps it: the manifest of the
// disk that was saved, and each saved volume as a reader with its allocation,
// as records and as frames. How an image lies in a directory or a repository
// is the business of the packages that implement it.
package image

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"doppel.live/internal/extent"
	"doppel.live/internal/record"
)

// Manifest describes an image. It is kept as doppel.json.
type Manifest struct {
	Format      int       `json:"format"` // 1
	ID          string    `json:"id"`     // random UUID
	Name        string    `json:"name"`
	Created     time.Time `json:"created"`
	Tool        string    `json:"tool"`        // "doppel 0.1.0"
	WholeDisk   bool      `json:"whole_disk"`  // false: chosen partitions only
	Consistency string    `json:"consistency"` // "offline": nothing was mounted for writing
	Disks       []Disk    `json:"disks"`
	// Nested are volumes that lie on no partition of Disks by themselves, in
	// images of Clonezilla's: logical volumes, what is in a LUKS container,
	// RAID arrays. They are Absent, with the reason; Offset and Index mean
	// nothing. None can be restored yet.
	Nested []Volume `json:"nested,omitempty"`
}

// AllVolumes gives the volumes of all disks, then the nested ones.
func (m *Manifest) AllVolumes() (list []Volume) {
	for _, d := range m.Disks {
		list = append(list, d.Volumes...)
	}
	return append(list, m.Nested...)
}

// Disk is one saved disk.
type Disk struct {
	Name               string   `json:"name"`            // kernel name when saved: sda, nvme0n1, loop0; of a regular file its own
	Alias              string   `json:"alias,omitempty"` // see Volume.Alias
	Model              string   `json:"model,omitempty"`
	Serial             string   `json:"serial,omitempty"`
	WWN                string   `json:"wwn,omitempty"`
	Size               int64    `json:"size"`                 // bytes
	SectorSize         int64    `json:"sector_size"`          // logical, bytes
	PhysicalSectorSize int64    `json:"physical_sector_size"` // bytes
	Scheme             string   `json:"scheme"`               // gpt, mbr, bsd, apm, none
	Areas              []Area   `json:"areas"`                // tables, boot code and gaps, ascending
	Volumes            []Volume `json:"volumes"`              // ascending by Offset
	Damaged            []Damage `json:"damaged,omitempty"`    // what could not be read outside the volumes, from the start of the disk
}

// Area is a run of sectors of the disk that belongs to no volume, kept byte for
// byte: protective MBR, GPT header and entries (both copies), EBRs, disklabels
// with their boot code, Apple maps and drivers, the gap before the first
// partition. A disklabel lies within its first volume as a rule, which then has
// the same bytes.
type Area struct {
	Name   string `json:"name"`           // one of package partition's areas, gap, raw
	Offset int64  `json:"offset"`         // bytes from the start of the disk
	Length int64  `json:"length"`         // bytes
	File   string `json:"file,omitempty"` // file of the image directory that holds it, filled in by the image
}

// Method says how a volume was saved.
type Method string

// The methods.
const (
	Blocks Method = "blocks" // used blocks, by allocation
	Raw    Method = "raw"    // every byte
	Swap   Method = "swap"   // UUID and label only
	Absent Method = "absent" // left out on purpose; its place in the table is kept
)

// Volume is one saved partition, or the whole disk where it has no table.
type Volume struct {
	Index      int    `json:"index"`             // position in the image over all disks; record.Record.Volume
	Name       string `json:"name"`              // sda1, nvme0n1p2; the disk's name where there is no table
	Alias      string `json:"alias,omitempty"`   // what files and lists of the image call it where Name is none of a disk's, filled in by the image
	Number     int    `json:"number,omitempty"`  // partition number, 0 for a whole disk
	Offset     int64  `json:"offset"`            // bytes from the start of the disk
	Size       int64  `json:"size"`              // bytes
	FileSystem string `json:"file_system"`       // as blkid names it; "" unknown
	Version    string `json:"version,omitempty"` // as blkid names it, where the type has several: FAT16
	Label      string `json:"label,omitempty"`
	UUID       string `json:"uuid,omitempty"`
	State      string `json:"state,omitempty"`
	BlockSize  int64  `json:"block_size,omitempty"`  // bytes
	SectorSize int64  `json:"sector_size,omitempty"` // bytes; as filesystem.Info has it
	Used       int64  `json:"used"`                  // bytes that the image holds of it
	Method     Method `json:"method"`
	Reason     string `json:"reason,omitempty"` // why raw or absent, one sentence
	File       string `json:"file,omitempty"`   // first file that holds it

	Damaged []Damage `json:"damaged,omitempty"` // what could not be read, from the start of the volume; in the image lie markers
	Hit     *Hit     `json:"hit,omitempty"`     // whom that damages; nil where Damaged is empty
}

// Damage is a run of bytes that could not be read.
type Damage struct {
	Offset int64 `json:"offset"` // bytes
	Length int64 `json:"length"` // bytes
}

// Hit says what the damage of a volume means.
type Hit struct {
	Files    int64  `json:"files"`            // whose content is damaged; -1 where files cannot be named
	Metadata bool   `json:"metadata"`         // also, or perhaps, what the file system keeps for itself
	Reason   string `json:"reason,omitempty"` // why Files is -1, or may be too small
}

// Lost is the sum of what could not be read, in bytes.
func (v Volume) Lost() (sum int64) {
	for _, d := range v.Damaged {
		sum += d.Length
	}
	return sum
}

// Lost is the sum of what could not be read of all disks, in bytes.
func (m *Manifest) Lost() (sum int64) {
	for _, d := range m.Disks {
		for _, a := range d.Damaged {
			sum += a.Length
		}
		for _, v := range d.Volumes {
			sum += v.Lost()
		}
	}
	return sum
}

// ErrDamaged is wrapped by every error that says that stored bytes are not
// those that were written.
var ErrDamaged = errors.New("image is damaged")

// ErrMiscoded is wrapped by the error of a save that cannot decode what it
// encoded to the same bytes: the memory, the processor or the encoder is at fault.
var ErrMiscoded = errors.New("a frame does not decode to the bytes that were saved")

// Frame is one stored frame of a saved volume.
type Frame struct {
	Offset  int64           // bytes in the stored stream
	Length  int64           // bytes, compressed
	Extents []extent.Extent // bytes of the volume, ascending; none for header frames
	Sum     [32]byte        // BLAKE3 of the stored bytes
}

// Saved is one volume of an image, opened. ReadAt gives zeros where nothing
// was saved.
type Saved interface {
	io.ReaderAt
	Volume() Volume
	Allocated() iter.Seq2[extent.Extent, error]
	// Records reads and checks the volume from its first frame to its last.
	Records(ctx context.Context) record.Reader
	Frames() iter.Seq2[Frame, error]
	Close() error
}

// Image is an image, opened for reading.
type Image interface {
	Manifest() *Manifest
	// Area reads what was kept of area; its length is Area.Length.
	Area(disk int, area Area) ([]byte, error)
	// Open opens the volume of that index. Volumes saved as Swap or Absent
	// have no data: their Allocated is empty.
	Open(index int) (Saved, error)
	Close() error
}

// VolumeWriter takes the records of one volume, ascending, exactly those of
// the allocation that it was created with.
type VolumeWriter interface {
	record.Writer
	// Close finishes and syncs the volume. The volume counts only when it
	// returns nil.
	Close() error
}

// Writer makes one image. Nothing in its place looks like an image until
// Commit has returned nil.
type Writer interface {
	// Area stores an area of the disk of that index in Manifest.Disks.
	Area(disk int, area Area, data []byte) error
	// Create starts the volume of that index, with its allocation; the
	// volumes may be written in any order, one at a time.
	Create(index int, allocated []extent.Extent) (VolumeWriter, error)
	// Commit writes the tables, lists, sums and the log, and makes the image whole.
	Commit(log []byte) error
	// Abort removes everything that was written. It may be called after Commit, to no effect.
	Abort() error
}

// Resumed is a Writer that may go on with an image whose saving was
// interrupted, and leave one that is.
type Resumed interface {
	Writer
	// Saved tells whether the volume of that index is complete already and
	// must not be created again.
	Saved(index int) bool
	// Kept tells, after Abort, whether complete volumes were left to go on with.
	Kept() bool
}
