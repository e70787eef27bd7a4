package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
)

// RestoreOptions says how a restore works.
type RestoreOptions struct {
	Present *partition.Table // the old table of the target; nil: none known
	Verify  bool             // read the target back and compare
}

// restore is one restore under way.
type restore struct {
	im    image.Image
	plan  *plan.Restore
	t     Target
	meter *progress.Meter
}

// Restore does what the plan says: wipes what the target was, writes the data,
// flushes, and writes the tables last. Until those are written nothing on the
// target looks whole.
func Restore(ctx context.Context, im image.Image, p *plan.Restore, t Target, o RestoreOptions, meter *progress.Meter) error {
	if len(p.Refusals) > 0 {
		return fmt.Errorf("refused: %s", p.Refusals[0])
	}
	r := &restore{im: im, plan: p, t: t, meter: meter}
	total := p.Bytes
	if o.Verify {
		total *= 2
	}
	meter.Start("restore image "+p.Image, total)
	stages := []func(context.Context) error{
		func(ctx context.Context) error { return r.wipe(ctx, o.Present) },
		r.areas, r.volumes, r.tables,
	}
	if o.Verify {
		stages = append(stages, r.verify)
	}
	for _, stage := range stages {
		if err := errors.Join(ctx.Err()); err != nil {
			return err
		}
		if err := stage(ctx); err != nil {
			return err
		}
	}
	return nil
}

