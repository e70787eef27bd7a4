package clonezilla

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"doppel.live/internal/image"
	"doppel.live/internal/partclone"
	"doppel.live/internal/store"
)

// foreignManifest describes an image of real Clonezilla by its text files. All
// of them are read as data by their own grammar; nothing is ever run.
func (d *directory) foreignManifest() (*image.Manifest, error) {
	if how := d.encrypted(); how != "" {
		return nil, fmt.Errorf("%w: the image is encrypted with %s: open it with that, and name the folder where its plain files appear", ErrNotYet, how)
	}
	m := &image.Manifest{Format: 1, Name: d.name, Tool: "Clonezilla", WholeDisk: d.has(fileDisk), Created: d.foreignCreated()}
	d.made = make(map[image.Area][]byte)
	var err error
	if d.told, err = d.readForeignLists(); err != nil {
		return nil, err
	}
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
	m.Nested = d.foreignNested(m.Disks)
	if len(m.Disks) == 0 && len(m.Nested) == 0 {
		return nil, fmt.Errorf("%w: neither a partition table nor a volume is in it", image.ErrDamaged)
	}
	index = 0
	for i := range m.Disks {
		if err := checkDisk(&m.Disks[i], &index); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// encrypted names the program that the files of the image are encrypted with.
func (d *directory) encrypted() string {
	switch {
	case d.has("ecryptfs.info"):
		return "eCryptfs"
	case d.has("gocryptfs.info"):
		return "gocryptfs"
	}
	return ""
}

var createdLine = regexp.MustCompile(`(?m)^### Image created time: (\d{4}-\d{4}-\d{4})$`)

// foreignCreated is when the image was made, by its log or else by that file's time.
func (d *directory) foreignCreated() time.Time {
	if data, err := d.readFile(fileCommit); err == nil {
		if f := createdLine.FindSubmatch(data); f != nil {
			if t, err := time.Parse("2006-0102-1504", string(f[1])); err == nil {
				return t
			}
		}
	}
	return cmp.Or(d.entries[fileCommit].Modified, d.entries[fileParts].Modified)
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

// Since util-linux 2.26 the type stands behind "type=", before behind "Id=".
var sfdiskLine = regexp.MustCompile(`^/dev/([A-Za-z0-9][A-Za-z0-9._/+-]*) *: start=\s*(\d+), size=\s*(\d+), (?:type|Id)=\s*([0-9A-Fa-f-]+)(, .*)?$`)

// parseSfdisk decodes the dump of sfdisk. A line of a partition that is not as
// sfdisk writes it is an error; headers that are not known are skipped.
func parseSfdisk(data []byte) (*sfdiskTable, error) {
	t := &sfdiskTable{sectorSize: 512, label: "dos"}
	for line := range bytes.Lines(data) {
		line := strings.TrimRight(string(line), "\r\n ")
		if strings.HasPrefix(line, "/dev/") {
			p, err := parseSfdiskLine(line)
			if err != nil {
				return nil, err
			}
			if p.size > 0 { // older programs list the entries that are not used
				t.partitions = append(t.partitions, p)
			}
			continue
		}
		key, value, _ := strings.Cut(line, ": ")
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
	}
	if s := t.sectorSize; s < 512 || s > 64<<10 || s&(s-1) != 0 {
		return nil, fmt.Errorf("sectors of %d bytes", s)
	}
	if t.label != "gpt" && t.label != "dos" {
		return nil, fmt.Errorf("label %q", t.label)
	}
	return t, nil
}

func parseSfdiskLine(line string) (p sfdiskPartition, err error) {
	f := sfdiskLine.FindStringSubmatch(line)
	if f == nil {
		return p, fmt.Errorf("line %q", line)
	}
	start, errStart := strconv.ParseInt(f[2], 10, 46)
	size, errSize := strconv.ParseInt(f[3], 10, 46)
	if errStart != nil || errSize != nil {
		return p, fmt.Errorf("partition %q out of bounds", f[1])
	}
	bootable := strings.HasPrefix(f[5], ", bootable")
	return sfdiskPartition{f[1], start, size, strings.ToLower(f[4]), bootable}, nil
}

var partedSize = regexp.MustCompile(`(?m)^Disk /dev/\S+: (\d+)s$`)

// parsePartedSize decodes of what parted prints the size of the disk, in sectors.
func parsePartedSize(data []byte) (int64, error) {
	f := partedSize.FindSubmatch(data)
	if f == nil {
		return 0, errors.New("it names no size of the disk in sectors")
	}
	return strconv.ParseInt(string(f[1]), 10, 44)
}

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
	sectors, err := parsePartedSize(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s-pt.parted: %w", image.ErrDamaged, base, err)
	}
	disk.Size = sectors * table.sectorSize
	for _, p := range table.partitions {
		v, ok, err := d.foreignVolume(p, table.sectorSize)
		if err != nil {
			return nil, err
		}
		if ok {
			disk.Volumes = append(disk.Volumes, v)
		}
	}
	if d.has(base + "-multipath") {
		for i := range disk.Volumes {
			v := &disk.Volumes[i]
			v.Method, v.Used, v.Reason = image.Absent, 0, "it lies on a multipath disk, which cannot be restored yet"
		}
	}
	slices.SortFunc(disk.Volumes, func(a, b image.Volume) int { return int((a.Offset - b.Offset) >> 9) })
	return disk, d.foreignAreas(disk, table)
}

var trailingNumber = regexp.MustCompile(`\d+$`)

// foreignVolume describes one partition; an extended one is none.
func (d *directory) foreignVolume(p sfdiskPartition, sectorSize int64) (v image.Volume, ok bool, err error) {
	number, _ := strconv.Atoi(trailingNumber.FindString(p.name))
	v = image.Volume{Name: p.name, Number: number, Offset: p.start * sectorSize, Size: p.size * sectorSize, Method: image.Absent}
	if p.extended() {
		return v, false, nil
	}
	d.foreignNames(&v)
	if isSwap, err := d.foreignSwap(&v); isSwap || err != nil {
		v.Method = image.Swap
		return v, true, err
	}
	if reason := d.told.reason(p.name); reason != "" {
		v.Reason = reason
		return v, true, nil
	}
	d.foreignFile(&v)
	return v, true, nil
}

// foreignNames fills in what the lists tell of a volume.
func (d *directory) foreignNames(v *image.Volume) {
	id := d.told.blkid[v.Name]
	v.FileSystem, v.Label, v.UUID = cmp.Or(id["TYPE"], d.told.kinds[v.Name]), id["LABEL"], id["UUID"]
}

// foreignSwap tells whether a volume was saved as swap, and fills in its UUID and label.
func (d *directory) foreignSwap(v *image.Volume) (bool, error) {
	file := "swappt-" + baseName(v.Name) + ".info"
	if !d.has(file) {
		return false, nil
	}
	v.FileSystem = "swap"
	data, err := d.readFile(file)
	if err != nil {
		return true, err
	}
	info, err := parseInfo(data)
	if err != nil {
		return true, fmt.Errorf("%w: %s: %w", image.ErrDamaged, file, err)
	}
	v.UUID, v.Label = info["UUID"], info["LABEL"]
	return true, nil
}

// foreignFile finds the file that holds a volume, and says what it is.
func (d *directory) foreignFile(v *image.Volume) {
	base := baseName(v.Name)
	files := d.imageFiles(base)
	switch {
	case len(files) > 1:
		v.Reason = fmt.Sprintf("several files claim to hold it: %s", strings.Join(files, ", "))
	case len(files) == 1:
		v.File = files[0]
		d.describeFile(v)
	case d.entryLike(base, func(e store.Entry, rest string) bool { return e.Folder }):
		v.Reason = "it was saved as slices for a torrent, which cannot be restored yet"
	case d.entryLike(base, func(e store.Entry, rest string) bool { return partimageName.MatchString(e.Name) }):
		v.Reason = "it was saved by Partimage, which cannot be restored yet"
	case d.told.parts[v.Name]:
		v.Reason = lostReason
	default:
		v.Reason = "the image does not hold it"
	}
}

// lostReason is the reason of a volume that should be in the image.
const lostReason = "the file that holds it is missing"

// entryLike tells whether there is an entry named base, a dot and more, that is so.
func (d *directory) entryLike(base string, is func(e store.Entry, rest string) bool) bool {
	for name, e := range d.entries {
		if rest, ok := strings.CutPrefix(name, base+"."); ok && is(e, rest) {
			return true
		}
	}
	return false
}

// imageFiles gives the first files of the streams of a volume, by name.
func (d *directory) imageFiles(base string) (list []string) {
	for file := range d.entries {
		if f, ok := parseImageFile(file); ok && f.base == base && f.suffix != "info" && d.has(file) {
			list = append(list, file)
		}
	}
	slices.Sort(list)
	return list
}

// Streams of other programs.
const (
	ntfscloneMagic = "\x00ntfsclone-image"
	partimageMagic = "PaRtImAgE-VoLuMe"
)

// describeFile says what the file of a volume holds, and whether that can be restored.
func (d *directory) describeFile(v *image.Volume) {
	name, _ := parseImageFile(v.File)
	if v.Method, v.Used = image.Blocks, -1; name.kind == "dd" {
		v.Method, v.Used, v.Reason = image.Raw, v.Size, "Clonezilla saved it raw"
	} else if v.FileSystem == "" {
		v.FileSystem = name.kind
	}
	in, err := (&forward{directory: d, volume: *v}).unpack()
	if errors.Is(err, ErrNotYet) {
		v.Method, v.Used, v.Reason = image.Absent, 0, err.Error()
	}
	if err != nil || name.kind == "dd" {
		if in != nil {
			in.Close()
		}
		return // what is damaged is told when it is read
	}
	defer in.Close()
	head := bufio.NewReader(in)
	magic, _ := head.Peek(len(ntfscloneMagic))
	switch string(magic) {
	case ntfscloneMagic:
		v.Method, v.Used, v.Reason = image.Absent, 0, "it was saved by ntfsclone, which cannot be restored yet"
		return
	case partimageMagic:
		v.Method, v.Used, v.Reason = image.Absent, 0, "it was saved by Partimage, which cannot be restored yet"
		return
	}
	limit := v.Size
	if limit == 0 {
		limit = math.MaxInt64 / 8 // its size is nowhere but in the stream
	}
	if r, err := partclone.NewReader(head, limit); err == nil {
		v.Used, v.BlockSize = r.Header.Used*r.Header.BlockSize, r.Header.BlockSize
		v.Size = cmp.Or(v.Size, max(r.Header.DeviceSize, r.Header.Blocks*r.Header.BlockSize))
	}
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
