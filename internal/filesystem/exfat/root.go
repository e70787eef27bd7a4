package exfat

import (
	"cmp"
	"fmt"
	"slices"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// Kinds of directory entries: their first byte.
const (
	kindEnd    = 0x00
	kindBitmap = 0x81
	kindUpcase = 0x82
	kindLabel  = 0x83
	kindFile   = 0x85
	kindStream = 0xC0
	kindName   = 0xC1
)

// endOfChain is the entry of the FAT that ends a chain.
const endOfChain = 0xFFFFFFFF

const (
	entrySize    = 32
	maxDirectory = 256 << 20 // bytes, by the specification
	rootPiece    = 64 << 10  // bytes of the root directory read at once
)

// dirEntry is one entry of a directory.
//
//	label 0x83                   bitmap 0x81, up-case table 0x82
//	1   1   characters           1   1  bitmap: bit 0, which one
//	2   22  label, UTF-16        4   4  up-case table: checksum
//	                             20  4  first cluster
//	                             24  8  length in bytes
type dirEntry []byte

func (e dirEntry) kind() byte     { return e[0] }
func (e dirEntry) label() string  { return filesystem.UTF16(e[2:2+2*min(int(e[1]), 11)], le) }
func (e dirEntry) first() int64   { return int64(le.Uint32(e[20:])) }
func (e dirEntry) length() uint64 { return le.Uint64(e[24:]) }

// next reads one entry of the FAT.
func (f *fileSystem) next(cluster int64) (int64, error) {
	value, err := f.table.Uint(f.boot.entry(cluster), 4)
	if err != nil {
		return 0, fmt.Errorf("exfat: entry of cluster %d: %w", cluster, err)
	}
	return int64(value), nil
}

// chain follows the FAT from cluster on for at most n clusters and gives the
// runs of clusters; short of n only where the chain ends.
func (f *fileSystem) chain(cluster, n int64) (runs []extent.Extent, err error) {
	for ; n > 0; n-- {
		if last := len(runs) - 1; last >= 0 && runs[last].End() == cluster {
			runs[last].Length++
		} else {
			runs = append(runs, extent.Extent{Offset: cluster, Length: 1})
		}
		next, err := f.next(cluster)
		switch {
		case err != nil:
			return nil, err
		case next == endOfChain:
			return runs, nil
		case !f.boot.valid(next):
			return nil, f.leadsNowhere(cluster, next)
		}
		cluster = next
	}
	return runs, nil
}

// entries calls visit with the entries of the root directory up to its end or
// until visit gives false. It reads nothing behind size.
func (f *fileSystem) entries(size int64, visit func(dirEntry) bool) error {
	piece := make([]byte, min(f.boot.clusterSize(), rootPiece))
	cluster := f.boot.root()
	for n := int64(0); n < min(maxDirectory, size, f.boot.clusters()<<f.boot.clusterShift()); n += f.boot.clusterSize() {
		at := f.boot.offset(cluster)
		if !f.boot.valid(cluster) || at > size-f.boot.clusterSize() || f.boot.entry(cluster) > size-4 {
			return formatError(96, "root directory in cluster %d of %d", cluster, f.boot.clusters())
		}
		for end := at + f.boot.clusterSize(); at < end; at += int64(len(piece)) {
			if err := readFull(f.r, piece, at); err != nil {
				return err
			}
			for p := piece; len(p) > 0; p = p[entrySize:] {
				if e := dirEntry(p[:entrySize]); e.kind() == kindEnd || !visit(e) {
					return nil
				}
			}
		}
		next, err := f.next(cluster)
		if err != nil {
			return err
		}
		if next == endOfChain {
			return nil
		}
		cluster = next
	}
	return formatError(96, "root directory without end")
}

// readRoot finds bitmap and up-case table in the root directory and follows
// the chains of the three.
func (f *fileSystem) readRoot() error {
	var bitmap, upcase dirEntry
	bitmaps := 0
	err := f.entries(f.info.Size, func(e dirEntry) bool {
		switch e.kind() {
		case kindBitmap:
			bitmaps++
			bitmap = slices.Clone(e)
		case kindUpcase:
			upcase = slices.Clone(e)
		}
		return true
	})
	if err != nil {
		return err
	}
	at := f.boot.offset(f.boot.root())
	switch {
	case bitmaps != 1 || bitmap[1]&1 != 0:
		return formatError(at, "%d allocation bitmaps in the root directory", bitmaps)
	case bitmap.length() != uint64(f.boot.clusters()+7)/8:
		return formatError(at, "an allocation bitmap of %d bytes for %d clusters", bitmap.length(), f.boot.clusters())
	case upcase == nil:
		return formatError(at, "no up-case table in the root directory")
	}
	if f.bitmap, err = f.stream("allocation bitmap", bitmap); err != nil {
		return err
	}
	table, err := f.stream("up-case table", upcase)
	if err != nil {
		return err
	}
	return f.mustBeInUse(table)
}

// mustBeInUse finds the clusters that the bitmap must have in use: its own and
// those of the up-case table, which never change, and of the root directory,
// which may have grown where the volume was not unmounted.
func (f *fileSystem) mustBeInUse(table []extent.Extent) error {
	at := f.boot.offset(f.boot.root())
	most := min(maxDirectory>>f.boot.clusterShift(), f.boot.clusters())
	root, err := f.chain(f.boot.root(), most+1)
	switch {
	case err != nil:
		return err
	case extent.Total(root) > most:
		return formatError(at, "root directory without end")
	}
	f.inUse = slices.Concat(f.bitmap, table)
	if f.info.State == filesystem.Clean {
		f.inUse = append(f.inUse, root...)
	}
	slices.SortFunc(f.inUse, func(a, b extent.Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	for i, e := range f.inUse[1:] {
		if f.inUse[i].End() > e.Offset {
			return formatError(f.boot.offset(e.Offset), "cluster %d is in two of root directory, allocation bitmap and up-case table", e.Offset)
		}
	}
	return nil
}

// stream follows the chain of an entry, whose length says how many clusters.
func (f *fileSystem) stream(what string, e dirEntry) ([]extent.Extent, error) {
	at := f.boot.offset(f.boot.root())
	if !f.boot.valid(e.first()) || e.length() == 0 || e.length() > uint64(f.info.Size) {
		return nil, formatError(at, "%s: %d bytes from cluster %d on", what, e.length(), e.first())
	}
	n := (int64(e.length()) + f.boot.clusterSize() - 1) >> f.boot.clusterShift()
	runs, err := f.chain(e.first(), n)
	if err != nil {
		return nil, err
	}
	if got := extent.Total(runs); got != n {
		return nil, formatError(at, "%s: a chain of %d clusters for %d bytes", what, got, e.length())
	}
	return runs, nil
}
