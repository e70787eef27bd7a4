package ufs

import (
	"fmt"

	"doppel.live/internal/filesystem"
)

// maxWalk is the number of fragments up to which a file system that was not
// unmounted is walked: a map of them all takes an eighth of it in bytes.
const maxWalk = 1 << 30

// Types of files, by the upper bits of di_mode.
const (
	modeType   = 0xF000
	modeFIFO   = 0x1000
	modeChar   = 0x2000
	modeBlock  = 0x6000
	modeLink   = 0xA000
	modeSocket = 0xC000
)

const directPointers = 12 // NDADDR; three to indirect blocks follow

// walker marks what the inodes in use hold.
type walker struct {
	f      *fileSystem
	seen   [3]map[int64]bool // indirect blocks that were read, by their level
	blocks [3][]byte         // one indirect block for each level
}

// walk reads all inodes. A pointer out of the file system is none: nothing can
// be lost with it. What is no inode any more, or no indirect block yet, marks
// too much, never too little.
func (f *fileSystem) walk() error {
	if f.sb.size() > maxWalk {
		return formatError(f.sb.at+209, "not unmounted, and with %d fragments too large to be walked", f.sb.size())
	}
	f.held = make([][]byte, f.sb.groups())
	w := &walker{f: f}
	for i := range w.seen {
		w.seen[i] = map[int64]bool{}
		w.blocks[i] = make([]byte, f.sb.blockSize())
	}
	block := make([]byte, f.sb.blockSize())
	return f.groups(func(g *group) error {
		return w.inodes(g, block)
	})
}

// inodes walks the inodes of a group. UFS2 initialises their blocks when they
// are needed, and may say so later than it does it: behind the initialised
// ones it goes on as long as it finds some in use.
func (w *walker) inodes(g *group, block []byte) error {
	sb := w.f.sb
	total, size := sb.inodesPerGroup(), sb.inodeSize()
	initialised := total
	if sb.second() {
		initialised = g.u32(120)
	}
	at := (sb.start(g.number) + sb.inodeBlock()) * sb.fragmentSize()
	for n := int64(0); n < total; at += int64(len(block)) {
		used := false
		if err := filesystem.ReadFull(w.f.r, block, at); err != nil {
			return fmt.Errorf("ufs: inodes of cylinder group %d at byte %d: %w", g.number, at, err)
		}
		for off := int64(0); off < int64(len(block)) && n < total; off += size {
			inode := block[off : off+size]
			if sb.order.Uint16(inode) != 0 {
				used = true
				if err := w.inode(inode); err != nil {
					return err
				}
			}
			n++
		}
		if n >= initialised && !used {
			return nil
		}
	}
	return nil
}

// inode marks what one inode holds.
//
//	UFS1                            UFS2
//	0   2     type, permissions     0    2     type, permissions
//	8   8     size                  16   8     size
//	40  4×12  direct pointers       92   4     size of the extended attributes
//	88  4×3   indirect pointers     96   8×2   their pointers
//	                                112  8×12  direct pointers
//	                                208  8×3   indirect pointers
func (w *walker) inode(p []byte) error {
	sb := w.f.sb
	size, first := sb.order.Uint64(p[8:]), int64(40)
	if sb.second() {
		size, first = sb.order.Uint64(p[16:]), 112
		attributes := uint64(sb.order.Uint32(p[92:]))
		for i := range int64(2) {
			w.direct(int64(sb.order.Uint64(p[96+8*i:])), i, attributes)
		}
	}
	switch sb.order.Uint16(p) & modeType {
	case modeFIFO, modeChar, modeBlock, modeSocket:
		return nil // a device has its number where the others have pointers
	case modeLink:
		if limit := sb.inlineLink(); limit > 0 && size < uint64(limit) {
			return nil // its target is there
		}
	}
	for i := range int64(directPointers) {
		w.direct(w.pointer(p[first:], i), i, size)
	}
	for level := range int64(3) {
		if err := w.indirect(w.pointer(p[first:], directPointers+level), int(level)); err != nil {
			return err
		}
	}
	return nil
}

// pointer is the i-th one of p, a fragment's number; 0 is none.
func (w *walker) pointer(p []byte, i int64) int64 {
	if w.f.sb.second() {
		return int64(w.f.sb.order.Uint64(p[8*i:]))
	}
	return int64(w.f.sb.order.Uint32(p[4*i:]))
}

// direct marks the i-th block of a file of size bytes: its last one may be a
// few fragments. For example, with blocks of 8 KiB and fragments of 1 KiB, the
// second pointer of a file of 9000 bytes is to one fragment.
func (w *walker) direct(fragment, i int64, size uint64) {
	sb := w.f.sb
	n := sb.fragments()
	if from := uint64(i * sb.blockSize()); size > from && size-from < uint64(sb.blockSize()) {
		n = (int64(size-from) + sb.fragmentSize() - 1) / sb.fragmentSize()
	}
	w.mark(fragment, n)
}

// indirect marks an indirect block and what it points to, through as many
// levels as there are below it. Each is read once for each level, so that
// circles end.
func (w *walker) indirect(fragment int64, level int) error {
	sb := w.f.sb
	w.mark(fragment, sb.fragments())
	if fragment <= 0 || fragment > sb.size()-sb.fragments() || w.seen[level][fragment] {
		return nil
	}
	w.seen[level][fragment] = true
	p, at := w.blocks[level], fragment*sb.fragmentSize()
	if err := filesystem.ReadFull(w.f.r, p, at); err != nil {
		return fmt.Errorf("ufs: indirect block at byte %d: %w", at, err)
	}
	for i := range sb.pointers() {
		next := w.pointer(p, i)
		switch {
		case next == 0:
		case level == 0:
			w.mark(next, sb.fragments())
		default:
			if err := w.indirect(next, level-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// mark marks n fragments, as far as they lie in the file system.
func (w *walker) mark(fragment, n int64) {
	sb := w.f.sb
	if fragment <= 0 || fragment >= sb.size() {
		return
	}
	for end := min(fragment+n, sb.size()); fragment < end; fragment++ {
		g, i := fragment/sb.groupFragments(), fragment%sb.groupFragments()
		if w.f.held[g] == nil {
			w.f.held[g] = make([]byte, (sb.groupFragments()+7)/8)
		}
		w.f.held[g][i/8] |= 1 << (i % 8)
	}
}
