package btrfs

import (
	"bytes"
	"cmp"
	"fmt"

	"doppel.live/internal/filesystem"
)

const (
	headerSize  = 0x65
	keySize     = 0x11
	pointerSize = keySize + 16
	itemSize    = keySize + 8
)

// Types of items.
const (
	typeExtentData = 0x6C
	typeRoot       = 0x84
	typeExtent     = 0xA8
	typeMetadata   = 0xA9
	typeBlockGroup = 0xC0
	typeDevice     = 0xD8
	typeChunk      = 0xE4
)

// key is what the items of a tree are ordered by.
type key struct {
	object uint64
	kind   byte
	offset uint64
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.object, o.object), cmp.Compare(k.kind, o.kind), cmp.Compare(k.offset, o.offset))
}

func parseKey(p []byte) key { return key{le.Uint64(p), p[8], le.Uint64(p[9:])} }

// pointer names a node and says what is known of it beforehand.
type pointer struct {
	logical    uint64 // address
	generation uint64
	level      byte
}

// node is one block of a tree. Its entries are pointers, or items in a leaf.
type node []byte

// off    len
func (n node) uuid() []byte       { return n[0x20:0x30] }             // 0x20 16
func (n node) logical() uint64    { return le.Uint64(n[0x30:]) }      // 0x30  8
func (n node) generation() uint64 { return le.Uint64(n[0x50:]) }      // 0x50  8
func (n node) count() int         { return int(le.Uint32(n[0x60:])) } // 0x60  4
func (n node) level() byte        { return n[0x64] }                  // 0x64  1

func (n node) entry(i int) []byte {
	if n.level() == 0 {
		return n[headerSize+i*itemSize:][:itemSize]
	}
	return n[headerSize+i*pointerSize:][:pointerSize]
}

func (n node) key(i int) key { return parseKey(n.entry(i)) }

// child is what entry i of an inner node points to.
func (n node) child(i int) pointer {
	p := n.entry(i)
	return pointer{le.Uint64(p[keySize:]), le.Uint64(p[keySize+8:]), n.level() - 1}
}

// data is the content of item i of a leaf; its place was checked.
func (n node) data(i int) []byte {
	p := n.entry(i)
	return n[headerSize+le.Uint32(p[keySize:]):][:le.Uint32(p[keySize+4:])]
}

// check says what is wrong inside a node; "" is nothing.
func (n node) check() string {
	room := (len(n) - headerSize) / pointerSize
	if n.level() == 0 {
		room = (len(n) - headerSize) / itemSize
	}
	if count := le.Uint32(n[0x60:]); uint64(count) > uint64(room) || count == 0 && n.level() > 0 {
		return "number of entries"
	}
	for i := range n.count() {
		if i > 0 && n.key(i-1).compare(n.key(i)) >= 0 {
			return "order of the keys"
		}
		if n.level() == 0 {
			p := n.entry(i)
			begin, length := uint64(le.Uint32(p[keySize:])), uint64(le.Uint32(p[keySize+4:]))
			if begin+length > uint64(len(n)-headerSize) {
				return "place of an item"
			}
		}
	}
	return ""
}

// readNode reads a node into block, from the first of its copies that is whole.
func (f *fileSystem) readNode(p pointer, block node) error {
	c := f.chunkAt(p.logical)
	if c == nil || p.logical%uint64(f.sectorSize) != 0 || uint64(f.nodeSize) > c.end()-p.logical {
		return formatError(superOffset, "no chunk for the tree block at logical address %d", p.logical)
	}
	var first error
	for _, at := range c.copies[:c.count] {
		err := f.readCopy(p, block, at+int64(p.logical-c.logical))
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// readCopy reads the copy of a node at a byte of the volume.
func (f *fileSystem) readCopy(p pointer, block node, at int64) error {
	if err := filesystem.ReadFull(f.r, block, at); err != nil {
		return fmt.Errorf("btrfs: tree block at byte %d: %w", at, err)
	}
	switch {
	case !f.sum(block):
		return formatError(at, "checksum of a tree block is wrong")
	case block.logical() != p.logical:
		return formatError(at+0x30, "tree block belongs to logical address %d, not %d", block.logical(), p.logical)
	case !bytes.Equal(block.uuid(), f.sb.nodeUUID()):
		return formatError(at+0x20, "tree block of another file system")
	case block.generation() != p.generation:
		return formatError(at+0x50, "tree block of generation %d, not %d", block.generation(), p.generation)
	case block.level() != p.level:
		return formatError(at+0x64, "tree block of level %d, not %d", block.level(), p.level)
	}
	if what := block.check(); what != "" {
		return formatError(at, "%s of a tree block is wrong", what)
	}
	return nil
}

// walker goes over a tree in the order of its keys. It keeps the node read
// last of each level, so that one walk after another is cheap.
type walker struct {
	f     *fileSystem
	root  pointer
	nodes [maxLevel + 1]node
	held  [maxLevel + 1]pointer
	seen  func(logical uint64) // called for every node; may be nil
}

// walk calls item for every item from from on, until it returns false.
func (w *walker) walk(from key, item func(k key, data []byte) (more bool, err error)) error {
	_, err := w.visit(w.root, from, nil, nil, item)
	return err
}

// visit walks what lies below p. first is the key that p stands at, limit the
// next one; nil where there is none. Since every node begins with the key that
// leads to it and ends before the next, no node is visited twice.
func (w *walker) visit(p pointer, from key, first, limit *key, item func(key, []byte) (bool, error)) (bool, error) {
	n, err := w.node(p)
	if err != nil {
		return false, err
	}
	count := n.count()
	if first != nil && (count == 0 || n.key(0) != *first) || limit != nil && count > 0 && n.key(count-1).compare(*limit) >= 0 {
		return false, formatError(superOffset, "tree block at logical address %d does not fit the keys around it", p.logical)
	}
	for i := search(n, from); i < count; i++ {
		if n.level() == 0 {
			if more, err := item(n.key(i), n.data(i)); !more || err != nil {
				return false, err
			}
			continue
		}
		here, next := n.key(i), limit
		if i+1 < count {
			k := n.key(i + 1)
			next = &k
		}
		if more, err := w.visit(n.child(i), from, &here, next, item); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

// search gives the entry to begin with: in a leaf the first at or behind from,
// in an inner node the last that may lead to it.
func search(n node, from key) int {
	lo, hi := 0, n.count()
	for lo < hi {
		mid := (lo + hi) / 2
		if n.key(mid).compare(from) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if n.level() > 0 && lo > 0 && (lo == n.count() || n.key(lo) != from) {
		lo--
	}
	return lo
}

func (w *walker) node(p pointer) (node, error) {
	if p.level > maxLevel {
		return nil, formatError(superOffset, "a tree of %d levels", p.level)
	}
	if w.seen != nil {
		w.seen(p.logical)
	}
	n := w.nodes[p.level]
	if n != nil && w.held[p.level] == p {
		return n, nil
	}
	if n == nil {
		n = make(node, w.f.nodeSize)
		w.nodes[p.level] = n
	}
	w.held[p.level] = pointer{}
	if err := w.f.readNode(p, n); err != nil {
		return nil, err
	}
	w.held[p.level] = p
	return n, nil
}
