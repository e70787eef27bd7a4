package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/engine"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/version"
)

// survey opens the sources and finds out what is saved of them.
func (s *saving) survey(specs []string, name string, except []string) error {
	chosen, err := chooseDisks(specs)
	if err != nil {
		return s.rescue.missing(err)
	}
	s.manifest = &image.Manifest{
		Format: 1, ID: newUUID(), Name: name, Created: time.Now().UTC().Truncate(time.Second),
		Tool: version.Tool, WholeDisk: true, Consistency: "offline",
	}
	if s.rescue != nil && len(chosen) > 1 {
		return misuse("--rescue takes one disk, or partitions of one")
	}
	seen := map[string]bool{}
	if s.rescue != nil && s.rescue.finish {
		if err := s.addLost(except, seen); err != nil {
			return err
		}
	}
	for i, ch := range chosen {
		if err := s.add(i, ch, except, seen); err != nil {
			return err
		}
	}
	for _, n := range except {
		if !seen[n] {
			return misuse("--except names %s, which is on no source", n)
		}
	}
	s.input.Manifest = s.manifest
	return nil
}

func (s *saving) add(i int, ch chosenDisk, except []string, seen map[string]bool) error {
	src, err := blockdev.OpenSource(ch.path)
	if err != nil {
		return err
	}
	s.sources = append(s.sources, src)
	d := src.Disk()
	disk := image.Disk{
		Name: d.Name, Model: d.Model, Serial: d.Serial, WWN: d.WWN,
		Size: d.Size, SectorSize: d.SectorSize, PhysicalSectorSize: d.PhysicalSectorSize,
	}
	if d.Size == 0 {
		return fmt.Errorf("%s has no sector: there is nothing to save, or no medium in the drive", d.Path)
	}
	var r io.ReaderAt = src
	if s.rescue != nil {
		if r, err = s.rescue.open(src, ch.numbers, except); err != nil {
			return err
		}
	}
	o, err := s.take(r, disk, engine.Choice{Only: ch.numbers, Except: except, Rescue: s.rescue != nil}, seen)
	if err != nil {
		return err
	}
	from := &s.input.Sources[i]
	from.Device.Path = d.Path
	from.Uses, err = usesOf(d, o.Table)
	return err
}

// addLost adds the disk of a rescue that is to be finished without it.
func (s *saving) addLost(except []string, seen map[string]bool) error {
	id, err := s.rescue.openLost()
	if err != nil {
		return err
	}
	disk := image.Disk{Name: id.Disk, Model: id.Model, Serial: id.Serial, Size: id.Size, SectorSize: id.SectorSize, PhysicalSectorSize: id.SectorSize}
	_, err = s.take(s.rescue.disk, disk, engine.Choice{Only: id.Partitions, Except: slices.Concat(id.Except, except), Rescue: true}, seen)
	return err
}

// take finds out what is saved of a disk.
func (s *saving) take(r io.ReaderAt, disk image.Disk, choice engine.Choice, seen map[string]bool) (*engine.Origin, error) {
	o, err := engine.Survey(r, &disk, choice)
	if err = s.rescue.gone(err); err != nil {
		return nil, err
	}
	index := 0
	for _, earlier := range s.manifest.Disks {
		index += len(earlier.Volumes)
	}
	for j := range disk.Volumes {
		v := &disk.Volumes[j]
		seen[v.Name] = true
		v.Index = index + j
	}
	if len(choice.Only) > 0 {
		s.manifest.WholeDisk = false
	}
	contents, _, err := inventory.Describe(r, disk.Size, disk.SectorSize)
	if err != nil && s.rescue != nil {
		contents, err = "unreadable", s.rescue.gone(nil)
	}
	if err != nil {
		return nil, err
	}
	s.options.Tables[len(s.origins)] = o.Table
	s.origins, s.manifest.Disks = append(s.origins, o), append(s.manifest.Disks, disk)
	s.input.Sources = append(s.input.Sources, plan.Source{
		Device: plan.Device{Path: disk.Name, Model: disk.Model, Serial: disk.Serial, Size: disk.Size, Contents: contents},
		Name:   disk.Name, Warnings: o.Warnings,
	})
	return o, nil
}

// usesOf gives the users of a source by the names of its volumes. The kernel
// knows a file and its partitions by the loop device that shows them.
func usesOf(d blockdev.Disk, t *partition.Table) ([]blockdev.Use, error) {
	uses, err := blockdev.System{}.UsesOf(d)
	if err != nil || d.Transport != "file" {
		return uses, err
	}
	for i, u := range uses {
		if u.Kind == blockdev.Looped {
			continue
		}
		loop, number := blockdev.System{}.DiskOf(u.Device)
		if uses[i].Device = d.Name; number > 0 {
			uses[i].Device = t.PartitionName(d.Name, number)
		}
		if u.Through == "" {
			uses[i].Through = loop
		}
	}
	return uses, nil
}

// chosenDisk is a disk that is saved, whole or in part.
type chosenDisk struct {
	path    string
	numbers []int // of partitions; none: the whole disk
}

// chooseDisks finds the disks of the sources, in the order given.
func chooseDisks(specs []string) ([]chosenDisk, error) {
	var all []chosenDisk
	for _, spec := range specs {
		path, err := inventory.Lookup(spec)
		if err != nil {
			return nil, err
		}
		d, err := blockdev.System{}.Disk(path)
		if err != nil {
			return nil, err
		}
		var number int
		path = d.Path
		if d.Transport != "file" {
			var name string
			name, number = blockdev.System{}.DiskOf(d.Name)
			if number > 0 {
				path = strings.TrimSuffix(d.Path, d.Name) + name
			}
		}
		i := slices.IndexFunc(all, func(c chosenDisk) bool { return c.path == path })
		switch {
		case i < 0:
			all = append(all, chosenDisk{path: path})
			i = len(all) - 1
		case number == 0 || len(all[i].numbers) == 0 || slices.Contains(all[i].numbers, number):
			return nil, misuse("%s is named twice", spec)
		}
		if number > 0 {
			all[i].numbers = append(all[i].numbers, number)
		}
	}
	return all, nil
}
