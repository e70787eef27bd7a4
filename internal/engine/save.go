package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/progress"
	"doppel.live/internal/record"
)

// chunk is how much is read at once.
const chunk = 4 << 20

// Save reads the origins, parallel to m.Disks, into w and commits it with the
// log, which is asked for last. When it fails, or ctx ends, nothing is left of
// the image but what w, if it is an image.Resumed, keeps to go on with.
func Save(ctx context.Context, m *image.Manifest, origins []*Origin, w image.Writer, log func() []byte, meter *progress.Meter) (err error) {
	defer func() {
		if err != nil {
			_ = w.Abort() // the first error is the one to tell
		}
	}()
	var total int64
	for _, d := range m.Disks {
		for _, v := range d.Volumes {
			total += v.Used
		}
	}
	meter.Start("save image "+m.Name, total)
	return saveAll(ctx, m, origins, w, log, meter)
}

func saveAll(ctx context.Context, m *image.Manifest, origins []*Origin, w image.Writer, log func() []byte, meter *progress.Meter) error {
	for i, d := range m.Disks {
		for j, a := range d.Areas {
			if err := w.Area(i, a, origins[i].Areas[j]); err != nil {
				return placeError(fmt.Sprintf("%s of %s", a.Name, d.Name), err)
			}
		}
		for j, v := range d.Volumes {
			if err := saveVolume(ctx, d, v, origins[i], origins[i].Allocated[j], w, meter); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	meter.Step("write the lists and sums", "", 0)
	if err := w.Commit(log()); err != nil {
		return placeError("lists and sums", err)
	}
	return nil
}

func saveVolume(ctx context.Context, d image.Disk, v image.Volume, o *Origin, list []extent.Extent, w image.Writer, meter *progress.Meter) error {
	switch v.Method {
	case image.Absent:
		return nil
	case image.Swap:
		meter.Step(fmt.Sprintf("save %s: swap, its UUID and label only", v.Name), v.Name, 0)
		return nil
	}
	if r, ok := w.(image.Resumed); ok && r.Saved(v.Index) {
		meter.Step(fmt.Sprintf("%s was saved before", v.Name), v.Name, v.Used)
		meter.Add(v.Used)
		return nil
	}
	meter.Step(fmt.Sprintf("save %s: %s", v.Name, how(v)), v.Name, v.Used)
	vw, err := w.Create(v.Index, list)
	if err != nil {
		return placeError("volume "+v.Name, err)
	}
	volume := io.NewSectionReader(o.Reader, v.Offset, v.Size)
	if err := copyExtents(ctx, v, volume, list, vw, meter); err != nil {
		_ = vw.Close() // the image is given up; only the first error counts
		var bad *readError
		if errors.As(err, &bad) {
			return volumeError(d, v, bad)
		}
		return err
	}
	if err := vw.Close(); err != nil {
		return placeError("volume "+v.Name, err)
	}
	return nil
}

// how says in a few words what is taken of a volume.
func how(v image.Volume) string {
	kind := v.FileSystem
	if kind == "" {
		kind = "unknown contents"
	}
	if v.Method == image.Raw {
		return kind + ", every byte"
	}
	return kind + ", used blocks"
}

// readError is a byte of a volume that could not be read.
type readError struct {
	offset int64
	err    error
}

func (e *readError) Error() string { return e.err.Error() }

// errEnded is for a source that gives no more than part of what it has: so the
// kernel reads a disk that was unplugged.
var errEnded = errors.New("the disk ends there, or it was unplugged")

// copyExtents reads ahead of the writer, so that the disk and the compressor
// work at the same time.
func copyExtents(ctx context.Context, v image.Volume, r io.ReaderAt, list []extent.Extent, w record.Writer, meter *progress.Meter) error {
	ahead := startReadAhead(ctx, r, v, list)
	defer ahead.stop()
	for {
		p, err := ahead.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.WriteRecord(record.Record{Volume: v.Index, Offset: p.offset, Data: p.data}); err != nil {
			return placeError("volume "+v.Name, err)
		}
		meter.Add(int64(len(p.data)))
	}
}
