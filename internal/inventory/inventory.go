// Package inventory says what lies on the disks of the machine: it joins what
// blockdev knows of a disk with its partition table and with what the formats
// say of each volume. It only reads, and decides nothing.
package inventory

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
)

// Contents is what lies on a device: its table, and its volumes by offset. A
// device without a table is one volume.
type Contents struct {
	Table   *partition.Table
	Volumes []Volume
	Doubt   string // why the partitions can't be taken one by one, one sentence; then the device is one raw volume
}

// Warnings gives what is to be said of the table.
func (c *Contents) Warnings() []string {
	if c.Doubt == "" || slices.Contains(c.Table.Warnings, c.Doubt) {
		return c.Table.Warnings
	}
	return append(slices.Clone(c.Table.Warnings), c.Doubt)
}

// Volume is one partition with what it holds, or a whole device.
type Volume struct {
	Partition partition.Partition // zero where the device has no table
	Name      string              // sda1; the name of the disk where there is no table
	Offset    int64               // bytes from the start of the device
	Size      int64               // bytes
	Probe     probe.Result
	Problem   error // what kept it from being read
}

// Method says how the volume can be saved.
func (v Volume) Method() image.Method {
	switch {
	case v.Probe.Info.Type == "swap" && v.Probe.Info.State != filesystem.Hibernated && len(v.Probe.Ambiguous) == 0:
		return image.Swap
	case v.Probe.FileSystem != nil:
		return image.Blocks
	}
	return image.Raw
}

// Look reads what lies on a device called name.
func Look(r io.ReaderAt, name string, size, sectorSize int64) (*Contents, error) {
	table, err := partition.Read(r, size, sectorSize)
	if err != nil {
		return nil, err
	}
	return Of(r, table, name, size), nil
}

// Of is Look at a device whose table was read already.
func Of(r io.ReaderAt, table *partition.Table, name string, size int64) *Contents {
	c := &Contents{Table: table, Doubt: table.Conflict()}
	if other := c.counted(r, size); c.Doubt != "" && other != "" {
		c.Doubt = other
	}
	if table.Scheme == partition.None || c.Doubt != "" {
		c.add(r, Volume{Name: name, Size: size})
		return c
	}
	for _, p := range table.Partitions {
		if p.Volume() {
			c.add(r, Volume{Partition: p, Name: table.PartitionName(name, p.Number), Offset: p.Start, Size: p.Size})
		}
	}
	if c.Doubt = cmp.Or(c.older(r, size), c.counted(r, size)); c.Doubt != "" {
		c.Volumes = nil
		c.add(r, Volume{Name: name, Size: size})
	}
	return c
}

func (c *Contents) add(r io.ReaderAt, v Volume) {
	v.Probe, v.Problem = probe.Probe(io.NewSectionReader(r, v.Offset, v.Size), v.Size)
	if v.Partition.Number == 0 && c.Doubt != "" {
		v.Probe = probe.Result{Reason: c.Doubt}
	}
	c.Volumes = append(c.Volumes, v)
}

// diskEdge is how far from the end of a disk a volume may end, and still have
// what is recognised by the end of the disk.
const diskEdge = 1 << 20

// older says in one sentence why the table may be what an earlier use of the
// disk has left: a disklabel or Apple map can stand before a file system that
// is the whole disk, as on discs that Macs and others read. "" is no doubt: a
// volume that begins or ends with the disk is what is seen there.
func (c *Contents) older(r io.ReaderAt, size int64) string {
	if s := c.Table.Scheme; s != partition.BSD && s != partition.APM {
		return ""
	}
	whole, err := probe.Probe(io.NewSectionReader(r, 0, size), size)
	if err != nil || whole.Info.Type == "" && len(whole.Ambiguous) == 0 {
		return "" // what cannot be read is told with the volumes
	}
	for _, v := range c.Volumes {
		edge := v.Offset == 0 || v.Offset+v.Size > size-diskEdge
		if edge && v.Probe.Info.Type == whole.Info.Type {
			return ""
		}
	}
	kind := whole.Info.Type
	if len(whole.Ambiguous) > 0 {
		kind = strings.Join(whole.Ambiguous, ", ")
	}
	return fmt.Sprintf("there is a %s table, and the whole disk looks like %s", c.Table.Kind(), kind)
}

