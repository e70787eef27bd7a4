package clonezilla

import (
	"fmt"
	"regexp"
	"strings"

	"doppel.live/internal/image"
)

// imageFile is what the name of a file with a volume's stream says.
type imageFile struct {
	base   string // of the partition: sda1
	kind   string // file system as Clonezilla names it; dd for a raw one
	suffix string // how it is compressed; "" where the name does not say
	split  bool   // the first of several parts
	old    bool   // named as Clonezilla did before partclone
}

var (
	// sda1.ext4-ptcl-img.zst, sda1.ntfs-img, sda1.dd-img
	imageName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._+-]*)\.([A-Za-z0-9_+-]+?)-(ptcl-)?img(?:\.([a-z0-9]+))?$`)
	// sda1 and sda1.000: what Partimage leaves
	partimageName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_+-]*)\.(aa|aaa|000)$`)
)

// parseImageFile takes the name of the first file of a stream apart.
func parseImageFile(file string) (imageFile, bool) {
	whole, split := splitFile(file)
	f := imageName.FindStringSubmatch(whole)
	if f == nil {
		return imageFile{}, false
	}
	return imageFile{base: f[1], kind: f[2], suffix: f[4], split: split, old: f[3] == ""}, true
}

// splitFile takes the names of parts apart: the file without .aa or .aaa, and
// whether there was one.
func splitFile(file string) (whole string, split bool) {
	for _, first := range []string{".aa", ".aaa"} {
		if whole, ok := strings.CutSuffix(file, first); ok {
			return whole, true
		}
	}
	return file, false
}

// partName is the name of part n of a split file, from 0 on, in letters many
// letters: aa, ab, … az, ba, … zz. It is "" behind the last.
func partName(n, letters int) string {
	b := make([]byte, letters)
	for i := range b {
		b[letters-1-i] = 'a' + byte(n%26)
		n /= 26
	}
	if n > 0 {
		return ""
	}
	return string(b)
}

// parts gives the names of the files that hold a stream, in their order.
func (d *directory) parts(file string) ([]string, error) {
	whole, split := splitFile(file)
	if !split {
		return []string{file}, nil
	}
	letters := len(file) - len(whole) - 1
	var list []string
	missing := "" // the first part that is not there
	for n := 0; ; n++ {
		name := partName(n, letters)
		if name == "" {
			return list, nil
		}
		part := whole + "." + name
		switch there := d.has(part); {
		case there && missing != "":
			return nil, fmt.Errorf("%w: %s is missing", image.ErrDamaged, clean(missing))
		case there:
			list = append(list, part)
		case missing == "":
			missing = part
		}
	}
}
