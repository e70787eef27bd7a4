package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"doppel.live/internal/image"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
)

// Job is one target of a restore.
type Job struct {
	Plan    *plan.Restore
	Target  Target
	Present *partition.Table // the old table of the target; nil: none known
}

// RestoreOptions says how a restore works. The zero value writes everything and
// compares nothing.
type RestoreOptions struct {
	Verify bool // read the targets back and compare
	Delta  bool // read the targets first, and write only what differs
}

// Outcome is how a restore ended for one target.
type Outcome struct {
	Written int64 // bytes of volumes that were written
	Err     error
}

// restore is one restore under way.
type restore struct {
	im      image.Image
	targets []*writing
	options RestoreOptions
	meter   *progress.Meter
}

// errNoTarget ends a restore all of whose targets have failed.
var errNoTarget = errors.New("no target is left")

// Restore writes an image to all targets with one reading of it, each as its
// plan says; the plans are of the same volumes. What each target was is wiped
// first, then the data is written and flushed, and the tables come last: until
// then nothing on a target looks whole. A target that fails is given up and the
// others go on. The outcomes are parallel to jobs; the error is nil when all
// targets are done.
func Restore(ctx context.Context, im image.Image, jobs []Job, o RestoreOptions, meter *progress.Meter) ([]Outcome, error) {
	r := &restore{im: im, options: o, meter: meter}
	for _, j := range jobs {
		if len(j.Plan.Refusals) > 0 {
			return nil, fmt.Errorf("refused: %s", j.Plan.Refusals[0])
		}
		if !sameSteps(j.Plan, jobs[0].Plan) {
			return nil, fmt.Errorf("%s and %s are planned for different volumes", j.Plan.Target.Path, jobs[0].Plan.Target.Path)
		}
		r.targets = append(r.targets, &writing{Job: j, delta: o.Delta, meter: meter})
	}
	err := r.run(ctx)
	outcomes := make([]Outcome, len(jobs))
	for i, w := range r.targets {
		outcomes[i] = Outcome{w.written, w.err}
		if err != nil && err != errNoTarget {
			outcomes[i].Err = err
		}
	}
	return outcomes, r.verdict(err)
}

func sameSteps(a, b *plan.Restore) bool {
	return slices.EqualFunc(a.Steps, b.Steps, func(x, y plan.Step) bool { return x.Index == y.Index && x.Method == y.Method })
}

