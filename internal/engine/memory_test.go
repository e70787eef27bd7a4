package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/image"
	"doppel.live/internal/record"
)

// memory is an image in memory, as written and as read.
type memory struct {
	m         *image.Manifest
	areas     map[string][]byte
	volumes   map[int]*memoryVolume
	committed bool
	aborted   bool
	log       []byte
	full      int64 // bytes after which there is no room; 0: never
	damaged   int   // index of a volume that ends with ErrDamaged; -1: none
}

func newMemory(m *image.Manifest) *memory {
	return &memory{m: m, areas: map[string][]byte{}, volumes: map[int]*memoryVolume{}, damaged: -1}
}

type memoryVolume struct {
	im      *memory
	volume  image.Volume
	list    []extent.Extent
	records []record.Record
	closed  bool
}

func key(disk int, a image.Area) string { return fmt.Sprint(disk, a.Name, a.Offset) }

func (im *memory) Area(disk int, a image.Area, data []byte) error {
	if int64(len(data)) != a.Length {
		return fmt.Errorf("area %s: %d bytes for %d", a.Name, len(data), a.Length)
	}
	im.areas[key(disk, a)] = append([]byte(nil), data...)
	return nil
}

func (im *memory) volume(index int) (v image.Volume) {
	for _, d := range im.m.Disks {
		for _, v := range d.Volumes {
			if v.Index == index {
				return v
			}
		}
	}
	return v
}

func (im *memory) Create(index int, allocated []extent.Extent) (image.VolumeWriter, error) {
	v := &memoryVolume{im: im, volume: im.volume(index), list: allocated}
	im.volumes[index] = v
	return v, nil
}

func (im *memory) Commit(log []byte) error { im.log, im.committed = log, true; return nil }
func (im *memory) Abort() error            { im.aborted = !im.committed; return nil }

var errFull = errors.New("no room left")

func (v *memoryVolume) WriteRecord(r record.Record) error {
	if v.im.full > 0 {
		if v.im.full -= int64(len(r.Data)); v.im.full <= 0 {
			return errFull
		}
	}
	r.Data = append([]byte(nil), r.Data...)
	v.records = append(v.records, r)
	return nil
}

func (v *memoryVolume) Close() error { v.closed = true; return nil }

// reading is the same image, opened.
type reading struct{ *memory }

func (im reading) Manifest() *image.Manifest { return im.m }
func (im reading) Close() error              { return nil }

func (im reading) Area(disk int, a image.Area) ([]byte, error) {
	data, ok := im.areas[key(disk, a)]
	if !ok {
		return nil, fmt.Errorf("%w: no area %s", image.ErrDamaged, a.Name)
	}
	return data, nil
}

func (im reading) Open(index int) (image.Saved, error) {
	v, ok := im.volumes[index]
	if !ok {
		return nil, fmt.Errorf("%w: no volume %d", image.ErrDamaged, index)
	}
	return saved{v}, nil
}

type saved struct{ *memoryVolume }

func (s saved) Volume() image.Volume                  { return s.volume }
func (s saved) Close() error                          { return nil }
func (s saved) ReadAt([]byte, int64) (int, error)     { return 0, errors.ErrUnsupported }
func (s saved) Frames() iter.Seq2[image.Frame, error] { return nil }
func (s saved) Allocated() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		for _, e := range s.list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (s saved) Records(context.Context) record.Reader {
	return &recordReader{records: s.records, damaged: s.im.damaged == s.volume.Index}
}

type recordReader struct {
	records []record.Record
	damaged bool
}

func (r *recordReader) ReadRecord() (record.Record, error) {
	if len(r.records) == 0 {
		if r.damaged {
			return record.Record{}, fmt.Errorf("frame 7: %w", image.ErrDamaged)
		}
		return record.Record{}, io.EOF
	}
	next := r.records[0]
	r.records = r.records[1:]
	return next, nil
}

// disk is a target in memory that remembers in which order it was written.
type disk struct {
	mu      sync.Mutex // for writes, which come several at once
	bytes   []byte
	synced  int // writes before the last Sync
	writes  []extent.Extent
	after   []int // for each write: writes that were synced before it
	failAt  int   // the write that fails; 0: none
	failErr error
	corrupt int64 // byte that comes back changed; -1: none
	reread  int   // writes before the table was read again
}

func newDisk(size int64, fill byte) *disk {
	d := &disk{bytes: make([]byte, size), corrupt: -1}
	for i := range d.bytes {
		d.bytes[i] = fill
	}
	return d
}

func (d *disk) Size() int64        { return int64(len(d.bytes)) }
func (d *disk) Sync() error        { d.synced = len(d.writes); return nil }
func (d *disk) DropCache() error   { return nil }
func (d *disk) ReReadTable() error { d.reread = len(d.writes); return nil }

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, d.bytes[off:])
	if d.corrupt >= off && d.corrupt < off+int64(n) && d.reread > 0 {
		p[d.corrupt-off] ^= 1
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes = append(d.writes, extent.Extent{Offset: off, Length: int64(len(p))})
	d.after = append(d.after, d.synced)
	if d.failAt > 0 && len(d.writes) >= d.failAt {
		return 0, d.failErr
	}
	return copy(d.bytes[off:], p), nil
}

// hostile is a file system whose allocation leaves its volume.
type hostile struct{}

func (hostile) Info() filesystem.Info { return filesystem.Info{Type: "ext4"} }

func (hostile) Allocated() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) { yield(extent.Extent{Offset: 0, Length: 1 << 40}, nil) }
}
