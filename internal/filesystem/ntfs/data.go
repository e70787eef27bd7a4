package ntfs

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// data is the content of an attribute of any file: it may have holes, and be
// compressed. Unlike a stream it holds the runs of one record at a time, since
// a file can be in millions of pieces.
type data struct {
	f    *fileSystem
	file int64 // number of the base record
	kind uint32
	name string

	sealed      string // why its bytes are not the file's; "" where they are
	flags       uint16
	unit        int64 // clusters that are compressed together; 0 without compression
	size        int64 // bytes
	initialized int64 // bytes that were written; what follows reads as zeros
	value       []byte
	places      []extent.Extent // of value, on the volume
	resident    bool
	pieces      []piece // ascending by vcn

	mu       sync.Mutex // of what follows
	loaded   int        // piece whose runs are in runs
	runs     []run
	unpacked []byte // a unit
	unitAt   int64  // its number; -1 for none
}

// piece is the part of an attribute that is in one record.
type piece struct {
	vcn, highest int64
	holder       int64 // number of the record
	sequence     uint16
	offset       int64 // bytes from the start of the volume, for messages
}

const (
	flagCompression = 0x00FF // the method; 1 is LZNT1
	flagEncrypted   = 0x4000
	maxUnit         = 1 << 20 // bytes; Windows makes 64 KiB
)

// add takes a piece that one of the file's records holds.
func (d *data) add(a attribute, holder record) error {
	d.loaded, d.unitAt = -1, -1
	at := holder.place(a)
	if !a.nonResident() {
		if d.resident || len(d.pieces) > 0 {
			return formatError(holder.offset+at, "attribute %#x is there twice", a.kind())
		}
		d.resident, d.value, d.flags = true, a.value(), a.flags()
		d.size = int64(len(d.value))
		d.initialized = d.size
		d.places = d.f.recordExtents(holder.number, at+int64(le.Uint16(a[0x14:])), d.size)
		return nil
	}
	if d.resident {
		return formatError(holder.offset+at, "attribute %#x is there twice", a.kind())
	}
	if a.lowestVCN() == 0 {
		d.flags = a.flags()
		d.size, d.initialized = int64(le.Uint64(a[0x30:])), int64(le.Uint64(a[0x38:]))
		if d.flags&flagCompression != 0 {
			d.unit = 1 << min(le.Uint16(a[0x22:]), 31)
		}
	}
	d.pieces = append(d.pieces, piece{a.lowestVCN(), a.highestVCN(), holder.number, holder.sequence(), holder.offset + at})
	return nil
}

// complete says whether the pieces are one whole and the sizes fit them.
func (d *data) complete() error {
	if d.resident {
		return nil
	}
	slices.SortStableFunc(d.pieces, func(a, b piece) int { return cmp.Compare(a.vcn, b.vcn) })
	next := int64(0)
	for i, p := range d.pieces {
		if p.vcn != next || p.highest < p.vcn-1 || p.highest > maxVCN || i > 0 && p.highest < p.vcn {
			return formatError(p.offset, "attribute %#x: piece of VCN %d to %d, wanted is %d", d.kind, p.vcn, p.highest, next)
		}
		next = p.highest + 1
	}
	first := d.pieces[0]
	if d.size < 0 || d.initialized < 0 || d.initialized > d.size || d.size > next*d.f.boot.cluster {
		return formatError(first.offset, "attribute %#x: %d bytes, %d of them written, in %d clusters", d.kind, d.size, d.initialized, next)
	}
	if d.flags&flagCompression != 0 && d.unit*d.f.boot.cluster > maxUnit {
		d.sealed = "compressed in units that are too large"
	}
	return nil
}

