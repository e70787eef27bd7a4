package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
)

// Restore is the plan of a restore to one target, or of a clone.
type Restore struct {
	Image    string   `json:"image"`            // of a clone: the name of the source
	Source   *Device  `json:"source,omitempty"` // of a clone
	Target   Device   `json:"target"`
	Consent  string   `json:"consent"` // for --consent; "" where the plan refuses
	Confirm  Confirm  `json:"confirm"`
	Steps    []Step   `json:"steps"`
	Bytes    int64    `json:"bytes"`
	Seconds  int64    `json:"seconds"` // estimate; 0 unknown
	Refusals []string `json:"refusals"`
	Warnings []string `json:"warnings"`

	WholeDisk bool               `json:"-"` // the table is written too
	Table     []partition.Sector `json:"-"` // table sectors, in the order in which they are written
	Areas     []partition.Sector `json:"-"` // boot areas outside table and volumes
	Wipe      []extent.Extent    `json:"-"` // zeroed before anything else, ascending
	Keep      []partition.Sector `json:"-"` // sectors of the target's own table within volumes: they stay as they are
}

// RestoreInput is what a restore is planned from.
type RestoreInput struct {
	Manifest   *image.Manifest
	Area       func(disk int, a image.Area) ([]byte, error) // contents of an area
	Only       []string                                     // volumes or one disk of the image; none: the whole image
	Target     Device
	SectorSize int64              // of the target, bytes
	Present    *partition.Table   // what the target holds now
	Doubt      string             // why its partitions cannot be trusted, one sentence; "" none
	Partition  bool               // the target is a partition, not a disk
	Keep       []partition.Sector // of its disk's table, where that lies in the partition; offsets from its start
	KeepTable  bool               // write into the partitions that the target has
	Source     *Device            // what is cloned; nil: an image is restored
	Consent    blockdev.Consent
	Others     []string // serial numbers of the other disks of the machine
	Rate       float64  // bytes per second that the target may take; 0 unknown
}

// margin is what is zeroed at both ends of a target and of the place of each
// volume, so that nothing there is taken for what it held before. The labels of
// ZFS reach furthest: two of 256 KiB at each end.
const margin = 1 << 20 // bytes

// NewRestore plans a restore. What cannot be done stands in Refusals; the error
// is for an image that cannot be read.
func NewRestore(in RestoreInput) (*Restore, error) {
	p := &Restore{
		Image: in.Manifest.Name, Source: in.Source, Target: in.Target,
		Confirm: NewConfirm(in.Target.Serial, in.Others),
		Steps:   []Step{}, Refusals: []string{}, Warnings: []string{},
	}
	disk, volumes := p.choose(in)
	if disk < 0 {
		return p, nil
	}
	var err error
	switch {
	case in.Partition, !p.WholeDisk && len(volumes) == 1 && in.bare():
		p.toPartition(in, volumes)
	case p.WholeDisk:
		err = p.toDisk(in, disk, volumes)
	default:
		p.intoPartitions(in, volumes)
	}
	if len(p.Refusals) > 0 || err != nil {
		p.Steps = []Step{}
		return p, err
	}
	for _, s := range p.Steps {
		p.Bytes += s.Bytes
	}
	p.Seconds = seconds(p.Bytes, in.Rate)
	p.Consent = p.code(in)
	return p, nil
}

// bare says that the target has no table: it is one volume.
func (in RestoreInput) bare() bool { return in.Present != nil && in.Present.Scheme == partition.None }

// what names what is written.
func (p *Restore) what() string {
	if p.Source != nil {
		return p.Source.Path
	}
	return "image " + p.Image
}

// Title says what the job does, for its log.
func (p *Restore) Title() string {
	if p.Source != nil {
		return "clone " + p.Source.Path
	}
	return "restore image " + p.Image
}

