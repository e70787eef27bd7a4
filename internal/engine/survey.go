package engine

import (
	"fmt"
	"io"
	"slices"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/partition"
)

// Origin is a disk that is saved: how it is read and what is taken of it.
type Origin struct {
	Reader    io.ReaderAt
	Table     *partition.Table
	Areas     [][]byte                // contents of the areas of its image.Disk
	Allocated map[int][]extent.Extent // by place in the volumes of its image.Disk
	Warnings  []string
}

// Choice says which partitions of a disk are saved.
type Choice struct {
	Only   []int    // partition numbers, a slice's for all that lies in it; none: all
	Except []string // names of volumes that are left out
	Rescue bool     // what cannot be understood, because it cannot be read, is taken whole
}

func (c Choice) reason(v inventory.Volume) string {
	switch {
	case slices.Contains(c.Except, v.Name):
		return "left out on request"
	case len(c.Only) > 0 && !slices.Contains(c.Only, v.Partition.Number) && (v.Partition.Parent == 0 || !slices.Contains(c.Only, v.Partition.Parent)):
		return "not asked for"
	}
	return ""
}

// Gaps up to maxGap are kept; from hugeGap on a gap is no place for a boot
// loader any more and is left out altogether.
const (
	maxGap  = 16 << 20
	hugeGap = 1 << 30
)

// Survey finds out what a save of the disk takes. In disk, geometry and
// identity are filled in already; Survey adds scheme, areas and volumes.
func Survey(r io.ReaderAt, disk *image.Disk, c Choice) (*Origin, error) {
	found, err := inventory.Look(r, disk.Name, disk.Size, disk.SectorSize)
	if err != nil && c.Rescue {
		found, err = lookAround(r, disk), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", disk.Name, err)
	}
	o := &Origin{Reader: r, Table: found.Table, Allocated: map[int][]extent.Extent{}, Warnings: slices.Clone(found.Table.Warnings)}
	disk.Scheme = string(found.Table.Scheme)
	if found.Doubt != "" {
		o.Warnings = append(o.Warnings, fmt.Sprintf("%s is saved as one raw volume: %s", disk.Name, found.Doubt))
		o.Table = &partition.Table{Scheme: partition.None, SectorSize: disk.SectorSize, DiskSize: disk.Size}
		disk.Scheme = string(partition.None)
	} else if err := o.areas(disk, c.Rescue); err != nil {
		return nil, err
	}
	for _, v := range found.Volumes {
		volume, list, err := surveyVolume(v, c)
		if err != nil {
			return nil, err
		}
		disk.Volumes = append(disk.Volumes, volume)
		o.Allocated[len(disk.Volumes)-1] = list
		if len(v.Probe.Ambiguous) > 0 && volume.Method == image.Raw {
			o.Warnings = append(o.Warnings, fmt.Sprintf("%s: %s", v.Name, v.Probe.Reason))
		}
	}
	byOffset(disk, o)
	return o, nil
}

// byOffset puts the volumes in the order of the disk.
func byOffset(disk *image.Disk, o *Origin) {
	order := make([]int, len(disk.Volumes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(min(1, max(-1, disk.Volumes[a].Offset-disk.Volumes[b].Offset)))
	})
	volumes, lists := make([]image.Volume, 0, len(order)), map[int][]extent.Extent{}
	for i, from := range order {
		volumes, lists[i] = append(volumes, disk.Volumes[from]), o.Allocated[from]
	}
	disk.Volumes, o.Allocated = volumes, lists
}

// surveyVolume describes one volume and lists what is read of it.
func surveyVolume(v inventory.Volume, c Choice) (image.Volume, []extent.Extent, error) {
	info := v.Probe.Info
	out := image.Volume{
		Name: v.Name, Number: v.Partition.Number, Offset: v.Offset, Size: v.Size,
		FileSystem: info.Type, Version: info.Version, Label: info.Label, UUID: info.UUID, State: string(info.State),
		BlockSize: info.BlockSize, SectorSize: info.SectorSize, Method: v.Method(), Reason: v.Probe.Reason,
	}
	if why := c.reason(v); why != "" {
		out.Method, out.Reason = image.Absent, why
		return out, nil, nil
	}
	if v.Problem != nil && !c.Rescue {
		return out, nil, sourceError(v.Name, 0, v.Problem)
	}
	if v.Problem != nil {
		out.Method, out.Reason = image.Raw, fmt.Sprintf("what lies on it cannot be read: %v", v.Problem)
	}
	var list []extent.Extent
	switch out.Method {
	case image.Blocks:
		var err error
		if list, err = extent.Collect(v.Probe.FileSystem.Allocated()); err == nil {
			err = extent.Validate(list, v.Size)
		}
		if err != nil { // a file system that contradicts itself is kept whole
			out.Method, out.Reason = image.Raw, fmt.Sprintf("its allocation cannot be read: %v", err)
			list = []extent.Extent{{Length: v.Size}}
		}
	case image.Raw:
		list = []extent.Extent{{Length: v.Size}}
	}
	out.Used = extent.Total(list)
	return out, list, nil
}

// areas describes and reads what lies outside the volumes: table sectors, the
// gap before the first partition, and what a disklabel leaves of its slice.
// What a rescue cannot read of it now it reads later.
func (o *Origin) areas(disk *image.Disk, rescue bool) error {
	for _, s := range o.Table.Sectors {
		disk.Areas = append(disk.Areas, image.Area{Name: s.Name, Offset: s.Offset, Length: int64(len(s.Data))})
		o.Areas = append(o.Areas, s.Data)
	}
	if gap := o.Table.Gap(); gap.Length > 0 {
		if err := o.gap(disk, gap, o.Table.Scheme == partition.MBR, rescue); err != nil {
			return err
		}
	}
	for _, gap := range o.Table.SliceGaps() {
		if err := o.gap(disk, gap, false, rescue); err != nil {
			return err
		}
	}
	return nil
}

// gap adds an area of what lies between partitions, if it is small enough and
// not blank; always says that a blank one is kept too, as Clonezilla does.
func (o *Origin) gap(disk *image.Disk, gap extent.Extent, always, rescue bool) error {
	if gap.Length >= hugeGap {
		o.Warnings = append(o.Warnings, fmt.Sprintf("%s: the %d bytes at byte %d, which are in no partition, are not saved", disk.Name, gap.Length, gap.Offset))
		return nil
	}
	data := make([]byte, min(gap.Length, maxGap))
	_, err := io.ReadFull(io.NewSectionReader(o.Reader, gap.Offset, int64(len(data))), data)
	if err != nil && !rescue {
		return sourceError(disk.Name, gap.Offset, err)
	}
	if !always && err == nil && zero(data) {
		return nil
	}
	area := image.Area{Name: "gap", Offset: gap.Offset, Length: int64(len(data))}
	at, _ := slices.BinarySearchFunc(disk.Areas, area, func(a, b image.Area) int {
		return int(min(1, max(-1, a.Offset-b.Offset)))
	})
	disk.Areas, o.Areas = slices.Insert(disk.Areas, at, area), slices.Insert(o.Areas, at, data)
	return nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
