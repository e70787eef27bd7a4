package exfat

import (
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/chain"
)

var _ filesystem.Lister = (*fileSystem)(nil)

// walk is one pass over all directories.
type walk struct {
	*chain.Walk
	f *fileSystem
}

// Files walks all files. An entry set that is not whole, or whose checksum
// does not fit, names none. A file whose chain is shorter or longer than its
// size is given together with the error that names it: it can be read as far as
// its chain goes.
func (f *fileSystem) Files() iter.Seq2[*filesystem.File, error] {
	return func(yield func(*filesystem.File, error) bool) {
		w := walk{f.chains().Walk(yield), f}
		if w.Give(&filesystem.File{Path: ".", Mode: fs.ModeDir | 0o755}, nil) != nil {
			return
		}
		_ = w.stream("", chain.Stream{First: f.boot.root(), Named: 96}) // all is said
	}
}

// stream walks a directory.
func (w walk) stream(path string, s chain.Stream) error {
	return w.Directory(path, s, maxDirectory, func(d chain.Directory) error { return w.directory(path, d) })
}

// directory walks the entry sets of a directory. What does not belong to one
// is passed over: bitmap, up-case table, label, entries no longer in use.
func (w walk) directory(path string, d chain.Directory) error {
	var set entrySet
	begun, missing := int64(0), 0 // of the present set: its place, and its entries that must follow
	return w.Entries(path, d, func(p []byte, off int64) error {
		e := dirEntry(p)
		if missing > 0 && e != nil && e.secondary() {
			set = append(set, e...)
			if missing--; missing == 0 {
				return w.set(path, set, d.Where(begun))
			}
			return nil
		}
		if missing > 0 {
			what := formatError(d.Where(begun), "an entry set of which %d entries are missing", missing)
			missing = 0
			if err := w.Damaged(path, what); err != nil {
				return err
			}
		}
		switch {
		case e == nil:
		case e.kind() == kindEnd:
			return chain.ErrEnd
		case e.kind() == kindFile:
			set, begun, missing = slices.Clone(entrySet(e)), off, int(e[1])
			if missing < 2 || missing > maxSet {
				missing = 0
				return w.Damaged(path, formatError(d.Where(off), "an entry set of %d entries", e[1]))
			}
		}
		return nil
	})
}

// set gives what an entry set of the directory path names, at byte where.
func (w walk) set(path string, set entrySet, where int64) error {
	name, err := set.name()
	if path != "" && name != "" {
		name = path + "/" + name
	}
	if err == nil && set.checksum() != set.sum() {
		err = fmt.Errorf("the checksum of its entry set does not fit")
	}
	if err == nil {
		err = set.sizes(w.f.boot)
	}
	if err != nil {
		if name == "" {
			name = path
		}
		return w.Damaged(name, formatError(where, "%v", err))
	}
	file := &filesystem.File{Path: name, Mode: 0o644, Modified: set.modified(), Accessed: set.accessed(), Created: set.created()}
	e := set.stream()
	s := chain.Stream{First: e.first(), Straight: e.straight(), Size: int64(e.length()), Written: int64(e.written()), Named: where}
	if set.attributes()&attrDirectory != 0 {
		file.Mode = fs.ModeDir | 0o755
		if err := w.Give(file, nil); err != nil || s.Size == 0 {
			return err
		}
		return w.stream(name, s)
	}
	if set.attributes()&attrReadOnly != 0 {
		file.Mode = 0o444
	}
	file.Size = s.Size
	if s.Size == 0 {
		s.First = 0
	}
	return w.File(file, s)
}

// chains is what the chains of the volume lie in.
func (f *fileSystem) chains() *chain.Volume {
	return &chain.Volume{
		Reader: f.r, Format: "exfat", Data: f.boot.heap(), Cluster: f.boot.clusterSize(),
		Clusters: f.boot.clusters(), Next: f.follow, Entry: f.boot.entry,
	}
}

// follow gives the cluster behind one, 0 at the end of the chain.
func (f *fileSystem) follow(cluster int64) (int64, error) {
	next, err := f.next(cluster)
	switch {
	case err != nil || f.boot.valid(next):
		return next, err
	case next == endOfChain:
		return 0, nil
	}
	return 0, f.leadsNowhere(cluster, next)
}

// leadsNowhere is the error of a chain with a link that is none.
func (f *fileSystem) leadsNowhere(cluster, next int64) error {
	return formatError(f.boot.entry(cluster), "cluster %d is followed by cluster %d of %d", cluster, next, f.boot.clusters())
}