func (r *restore) run(ctx context.Context) error {
	total := r.targets[0].Plan.Bytes
	if r.options.Verify {
		total *= 2
	}
	r.meter.Start(r.targets[0].Plan.Title(), total)
	r.meter.Step("wipe what the target was", "", 0)
	stages := []func(context.Context) error{
		func(ctx context.Context) error { return r.each(func(w *writing) error { return w.wipe(ctx) }) },
		func(ctx context.Context) error { return r.each(func(w *writing) error { return w.areas(ctx) }) },
		r.volumes,
		r.tables,
	}
	if r.options.Verify {
		stages = append(stages, r.verify)
	}
	for _, stage := range stages {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// each does something on every target that has not failed, at the same time.
func (r *restore) each(f func(*writing) error) error {
	var group sync.WaitGroup
	for _, w := range r.targets {
		if w.err == nil {
			group.Go(func() { w.err = f(w) })
		}
	}
	group.Wait()
	return r.alive()
}

// alive warns of the targets that failed since it was asked last, and ends the
// restore when none is left.
func (r *restore) alive() error {
	left := slices.ContainsFunc(r.targets, func(w *writing) bool { return w.err == nil })
	for _, w := range r.targets {
		if w.err != nil && !w.told && left {
			w.told = true
			r.meter.Warn(fmt.Sprintf("%s is given up, the others go on: %v", w.Plan.Target.Path, w.err))
		}
	}
	if !left {
		return errNoTarget
	}
	return nil
}

// verdict makes one error of that of the restore and those of its targets.
func (r *restore) verdict(err error) error {
	var failed []error
	var names []string
	for _, w := range r.targets {
		if w.err != nil {
			failed = append(failed, w.err)
			names = append(names, w.Plan.Target.Path)
		}
	}
	switch {
	case err != nil && err != errNoTarget:
		return err
	case len(failed) == 0:
		return nil
	case len(r.targets) == 1:
		return failed[0]
	}
	text := fmt.Errorf("%d of %d targets failed: %s: %w", len(failed), len(r.targets), strings.Join(names, ", "), errors.Join(failed...))
	return &Error{Err: text, Next: "the other targets are whole; check the cables and the health of those that failed with doppel disks, and restore to them again"}
}

func (r *restore) volumes(ctx context.Context) error {
	for i, s := range r.targets[0].Plan.Steps {
		var err error
		switch s.Method {
		case image.Absent:
		case image.Swap:
			r.meter.Step(fmt.Sprintf("restore %s: make swap with its UUID and label", s.Volume), s.Volume, 0)
			err = r.each(func(w *writing) error { return r.swap(ctx, w, w.Plan.Steps[i]) })
		default:
			r.meter.Step(fmt.Sprintf("restore %s", s.Volume), s.Volume, s.Bytes)
			err = r.volume(ctx, i)
		}
		if err != nil {
			return err
		}
	}
	r.meter.Step("flush", "", 0)
	return r.each((*writing).sync)
}

// volume writes a volume to all targets.
func (r *restore) volume(ctx context.Context, i int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, w := range r.targets {
		if w.err == nil {
			w.begin(ctx, w.Plan.Steps[i])
		}
	}
	err := r.records(ctx, r.targets[0].Plan.Steps[i], func(data []byte, off int64) error {
		for _, w := range r.targets {
			if w.err == nil {
				w.err = w.put(data, off)
			}
		}
		return r.alive()
	})
	if err != nil {
		cancel() // what waits in the queues is not wanted any more
	}
	ended := r.each(func(w *writing) error { return w.end(ctx) })
	for _, w := range r.targets {
		w.drop()
	}
	if err != nil {
		return err
	}
	return ended
}

// records hands every record of a volume to use, with its place in the volume.
func (r *restore) records(ctx context.Context, s plan.Step, use func(data []byte, off int64) error) error {
	v, err := r.im.Open(s.Index)
	if err != nil {
		return imageError(s.Volume, err)
	}
	defer v.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader := v.Records(ctx)
	for {
		rec, err := reader.ReadRecord()
		if err == io.EOF {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err != nil {
			return imageError(s.Volume, err)
		}
		if rec.Offset < 0 || rec.Offset+int64(len(rec.Data)) > s.Size {
			return imageError(s.Volume, fmt.Errorf("%w: data behind the end of the volume", image.ErrDamaged))
		}
		if err := use(rec.Data, rec.Offset); err != nil {
			return err
		}
		r.meter.Add(int64(len(rec.Data)))
	}
}

func (r *restore) swap(ctx context.Context, w *writing, s plan.Step) error {
	header, err := r.swapHeader(s)
	if err != nil {
		return imageError(s.Volume, err)
	}
	w.begin(ctx, s)
	defer w.drop()
	if err := w.put(header, 0); err != nil {
		return err
	}
	return w.end(ctx)
}

func (r *restore) swapHeader(s plan.Step) ([]byte, error) {
	for _, d := range r.im.Manifest().Disks {
		for _, v := range d.Volumes {
			if v.Index == s.Index {
				return swapHeader(s.Size, v.UUID, v.Label)
			}
		}
	}
	return nil, fmt.Errorf("%w: no volume %d", image.ErrDamaged, s.Index)
}

// tables writes the table of each target.
func (r *restore) tables(ctx context.Context) error {
	if len(r.targets[0].Plan.Table) > 0 {
		r.meter.Step("write the partition table", "", 0)
	}
	return r.each(func(w *writing) error { return w.table(ctx) })
}

// verify reads the targets back past the page cache and compares them with the
// image.
func (r *restore) verify(ctx context.Context) error {
	if err := r.each((*writing).compareAreas); err != nil {
		return err
	}
	for i, s := range r.targets[0].Plan.Steps {
		var err error
		switch s.Method {
		case image.Absent:
		case image.Swap:
			err = r.each(func(w *writing) error {
				s := w.Plan.Steps[i]
				header, err := r.swapHeader(s)
				if err != nil {
					return imageError(s.Volume, err)
				}
				return w.compare(s.Volume, header, s.TargetOffset)
			})
		default:
			r.meter.Step(fmt.Sprintf("compare %s with the image", s.Volume), s.Volume, s.Bytes)
			err = r.records(ctx, s, func(data []byte, off int64) error {
				return r.each(func(w *writing) error { return w.compare(s.Volume, data, w.Plan.Steps[i].TargetOffset+off) })
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
