package xfs

import (
	"bytes"
	"fmt"
	"iter"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// group is what its AGF says of an allocation group. The AGF is the second
// sector of the group:
//
//	0    4   agf_magicnum "XAGF"       28   4   agf_levels of the tree by block
//	4    4   agf_versionnum, 1         52   4   agf_freeblks
//	8    4   agf_seqno                 56   4   agf_longest
//	12   4   agf_length                64   16  agf_uuid (version 5)
//	16   4   agf_roots of the tree     208  8   agf_lsn (version 5)
//	         by block                  216  4   agf_crc (version 5),
//	                                            little-endian
type group struct {
	number  int64
	length  int64 // blocks
	root    int64 // block of the group
	levels  int
	free    int64 // blocks in the trees
	longest int64 // blocks of the longest free extent
}

const (
	groupLSN  = 208
	groupCRC  = 216
	maxLevels = 9 // of a tree: enough for 2^31 blocks of 512 bytes
)

// Allocated gives the extents in use: everything that the tree of free space
// by block number does not hold. So the heads of the groups, the trees, the
// log and the blocks of the free lists (AGFL), which wait to become blocks of
// trees, are in use. The superblock's count, and df and partclone with it,
// takes the lists and the blocks of the trees below their roots for free; they
// are four to a few dozen blocks in a group. Where the log must be replayed, so
// are the blocks that it names.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		used := func(from, to int64) error { // blocks of the volume
			return add(extent.Extent{Offset: from * f.blockSize, Length: (to - from) * f.blockSize})
		}
		for n := range f.agCount {
			if err := f.groupUsed(n, used); err != nil {
				return err
			}
		}
		return nil
	})
}

// groupUsed gives what is in use of group n, in blocks of the volume.
func (f *fileSystem) groupUsed(n int64, used func(from, to int64) error) error {
	g, err := f.readGroup(n)
	if err != nil {
		return err
	}
	start := n * f.agBlocks
	w := walk{f: f, g: g, next: f.headBlocks()}
	last := int64(0)
	w.visit = func(from, to int64) error {
		if start+from < f.logStart+f.logBlocks && f.logStart < start+to {
			return formatError((start+from)*f.blockSize, "group %d: %d free blocks at block %d lie in the log", n, to-from, from)
		}
		if err := used(start+last, start+from); err != nil {
			return err
		}
		last = to
		return f.touchedIn(start+from, start+to, used)
	}
	if err := w.tree(g.root, g.levels-1); err != nil {
		return err
	}
	if w.free != g.free || w.longest != g.longest {
		return formatError(f.groupOffset(n)+52, "group %d: the tree has %d free blocks, %d in one piece, the head says %d and %d",
			n, w.free, w.longest, g.free, g.longest)
	}
	return used(start+last, start+g.length)
}

// touchedIn gives what recovery may read of free blocks.
func (f *fileSystem) touchedIn(from, to int64, used func(from, to int64) error) error {
	for _, e := range extent.From(f.touched, from*f.blockSize) {
		first, end := max(from, e.Offset/f.blockSize), min(to, e.End()/f.blockSize)
		if first >= end {
			break
		}
		if err := used(first, end); err != nil {
			return err
		}
	}
	return nil
}

// groupOffset is the byte where the AGF of group n begins.
func (f *fileSystem) groupOffset(n int64) int64 {
	return n*f.agBlocks*f.blockSize + f.sectorSize
}

// readGroup reads the AGF of group n and checks it.
func (f *fileSystem) readGroup(n int64) (*group, error) {
	p, at := make([]byte, f.sectorSize), f.groupOffset(n)
	replayed, err := f.read(p, at)
	if err != nil {
		return nil, fmt.Errorf("xfs: head of group %d: %w", n, err)
	}
	if string(p[:4]) != "XAGF" || be.Uint32(p[4:]) != 1 || int64(be.Uint32(p[8:])) != n {
		return nil, formatError(at, "this is not the head of group %d", n)
	}
	if f.sb.version() >= 5 {
		if !replayed && f.checksum(p, groupCRC) != le.Uint32(p[groupCRC:]) {
			return nil, formatError(at+groupCRC, "wrong checksum of the head of group %d", n)
		}
		if !bytes.Equal(p[64:80], f.uuid) {
			return nil, formatError(at+64, "the head of group %d belongs to another file system", n)
		}
		if f.beyondLog(be.Uint64(p[groupLSN:])) {
			return nil, formatError(at+groupLSN, "the head of group %d is newer than the log", n)
		}
	}
	g := &group{
		number:  n,
		length:  int64(be.Uint32(p[12:])),
		root:    int64(be.Uint32(p[16:])),
		free:    int64(be.Uint32(p[52:])),
		longest: int64(be.Uint32(p[56:])),
	}
	switch levels := be.Uint32(p[28:]); {
	case g.length != f.groupLength(n):
		return nil, formatError(at+12, "group %d has %d blocks, not %d", n, f.groupLength(n), g.length)
	case levels == 0 || levels > maxLevels:
		return nil, formatError(at+28, "group %d: a tree of %d levels", n, levels)
	case g.free > g.length-f.headBlocks():
		return nil, formatError(at+52, "group %d: %d free blocks of %d", n, g.free, g.length)
	default:
		g.levels = int(levels)
	}
	return g, nil
}

