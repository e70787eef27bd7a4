package ufs

import (
	"fmt"
	"math/bits"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/bitmap"
)

const (
	groupHeader = 168      // bytes in front of the maps
	groupMagic  = 0x090255 // CG_MAGIC
	countsAt    = 24       // bytes: cg_cs
)

// group is one cylinder group, with its map: a bit for each fragment, set
// where it is free.
//
//	4    4   magic                  52   4×8  runs of free fragments, by length
//	12   4   number                 92   4    offset of the map of inodes in use
//	20   4   fragments              96   4    offset of the map of free fragments
//	24   16  directories, free blocks, free inodes, free fragments
//	116  4   inodes (UFS2)          120  4    inodes initialised (UFS2)
//	132  4   hash
type group struct {
	number    int64
	base      int64  // its first fragment
	fragments int64  // those that it has
	at        int64  // byte of the volume that the header is at
	header    []byte // fs_cgsize bytes
	free      []byte // padded to 8 bytes; a bit behind the last fragment is 0
	super     superblock
}

func (g *group) u32(off int64) int64 { return int64(g.super.order.Uint32(g.header[off:])) }

// groups reads the cylinder groups, one after the other, into the same group.
func (f *fileSystem) groups(visit func(g *group) error) error {
	per := f.sb.groupFragments()
	g := &group{
		super:  f.sb,
		header: make([]byte, f.sb.groupBytes()),
		free:   make([]byte, (per+63)/64*8),
	}
	for c := range f.sb.groups() {
		g.number, g.base = c, c*per
		g.fragments = min(per, f.sb.size()-g.base)
		start := f.sb.start(c)
		if start < g.base || start+f.sb.dataBlock() > g.base+g.fragments {
			return formatError(f.sb.at+24, "the metadata of cylinder group %d are not in it", c)
		}
		g.at = (start + f.sb.groupBlock()) * f.sb.fragmentSize()
		if err := filesystem.ReadFull(f.r, g.header, g.at); err != nil {
			return fmt.Errorf("ufs: cylinder group %d at byte %d: %w", c, g.at, err)
		}
		if err := g.check(); err != nil {
			return err
		}
		if err := visit(g); err != nil {
			return err
		}
	}
	return nil
}

// check holds a group against the superblock and its map against its counts
// and against what is never free; it fills the map.
func (g *group) check() error {
	bad := func(off int64, format string, args ...any) error {
		return formatError(g.at+off, "cylinder group %d: %s", g.number, fmt.Sprintf(format, args...))
	}
	size, inodes := int64(len(g.header)), g.super.inodesPerGroup()
	used, free := g.u32(92), g.u32(96)
	switch {
	case g.u32(4) != groupMagic:
		return bad(4, "its magic is %#x", g.u32(4))
	case g.u32(12) != g.number:
		return bad(12, "it is called %d", g.u32(12))
	case g.u32(20) != g.fragments:
		return bad(20, "it has %d fragments, not %d", g.u32(20), g.fragments)
	case used < groupHeader || used > size-(inodes+7)/8:
		return bad(92, "the map of its inodes is at byte %d of %d", used, size)
	case free < used+(inodes+7)/8 || free > size-(g.fragments+7)/8:
		return bad(96, "the map of its fragments is at byte %d of %d", free, size)
	case g.super.second() && (g.u32(116) != inodes || g.u32(120) > inodes):
		return bad(116, "%d inodes, %d of them initialised, not %d", g.u32(116), g.u32(120), inodes)
	}
	if g.super.has(hashGroup) {
		if sum := hash(g.header, 132); int64(sum) != g.u32(132) {
			return bad(132, "its hash is %#x, not %#x", sum, g.u32(132))
		}
	}
	clear(g.free)
	copy(g.free, g.header[free:free+(g.fragments+7)/8])
	if g.fragments%8 != 0 {
		g.free[g.fragments/8] &= 1<<(g.fragments%8) - 1
	}
	if err := g.checkMap(); err != nil {
		return err
	}
	return g.checkMetadata(free)
}

