// Package dir keeps the objects of a store as plain files below one directory.
// No name, and no symbolic link that lies there, leads out of it. It does not
// mount anything: the directory is there when Open is called.
package dir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store"
)

// Dir is a directory as a store.
type Dir struct {
	root *os.Root
}

var _ store.Store = (*Dir)(nil)

// temporary is how the names of objects begin that are not committed. A crash
// may leave them; List does not show them, Remove of their folder takes them too.
const temporary = ".doppel-"

// Open opens the directory of that path.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{root: root}, nil
}

// Close ends the use of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Path is the path that the directory was opened with.
func (d *Dir) Path() string { return d.root.Name() }

// checked is err with the store's sentinels for what callers act on.
func checked(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", store.ErrReadOnly, err)
	}
	return err
}

// Create implements store.Store.
func (d *Dir) Create(name string, mode fs.FileMode) (store.Object, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	if info, err := d.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrExist)
	}
	pending := path.Join(path.Dir(name), temporary+rand.Text()[:12])
	file, err := d.root.OpenFile(pending, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, checked(err)
	}
	return &object{dir: d, file: file, pending: pending, name: name, mode: mode, again: newAgain(file)}, nil
}

type object struct {
	dir           *Dir
	file          *os.File
	pending, name string
	mode          fs.FileMode
	done          bool
	written       int64  // bytes
	begun         int64  // bytes that the kernel was told to bring to the medium
	ended         int64  // bytes that are there
	again         *again // nil where the kernel can be trusted with what it repeats
	failed        error  // what writeBack has seen
}

// writeWindow is how much is written before the kernel is told to bring it to
// the medium. Else it waits until memory is full of it, which takes that from
// everybody, and Commit for all of it at the end.
const writeWindow = 16 << 20 // bytes

func (o *object) Write(p []byte) (int, error) {
	n, err := o.file.Write(p)
	if o.again != nil {
		if err == nil {
			err = o.again.wrote(p[:n])
		}
		return n, checked(err)
	}
	if o.written += int64(n); err == nil && o.written-o.begun >= writeWindow {
		err = o.writeBack()
	}
	return n, checked(err)
}

// writeBack begins to write what was written since it was called last, waits
// for what was begun before that, and lets memory go of it. An error of the
// medium that it sees is told to nobody again, not by fsync either
// (sync_file_range(2), errseq_t of the kernel), so it ends the object.
func (o *object) writeBack() error {
	fd := int(o.file.Fd())
	err := synced(unix.SyncFileRange(fd, o.begun, o.written-o.begun, unix.SYNC_FILE_RANGE_WRITE))
	if n := o.begun - o.ended; n > 0 {
		err = errors.Join(err, synced(unix.SyncFileRange(fd, o.ended, n,
			unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)))
		_ = unix.Fadvise(fd, o.ended, n, unix.FADV_DONTNEED)
	}
	o.ended, o.begun = o.begun, o.written
	o.failed = errors.Join(o.failed, err)
	return err
}

// synced is the error of a SyncFileRange; file systems that cannot do it do
// without.
func synced(err error) error {
	for _, cannot := range []error{unix.ENOSYS, unix.EINVAL, unix.ESPIPE, unix.EOPNOTSUPP} {
		if errors.Is(err, cannot) {
			return nil
		}
	}
	return err
}

func (o *object) Commit() error {
	if o.done {
		return fs.ErrClosed
	}
	if err := o.commit(); err != nil {
		o.Abort()
		return checked(err)
	}
	o.done = true
	return nil
}

func (o *object) commit() error {
	if o.failed != nil {
		return o.failed
	}
	// FAT and exFAT know no modes; what the mount says holds there.
	if err := o.file.Chmod(o.mode); err != nil && !errors.Is(err, syscall.EPERM) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if o.again != nil {
		if err := o.again.settle(); err != nil {
			return err
		}
	}
	if err := o.file.Sync(); err != nil {
		return err
	}
	if err := o.file.Close(); err != nil {
		return err
	}
	if err := o.dir.root.Rename(o.pending, o.name); err != nil {
		return err
	}
	return o.dir.sync(path.Dir(o.name))
}