// load decodes the runs of piece i.
func (d *data) load(i int) error {
	if d.loaded == i {
		return nil
	}
	p := d.pieces[i]
	rec, err := d.f.readRecord(p.holder)
	if err != nil {
		return err
	}
	var runs []run
	found := false
	attrErr := rec.attributes(func(a attribute) bool {
		if !found && a.kind() == d.kind && a.nonResident() && a.lowestVCN() == p.vcn && a.name() == d.name {
			found = true
			runs, err = d.f.runs(a)
		}
		return !found
	})
	switch {
	case attrErr != nil:
		return attrErr
	case err != nil:
		return formatError(p.offset, "attribute %#x: %v", d.kind, err)
	case !found || rec.sequence() != p.sequence:
		return formatError(p.offset, "attribute %#x is no longer there", d.kind)
	}
	d.loaded, d.runs = i, runs
	return nil
}

// next is the run that holds cluster vcn of the file, cut there; a run of no
// length where the file ends.
func (d *data) next(vcn int64) (run, error) {
	i, _ := slices.BinarySearchFunc(d.pieces, vcn, func(p piece, vcn int64) int {
		if p.highest < vcn {
			return -1
		}
		return 1
	})
	if i == len(d.pieces) {
		return run{vcn: vcn, lcn: sparse}, nil
	}
	if err := d.load(i); err != nil {
		return run{}, err
	}
	j, _ := slices.BinarySearchFunc(d.runs, vcn, func(r run, vcn int64) int {
		if r.vcn+r.length <= vcn {
			return -1
		}
		return 1
	})
	if j == len(d.runs) || d.runs[j].vcn > vcn {
		return run{}, formatError(d.pieces[i].offset, "attribute %#x: no run for VCN %d", d.kind, vcn)
	}
	r := d.runs[j]
	skip := vcn - r.vcn
	r.vcn, r.length = vcn, r.length-skip
	if r.lcn != sparse {
		r.lcn += skip
	}
	return r, nil
}