// checkMap counts the map as the header does: whole free blocks, fragments
// that are free in others, and the lengths of their runs.
func (g *group) checkMap() error {
	var blocks, fragments int64
	var runs [8]int64
	per := g.super.fragments()
	for n := int64(0); n < g.fragments; n += per {
		m := g.free[n/8] >> (n % 8) & (1<<per - 1)
		if m == 1<<per-1 {
			blocks++
			continue
		}
		fragments += int64(bits.OnesCount8(m))
		for m != 0 {
			m >>= bits.TrailingZeros8(m)
			run := bits.TrailingZeros8(^m)
			runs[run]++
			m >>= run
		}
	}
	if g.u32(countsAt+4) != blocks || g.u32(countsAt+12) != fragments {
		return formatError(g.at+countsAt, "cylinder group %d: %d blocks and %d fragments are free by its map, %d and %d by its count",
			g.number, blocks, fragments, g.u32(countsAt+4), g.u32(countsAt+12))
	}
	for i := int64(1); i < per; i++ {
		if got := g.u32(52 + 4*i); got != runs[i] {
			return formatError(g.at+52+4*i, "cylinder group %d: %d runs of %d free fragments by its map, %d by its count", g.number, runs[i], i, got)
		}
	}
	return nil
}

// checkMetadata refuses a map, at a byte of the header, that calls metadata
// free: the boot area in the first group, then superblock, header and inodes
// in all, and the summary where it lies.
func (g *group) checkMetadata(at int64) error {
	from, to := g.super.start(g.number)+g.super.copyBlock(), g.super.start(g.number)+g.super.dataBlock()
	if g.number == 0 {
		from = 0
	}
	summary := g.super.summary()
	for _, r := range [][2]int64{{from, to}, {summary, summary + g.super.summaryFragments()}} {
		from, to := max(r[0]-g.base, 0), min(r[1]-g.base, g.fragments)
		if from >= to {
			continue
		}
		if n := g.next(from, true); n < to {
			return formatError(g.at+at+n/8, "cylinder group %d: fragment %d is free by its map, and metadata", g.number, g.base+n)
		}
	}
	return nil
}

// next is the first fragment from n on, counted in the group, that is free or
// not, and the group's end where there is none.
func (g *group) next(n int64, free bool) int64 {
	return bitmap.Next(g.free, n, g.fragments, free)
}

// hold takes fragments out of the map.
func (g *group) hold(held []byte) {
	for i, m := range held {
		g.free[i] &^= m
	}
}

// checkCounts reads all groups. After a clean unmount their counts are those
// of the summary, and together those of the superblock.
func (f *fileSystem) checkCounts() error {
	var blocks, fragments int64
	clean := f.info.State == filesystem.Clean
	const whole = 256 * summarySize // bytes
	window := make([]byte, whole)
	err := f.groups(func(g *group) error {
		blocks += g.u32(countsAt + 4)
		fragments += g.u32(countsAt + 12)
		if !clean {
			return nil
		}
		at := f.sb.summary()*f.sb.fragmentSize() + g.number*summarySize
		i := g.number * summarySize % whole
		if i == 0 {
			window = window[:min(whole, (f.sb.groups()-g.number)*summarySize)]
			if err := filesystem.ReadFull(f.r, window, at); err != nil {
				return fmt.Errorf("ufs: summary of cylinder group %d at byte %d: %w", g.number, at, err)
			}
		}
		if string(window[i:i+summarySize]) != string(g.header[countsAt:countsAt+summarySize]) {
			return formatError(at, "cylinder group %d counts otherwise than its summary", g.number)
		}
		return nil
	})
	if err != nil || !clean {
		return err
	}
	if blocks != f.sb.freeBlocks() || fragments != f.sb.freeFragments() {
		return formatError(f.sb.at, "%d blocks and %d fragments are free by the superblock, %d and %d by the cylinder groups",
			f.sb.freeBlocks(), f.sb.freeFragments(), blocks, fragments)
	}
	return nil
}
