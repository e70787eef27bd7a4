package probe

import (
	"errors"
	"fmt"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/exfat"
	"doppel.live/internal/filesystem/fat"
	"doppel.live/internal/filesystem/ntfs"
)

// ntfsX: boot sector at 0, its copy in the volume's last sector.
//
//	3    8  "NTFS    "
//	11   2  bytes per sector
//	13   1  sectors per cluster; above 0x80 the negative log2
//	40   8  number of sectors, without the copy
//	72   8  serial number
func ntfsX(v *volume) *found {
	boot := v.at(0, 512)
	if boot == nil || !v.has(3, "NTFS    ") || !powerOfTwo(le.Uint16(boot[11:]), 256, 4096) {
		return nil
	}
	cluster := int64(boot[13])
	if boot[13] > 0x80 {
		cluster = 1 << min(-int(int8(boot[13])), 31)
	}
	sector := int64(le.Uint16(boot[11:]))
	if !powerOfTwo(cluster, 1, 1<<31) {
		return nil
	}
	h := simple("ntfs", 3, 8)
	h.info.UUID = fmt.Sprintf("%016X", le.Uint64(boot[72:]))
	h.info.BlockSize, h.info.Size = cluster*sector, bounded(le.Uint64(boot[40:]), sector)
	if v.has(h.info.Size+3, "NTFS    ") && h.info.Size > 0 {
		h.also(h.info.Size+3, 8)
	}
	fs, err := ntfs.Open(v.r, v.size)
	if err != nil {
		h.reason = err.Error()
		return h
	}
	h.info = fs.Info()
	switch h.info.State {
	case filesystem.Hibernated:
		h.reason = "Windows sleeps on it, by hibernation or fast startup: shut it down with `shutdown /s /t 0` to have only used clusters saved"
	case filesystem.Recovery:
		h.reason = "its $LogFile holds changes that only Windows can make: start Windows and shut it down, to have only used clusters saved"
	default:
		h.fs = fs
	}
	return h
}

// bitlocker: "-FVE-FS-" where NTFS has its name; BitLocker To Go has a FAT
// boot sector with a GUID at byte 424.
func bitlocker(v *volume) *found {
	const toGo = "\x3B\xD6\x67\x49\x29\x2E\xD8\x4A\x83\x99\xF6\xA3\x39\xE3\xD0\x01"
	boot := v.at(0, 512)
	switch {
	case boot == nil || boot[0] != 0xEB || boot[2] != 0x90:
		return nil
	case v.has(3, "-FVE-FS-"):
		return simple("BitLocker", 3, 8)
	case v.has(3, "MSWIN4.1") && v.has(424, toGo):
		return simple("BitLocker", 424, 16)
	}
	return nil
}

// exFAT: boot sector at 0, "EXFAT   " at its byte 3.
func exFAT(v *volume) *found {
	if !v.has(3, "EXFAT   ") {
		return nil
	}
	info, err := exfat.Identify(v.r, v.size)
	if err != nil {
		return v.unlessFormat(err)
	}
	h := simple("exfat", 3, 8)
	h.info = info
	h.read(exfat.Open(v.r, v.size))
	if h.fs == nil && info.State == filesystem.Dirty {
		h.reason += " (it was not unmounted, or errors were found: run fsck.exfat, or chkdsk in Windows, to have only used blocks saved)"
	}
	return h
}

// vfat: FAT12, FAT16 and FAT32. Its signatures are the name behind the numbers
// of the boot sector, or these, and what makes a PC boot from it.
//
//	0    3   jump               54  8  "FAT16   "
//	11   10  numbers            82  8  "FAT32   "
//	22   2   0: FAT32           510 2  55 AA
func vfat(v *volume) *found {
	boot := v.at(0, 512)
	if boot == nil {
		return nil
	}
	info, err := fat.Identify(v.r, v.size)
	if err != nil {
		return v.unlessFormat(err)
	}
	name := int64(54)
	if le.Uint16(boot[22:]) == 0 {
		name = 82
	}
	h := simple("vfat", 11, 10)
	if v.has(name, "FAT") || v.has(name, "MSDOS") {
		h = simple("vfat", name, 8)
	}
	if v.has(510, "\x55\xAA") {
		h.also(0, 3)
		h.also(510, 2)
	}
	h.info = info
	h.read(fat.Open(v.r, v.size))
	return h
}

// read takes what a reader of the format gave: the file system, or why it
// cannot be read.
func (h *found) read(fs filesystem.FileSystem, err error) {
	if err != nil {
		h.reason = err.Error()
		return
	}
	h.fs, h.info = fs, fs.Info()
}

// unlessFormat gives up on a format; an error that is not about it stays in
// the volume.
func (v *volume) unlessFormat(err error) *found {
	if bad := new(filesystem.FormatError); !errors.Is(err, filesystem.ErrFormat) && !errors.As(err, &bad) {
		v.err = fmt.Errorf("probe: %w", err)
	}
	return nil
}
