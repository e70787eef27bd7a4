package fat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/chain"
)

const (
	maxDirectory = 2 << 20 // bytes: 65536 entries
	maxDepth     = 512     // directories in each other; a path that Windows takes has 130
	dirPiece     = 4 << 10 // bytes of a directory read at once
)

var _ filesystem.Lister = (*fileSystem)(nil)

// walk is one pass over all directories.
type walk struct {
	f     *fileSystem
	yield func(*filesystem.File, error) bool
	above []int64 // first clusters of the directories on the way down
	// left are the clusters that may still be met. Each belongs to one file,
	// so that a walk meets no more than there are: directories that several
	// entries name would make it endless.
	left int64
}

// errStopped ends a walk.
var errStopped = errors.New("stopped by the caller")

// Files walks all files. Labels, deleted entries and "." are none; what lies
// behind the end mark of a directory is nothing. A file whose chain is shorter
// or longer than its size is given together with the error that names it: it
// can be read as far as its chain goes.
func (f *fileSystem) Files() iter.Seq2[*filesystem.File, error] {
	return func(yield func(*filesystem.File, error) bool) {
		w := &walk{f: f, yield: yield, left: 4*f.clusters + 64}
		if w.give(&filesystem.File{Path: ".", Mode: fs.ModeDir | 0o755}, nil) != nil {
			return
		}
		if f.width == 32 {
			_ = w.chained("", f.boot.rootCluster()) // all is said
			return
		}
		at, n := f.boot.table(f.boot.fats()), f.boot.rootEntries()*entrySize
		_ = w.directory("", directory{io.NewSectionReader(f.r, at, n), n, func(off int64) int64 { return at + off }})
	}
}

func (w *walk) give(file *filesystem.File, err error) error {
	if !w.yield(file, err) {
		return errStopped
	}
	return nil
}

// damaged gives an error that names a file or directory; the root is "".
func (w *walk) damaged(path string, err error) error {
	if path == "" {
		path = "root directory"
	}
	return w.give(nil, fmt.Errorf("fat: %s: %w", path, err))
}

// directory is the content of one.
type directory struct {
	r     io.ReaderAt
	size  int64                      // bytes
	where func(off int64) (at int64) // on the volume
}

// chained walks a directory of clusters.
func (w *walk) chained(path string, first int64) error {
	if slices.Contains(w.above, first) {
		return w.damaged(path, fmt.Errorf("it lies in itself: cluster %d is that of a directory above it", first))
	}
	if len(w.above) == maxDepth {
		return w.damaged(path, fmt.Errorf("more than %d directories lie in each other", maxDepth))
	}
	v := w.f.chains()
	most := v.Count(maxDirectory)
	n, damage := v.Measure(first, most+1)
	if damage == nil && n > most {
		n, damage = most, fmt.Errorf("it is longer than %d bytes", maxDirectory)
	}
	if err := w.spend(n); err != nil {
		return err
	}
	if damage != nil {
		if err := w.damaged(path, damage); err != nil {
			return err
		}
	}
	w.above = append(w.above, first)
	c := v.Open(chain.Stream{First: first, Clusters: n, Size: n * v.Cluster, Written: n * v.Cluster})
	err := w.directory(path, directory{c, n * v.Cluster, c.Where})
	w.above = w.above[:len(w.above)-1]
	return err
}

// spend counts clusters that were met.
func (w *walk) spend(n int64) error {
	if w.left -= n; w.left >= 0 {
		return nil
	}
	err := errors.New("fat: files and directories name more clusters than there are, many twice: not all are listed")
	return errors.Join(w.give(nil, err), errStopped)
}

// directory walks the entries of a directory.
func (w *walk) directory(path string, d directory) error {
	var long longName
	p := make([]byte, min(dirPiece, d.size))
	for at := int64(0); at < d.size; at += int64(len(p)) {
		p = p[:min(int64(len(p)), d.size-at)]
		if n, err := d.r.ReadAt(p, at); n < len(p) {
			long.clear()
			if err := w.damaged(path, fmt.Errorf("reading at byte %d of it: %w", at, err)); err != nil {
				return err
			}
			continue
		}
		for i := 0; i+entrySize <= len(p); i += entrySize {
			e := dirEntry(p[i : i+entrySize])
			if e[0] == 0 {
				return nil
			}
			if err := w.entry(path, e, &long, d, at+int64(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// entry takes one entry of the directory path, at its byte off.
func (w *walk) entry(path string, e dirEntry, long *longName, d directory, off int64) error {
	if e.longName() && !e.free() {
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
	if !nameable(name) {
		return w.damaged(path, formatError(d.where(off), "an entry with the name %q", name))
	}
	if path != "" {
		name = path + "/" + name
	}
	file := &filesystem.File{Path: name, Mode: 0o644, Modified: e.modified(), Accessed: e.accessed(), Created: e.created()}
	if e.directory() {
		file.Mode = fs.ModeDir | 0o755
		if err := w.give(file, nil); err != nil {
			return err
		}
		return w.chained(name, e.cluster(w.f.width))
	}
	if e.readOnly() {
		file.Mode = 0o444
	}
	file.Size = e.size()
	return w.file(file, e.cluster(w.f.width), d, off)
}

// file gives a file whose chain begins at first. Its chain is measured, not read.
func (w *walk) file(file *filesystem.File, first int64, d directory, off int64) error {
	v := w.f.chains()
	need := v.Count(file.Size)
	s := chain.Stream{First: first, Size: file.Size, Written: file.Size}
	var damage error
	if first != 0 || need != 0 {
		s.Clusters, damage = v.Measure(first, min(need, v.Clusters)+1)
	}
	if err := w.spend(s.Clusters); err != nil {
		return err
	}
	switch {
	case damage != nil && s.Clusters > need:
		damage = fmt.Errorf("%w, behind the end of the file", damage)
	case damage == nil && s.Clusters < need:
		damage = formatError(d.where(off), "a chain of %d clusters for %d bytes", s.Clusters, file.Size)
	case damage == nil && s.Clusters > need:
		damage = formatError(d.where(off), "a chain of more than %d clusters for %d bytes", need, file.Size)
	}
	file.Content = v.Open(s)
	if damage != nil {
		damage = fmt.Errorf("fat: %s: %w", file.Path, damage)
	}
	return w.give(file, damage)
}

// chains is what the chains of the volume lie in.
func (f *fileSystem) chains() *chain.Volume {
	return &chain.Volume{Reader: f.r, Format: "fat", Data: f.data, Cluster: f.clusterSize, Clusters: f.clusters, Next: f.follow}
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
	first, _ := f.active()
	return 0, formatError(f.boot.table(first)+cluster*f.width/8, "cluster %d is followed by %d, no cluster of a chain", cluster, next)
}