// walk goes through the tree of free space of a group, by block number. As the
// records ascend without touching each other, it ends whatever the pointers
// say.
type walk struct {
	f       *fileSystem
	g       *group
	visit   func(from, to int64) error // of each free extent, blocks of the group
	next    int64                      // first block that the next record may begin at
	free    int64                      // blocks so far
	longest int64
	buffers [maxLevels][]byte
}

// A block of a tree:
//
//	0   4   bb_magic: "ABTB", in version 5 "AB3B"
//	4   2   bb_level, 0 for a leaf
//	6   2   bb_numrecs
//	8   4   bb_leftsib
//	12  4   bb_rightsib
//
// in version 5
//
//	16  8   bb_blkno, in units of 512 bytes from the start of the volume
//	24  8   bb_lsn
//	32  16  bb_uuid
//	48  4   bb_owner, the group
//	52  4   bb_crc, little-endian
//
// then in a leaf the records, 4 bytes block and 4 bytes count each, and in a
// node as many keys of 8 bytes as have room together with their pointers, and
// then the pointers of 4 bytes:
//
//	blocks of 4 KiB, version 4: (4096-16)/12 = 340 keys, pointers from 16+340*8 = 2736 on
const (
	headSize4 = 16
	headSize5 = 56
	treeLSN   = 24
	treeCRC   = 52
)

// tree goes through the block and all below it.
func (w *walk) tree(block int64, level int) error {
	p, records, err := w.read(block, level)
	if err != nil {
		return err
	}
	head := w.f.treeHead()
	if level == 0 {
		for i := range records {
			if err := w.record(block, p[head+8*i:]); err != nil {
				return err
			}
		}
		return nil
	}
	pointers := p[head+(len(p)-head)/12*8:]
	for i := range records {
		if err := w.tree(int64(be.Uint32(pointers[4*i:])), level-1); err != nil {
			return err
		}
	}
	return nil
}

// record takes one free extent.
func (w *walk) record(block int64, p []byte) error {
	from, count := int64(be.Uint32(p)), int64(be.Uint32(p[4:]))
	if from < w.next || count == 0 || count > w.g.length-from {
		return formatError(w.offset(block), "group %d: %d free blocks at block %d, where at least %d is wanted", w.g.number, count, from, w.next)
	}
	w.next = from + count + 1 // what touches would be one record
	w.free += count
	w.longest = max(w.longest, count)
	return w.visit(from, from+count)
}

// read reads a block of the tree and checks all that it says of itself.
func (w *walk) read(block int64, level int) (p []byte, records int, err error) {
	f := w.f
	if block < f.headBlocks() || block >= w.g.length {
		return nil, 0, formatError(f.groupOffset(w.g.number), "group %d: a tree of free space has a block %d", w.g.number, block)
	}
	if w.buffers[level] == nil {
		w.buffers[level] = make([]byte, f.blockSize)
	}
	p, at := w.buffers[level], w.offset(block)
	replayed, err := f.read(p, at)
	if err != nil {
		return nil, 0, fmt.Errorf("xfs: tree of free space of group %d at byte %d: %w", w.g.number, at, err)
	}
	entry := 12
	if level == 0 {
		entry = 8
	}
	records = int(be.Uint16(p[6:]))
	switch {
	case string(p[:4]) != f.treeMagic() || int(be.Uint16(p[4:])) != level:
		return nil, 0, formatError(at, "this is not level %d of the tree of free space of group %d", level, w.g.number)
	case records > (len(p)-f.treeHead())/entry || records == 0 && level != w.g.levels-1:
		return nil, 0, formatError(at+6, "%d records in a block of the tree of free space of group %d", records, w.g.number)
	case f.sb.version() < 5:
	case f.beyondLog(be.Uint64(p[treeLSN:])):
		return nil, 0, formatError(at+treeLSN, "a block of the tree of free space of group %d is newer than the log", w.g.number)
	case !replayed && f.checksum(p, treeCRC) != le.Uint32(p[treeCRC:]):
		return nil, 0, formatError(at+treeCRC, "wrong checksum in the tree of free space of group %d", w.g.number)
	case be.Uint64(p[16:]) != uint64(at/512) || !bytes.Equal(p[32:48], f.uuid) || int64(be.Uint32(p[48:])) != w.g.number:
		return nil, 0, formatError(at+16, "a block that does not belong to the tree of free space of group %d", w.g.number)
	}
	return p, records, nil
}

// offset is the byte where a block of the group begins.
func (w *walk) offset(block int64) int64 {
	return (w.g.number*w.f.agBlocks + block) * w.f.blockSize
}

func (f *fileSystem) treeHead() int {
	if f.sb.version() >= 5 {
		return headSize5
	}
	return headSize4
}

func (f *fileSystem) treeMagic() string {
	if f.sb.version() >= 5 {
		return "AB3B"
	}
	return "ABTB"
}

// beyondLog tells whether metadata changed last at a place that a log which was
// not emptied has not reached. They are written behind the log, always: so we
// take another end for that of the log than who wrote it.
func (f *fileSystem) beyondLog(lsn uint64) bool {
	return f.info.State == filesystem.Recovery && f.logEnd != nil && lsn != ^uint64(0) && lsn >= f.logEnd.head.lsn()
}
