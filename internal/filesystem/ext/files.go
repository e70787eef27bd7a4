package ext

import (
	"fmt"
	"iter"
	"slices"

	"doppel.live/internal/filesystem"
)

var _ filesystem.Lister = (*fileSystem)(nil)

const (
	inodeRoot = 2
	maxLevels = 1000     // directories in each other
	maxPath   = 32 << 10 // bytes
)

// Files walks all files and directories, from the root down.
func (f *fileSystem) Files() iter.Seq2[*filesystem.File, error] {
	return func(yield func(*filesystem.File, error) bool) {
		// Every block of a directory is that of one directory.
		w := &walk{f: f, inodes: inodeReader{f: f}, yield: yield}
		w.budget = f.blocks + min(f.sb.inodes(), f.blocks*f.blockSize/f.sb.inodeSize())
		w.file(inodeRoot, ".")
	}
}

// walk is on its way through the directories.
type walk struct {
	f      *fileSystem
	inodes inodeReader
	yield  func(*filesystem.File, error) bool
	way    []int64 // inodes of the directories from the root to here
	budget int64   // blocks of directories that there still can be
}

// file gives the file of an inode and, of a directory, all that lies in it. It
// returns false when the caller wants no more.
func (w *walk) file(number int64, path string) bool {
	bad := func(err error) bool {
		return w.yield(nil, fmt.Errorf("%s: inode %d: %w", path, number, err))
	}
	in, err := w.inodes.read(number)
	if err != nil {
		return bad(err)
	}
	if number == inodeRoot && in.kind() != modeDirectory {
		return bad(formatError(in.at, "the root is no directory"))
	}
	if in.links() == 0 {
		return bad(formatError(in.at+0x1A, "a name, and no links"))
	}
	if slices.Contains(w.way, number) {
		return bad(formatError(in.at, "the directory lies in itself"))
	}
	file, err := in.file(path)
	if err != nil {
		return bad(err)
	}
	if !w.yield(file, nil) {
		return false
	}
	if in.kind() != modeDirectory {
		return true
	}
	if len(w.way) == maxLevels || len(path) > maxPath {
		return bad(formatError(in.at, "too many directories in each other"))
	}
	w.way = append(w.way, number)
	defer func() { w.way = w.way[:len(w.way)-1] }()
	return w.directory(in, path, bad)
}

// directory gives what lies in a directory.
func (w *walk) directory(in *inode, path string, bad func(error) bool) bool {
	step := func() error {
		if w.budget--; w.budget < 0 {
			return formatError(in.at, "more blocks of directories than there are")
		}
		return nil
	}
	each := func(name []byte, number int64) bool {
		child := string(name)
		if in.has(inodeFlagEncrypted) {
			child = escaped(name)
		}
		if path != "." {
			child = path + "/" + child
		}
		if number < w.f.sb.firstInode() {
			return w.yield(nil, fmt.Errorf("%s: inode %d: %w", child, number, formatError(in.at, "a name in this directory for an inode of the file system's own")))
		}
		return w.file(number, child)
	}
	d := &directory{in: in, m: blockMap{in: in}}
	return d.entries(step, each, bad)
}

// file describes the inode under one of its names.
func (in *inode) file(path string) (*filesystem.File, error) {
	file := &filesystem.File{
		Path:     path,
		Inode:    uint64(in.number),
		Links:    uint32(in.links()),
		Mode:     in.fileMode(),
		UID:      in.uid(),
		GID:      in.gid(),
		Size:     in.size(),
		Modified: in.time(0x10, 0x88),
		Changed:  in.time(0x0C, 0x84),
		Accessed: in.time(0x08, 0x8C),
		Created:  in.created(),
		Device:   in.device(),
		Metadata: in.metadata(),
	}
	var err error
	switch {
	case in.kind() == modeSymlink:
		file.LinkTarget, err = in.target()
	case in.kind() == modeRegular && in.has(inodeFlagInline):
		file.Content, err = in.inline()
	case in.kind() == modeRegular:
		file.Content = &content{m: blockMap{in: in}}
	}
	return file, err
}
