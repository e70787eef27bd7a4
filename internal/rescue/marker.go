package rescue

import (
	"bytes"
	"fmt"
	"io"

	"doppel.live/internal/extent"
)

// markerUnit is how much names its place by itself; every unit begins at a
// multiple of it on the disk.
const markerUnit = 512

// Marker gives the 512 bytes that stand for a sector, or an eighth of one of
// 4096 bytes, that could not be read: eight times the same line of 64 bytes,
// which names the byte of the disk where the 512 begin.
func Marker(off int64) []byte {
	line := fmt.Sprintf("DOPPEL rescue: unreadable at byte %019d of disk. \n", off)
	b := make([]byte, 0, markerUnit)
	for len(b) < markerUnit {
		b = append(b, line...)
	}
	return b
}

// mark fills p, which lies at byte off of the disk, with markers.
func mark(p []byte, off int64) {
	for len(p) > 0 {
		skip := off % markerUnit
		n := copy(p, Marker(off - skip)[skip:])
		p, off = p[n:], off+int64(n)
	}
}

// Filled gives the disk as it is known now, with markers in place of what was
// not read. It never asks the disk.
func (d *Disk) Filled() io.ReaderAt { return filled{d} }

type filled struct{ d *Disk }

// ReadAt implements io.ReaderAt.
func (f filled) ReadAt(p []byte, off int64) (n int, err error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	for n < len(p) {
		at := off + int64(n)
		if at < 0 || at >= f.d.m.size {
			return n, io.EOF
		}
		status, end := f.d.m.At(at)
		part := p[n : n+int(min(int64(len(p)-n), end-at))]
		if status == Finished {
			if err := f.d.spool.readAt(part, at); err != nil {
				return n, err
			}
		} else {
			mark(part, at)
		}
		n += len(part)
	}
	return n, nil
}

// ReadAt reads what is needed to find out what lies on the disk: from the
// spool where it is known, else from the disk, in smaller and smaller pieces
// where that fails. A sector that cannot be read is an error, and is not tried
// again by the same Disk.
func (d *Disk) ReadAt(p []byte, off int64) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n < len(p) {
		at := off + int64(n)
		if at < 0 || at >= d.m.size {
			return n, io.EOF
		}
		status, end := d.m.At(at)
		part := p[n : n+int(min(int64(len(p)-n), end-at))]
		k := len(part)
		if status == Finished {
			err = d.spool.readAt(part, at)
		} else {
			k, err = d.look(part, at, end)
		}
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// look reads the first bytes of p at byte off from the disk; it gives how
// many. end is where what was not read yet ends.
func (d *Disk) look(p []byte, off, end int64) (int, error) {
	if lost, ok := d.source.(Lost); ok {
		return 0, lost.unread(off)
	}
	unit := d.source.SectorSize()
	from := d.sector(off)
	to := min(d.sector(off+int64(len(p))+unit-1), from+readSize, end)
	for n := to - from; ; n = max(unit, d.sector(n/16)) {
		if d.failed[from] {
			return 0, fmt.Errorf("%w: byte %d", ErrUnreadable, from)
		}
		got, err := d.fetch(from, n)
		if got > off-from {
			return copy(p, d.buffer[off-from:got]), nil
		}
		if !isUnreadable(err) {
			return 0, err
		}
		if n == unit {
			d.failed[from] = true
			d.m.Set(extent.Extent{Offset: from, Length: unit}, Bad)
			return 0, err
		}
	}
}

// changedUnit is how much is compared at the places where whoever writes to a
// disk leaves traces.
const changedUnit = 4096

// Changed says whether the disk holds something else than what was read of it
// before, at its beginning or at one of the offsets, where boot sectors and
// superblocks lie. What cannot be read now says nothing.
func (d *Disk) Changed(offsets ...int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, off := range append([]int64{0}, offsets...) {
		off = d.sector(off)
		n := min(max(changedUnit, d.source.SectorSize()), d.m.size-off)
		if off < 0 || n <= 0 || d.spool == nil {
			continue
		}
		if status, end := d.m.At(off); status != Finished || end < off+n {
			continue
		}
		was := make([]byte, n)
		if d.spool.readAt(was, off) != nil {
			continue
		}
		if k, err := d.source.ReadAt(d.buffer[:n], off); int64(k) == n && err == nil && !bytes.Equal(was, d.buffer[:n]) {
			return true
		}
	}
	return false
}