// code is a short digest of what somebody agrees to: which image is written
// where on the target, as that is now.
func (p *Restore) code(in RestoreInput) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %q %q %v", in.Consent.Code(), in.Manifest.Name, in.Manifest.ID, p.WholeDisk)
	for _, s := range p.Steps {
		fmt.Fprintf(h, " %q %d %d %d", s.Volume, s.Index, s.TargetOffset, s.Size)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

func (p *Restore) refuse(format string, args ...any) {
	p.Refusals = append(p.Refusals, fmt.Sprintf(format, args...))
}

func (p *Restore) warn(format string, args ...any) {
	p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...))
}

// choose finds the disk of the image and the volumes that are wanted.
func (p *Restore) choose(in RestoreInput) (disk int, volumes []image.Volume) {
	m := in.Manifest
	p.WholeDisk = m.WholeDisk && len(in.Only) == 0 && !in.KeepTable
	known := map[string]bool{}
	disk = -1
	for i, d := range m.Disks {
		known[d.Name] = true
		for _, v := range d.Volumes {
			known[v.Name] = true
			if len(in.Only) > 0 && !slices.Contains(in.Only, v.Name) && !slices.Contains(in.Only, d.Name) {
				continue
			}
			if disk >= 0 && disk != i {
				p.refuse("image %s holds %d disks: choose one with --only %s", m.Name, len(m.Disks), m.Disks[0].Name)
				return -1, nil
			}
			if v.FileSystem == "ntfs" { // Clonezilla does not tell
				v.SectorSize = cmp.Or(v.SectorSize, d.SectorSize)
			}
			disk, volumes = i, append(volumes, v)
		}
		if slices.Contains(in.Only, d.Name) && m.WholeDisk && len(in.Only) == 1 && !in.KeepTable {
			p.WholeDisk, disk = true, i
		}
	}
	for _, v := range m.Nested {
		if slices.Contains(in.Only, v.Name) {
			p.refuse("%s cannot be restored: %s", v.Name, v.Reason)
			return -1, nil
		}
	}
	if n := unknown(in.Only, known); n != "" {
		p.refuse("image %s holds no %s: see doppel images show %s", m.Name, n, m.Name)
		return -1, nil
	}
	if disk < 0 && len(m.Disks) == 1 && p.WholeDisk {
		return 0, nil // a table without partitions
	}
	if disk < 0 {
		p.refuse("%s holds nothing that can be restored%s", p.what(), nestedReason(m))
	}
	for _, v := range m.Nested {
		if disk >= 0 && p.WholeDisk {
			p.warn("%s is not restored: %s", v.Name, v.Reason)
		}
	}
	return disk, volumes
}

// nestedReason says of what an image holds that lies on no disk why it cannot
// be restored.
func nestedReason(m *image.Manifest) (text string) {
	for _, v := range m.Nested {
		text += fmt.Sprintf("; %s: %s", v.Name, v.Reason)
	}
	return text
}

// step plans one volume at an offset of the target, where it has size bytes.
func (p *Restore) step(v image.Volume, offset, size int64) {
	s := Step{Volume: v.Name, FileSystem: v.FileSystem, Method: v.Method, TargetOffset: offset, Size: v.Size, Bytes: max(v.Used, 0), Index: v.Index, Room: size}
	switch v.Method {
	case image.Swap:
		s.Bytes, s.Size = 0, size
	case image.Absent:
		s.Bytes = 0
	}
	if lost := v.Lost(); lost > 0 {
		p.warn("%s is damaged: %s of it could not be read when it was saved; see doppel images show %s", v.Name, blockdev.Bytes(lost), p.Image)
	}
	p.Steps = append(p.Steps, s)
	p.wipe(offset, min(margin, size))
	p.wipe(offset+max(0, size-margin), min(margin, size))
}

func (p *Restore) wipe(offset, length int64) {
	if length > 0 {
		p.Wipe = append(p.Wipe, extent.Extent{Offset: offset, Length: length})
	}
}

