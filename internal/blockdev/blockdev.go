// Package blockdev holds the disks of the machine: which there are, what they
// are called, who uses them, how healthy they say they are, and the only door
// through which a device is opened for writing. A regular file may stand
// wherever a device is expected. It does not read partition tables or file
// systems; who needs what lies on a disk asks package inventory.
package blockdev

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Disk is one whole disk, or a regular file in its place.
type Disk struct {
	Path               string   `json:"path"` // /dev/sda
	Name               string   `json:"name"` // kernel name, sda; the base name of a regular file
	Model              string   `json:"model"`
	Serial             string   `json:"serial"`
	WWN                string   `json:"wwn"`
	Transport          string   `json:"transport"`            // sata, nvme, usb, virtio, scsi, mmc, loop, file or ""
	Size               int64    `json:"size"`                 // bytes
	SectorSize         int64    `json:"sector_size"`          // logical, bytes
	PhysicalSectorSize int64    `json:"physical_sector_size"` // bytes
	Removable          bool     `json:"removable"`
	ReadOnly           bool     `json:"read_only"`
	BootMedium         bool     `json:"boot_medium"` // the live system was started from it
	InUse              []string `json:"in_use"`      // one sentence for each user
}

// System says where the kernel shows its devices.
type System struct {
	Root string // folder in front of /sys, /proc, /dev and /etc; "" is the running system
}

func (s System) path(elem ...string) string {
	return filepath.Join("/", s.Root, filepath.Join(elem...))
}

// List gives the disks of the running system, by name.
func List() ([]Disk, error) { return System{}.List() }

// notDisks are block devices of which nobody thinks as a disk of the machine,
// or that only stand on other devices.
var notDisks = regexp.MustCompile(`^(ram|zram|dm-|md|sr|fd|mtdblock|nvme\d+c\d+n|mmcblk\d+(boot|rpmb|gp))\d*`)

// List gives the disks, by name. A disk without medium or size is left out.
func (s System) List() ([]Disk, error) {
	entries, err := os.ReadDir(s.path("sys/class/block"))
	if err != nil {
		return nil, fmt.Errorf("list of disks: %w", err)
	}
	users, err := s.users()
	if err != nil {
		return nil, err
	}
	disks := []Disk{}
	for _, e := range entries {
		name := e.Name()
		if notDisks.MatchString(name) || s.isPartition(name) {
			continue
		}
		if d := s.disk(name, users); d.Size > 0 {
			disks = append(disks, d)
		}
	}
	slices.SortFunc(disks, func(a, b Disk) int { return compareNames(a.Name, b.Name) })
	return disks, nil
}

// Disk describes the disk, partition or regular file at path. A partition
// carries the model and serial number of its disk.
func (s System) Disk(path string) (Disk, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Disk{}, err
	}
	// Whoever uses a file is known by its whole path.
	if real, err = filepath.Abs(real); err != nil {
		return Disk{}, err
	}
	users, err := s.users()
	if err != nil {
		return Disk{}, err
	}
	fi, err := os.Stat(real)
	if err != nil {
		return Disk{}, err
	}
	switch {
	case fi.Mode().IsRegular():
		return fileDisk(real, fi, users), nil
	case fi.Mode()&os.ModeDevice != 0 && fi.Mode()&os.ModeCharDevice == 0:
		name := s.nameOf(real)
		if name == "" {
			return Disk{}, fmt.Errorf("%s: the kernel does not know this device", path)
		}
		return s.disk(name, users), nil
	}
	return Disk{}, fmt.Errorf("%s is neither a disk nor a regular file", path)
}

func fileDisk(path string, fi os.FileInfo, users users) Disk {
	d := Disk{
		Path: path, Name: filepath.Base(path), Transport: "file", Model: "regular file",
		Size: fi.Size() &^ (fileSector - 1), SectorSize: fileSector, PhysicalSectorSize: fileSector,
		ReadOnly: fi.Mode().Perm()&0o222 == 0, InUse: []string{},
	}
	for _, u := range users.ofFile(path, fi) {
		d.InUse = append(d.InUse, u.String())
	}
	return d
}

