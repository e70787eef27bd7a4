package clonezilla

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"doppel.live/internal/image"
)

// foreignLists is what Clonezilla's lists say. Names are without /dev/.
type foreignLists struct {
	parts   map[string]bool              // names in the file parts
	kinds   map[string]string            // file systems by dev-fs.list
	blkid   map[string]map[string]string // fields of blkid.list
	groups  map[string]string            // LVM groups by their physical volume
	logical []string                     // logical volumes: vg0/root
	mapped  map[string]string            // names of opened LUKS containers by their partition
}

// deviceWord is the name of a device behind /dev/.
var deviceWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+/-]*$`)

// readForeignLists reads all lists that are there.
func (d *directory) readForeignLists() (t foreignLists, err error) {
	for _, l := range []struct {
		file  string
		parse func(data []byte) error
	}{
		{fileParts, func(b []byte) error { t.parts, err = parseWords(b); return err }},
		{fileDisk, func(b []byte) error { _, err := parseWords(b); return err }},
		{"dev-fs.list", func(b []byte) error { t.kinds, err = parseDevFS(b); return err }},
		{"blkid.list", func(b []byte) error { t.blkid, err = parseBlkid(b); return err }},
		{"lvm_vg_dev.list", func(b []byte) error { t.groups, err = parseGroups(b); return err }},
		{"lvm_logv.list", func(b []byte) error { t.logical, err = parseLogical(b); return err }},
		{"luks-dev.list", func(b []byte) error { t.mapped, err = parseLUKS(b); return err }},
	} {
		data, err := d.readFile(l.file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = l.parse(data)
		}
		if err != nil {
			return t, fmt.Errorf("%w: %s: %w", image.ErrDamaged, l.file, err)
		}
	}
	return t, nil
}

// lines gives the lines of a list that are neither empty nor remarks.
func lines(data []byte) (list []string) {
	for line := range bytes.Lines(data) {
		if line := strings.TrimRight(string(line), " \r\n"); line != "" && line[0] != '#' {
			list = append(list, line)
		}
	}
	return list
}

func badLine(line string) error { return fmt.Errorf("line %q", clean(line)) }

// device takes /dev/ off a name, and /dev/mapper/.
func device(word string) (name string, ok bool) {
	name, ok = strings.CutPrefix(word, "/dev/")
	name = strings.TrimPrefix(name, "mapper/")
	return name, ok && deviceWord.MatchString(name)
}

// parseWords decodes the files disk and parts: names with spaces between them.
func parseWords(data []byte) (map[string]bool, error) {
	words := make(map[string]bool)
	for _, word := range strings.Fields(string(data)) {
		if !deviceWord.MatchString(word) {
			return nil, fmt.Errorf("name %q", clean(word))
		}
		words[word] = true
	}
	return words, nil
}

// parseDevFS decodes dev-fs.list: device, file system (which may be left out)
// and size.
func parseDevFS(data []byte) (map[string]string, error) {
	kinds := make(map[string]string)
	for _, line := range lines(data) {
		f := strings.Fields(line)
		name, ok := device(f[0])
		if !ok || len(f) > 3 {
			return nil, badLine(line)
		}
		if len(f) == 3 {
			kinds[name] = clean(f[1])
		}
	}
	return kinds, nil
}

// parseBlkid decodes blkid.list. It lists every device of a machine; a line of
// another kind is skipped, since none of it is needed to restore.
func parseBlkid(data []byte) (map[string]map[string]string, error) {
	all := make(map[string]map[string]string)
	for _, line := range lines(data) {
		word, rest, _ := strings.Cut(line, ": ")
		name, ok := device(word)
		if !ok {
			continue
		}
		if fields, err := parseInfo([]byte(rest)); err == nil {
			all[name] = fields
		}
	}
	return all, nil
}

var (
	infoField = regexp.MustCompile(`([A-Z][A-Z0-9_]*)="([^"]*)"`)
	infoLine  = regexp.MustCompile(`^(?:[A-Z][A-Z0-9_]*="[^"]*" *)+$`)
)

// parseInfo decodes lines of KEY="VALUE", one or several fields on each.
func parseInfo(data []byte) (map[string]string, error) {
	fields := make(map[string]string)
	for _, line := range lines(data) {
		if !infoLine.MatchString(line) {
			return nil, badLine(line)
		}
		for _, f := range infoField.FindAllStringSubmatch(line, 64) {
			fields[f[1]] = clean(f[2])
		}
	}
	return fields, nil
}

