package fat

import (
	"fmt"

	"doppel.live/internal/filesystem"
)

const pieceEntries = 1 << 18 // entries of a FAT read at once; even, since two of FAT12 share a byte

// active are the FATs that count: all, or the one that the boot sector of a
// FAT32 without mirroring names.
func (f *fileSystem) active() (first, end int64) {
	if n := int64(f.boot.flags() & 0xF); f.width == 32 && f.boot.flags()&0x80 != 0 {
		return n, n + 1
	}
	return 0, f.boot.fats()
}

// readTables marks what any active FAT has in use. They should be equal; after
// a crash, or where one is damaged, what is in use in one of them is.
func (f *fileSystem) readTables() error {
	if f.width == 32 {
		f.used.set(f.boot.rootCluster())
	}
	first, end := f.active()
	for n := first; n < end; n++ {
		if err := f.readTable(f.boot.table(n)); err != nil {
			return err
		}
	}
	if f.boot.fats() == 1 {
		return f.noSecond()
	}
	return nil
}

// readTable reads the FAT that begins at byte base.
func (f *fileSystem) readTable(base int64) error {
	total := f.clusters + 2
	buf := make([]byte, (min(pieceEntries, total)*f.width+7)/8)
	for first := int64(0); first < total; first += pieceEntries {
		n := min(pieceEntries, total-first)
		p := buf[:(n*f.width+7)/8]
		if err := readFull(f.r, p, base+first*f.width/8); err != nil {
			return err
		}
		for i := range n {
			if err := f.mark(first+i, f.entry(p, i), base); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry is the i-th of p. Those of FAT12 lie in pairs of 3 bytes: 21 43 65 are
// 0x321 and 0x654. Of FAT32 only 28 bits count.
func (f *fileSystem) entry(p []byte, i int64) int64 {
	switch f.width {
	case 12:
		return int64(le.Uint16(p[i+i/2:])>>uint(i%2*4)) & 0xFFF
	case 16:
		return int64(le.Uint16(p[2*i:]))
	}
	return int64(le.Uint32(p[4*i:])) & 0x0FFFFFFF
}

// last is the greatest value of an entry: 12, 16 or 28 ones.
func (f *fileSystem) last() int64 { return 1<<min(f.width, 28) - 1 }

// mark takes one entry of the FAT at byte base:
//
//	0                   free
//	2 … clusters + 1    the next cluster of the chain
//	last-15 … last-9    reserved
//	last-8              bad
//	last-7 … last       the end of a chain
//
// A bad cluster is neither free nor data: who formatted or checked the disk
// could not read or write it. It is not in use, so that nobody tries again on a
// disk that fails; only where another FAT or a chain says that it holds data it
// is. The FAT itself keeps the mark, also on a new disk without the defect: as
// with other programs (partclone leaves them out too), some space stays unused
// there until a checker is told to try it.
//
// Entry 0 holds the media byte, all other bits one; entry 1 flags.
func (f *fileSystem) mark(cluster, value, base int64) error {
	switch at := base + cluster*f.width/8; {
	case cluster == 0 && value != f.last()&^0xFF|int64(f.boot.media()):
		return formatError(at, "no FAT: it begins with %#x", value)
	case cluster < 2, value == 0, value == f.last()-8:
		return nil
	case f.valid(value):
		f.used.set(value)
	case value < f.last()-15:
		return formatError(at, "the entry of cluster %d points at cluster %d of %d", cluster, value, f.clusters)
	}
	f.used.set(cluster)
	return nil
}

// noSecond refuses a boot sector that names one FAT where a second one
// follows: all clusters would be taken for others.
func (f *fileSystem) noSecond() error {
	head := make([]byte, 4)
	if f.boot.table(1)+4 > f.info.Size {
		return nil
	}
	if err := readFull(f.r, head, f.boot.table(1)); err != nil {
		return err
	}
	if f.entry(head, 0) == f.last()&^0xFF|int64(f.boot.media()) {
		return formatError(16, "one FAT is named, and a second one follows")
	}
	return nil
}

// next reads one entry of the first active FAT.
func (f *fileSystem) next(cluster int64) (int64, error) {
	first, _ := f.active()
	n, at, shift := f.width/8, cluster*f.width/8, uint(0)
	if f.width == 12 {
		n, shift = 2, uint(cluster%2*4)
	}
	value, err := f.table.Uint(f.boot.table(first)+at, n)
	if err != nil {
		return 0, fmt.Errorf("fat: entry of cluster %d: %w", cluster, err)
	}
	return int64(value) >> shift & f.last(), nil
}

// cleanliness reads the flags of the boot sector and those of entry 1: there a
// zero in the highest bit says not unmounted, in the one below it errors.
// FAT12 has none in entry 1.
func (f *fileSystem) cleanliness() (filesystem.State, error) {
	if f.boot.dirty() {
		return filesystem.Dirty, nil
	}
	if f.width == 12 {
		return filesystem.Clean, nil
	}
	value, err := f.next(1)
	if err != nil {
		return filesystem.Unknown, err
	}
	if flags := (f.last() + 1) >> 1 * 3 / 2; value&flags != flags {
		return filesystem.Dirty, nil
	}
	return filesystem.Clean, nil
}
