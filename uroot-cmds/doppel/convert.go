package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/engine"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
	"doppel.live/internal/qcow2"
	"doppel.live/internal/store/dir"
	"doppel.live/internal/version"
)

const convertUsage = "doppel convert IMAGE DEST [--images PLACE] [--credentials FILE] [--format image|raw|qcow2] [--disk NAME] [--compress HOW] [--split SIZE] [--verify] [--yes] [--json]"

const convertHelp = `Makes another kind of image out of one: an image directory, a raw disk file, or
a qcow2 disk file for virtual machines. Nothing is overwritten.

An image of Clonezilla's becomes one whose volumes can be read in any place, not
only from their start to their end. Of a disk file the blocks in use are taken,
as save takes them of a disk.

IMAGE is an image (a path, or a name in the place for images), or a raw or
qcow2 file of a whole disk. DEST is a path; that of an image may be a name in
the place for images. A DEST that ends in .qcow2, .raw, .img or .dd is such a
file, any other an image, unless --format says it.

Options:
  --images PLACE   where the images are; doppel help places says how a
                   place is named (default: $DOPPEL_IMAGES, or the place
                   chosen in the live system, or /images)
  --credentials FILE
                   what the server of the place asks for
  --format HOW     image, raw or qcow2
  --disk NAME      of an image with several disks: the one to make a file of
  --compress HOW   of a new image: none, fast, default, max or gzip, as of save
  --split SIZE     of a new image: cut volumes into files, as of save
  --verify         read the new disk file back and compare it with the image
  --yes            ask nothing (converting asks nothing)
  --json           print events, one JSON document a line
`

type convertFlags struct {
	images       *placeFlags
	format, disk string
	level        clonezilla.Level
	split        splitSize
	verify       bool
	command      string
}

func runConvert(ctx context.Context, c *console, args []string) error {
	set := flag.NewFlagSet("convert", flag.ContinueOnError)
	f := convertFlags{command: "doppel convert " + strings.Join(args, " ")}
	images := imagesFlag(set)
	set.StringVar(&f.format, "format", "", "")
	set.StringVar(&f.disk, "disk", "", "")
	set.Var(&f.split, "split", "")
	set.BoolVar(&f.verify, "verify", false, "")
	_ = set.Bool("yes", false, "")
	level := set.String("compress", string(clonezilla.Default), "")
	rest, err := c.parse(set, "convert", args)
	if err != nil {
		return err
	}
	if len(rest) != 2 {
		return misuse("convert takes an image and a destination")
	}
	if f.images, f.level = images, clonezilla.Level(*level); !f.level.Known() {
		return misuse("--compress is none, fast, default, max or gzip")
	}
	if f.format == "" {
		f.format = formatOf(rest[1])
	}
	from, close, err := f.open(ctx, c, rest[0])
	if err != nil {
		return err
	}
	defer close()
	switch f.format {
	case "image":
		return f.toImage(ctx, c, from, rest[1])
	case "raw", "qcow2":
		return f.toFile(ctx, c, from, rest[1])
	}
	return misuse("--format is image, raw or qcow2")
}

// formatOf tells the kind of a destination by its name.
func formatOf(dest string) string {
	switch strings.ToLower(filepath.Ext(dest)) {
	case ".qcow2":
		return "qcow2"
	case ".raw", ".img", ".dd":
		return "raw"
	}
	return "image"
}

// open opens what is converted: a regular file is a disk, anything else the
// name of an image.
func (f *convertFlags) open(ctx context.Context, c *console, spec string) (image.Image, func(), error) {
	if st, err := os.Stat(spec); err == nil && st.Mode().IsRegular() {
		return openDiskFile(spec, st)
	}
	d, name, err := f.images.openImage(ctx, c, spec)
	if err != nil {
		return nil, nil, err
	}
	im, err := clonezilla.Open(d, name)
	if err != nil {
		d.Close()
		return nil, nil, fmt.Errorf("image %s: %w", name, err)
	}
	return im, func() { im.Close(); d.Close() }, nil
}

