package clonezilla

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"doppel.live/internal/image"
)

// foreignManifest describes an image of real Clonezilla by its text files. All
// of them are read as data by their own grammar; nothing is ever run.
func (d *directory) foreignManifest() (*image.Manifest, error) {
	m := &image.Manifest{Format: 1, Name: d.name, Tool: "Clonezilla", WholeDisk: d.has(fileDisk), Created: d.entries[fileCommit].Modified}
	d.made = make(map[image.Area][]byte)
	index := 0
	for _, name := range d.foreignDisks() {
		disk, err := d.foreignDisk(name)
		if err != nil {
			return nil, err
		}
		for i := range disk.Volumes {
			disk.Volumes[i].Index = index
			index++
		}
		m.Disks = append(m.Disks, *disk)
	}
	if len(m.Disks) == 0 {
		return nil, fmt.Errorf("%w: no partition table in the image (LVM or md RAID without its disks)", ErrNotYet)
	}
	index = 0
	for i := range m.Disks {
		if err := checkDisk(&m.Disks[i], &index); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// foreignDisks gives the disks that the image has a table of.
func (d *directory) foreignDisks() (list []string) {
	for file := range d.entries {
		if base, ok := strings.CutSuffix(file, "-pt.sf"); ok && d.has(file) {
			list = append(list, base)
		}
	}
	slices.Sort(list)
	return list
}

// sfdiskTable is what a -pt.sf file says.
type sfdiskTable struct {
	label      string // gpt, dos
	sectorSize int64
	partitions []sfdiskPartition
}

type sfdiskPartition struct {
	name        string // sda1
	start, size int64  // sectors
	kind        string // type=
	bootable    bool
}

// extended tells whether the partition holds the logical ones.
func (p sfdiskPartition) extended() bool { return p.kind == "5" || p.kind == "f" || p.kind == "85" }

var sfdiskLine = regexp.MustCompile(`^/dev/(\S+) : start=\s*(\d+), size=\s*(\d+), type=([0-9A-Fa-f-]+)(, bootable)?`)

// parseSfdisk decodes the dump of sfdisk.
func parseSfdisk(data []byte) (*sfdiskTable, error) {
	t := &sfdiskTable{sectorSize: 512}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "label":
			t.label = strings.TrimSpace(value)
		case "sector-size":
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("sector size %q", value)
			}
			t.sectorSize = n
		}
		f := sfdiskLine.FindStringSubmatch(lines.Text())
		if f == nil {
			continue
		}
		start, errStart := strconv.ParseInt(f[2], 10, 50)
		size, errSize := strconv.ParseInt(f[3], 10, 50)
		if errStart != nil || errSize != nil {
			return nil, fmt.Errorf("partition %q out of bounds", f[1])
		}
		t.partitions = append(t.partitions, sfdiskPartition{f[1], start, size, strings.ToLower(f[4]), f[5] != ""})
	}
	if s := t.sectorSize; s < 512 || s > 64<<10 || s&(s-1) != 0 || t.label == "" {
		return nil, fmt.Errorf("neither a label nor sectors of %d bytes", s)
	}
	return t, lines.Err()
}

var partedSize = regexp.MustCompile(`(?m)^Disk /dev/\S+: (\d+)s$`)

// foreignDisk describes one disk.
func (d *directory) foreignDisk(base string) (*image.Disk, error) {
	data, err := d.readFile(base + "-pt.sf")
	if err != nil {
		return nil, err
	}
	table, err := parseSfdisk(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s-pt.sf: %w", image.ErrDamaged, base, err)
	}
	disk := &image.Disk{Name: base, SectorSize: table.sectorSize, PhysicalSectorSize: table.sectorSize, Scheme: "gpt"}
	if table.label == "dos" {
		disk.Scheme = "mbr"
	}
	if data, err = d.readFile(base + "-pt.parted"); err != nil {
		return nil, err
	}
	f := partedSize.FindSubmatch(data)
	if f == nil {
		return nil, fmt.Errorf("%w: %s-pt.parted names no size of the disk", image.ErrDamaged, base)
	}
	sectors, err := strconv.ParseInt(string(f[1]), 10, 44)
	if err != nil {
		return nil, fmt.Errorf("%w: size of %s", image.ErrDamaged, base)
	}
	disk.Size = sectors * table.sectorSize
	for _, p := range table.partitions {
		if v, ok := d.foreignVolume(p, table.sectorSize); ok {
			disk.Volumes = append(disk.Volumes, v)
		}
	}
	slices.SortFunc(disk.Volumes, func(a, b image.Volume) int { return int((a.Offset - b.Offset) >> 9) })
	return disk, d.foreignAreas(disk, table)
}

var trailingNumber = regexp.MustCompile(`\d+$`)

