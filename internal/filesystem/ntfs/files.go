package ntfs

import (
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"

	"doppel.live/internal/filesystem"
)

var _ filesystem.Lister = (*fileSystem)(nil)

const (
	maxLevels = 1000     // directories in each other
	maxPath   = 96 << 10 // bytes; Windows allows 32767 characters
)

// Files walks the directories from the root down by their indexes, since a
// path is known there, and a directory before what is in it. A scan over $MFT
// would read it in one go, and find files that no directory names any more, but
// it meets a file before the directories above it: their paths would have to be
// looked up, or held in memory for all files at once. The blocks of an index
// are read as they lie rather than down its tree: so a damaged one takes only
// its own names away, and there are no loops.
//
// Files of the system, $MFT and the others, are among them, since they own
// clusters. Names for DOS are left out where a file has another. Each named
// stream follows the file that has it.
func (f *fileSystem) Files() iter.Seq2[*filesystem.File, error] {
	return func(yield func(*filesystem.File, error) bool) {
		// Every block of an index is that of one directory. Who follows
		// attribute lists reads records over and over: once for each name of a
		// file, and more where neighbours in a list are no neighbours in $MFT.
		records := f.mft.size / f.boot.record
		w := &walk{f: f, yield: yield, blocks: f.size/stride + records, records: 1<<17 + 64*records}
		w.file(recordRoot, 0, ".")
	}
}

// walk is on its way through the directories.
type walk struct {
	f       *fileSystem
	yield   func(*filesystem.File, error) bool
	way     []int64 // records of the directories from the root to here
	blocks  int64   // of 512 bytes, of indexes, that there still can be
	records int64   // that attribute lists may still lead to
}

// file gives the file of an MFT record, its streams and, of a directory, all
// that lies in it. It returns false when the caller wants no more. A sequence
// of 0 is any.
func (w *walk) file(number int64, sequence uint16, path string) bool {
	bad := func(err error) bool {
		return w.yield(nil, fmt.Errorf("%s: MFT record %d: %w", path, number, err))
	}
	rec, err := w.f.readRecord(number)
	if err != nil {
		return bad(err)
	}
	switch {
	case sequence != 0 && rec.sequence() != sequence:
		return bad(formatError(rec.offset, "the record is no longer that of the name: sequence %d, not %d", rec.sequence(), sequence))
	case rec.base() != 0:
		return bad(formatError(rec.offset, "the record is part of another"))
	case slices.Contains(w.way, number):
		return bad(formatError(rec.offset, "the directory lies in itself"))
	case number == recordRoot && !rec.directory():
		return bad(formatError(rec.offset, "the root is no directory"))
	}
	n, err := w.f.node(number, rec, &w.records)
	if err != nil {
		return bad(err)
	}
	for _, file := range n.files(path) {
		if !w.yield(file, nil) {
			return false
		}
	}
	if !rec.directory() || n.link {
		return true
	}
	if len(w.way) == maxLevels || len(path) > maxPath {
		return bad(formatError(rec.offset, "too many directories in each other"))
	}
	w.way = append(w.way, number)
	defer func() { w.way = w.way[:len(w.way)-1] }()
	return w.directory(number, rec, path, bad)
}

// directory gives what lies in a directory.
func (w *walk) directory(number int64, rec record, path string, bad func(error) bool) bool {
	x, err := w.f.openIndex(number, rec)
	if err != nil {
		return bad(err)
	}
	x.step = func(bytes int64) error {
		if w.blocks -= bytes / stride; w.blocks < 0 {
			return formatError(rec.offset, "more blocks of indexes than the volume has")
		}
		return nil
	}
	each := func(ref reference, name string) bool {
		if path != "." {
			name = path + "/" + name
		}
		return w.file(ref.number(), ref.sequence(), name)
	}
	return x.entries(each, bad)
}

// files describes the file under one of its names, and its streams.
func (n *node) files(path string) []*filesystem.File {
	file := &filesystem.File{
		Path:       path,
		Inode:      uint64(n.number),
		Links:      n.names,
		Mode:       0o644,
		LinkTarget: n.target,
		Metadata:   n.metadata(),
	}
	if s := n.standard; s != nil {
		file.Created, file.Modified = fileTime(s), fileTime(s[0x08:])
		file.Changed, file.Accessed = fileTime(s[0x10:]), fileTime(s[0x18:])
	}
	switch {
	case n.kind != 0:
		file.Mode = n.kind | 0o777
	case n.base.directory():
		file.Mode = fs.ModeDir | 0o755
	}
	list := []*filesystem.File{file}
	for _, d := range n.streams {
		if d.name == "" && n.kind != 0 {
			continue // a link has none
		}
		if d.name == "" {
			file.Size, file.Content = d.size, d
			continue
		}
		stream := *file
		stream.Stream, stream.Mode, stream.LinkTarget, stream.Metadata = d.name, 0o644, "", nil
		stream.Size, stream.Content = d.size, d
		list = append(list, &stream)
	}
	return list
}

// fileTime reads a time: 100 ns each since 1601.
func fileTime(p []byte) time.Time {
	const perSecond, from1601to1970 = 10_000_000, 11_644_473_600
	t := le.Uint64(p)
	return time.Unix(int64(t/perSecond)-from1601to1970, int64(t%perSecond)*100)
}