func (o *object) Abort() error {
	if o.done {
		return nil
	}
	o.done = true
	o.file.Close()
	if err := o.dir.root.Remove(o.pending); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return checked(err)
	}
	return nil
}

// sync makes the names in a folder durable.
func (d *Dir) sync(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	// Some file systems (FUSE, SMB) cannot sync a directory and say so.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

type reader struct {
	*os.File
	size int64
}

func (r reader) Size() int64 { return r.size }

// ReadAt implements store.Reader. Linux 6.12 with NFS 4.2 gave the end of a file
// in the middle of one, after its server had been away.
func (r reader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.File.ReadAt(p, off)
	if end := off + int64(n); err == io.EOF && end < r.size {
		err = fmt.Errorf("%s: %w: it ended at byte %d of %d", r.Name(), store.ErrShort, end, r.size)
	}
	return n, err
}

// Open implements store.Store.
func (d *Dir) Open(name string) (store.Reader, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", name, store.ErrNotFile)
	}
	file, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = fmt.Errorf("%s: %w", name, store.ErrNotFile)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return reader{file, opened.Size()}, nil
}

// List implements store.Store.
func (d *Dir) List(folder string) ([]store.Entry, error) {
	if folder != "." {
		if err := store.CheckName(folder); err != nil {
			return nil, err
		}
	}
	f, err := d.root.Open(folder)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	infos, err := f.Readdir(-1)
	if err != nil {
		return nil, err
	}
	var list []store.Entry
	for _, info := range infos {
		if strings.HasPrefix(info.Name(), temporary) {
			continue
		}
		e := store.Entry{Name: info.Name(), Folder: info.IsDir(), Regular: info.Mode().IsRegular(), Modified: info.ModTime()}
		if e.Regular {
			e.Size = info.Size()
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b store.Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Sweep implements store.Sweeper.
func (d *Dir) Sweep(folder string) error {
	if err := store.CheckName(folder); err != nil {
		return err
	}
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	for _, name := range names {
		if strings.HasPrefix(name, temporary) {
			err = errors.Join(err, d.root.Remove(path.Join(folder, name)))
		}
	}
	return err
}

// MakeFolder implements store.Store.
func (d *Dir) MakeFolder(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if err := d.root.Mkdir(name, 0o755); err != nil {
		return checked(err)
	}
	return checked(d.sync(path.Dir(name)))
}

// Rename implements store.Store.
func (d *Dir) Rename(from, to string) error {
	if err := errors.Join(store.CheckName(from), store.CheckName(to)); err != nil {
		return err
	}
	if _, err := d.root.Lstat(to); err == nil {
		return fmt.Errorf("%s: %w", to, fs.ErrExist)
	}
	if err := d.root.Rename(from, to); err != nil {
		return checked(err)
	}
	if err := d.sync(path.Dir(from)); err != nil {
		return checked(err)
	}
	return checked(d.sync(path.Dir(to)))
}

// Remove implements store.Store.
func (d *Dir) Remove(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if _, err := d.root.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := d.root.RemoveAll(name); err != nil {
		return checked(err)
	}
	return checked(d.sync(path.Dir(name)))
}

func (d *Dir) statfs() (unix.Statfs_t, error) {
	var s unix.Statfs_t
	f, err := d.root.Open(".")
	if err != nil {
		return s, err
	}
	defer f.Close()
	err = unix.Fstatfs(int(f.Fd()), &s)
	return s, err
}

// Free implements store.Store.
func (d *Dir) Free() (int64, error) {
	s, err := d.statfs()
	if err != nil {
		return 0, fmt.Errorf("free space of %s: %w", d.Path(), err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// MaxFile is the most bytes that a file can have here; 0 where there is no
// limit that matters.
func (d *Dir) MaxFile() int64 {
	if s, err := d.statfs(); err == nil && s.Type == unix.MSDOS_SUPER_MAGIC {
		return 1<<32 - 1
	}
	return 0
}

// ReadOnly implements store.Store.
func (d *Dir) ReadOnly() bool {
	if s, err := d.statfs(); err == nil && s.Flags&unix.ST_RDONLY != 0 {
		return true
	}
	return errors.Is(unix.Access(d.Path(), unix.W_OK), syscall.EROFS)
}
