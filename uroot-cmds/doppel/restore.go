package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/engine"
	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
)

const restoreUsage = "doppel restore IMAGE TARGET [--images DIR] [--only NAMES] [--plan] [--consent CODE | --yes] [--verify] [--json]"

const restoreHelp = `Writes an image to a disk, or some of its volumes to the partitions of a disk
that has them already, or one volume to one partition. Everything that is there
is lost. The target must be at least as large as the source was.

It shows what the target is and holds, and asks for the last characters of its
serial number before it writes. The partition table is written last: a restore
that was interrupted leaves nothing that looks whole.

IMAGE is a path, or a name in the place for images. TARGET is a path, a kernel
name (sda), or serial:, wwn:, uuid:, partuuid: or label: with a value.

Options:
  --images DIR     where the images are (default: $DOPPEL_IMAGES, or /images)
  --only NAMES     restore only these volumes, such as sda2,sda5, and leave the
                   table and all other partitions alone
  --plan           print what would be done, and stop
  --consent CODE   agree to exactly what --plan showed, by the code it printed
  --yes            agree without being asked; a refusal stays a refusal
  --verify         read the target back and compare it with the image
  --json           print events, one JSON document a line
`

// restoring is a restore between its parts.
type restoring struct {
	image   image.Image
	folder  string // of the image
	spec    string // the target as it was named
	disk    blockdev.Disk
	consent blockdev.Consent
	present *partition.Table
	options blockdev.Options
}

type restoreFlags struct {
	plan, yes, verify bool
	consent           string
	only              list
}

// restoreFlags reads the command line.
func (c *console) restoreFlags(args []string) (images string, f restoreFlags, rest []string, err error) {
	set := flag.NewFlagSet("restore", flag.ContinueOnError)
	place := imagesFlag(set)
	set.BoolVar(&f.plan, "plan", false, "")
	set.BoolVar(&f.yes, "yes", false, "")
	set.BoolVar(&f.verify, "verify", false, "")
	set.StringVar(&f.consent, "consent", "", "")
	set.Var(&f.only, "only", "")
	rest, err = c.parse(set, "restore", args)
	switch {
	case err != nil:
	case len(rest) != 2:
		err = misuse("restore takes an image and a target")
	case f.consent != "" && f.yes:
		err = misuse("--consent and --yes say the same: give one of them")
	}
	return *place, f, rest, err
}

func runRestore(ctx context.Context, c *console, args []string) error {
	images, f, rest, err := c.restoreFlags(args)
	if err != nil {
		return err
	}
	place, name := plan.Name(rest[0], images)
	d, err := openPlace(place)
	if err != nil {
		return err
	}
	defer d.Close()
	im, err := clonezilla.Open(d, name)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	defer im.Close()
	r := &restoring{image: im, folder: filepath.Join(place, name), spec: rest[1]}
	p, err := r.prepare(f.only)
	if err != nil {
		return err
	}
	r.guard(p, f)
	if err := c.showRestore(p, f.plan); err != nil || f.plan {
		return err
	}
	if err := r.agree(ctx, c, p, f); err != nil {
		return err
	}
	return r.run(ctx, c, p, f.verify)
}