// openDiskFile shows a raw or qcow2 file as an image.
func openDiskFile(path string, st fs.FileInfo) (image.Image, func(), error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	var r io.ReaderAt = file
	disk := image.Disk{Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Model: "raw file", Size: st.Size() &^ 511, SectorSize: 512, PhysicalSectorSize: 512}
	if qcow2.Is(file) {
		q, err := qcow2.Open(file, st.Size())
		if err != nil {
			file.Close()
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		r, disk.Size, disk.Model = q, q.Size()&^511, "qcow2 file"
	}
	if disk.Size == 0 {
		file.Close()
		return nil, nil, fmt.Errorf("%s has no sector: there is nothing to convert", path)
	}
	o, err := engine.Survey(r, &disk, engine.Choice{})
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	for i := range disk.Volumes {
		disk.Volumes[i].Index = i
	}
	m := &image.Manifest{Format: 1, Name: disk.Name, Created: st.ModTime().UTC().Truncate(time.Second), Tool: version.Tool, WholeDisk: true, Consistency: "offline", Disks: []image.Disk{disk}}
	return engine.Live(m, []*engine.Origin{o}), func() { file.Close() }, nil
}

// toImage writes an image directory.
func (f *convertFlags) toImage(ctx context.Context, c *console, from image.Image, dest string) error {
	d, name, err := f.images.openImage(ctx, c, dest)
	if err != nil {
		return err
	}
	defer d.Close()
	m, tables, err := f.described(from, name)
	if err != nil {
		return err
	}
	if len(m.Disks) == 0 {
		return fmt.Errorf("image %s holds nothing that can be written anew: see doppel images show %s", from.Manifest().Name, from.Manifest().Name)
	}
	for _, v := range from.Manifest().AllVolumes() {
		if v.Method == image.Absent && v.Reason != "" {
			c.report(progress.Event{Kind: progress.Warning, Text: fmt.Sprintf("%s will not be in the new image: %s", v.Name, v.Reason)})
		}
	}
	for _, v := range m.AllVolumes() {
		if v.Lost() > 0 {
			c.report(progress.Event{Kind: progress.Warning, Text: fmt.Sprintf("%s is damaged: %s; the new image says so too, without the list of the files", v.Name, damageOf(v))})
		}
	}
	if !f.split.set {
		f.split.bytes = plan.SplitFor(m, d.MaxFile())
	}
	w, err := clonezilla.Create(d, m, clonezilla.Options{Level: f.level, Split: f.split.bytes, Command: f.command, Tables: tables})
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	j, began := c.newJob("convert", name), time.Now()
	if err := engine.Copy(ctx, from, m, w, c.history, j.meter); err != nil {
		return fmt.Errorf("image %s was not made: %w", name, err)
	}
	c.result(done, fmt.Sprintf("image %s is made in %s, in %s", name, d.name, clock(time.Since(began).Seconds())), "")
	return nil
}

// described makes the manifest of the new image, with the tables of its disks.
func (f *convertFlags) described(from image.Image, name string) (*image.Manifest, map[int]*partition.Table, error) {
	data, err := json.Marshal(from.Manifest())
	if err != nil {
		return nil, nil, err
	}
	m := &image.Manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, nil, err
	}
	m.Name, m.ID, m.Tool = name, newUUID(), version.Tool
	if m.Consistency == "" {
		m.Consistency = "offline"
	}
	tables := map[int]*partition.Table{}
	for i := range m.Disks {
		d := &m.Disks[i]
		var sectors []partition.Sector
		for j, a := range d.Areas {
			d.Areas[j].File = ""
			data, err := from.Area(i, from.Manifest().Disks[i].Areas[j])
			if err != nil {
				return nil, nil, err
			}
			if partition.WriteRank(a.Name) >= 0 {
				sectors = append(sectors, partition.Sector{Name: a.Name, Offset: a.Offset, Data: data})
			}
		}
		for j := range d.Volumes {
			d.Volumes[j].File = ""
		}
		if tables[i], err = partition.Parse(partition.Scheme(d.Scheme), sectors, d.Size, d.SectorSize); err != nil {
			return nil, nil, fmt.Errorf("%w: partition table of %s: %w", image.ErrDamaged, d.Name, err)
		}
	}
	return m, tables, nil
}

// fileTarget is a disk file that is being written.
type fileTarget interface {
	engine.Target
	Close() error
}

// rawFile is a disk file without a format.
type rawFile struct {
	*os.File
	size int64
}

