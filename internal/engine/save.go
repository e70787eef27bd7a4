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
// log, which is asked for last. When it fails, or ctx ends, nothing of the
// image is left.
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

// piece is a part of an extent that was read.
type piece struct {
	offset int64 // of the data; where there is an error, of the first byte that was not read
	data   []byte
	err    error
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
	ctx, cancel := context.WithCancel(ctx)
	free, read := make(chan []byte, 3), make(chan piece, 3)
	for range cap(free) {
		free <- make([]byte, chunk)
	}
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		defer close(read)
		readExtents(ctx, r, list, free, read)
	}()
	for p := range read {
		if p.err != nil {
			return &readError{p.offset, p.err}
		}
		if err := w.WriteRecord(record.Record{Volume: v.Index, Offset: p.offset, Data: p.data}); err != nil {
			return placeError("volume "+v.Name, err)
		}
		meter.Add(int64(len(p.data)))
		free <- p.data[:chunk]
	}
	return ctx.Err()
}

func readExtents(ctx context.Context, r io.ReaderAt, list []extent.Extent, free <-chan []byte, read chan<- piece) {
	for _, e := range list {
		for off := e.Offset; off < e.End(); off += chunk {
			var b []byte
			select {
			case b = <-free:
			case <-ctx.Done():
				return
			}
			b = b[:min(chunk, e.End()-off)]
			p := piece{offset: off, data: b}
			if n, err := r.ReadAt(b, off); n < len(b) {
				p.offset, p.err = off+int64(n), err
				if err == nil || err == io.EOF {
					p.err = errEnded
				}
			}
			select {
			case read <- p:
			case <-ctx.Done():
				return
			}
			if p.err != nil {
				return
			}
		}
	}
}
