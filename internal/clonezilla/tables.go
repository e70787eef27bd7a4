package clonezilla

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"doppel.live/internal/image"
	"doppel.live/internal/partition"
)

// The table files hold sectors of 512 bytes, also of disks with larger ones.
const (
	sector      = 512
	primarySize = 34 * sector // -gpt-1st: protective MBR, header, 128 entries
	backupSize  = 32 * sector // -gpt-2nd: see writeGPT
)

// writeTables writes the files that Clonezilla restores the table of a disk by.
func (w *writer) writeTables(disk int) error {
	d, table := &w.manifest.Disks[disk], w.options.Tables[disk]
	base := baseName(diskAlias(*d))
	text := map[string]string{base + "-chs.sf": chs(d.Size)}
	if table != nil && (table.Scheme == partition.BSD || table.Scheme == partition.APM) {
		// Clonezilla's files for tables cannot say what these are: FORMAT.md.
		return w.write(base+"-chs.sf", []byte(chs(d.Size)))
	}
	if table != nil && table.Scheme != partition.None {
		text[base+"-pt.sf"] = table.SfdiskDump("/dev/" + deviceName(diskAlias(*d)))
		text[base+"-pt.parted"] = partedText(d, table, sectorUnit(d.SectorSize))
		text[base+"-pt.parted.compact"] = partedText(d, table, compactUnit)
	}
	for _, file := range sortedKeys(text) {
		if err := w.write(file, []byte(text[file])); err != nil {
			return err
		}
	}
	if _, ok := w.sums[base+"-mbr"]; !ok && (table != nil || d.Scheme != "none") {
		if err := w.write(base+"-mbr", w.sectors(disk, 0, sector)); err != nil {
			return err
		}
	}
	if table == nil {
		return nil
	}
	if table.Scheme == partition.GPT {
		return w.writeGPT(disk)
	}
	return w.writeEBR(disk, table)
}

// writeGPT writes both copies of a GPT as Clonezilla and sgdisk keep them.
// Clonezilla's -gpt-2nd is the last 32 sectors of the disk and so lacks the
// first of the entries; the whole backup is an area of its own.
func (w *writer) writeGPT(disk int) error {
	d := &w.manifest.Disks[disk]
	base := baseName(diskAlias(*d))
	if err := w.write(base+"-gpt-1st", w.sectors(disk, 0, primarySize)); err != nil {
		return err
	}
	if err := w.write(base+"-gpt-2nd", w.sectors(disk, d.Size-backupSize, backupSize)); err != nil {
		return err
	}
	if d.SectorSize != sector {
		return nil // sgdisk's file is then laid out in other sectors
	}
	return w.write(base+"-gpt.gdisk", slices.Concat(
		w.sectors(disk, 0, 2*sector),
		w.sectors(disk, d.Size-sector, sector),
		w.sectors(disk, 2*sector, backupSize)))
}

// writeEBR writes the first sector of the extended partition.
func (w *writer) writeEBR(disk int, table *partition.Table) error {
	d := &w.manifest.Disks[disk]
	for _, p := range table.Partitions {
		if !p.Extended || p.Logical {
			continue
		}
		file := baseName(table.PartitionName(diskAlias(*d), p.Number)) + "-ebr"
		if err := w.write(file, w.sectors(disk, p.Start, sector)); err != nil {
			return err
		}
	}
	return nil
}

// sectors gives bytes of a disk out of its areas, zeros where none covers them.
func (w *writer) sectors(disk int, offset, length int64) []byte {
	b := make([]byte, length)
	for _, k := range w.areas[disk] {
		from, to := max(offset, k.offset), min(offset+length, k.offset+int64(len(k.data)))
		if from < to {
			copy(b[from-offset:], k.data[from-k.offset:to-k.offset])
		}
	}
	return b
}

