package rescue

import (
	"context"
	"errors"
	"slices"

	"doppel.live/internal/extent"
)

// What is skipped behind a place that cannot be read: at first, and at most.
// It doubles with every failure that follows another.
const (
	firstSkip = 1 << 20
	lastSkip  = 256 << 20
)

// splitSize is the next smaller read where one of readSize fails.
const splitSize = 64 << 10

// Progress takes how a rescue comes along. Pass is called before each pass with
// the bytes that it has to look at, Add with bytes that are known from then on.
type Progress struct {
	Pass func(what string, left int64)
	Add  func(n int64)
}

// run is a rescue under way.
type run struct {
	*Disk
	ctx    context.Context
	wanted []extent.Extent
	p      Progress
}

func isUnreadable(err error) bool { return errors.Is(err, ErrUnreadable) }

// Rescue reads what of the wanted extents was not read yet: large pieces first,
// over what fails with longer and longer steps, forwards and then backwards;
// then what was stepped over; then what failed, down to sectors; then, retries
// times, the sectors that failed once more, in alternating direction. The error
// is nil when nothing is left to be tried, ErrGone when the disk went away, and
// that of ctx when it ended; what was read is kept in any case. Of a disk that
// is Lost nothing is tried.
func (d *Disk) Rescue(ctx context.Context, wanted []extent.Extent, retries int, p Progress) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.source.(Lost); ok {
		return ctx.Err()
	}
	r := &run{Disk: d, ctx: ctx, wanted: extent.Align(wanted, d.source.SectorSize(), d.m.size), p: p}
	defer func() {
		if saveErr := d.save(); err == nil {
			err = saveErr
		}
	}()
	for _, step := range []struct {
		what  string
		phase Status
		pass  int
		from  Status
		do    func([]extent.Extent) error
	}{
		{"read, and step over what fails", NonTried, 1, NonTried, r.forward},
		{"read backwards what was stepped over", NonTried, 2, NonTried, r.backward},
		{"read the rest", NonTried, 3, NonTried, r.straight},
		{"find the edges of what fails", NonTrimmed, 1, NonTrimmed, r.trim},
		{"read single sectors", NonScraped, 1, NonScraped, func(list []extent.Extent) error { return r.sectors(list, false) }},
	} {
		if err := r.pass(step.what, step.phase, step.pass, step.from, step.do); err != nil {
			return err
		}
	}
	for n := range retries {
		back := n%2 == 0
		if err := r.pass("try bad sectors again", Bad, n+1, Bad, func(list []extent.Extent) error { return r.sectors(list, back) }); err != nil {
			return err
		}
	}
	d.m.phase = Finished
	return nil
}

// pass does something with what is in a state.
func (r *run) pass(what string, phase Status, pass int, from Status, do func([]extent.Extent) error) error {
	list := r.m.Extents(r.wanted, from)
	if len(list) == 0 {
		return nil
	}
	r.m.phase, r.m.pass = phase, pass
	if err := r.save(); err != nil {
		return err
	}
	if r.p.Pass != nil {
		r.p.Pass(what, extent.Total(list))
	}
	return do(list)
}

// read reads a piece; bad says that not all of it could be read, and what is
// left of it gets the status.
func (r *run) read(off, n int64, s Status) (bad bool, err error) {
	if err := r.ctx.Err(); err != nil {
		return false, err
	}
	r.m.pos = off
	got, err := r.fetch(off, n)
	if r.p.Add != nil && got > 0 {
		r.p.Add(got)
	}
	if !isUnreadable(err) {
		return false, err
	}
	r.m.Set(extent.Extent{Offset: off + got, Length: n - got}, s)
	return true, nil
}

// forward reads large pieces and steps over what fails.
func (r *run) forward(list []extent.Extent) error {
	skip, next := int64(firstSkip), int64(0)
	for _, e := range list {
		for off := max(e.Offset, next); off < e.End(); {
			n := min(readSize-off%readSize, e.End()-off)
			bad, err := r.read(off, n, NonTrimmed)
			if err != nil {
				return err
			}
			off += n
			if !bad {
				skip = firstSkip
				continue
			}
			next = off + skip
			off, skip = next, min(2*skip, lastSkip)
		}
	}
	return nil
}

// backward is forward from the end.
func (r *run) backward(list []extent.Extent) error {
	skip, next := int64(firstSkip), r.m.size
	for _, e := range slices.Backward(list) {
		for end := min(e.End(), next); end > e.Offset; {
			n := min((end-1)%readSize+1, end-e.Offset)
			bad, err := r.read(end-n, n, NonTrimmed)
			if err != nil {
				return err
			}
			end -= n
			if !bad {
				skip = firstSkip
				continue
			}
			next = end - skip
			end, skip = next, min(2*skip, lastSkip)
		}
	}
	return nil
}

// straight reads without stepping over anything.
func (r *run) straight(list []extent.Extent) error {
	for _, e := range list {
		for off := e.Offset; off < e.End(); {
			n := min(splitSize-off%splitSize, e.End()-off)
			if _, err := r.read(off, n, NonTrimmed); err != nil {
				return err
			}
			off += n
		}
	}
	return nil
}

// trim reads what failed in smaller pieces, and the edges of those that fail
// again sector by sector, from both sides up to the first that fails.
func (r *run) trim(list []extent.Extent) error {
	for _, e := range list {
		for off := e.Offset; off < e.End(); {
			piece := extent.Extent{Offset: off, Length: min(splitSize-off%splitSize, e.End()-off)}
			off = piece.End()
			if piece.Length < e.Length {
				bad, err := r.read(piece.Offset, piece.Length, NonTrimmed)
				if err != nil {
					return err
				}
				if !bad {
					continue
				}
			}
			for _, failed := range r.m.Extents([]extent.Extent{piece}, NonTrimmed) {
				if err := r.edges(failed); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *run) edges(e extent.Extent) error {
	unit := r.source.SectorSize()
	off, end := e.Offset, e.End()
	for bad := false; off < end && !bad; off += unit {
		var err error
		if bad, err = r.read(off, unit, Bad); err != nil {
			return err
		}
	}
	for bad := false; off < end && !bad; end -= unit {
		var err error
		if bad, err = r.read(end-unit, unit, Bad); err != nil {
			return err
		}
	}
	r.m.Set(extent.Extent{Offset: off, Length: end - off}, NonScraped)
	return nil
}

// sectors reads one sector after the other, or one before the other.
func (r *run) sectors(list []extent.Extent, back bool) error {
	unit := r.source.SectorSize()
	for i := range list {
		e := list[i]
		if back {
			e = list[len(list)-1-i]
		}
		for at := int64(0); at < e.Length; at += unit {
			off := e.Offset + at
			if back {
				off = e.End() - unit - at
			}
			if _, err := r.read(off, unit, Bad); err != nil {
				return err
			}
		}
	}
	return nil
}