// foreignVolume describes one partition; an extended one is none.
func (d *directory) foreignVolume(p sfdiskPartition, sectorSize int64) (image.Volume, bool) {
	number, _ := strconv.Atoi(trailingNumber.FindString(p.name))
	v := image.Volume{Name: p.name, Number: number, Offset: p.start * sectorSize, Size: p.size * sectorSize, Method: image.Absent}
	if p.extended() {
		return v, false
	}
	id := d.blkid(p.name)
	v.FileSystem, v.Label, v.UUID = id["TYPE"], id["LABEL"], id["UUID"]
	base := baseName(p.name)
	if d.has("swappt-" + base + ".info") {
		v.Method, v.FileSystem = image.Swap, "swap"
		if data, err := d.readFile("swappt-" + base + ".info"); err == nil {
			info := parseInfo(data)
			v.UUID, v.Label = info["UUID"], info["LABEL"]
		}
		return v, true
	}
	d.foreignFile(&v, base)
	return v, true
}

// foreignFile finds the file that holds a volume, and says what it is.
func (d *directory) foreignFile(v *image.Volume, base string) {
	v.Reason = "the image does not hold it"
	for file := range d.entries {
		rest, ok := strings.CutPrefix(file, base+".")
		kind, suffix, isImage := strings.Cut(rest, "-ptcl-img.")
		if !ok || !isImage || strings.Contains(suffix, ".") && !strings.HasSuffix(suffix, ".aa") || strings.HasSuffix(suffix, suffixFrames) {
			continue
		}
		v.File, v.Method, v.Reason = file, image.Blocks, ""
		if kind == "dd" {
			v.Method, v.Used, v.Reason = image.Raw, v.Size, "Clonezilla saved it raw"
			return
		}
		if v.FileSystem == "" {
			v.FileSystem = kind
		}
		v.Used, v.BlockSize = d.foreignUsed(*v)
		return
	}
	for file := range d.entries {
		if strings.HasPrefix(file, base+".") && strings.Contains(file, "-img") || d.has("lvm_vg_dev.list") || d.has("luks-dev.list") {
			v.Reason = "saved in a way that is not supported yet (LVM, LUKS or an old image)"
		}
	}
}

// foreignUsed reads the head of a volume's stream; -1 where that cannot be done.
func (d *directory) foreignUsed(v image.Volume) (used, blockSize int64) {
	f := &forward{directory: d, volume: v}
	in, err := f.unpack()
	if err != nil {
		return -1, 0
	}
	defer in.Close()
	r, err := f.partclone(in)
	if err != nil {
		return -1, 0
	}
	return r.Header.Used * r.Header.BlockSize, r.Header.BlockSize
}

var infoField = regexp.MustCompile(`([A-Z_]+)="([^"]*)"`)

// parseInfo decodes lines of KEY="VALUE", one or several fields on each.
func parseInfo(data []byte) map[string]string {
	fields := make(map[string]string)
	for _, f := range infoField.FindAllSubmatch(data, 64) {
		fields[string(f[1])] = clean(string(f[2]))
	}
	return fields
}

// blkid gives the fields of a partition's line in blkid.list.
func (d *directory) blkid(name string) map[string]string {
	data, err := d.readFile("blkid.list")
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("/dev/"+name+": ")); ok {
			return parseInfo(rest)
		}
	}
	return nil
}

// foreignAreas lists the tables and boot areas of a disk.
func (d *directory) foreignAreas(disk *image.Disk, table *sfdiskTable) error {
	add := func(name string, offset int64, file string) {
		if e := d.entries[file]; e.Regular && e.Size > 0 {
			disk.Areas = append(disk.Areas, image.Area{Name: name, Offset: offset, Length: e.Size, File: file})
		}
	}
	if disk.SectorSize == sector {
		add("mbr", 0, disk.Name+"-mbr")
	}
	if disk.Scheme == "mbr" {
		add("gap", sector, disk.Name+"-hidden-data-after-mbr")
		return d.foreignEBRs(disk, table)
	}
	return d.foreignGPT(disk)
}

// foreignGPT makes both copies of a GPT out of sgdisk's backup file, which is
// the only one that has all of the second copy.
func (d *directory) foreignGPT(disk *image.Disk) error {
	file := disk.Name + "-gpt.gdisk"
	if !d.has(file) || disk.SectorSize != sector {
		return nil
	}
	data, err := d.readFile(file)
	if err != nil {
		return err
	}
	if len(data) != 3*sector+backupSize || disk.Size < 2*primarySize {
		return fmt.Errorf("%w: %s has %d bytes", image.ErrDamaged, file, len(data))
	}
	primary, backup, entries := data[sector:2*sector], data[2*sector:3*sector], data[3*sector:]
	d.make(disk, "gpt-primary", sector, slices.Concat(primary, entries))
	d.make(disk, "gpt-backup", disk.Size-backupSize-sector, slices.Concat(entries, backup))
	return nil
}

func (d *directory) make(disk *image.Disk, name string, offset int64, data []byte) {
	a := image.Area{Name: name, Offset: offset, Length: int64(len(data))}
	disk.Areas = append(disk.Areas, a)
	d.made[a] = data
}
