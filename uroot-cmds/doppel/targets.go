package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/engine"
	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
)

// writeFlags are the options of the commands that write to devices.
type writeFlags struct {
	plan, yes, verify, delta, keepTable bool
	consent                             string
	only                                list
}

func (f *writeFlags) register(set *flag.FlagSet) {
	set.BoolVar(&f.plan, "plan", false, "")
	set.BoolVar(&f.yes, "yes", false, "")
	set.BoolVar(&f.verify, "verify", false, "")
	set.BoolVar(&f.delta, "delta", false, "")
	set.StringVar(&f.consent, "consent", "", "")
}

func (f *writeFlags) check() error {
	if f.consent != "" && f.yes {
		return misuse("--consent and --yes say the same: give one of them")
	}
	return nil
}

// targets are the devices that one reading of an image, or of a disk, is
// written to.
type targets struct {
	image    image.Image
	source   *plan.Device // of a clone
	holds    []string     // folders that must not lie on a target
	away     []string     // kernel names of disks that must not be a target
	refusals []string     // of the source
	flags    writeFlags
	list     []*target
}

// target is one of them.
type target struct {
	spec    string // as it was named
	disk    blockdev.Disk
	consent blockdev.Consent
	doubt   string // why the partitions in it cannot be trusted
	present *partition.Table
	options blockdev.Options
	plan    *plan.Restore
}

// prepare looks at the targets and makes the plans.
func (ts *targets) prepare(specs []string) error {
	seen := map[string]bool{}
	for _, spec := range specs {
		t := &target{spec: spec}
		if err := ts.look(t); err != nil {
			return err
		}
		if seen[t.disk.Path] {
			return misuse("%s is named twice", spec)
		}
		seen[t.disk.Path] = true
		ts.list = append(ts.list, t)
	}
	return nil
}

// examine finds the disk, sees what it is and holds, and opens it for reading.
func (t *target) examine() (f *os.File, err error) {
	path, err := inventory.Lookup(t.spec)
	if err != nil {
		return nil, err
	}
	if t.disk, err = (blockdev.System{}).Disk(path); err != nil {
		return nil, err
	}
	if t.consent, err = blockdev.Examine(t.disk.Path, inventory.Describe); err != nil {
		return nil, err
	}
	if f, err = blockdev.OpenToLook(t.disk.Path); err != nil {
		return nil, err
	}
	if t.present, err = partition.Read(f, t.disk.Size, t.disk.SectorSize); err != nil {
		f.Close()
		return nil, err
	}
	t.doubt = inventory.Of(f, t.present, t.disk.Name, t.disk.Size).Doubt
	return f, nil
}

// look finds out what a target is and plans it.
func (ts *targets) look(t *target) error {
	f, err := t.examine()
	if err != nil {
		return err
	}
	defer f.Close()
	whole, number := blockdev.System{}.DiskOf(t.disk.Name)
	keep, err := t.tableWithin()
	if err != nil {
		return err
	}
	t.plan, err = plan.NewRestore(plan.RestoreInput{
		Manifest: ts.image.Manifest(), Area: ts.image.Area, Only: ts.flags.only, KeepTable: ts.flags.keepTable, Source: ts.source,
		Target: plan.Device{
			Path: t.disk.Path, Model: t.disk.Model, Serial: t.disk.Serial, Size: t.disk.Size, Contents: t.consent.Contents,
		},
		SectorSize: t.disk.SectorSize, Present: t.present, Doubt: t.doubt, Consent: t.consent,
		Partition: number > 0 && t.disk.Transport != "file", Keep: keep,
		Others: t.otherSerials(), Rate: engine.ReadRate(f, t.disk.Size),
	})
	if err != nil {
		return err
	}
	for _, name := range ts.away {
		if name == whole || name == t.disk.Path {
			t.plan.Refusals = append(t.plan.Refusals, fmt.Sprintf("%s lies on the source: choose another disk", t.disk.Path))
		}
	}
	t.refuse(ts.holds)
	t.plan.Refusals = append(t.plan.Refusals, ts.refusals...)
	t.guard(ts.flags.yes)
	return ts.openVolumes(t.plan)
}