// markLength covers the superblocks and boot sectors at the start of a volume:
// those of ext, XFS, btrfs and FAT change whenever they are mounted for writing.
const markLength = 128 << 10

// Describe says in one line what lies on a device, and marks the start of each
// volume. It is a blockdev.Describe.
func Describe(r io.ReaderAt, size, sectorSize int64) (string, []extent.Extent, error) {
	c, err := Look(r, "", size, sectorSize)
	if err != nil {
		return "", nil, err
	}
	var marks []extent.Extent
	for _, v := range c.Volumes {
		if v.Offset >= 0 && v.Offset < size { // a table may say anything
			marks = append(marks, extent.Extent{Offset: v.Offset, Length: min(markLength, max(v.Size, 0), size-v.Offset)})
		}
	}
	return c.line(r, size), marks, nil
}

func (c *Contents) line(r io.ReaderAt, size int64) string {
	if c.Doubt != "" {
		return fmt.Sprintf("%s table that cannot be used: %s", c.Table.Kind(), c.Doubt)
	}
	if c.Table.Scheme == partition.None {
		v := c.Volumes[0]
		switch {
		case v.Problem != nil:
			return "unreadable"
		case v.Probe.Info.Type == "" && blank(r, size):
			return "empty"
		case v.Probe.Info.Type == "":
			return "unknown data"
		}
		return v.short()
	}
	parts := []string{}
	for _, v := range c.Volumes {
		parts = append(parts, fmt.Sprintf("%d %s %s", v.Partition.Number, v.short(), blockdev.Bytes(v.Size)))
	}
	switch len(parts) {
	case 0:
		return fmt.Sprintf("%s table without partitions", c.Table.Kind())
	case 1:
		return fmt.Sprintf("%s table, one partition: %s", c.Table.Kind(), parts[0])
	}
	return fmt.Sprintf("%s table, %d partitions: %s", c.Table.Kind(), len(parts), strings.Join(parts, ", "))
}

// short names what the volume holds: ext4 "root".
func (v Volume) short() string {
	kind := v.Probe.Info.Type
	if kind == "" {
		kind = "unknown"
	}
	if l := v.Probe.Info.Label; l != "" {
		return fmt.Sprintf("%s %q", kind, l)
	}
	return kind
}

// blank says whether the first and the last MiB hold only zeros.
func blank(r io.ReaderAt, size int64) bool {
	const edge = 1 << 20
	b := make([]byte, min(edge, size))
	for _, off := range []int64{0, max(0, size-edge)} {
		n, _ := r.ReadAt(b, off)
		for _, c := range b[:n] {
			if c != 0 {
				return false
			}
		}
	}
	return true
}

// Disk is a disk with its contents, as `doppel disks --json` prints it.
type Disk struct {
	blockdev.Disk
	Scheme     string          `json:"scheme"`
	Hybrid     bool            `json:"hybrid"`   // a GPT whose MBR names partitions too
	Warnings   []string        `json:"warnings"` // what is wrong with the table
	Contents   string          `json:"contents"`
	Health     blockdev.Health `json:"health"`
	Partitions []Partition     `json:"partitions"`
}

// Partition is one partition, or the volume of a disk without a table.
type Partition struct {
	Name       string           `json:"name"`
	Path       string           `json:"path"`
	Number     int              `json:"number"`
	Offset     int64            `json:"offset"` // bytes
	Size       int64            `json:"size"`   // bytes
	Type       string           `json:"type"`
	PartLabel  string           `json:"partition_label"`
	PartUUID   string           `json:"partition_uuid"`
	FileSystem string           `json:"file_system"`
	Label      string           `json:"label"`
	UUID       string           `json:"uuid"`
	Used       int64            `json:"used"` // bytes; -1 unknown
	State      filesystem.State `json:"state"`
	Method     image.Method     `json:"method"`
	Reason     string           `json:"reason"`
	InUse      []string         `json:"in_use"`
}

