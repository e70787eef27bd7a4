package chain

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"doppel.live/internal/filesystem"
)

const (
	maxDepth  = 512     // directories in each other; a path that Windows takes has 130
	dirPiece  = 4 << 10 // bytes of a directory read at once
	entrySize = 32      // bytes of an entry, in FAT and in exFAT
)

// What ends a walk, or a part of it.
var (
	ErrStopped = errors.New("stopped by the caller")
	ErrEnd     = errors.New("the end of a directory")
)

// Walk is one pass over all directories of a volume. Its methods return
// ErrStopped when the caller wants no more; everything else is said to him.
type Walk struct {
	v     *Volume
	yield func(*filesystem.File, error) bool
	above []int64 // first clusters of the directories on the way down
	// left are the clusters that may still be met. Each belongs to one file,
	// so that a walk meets no more than there are: directories that several
	// entries name would make it endless.
	left int64
}

// Walk begins one.
func (v *Volume) Walk(yield func(*filesystem.File, error) bool) *Walk {
	return &Walk{v: v, yield: yield, left: 4*v.Clusters + 64}
}

// Give gives a file, an error, or a file that is damaged.
func (w *Walk) Give(file *filesystem.File, err error) error {
	if !w.yield(file, err) {
		return ErrStopped
	}
	return nil
}

// Damaged gives an error that names a file or directory; the root is "".
func (w *Walk) Damaged(path string, err error) error {
	if path == "" {
		path = "root directory"
	}
	return w.Give(nil, fmt.Errorf("%s: %s: %w", w.v.Format, path, err))
}

// spend counts the clusters of a stream.
func (w *Walk) spend(s Stream) error {
	if w.left -= s.Clusters; w.left >= 0 {
		return nil
	}
	err := w.v.wrong(s.Named, "files and directories name more clusters than there are, many twice: not all are listed")
	return errors.Join(w.Give(nil, err), ErrStopped)
}

// Directory is the content of one.
type Directory struct {
	Reader io.ReaderAt
	Size   int64                      // bytes
	Where  func(off int64) (at int64) // on the volume
}

// Directory walks the directory in a stream by body, unless it lies in itself
// or too deep. Of s its clusters are measured here; a size of 0 is that of the
// whole chain. It has at most most bytes.
func (w *Walk) Directory(path string, s Stream, most int64, body func(Directory) error) error {
	if slices.Contains(w.above, s.First) {
		return w.Damaged(path, w.v.wrong(s.Named, "it lies in itself: cluster %d is that of a directory above it", s.First))
	}
	if len(w.above) == maxDepth {
		return w.Damaged(path, w.v.wrong(s.Named, "more than %d directories lie in each other", maxDepth))
	}
	need := w.v.Count(s.Size)
	if s.Size == 0 {
		need = w.v.Count(most)
	}
	damage := w.v.measure(&s, need)
	switch {
	case damage == nil && s.Clusters > need:
		s.Clusters, damage = need, w.v.wrong(s.Named, "it is longer than %d bytes", need*w.v.Cluster)
	case damage == nil && s.Clusters < need && s.Size > 0:
		damage = w.v.wrong(s.Named, "a chain of %d clusters for %d bytes", s.Clusters, s.Size)
	}
	if err := w.spend(s); err != nil {
		return err
	}
	if damage != nil {
		if err := w.Damaged(path, damage); err != nil {
			return err
		}
	}
	s.Size = s.Clusters * w.v.Cluster
	s.Written = s.Size
	w.above = append(w.above, s.First)
	c := w.v.Open(s)
	err := body(Directory{c, s.Size, c.Where})
	w.above = w.above[:len(w.above)-1]
	return err
}

// measure finds how many clusters a stream has, up to one more than needed.
func (v *Volume) measure(s *Stream, need int64) (damage error) {
	if !v.Valid(s.First) {
		return v.wrong(s.Named, "it begins at cluster %d of %d", s.First, v.Clusters)
	}
	need = min(need, v.Clusters)
	if !s.Straight {
		s.Clusters, damage = v.Measure(s.First, need+1)
		return damage
	}
	s.Clusters = min(need, v.Clusters+2-s.First)
	return nil
}

// Entries calls visit with the entries of a directory and their place in it,
// until that gives ErrEnd; without an entry where some cannot be read.
func (w *Walk) Entries(path string, d Directory, visit func(e []byte, off int64) error) error {
	p := make([]byte, min(dirPiece, d.Size))
	for at := int64(0); at < d.Size; at += int64(len(p)) {
		p = p[:min(int64(len(p)), d.Size-at)]
		if n, err := d.Reader.ReadAt(p, at); n < len(p) {
			if err := w.Damaged(path, fmt.Errorf("reading at byte %d of it: %w", at, err)); err != nil {
				return err
			}
			if err := visit(nil, at); err != nil {
				return err
			}
			continue
		}
		for i := 0; i+entrySize <= len(p); i += entrySize {
			switch err := visit(p[i:i+entrySize:i+entrySize], at+int64(i)); {
			case errors.Is(err, ErrStopped):
				return err
			case err != nil:
				return nil
			}
		}
	}
	return nil
}

// File gives a file with the content of a stream, whose clusters are measured
// here, and an error beside it where they do not fit.
func (w *Walk) File(file *filesystem.File, s Stream) error {
	need := w.v.Count(s.Size)
	var damage error
	if s.First != 0 || need != 0 {
		damage = w.v.measure(&s, need)
	}
	if err := w.spend(s); err != nil {
		return err
	}
	switch {
	case damage != nil:
	case s.Clusters < need:
		damage = w.v.wrong(s.Named, "a chain of %d clusters for %d bytes", s.Clusters, s.Size)
	case s.Clusters > need:
		damage = w.v.wrong(s.Named, "a chain of more than %d clusters for %d bytes", need, s.Size)
	}
	file.Content = w.v.Open(s)
	if damage != nil {
		damage = fmt.Errorf("%s: %s: %w", w.v.Format, file.Path, damage)
	}
	return w.Give(file, damage)
}
