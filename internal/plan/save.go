package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/image"
)

// Save is the plan of a save.
type Save struct {
	Image    string   `json:"image"`
	Place    string   `json:"place"`
	Sources  []Device `json:"sources"`
	Steps    []Step   `json:"steps"`
	Bytes    int64    `json:"bytes"`   // that are read
	Stored   int64    `json:"stored"`  // estimate of what the image takes; 0 unknown
	Free     int64    `json:"free"`    // room in the place; -1 unknown
	Rescue   bool     `json:"rescue"`  // around what cannot be read
	Spool    int64    `json:"spool"`   // bytes that a rescue takes until the image is whole, beside Stored
	Seconds  int64    `json:"seconds"` // estimate; 0 unknown
	Refusals []string `json:"refusals"`
	Warnings []string `json:"warnings"`
}

// SaveInput is what a save is planned from.
type SaveInput struct {
	Manifest *image.Manifest
	Place    string
	Sources  []Source // parallel to Manifest.Disks
	Behind   []string // kernel names of the devices that the place lies on
	Free     int64    // bytes; -1 unknown
	Rescue   bool     // a failing disk
	Spool    int64    // bytes that the rescue needs until the image is whole
	Saved    []int    // indexes of volumes that an interrupted save has saved
	Problem  string   // why the place cannot take an image of that name; ""
	Ratio    float64  // of stored to read bytes, measured on a sample; 0 unknown
	Rate     float64  // bytes per second, measured on the same sample; 0 unknown
	MaxFile  int64    // most bytes of a file in the place; 0 no limit
	Split    int64    // most bytes of a file that is written; 0 no limit
}

// SplitFor is how long the files of a volume are made where the place has a
// limit that a volume may exceed; 0 where they need no split.
func SplitFor(m *image.Manifest, maxFile int64) int64 {
	const round = 4_000_000_000 // below the limit of FAT
	for _, d := range m.Disks {
		for _, v := range d.Volumes {
			if maxFile > 0 && v.Used+v.Used/64+overhead > maxFile {
				return min(round, maxFile)
			}
		}
	}
	return 0
}

// Source is one disk that is saved, with its users.
type Source struct {
	Device   Device
	Name     string // kernel name
	Uses     []blockdev.Use
	Warnings []string
}

// NewSave plans a save. What cannot be done stands in Refusals.
func NewSave(in SaveInput) *Save {
	p := &Save{
		Image: in.Manifest.Name, Place: in.Place, Free: in.Free, Rescue: in.Rescue, Spool: in.Spool,
		Sources: []Device{}, Steps: []Step{}, Refusals: []string{}, Warnings: []string{},
	}
	if in.Problem != "" {
		p.Refusals = append(p.Refusals, in.Problem)
	}
	for i, d := range in.Manifest.Disks {
		src := in.Sources[i]
		p.Sources = append(p.Sources, src.Device)
		p.Warnings = append(p.Warnings, src.Warnings...)
		for _, v := range d.Volumes {
			if v.Method == image.Absent {
				continue
			}
			step := Step{Volume: v.Name, FileSystem: v.FileSystem, Method: v.Method, Size: v.Size, Bytes: v.Used, Reason: v.Reason, Index: v.Index}
			if slices.Contains(in.Saved, v.Index) {
				step.Bytes, step.Reason = 0, "was saved before"
			}
			p.Steps = append(p.Steps, step)
			p.Bytes += step.Bytes
			p.inUse(v, d, src, in)
		}
	}
	if len(in.Saved) > 0 {
		p.Warnings = append(p.Warnings, "volumes that were saved before are taken as they are: the source must not have been written to since")
	}
	if len(p.Steps) == 0 && !in.Manifest.WholeDisk {
		p.Refusals = append(p.Refusals, "nothing is left to save: leave out less")
	}
	p.room(in)
	p.files(in)
	return p
}