// tableWithin gives the sectors of the disk's table that lie in the partition
// that is the target, with offsets from its start: the disklabel of a slice
// lies in the first of its partitions.
func (t *target) tableWithin() ([]partition.Sector, error) {
	name, number := blockdev.System{}.DiskOf(t.disk.Name)
	if number == 0 || t.disk.Transport == "file" {
		return nil, nil
	}
	whole, err := blockdev.System{}.Disk(strings.TrimSuffix(t.disk.Path, t.disk.Name) + name)
	if err != nil {
		return nil, err
	}
	f, err := blockdev.OpenToLook(whole.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, err := partition.Read(f, whole.Size, whole.SectorSize)
	if err != nil {
		return nil, err
	}
	var found []partition.Sector
	for _, q := range table.Partitions {
		if q.Number != number || q.Size != t.disk.Size || q.Parent == 0 {
			continue
		}
		for _, s := range table.Within(extent.Extent{Offset: q.Start, Length: q.Size}) {
			s.Offset -= q.Start
			found = append(found, s)
		}
	}
	return found, nil
}

// openVolumes adds to the plan which volumes the image cannot give: better now
// than when the target is wiped.
func (ts *targets) openVolumes(p *plan.Restore) error {
	for _, s := range p.Steps {
		if s.Method == image.Absent {
			continue
		}
		v, err := ts.image.Open(s.Index)
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
func (t *target) refuse(holds []string) {
	t.options = blockdev.Options{Describe: inventory.Describe, Holds: holds}
	err := blockdev.Refuse(t.disk.Path, t.options)
	if err == nil {
		return
	}
	text := err.Error()
	if why, ok := blockdev.IsRefusal(err); ok {
		text += ": " + why.Next
	}
	t.plan.Refusals = append([]string{text}, t.plan.Refusals...)
}

// otherSerials gives the serial numbers of the other disks of the machine.
func (t *target) otherSerials() []string {
	all, _ := blockdev.List()
	own, _ := blockdev.System{}.DiskOf(t.disk.Name)
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
func (t *target) guard(yes bool) {
	if !yes || strings.ContainsAny(t.spec, "/:") || t.disk.Transport == "loop" {
		return
	}
	all, _ := blockdev.List()
	fitting := 0
	for _, d := range all {
		if d.Transport != "loop" && !d.BootMedium && !d.ReadOnly && d.Size >= t.disk.Size/2 && len(d.InUse) == 0 {
			fitting++
		}
	}
	if fitting > 1 {
		better := "by its path"
		if t.disk.Serial != "" {
			better = "serial:" + t.disk.Serial
		}
		t.plan.Refusals = append(t.plan.Refusals, fmt.Sprintf(
			"%s may be another disk at the next start, and %d disks would fit: name the target %s", t.spec, fitting, better))
	}
}

// set joins the plans.
func (ts *targets) set() *plan.Set {
	var plans []*plan.Restore
	for _, t := range ts.list {
		plans = append(plans, t.plan)
	}
	return plan.NewSet(plans)
}

// show prints the plan, and ends with status 3 if it refuses. One target has
// the plan of a restore, several a set of them.
func (ts *targets) show(c *console) error {
	only := ts.flags.plan
	set := ts.set()
	if len(ts.list) == 1 {
		set.Consent, set.Refusals, set.Warnings = ts.list[0].plan.Consent, ts.list[0].plan.Refusals, ts.list[0].plan.Warnings
	}
	if c.json {
		var p any = set
		if len(ts.list) == 1 {
			p = ts.list[0].plan
		}
		c.report(progress.Event{Kind: progress.Plan, Plan: p})
		return c.refusals(set.Refusals, only)
	}
	if ts.source != nil {
		c.say("From %s", person(*ts.source))
	} else {
		c.say("From image %s", set.Image)
	}
	for _, t := range ts.list {
		c.say("To %s", person(t.plan.Target))
	}
	c.steps(ts.list[0].plan.Steps)
	if len(set.Refusals) == 0 {
		each := ""
		if len(ts.list) > 1 {
			each = " to each target"
		}
		c.say("%s to write%s%s; consent code %s", blockdev.Bytes(set.Bytes), each, duration(set.Seconds), set.Consent)
	}
	c.warnings(set.Warnings)
	return c.refusals(set.Refusals, only)
}

// agree makes sure that somebody wants every target overwritten.
func (ts *targets) agree(ctx context.Context, c *console, name string) error {
	f := ts.flags
	code := ts.list[0].plan.Consent
	if len(ts.list) > 1 {
		code = ts.set().Consent
	}
	switch {
	case f.yes:
		return nil
	case f.consent != "":
		if f.consent == code {
			return nil
		}
		return &blockdev.Refusal{
			Device: ts.list[0].consent, Reason: "the consent code " + f.consent + " is not for this job on what the target is now",
			Next: fmt.Sprintf("look at the plan (doppel %s --plan) and take its code", name),
		}
	case !c.asks || c.json:
		return misuse("%s needs --consent CODE or --yes where nobody can be asked", name)
	}
	for _, t := range ts.list {
		typed, err := c.ask(ctx, fmt.Sprintf("Everything on %s will be lost. To agree, type %s: ", t.disk.Path, t.plan.Confirm.Ask))
		if err != nil {
			return err
		}
		if !t.plan.Confirm.Agrees(typed) {
			return &blockdev.Refusal{Device: t.consent, Reason: "what was typed does not fit", Next: "nothing was written; look whether this is the right target and start again"}
		}
	}
	return nil
}

// open opens every target, or none.
func (ts *targets) open(folder string) (opened []*blockdev.Target, err error) {
	for _, t := range ts.list {
		t.options.Keep = folder
		for _, s := range t.present.Sectors {
			t.options.Tables = append(t.options.Tables, extent.Extent{Offset: s.Offset, Length: int64(len(s.Data))})
		}
		target, err := blockdev.OpenTarget(t.disk.Path, t.consent, t.options)
		if err != nil {
			for _, o := range opened {
				o.Close()
			}
			return nil, err
		}
		opened = append(opened, target)
	}
	return opened, nil
}

// run opens the targets and writes.
func (ts *targets) run(ctx context.Context, c *console, name string) error {
	j := c.newJob(name, ts.image.Manifest().Name)
	for _, t := range ts.list {
		c.note(t.plan.Warnings)
	}
	opened, err := ts.open(j.folder)
	if err != nil {
		return err
	}
	var jobs []engine.Job
	for i, t := range ts.list {
		jobs = append(jobs, engine.Job{Plan: t.plan, Target: opened[i], Present: t.present})
	}
	began := time.Now()
	outcomes, err := engine.Restore(ctx, ts.image, jobs, engine.RestoreOptions{Verify: ts.flags.verify, Delta: ts.flags.delta}, j.meter)
	written := false
	for _, t := range opened {
		written = written || t.Written()
		err = errors.Join(err, t.Close())
	}
	if err != nil {
		if ctx.Err() != nil && written {
			return &engine.Error{Err: fmt.Errorf("cancelled: %s is not whole", ts.names()), Next: name + " again: what was on the target is lost"}
		}
		return err
	}
	c.result(done, ts.summary(outcomes, time.Since(began)), "")
	return nil
}

func (ts *targets) names() string {
	var names []string
	for _, t := range ts.list {
		names = append(names, t.disk.Path)
	}
	return strings.Join(names, ", ")
}

// summary is the sentence at the end of a job that went well.
func (ts *targets) summary(outcomes []engine.Outcome, took time.Duration) string {
	subject, done := "image "+ts.list[0].plan.Image, "restored"
	if ts.source != nil {
		subject, done = ts.source.Path, "cloned"
	}
	what := "is " + done + " to"
	if ts.flags.verify {
		what = "is " + done + " to, and was compared with,"
	}
	text := fmt.Sprintf("%s %s %s: %s in %s", subject, what, ts.names(), blockdev.Bytes(ts.list[0].plan.Bytes), clock(took.Seconds()))
	var lost int64
	for _, d := range ts.image.Manifest().Disks {
		for _, v := range d.Volumes {
			if slices.ContainsFunc(ts.list[0].plan.Steps, func(s plan.Step) bool { return s.Index == v.Index }) {
				lost += v.Lost()
			}
		}
	}
	if lost > 0 {
		text += fmt.Sprintf("; %s of it could not be read when it was saved, so files are damaged", blockdev.Bytes(lost))
	}
	if ts.flags.delta {
		var written int64
		for _, o := range outcomes {
			written += o.Written
		}
		text += fmt.Sprintf("; %s differed and were written", blockdev.Bytes(written))
	}
	return text
}