// parseGroups decodes lvm_vg_dev.list: group, physical volume, its UUID.
func parseGroups(data []byte) (map[string]string, error) {
	groups := make(map[string]string)
	for _, line := range lines(data) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, badLine(line)
		}
		name, ok := device(f[1])
		if !ok {
			return nil, badLine(line)
		}
		groups[name] = clean(f[0])
	}
	return groups, nil
}

// parseLogical decodes lvm_logv.list: logical volume, two spaces, remarks.
func parseLogical(data []byte) (list []string, err error) {
	for _, line := range lines(data) {
		word, _, _ := strings.Cut(line, "  ")
		name, ok := device(word)
		if !ok {
			return nil, badLine(line)
		}
		list = append(list, name)
	}
	return list, nil
}

// parseLUKS decodes luks-dev.list: partition, UUID, name of the opened container.
func parseLUKS(data []byte) (map[string]string, error) {
	mapped := make(map[string]string)
	for _, line := range lines(data) {
		f := strings.Fields(line)
		if len(f) != 3 || !deviceWord.MatchString(f[2]) {
			return nil, badLine(line)
		}
		name, ok := device(f[0])
		if !ok {
			return nil, badLine(line)
		}
		mapped[name] = f[2]
	}
	return mapped, nil
}

// reason says why a partition cannot be restored though the image has what is in it.
func (t foreignLists) reason(name string) string {
	if group, ok := t.groups[name]; ok {
		return fmt.Sprintf("it is a physical volume of the LVM group %s, and LVM cannot be restored yet", group)
	}
	if inner, ok := t.mapped[name]; ok {
		return fmt.Sprintf("it is a LUKS container (%s when it was saved), and LUKS cannot be restored yet", inner)
	}
	if t.blkid[name]["TYPE"] == "linux_raid_member" {
		return "it is a member of an md RAID array, which cannot be restored yet"
	}
	return ""
}

var arrayName = regexp.MustCompile(`^md[0-9]+(p[0-9]+)?$|^md/`)

// nestedReason says what a volume is that lies on no partition.
func (t foreignLists) nestedReason(name string) string {
	for _, inner := range t.mapped {
		if inner == name {
			return "it lay in a LUKS container, and LUKS cannot be restored yet"
		}
	}
	switch {
	case slices.Contains(t.logical, name):
		return "it is a logical volume, and LVM cannot be restored yet"
	case arrayName.MatchString(name):
		return "it is an md RAID array, which cannot be restored yet"
	case strings.HasPrefix(name, "dm-"):
		return "it is a volume of the device mapper (a fake RAID by dmraid, perhaps), which cannot be restored yet"
	}
	return "the image has no partition table that it belongs to"
}

// foreignNested describes what the image holds beside the partitions of its disks.
func (d *directory) foreignNested(disks []image.Disk) (list []image.Volume) {
	known := make(map[string]bool) // names as parts of file names
	for _, disk := range disks {
		known[baseName(disk.Name)] = false
		for _, v := range disk.Volumes {
			known[baseName(v.Name)] = true
		}
	}
	names := slices.Concat(d.told.logical, slices.Sorted(maps.Values(d.told.mapped)), slices.Sorted(maps.Keys(d.told.parts)))
	for _, file := range slices.Sorted(maps.Keys(d.entries)) {
		if f, ok := parseImageFile(file); ok && f.suffix != "info" && d.has(file) {
			names = append(names, f.base)
		}
	}
	for _, name := range names {
		base := baseName(name)
		if known[base] || d.extendedPartition(base) {
			continue
		}
		known[base] = true
		if v, ok := d.foreignInner(name); ok {
			list = append(list, v)
		}
	}
	return list
}

// extendedPartition tells whether a name is that of an extended partition.
func (d *directory) extendedPartition(base string) bool { return d.has(base + "-ebr") }

// foreignInner describes one volume that lies on no partition; what holds only
// other volumes is none.
func (d *directory) foreignInner(name string) (image.Volume, bool) {
	v := image.Volume{Name: clean(name), Method: image.Absent, Index: -1}
	d.foreignNames(&v)
	isSwap, err := d.foreignSwap(&v)
	if err == nil && !isSwap {
		d.foreignFile(&v)
	}
	if reason := d.told.reason(name); reason != "" && v.File == "" && !isSwap { // a whole disk without a table
		v.Method, v.Reason = image.Absent, reason
		return v, d.told.parts[name]
	}
	lost := v.Reason == lostReason
	if v.Method, v.Reason = image.Absent, d.told.nestedReason(name); lost {
		v.Reason = lostReason
	}
	return v, isSwap || v.File != "" || lost
}
