package place

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/store/remote"
)

// List gives all places: the present one if it lies in the network, then the
// disks, by device. What cannot be used now but looks like a place is among
// them, with its Problem.
func (s System) List() ([]Place, error) {
	list, err := s.disks()
	if err != nil {
		return nil, err
	}
	if s.toRAM() {
		list = slices.DeleteFunc(list, func(p Place) bool { return p.BootMedium })
	}
	if p, err := s.Status(); err == nil && p != nil && remote.Is(p.Spec) {
		list = append([]Place{*p}, list...)
	}
	return list, nil
}

// toRAM tells whether the boot medium is to be left alone.
func (s System) toRAM() bool {
	_, err := os.Stat(s.path(ToRAM))
	return err == nil
}

// disks gives the places on disks.
func (s System) disks() ([]Place, error) {
	entries, err := os.ReadDir(s.path("sys/class/block"))
	if err != nil {
		return nil, fmt.Errorf("list of disks: %w", err)
	}
	current, _ := s.mounted()
	boot := map[string]bool{} // disks, by name
	out := []Place{}
	for _, e := range entries {
		d := s.device(e.Name())
		if d.size == 0 || ignored(d.name) {
			continue
		}
		if _, known := boot[d.disk]; !known {
			boot[d.disk] = s.isBootMedium(d.disk)
		}
		p, ok := s.place(d, boot[d.disk])
		if !ok {
			continue
		}
		if current != nil && current.source == p.Spec {
			p.Current, p.Free, p.ReadOnly = true, current.free, current.readOnly
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Place) int { return natural(a.Spec, b.Spec) })
	return out, nil
}

// ignored are block devices that hold nothing, that show others, or that are
// slow to say so: RAM disks, loop devices, floppies.
func ignored(name string) bool {
	for _, prefix := range []string{"ram", "zram", "loop", "fd", "mtdblock", "nbd"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return strings.Contains(name, "boot") || strings.Contains(name, "rpmb") // hardware partitions of eMMC
}

// device is what /sys knows of a block device.
type device struct {
	name      string // kernel name
	disk      string // kernel name of the disk it is a part of, or its own
	size      int64  // bytes
	readOnly  bool
	removable bool
	model     string
}

func (s System) device(name string) device {
	d := device{name: name, disk: name}
	if real, err := filepath.EvalSymlinks(s.path("sys/class/block", name)); err == nil {
		if s.attribute(name, "partition") != "" {
			d.disk = filepath.Base(filepath.Dir(real))
		}
		d.removable = strings.Contains(real, "/usb")
	}
	sectors, _ := strconv.ParseInt(s.attribute(name, "size"), 10, 64)
	d.size = sectors * 512 // /sys counts in 512 bytes whatever the sector size
	d.readOnly = s.attribute(name, "ro") == "1"
	d.removable = d.removable || s.attribute(d.disk, "removable") == "1"
	d.model = strings.TrimSpace(s.attribute(d.disk, "device/vendor") + " " + s.attribute(d.disk, "device/model"))
	if strings.HasPrefix(d.model, "0x") { // virtio shows a number as vendor
		d.model = ""
	}
	if label := s.attribute(name, "dm/name"); label != "" {
		d.model = label
	}
	return d
}

func (s System) attribute(name, attr string) string {
	b, err := os.ReadFile(s.path("sys/class/block", name, attr))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// node is the device's file; a "!" in a kernel name stands for a "/".
func (s System) node(name string) string {
	return s.path("dev", strings.ReplaceAll(name, "!", "/"))
}

// place tells whether a device may hold images and how it is described. The
// boot medium as a whole is a place of its own, besides its partitions.
func (s System) place(d device, onBoot bool) (Place, bool) {
	node := s.node(d.name)
	p := Place{Spec: node, Path: node, Size: d.size, Free: -1, Model: d.model, Removable: d.removable, BootMedium: onBoot, ReadOnly: d.readOnly}
	if onBoot && d.disk == d.name {
		p.Spec, p.FileSystem, p.ReadOnly = Boot, "iso9660", true
		p.Label, p.UUID = s.bootLabel(d.name), ""
		return p, true
	}
	if s.partitioned(d.name) {
		return Place{}, false
	}
	info, ok := s.probe(node, d.size)
	if !ok || !usable(info.Type) {
		return Place{}, false
	}
	p.FileSystem, p.Label, p.UUID = info.Type, info.Label, info.UUID
	p.Problem = s.problem(d.name)
	if info.Type == "ntfs" && (info.State == filesystem.Dirty || info.State == filesystem.Hibernated) {
		p.ReadOnly = true
	}
	return p, true
}

func (s System) probe(node string, size int64) (filesystem.Info, bool) {
	f, err := os.Open(node)
	if err != nil {
		return filesystem.Info{}, false
	}
	defer f.Close()
	r, err := probe.Probe(f, size)
	return r.Info, err == nil
}

func (s System) partitioned(name string) bool {
	found, _ := filepath.Glob(s.path("sys/class/block", name, name+"*", "partition"))
	return len(found) > 0
}

// problem says who else has the device in a way that forbids mounting it.
func (s System) problem(name string) string {
	uses, _ := blockdev.System{Root: s.Root}.Uses(name)
	for _, u := range uses {
		if u.Device == name && u.Kind != blockdev.Mounted && u.Kind != blockdev.Looped {
			return u.String()
		}
	}
	return ""
}

// Where ISO 9660 keeps what the boot medium is known by: the primary volume
// descriptor in sector 16, in it the volume identifier and the volume set
// identifier (ECMA-119, 8.4).
const (
	descriptorOffset = 16 * 2048
	labelOffset      = 40
	labelLength      = 32
	setOffset        = 190
	setLength        = 128
)

// descriptor reads the beginning of a disk's primary volume descriptor.
func (s System) descriptor(disk string) ([]byte, bool) {
	f, err := os.Open(s.node(disk))
	if err != nil {
		return nil, false
	}
	defer f.Close()
	b := make([]byte, setOffset+setLength)
	if _, err := f.ReadAt(b, descriptorOffset); err != nil {
		return nil, false
	}
	return b, b[0] == 1 && string(b[1:6]) == "CD001"
}

// isBootMedium compares the disk's volume set with the build that is running.
func (s System) isBootMedium(disk string) bool {
	id, err := os.ReadFile(s.path("etc/doppel/build-id"))
	want := strings.TrimSpace(string(id))
	if err != nil || want == "" {
		return false
	}
	b, ok := s.descriptor(disk)
	return ok && strings.EqualFold(strings.TrimRight(string(b[setOffset:]), " \x00"), "DOPPEL-"+want)
}

func (s System) bootLabel(disk string) string {
	b, ok := s.descriptor(disk)
	if !ok {
		return ""
	}
	return strings.TrimRight(string(b[labelOffset:labelOffset+labelLength]), " \x00")
}

// natural orders sda2 before sda10.
func natural(a, b string) int {
	if len(a) != len(b) && strings.TrimRight(a, "0123456789") == strings.TrimRight(b, "0123456789") {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