func (s System) disk(name string, users users) Disk {
	id := s.identity(s.wholeName(name))
	d := Disk{
		Path: s.devicePath(name), Name: name,
		Model: id.model, Serial: id.serial, WWN: id.wwn, Transport: id.transport,
		Size:               s.number(name, "size") * 512,
		SectorSize:         s.number(s.wholeName(name), "queue/logical_block_size"),
		PhysicalSectorSize: s.number(s.wholeName(name), "queue/physical_block_size"),
		Removable:          s.number(s.wholeName(name), "removable") == 1,
		ReadOnly:           s.number(name, "ro") == 1,
		InUse:              []string{},
	}
	d.SectorSize = max(d.SectorSize, 512)
	d.PhysicalSectorSize = max(d.PhysicalSectorSize, d.SectorSize)
	for _, u := range s.uses(name, users) {
		d.InUse = append(d.InUse, u.String())
	}
	if d.Size > 0 {
		d.BootMedium = s.isBootMedium(s.devicePath(s.wholeName(name)))
	}
	return d
}

// Partitions gives the kernel names of the partitions that the kernel knows
// of the disk with that name, by number.
func (s System) Partitions(disk string) map[int]string {
	found := map[int]string{}
	entries, _ := os.ReadDir(s.path("sys/class/block", disk))
	for _, e := range entries {
		if n, err := strconv.Atoi(s.attribute(disk, e.Name()+"/partition")); err == nil {
			found[n] = e.Name()
		}
	}
	return found
}

// DiskOf gives the disk and the partition number of a kernel name; number 0
// where the name is that of a disk.
func (s System) DiskOf(name string) (disk string, number int) {
	n, _ := strconv.Atoi(s.attribute(name, "partition"))
	return s.wholeName(name), n
}

func (s System) isPartition(name string) bool { return s.attribute(name, "partition") != "" }

// wholeName is the disk on which the partition name lies, or name itself.
func (s System) wholeName(name string) string {
	if !s.isPartition(name) {
		return name
	}
	real, err := filepath.EvalSymlinks(s.path("sys/class/block", name))
	if err != nil {
		return name
	}
	return filepath.Base(filepath.Dir(real))
}

// nameOf is the kernel name of the block device at path, or "".
func (s System) nameOf(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return ""
	}
	if n, ok := deviceNumber(real); ok {
		if link, err := os.Readlink(s.path("sys/dev/block", n)); err == nil {
			return filepath.Base(link)
		}
	}
	rel, err := filepath.Rel(s.path("dev"), real)
	if err != nil || strings.HasPrefix(rel, "..") {
		return ""
	}
	name := strings.ReplaceAll(rel, "/", "!")
	if _, err := os.Stat(s.path("sys/class/block", name)); err != nil {
		return ""
	}
	return name
}

// devicePath is the node of a kernel name; the kernel writes ! for / in names
// such as cciss!c0d0.
func (s System) devicePath(name string) string {
	return s.path("dev", strings.ReplaceAll(name, "!", "/"))
}

func (s System) attribute(name, attr string) string {
	b, err := os.ReadFile(s.path("sys/class/block", name, attr))
	if err != nil {
		return ""
	}
	text := clean(string(b))
	if text == "(null)" { // what some drivers print for a string they do not have
		return ""
	}
	return text
}

func (s System) number(name, attr string) int64 {
	n, _ := strconv.ParseInt(s.attribute(name, attr), 10, 64)
	return n
}

// clean trims what drives pad their names with and drops what no terminal
// should get.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	return strings.Join(strings.Fields(text), " ")
}

// compareNames puts sda before sdaa, and nvme2n1 before nvme10n1.
func compareNames(a, b string) int {
	if n := len(trimDigits(a)) - len(trimDigits(b)); n != 0 && strings.HasPrefix(a, "sd") && strings.HasPrefix(b, "sd") {
		return n
	}
	for a != "" && b != "" {
		da, db := leadingDigits(a), leadingDigits(b)
		if da > 0 && db > 0 {
			x, _ := strconv.Atoi(a[:da])
			y, _ := strconv.Atoi(b[:db])
			if x != y {
				return x - y
			}
			a, b = a[da:], b[db:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func trimDigits(s string) string { return strings.TrimRight(s, "0123456789") }

func leadingDigits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