// ReadAt reads the file: zeros from holes and from what was never written.
func (d *data) ReadAt(p []byte, off int64) (n int, err error) {
	var end error
	switch {
	case off < 0:
		return 0, fmt.Errorf("ntfs: read at byte %d", off)
	case off >= d.size:
		return 0, io.EOF
	case int64(len(p)) > d.size-off:
		p, end = p[:d.size-off], io.EOF
	}
	if why := d.closed(); why != "" {
		return 0, fmt.Errorf("ntfs: MFT record %d: %s: %w", d.file, why, filesystem.ErrContent)
	}
	if d.resident {
		return copy(p, d.value[off:]), end
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(p)
	written := p[:max(0, min(int64(len(p)), d.initialized-off))]
	if d.unit > 0 {
		err = d.readUnits(written, off)
	} else {
		err = d.readRuns(written, off)
	}
	if err != nil {
		return 0, fmt.Errorf("ntfs: MFT record %d: %w", d.file, err)
	}
	return len(p), end
}

// closed says why the content cannot be read, "" where it can.
func (d *data) closed() string {
	switch {
	case d.sealed != "":
		return d.sealed
	case d.flags&flagEncrypted != 0:
		return "encrypted"
	case d.flags&flagCompression > 1:
		return fmt.Sprintf("compressed by method %d", d.flags&flagCompression)
	}
	return ""
}

// readRuns fills p, which holds zeros, from byte off on.
func (d *data) readRuns(p []byte, off int64) error {
	cluster := d.f.boot.cluster
	for len(p) > 0 {
		r, err := d.next(off / cluster)
		if err != nil {
			return err
		}
		if r.length == 0 {
			return nil
		}
		in := off % cluster
		n := min(r.length*cluster-in, int64(len(p)))
		if r.lcn != sparse {
			if err := filesystem.ReadFull(d.f.r, p[:n], r.lcn*cluster+in); err != nil {
				return fmt.Errorf("%d bytes at byte %d: %w", n, r.lcn*cluster+in, err)
			}
		}
		p, off = p[n:], off+n
	}
	return nil
}

// readUnits is readRuns for what is compressed.
func (d *data) readUnits(p []byte, off int64) error {
	size := d.unit * d.f.boot.cluster
	for len(p) > 0 {
		if err := d.unpack(off / size); err != nil {
			return err
		}
		n := copy(p, d.unpacked[off%size:])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// unpack reads a unit. One without clusters is zeros, one with all of them is
// stored as it is, any other is compressed in those that it has.
func (d *data) unpack(number int64) error {
	if d.unitAt == number {
		return nil
	}
	cluster := d.f.boot.cluster
	size := d.unit * cluster
	if d.unpacked == nil {
		d.unpacked = make([]byte, size)
	}
	d.unitAt = -1
	vcn, end := number*d.unit, (number+1)*d.unit
	packed := make([]byte, 0, size)
	at := int64(0)
	for vcn < end {
		r, err := d.next(vcn)
		if err != nil {
			return err
		}
		if r.length == 0 || r.lcn == sparse {
			break
		}
		n := min(r.length, end-vcn)
		part := packed[len(packed):][:n*cluster]
		if err := filesystem.ReadFull(d.f.r, part, r.lcn*cluster); err != nil {
			return fmt.Errorf("%d bytes at byte %d: %w", len(part), r.lcn*cluster, err)
		}
		if vcn == number*d.unit {
			at = r.lcn * cluster
		}
		packed = packed[:len(packed)+len(part)]
		vcn += n
	}
	if vcn == end {
		copy(d.unpacked, packed)
	} else if err := decompress(d.unpacked, packed); err != nil {
		return formatError(at, "unit %d of what is compressed: %v", number, err)
	}
	d.unitAt = number
	return nil
}

// Runs gives where the clusters lie, those behind the end of the file too; of
// what is compressed, at the begin of its unit. Of a file in an MFT record it
// gives the bytes of that, of which the last two of every 512 stand elsewhere
// in the record.
func (d *data) Runs() iter.Seq2[filesystem.Run, error] {
	return func(yield func(filesystem.Run, error) bool) {
		at := int64(0)
		for _, e := range d.places {
			if !yield(filesystem.Run{Offset: at, Extent: e}, nil) {
				return
			}
			at += e.Length
		}
		if d.resident {
			return
		}
		out := &fileRuns{d: d, yield: yield}
		own := &data{f: d.f, file: d.file, kind: d.kind, name: d.name, pieces: d.pieces, loaded: -1}
		total := int64(0)
		for vcn := int64(0); ; {
			r, err := own.next(vcn)
			if err == nil && r.lcn != sparse {
				if total += r.length; total > d.f.boot.clusters {
					err = formatError(d.pieces[0].offset, "more clusters than the volume has")
				}
			}
			if err != nil {
				yield(filesystem.Run{}, fmt.Errorf("ntfs: MFT record %d: %w", d.file, err))
				return
			}
			if r.length == 0 {
				out.flush()
				return
			}
			if r.lcn != sparse && !out.add(r) {
				return
			}
			vcn += r.length
		}
	}
}

// fileRuns joins runs that touch, and cuts them where what was never written
// begins.
type fileRuns struct {
	d       *data
	yield   func(filesystem.Run, error) bool
	pending run
}

func (o *fileRuns) add(r run) bool {
	p := &o.pending
	if p.length > 0 && p.vcn+p.length == r.vcn && p.lcn+p.length == r.lcn {
		p.length += r.length
		return true
	}
	ok := o.flush()
	o.pending = r
	return ok
}

func (o *fileRuns) flush() bool {
	r, cluster := o.pending, o.d.f.boot.cluster
	o.pending = run{}
	written := r.length
	if o.d.unit == 0 {
		written = max(0, min(r.length, (o.d.initialized+cluster-1)/cluster-r.vcn))
	}
	give := func(from, n int64, unwritten bool) bool {
		e := extent.Extent{Offset: (r.lcn + from) * cluster, Length: n * cluster}
		return n == 0 || o.yield(filesystem.Run{Offset: (r.vcn + from) * cluster, Extent: e, Unwritten: unwritten}, nil)
	}
	return give(0, written, false) && give(written, r.length-written, true)
}
