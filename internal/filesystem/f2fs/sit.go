package f2fs

import (
	"doppel.live/internal/filesystem/bitmap"
)

const (
	entrySize = 74 // bytes of an entry of the SIT
	mapSize   = segmentBlocks / 8

	summarySize   = 7 // bytes of a block's entry in a summary
	footerSize    = 5 // bytes at the end of a summary
	sitJournalMax = 78
	natJournalMax = 13
)

// entriesPerBlock is how many segments one block of the SIT describes.
func entriesPerBlock(block int64) int64 { return block / entrySize }

// entry describes a segment.
//
//	0   2   valid blocks; above the lower 10 bits the type, 3 to 5 for nodes
//	2   64  bitmap of valid blocks, the first one in the highest bit
//	66  8   time of the last change
type entry []byte

func (e entry) blocks() int64  { return int64(le.Uint16(e) & 0x3FF) }
func (e entry) nodes() bool    { t := le.Uint16(e) >> 10; return t >= 3 && t <= 5 }
func (e entry) bitmap() []byte { return e[2 : 2+mapSize] }

// marks holds bitmaps of some segments, in the manner of an entry.
type marks map[int64]*[mapSize]byte

// set marks a block of the main area; it says whether it was not yet.
func (m marks) set(block int64) bool {
	segment, bit := block/segmentBlocks, block%segmentBlocks
	bitmap := m[segment]
	if bitmap == nil {
		bitmap = new([mapSize]byte)
		m[segment] = bitmap
	}
	old := bitmap[bit/8]
	bitmap[bit/8] |= 0x80 >> (bit % 8)
	return bitmap[bit/8] != old
}

// view is the file system as one checkpoint describes it.
type view struct {
	cp       checkpoint
	sit, nat []byte          // version bitmaps
	journal  map[int64]entry // of segments, newer than the SIT
	nodes    []byte          // journal of the NAT: entries of natJournalMax bytes
}

// readView reads bitmaps and journals of a checkpoint.
func (f *fileSystem) readView(c checkpoint) (view, error) {
	v := view{cp: c}
	var err error
	if v.sit, v.nat, err = c.bitmaps(f.sb.payload()); err != nil {
		return v, err
	}
	for _, segment := range c.currentSegments() {
		if segment >= f.area.segments && segment != 0xFFFFFFFF {
			return v, formatError(c.at*f.block+36, "current segment %d of %d", segment, f.area.segments)
		}
	}
	return v, f.readJournals(&v)
}

// readJournals reads the changes to SIT and NAT that lie in the summaries of a
// checkpoint pack: in compacted ones the first things, in others behind the
// entries of the third (cold data) and the first (hot data).
func (f *fileSystem) readJournals(v *view) error {
	entries := f.block / 8 * summarySize
	size := f.block - entries - footerSize
	first := (v.cp.at + v.cp.summaries()) * f.block
	nat, sit := first, first+size
	if v.cp.flags()&flagCompact == 0 {
		nat, sit = first+entries, first+2*f.block+entries
	}
	p, err := f.readJournal(sit, size, sitJournalMax)
	if err != nil {
		return err
	}
	v.journal = map[int64]entry{}
	for i := 0; i < len(p); i += sitJournalMax {
		segment, e := int64(le.Uint32(p[i:])), entry(p[i+4:i+4+entrySize])
		if _, twice := v.journal[segment]; twice || segment >= f.area.segments {
			return formatError(sit+2+int64(i), "segment %d of %d in the journal of the SIT", segment, f.area.segments)
		}
		v.journal[segment] = e
	}
	v.nodes, err = f.readJournal(nat, size, natJournalMax)
	return err
}

// readJournal reads the entries of a journal, which their number precedes.
func (f *fileSystem) readJournal(at, size, entry int64) ([]byte, error) {
	p := make([]byte, size)
	if err := readFull(f.r, p, at); err != nil {
		return nil, err
	}
	n := int64(le.Uint16(p)) * entry
	if n > size-2 {
		return nil, formatError(at, "%d entries in a journal of %d bytes", le.Uint16(p), size)
	}
	return p[2 : 2+n], nil
}

// bit says whether a bit is set; the first one is the highest.
func bit(p []byte, i int64) bool { return p[i/8]&(0x80>>(i%8)) != 0 }

// segments walks all segments of a view, with the byte at which each is
// described.
func (f *fileSystem) segments(v view, visit func(segment int64, e entry, at int64) error) error {
	p := make([]byte, f.block)
	per := entriesPerBlock(f.block)
	for segment := int64(0); segment < f.area.segments; segment++ {
		number := f.area.sit + segment/per
		if bit(v.sit, segment/per) {
			number += f.area.sitBlocks
		}
		in := segment % per
		if in == 0 {
			if err := f.readBlock(p, number); err != nil {
				return err
			}
		}
		e := entry(p[in*entrySize : (in+1)*entrySize])
		if newer, ok := v.journal[segment]; ok {
			e = newer
		}
		if err := visit(segment, e, number*f.block+in*entrySize); err != nil {
			return err
		}
	}
	return nil
}

// checkCounts holds the SIT against its own counts and against the checkpoint,
// which counts the nodes and everything; see checkNodes.
func (f *fileSystem) checkCounts() error {
	v := f.views[0]
	var all, nodes int64
	err := f.segments(v, func(segment int64, e entry, at int64) error {
		if n := bitmap.Count(e.bitmap()); n != e.blocks() {
			return formatError(at, "segment %d has %d valid blocks by its bitmap, %d by its count", segment, n, e.blocks())
		}
		all += e.blocks()
		if e.nodes() {
			nodes += e.blocks()
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case nodes != v.cp.validNodes():
		return formatError(f.area.sit*f.block, "%d nodes by the SIT, %d by the checkpoint", nodes, v.cp.validNodes())
	case all > v.cp.validBlocks():
		return formatError(f.area.sit*f.block, "%d valid blocks by the SIT, %d by the checkpoint", all, v.cp.validBlocks())
	case all < v.cp.validBlocks():
		return f.checkNodes(v)
	}
	return nil
}
