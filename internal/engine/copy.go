package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/progress"
)

// Copy writes an image anew: what one kind of image holds becomes another
// kind, or new frames. m describes the new image, with the volumes and areas of
// im. When it fails, or ctx ends, nothing of the new image is left.
func Copy(ctx context.Context, im image.Image, m *image.Manifest, w image.Writer, log func() []byte, meter *progress.Meter) (err error) {
	defer func() {
		if err != nil {
			_ = w.Abort() // the first error is the one to tell
		}
	}()
	var total int64
	for _, d := range m.Disks {
		for _, v := range d.Volumes {
			total += max(v.Used, 0)
		}
	}
	meter.Start("convert image "+im.Manifest().Name, total)
	for i, d := range m.Disks {
		for j, a := range d.Areas {
			data, err := im.Area(i, im.Manifest().Disks[i].Areas[j])
			if err != nil {
				return imageError(d.Name, err)
			}
			if err := w.Area(i, a, data); err != nil {
				return placeError(fmt.Sprintf("%s of %s", a.Name, d.Name), err)
			}
		}
		for _, v := range d.Volumes {
			if v.Method != image.Blocks && v.Method != image.Raw {
				continue
			}
			meter.Step(fmt.Sprintf("convert %s: %s", v.Name, how(v)), v.Name, max(v.Used, 0))
			if err := copyVolume(ctx, im, v, w, meter); err != nil {
				return err
			}
		}
	}
	meter.Step("write the lists and sums", "", 0)
	if err := w.Commit(log()); err != nil {
		return placeError("lists and sums", err)
	}
	return nil
}

func copyVolume(ctx context.Context, im image.Image, v image.Volume, w image.Writer, meter *progress.Meter) error {
	saved, err := im.Open(v.Index)
	if err != nil {
		return imageError(v.Name, err)
	}
	defer saved.Close()
	list, err := extent.Collect(saved.Allocated())
	if err != nil {
		return imageError(v.Name, err)
	}
	vw, err := w.Create(v.Index, list)
	if err != nil {
		return placeError("volume "+v.Name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader := saved.Records(ctx)
	for {
		rec, err := reader.ReadRecord()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = vw.Close() // the image is given up; only the first error counts
			if errors.Is(err, context.Canceled) {
				return err
			}
			return imageError(v.Name, err)
		}
		if err := vw.WriteRecord(rec); err != nil {
			_ = vw.Close()
			return placeError("volume "+v.Name, err)
		}
		meter.Add(int64(len(rec.Data)))
	}
	if err := vw.Close(); err != nil {
		return placeError("volume "+v.Name, err)
	}
	return nil
}
