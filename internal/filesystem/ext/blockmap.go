package ext

import (
	"fmt"
	"sort"

	"doppel.live/internal/filesystem"
)

// span is a run of blocks of a file in one piece on the volume.
type span struct {
	logical, physical, length int64 // blocks
	unwritten                 bool  // allocated, and reads as zeros
}

// blockMap finds the blocks of an inode, by its extent tree or by the pointers
// of ext2 and ext3. It holds one node of each level. It is not for several
// goroutines at once.
type blockMap struct {
	in    *inode
	nodes [maxDepth + 1]mapNode // by their distance from the leaves
	empty int64                 // nodes that were looked at and led nowhere
	seen  func(block int64)     // called for each block of the map that is read; may be nil
}

// mapNode is a node that was read and checked for blocks from lo up to hi.
type mapNode struct {
	block, lo, hi int64
	p             []byte
}

const (
	maxDepth    = 5      // of an extent tree
	extentMagic = 0xF30A // eh_magic
	maxLogical  = 1 << 32
)

// next finds the first run at or behind logical block from, cut there. It
// looks no further than up to until; ok is false where there is none.
func (m *blockMap) next(from, until int64) (s span, ok bool, err error) {
	if m.in.has(inodeFlagExtents) {
		p, at := m.in.block(), m.in.at+blockOff
		depth := le.Uint16(p[6:])
		if depth > maxDepth {
			return s, false, formatError(at+6, "an extent tree of depth %d", depth)
		}
		if err := checkNode(p, at, depth, 0, maxLogical); err != nil {
			return s, false, err
		}
		s, ok, err = m.nextExtent(p, at, maxLogical, from)
	} else {
		s, ok, err = m.nextPointer(from, until)
	}
	return s, ok && s.logical < until, err
}

// nextExtent looks in a node of the extent tree that lies at byte at and is
// for logical blocks before hi.
func (m *blockMap) nextExtent(p []byte, at, hi, from int64) (s span, ok bool, err error) {
	f, depth, entries := m.in.f, le.Uint16(p[6:]), int(le.Uint16(p[2:]))
	i := sort.Search(entries, func(i int) bool { return entryLogical(p, i) > from })
	for i = max(i-1, 0); i < entries; i++ {
		e := p[12+12*i:]
		off := at + 12 + 12*int64(i)
		lo, end := entryLogical(p, i), hi
		if i+1 < entries {
			end = entryLogical(p, i+1)
		}
		if depth > 0 {
			block := int64(le.Uint16(e[8:]))<<32 | int64(le.Uint32(e[4:]))
			child, err := m.node(int(depth)-1, block, off, lo, end)
			if err != nil {
				return s, false, err
			}
			// One that ends before from, and then one that does not: no more.
			if s, ok, err = m.nextExtent(child, block*f.blockSize, end, from); ok || err != nil {
				return s, ok, err
			}
			continue
		}
		s = span{logical: lo, length: int64(le.Uint16(e[4:])), physical: int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))}
		if s.unwritten = s.length > 32768; s.unwritten {
			s.length -= 32768
		}
		if s.length == 0 || s.length > end-lo || s.physical <= 0 || s.physical > f.blocks-s.length {
			return s, false, formatError(off, "an extent of %d blocks at block %d", s.length, s.physical)
		}
		if cut := from - lo; cut >= s.length {
			continue
		} else if cut > 0 {
			s.logical, s.physical, s.length = from, s.physical+cut, s.length-cut
		}
		return s, true, nil
	}
	return s, false, nil
}

// entryLogical is the first logical block of entry i of a node.
func entryLogical(p []byte, i int) int64 { return int64(le.Uint32(p[12+12*i:])) }

// checkNode holds a node of the extent tree against what is known of it.
//
//	header  0  2  magic          leaf  0  4  logical    index  0  4  logical
//	        2  2  entries              4  2  length            4  4  block, lower half
//	        4  2  room for             6  2  upper half        8  2  upper half
//	        6  2  depth                8  4  block
func checkNode(p []byte, at int64, depth uint16, lo, hi int64) error {
	entries, room := int(le.Uint16(p[2:])), int(le.Uint16(p[4:]))
	switch {
	case le.Uint16(p) != extentMagic:
		return formatError(at, "a node of an extent tree begins with %#x", le.Uint16(p))
	case le.Uint16(p[6:]) != depth:
		return formatError(at+6, "depth %d in an extent tree where it must be %d", le.Uint16(p[6:]), depth)
	case entries > room || 12+12*room > len(p):
		return formatError(at+2, "%d entries of %d in a node of an extent tree", entries, room)
	case entries == 0 && (depth > 0 || len(p) > 60):
		return formatError(at+2, "an empty node in an extent tree")
	}
	for i := range entries {
		n := entryLogical(p, i)
		if n < lo || n >= hi {
			return formatError(at+12+12*int64(i), "logical block %d where %d to %d belong", n, lo, hi-1)
		}
		lo = n + 1
	}
	return nil
}

// node reads a node of the extent tree. What names it lies at byte from.
func (m *blockMap) node(depth int, block, from, lo, hi int64) ([]byte, error) {
	n := &m.nodes[depth]
	if n.p != nil && n.block == block && n.lo == lo && n.hi == hi {
		return n.p, nil
	}
	p, err := m.load(n, block, from)
	if err != nil {
		return nil, err
	}
	at := block * m.in.f.blockSize
	if err := checkNode(p, at, uint16(depth), lo, hi); err != nil {
		return nil, err
	}
	if m.in.f.sb.roCompat()&roCompatMetadataCsum != 0 {
		tail := 12 + 12*int(le.Uint16(p[4:]))
		if tail+4 > len(p) || m.in.f.crc32c(m.in.checksumSeed(), p[:tail]) != le.Uint32(p[tail:]) {
			return nil, formatError(at+int64(min(tail, len(p))), "wrong checksum of a node of an extent tree")
		}
	}
	n.block, n.lo, n.hi = block, lo, hi
	return p, nil
}

