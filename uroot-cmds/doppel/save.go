package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/engine"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
)

const saveUsage = "doppel save SOURCE... IMAGE [--images PLACE] [--credentials FILE] [--except NAMES] [--compress HOW] [--split SIZE] [--rescue [--retries N | --finish]] [--resume] [--plan] [--yes] [--json]"

const saveHelp = `Saves disks, or some partitions of one, to a new image. Of file
systems whose allocation is understood (README.md lists them) the blocks in use
are saved, of swap UUID and label, of everything else every byte. The source is
only read. Nothing looks like an image until all is saved.

SOURCE is a path, a kernel name (sda, sda2), or serial:, wwn:, uuid:, partuuid:
or label: with a value. IMAGE is a path, or a name in the place for images.

Options:
  --images PLACE    where the images are; doppel help places says how a
                    place is named (default: $DOPPEL_IMAGES, or the place
                    chosen in the live system, or /images)
  --credentials FILE
                    what the server of the place asks for
  --except NAMES    leave these partitions out, such as sda3,sda5
  --compress HOW    none, fast, default, max, or gzip for the oldest versions of
                    Clonezilla (default: default). With max programs and text
                    become 10 to 15 % smaller than with default, and a save
                    takes ten times as long; a restore does not
  --split SIZE      cut volumes into files of at most SIZE: 4G, 2000M, or none
                    (default: none, but 4G on FAT where one could get too long)
  --rescue          the disk fails: read around what cannot be read, in large
                    pieces first, and fill what is lost with markers. The image
                    names the damaged files; the exit status is 4 then. Until
                    the image is whole, what was read lies in IMAGE.rescue
  --retries N       with --rescue: try bad sectors N times more (default: 1)
  --finish          with --rescue, and without SOURCE: the disk is gone for good
                    or given up; make the image of what an interrupted rescue
                    has read. What it has not counts as lost
  --resume          go on with a save or a rescue that was interrupted. A save
                    takes over the volumes that were complete, if tables and
                    file systems are as they were
  --plan            print what would be done, and stop
  --yes             ask nothing (saving asks nothing; for symmetry with restore)
  --json            print events, one JSON document a line
`

// saving is a save between its parts.
type saving struct {
	sources  []*blockdev.Source
	origins  []*engine.Origin
	input    plan.SaveInput
	manifest *image.Manifest
	options  clonezilla.Options
	split    splitSize
	rescue   *rescuing // nil: not a failing disk
	resume   bool      // go on with a save that was interrupted
	args     []string  // the sources and the image
}

func runSave(ctx context.Context, c *console, args []string) error {
	fs := flag.NewFlagSet("save", flag.ContinueOnError)
	images, only := imagesFlag(fs), fs.Bool("plan", false, "")
	_ = fs.Bool("yes", false, "")
	level := fs.String("compress", string(clonezilla.Default), "")
	var except list
	fs.Var(&except, "except", "")
	var split splitSize
	fs.Var(&split, "split", "")
	rescue := rescueFlags(fs)
	rest, err := c.parse(fs, "save", args)
	if err == nil {
		err = rescue.check(len(rest))
	}
	if err != nil {
		return err
	}
	s := &saving{options: clonezilla.Options{
		Level: clonezilla.Level(*level), Command: "doppel save " + strings.Join(args, " "), Tables: map[int]*partition.Table{},
	}}
	if !s.options.Level.Known() {
		return misuse("--compress is none, fast, default, max or gzip")
	}
	defer s.close()
	s.split, s.resume, s.args = split, rescue.resume && !rescue.on, rest
	d, name, err := images.openImage(ctx, c, rest[len(rest)-1])
	if err != nil {
		return err
	}
	defer d.Close()
	if rescue.on && d.folder == "" {
		return misuse("--rescue needs a folder of this machine, where it keeps what was read until the image is whole: a disk, or a place that is mounted")
	}
	if rescue.on {
		s.rescue = newRescuing(ctx, c, rescue, rest, d.folder, name, *only || d.ReadOnly())
	}
	if err := s.survey(rest[:len(rest)-1], name, except); err != nil {
		return err
	}
	if err := s.look(d, name); err != nil {
		return err
	}
	p := plan.NewSave(s.input)
	if err := c.showSave(p, *only); err != nil || *only {
		return err
	}
	return s.run(ctx, c, d, p)
}