// List describes all disks of the machine, their health included.
func List(ctx context.Context) ([]Disk, error) {
	found, err := blockdev.List()
	if err != nil {
		return nil, err
	}
	disks := make([]Disk, len(found))
	var wait sync.WaitGroup
	for i, d := range found {
		wait.Go(func() {
			health := blockdev.AskHealth(ctx, d)
			disks[i] = showInTime(ctx, d)
			disks[i].Health = health
		})
	}
	wait.Wait()
	return disks, ctx.Err()
}

// patience is how long a disk may take to show its contents in a list.
const patience = 20 * time.Second

// showInTime is Show of a disk that may never answer. The goroutine may outlive
// the call then: nothing can interrupt a read of a dying disk.
func showInTime(ctx context.Context, d blockdev.Disk) Disk {
	answer := make(chan Disk, 1)
	go func() { answer <- Show(d) }()
	select {
	case shown := <-answer:
		return shown
	case <-time.After(patience):
	case <-ctx.Done():
	}
	return Disk{Disk: d, Partitions: []Partition{}, Warnings: []string{}, Contents: "cannot be read: the disk does not answer"}
}

// Show reads what lies on one disk. A disk that cannot be read says so in its
// Contents.
func Show(d blockdev.Disk) Disk {
	shown := Disk{Disk: d, Partitions: []Partition{}, Warnings: []string{}, Health: blockdev.Health{State: "unknown"}}
	src, err := blockdev.OpenToLook(d.Path)
	if err != nil {
		shown.Contents = "cannot be read: " + err.Error()
		return shown
	}
	defer src.Close()
	c, err := Look(src, d.Name, d.Size, d.SectorSize)
	if err != nil {
		shown.Contents = "cannot be read: " + err.Error()
		return shown
	}
	shown.Scheme, shown.Hybrid, shown.Contents = string(c.Table.Scheme), c.Table.Hybrid, c.line(src, d.Size)
	shown.Warnings = append(shown.Warnings, c.Warnings()...)
	for _, v := range c.Volumes {
		if c.Table.Scheme != partition.None || v.Probe.Info.Type != "" {
			shown.Partitions = append(shown.Partitions, v.show(d, c.Table))
		}
	}
	return shown
}

func (v Volume) show(d blockdev.Disk, t *partition.Table) Partition {
	p := Partition{
		Name: v.Name, Path: d.Path, Number: v.Partition.Number, Offset: v.Offset, Size: v.Size,
		Type: v.Partition.Type, PartLabel: v.Partition.Name, PartUUID: v.Partition.UUID,
		FileSystem: v.Probe.Info.Type, Label: v.Probe.Info.Label, UUID: v.Probe.Info.UUID,
		Used: -1, State: v.Probe.Info.State, Method: v.Method(), Reason: v.Probe.Reason, InUse: []string{},
	}
	if v.Partition.Number > 0 {
		p.Path = t.PartitionName(d.Path, v.Partition.Number)
	}
	if v.Probe.FileSystem != nil {
		p.Used = v.Probe.Info.Used
	}
	if v.Problem != nil {
		p.Reason = v.Problem.Error()
	}
	for _, use := range d.InUse {
		if strings.HasPrefix(use, v.Name+" ") {
			p.InUse = append(p.InUse, use)
		}
	}
	return p
}

// Lookup finds the path of what spec names: all that blockdev.Lookup knows,
// uuid:, partuuid: and label: of a volume, and rule: of the only disk that
// meets a Rule.
func Lookup(spec string) (string, error) {
	kind, value, _ := strings.Cut(spec, ":")
	var match func(Partition) bool
	switch kind {
	case "rule":
		return lookupRule(value)
	case "uuid":
		match = func(p Partition) bool { return strings.EqualFold(p.UUID, value) }
	case "partuuid":
		match = func(p Partition) bool { return strings.EqualFold(p.PartUUID, value) }
	case "label":
		match = func(p Partition) bool { return p.Label == value }
	default:
		return blockdev.Lookup(spec)
	}
	disks, err := blockdev.List()
	if err != nil {
		return "", err
	}
	var found []string
	for _, d := range disks {
		for _, p := range Show(d).Partitions {
			if value != "" && match(p) {
				found = append(found, fmt.Sprintf("%s (%s, %s)", p.Path, p.FileSystem, blockdev.Bytes(p.Size)))
			}
		}
	}
	return blockdev.One(spec, found)
}
