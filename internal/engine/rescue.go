package engine

import (
	"context"
	"fmt"
	"io"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/partition"
	"doppel.live/internal/progress"
	"doppel.live/internal/rescue"
)

var _ rescue.Source = (*blockdev.Sectors)(nil)

// lookAround finds out what lies on a disk of whose table not all can be read.
// Of a GPT one copy is enough. All else might be silently incomplete: then the
// disk is one volume, and every byte of it is taken.
func lookAround(r io.ReaderAt, disk *image.Disk) *inventory.Contents {
	table, err := partition.Read(blind{r}, disk.Size, disk.SectorSize)
	if err == nil && table.Scheme == partition.GPT && table.Conflict() == "" {
		return inventory.Of(r, table, disk.Name, disk.Size)
	}
	table = &partition.Table{Scheme: partition.None, SectorSize: disk.SectorSize, DiskSize: disk.Size}
	c := &inventory.Contents{Table: table, Volumes: []inventory.Volume{{Name: disk.Name, Size: disk.Size}}}
	c.Volumes[0].Probe.Reason = "its partition table cannot be read"
	return c
}

// blind reads zeros where nothing can be read.
type blind struct{ r io.ReaderAt }

func (b blind) ReadAt(p []byte, off int64) (int, error) {
	if n, err := b.r.ReadAt(p, off); n < len(p) && err != io.EOF {
		clear(p)
	}
	return len(p), nil
}

// Rescue is a failing disk that is saved.
type Rescue struct {
	Disk    *rescue.Disk
	Retries int // that bad sectors are read once more
	// Create starts the image when the disk is read; m says what is damaged,
	// files are to lie in the image.
	Create func(m *image.Manifest, files map[string][]byte) (image.Writer, error)
}

// Damage is what a rescue could not read, and whom that hits.
type Damage struct {
	Bytes   int64          `json:"bytes"`   // that could not be read
	Volumes []VolumeDamage `json:"volumes"` // only those that are damaged
	Disk    []image.Damage `json:"disk"`    // outside the volumes: tables and boot code
	Slow    int64          `json:"slow"`    // reads that took longer than a second
	Longest float64        `json:"longest"` // seconds of the slowest read
}

// VolumeDamage is the damage of one volume.
type VolumeDamage struct {
	Name    string         `json:"name"`
	Bytes   int64          `json:"bytes"`
	Extents []image.Damage `json:"extents"` // from the start of the volume
	Hit     image.Hit      `json:"hit"`
	Files   []string       `json:"files"` // the first of them; all are in the image
}

// SaveRescued is Save of one disk that fails: what is wanted of it is read
// first, as far as it can be, and then the image is made of that, with markers
// in place of the rest. When it fails, or ctx ends, what was read stays in the
// spool of the disk.
func SaveRescued(ctx context.Context, m *image.Manifest, o *Origin, r Rescue, log func() []byte, meter *progress.Meter) (*Damage, error) {
	disk := &m.Disks[0]
	wanted := extent.Align(extent.Union(Wanted(disk, o), r.Disk.Bad(outside(disk))), disk.SectorSize, disk.Size)
	unread := extent.Total(r.Disk.Left(wanted))
	meter.Start("rescue "+disk.Name+" to image "+m.Name, unread+used(disk))
	if err := read(ctx, disk, wanted, unread, r, meter); err != nil {
		return nil, err
	}
	meter.Step("find out what is damaged", "", 0)
	damage, list, err := assess(ctx, disk, o, r.Disk)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{RescueMap(disk.Name): r.Disk.Map()}
	if damage.Bytes > 0 {
		files[DamagedFiles] = list
	}
	o.Reader = r.Disk.Filled()
	for i, a := range disk.Areas { // a retry may have brought what a survey did not get
		if _, err := o.Reader.ReadAt(o.Areas[i], a.Offset); err != nil {
			return nil, placeError("what was read", err)
		}
	}
	w, err := r.Create(m, files)
	if err != nil {
		return nil, err
	}
	if err := saveAll(ctx, m, []*Origin{o}, w, log, meter); err != nil {
		_ = w.Abort() // the first error is the one to tell
		return nil, err
	}
	return damage, nil
}

// DamagedFiles is the name of the list of damaged files in an image. It is
// there only when something could not be read.
const DamagedFiles = "doppel-damaged-files.txt"

// RescueMap is the name of the map of a disk.
func RescueMap(disk string) string { return "doppel-" + disk + "-rescue.map" }

// Wanted gives what is read of a disk: its areas, and what is taken of its volumes.
func Wanted(disk *image.Disk, o *Origin) []extent.Extent {
	var lists [][]extent.Extent
	for _, a := range disk.Areas {
		lists = append(lists, []extent.Extent{{Offset: a.Offset, Length: a.Length}})
	}
	for j, v := range disk.Volumes {
		lists = append(lists, onDisk(v, o.Allocated[j]))
	}
	return extent.Union(lists...)
}

// outside gives what of a disk lies in no volume.
func outside(disk *image.Disk) []extent.Extent {
	var volumes []extent.Extent
	for _, v := range disk.Volumes {
		volumes = append(volumes, extent.Extent{Offset: v.Offset, Length: v.Size})
	}
	return extent.Invert(extent.Union(volumes), disk.Size)
}

// Unread gives what of that was not read yet, whole sectors.
func Unread(disk *image.Disk, o *Origin, d *rescue.Disk) []extent.Extent {
	return d.Left(extent.Align(Wanted(disk, o), disk.SectorSize, disk.Size))
}

func used(disk *image.Disk) (sum int64) {
	for _, v := range disk.Volumes {
		sum += v.Used
	}
	return sum
}

// onDisk gives extents of a volume as extents of its disk.
func onDisk(v image.Volume, list []extent.Extent) []extent.Extent {
	out := make([]extent.Extent, len(list))
	for i, e := range list {
		out[i] = extent.Extent{Offset: v.Offset + e.Offset, Length: e.Length}
	}
	return out
}

// read reads what can be read of the wanted extents, of which so many bytes are unread.
func read(ctx context.Context, disk *image.Disk, wanted []extent.Extent, unread int64, r Rescue, meter *progress.Meter) error {
	known := int64(0)
	err := r.Disk.Rescue(ctx, wanted, r.Retries, rescue.Progress{
		Pass: func(what string, left int64) {
			meter.Step(fmt.Sprintf("rescue %s: %s (%s left)", disk.Name, what, blockdev.Bytes(left)), disk.Name, left)
		},
		Add: func(n int64) { known += n; meter.Add(n) },
	})
	if s := r.Disk.Statistics(); s.Slow > 0 {
		meter.Warn(fmt.Sprintf("%d of %d reads of %s were slow; the slowest took %v", s.Slow, s.Reads, disk.Name, s.Longest.Round(100*time.Millisecond)))
	}
	if err != nil {
		return err
	}
	meter.Add(unread - known) // given up: known now, too
	return nil
}