func (s *saving) close() {
	s.rescue.close()
	for _, src := range s.sources {
		src.Close()
	}
}

// look finds out whether the place can take the image.
func (s *saving) look(d *place, name string) error {
	s.input.Place = d.name
	var err error
	if s.input.Behind, err = d.behind(); err != nil {
		return err
	}
	if s.input.Free, err = d.Free(); err != nil {
		return err
	}
	s.input.MaxFile = d.MaxFile()
	if s.options.Split = s.split.bytes; !s.split.set {
		s.options.Split = plan.SplitFor(s.manifest, s.input.MaxFile)
	}
	s.input.Split = s.options.Split
	if err := clonezilla.CheckName(name); err != nil {
		s.input.Problem = fmt.Sprintf("%q is not a name for an image: use letters, digits and . _ - + @, a letter or digit first", name)
		return nil
	}
	switch _, err := d.List(name); {
	case err == nil && s.rescue.leftover(d, name): // of the same rescue, killed while it wrote the image
	case s.resume:
		if err := s.lookBegun(d, name); err != nil {
			return err
		}
	case err == nil && s.rescue == nil && clonezilla.Begun(d, name):
		s.input.Problem = fmt.Sprintf("saving %s was begun and interrupted: go on with --resume, or remove what is left with doppel images remove %s", name, name)
	case err == nil && clonezilla.Empty(d, name): // of a save that was killed as it began
	case err == nil && notImage(d, name):
		s.input.Problem = fmt.Sprintf("%s has a folder called %s that is no image: choose another name", d.name, name)
	case err == nil:
		s.input.Problem = fmt.Sprintf("%s has something called %s already: choose another name, or remove it with doppel images remove %s", d.name, name, name)
	case !errors.Is(err, fs.ErrNotExist):
		s.input.Problem = fmt.Sprintf("%s has something called %s that is no folder: choose another name", d.name, name)
	case d.ReadOnly():
		s.input.Problem = d.name + " is read-only: choose another place with --images, or mount it for writing"
	}
	s.rescue.look(s)
	s.input.Ratio, s.input.Rate = engine.Estimate(s.manifest, s.origins)
	if s.options.Level == clonezilla.None {
		s.input.Ratio = 1
	}
	return nil
}

// lookBegun finds out which volumes of an interrupted save can be taken over.
func (s *saving) lookBegun(d *place, name string) error {
	if err := s.seal(); err != nil {
		return err
	}
	saved, err := clonezilla.CheckResume(d, s.manifest, s.options)
	switch {
	case errors.Is(err, clonezilla.ErrNoImage), errors.Is(err, fs.ErrNotExist):
		s.input.Problem = fmt.Sprintf("no save to %s that could be gone on with was begun in %s: leave out --resume", name, d.name)
	case errors.Is(err, clonezilla.ErrChanged), errors.Is(err, image.ErrDamaged):
		s.input.Problem = fmt.Sprintf("%v: remove what was begun with doppel images remove %s, and start anew without --resume", err, name)
	case err != nil:
		return err
	}
	s.input.Saved = saved
	return nil
}

// seal remembers what tells whether the sources were written to.
func (s *saving) seal() error {
	if s.options.Seals != nil {
		return nil
	}
	s.options.Seals = map[int]string{}
	for i, disk := range s.manifest.Disks {
		seals, err := engine.Seal(disk, s.origins[i])
		if err != nil {
			return err
		}
		maps.Copy(s.options.Seals, seals)
	}
	return nil
}

func notImage(d *place, name string) bool {
	_, err := clonezilla.Summarize(d, name)
	return errors.Is(err, clonezilla.ErrNoImage)
}

