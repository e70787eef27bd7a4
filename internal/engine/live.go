package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/record"
)

// live is the image of disks as they lie there.
type live struct {
	manifest *image.Manifest
	origins  []*Origin
}

var _ image.Image = live{}

// Live makes an image of what a save would read, without saving it: a clone is
// the restore of one. The origins are parallel to m.Disks.
func Live(m *image.Manifest, origins []*Origin) image.Image { return live{m, origins} }

// Manifest implements image.Image.
func (l live) Manifest() *image.Manifest { return l.manifest }

// Close implements image.Image. The origins stay open.
func (l live) Close() error { return nil }

// Area implements image.Image.
func (l live) Area(disk int, area image.Area) ([]byte, error) {
	if disk >= 0 && disk < len(l.origins) {
		for i, a := range l.manifest.Disks[disk].Areas {
			if a == area {
				return l.origins[disk].Areas[i], nil
			}
		}
	}
	return nil, fmt.Errorf("no area %s at byte %d", area.Name, area.Offset)
}

// Open implements image.Image.
func (l live) Open(index int) (image.Saved, error) {
	for i, d := range l.manifest.Disks {
		for j, v := range d.Volumes {
			if v.Index == index {
				o := l.origins[i]
				l := &liveVolume{disk: d, volume: v, list: o.Allocated[j], r: io.NewSectionReader(o.Reader, v.Offset, v.Size)}
				l.life, l.end = context.WithCancel(context.Background())
				return l, nil
			}
		}
	}
	return nil, fmt.Errorf("no volume %d", index)
}

// liveVolume is a volume of a disk as it lies there.
type liveVolume struct {
	disk   image.Disk
	volume image.Volume
	list   []extent.Extent
	r      io.ReaderAt

	life    context.Context // ends with Close
	end     context.CancelFunc
	readers sync.WaitGroup // those of Records
}

var _ image.Saved = (*liveVolume)(nil)

// Volume implements image.Saved.
func (v *liveVolume) Volume() image.Volume { return v.volume }

// Close implements image.Saved.
func (v *liveVolume) Close() error {
	v.end()
	v.readers.Wait()
	return nil
}

// ReadAt implements image.Saved. What is not in use comes as it lies there.
func (v *liveVolume) ReadAt(p []byte, off int64) (int, error) { return v.r.ReadAt(p, off) }

// Allocated implements image.Saved.
func (v *liveVolume) Allocated() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		for _, e := range v.list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Frames implements image.Saved: nothing is stored.
func (v *liveVolume) Frames() iter.Seq2[image.Frame, error] {
	return func(yield func(image.Frame, error) bool) {
		yield(image.Frame{}, fmt.Errorf("%s: %w: it is a disk, not an image", v.volume.Name, errors.ErrUnsupported))
	}
}

// Records implements image.Saved. What is read ahead ends with ctx, or with
// Close.
func (v *liveVolume) Records(ctx context.Context) record.Reader {
	return &liveRecords{ctx: ctx, volume: v}
}

// liveRecords reads the extents of a volume one after the other.
type liveRecords struct {
	ctx    context.Context
	volume *liveVolume
	ahead  *readAhead // nil before the first record
}

// ReadRecord implements record.Reader. Records end at multiples of chunk of the
// disk, as large reads do best.
func (r *liveRecords) ReadRecord() (record.Record, error) {
	v := r.volume
	if err := r.ctx.Err(); err != nil {
		return record.Record{}, err
	}
	if r.ahead == nil {
		r.start()
	}
	p, err := r.ahead.next()
	var bad *readError
	if errors.As(err, &bad) {
		err = v.failure(bad.offset, bad.err)
	}
	return record.Record{Volume: v.volume.Index, Offset: p.offset, Data: p.data}, err
}

func (r *liveRecords) start() {
	v := r.volume
	r.ahead = startReadAhead(r.ctx, v.r, v.volume, v.list)
	stop := context.AfterFunc(v.life, r.ahead.cancel)
	v.readers.Go(func() {
		r.ahead.group.Wait()
		stop()
	})
}

// failure names the byte of the volume, and the sector of the disk, that could
// not be read.
func (v *liveVolume) failure(off int64, err error) error {
	sector := (v.volume.Offset + off) / max(v.disk.SectorSize, 1)
	return &Error{
		Err:  fmt.Errorf("%s cannot be read at byte %d: sector %d of %s: %w", v.volume.Name, off, sector, v.disk.Name, err),
		Next: "look at the health of the source with doppel disks and at its cable; doppel save --rescue saves what can be read of a failing disk; what was written so far is not whole",
	}
}
