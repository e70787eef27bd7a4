package iso

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// padding ends a disc without partition tables, in sectors.
const padding = 150

// A Layout is a disc of which everything but the contents of files is known.
type Layout struct {
	segments []segment // ascending; zeroes between them
	size     int64
}

// A segment is a run of bytes of the disc.
type segment struct {
	name   string // for errors
	offset int64
	size   int64
	open   Opener
}

// An allocator gives out sectors, front to back.
type allocator struct{ next int64 }

func (a *allocator) take(n int64) lba {
	start := a.next
	a.next += sectors(n)
	return lba(start) // checked at the end, by Layout
}

// Layout places everything. Entries added later are not in it.
func (b *Builder) Layout() (*Layout, error) {
	if err := b.options.check(); err != nil {
		return nil, err
	}
	p := &planner{Builder: b, l: &Layout{}}
	if err := p.place(); err != nil {
		return nil, err
	}
	if err := p.encode(); err != nil {
		return nil, err
	}
	slices.SortFunc(p.l.segments, func(a, b segment) int { return cmp.Compare(a.offset, b.offset) })
	return p.l, nil
}

// A planner turns a builder into a layout: first it gives everything a place, then
// it encodes what refers to these places.
type planner struct {
	*Builder
	l         *Layout
	trees     []*hierarchy
	image     *node // nil: not bootable
	catalogue lba
	esp       int64 // byte offset
}

func (p *planner) place() (err error) {
	if p.options.Boot != nil {
		if p.image, err = p.Builder.image(); err != nil {
			return err
		}
	}
	a := &allocator{next: firstDescriptor + 3} // primary, Joliet, terminator
	if p.image != nil {
		a.next++
	}
	for _, joliet := range []bool{false, true} {
		h, err := newHierarchy(p.root, joliet, uint16(p.options.SequenceNumber))
		if err != nil {
			return fmt.Errorf("iso: %w", err)
		}
		h.tableSize = int64(len(h.pathTable(le)))
		h.tableL, h.tableM = a.take(h.tableSize), a.take(h.tableSize)
		p.trees = append(p.trees, h)
	}
	for _, h := range p.trees {
		h.place(a)
	}
	if p.image != nil {
		p.catalogue = a.take(sectorSize)
	}
	empty := a.take(sectorSize)
	p.placeFiles(p.root, empty)
	for _, f := range p.files {
		if f.Size > 0 {
			f.start = a.take(f.Size)
		}
	}
	p.l.size = p.end(a.next * sectorSize)
	if p.l.size/sectorSize > math.MaxUint32 {
		return fmt.Errorf("iso: %d bytes are more than a disc can address", p.l.size)
	}
	return nil
}

// placeFiles lets files and links below a directory point to the empty sector.
func (p *planner) placeFiles(dir *node, empty lba) {
	for _, n := range dir.children {
		n.start = empty
		p.placeFiles(n, empty)
	}
}

// end returns the size of the disc whose tree has the given size, and
// places the boot partition.
func (p *planner) end(tree int64) int64 {
	if p.image == nil {
		return tree + padding*sectorSize
	}
	p.esp = roundUp(tree, mebibyte)
	return roundUp(p.esp+p.options.Boot.ESPSize+gptBackup, mebibyte)
}

func (p *planner) encode() error {
	p.descriptors()
	for _, h := range p.trees {
		p.add("path table", h.tableL, h.pathTable(le))
		p.add("path table", h.tableM, h.pathTable(be))
		for _, d := range h.dirs {
			records, more := h.encode(d)
			p.add("directory", d.start, append(records, more...))
		}
	}
	for _, f := range p.files {
		if f.Size == 0 {
			continue
		}
		open := f.Open
		if f == p.image {
			open = patched(open, f.Size, f.start)
		}
		p.l.segments = append(p.l.segments, segment{f.Path, int64(f.start) * sectorSize, f.Size, open})
	}
	if p.image == nil {
		return nil
	}
	return p.boot()
}

// descriptors adds the volume descriptors in the order that El Torito wants.
func (p *planner) descriptors() {
	total := lba(p.l.size / sectorSize)
	list := [][]byte{p.options.descriptor(p.trees[0], total)}
	if p.image != nil {
		list = append(list, bootRecord(p.catalogue))
	}
	list = append(list, p.options.descriptor(p.trees[1], total), terminator())
	for i, d := range list {
		p.add("volume descriptor", firstDescriptor+lba(i), d)
	}
}

// boot adds the catalogue, the boot partition and the partition tables.
func (p *planner) boot() error {
	o := p.options
	p.add("boot catalogue", p.catalogue, catalogue(p.image.start, lba(p.esp/sectorSize), o.Boot.ESPSize))
	p.l.segments = append(p.l.segments, segment{"EFI system partition", p.esp, o.Boot.ESPSize, o.Boot.ESP})
	tables, err := o.partitionTables(p.esp, p.l.size)
	if err != nil {
		return err
	}
	tables = append(tables, write{0, mbr(o.Boot.MBR, p.image.start, o.diskID(), p.l.size)})
	for _, t := range tables {
		p.l.segments = append(p.l.segments, segment{"partition table", t.offset, int64(len(t.data)), Bytes(t.data)})
	}
	return nil
}

func (p *planner) add(name string, start lba, data []byte) {
	p.l.segments = append(p.l.segments, segment{name, int64(start) * sectorSize, int64(len(data)), Bytes(data)})
}

// Size returns the size of the disc in bytes.
func (l *Layout) Size() int64 { return l.size }

// WriteTo writes the disc, front to back. It may be called again. Every
// file must have the size that was announced; any error means that what was
// written is not a disc.
func (l *Layout) WriteTo(w io.Writer) (int64, error) {
	var at int64
	for _, s := range l.segments {
		if s.offset < at {
			return at, fmt.Errorf("iso: %s at byte %d, but byte %d is written", s.name, s.offset, at)
		}
		n, err := io.CopyN(w, zeroes{}, s.offset-at)
		at += n
		if err == nil {
			n, err = s.writeTo(w)
			at += n
		}
		if err != nil {
			return at, fmt.Errorf("iso: %s: %w", s.name, err)
		}
	}
	n, err := io.CopyN(w, zeroes{}, l.size-at)
	if err != nil {
		return at + n, fmt.Errorf("iso: end of the disc: %w", err)
	}
	return at + n, nil
}

func (s segment) writeTo(w io.Writer) (n int64, err error) {
	r, err := s.open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	n, err = io.CopyN(w, r, s.size)
	if errors.Is(err, io.EOF) {
		return n, fmt.Errorf("%d bytes were announced, but it ends after %d", s.size, n)
	}
	if err != nil {
		return n, err
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); err {
	case io.EOF:
		return n, nil
	case nil:
		return n, fmt.Errorf("it is longer than the %d bytes announced", s.size)
	default:
		return n, err
	}
}

// zeroes is an endless reader.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
