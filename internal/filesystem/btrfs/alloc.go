package btrfs

import (
	"iter"

	"doppel.live/internal/extent"
)

// Objects of the root tree: trees.
const (
	extentTreeObject = 2
	groupTreeObject  = 11
)

// loadRoots finds the extent tree, and the tree that holds the block groups.
func (f *fileSystem) loadRoots() (groupTree pointer, err error) {
	w := walker{f: f, root: pointer{f.sb.root(), f.sb.generation(), f.sb.rootLevel()}}
	if f.extentTree, err = w.rootItem(extentTreeObject); err != nil {
		return pointer{}, err
	}
	if f.sb.readOnlyFlags()&readOnlyBlockGroupTree != 0 {
		return w.rootItem(groupTreeObject)
	}
	return f.extentTree, nil
}

// rootItem finds a tree in the root tree.
func (w *walker) rootItem(object uint64) (pointer, error) {
	var found pointer
	ok := false
	err := w.walk(key{object, typeRoot, 0}, func(k key, data []byte) (more bool, err error) {
		if k.object == object && k.kind == typeRoot {
			found, ok = parseRoot(data)
		}
		return false, nil
	})
	if err == nil && !ok {
		err = formatError(superOffset+0x50, "no tree %d", object)
	}
	return found, err
}

// parseRoot parses a root item:
//
//	0x00  160  an inode item
//	0xA0    8  generation
//	0xB0    8  logical address of the root node
//	0xEE    1  level
func parseRoot(p []byte) (pointer, bool) {
	if len(p) < 0xEF {
		return pointer{}, false
	}
	return pointer{logical: le.Uint64(p[0xB0:]), generation: le.Uint64(p[0xA0:]), level: p[0xEE]}, true
}

// loadGroups reads how much of each chunk is in use, and holds the sum against
// the superblock: so no chunk is missing.
func (f *fileSystem) loadGroups(tree pointer) error {
	w := walker{f: f, root: tree}
	var sum uint64
	for i := range f.chunks {
		c := &f.chunks[i]
		found := false
		err := w.walk(key{c.logical, typeBlockGroup, c.length}, func(k key, data []byte) (bool, error) {
			if k == (key{c.logical, typeBlockGroup, c.length}) && len(data) >= 24 && le.Uint64(data) <= c.length {
				found, c.used = true, int64(le.Uint64(data))
			}
			return false, nil
		})
		if err != nil {
			return err
		}
		if !found {
			return formatError(c.copies[0], "no block group for the chunk at logical address %d", c.logical)
		}
		sum += uint64(c.used)
	}
	if sum != f.sb.bytesUsed() {
		return formatError(superOffset+0x78, "%d bytes in use, the block groups hold %d", f.sb.bytesUsed(), sum)
	}
	return nil
}

// Allocated gives the extents in use. The extent tree is in the order of
// logical addresses; so the copies of chunks are gone through in the order of
// the device, and the tree is read once for each.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		m := merger{fixed: f.fixed, yield: yield}
		w := walker{f: f, root: f.extentTree}
		for _, s := range f.stripes {
			err := w.extents(&f.chunks[s.chunk], func(offset, length int64) bool {
				return m.add(extent.Extent{Offset: s.physical + offset, Length: length})
			})
			if err != nil && !m.ended {
				yield(extent.Extent{}, err)
				return
			}
			if m.ended {
				return
			}
		}
		m.finish()
	}
}

// extents calls visit with the extents of a chunk, offset from its start, in
// their order, until it returns false.
//
// Extent items have the logical address and the length in their key; metadata
// items have the address and the level, and are as long as a node.
func (w *walker) extents(c *chunk, visit func(offset, length int64) bool) error {
	var last, sum uint64 // end of the extent before, from the start of the chunk
	stopped := false
	err := w.walk(key{c.logical, 0, 0}, func(k key, data []byte) (bool, error) {
		if k.object >= c.end() {
			return false, nil
		}
		length := k.offset
		switch k.kind {
		case typeExtent:
		case typeMetadata:
			length = uint64(w.f.nodeSize)
		default:
			return true, nil
		}
		offset := k.object - c.logical
		if offset < last || length == 0 || length > c.length-offset || (offset|length)%uint64(w.f.sectorSize) != 0 {
			return false, formatError(c.copies[0]+int64(offset), "extent at logical address %d, %d bytes long, does not fit", k.object, length)
		}
		last = offset + length
		sum += length
		stopped = !visit(int64(offset), int64(length))
		return !stopped, nil
	})
	if err == nil && !stopped && int64(sum) != c.used {
		err = formatError(c.copies[0], "extents of %d bytes in the block group at logical address %d, which counts %d", sum, c.logical, c.used)
	}
	return err
}

// merger joins ascending extents with a second list and yields what does not
// touch.
type merger struct {
	fixed   []extent.Extent
	pending extent.Extent
	yield   func(extent.Extent, error) bool
	ended   bool
}

func (m *merger) add(e extent.Extent) bool {
	for len(m.fixed) > 0 && m.fixed[0].Offset <= e.Offset {
		m.put(m.fixed[0])
		m.fixed = m.fixed[1:]
	}
	m.put(e)
	return !m.ended
}

func (m *merger) put(e extent.Extent) {
	switch {
	case m.pending.Length == 0:
		m.pending = e
	case e.Offset <= m.pending.End():
		m.pending.Length = max(m.pending.End(), e.End()) - m.pending.Offset
	default:
		m.ended = m.ended || !m.yield(m.pending, nil)
		m.pending = e
	}
}

// finish yields what is left.
func (m *merger) finish() {
	for _, e := range m.fixed {
		m.put(e)
	}
	if m.pending.Length > 0 && !m.ended {
		m.yield(m.pending, nil)
	}
}