func (s *saving) run(ctx context.Context, c *console, d *place, p *plan.Save) error {
	if s.rescue != nil {
		return s.runRescue(ctx, c, d, p)
	}
	j := c.newJob("save", p.Image)
	c.note(p.Warnings)
	if err := s.seal(); err != nil {
		return err
	}
	var disks []blockdev.Disk
	for _, src := range s.sources {
		disks = append(disks, src.Disk())
	}
	s.options.Files = hardware(ctx, disks)
	create := clonezilla.Create
	if s.resume {
		create = clonezilla.Resume
	}
	w, err := create(d, s.manifest, s.options)
	if err != nil {
		return fmt.Errorf("image %s: %w", p.Image, err)
	}
	began := time.Now()
	if err := engine.Save(ctx, s.manifest, s.origins, w, c.history, j.meter); err != nil {
		return s.stopped(ctx, err, w, p)
	}
	c.result(done, fmt.Sprintf("image %s is saved in %s: %s in %s", p.Image, p.Place, blockdev.Bytes(p.Bytes), clock(time.Since(began).Seconds())), "")
	return nil
}

// stopped says what is left of a save that failed or was cancelled, and how to
// go on.
func (s *saving) stopped(ctx context.Context, err error, w image.Writer, p *plan.Save) error {
	text := fmt.Errorf("image %s was not saved: %w", p.Image, err)
	r, ok := w.(image.Resumed)
	if !ok || !r.Kept() {
		return text
	}
	before := ""
	var away *remote.Error
	switch {
	case ctx.Err() != nil:
		text = fmt.Errorf("cancelled: image %s is not saved yet", p.Image)
	case errors.Is(err, store.ErrFull):
		text, before = fmt.Errorf("image %s is not saved yet: no room left in %s", p.Image, p.Place), "make room there; "
	case errors.As(err, &away):
		before = strings.TrimSuffix(away.Next, ".") + "; "
	}
	resume := "--resume"
	if !strings.Contains(s.args[len(s.args)-1], "/") {
		resume += " --images " + p.Place
	}
	next := before + fmt.Sprintf("the volumes that were complete are kept: go on with doppel save %s %s, or remove them with doppel images remove %s",
		resume, strings.Join(s.args, " "), p.Image)
	var known *engine.Error
	if errors.As(err, &known) && known.Next != "" {
		next = known.Next + "; " + next
	}
	return &engine.Error{Err: text, Next: next}
}

// showSave prints the plan, and ends with status 3 if it refuses.
func (c *console) showSave(p *plan.Save, only bool) error {
	if c.json {
		c.report(progress.Event{Kind: progress.Plan, Plan: p})
		return c.refusals(p.Refusals, only)
	}
	for _, d := range p.Sources {
		c.say("From %s", person(d))
	}
	c.say("To image %s in %s", p.Image, p.Place)
	c.steps(p.Steps)
	about := ""
	if p.Stored > 0 {
		about = fmt.Sprintf(", about %s stored", blockdev.Bytes(p.Stored))
	}
	if p.Rescue {
		about += fmt.Sprintf(" and %s more until the image is whole", blockdev.Bytes(p.Spool))
	}
	if p.Free >= 0 {
		about += fmt.Sprintf(", %s free", blockdev.Bytes(p.Free))
	}
	c.say("%s to read%s%s", blockdev.Bytes(p.Bytes), about, duration(p.Seconds))
	c.warnings(p.Warnings)
	return c.refusals(p.Refusals, only)
}

// person names a device for people.
func person(d plan.Device) string {
	return blockdev.Consent{Path: d.Path, Model: d.Model, Serial: d.Serial, Size: d.Size, Contents: d.Contents}.String()
}

func (c *console) steps(steps []plan.Step) {
	for _, s := range steps {
		kind := s.FileSystem
		if kind == "" {
			kind = "-"
		}
		c.say("  %-14s %-12s %-6s %10s of %-10s %s", s.Volume, kind, s.Method, blockdev.Bytes(s.Bytes), blockdev.Bytes(s.Size), s.Reason)
	}
}

func (c *console) warnings(texts []string) {
	for _, w := range texts {
		c.line(c.err, "Warning: "+w)
	}
}

// refusals tells why the plan cannot be carried out. Under --plan --json the
// plan alone says so.
func (c *console) refusals(texts []string, only bool) error {
	switch {
	case len(texts) == 0:
		return nil
	case c.json && !only:
		c.report(progress.Event{Kind: progress.Result, Status: refused, Text: "refused: " + texts[0]})
	case !c.json:
		for _, r := range texts {
			c.line(c.err, "Refused: "+r+".")
		}
	}
	return errStatus(refused)
}

func duration(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return ", about " + clock(float64(seconds)) + " minutes"
}

// newUUID makes a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
