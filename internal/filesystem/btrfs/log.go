package btrfs

import "doppel.live/internal/extent"

// logged gives where the blocks of the log trees lie on the device, and the
// file extents that they name. The superblock leads to a tree of log trees;
// they were written after its transaction, as part of the next one, so the
// extent tree knows neither their blocks nor, as a rule, those extents. What
// both know does no harm.
func (f *fileSystem) logged() ([]extent.Extent, error) {
	var list []extent.Extent
	add := func(logical, length uint64) error {
		c := f.chunkAt(logical)
		if c == nil || length > c.end()-logical {
			return formatError(superOffset+0x60, "the log names %d bytes at logical address %d, which no chunk holds", length, logical)
		}
		for _, at := range c.copies[:c.count] {
			list = append(list, extent.Extent{Offset: at + int64(logical-c.logical), Length: int64(length)})
		}
		return nil
	}
	var failed error
	seen := func(logical uint64) {
		if err := add(logical, uint64(f.nodeSize)); err != nil && failed == nil {
			failed = err
		}
	}
	var trees []pointer
	known := map[uint64]bool{}
	top := walker{f: f, seen: seen, root: pointer{f.sb.logRoot(), f.sb.generation() + 1, f.sb.logLevel()}}
	err := top.walk(key{}, func(k key, data []byte) (bool, error) {
		if k.kind != typeRoot {
			return true, nil
		}
		tree, ok := parseRoot(data)
		if !ok {
			return false, formatError(superOffset+0x60, "root item of a log tree is %d bytes long", len(data))
		}
		if known[tree.logical] { // a walk for each of many would have no end
			return false, formatError(superOffset+0x60, "two log trees at logical address %d", tree.logical)
		}
		known[tree.logical] = true
		trees = append(trees, tree)
		return true, nil
	})
	for i := 0; err == nil && i < len(trees); i++ {
		w := walker{f: f, seen: seen, root: trees[i]}
		err = w.walk(key{}, func(k key, data []byte) (bool, error) {
			if logical, length := fileExtent(k, data); length > 0 {
				return true, add(logical, length)
			}
			return true, nil
		})
	}
	if err == nil {
		err = failed
	}
	return extent.Union(list), err
}

// fileExtent gives the extent that an item of a file names, no length where
// it names none:
//
//	0x14  1  0 inline, 1 regular, 2 preallocated
//	0x15  8  logical address, 0: a hole
//	0x1D  8  bytes on the device
func fileExtent(k key, p []byte) (logical, length uint64) {
	if k.kind != typeExtentData || len(p) < 0x25 || p[0x14] == 0 || le.Uint64(p[0x15:]) == 0 {
		return 0, 0
	}
	return le.Uint64(p[0x15:]), le.Uint64(p[0x1D:])
}