// chs is the geometry that Clonezilla hands to sfdisk.
func chs(size int64) string {
	const heads, sectors = 255, 63
	return fmt.Sprintf("cylinders=%d\nheads=%d\nsectors=%d\n", size/(heads*sectors*sector), heads, sectors)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// volumes gives all volumes of the image.
func (w *writer) volumes() (list []image.Volume) {
	for _, d := range w.manifest.Disks {
		list = append(list, d.Volumes...)
	}
	return list
}

// writeLists writes the lists of disks, partitions and file systems.
func (w *writer) writeLists() error {
	var disks, parts, fs, swap, blkid []string
	for _, d := range w.manifest.Disks {
		disks = append(disks, deviceName(diskAlias(d)))
	}
	for _, v := range w.volumes() {
		line := fmt.Sprintf("/dev/%s %s %s\n", deviceName(volumeAlias(v)), v.FileSystem, shortSize(v.Size))
		switch v.Method {
		case image.Swap:
			swap = append(swap, line)
			if err := w.write("swappt-"+baseName(volumeAlias(v))+".info", []byte(swapInfo(v))); err != nil {
				return err
			}
		case image.Blocks, image.Raw:
			parts = append(parts, deviceName(volumeAlias(v)))
			fs = append(fs, line)
		}
		blkid = append(blkid, blkidLine(v))
	}
	slices.Sort(blkid)
	lists := map[string]string{
		"dev-fs.list":           devFSHead + strings.Join(fs, "") + strings.Join(swap, ""),
		"blkid.list":            strings.Join(blkid, ""),
		"blkdev.list":           w.blkdevList(),
		fileParts:               strings.Join(parts, " ") + "\n",
		"Info-saved-by-cmd.txt": clean(cmp.Or(w.options.Command, w.manifest.Tool)) + "\n",
		"Info-packages.txt":     "Image was saved by:\n " + clean(w.manifest.Tool) + "\n",
		"Info-img-size.txt":     w.sizeText(),
	}
	if w.manifest.WholeDisk {
		lists[fileDisk] = strings.Join(disks, " ") + "\n"
	}
	for _, file := range sortedKeys(lists) {
		if err := w.write(file, []byte(lists[file])); err != nil {
			return err
		}
	}
	return nil
}

const devFSHead = `# <Device name>   <File system>   <Size>
# File system is got from ocs-get-dev-info. It might be different from that of blkid or parted.
`

// swapInfo is the content of swappt-*.info. Clonezilla sources it in a shell:
// nothing but letters, digits and ._- and spaces goes into it; the true label
// is in doppel.json.
func swapInfo(v image.Volume) string {
	return fmt.Sprintf("UUID=\"%s\"\nLABEL=\"%s\"\n", plain(v.UUID), plain(v.Label))
}

// plain is s with everything replaced that means something to a shell.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._- ", r) {
			return r
		}
		return '_'
	}, s)
}

func blkidLine(v image.Volume) string {
	line := "/dev/" + deviceName(volumeAlias(v)) + ":"
	for _, field := range [][2]string{{"LABEL", v.Label}, {"UUID", v.UUID}, {"TYPE", v.FileSystem}} {
		if field[1] != "" {
			line += fmt.Sprintf(" %s=\"%s\"", field[0], strings.NewReplacer(`"`, "_", `\`, "_", "`", "_", "$", "_").Replace(field[1]))
		}
	}
	return line + "\n"
}

// shortSize is a size as lsblk has it: 48M, 1.5G. Rounded to one digit behind the point.
func shortSize(size int64) string {
	unit, value := "B", float64(size)
	for _, u := range []string{"K", "M", "G", "T", "P"} {
		if value < 1024 {
			break
		}
		unit, value = u, value/1024
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + unit
}

func (w *writer) blkdevList() string {
	var b strings.Builder
	row := func(kname, name, size, kind, fs, model string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-12s %-14s %8s %-4s %-10s %-10s %s", kname, name, size, kind, fs, "", model), " ") + "\n")
	}
	row("KNAME", "NAME", "SIZE", "TYPE", "FSTYPE", "MODEL")
	for _, d := range w.manifest.Disks {
		row(diskAlias(d), diskAlias(d), shortSize(d.Size), "disk", "", d.Model)
		for _, v := range d.Volumes {
			if v.Number > 0 {
				row(volumeAlias(v), "|-"+volumeAlias(v), shortSize(v.Size), "part", v.FileSystem, "")
			}
		}
	}
	return b.String()
}

func (w *writer) sizeText() string {
	total := int64(0)
	if entries, err := w.store.List(w.manifest.Name); err == nil {
		for _, e := range entries {
			total += e.Size
		}
	}
	return fmt.Sprintf("Image size (Bytes):\n%s\t%s\n", shortSize(total), w.manifest.Name)
}
