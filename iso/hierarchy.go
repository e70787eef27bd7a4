package iso

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
)

// Limits of extents and directories.
const (
	maxExtent      = 1<<32 - sectorSize // bytes
	maxExtents     = 100                // of a file: Linux follows no more
	maxFile        = maxExtents * maxExtent
	maxDirectories = 1<<16 - 1 // numbers of the path table
)

// A hierarchy is one of the two trees of directories: the primary one with
// Rock Ridge, or Joliet's. Both point to the same contents.
type hierarchy struct {
	joliet   bool
	sequence uint16
	dirs     []*directory // in the order of the path table; the first is the root

	tableL, tableM lba // path tables
	tableSize      int64
}

// A directory is a directory of a hierarchy.
type directory struct {
	node    *node
	id      []byte
	number  int // in the path table, from 1
	parent  *directory
	members []member
	start   lba
	size    int64 // bytes of its records, a multiple of the sector size
}

// A member is what a directory holds.
type member struct {
	identifier
	node *node
	dir  *directory // nil for files and links
}

// newHierarchy names and orders everything: breadth first, which is the order
// of ECMA-119 9.4: level, parent, identifier.
func newHierarchy(root *node, joliet bool, sequence uint16) (*hierarchy, error) {
	h := &hierarchy{joliet: joliet, sequence: sequence}
	top := &directory{node: root, id: []byte{0}}
	top.parent = top
	h.dirs = append(h.dirs, top)
	for i := 0; i < len(h.dirs); i++ {
		d := h.dirs[i]
		d.number = i + 1
		d.members = h.members(d.node)
		for j := range d.members {
			m := &d.members[j]
			if m.file {
				continue
			}
			m.dir = &directory{node: m.node, id: h.id(*m), parent: d}
			h.dirs = append(h.dirs, m.dir)
		}
	}
	if len(h.dirs) > maxDirectories {
		return nil, fmt.Errorf("%d directories, at most %d fit on a disc", len(h.dirs), maxDirectories)
	}
	return h, nil
}

// members names the children of a directory and sorts them.
func (h *hierarchy) members(n *node) []member {
	children := make([]*node, 0, len(n.children))
	for _, c := range n.children {
		if !h.joliet || c.Mode&fs.ModeSymlink == 0 {
			children = append(children, c)
		}
	}
	slices.SortFunc(children, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	unique := newNamer()
	name, compare := unique.primary, comparePrimary
	if h.joliet {
		name, compare = unique.joliet, compareJoliet
	}
	members := make([]member, 0, len(children))
	for _, c := range children {
		members = append(members, member{identifier: name(c.name, !c.Mode.IsDir()), node: c})
	}
	slices.SortFunc(members, func(a, b member) int { return compare(a.identifier, b.identifier) })
	return members
}

func (h *hierarchy) id(m member) []byte {
	if h.joliet {
		return m.joliet()
	}
	return m.primary()
}

// place gives every directory its sectors, from a.
func (h *hierarchy) place(a *allocator) {
	for _, d := range h.dirs {
		// Lengths do not depend on where things lie, so encoding once tells them.
		records, more := h.encode(d)
		d.size = int64(len(records))
		d.start = a.take(d.size + int64(len(more)))
	}
}

// encode returns the records of a directory and the continuation areas that follow them.
func (h *hierarchy) encode(d *directory) (records, more []byte) {
	next := &continuation{start: d.start + lba(d.size/sectorSize)}
	add := func(r record, fields [][]byte) {
		r.sequence = h.sequence
		if !h.joliet {
			r.systemUse = next.pack(fields, maxRecord-r.base())
		}
		b := r.encode()
		if used := len(records) % sectorSize; used+len(b) > sectorSize { // ECMA-119 6.8.1.1
			records = append(records, make([]byte, sectorSize-used)...)
		}
		records = append(records, b...)
	}
	own := posix(d.node)
	if d.number == 1 {
		own = slices.Concat([][]byte{sharing()}, own, [][]byte{extensions()})
	}
	add(d.record([]byte{0}), own)
	add(d.parent.record([]byte{1}), posix(d.parent.node))
	for _, m := range d.members {
		fields := posix(m.node)
		fields = append(fields, names(m.node.name)...)
		if m.node.Mode&fs.ModeSymlink != 0 {
			fields = append(fields, link(m.node.Target)...)
		}
		for _, r := range m.records(h.id(m)) {
			add(r, fields)
		}
	}
	return fill(records), fill(next.data)
}

// posix returns the fields that every record has.
func posix(n *node) [][]byte {
	links := 1
	if n.Mode.IsDir() {
		links = 2 + n.subdirectories
	}
	return [][]byte{attributes(n.Mode, links), times(n.Time)}
}

// record returns the record of a directory under the given identifier.
func (d *directory) record(id []byte) record {
	return record{id: id, start: d.start, size: uint32(d.size), time: d.node.Time, flags: flagDirectory}
}

// records returns the record of a member, or several for a file in several extents.
func (m member) records(id []byte) (list []record) {
	if m.dir != nil {
		return []record{m.dir.record(id)}
	}
	start, left := m.node.start, m.node.Size
	for left > maxExtent {
		list = append(list, record{id: id, start: start, size: maxExtent, time: m.node.Time, flags: flagMultiExtent})
		start += maxExtent / sectorSize
		left -= maxExtent
	}
	return append(list, record{id: id, start: start, size: uint32(left), time: m.node.Time})
}

// pathTable encodes the path table, ECMA-119 9.4: with little-endian numbers
// it is the type L table, with big-endian ones type M.
func (h *hierarchy) pathTable(order binary.AppendByteOrder) []byte {
	var b []byte
	for _, d := range h.dirs {
		b = append(b, byte(len(d.id)), 0)
		b = order.AppendUint32(b, uint32(d.start))
		b = order.AppendUint16(b, uint16(d.parent.number))
		b = append(b, d.id...)
		if len(d.id)%2 != 0 {
			b = append(b, 0)
		}
	}
	return b
}

// fill adds zeroes up to the end of the last sector.
func fill(b []byte) []byte {
	return append(b, make([]byte, roundUp(int64(len(b)), sectorSize)-int64(len(b)))...)
}
