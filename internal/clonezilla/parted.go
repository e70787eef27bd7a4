package clonezilla

import (
	"fmt"
	"strings"

	"doppel.live/internal/image"
	"doppel.live/internal/partition"
)

// A unit prints a number of bytes.
type unit func(bytes int64) string

// sectorUnit is parted's "unit s".
func sectorUnit(size int64) unit {
	return func(n int64) string { return fmt.Sprintf("%ds", n/size) }
}

// compactUnit is parted's "unit compact": powers of 1000, at least 10 of the
// unit where that can be. 134217728 is 134MB, 1048576 is 1049kB.
func compactUnit(n int64) string {
	units := []struct {
		name string
		size float64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}}
	for _, u := range units {
		value := float64(n) / u.size
		switch {
		case value < 10:
			continue
		case value < 99.95:
			return fmt.Sprintf("%.1f%s", value, u.name)
		default:
			return fmt.Sprintf("%.0f%s", value, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// partedText is what `parted -s DISK unit U print` prints. Clonezilla takes the
// size of the disk from it, and which partitions are swap or extended.
func partedText(d *image.Disk, t *partition.Table, u unit) string {
	var b strings.Builder
	label := "gpt"
	if t.Scheme == partition.MBR {
		label = "msdos"
	}
	physical := max(d.PhysicalSectorSize, d.SectorSize)
	fmt.Fprintf(&b, "Model: %s (unknown)\nDisk /dev/%s: %s\nSector size (logical/physical): %dB/%dB\nPartition Table: %s\nDisk Flags: \n\n",
		clean(d.Model), deviceName(diskAlias(*d)), u(d.Size), d.SectorSize, physical, label)
	rows := [][]string{{"Number", "Start", "End", "Size", "File system", "Name", "Flags"}}
	if label == "msdos" {
		rows[0] = []string{"Number", "Start", "End", "Size", "Type", "File system", "Flags"}
	}
	for _, p := range t.Partitions {
		if p.Parent != 0 {
			continue // of a disklabel: parted sees the slice
		}
		row := []string{fmt.Sprintf("%2d", p.Number), u(p.Start), partedEnd(p.End(), d.SectorSize, u), u(p.Size)}
		fs := partedFS(d, p)
		if label == "msdos" {
			row = append(row, partedType(p), fs, mbrFlags(p))
		} else {
			row = append(row, fs, clean(p.Name), gptFlags(p))
		}
		rows = append(rows, row)
	}
	writeColumns(&b, rows)
	b.WriteString("\n")
	return b.String()
}

// partedEnd is the last sector in sectors, and the last byte in other units.
func partedEnd(end, sectorSize int64, u unit) string {
	if s := u(end - sectorSize); strings.HasSuffix(s, "s") {
		return s
	}
	return u(end - 1)
}

// writeColumns aligns rows as parted does: two spaces between columns, none
// behind the last one of a row.
func writeColumns(b *strings.Builder, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += cell + strings.Repeat(" ", width[i]-len([]rune(cell))+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// partedFS is parted's name of the file system on a partition.
func partedFS(d *image.Disk, p partition.Partition) string {
	for _, v := range d.Volumes {
		if v.Number != p.Number || p.Extended {
			continue
		}
		switch v.FileSystem {
		case "swap":
			return "linux-swap(v1)"
		case "vfat":
			return "fat32"
		case "hfsplus":
			return "hfs+"
		case "ext2", "ext3", "ext4", "xfs", "btrfs", "ntfs", "jfs", "udf", "f2fs", "hfs":
			return v.FileSystem
		}
	}
	return ""
}

func partedType(p partition.Partition) string {
	switch {
	case p.Logical:
		return "logical"
	case p.Extended:
		return "extended"
	}
	return "primary"
}

func mbrFlags(p partition.Partition) string {
	var flags []string
	if p.Bootable {
		flags = append(flags, "boot")
	}
	switch strings.ToLower(p.Type) {
	case "0c", "0e", "0f", "c", "e", "f":
		flags = append(flags, "lba")
	case "82":
		flags = append(flags, "swap")
	case "8e":
		flags = append(flags, "lvm")
	case "fd":
		flags = append(flags, "raid")
	case "ef":
		flags = append(flags, "esp")
	case "27":
		flags = append(flags, "diag")
	}
	return strings.Join(flags, ", ")
}

func gptFlags(p partition.Partition) string {
	const legacyBoot, hidden = 1 << 2, 1 // bits of the attributes
	var flags []string
	if p.Attributes&hidden != 0 {
		flags = append(flags, "hidden")
	}
	switch p.Type {
	case "C12A7328-F81F-11D2-BA4B-00A0C93EC93B":
		flags = append(flags, "boot", "esp")
	case "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F":
		flags = append(flags, "swap")
	case "21686148-6449-6E6F-744E-656564454649":
		flags = append(flags, "bios_grub")
	case "E3C9E316-0B5C-4DB8-817D-F92DF00215AE":
		flags = append(flags, "msftres")
	case "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7":
		flags = append(flags, "msftdata")
	case "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC":
		flags = append(flags, "diag")
	case "E6D6D379-F507-44C2-A23C-238F2A3DF928":
		flags = append(flags, "lvm")
	case "A19D880F-05FC-4D3B-A006-743F0F84911E":
		flags = append(flags, "raid")
	}
	if p.Attributes&legacyBoot != 0 {
		flags = append(flags, "legacy_boot")
	}
	return strings.Join(flags, ", ")
}
