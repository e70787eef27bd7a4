package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/engine"
	"doppel.live/internal/image"
)

const imagesUsage = "doppel images [list | show IMAGE | rename IMAGE NAME | remove IMAGE] [--images PLACE] [--credentials FILE] [--yes] [--json]"

const imagesHelp = `Manages the images of a place.

  list                 all images, with date, size and what they hold (default)
  show IMAGE           one image, volume by volume
  rename IMAGE NAME    gives an image another name
  remove IMAGE         removes an image, after asking

Options:
  --images PLACE where the images are; doppel help places says how a
                 place is named (default: $DOPPEL_IMAGES, or the place
                 chosen in the live system, or /images)
  --credentials FILE
                 what the server of the place asks for
  --yes          remove without asking
  --json         print one JSON document
`

func runImages(ctx context.Context, c *console, args []string) error {
	fs := flag.NewFlagSet("images", flag.ContinueOnError)
	images, yes := imagesFlag(fs), fs.Bool("yes", false, "")
	rest, err := c.parse(fs, "images", args)
	if err != nil {
		return err
	}
	action := "list"
	if len(rest) > 0 {
		action, rest = rest[0], rest[1:]
	}
	wanted, known := map[string]int{"list": 0, "show": 1, "rename": 2, "remove": 1}[action]
	if !known {
		return misuse("images cannot %q", action)
	}
	if len(rest) != wanted {
		return misuse("images %s takes %d names", action, wanted)
	}
	switch action {
	case "show":
		return showImage(ctx, c, images, rest[0])
	case "rename":
		return renameImage(ctx, c, images, rest[0], rest[1])
	case "remove":
		return removeImage(ctx, c, images, rest[0], *yes)
	}
	return listImages(ctx, c, images)
}

func listImages(ctx context.Context, c *console, images *placeFlags) error {
	d, err := images.open(ctx, c)
	if err != nil {
		return err
	}
	defer d.Close()
	all, err := clonezilla.List(d)
	if err != nil {
		return err
	}
	if all == nil {
		all = []clonezilla.Summary{}
	}
	if c.json {
		return c.print(struct {
			Place  string               `json:"place"`
			Images []clonezilla.Summary `json:"images"`
		}{d.name, all})
	}
	if len(all) == 0 {
		c.say("There are no images in %s.", d.name)
	}
	for _, s := range all {
		c.say("%-24s %-16s %10s  %s", s.Name, date(s.Created), blockdev.Bytes(s.Stored), holds(s))
	}
	return nil
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// holds says in one line what an image holds.
func holds(s clonezilla.Summary) string {
	if s.Problem != "" {
		return s.Problem
	}
	if !s.Complete {
		return "not complete"
	}
	parts := []string{}
	for _, d := range s.Disks {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Name, blockdev.Bytes(d.Size), d.Model)))
	}
	kinds := []string{}
	for _, v := range s.Volumes {
		kinds = append(kinds, cmp.Or(v.FileSystem, "unknown"))
	}
	if len(parts) == 0 {
		parts = []string{"no disk"}
	}
	text := fmt.Sprintf("%s (%s)", strings.Join(parts, ", "), strings.Join(kinds, " "))
	if s.Damaged > 0 {
		text += ", DAMAGED: " + blockdev.Bytes(s.Damaged) + " could not be read"
	}
	return text
}

func showImage(ctx context.Context, c *console, images *placeFlags, spec string) error {
	d, name, err := images.openImage(ctx, c, spec)
	if err != nil {
		return err
	}
	defer d.Close()
	im, err := clonezilla.Open(d, name)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	defer im.Close()
	m := im.Manifest()
	if c.json {
		return c.print(m)
	}
	c.say("%s  saved %s by %s", name, date(m.Created), m.Tool)
	for _, k := range m.Disks {
		name := k.Name
		if k.Alias != "" {
			name += " (" + k.Alias + " in Clonezilla)"
		}
		c.say("%s  %s, %s table", name, strings.TrimSpace(blockdev.Bytes(k.Size)+" "+k.Model+" "+k.Serial), k.Scheme)
		for _, v := range k.Volumes {
			c.sayVolume(v)
			if v.Lost() > 0 {
				c.say("    DAMAGED: %s", damageOf(v))
			}
		}
		if len(k.Damaged) > 0 {
			c.say("    DAMAGED: some of its tables or boot code could not be read")
		}
	}
	if m.Lost() > 0 {
		c.say("The damaged files are listed in %s", d.join(name, engine.DamagedFiles))
	}
	if len(m.Nested) > 0 {
		c.say("On no partition by themselves")
	}
	for _, v := range m.Nested {
		c.sayVolume(v)
	}
	return nil
}

func (c *console) sayVolume(v image.Volume) {
	c.say("  %-14s %-12s %10s  %10s saved  %-7s %s", v.Name, v.FileSystem, blockdev.Bytes(v.Size), blockdev.Bytes(max(v.Used, 0)), v.Method, v.Label)
	if v.Method == image.Absent && v.Reason != "" {
		c.say("                 %s", v.Reason)
	}
}

func renameImage(ctx context.Context, c *console, images *placeFlags, spec, name string) error {
	if err := clonezilla.CheckName(name); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	d, old, err := existing(ctx, c, images, spec)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Rename(old, name); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%q: %w", name, clonezilla.ErrExists)
		}
		return err
	}
	c.result(done, fmt.Sprintf("image %s is now called %s", old, name), "")
	return nil
}

// existing opens the place of an image, or of what is left of one.
func existing(ctx context.Context, c *console, images *placeFlags, spec string) (*place, string, error) {
	d, name, err := images.openImage(ctx, c, spec)
	if err != nil {
		return nil, "", err
	}
	all, err := clonezilla.List(d)
	if err == nil {
		for _, s := range all {
			if s.Name == name {
				return d, name, nil
			}
		}
		err = fmt.Errorf("%s in %s: %w", name, d.name, clonezilla.ErrNoImage)
	}
	d.Close()
	return nil, "", err
}

func removeImage(ctx context.Context, c *console, images *placeFlags, spec string, yes bool) error {
	d, name, err := existing(ctx, c, images, spec)
	if err != nil {
		return err
	}
	defer d.Close()
	if !yes {
		if !c.asks || c.json {
			return misuse("remove needs --yes where nobody can be asked")
		}
		answer, err := c.ask(ctx, fmt.Sprintf("Remove image %s for good? Type its name: ", d.join(name)))
		if err != nil {
			return err
		}
		if answer != name {
			return fmt.Errorf("image %s was not removed", name)
		}
	}
	if err := clonezilla.Remove(d, name); err != nil {
		return err
	}
	c.result(done, fmt.Sprintf("image %s is removed", name), "")
	return nil
}