func (r rawFile) Size() int64        { return r.size }
func (r rawFile) DropCache() error   { return r.Sync() }
func (r rawFile) ReReadTable() error { return nil }
func (r rawFile) Close() error       { return r.Sync() } // the file itself is closed by who made it

// toFile writes a disk file. Until it is whole it has another name.
func (f *convertFlags) toFile(ctx context.Context, c *console, from image.Image, dest string) error {
	p, err := f.filePlan(from, dest)
	if err != nil {
		return err
	}
	if err := f.room(dest, p.Bytes); err != nil {
		return err
	}
	for _, w := range p.Warnings {
		c.report(progress.Event{Kind: progress.Warning, Text: w})
	}
	hidden := filepath.Join(filepath.Dir(dest), "."+filepath.Base(dest)+".part")
	file, err := createFile(hidden)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there: another job writes to it", hidden)
	}
	if err != nil {
		return err
	}
	defer os.Remove(hidden)
	defer file.Close()
	j, began := c.newJob("convert", filepath.Base(dest)), time.Now()
	target, err := f.target(file, p.Target.Size)
	if err != nil {
		return err
	}
	jobs := []engine.Job{{Plan: p, Target: target}}
	if _, err := engine.Restore(ctx, from, jobs, engine.RestoreOptions{Verify: f.verify}, j.meter); err != nil {
		return err
	}
	if err := target.Close(); err != nil {
		return err
	}
	if err := takeName(hidden, dest); err != nil {
		return err
	}
	c.result(done, fmt.Sprintf("%s is made: %s in %s", dest, blockdev.Bytes(p.Bytes), clock(time.Since(began).Seconds())), "")
	return nil
}

// filePlan plans the disk file as a restore.
func (f *convertFlags) filePlan(from image.Image, dest string) (*plan.Restore, error) {
	if _, err := os.Lstat(dest); err == nil {
		return nil, misuse("%s is there already: choose another name", dest)
	}
	m := from.Manifest()
	if len(m.Disks) == 0 {
		return nil, fmt.Errorf("image %s holds no disk that a file could be made of: see doppel images show %s", m.Name, m.Name)
	}
	i := 0
	if f.disk != "" {
		i = slices.IndexFunc(m.Disks, func(d image.Disk) bool { return d.Name == f.disk })
	} else if len(m.Disks) > 1 {
		i = -1
	}
	if i < 0 {
		var names []string
		for _, d := range m.Disks {
			names = append(names, d.Name)
		}
		return nil, misuse("a file holds one disk: choose one of %s with --disk", strings.Join(names, ", "))
	}
	d := m.Disks[i]
	var only []string
	if len(m.Disks) > 1 {
		only = []string{d.Name}
	}
	p, err := plan.NewRestore(plan.RestoreInput{
		Manifest: m, Area: from.Area, Only: only, SectorSize: d.SectorSize,
		Target: plan.Device{Path: dest, Size: d.Size},
	})
	if err == nil && len(p.Refusals) > 0 {
		err = fmt.Errorf("%s cannot be made: %s", dest, p.Refusals[0])
	}
	return p, err
}

// room refuses where the folder has less room than the data takes.
func (f *convertFlags) room(dest string, bytes int64) error {
	d, err := dir.Open(filepath.Dir(dest))
	if err != nil {
		return err
	}
	defer d.Close()
	if free, err := d.Free(); err == nil && free >= 0 && free < bytes {
		return fmt.Errorf("%s has room for %s, the file will take %s: choose another place", filepath.Dir(dest), blockdev.Bytes(free), blockdev.Bytes(bytes))
	}
	return nil
}

func (f *convertFlags) target(file *os.File, size int64) (fileTarget, error) {
	if f.format == "qcow2" {
		return qcow2.Create(file, size)
	}
	return rawFile{file, size}, file.Truncate(size)
}

// createFile makes a new file, never a device, and locks it. What a killed job
// left in its place goes away: nobody holds its lock any more.
func createFile(path string) (*os.File, error) {
	if old, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0); err == nil {
		st, err := old.Stat()
		if err == nil && st.Mode().IsRegular() && unix.Flock(int(old.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.Remove(path) // what stays is an error below
		}
		old.Close()
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	return file, nil
}
