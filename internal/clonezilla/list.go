package clonezilla

import (
	"errors"
	"strings"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// List gives the images of a place by name, unfinished ones and those of real
// Clonezilla included; folders that hold something else are left out. An image
// that cannot be read stands in the list with its Problem.
func List(s store.Store) ([]Summary, error) {
	entries, err := s.List(".")
	if err != nil {
		return nil, err
	}
	list := []Summary{}
	for _, e := range entries {
		if !e.Folder || checkFolder(e.Name) != nil {
			continue
		}
		summary, err := Summarize(s, e.Name)
		if errors.Is(err, ErrNoImage) {
			continue
		}
		list = append(list, summary)
	}
	return list, nil
}

// Summarize gives one image as List does. The error is ErrNoImage where there
// is none; all else that is wrong is the Problem.
func Summarize(s store.Store, name string) (Summary, error) {
	summary := Summary{Name: clean(name), Disks: []SummaryDisk{}, Volumes: []SummaryVolume{}}
	d, err := listDirectory(s, name)
	if errors.Is(err, ErrNoImage) {
		return summary, err
	}
	if err != nil {
		summary.Problem = clean(err.Error())
		return summary, nil
	}
	for _, e := range d.entries {
		summary.Stored += e.Size
	}
	if d.isRescue() {
		summary.Created, summary.Problem = d.entries[fileRescue].Modified, ErrRescue.Error()
		return summary, nil
	}
	summary.Created = d.entries[fileManifest].Modified
	if err := d.strange(); err != nil {
		summary.Problem = err.Error()
		return summary, nil
	}
	if !d.committed() {
		summary.Problem = ErrIncomplete.Error()
		if summary.Begun = d.begun(); summary.Begun {
			summary.Problem = ErrBegun.Error()
		}
		if d.foreign {
			return summary, nil
		}
	}
	if err := d.readManifest(); err != nil {
		summary.Problem = clean(err.Error())
		return summary, nil
	}
	summary.describe(d.manifest)
	if missing := d.missing(); summary.Problem == "" && missing != "" {
		summary.Problem = "a file is missing: " + clean(missing)
	}
	summary.Complete = summary.Problem == ""
	return summary, nil
}

func (s *Summary) describe(m *image.Manifest) {
	s.Created, s.Tool, s.WholeDisk, s.Damaged = m.Created, m.Tool, m.WholeDisk, m.Lost()
	for _, d := range m.Disks {
		s.Disks = append(s.Disks, SummaryDisk{d.Name, d.Model, d.Serial, d.Size})
		for _, v := range d.Volumes {
			s.Volumes = append(s.Volumes, summaryVolume(v))
		}
	}
	for _, v := range m.Nested {
		s.Volumes = append(s.Volumes, summaryVolume(v))
	}
}

func summaryVolume(v image.Volume) SummaryVolume {
	return SummaryVolume{v.Name, v.FileSystem, v.Label, v.Size, v.Used, v.Method, v.Reason}
}

// missing gives the name of a file that the manifest names and that is not there.
func (d *directory) missing() string {
	for _, disk := range d.manifest.Disks {
		for _, v := range disk.Volumes {
			if v.File != "" && !d.has(v.File) {
				return v.File
			}
			if v.File != "" && !d.foreign && !d.has(framesName(v.File)) {
				return framesName(v.File)
			}
		}
		for _, a := range disk.Areas {
			if a.File != "" && !d.has(a.File) {
				return a.File
			}
		}
	}
	return ""
}

// volumeOf gives the volume that a file belongs to; "" for one that belongs to none.
func (d *directory) volumeOf(file string) string {
	for _, v := range d.manifest.AllVolumes() {
		if v.File == "" {
			continue
		}
		whole, _ := splitFile(v.File)
		if file == v.File || file == framesName(v.File) || file == tailFile(v) || strings.HasPrefix(file, whole+".") {
			return v.Name
		}
	}
	return ""
}