// prepare looks at the target and makes the plan.
func (r *restoring) prepare(only []string) (*plan.Restore, error) {
	path, err := inventory.Lookup(r.spec)
	if err != nil {
		return nil, err
	}
	if r.disk, err = (blockdev.System{}).Disk(path); err != nil {
		return nil, err
	}
	if r.consent, err = blockdev.Examine(r.disk.Path, inventory.Describe); err != nil {
		return nil, err
	}
	f, err := blockdev.OpenToLook(r.disk.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if r.present, err = partition.Read(f, r.disk.Size, r.disk.SectorSize); err != nil {
		return nil, err
	}
	_, number := blockdev.System{}.DiskOf(r.disk.Name)
	p, err := plan.NewRestore(plan.RestoreInput{
		Manifest: r.image.Manifest(), Area: r.image.Area, Only: only,
		Target: plan.Device{
			Path: r.disk.Path, Model: r.disk.Model, Serial: r.disk.Serial, Size: r.disk.Size, Contents: r.consent.Contents,
		},
		SectorSize: r.disk.SectorSize, Present: r.present, Consent: r.consent,
		Partition: number > 0 && r.disk.Transport != "file",
		Others:    r.otherSerials(), Rate: engine.ReadRate(f, r.disk.Size),
	})
	if err != nil {
		return nil, err
	}
	r.refuse(p)
	return p, r.openVolumes(p)
}

// openVolumes adds to the plan which volumes the image cannot give: better now
// than when the target is wiped.
func (r *restoring) openVolumes(p *plan.Restore) error {
	for _, s := range p.Steps {
		if s.Method == image.Absent {
			continue
		}
		v, err := r.image.Open(s.Index)
		switch {
		case err == nil:
			v.Close()
		case !errors.Is(err, image.ErrDamaged) && !errors.Is(err, fs.ErrNotExist):
			return err
		default:
			p.Refusals = append(p.Refusals, fmt.Sprintf("%v: check the image with doppel verify, restore only what is whole (--only), or take another image", err))
		}
	}
	return nil
}

// refuse adds to the plan why the target cannot be opened for writing.
func (r *restoring) refuse(p *plan.Restore) {
	r.options = blockdev.Options{Describe: inventory.Describe, Holds: []string{r.folder}}
	err := blockdev.Refuse(r.disk.Path, r.options)
	if err == nil {
		return
	}
	text := err.Error()
	if why, ok := blockdev.IsRefusal(err); ok {
		text += ": " + why.Next
	}
	p.Refusals = append([]string{text}, p.Refusals...)
}

// otherSerials gives the serial numbers of the other disks of the machine.
func (r *restoring) otherSerials() []string {
	all, _ := blockdev.List()
	own, _ := blockdev.System{}.DiskOf(r.disk.Name)
	var serials []string
	for _, d := range all {
		if d.Name != own {
			serials = append(serials, d.Serial)
		}
	}
	return serials
}

// guard refuses a bare kernel name that nobody looked at: those names change
// from one start to the next.
func (r *restoring) guard(p *plan.Restore, f restoreFlags) {
	if !f.yes || strings.ContainsAny(r.spec, "/:") || r.disk.Transport == "loop" {
		return
	}
	all, _ := blockdev.List()
	fitting := 0
	for _, d := range all {
		if d.Transport != "loop" && !d.BootMedium && !d.ReadOnly && d.Size >= r.disk.Size/2 && len(d.InUse) == 0 {
			fitting++
		}
	}
	if fitting > 1 {
		better := "by its path"
		if r.disk.Serial != "" {
			better = "serial:" + r.disk.Serial
		}
		p.Refusals = append(p.Refusals, fmt.Sprintf(
			"%s may be another disk at the next start, and %d disks would fit: name the target %s", r.spec, fitting, better))
	}
}

// showRestore prints the plan, and ends with status 3 if it refuses.
func (c *console) showRestore(p *plan.Restore, only bool) error {
	if c.json {
		c.report(progress.Event{Kind: progress.Plan, Plan: p})
		return c.refusals(p.Refusals, only)
	}
	c.say("From image %s", p.Image)
	c.say("To %s", person(p.Target))
	c.steps(p.Steps)
	if len(p.Refusals) == 0 {
		c.say("%s to write%s; consent code %s", blockdev.Bytes(p.Bytes), duration(p.Seconds), p.Consent)
	}
	c.warnings(p.Warnings)
	return c.refusals(p.Refusals, only)
}

// agree makes sure that somebody wants the target overwritten.
func (r *restoring) agree(ctx context.Context, c *console, p *plan.Restore, f restoreFlags) error {
	switch {
	case f.yes:
		return nil
	case f.consent != "":
		if f.consent == p.Consent {
			return nil
		}
		return &blockdev.Refusal{
			Device: r.consent, Reason: "the consent code " + f.consent + " is not for this image on what the target is now",
			Next: "look at the plan (doppel restore --plan) and take its code",
		}
	case !c.asks || c.json:
		return misuse("restore needs --consent CODE or --yes where nobody can be asked")
	}
	typed, err := c.ask(ctx, fmt.Sprintf("Everything on %s will be lost. To agree, type %s: ", p.Target.Path, p.Confirm.Ask))
	if err != nil {
		return err
	}
	if !p.Confirm.Agrees(typed) {
		return &blockdev.Refusal{Device: r.consent, Reason: "what was typed does not fit", Next: "nothing was written; look whether this is the right target and start again"}
	}
	return nil
}

// run opens the target and writes.
func (r *restoring) run(ctx context.Context, c *console, p *plan.Restore, verify bool) error {
	j := c.newJob("restore", p.Image)
	r.options.Keep = j.folder
	for _, s := range r.present.Sectors {
		r.options.Tables = append(r.options.Tables, extent.Extent{Offset: s.Offset, Length: int64(len(s.Data))})
	}
	t, err := blockdev.OpenTarget(r.disk.Path, r.consent, r.options)
	if err != nil {
		return err
	}
	began := time.Now()
	_, err = engine.Restore(ctx, r.image, []engine.Job{{Plan: p, Target: t, Present: r.present}}, engine.RestoreOptions{Verify: verify}, j.meter)
	written := t.Written()
	if err := errors.Join(err, t.Close()); err != nil {
		if ctx.Err() != nil && written {
			return &engine.Error{Err: fmt.Errorf("cancelled: %s is not whole", r.disk.Path), Next: "restore again: what was on the target is lost"}
		}
		return err
	}
	what := "is restored to"
	if verify {
		what = "is restored to, and was compared with,"
	}
	c.result(done, fmt.Sprintf("image %s %s %s: %s in %s", p.Image, what, r.disk.Path, blockdev.Bytes(p.Bytes), clock(time.Since(began).Seconds())), "")
	return nil
}