// write writes to the target in pieces, so that a cancelled job ends soon.
func (r *restore) write(ctx context.Context, what string, data []byte, off int64) error {
	for len(data) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(data), chunk)
		if _, err := r.t.WriteAt(data[:n], off); err != nil {
			return targetError(fmt.Sprintf("write %s at byte %d", what, off), err)
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

// wipe zeroes what would make somebody recognise what the target was: tables,
// boot sectors, and the signatures of file systems and arrays, in the old
// partitions as well as where the new volumes will lie.
func (r *restore) wipe(ctx context.Context, present *partition.Table) error {
	r.meter.Step("wipe what the target was", "", 0)
	list := append([]extent.Extent(nil), r.plan.Wipe...)
	regions := []extent.Extent{}
	for _, s := range r.plan.Steps {
		regions = append(regions, extent.Extent{Offset: s.TargetOffset, Length: s.Size})
	}
	if r.plan.WholeDisk {
		regions = append(regions, extent.Extent{Length: r.t.Size()})
		if present != nil {
			for _, p := range present.Partitions {
				regions = append(regions, extent.Extent{Offset: p.Start, Length: p.Size})
			}
		}
	}
	for _, g := range regions {
		if g.Offset < 0 || g.Length <= 0 || g.End() > r.t.Size() {
			continue // an old table may say anything
		}
		found, err := probe.Signatures(io.NewSectionReader(r.t, g.Offset, g.Length), g.Length)
		if err != nil {
			return targetError("look for old signatures", err)
		}
		for _, s := range found {
			list = append(list, extent.Extent{Offset: g.Offset + s.Offset, Length: s.Length})
		}
	}
	zeros := make([]byte, 1<<20)
	for _, e := range list {
		for off := e.Offset; off < e.End(); off += int64(len(zeros)) {
			if err := r.write(ctx, "zeros", zeros[:min(int64(len(zeros)), e.End()-off)], off); err != nil {
				return err
			}
		}
	}
	return r.sync()
}

func (r *restore) sync() error {
	if err := r.t.Sync(); err != nil {
		return targetError("flush", err)
	}
	return nil
}

// areas writes boot code outside the tables.
func (r *restore) areas(ctx context.Context) error {
	for _, a := range r.plan.Areas {
		if err := r.write(ctx, a.Name, a.Data, a.Offset); err != nil {
			return err
		}
	}
	return nil
}

func (r *restore) volumes(ctx context.Context) error {
	for _, s := range r.plan.Steps {
		var err error
		switch s.Method {
		case image.Absent:
		case image.Swap:
			r.meter.Step(fmt.Sprintf("restore %s: make swap with its UUID and label", s.Volume), s.Volume, 0)
			err = r.swap(ctx, s)
		default:
			r.meter.Step(fmt.Sprintf("restore %s", s.Volume), s.Volume, s.Bytes)
			err = r.volume(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	r.meter.Step("flush", "", 0)
	return r.sync()
}

// volume writes a volume so that it is recognised only when all of it is on the
// medium: its edges, where the superblocks and boot sectors are that programs
// look for, wait for a flush of the rest, and its beginning comes last.
func (r *restore) volume(ctx context.Context, s plan.Step) error {
	w := volumeEdges{start: s.TargetOffset, size: s.Size}
	err := r.records(ctx, s, func(data []byte, off int64) error {
		middle, at := w.hold(data, off)
		return r.write(ctx, s.Volume, middle, at)
	})
	if err != nil || len(w.held) == 0 {
		return err
	}
	if err := r.sync(); err != nil {
		return err
	}
	for _, e := range slices.Backward(w.held) {
		if err := r.write(ctx, s.Volume, e.Data, e.Offset); err != nil {
			return err
		}
	}
	return r.sync()
}

// records hands every record of a volume to use, with its place on the target.
func (r *restore) records(ctx context.Context, s plan.Step, use func(data []byte, off int64) error) error {
	v, err := r.im.Open(s.Index)
	if err != nil {
		return imageError(s.Volume, err)
	}
	defer v.Close()
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
		if err := use(rec.Data, s.TargetOffset+rec.Offset); err != nil {
			return err
		}
		r.meter.Add(int64(len(rec.Data)))
	}
}

func (r *restore) swap(ctx context.Context, s plan.Step) error {
	header, err := r.swapHeader(s)
	if err != nil {
		return imageError(s.Volume, err)
	}
	return r.write(ctx, s.Volume, header, s.TargetOffset)
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

// tables writes the table sectors, sector 0 last, with a flush before it.
func (r *restore) tables(ctx context.Context) error {
	if len(r.plan.Table) == 0 {
		if r.plan.WholeDisk {
			r.reread()
		}
		return nil
	}
	r.meter.Step("write the partition table", "", 0)
	for i, s := range r.plan.Table {
		if i == len(r.plan.Table)-1 {
			if err := r.sync(); err != nil {
				return err
			}
		}
		if err := r.write(ctx, s.Name, s.Data, s.Offset); err != nil {
			return err
		}
	}
	if err := r.sync(); err != nil {
		return err
	}
	r.reread()
	return r.sync()
}

// reread lets the kernel see the new table. What was written stays true if it
// will not.
func (r *restore) reread() {
	if err := r.t.ReReadTable(); err != nil {
		r.meter.Warn(err.Error() + "; restart before you use the target")
	}
}

// verify reads the target past the page cache and compares it with the image.
func (r *restore) verify(ctx context.Context) error {
	if err := r.t.DropCache(); err != nil {
		return targetError("read it back", err)
	}
	for _, s := range append(append([]partition.Sector(nil), r.plan.Areas...), r.plan.Table...) {
		if err := r.compare(s.Name, s.Data, s.Offset); err != nil {
			return err
		}
	}
	for _, s := range r.plan.Steps {
		switch s.Method {
		case image.Absent:
		case image.Swap:
			header, err := r.swapHeader(s)
			if err == nil {
				err = r.compare(s.Volume, header, s.TargetOffset)
			}
			if err != nil {
				return err
			}
		default:
			r.meter.Step(fmt.Sprintf("compare %s with the image", s.Volume), s.Volume, s.Bytes)
			if err := r.records(ctx, s, func(data []byte, off int64) error { return r.compare(s.Volume, data, off) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *restore) compare(what string, want []byte, off int64) error {
	have := make([]byte, len(want))
	if n, err := r.t.ReadAt(have, off); n < len(have) {
		return targetError(fmt.Sprintf("read %s back at byte %d", what, off), err)
	}
	if bytes.Equal(have, want) {
		return nil
	}
	for i := range have {
		if have[i] != want[i] {
			off += int64(i)
			break
		}
	}
	return &Error{
		Err:  fmt.Errorf("target: %s differs from the image at byte %d", what, off),
		Next: "the target does not keep what is written to it: check its health and cable, and do not trust it",
	}
}