// load reads a block of the map into n.
func (m *blockMap) load(n *mapNode, block, from int64) ([]byte, error) {
	f := m.in.f
	if block <= 0 || block >= f.blocks {
		return nil, formatError(from, "a map of blocks at block %d", block)
	}
	if n.p == nil {
		n.p = make([]byte, f.blockSize)
	}
	n.block = -1
	if err := filesystem.ReadFull(f.r, n.p, block*f.blockSize); err != nil {
		return nil, fmt.Errorf("ext: map of blocks at byte %d: %w", block*f.blockSize, err)
	}
	if m.seen != nil {
		m.seen(block)
	}
	return n.p, nil
}

// nextPointer looks through the 15 pointers of an inode of ext2 and ext3: 12
// blocks, then a map of them, a map of maps and a map of those.
func (m *blockMap) nextPointer(from, until int64) (s span, ok bool, err error) {
	for from < until {
		l, end, err := m.leaf(from)
		if err != nil {
			return s, false, err
		}
		if s, ok, err = l.run(m.in.f, from); ok || err != nil {
			return s, ok, err
		}
		from = end
		if m.empty++; m.empty > m.in.f.blocks+16 {
			return s, false, formatError(m.in.at+blockOff, "a map of blocks without an end")
		}
	}
	return s, false, nil
}

// leaf is a list of pointers to blocks of a file; it has none for a hole.
type leaf struct {
	p  []byte
	at int64 // bytes from the start of the volume
	i  int   // the pointer that was asked for
}

// leaf finds the pointer of a logical block, and the first block behind what
// its leaf, or a hole in its place, is for.
func (m *blockMap) leaf(from int64) (l leaf, end int64, err error) {
	p, at := m.in.block(), m.in.at+blockOff
	if from < 12 {
		return leaf{p[:48], at, int(from)}, 12, nil
	}
	per := m.in.f.blockSize / 4
	first, covers, level := int64(12), per, 1 // what a pointer is for, and how far it is from the data
	for ; from >= first+covers; level++ {
		if level == 3 {
			return leaf{}, maxLogical, nil
		}
		first += covers
		covers *= per
	}
	i := int64(11 + level)
	for ; level > 0; level-- {
		block := int64(le.Uint32(p[4*i:]))
		if block == 0 {
			return leaf{}, first + covers, nil
		}
		if p, err = m.pointers(level, block, at+4*i); err != nil {
			return leaf{}, 0, err
		}
		at = block * m.in.f.blockSize
		covers /= per
		i = (from - first) / covers
		first += i * covers
	}
	return leaf{p, at, int(i)}, from - i + per, nil
}

// run is the first run at or behind the pointer that was asked for, which is
// that of logical block from.
func (l leaf) run(f *fileSystem, from int64) (s span, ok bool, err error) {
	n, i := len(l.p)/4, l.i
	for i < n && le.Uint32(l.p[4*i:]) == 0 {
		i++
	}
	if i >= n {
		return s, false, nil
	}
	s = span{logical: from + int64(i-l.i), physical: int64(le.Uint32(l.p[4*i:])), length: 1}
	if s.physical >= f.blocks {
		return s, false, formatError(l.at+4*int64(i), "a pointer to block %d of %d", s.physical, f.blocks)
	}
	for i++; i < n && int64(le.Uint32(l.p[4*i:])) == s.physical+s.length && s.physical+s.length < f.blocks; i++ {
		s.length++
	}
	return s, true, nil
}

// pointers reads a block of pointers.
func (m *blockMap) pointers(level int, block, from int64) ([]byte, error) {
	n := &m.nodes[level]
	if n.p != nil && n.block == block {
		return n.p, nil
	}
	p, err := m.load(n, block, from)
	if err == nil {
		n.block = block
	}
	return p, err
}

// each calls do for all runs, ascending, those that touch joined. A file cannot
// have more blocks than there are.
func (m *blockMap) each(do func(s span) error) error {
	var pending span
	total := int64(0)
	for from := int64(0); ; {
		s, ok, err := m.next(from, maxLogical)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if total += s.length; total > m.in.f.blocks {
			return formatError(m.in.at+blockOff, "more blocks than there are")
		}
		from = s.logical + s.length
		switch {
		case pending.length == 0:
			pending = s
		case pending.logical+pending.length == s.logical && pending.physical+pending.length == s.physical && pending.unwritten == s.unwritten:
			pending.length += s.length
		default:
			if err := do(pending); err != nil {
				return err
			}
			pending = s
		}
	}
	if pending.length == 0 {
		return nil
	}
	return do(pending)
}

const maxRuns = 1 << 18 // of the journal, which mke2fs lays in one

// journalRuns maps the blocks of the journal's inode, ascending.
func (f *fileSystem) journalRuns() ([]span, error) {
	number := int64(f.sb.journalInode())
	if number == 0 || number > f.sb.inodesPerGroup() {
		return nil, formatError(superOffset+0xE0, "the journal lies on another device")
	}
	in, err := (&inodeReader{f: f}).read(number)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	var runs []span
	err = (&blockMap{in: in}).each(func(s span) error {
		if len(runs) == maxRuns {
			return formatError(in.at+blockOff, "the journal in too many pieces")
		}
		s.unwritten = false // whatever is there is the log
		runs = append(runs, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return runs, nil
}