// files compares the length of the files with what the place takes.
func (p *Save) files(in SaveInput) {
	needed := SplitFor(in.Manifest, in.MaxFile)
	switch {
	case in.MaxFile > 0 && in.Split > in.MaxFile:
		p.Refusals = append(p.Refusals, fmt.Sprintf("no file in %s can have more than %s: choose a smaller --split, such as 4G", in.Place, sizes(in.MaxFile)))
	case needed > 0 && in.Split > 0:
		p.Warnings = append(p.Warnings, fmt.Sprintf("no file in %s can have more than %s (it is a FAT): volumes are split into files of at most %s",
			in.Place, blockdev.Bytes(in.MaxFile), blockdev.Bytes(in.Split)))
	case needed > 0:
		p.Warnings = append(p.Warnings, fmt.Sprintf("no file in %s can have more than %s (it is a FAT), and a volume may take more: use --split 4G",
			in.Place, blockdev.Bytes(in.MaxFile)))
	}
}

// overhead is what an image takes besides its volumes: tables, lists, bitmaps.
const overhead = 4 << 20

// room compares what the image will take with what there is.
func (p *Save) room(in SaveInput) {
	p.Seconds = seconds(p.Bytes, in.Rate)
	if in.Ratio > 0 {
		p.Stored = int64(float64(p.Bytes)*in.Ratio) + overhead
	}
	if in.Free < 0 {
		return
	}
	// The sample may mislead a little: what comes out 10 % short is tried,
	// with a warning.
	if p.Rescue {
		p.roomForRescue(in)
		return
	}
	switch needed := max(p.Stored, 1<<20); {
	case in.Free < needed-needed/10:
		p.Refusals = append(p.Refusals, fmt.Sprintf("%s has room for %s, the image will take about %s: make room or choose another place",
			in.Place, sizes(in.Free), sizes(needed)))
	case in.Free < p.Bytes+overhead:
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s has room for %s; the image will take about %s, and %s if its data does not compress",
			in.Place, blockdev.Bytes(in.Free), blockdev.Bytes(needed), blockdev.Bytes(p.Bytes)))
	}
}

// roomForRescue is stricter: who runs out of room must read a failing disk again.
func (p *Save) roomForRescue(in SaveInput) {
	stored := p.Stored
	if stored == 0 {
		stored = p.Bytes + overhead
	}
	if needed := p.Spool + stored; in.Free < needed {
		p.Refusals = append(p.Refusals, fmt.Sprintf(
			"%s has room for %s, the rescue needs about %s: %s for what is read, until the image of about %s is made of it: choose another place",
			in.Place, sizes(in.Free), sizes(needed), blockdev.Bytes(p.Spool), blockdev.Bytes(stored)))
	}
}

// inUse refuses a volume that changes while it is read.
func (p *Save) inUse(v image.Volume, d image.Disk, src Source, in SaveInput) {
	if slices.Contains(in.Behind, v.Name) {
		p.Refusals = append(p.Refusals, fmt.Sprintf(
			"the image folder %s lies on %s, which is to be saved: leave it out with --except %s, or choose another place", in.Place, v.Name, v.Name))
		return
	}
	for _, u := range src.Uses {
		mine := u.Device == v.Name || u.Device == src.Name || v.Number == 0
		if mine && v.Method != image.Swap && p.used(u, v) {
			return
		}
	}
}

// used says what a use of the volume means; true ends the search.
func (p *Save) used(u blockdev.Use, v image.Volume) bool {
	switch {
	case u.Kind == blockdev.Mounted && !u.ReadOnly:
		p.Refusals = append(p.Refusals, fmt.Sprintf(
			"%s for writing: unmount it (umount %s), mount it read-only (mount -o remount,ro %s), or leave it out with --except %s", u, u.By, u.By, v.Name))
	case u.Kind == blockdev.Swapped:
		p.Refusals = append(p.Refusals, fmt.Sprintf("%s: end that (swapoff), or leave it out with --except %s", u, v.Name))
	case u.Kind == blockdev.Held:
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s: it must not be written to while it is saved", u))
		return false
	default:
		return false
	}
	return true
}

// Name gives the place and the name of an image that a command line names: a
// path, or a name below the place for images.
func Name(spec, images string) (place, name string) {
	if strings.Contains(spec, "/") {
		spec = path.Clean(spec)
		return path.Dir(spec), path.Base(spec)
	}
	return images, spec
}
