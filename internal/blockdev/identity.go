package blockdev

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
)

// identity is what a drive says of itself.
type identity struct {
	model, serial, wwn, transport string
}

// identity asks sysfs first; drives that sysfs does not name are asked
// themselves.
func (s System) identity(name string) identity {
	id := identity{
		model:     firstOf(s.attribute(name, "device/model"), s.attribute(name, "device/name")),
		serial:    firstOf(s.attribute(name, "device/serial"), s.attribute(name, "serial"), s.vpdSerial(name)),
		wwn:       firstOf(s.attribute(name, "wwid"), s.attribute(name, "device/wwid")),
		transport: s.transport(name),
	}
	switch id.transport {
	case "usb":
		id.serial = firstOf(id.serial, s.usbAttribute(name, "serial"))
		if vendor := s.attribute(name, "device/vendor"); vendor != "" && !strings.HasPrefix(id.model, vendor) {
			id.model = vendor + " " + id.model
		}
	case "virtio":
		id.model = firstOf(id.model, "virtio disk")
	case "loop":
		id.model = "loop device"
		if file := s.attribute(name, "loop/backing_file"); file != "" {
			id.model = "loop device of " + filepath.Base(file)
		}
	case "scsi":
		if vendor := s.attribute(name, "device/vendor"); vendor != "" && vendor != "ATA" {
			id.model = clean(vendor + " " + id.model)
		}
	}
	if id.serial == "" && strings.HasPrefix(name, "sd") && s.Root == "" {
		id.serial = askSerial(s.devicePath(name))
	}
	return id
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// vpdSerial reads the unit serial number page (SPC-4 7.8.15) as sysfs keeps
// it: byte 1 is the page code 0x80, bytes 2-3 the length, then ASCII.
func (s System) vpdSerial(name string) string {
	b, err := os.ReadFile(s.path("sys/class/block", name, "device/vpd_pg80"))
	if err != nil {
		return ""
	}
	return parseSerialPage(b)
}

func parseSerialPage(b []byte) string {
	if len(b) < 4 || b[1] != 0x80 {
		return ""
	}
	n := min(int(binary.BigEndian.Uint16(b[2:])), len(b)-4)
	return clean(strings.TrimRight(string(b[4:4+n]), "\x00"))
}

// transport says how the disk is connected, from its place in sysfs.
func (s System) transport(name string) string {
	real, _ := filepath.EvalSymlinks(s.path("sys/class/block", name))
	switch {
	case strings.HasPrefix(name, "loop"):
		return "loop"
	case strings.HasPrefix(name, "nvme"):
		return "nvme"
	case strings.HasPrefix(name, "mmcblk"):
		return "mmc"
	case strings.Contains(real, "/usb"):
		return "usb"
	case strings.Contains(real, "/ata"):
		return "sata"
	case strings.HasPrefix(name, "vd"):
		return "virtio"
	case strings.HasPrefix(name, "sd"):
		return "scsi"
	}
	return ""
}

// usbAttribute looks for an attribute of the USB device above the disk.
func (s System) usbAttribute(name, attr string) string {
	dir, err := filepath.EvalSymlinks(s.path("sys/class/block", name, "device"))
	for ; err == nil && len(dir) > len(s.path("sys")); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "idVendor")); err != nil {
			continue
		}
		b, _ := os.ReadFile(filepath.Join(dir, attr))
		return clean(string(b))
	}
	return ""
}

// Where a hybrid image says which build it is: the volume set identifier of
// the primary volume descriptor (ECMA-119 8.4), in sector 16 of 2048 bytes.
const (
	descriptorOffset = 16 * 2048
	volumeSetOffset  = 190
	volumeSetLength  = 128
)

// isBootMedium says whether the disk at path carries the build that runs.
func (s System) isBootMedium(path string) bool {
	id, err := os.ReadFile(s.path("etc/doppel/build-id"))
	if err != nil || strings.TrimSpace(string(id)) == "" {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, volumeSetOffset+volumeSetLength)
	if _, err := f.ReadAt(b, descriptorOffset); err != nil || b[0] != 1 || string(b[1:6]) != "CD001" {
		return false
	}
	set := strings.TrimRight(string(b[volumeSetOffset:]), " \x00")
	return strings.EqualFold(set, "DOPPEL-"+strings.TrimSpace(string(id)))
}
