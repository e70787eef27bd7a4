package clonezilla

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// The files of an image directory that are not named after a disk or volume.
const (
	fileCommit   = "clonezilla-img" // written last; what makes a directory an image
	fileManifest = "doppel.json"
	fileSums     = "B3SUMS"
	fileID       = "Info-img-id.txt"
	fileDisk     = "disk"
	fileParts    = "parts"
	fileRescue   = "doppel-rescue.json" // package rescue: of a rescue that is not finished
	suffixFrames = ".frames"
)

// CheckName tells whether an image can be saved under that name: letters and
// digits of any script, and ._-+@, not beginning with one of those. Real
// Clonezilla hands the name to a shell.
func CheckName(name string) error {
	for i, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || i > 0 && (strings.ContainsRune("._-+@", r) || unicode.IsMark(r)) {
			continue
		}
		return fmt.Errorf("%w: %q has %q in it; letters, digits and ._-+@ can be used, a letter or digit first", ErrBadName, name, r)
	}
	if name == "" || len(name) > 200 || !utf8.ValidString(name) {
		return fmt.Errorf("%w: %q; it must have 1 to 200 bytes", ErrBadName, name)
	}
	return nil
}

// checkFolder tells whether name can be that of an image that is there, by
// whomever it was saved.
func checkFolder(name string) error {
	if store.CheckName(name) != nil || strings.Contains(name, "/") || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%w: %q", ErrBadName, name)
	}
	return nil
}

// baseName is the name of a disk or volume as Clonezilla makes it part of a
// file name: cciss/c0d0p1 becomes cciss-c0d0p1. What a shell or a file system
// could take for something else becomes an underscore.
func baseName(device string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r == '/':
			return '-'
		case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)), strings.ContainsRune("._-+", r):
			return r
		}
		return '_'
	}, device)
	return "_"[:min(1, len(name)-len(strings.TrimLeft(name, ".-")))] + name
}

// deviceName is the name of a disk or volume as it stands behind /dev/ in text
// files; the slashes that the kernel has in some stay.
func deviceName(device string) string {
	parts := strings.Split(device, "/")
	for i := range parts {
		parts[i] = baseName(parts[i])
	}
	return strings.Join(parts, "/")
}

// diskName is how the kernel names whole disks that Clonezilla works on. It
// takes an image of a disk of any other name for one of something else.
var diskName = regexp.MustCompile(`^(?:(?:sd|hd|vd|xvd)[a-z]+|(?:mmcblk|loop|md)[0-9]+|nvme[0-9]+n[0-9]+|(?:cciss|ida|rd)/c[0-9]+d[0-9]+)$`)

// giveAliases names the disks that Clonezilla would not take for disks, regular
// files above all, as it expects: sda, sdb and so on, whichever are free.
func giveAliases(m *image.Manifest) {
	taken := map[string]bool{}
	for _, d := range m.Disks {
		taken[d.Name] = true
	}
	for i := range m.Disks {
		d := &m.Disks[i]
		d.Alias = ""
		for n := 0; !diskName.MatchString(d.Name) && d.Alias == ""; n++ {
			if free := scsiName(n); !taken[free] {
				d.Alias, taken[free] = free, true
			}
		}
		for k := range d.Volumes {
			v := &d.Volumes[k]
			if v.Alias = d.Alias; v.Alias != "" && v.Number > 0 {
				v.Alias += strconv.Itoa(v.Number)
			}
		}
	}
}

// scsiName is the kernel's name of SCSI disk n: sda, sdz, sdaa.
func scsiName(n int) string {
	letters := ""
	for n++; n > 0; n = (n - 1) / 26 {
		letters = string(rune('a'+(n-1)%26)) + letters
	}
	return "sd" + letters
}

// diskAlias is the name of a disk in the files of the image.
func diskAlias(d image.Disk) string { return cmp.Or(d.Alias, d.Name) }

// volumeAlias is the name of a volume in the files of the image.
func volumeAlias(v image.Volume) string { return cmp.Or(v.Alias, v.Name) }

// volumeFile is the name of the file that holds a volume.
func volumeFile(v image.Volume, level Level) string {
	kind := "dd"
	if v.Method == image.Blocks {
		if kind = strings.ReplaceAll(baseName(v.FileSystem), ".", "_"); kind == "" || kind == "dd" {
			kind = "raw"
		}
		if kind == "hfs" {
			kind = "hfsplus" // there is no program partclone.hfs, and any restores any volume
		}
	}
	suffix := map[uint32]string{packedZstd: ".zst", packedGzip: ".gz", packedNot: ".uncomp"}[level.packedAs()]
	return baseName(volumeAlias(v)) + "." + kind + "-ptcl-img" + suffix
}

// framesName is the name of the frames file of a volume whose first file that
// is. Beside a split one it is named unlike its parts, which Clonezilla puts
// together by what their names begin with.
func framesName(file string) string {
	if whole, split := splitFile(file); split {
		return "doppel-" + whole + suffixFrames
	}
	return file + suffixFrames
}

// tailFile is the name of the file that holds what lies behind the last whole
// block of a volume.
func tailFile(v image.Volume) string { return "doppel-" + baseName(volumeAlias(v)) + "-tail.bin" }

// areaFile is the name of the file that holds an area: Clonezilla's where it
// holds the same bytes, else our own.
func areaFile(d image.Disk, a image.Area) string {
	base := baseName(diskAlias(d))
	switch {
	case a.Name == "mbr" && a.Offset == 0 && a.Length == 512:
		return base + "-mbr"
	case a.Name == "gap" && d.Scheme == "mbr" && a.Offset == 512 && a.Length < 1<<30:
		return base + "-hidden-data-after-mbr"
	}
	return fmt.Sprintf("doppel-%s-%s-%d.bin", base, baseName(a.Name), a.Offset)
}

// partcloneName is partclone's name for a volume's file system. The
// partclone of Debian has no program for UFS; partclone.restore and
// partclone.chkimg take a stream of any name.
func partcloneName(v image.Volume) string {
	switch v.FileSystem {
	case "ext2", "ext3", "ext4":
		return "EXTFS"
	case "vfat":
		if v.Version != "" {
			return v.Version
		}
		return "FAT32"
	case "hfsplus":
		return "HFS Plus"
	case "":
		return "raw"
	}
	return strings.ToUpper(v.FileSystem)
}

// clean makes text from an image fit for a terminal: no control, format or
// invalid characters, at most 255 bytes.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
	for len(s) > 255 {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