// finish puts the wipes in order and checks that they stay on the target.
func (p *Restore) finish() {
	slices.SortFunc(p.Wipe, func(a, b extent.Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	p.Wipe = joined(p.Wipe)
	if err := extent.Validate(p.Wipe, p.Target.Size); err != nil {
		p.refuse("%s does not fit its own table: %v", p.what(), err)
	}
}

// joined merges extents that touch or overlap; sorted input.
func joined(list []extent.Extent) []extent.Extent {
	var out []extent.Extent
	for _, e := range list {
		if n := len(out); n > 0 && e.Offset <= out[n-1].End() {
			out[n-1].Length = max(out[n-1].End(), e.End()) - out[n-1].Offset
			continue
		}
		out = append(out, e)
	}
	return out
}

// toDisk plans the whole disk: table, boot areas and volumes.
func (p *Restore) toDisk(in RestoreInput, index int, volumes []image.Volume) error {
	d := in.Manifest.Disks[index]
	if len(d.Damaged) > 0 {
		p.warn("some tables or boot code of %s could not be read when it was saved", d.Name)
	}
	if in.Target.Size < d.Size {
		p.refuse("the target has %s, %s needs %s: choose a target at least as large", sizes(in.Target.Size), p.what(), sizes(d.Size))
		return nil
	}
	table, err := p.table(in, index)
	if err != nil || len(p.Refusals) > 0 {
		return err
	}
	p.Table = writeOrder(table)
	p.wipe(0, min(margin, in.Target.Size))
	p.wipe(max(0, in.Target.Size-margin), min(margin, in.Target.Size))
	if in.Present != nil {
		for _, s := range in.Present.Sectors {
			p.wipe(s.Offset, int64(len(s.Data)))
		}
	}
	for _, v := range volumes {
		if v.Method != image.Absent && p.cannotHold(v, "the target", v.Size, in.SectorSize) {
			continue
		}
		if v.Offset < 0 || v.Size < 0 || v.Offset > d.Size || v.Size > d.Size-v.Offset {
			return fmt.Errorf("%w: volume %s leaves its disk", image.ErrDamaged, v.Name)
		}
		p.step(v, v.Offset, v.Size)
		if v.Method == image.Absent {
			p.warn("%s is not copied: its partition will be empty%s", v.Name, because(v))
		}
	}
	p.finish()
	return nil
}

// because is the reason of a volume in brackets, where there is one.
func because(v image.Volume) string {
	if v.Reason == "" {
		return ""
	}
	return " (" + v.Reason + ")"
}

// table makes the table for the target out of the areas of the image.
func (p *Restore) table(in RestoreInput, index int) (*partition.Table, error) {
	d := in.Manifest.Disks[index]
	var sectors []partition.Sector
	for _, a := range d.Areas {
		data, err := in.Area(index, a)
		if err != nil {
			return nil, err
		}
		s := partition.Sector{Name: a.Name, Offset: a.Offset, Data: data}
		if partition.WriteRank(a.Name) >= 0 {
			sectors = append(sectors, s)
		} else {
			p.Areas = append(p.Areas, s)
		}
	}
	if d.Scheme == string(partition.None) || d.Scheme == "" {
		return &partition.Table{Scheme: partition.None, SectorSize: in.SectorSize, DiskSize: in.Target.Size}, nil
	}
	if in.SectorSize != d.SectorSize {
		p.refuse("the target has sectors of %d bytes, %s is of a disk with %d: choose a target with the same", in.SectorSize, p.what(), d.SectorSize)
		return nil, nil
	}
	table, err := partition.Parse(partition.Scheme(d.Scheme), sectors, d.Size, d.SectorSize)
	if err != nil {
		return nil, fmt.Errorf("%w: partition table of %s: %w", image.ErrDamaged, d.Name, err)
	}
	p.Warnings = append(p.Warnings, table.Warnings...)
	if larger := in.Target.Size - d.Size; larger > 0 {
		p.warn("the target is %s larger than the source: the rest stays without a partition", blockdev.Bytes(larger))
	}
	moved, err := table.MoveTo(in.Target.Size)
	switch {
	case err != nil && in.Target.Size == d.Size:
		p.warn("the table is written as it was: it cannot be repaired: %v", err)
		return table, nil
	case err == nil && !table.Whole():
		p.warn("both copies of the GPT are made good on the target; the image keeps them as they were")
	}
	return moved, err
}

// writeOrder sorts table sectors so that the disk looks whole only after the
// last of them: logical partitions, backup GPT, primary GPT, sector 0.
func writeOrder(t *partition.Table) []partition.Sector {
	sectors := slices.Clone(t.Sectors)
	slices.SortStableFunc(sectors, func(a, b partition.Sector) int {
		return partition.WriteRank(a.Name) - partition.WriteRank(b.Name)
	})
	return sectors
}

// toPartition plans one volume into a partition, whatever its number.
func (p *Restore) toPartition(in RestoreInput, volumes []image.Volume) {
	p.WholeDisk = false
	if len(volumes) != 1 {
		names := []string{}
		for _, v := range volumes {
			names = append(names, v.Name)
		}
		p.refuse("%s is one partition and %d volumes were chosen: name one of %s with --only", in.Target.Path, len(volumes), strings.Join(names, ", "))
		return
	}
	v := volumes[0]
	if p.cannotHold(v, in.Target.Path, in.Target.Size, in.SectorSize) {
		return
	}
	p.Keep = in.Keep
	p.step(v, 0, in.Target.Size)
	p.finish()
}

// intoPartitions plans chosen volumes into the partitions that the target has
// already, by number; its table stays as it is.
func (p *Restore) intoPartitions(in RestoreInput, volumes []image.Volume) {
	if in.Present != nil && cmp.Or(in.Present.Conflict(), in.Doubt) != "" {
		p.refuse("the partition table of the target cannot be trusted (%s): restore the whole image, or repair the table first", cmp.Or(in.Doubt, in.Present.Conflict()))
		return
	}
	for _, v := range volumes {
		if v.Method == image.Absent && len(in.Only) == 0 {
			continue
		}
		part, ok := partition.Partition{}, false
		if in.Present != nil {
			for _, q := range in.Present.Partitions {
				if q.Number == v.Number && q.Volume() {
					part, ok = q, true
				}
			}
		}
		if !ok {
			p.refuse("the target has no partition %d for %s: restore the whole image, or name a partition as the target", v.Number, v.Name)
			continue
		}
		if !p.cannotHold(v, fmt.Sprintf("partition %d of the target", v.Number), part.Size, in.SectorSize) {
			p.step(v, part.Start, part.Size)
			p.Keep = append(p.Keep, in.Present.Within(extent.Extent{Offset: part.Start, Length: part.Size})...)
		}
	}
	if len(p.Steps) == 0 && len(p.Refusals) == 0 {
		p.refuse("%s holds nothing that can be restored", p.what())
	}
	p.finish()
}

// cannotHold refuses a volume that is not in the image, is larger than its
// place, or could not be mounted there: no file system has blocks, or sectors of
// its own, smaller than the sectors it lies on.
func (p *Restore) cannotHold(v image.Volume, place string, size, sector int64) bool {
	switch {
	case v.Method == image.Absent:
		if v.Reason != "" {
			p.refuse("%s cannot be restored from %s: %s", v.Name, p.what(), v.Reason)
			return true
		}
		p.refuse("%s was left out when %s was saved", v.Name, p.what())
	case size < v.Size && v.Method != image.Swap:
		p.refuse("%s has %s, %s needs %s: choose a larger one", place, sizes(size), v.Name, sizes(v.Size))
	case v.Method != image.Swap && v.SectorSize > 0 && v.SectorSize < sector:
		p.refuse("%s has sectors of %d bytes, %s has a file system made for sectors of %d, which could not be mounted there: choose a target with sectors of at most %d",
			place, sector, v.Name, v.SectorSize, v.SectorSize)
	case v.Method != image.Swap && v.BlockSize > 0 && v.BlockSize < sector:
		p.refuse("%s has sectors of %d bytes, %s has a file system with blocks of %d, which could not be mounted there: choose a target with sectors of at most %d",
			place, sector, v.Name, v.BlockSize, v.BlockSize)
	default:
		return false
	}
	return true
}
