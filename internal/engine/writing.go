package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
)

// writing is one target of a restore under way.
type writing struct {
	Job
	delta   bool
	meter   *progress.Meter
	written int64 // bytes of volumes
	err     error // why it was given up
	told    bool  // the user was told so

	// Of the present volume:
	step  plan.Step
	edges volumeEdges
	queue *queue
	back  []byte // what is read back
}

// write writes to the target in pieces, so that a cancelled job ends soon.
func (w *writing) write(ctx context.Context, what string, data []byte, off int64) error {
	data = w.keep(data, off)
	for len(data) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(data), chunk)
		if _, err := w.Target.WriteAt(data[:n], off); err != nil {
			return targetError(fmt.Sprintf("write %s at byte %d", what, off), err)
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

func (w *writing) sync() error {
	if err := w.Target.Sync(); err != nil {
		return targetError("flush", err)
	}
	return nil
}

// wipe zeroes what would make somebody recognise what the target was: tables,
// boot sectors, and the signatures of file systems and arrays, in the old
// partitions as well as where the new volumes will lie: in all of the room that
// they have, since a volume may be smaller than its partition.
func (w *writing) wipe(ctx context.Context) error {
	list := append([]extent.Extent(nil), w.Plan.Wipe...)
	regions := []extent.Extent{}
	for _, s := range w.Plan.Steps {
		regions = append(regions, extent.Extent{Offset: s.TargetOffset, Length: s.Room})
	}
	if w.Plan.WholeDisk {
		regions = append(regions, extent.Extent{Length: w.Target.Size()})
		if w.Present != nil {
			for _, p := range w.Present.Partitions {
				regions = append(regions, extent.Extent{Offset: p.Start, Length: p.Size})
			}
		}
	}
	for _, g := range regions {
		if g.Offset < 0 || g.Length <= 0 || g.End() > w.Target.Size() {
			continue // an old table may say anything
		}
		found, err := probe.Signatures(io.NewSectionReader(w.Target, g.Offset, g.Length), g.Length)
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
			if err := w.write(ctx, "zeros", zeros[:min(int64(len(zeros)), e.End()-off)], off); err != nil {
				return err
			}
		}
	}
	return w.sync()
}

// areas writes boot code outside the tables.
func (w *writing) areas(ctx context.Context) error {
	for _, a := range w.Plan.Areas {
		if err := w.write(ctx, a.Name, a.Data, a.Offset); err != nil {
			return err
		}
	}
	return nil
}

// begin starts a volume. It is written so that it is recognised only when all
// of it is on the medium, whatever of its last writes a cut of the power leaves
// out: its edges, where the superblocks and boot sectors are that programs look
// for, wait for a flush of the rest, and the signatures in them for another.
func (w *writing) begin(ctx context.Context, s plan.Step) {
	w.step, w.edges = s, volumeEdges{start: s.TargetOffset, size: s.Size}
	w.queue = newQueue(ctx, w.Target, w.delta)
}

// put takes the next data of the volume.
func (w *writing) put(data []byte, off int64) error {
	at := w.step.TargetOffset + off
	middle, at := w.edges.hold(w.keep(w.blank(data, at), at), at)
	return w.queue.write(middle, at)
}

// end waits until the volume is written and writes its edges.
func (w *writing) end(ctx context.Context) error {
	if err := w.drop(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil || len(w.edges.held) == 0 {
		return err
	}
	crown, err := w.edges.crown()
	if err != nil {
		return imageError(w.step.Volume, err)
	}
	for _, list := range [][]held{w.edges.held, crown} {
		if err := w.sync(); err != nil {
			return err
		}
		for _, h := range slices.Backward(list) {
			if err := w.write(ctx, w.step.Volume, h.Data, h.Offset); err != nil {
				return err
			}
		}
	}
	for _, h := range w.edges.held {
		w.written += int64(len(h.Data))
	}
	return w.sync()
}

// drop ends the queue, if there is one.
func (w *writing) drop() error {
	if w.queue == nil {
		return nil
	}
	err := w.queue.close()
	w.written += w.queue.written.Load()
	w.queue = nil
	return err
}

// table writes the table sectors, sector 0 last, with a flush before it.
func (w *writing) table(ctx context.Context) error {
	if len(w.Plan.Table) == 0 {
		if w.Plan.WholeDisk {
			w.reread()
		}
		return nil
	}
	for i, s := range w.Plan.Table {
		if i == len(w.Plan.Table)-1 {
			if err := w.sync(); err != nil {
				return err
			}
		}
		if err := w.write(ctx, s.Name, s.Data, s.Offset); err != nil {
			return err
		}
	}
	if err := w.sync(); err != nil {
		return err
	}
	w.reread()
	return w.sync()
}

// reread lets the kernel see the new table. What was written stays true if it
// will not.
func (w *writing) reread() {
	if err := w.Target.ReReadTable(); err != nil {
		w.meter.Warn(err.Error() + "; restart before you use the target")
	}
}

// compareAreas drops what the kernel remembers of the target and compares
// tables and boot areas.
func (w *writing) compareAreas() error {
	if err := w.Target.DropCache(); err != nil {
		return targetError("read it back", err)
	}
	for _, s := range slices.Concat(w.Plan.Areas, w.Plan.Table) {
		if err := w.compare(s.Name, s.Data, s.Offset); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) compare(what string, want []byte, off int64) error {
	want = overlay(w.keep(want, off), off, w.Plan.Table, func(to, sector []byte) { copy(to, sector) })
	place := off % 4096 // aligned in memory as on the target: the page cache can be left out then
	if need := int(place) + len(want); cap(w.back) < need {
		w.back = make([]byte, max(need, chunk))
	}
	have := w.back[place : int(place)+len(want)]
	if n, err := w.Target.ReadAt(have, off); n < len(have) {
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
