package fat

import (
	"io"
	"io/fs"
	"iter"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/chain"
)

const maxDirectory = 2 << 20 // bytes: 65536 entries

var _ filesystem.Lister = (*fileSystem)(nil)

// walk is one pass over all directories.
type walk struct {
	*chain.Walk
	f *fileSystem
}

// Files walks all files. Labels, deleted entries and "." are none; what lies
// behind the end mark of a directory is nothing. A file whose chain is shorter
// or longer than its size is given together with the error that names it: it
// can be read as far as its chain goes.
func (f *fileSystem) Files() iter.Seq2[*filesystem.File, error] {
	return func(yield func(*filesystem.File, error) bool) {
		w := walk{f.chains().Walk(yield), f}
		if w.Give(&filesystem.File{Path: ".", Mode: fs.ModeDir | 0o755}, nil) != nil {
			return
		}
		// What they return was said to the caller.
		if f.width == 32 {
			_ = w.chained("", f.boot.rootCluster(), 44) // BPB_RootClus
			return
		}
		at, n := f.boot.table(f.boot.fats()), f.boot.rootEntries()*entrySize
		_ = w.directory("", chain.Directory{
			Reader: io.NewSectionReader(f.r, at, n), Size: n,
			Where: func(off int64) int64 { return at + off },
		})
	}
}

// chained walks a directory of clusters, which the entry at byte where names.
func (w walk) chained(path string, first, where int64) error {
	return w.Directory(path, chain.Stream{First: first, Named: where}, maxDirectory, func(d chain.Directory) error {
		return w.directory(path, d)
	})
}

// directory walks the entries of a directory.
func (w walk) directory(path string, d chain.Directory) error {
	var long longName
	return w.Entries(path, d, func(p []byte, off int64) error {
		e := dirEntry(p)
		switch {
		case e == nil:
			long.clear()
			return nil
		case e[0] == 0:
			return chain.ErrEnd
		case e.longName() && !e.free():
			long.add(e)
			return nil
		}
		name, ok := long.take(e)
		if e.free() || e.isLabel() || e.dots() {
			return nil
		}
		if !ok {
			name = e.shortName()
		}
		return w.entry(path, name, e, d.Where(off))
	})
}

// entry gives what an entry of the directory path names, at byte where.
func (w walk) entry(path, name string, e dirEntry, where int64) error {
	if !nameable(name) {
		return w.Damaged(path, formatError(where, "an entry with the name %q", name))
	}
	if path != "" {
		name = path + "/" + name
	}
	file := &filesystem.File{Path: name, Mode: 0o644, Modified: e.modified(), Accessed: e.accessed(), Created: e.created()}
	if e.directory() {
		file.Mode = fs.ModeDir | 0o755
		if err := w.Give(file, nil); err != nil {
			return err
		}
		return w.chained(name, e.cluster(w.f.width), where)
	}
	if e.readOnly() {
		file.Mode = 0o444
	}
	file.Size = e.size()
	return w.File(file, chain.Stream{First: e.cluster(w.f.width), Size: file.Size, Written: file.Size, Named: where})
}

// chains is what the chains of the volume lie in.
func (f *fileSystem) chains() *chain.Volume {
	return &chain.Volume{
		Reader: f.r, Format: "fat", Data: f.data, Cluster: f.clusterSize, Clusters: f.clusters, Next: f.follow, Entry: f.entryAt,
	}
}

// follow gives the cluster behind one, 0 at the end of the chain.
func (f *fileSystem) follow(cluster int64) (int64, error) {
	next, err := f.next(cluster)
	if err != nil || f.valid(next) {
		return next, err
	}
	if next >= f.last()-7 {
		return 0, nil
	}
	return 0, formatError(f.entryAt(cluster), "cluster %d is followed by %d, no cluster of a chain", cluster, next)
}

// entryAt is the byte of the entry of a cluster in the FAT that is read.
func (f *fileSystem) entryAt(cluster int64) int64 {
	first, _ := f.active()
	return f.boot.table(first) + cluster*f.width/8
}
