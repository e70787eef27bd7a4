package sftp

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/pkg/sftp"

	"doppel.live/internal/store"
)

// temporary is how the names of objects begin that are not committed, as in
// package dir. A crash may leave them; List does not show them, Remove of
// their folder takes them too.
const temporary = ".doppel-"

func newTemporary() string { return temporary + rand.Text()[:12] }

// parents tells whether the folders above a name are folders and no symbolic
// links.
func (s *Store) parents(c *connection, name string) error {
	for i, r := range name {
		if r != '/' {
			continue
		}
		info, err := c.sftp.Lstat(s.path(name[:i]))
		if err == nil && !info.IsDir() {
			err = fs.ErrNotExist
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name[:i], err)
		}
	}
	return nil
}

// List implements store.Store.
func (s *Store) List(folder string) (list []store.Entry, err error) {
	if folder != "." {
		if err := store.CheckName(folder); err != nil {
			return nil, err
		}
	}
	err = s.do(s.ctx, func(c *connection) error {
		if err := s.parents(c, folder+"/"); folder != "." && err != nil {
			return err
		}
		infos, err := c.sftp.ReadDir(s.path(folder))
		if list = nil; err != nil {
			return s.checked(c, folder, err)
		}
		for _, info := range infos {
			if strings.HasPrefix(info.Name(), temporary) || store.CheckName(info.Name()) != nil {
				continue
			}
			e := store.Entry{Name: info.Name(), Folder: info.IsDir(), Regular: info.Mode().IsRegular(), Modified: info.ModTime()}
			if e.Regular {
				e.Size = info.Size()
			}
			list = append(list, e)
		}
		return nil
	})
	slices.SortFunc(list, func(a, b store.Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

// Sweep implements store.Sweeper.
func (s *Store) Sweep(folder string) error {
	if err := store.CheckName(folder); err != nil {
		return err
	}
	return s.do(s.ctx, func(c *connection) error {
		if err := s.parents(c, folder+"/"); err != nil {
			return err
		}
		infos, err := c.sftp.ReadDir(s.path(folder))
		for _, info := range infos {
			if err == nil && strings.HasPrefix(info.Name(), temporary) && !strings.Contains(info.Name(), "/") {
				err = c.sftp.Remove(s.path(folder + "/" + info.Name()))
			}
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
		return s.checked(c, folder, err)
	})
}

// MakeFolder implements store.Store.
func (s *Store) MakeFolder(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	tried := false // the server may have made it and could not say so
	return s.do(s.ctx, func(c *connection) error {
		if err := s.parents(c, name); err != nil {
			return err
		}
		switch info, err := c.sftp.Lstat(s.path(name)); {
		case err == nil && tried && info.IsDir() && s.empty(c, name):
			return nil
		case err == nil:
			return fmt.Errorf("%s: %w", name, fs.ErrExist)
		case !errors.Is(err, fs.ErrNotExist):
			return s.checked(c, name, err)
		}
		tried = true
		err := c.sftp.Mkdir(s.path(name))
		if err != nil && !c.lost(err) {
			if _, now := c.sftp.Lstat(s.path(name)); now == nil {
				return fmt.Errorf("%s: %w", name, fs.ErrExist) // somebody was quicker
			}
		}
		return denied(name, s.checked(c, name, err))
	})
}

func (s *Store) empty(c *connection, name string) bool {
	infos, err := c.sftp.ReadDir(s.path(name))
	return err == nil && len(infos) == 0
}

// Rename implements store.Store.
func (s *Store) Rename(from, to string) error {
	if err := errors.Join(store.CheckName(from), store.CheckName(to)); err != nil {
		return err
	}
	tried := false
	return s.do(s.ctx, func(c *connection) error {
		if err := errors.Join(s.parents(c, from), s.parents(c, to)); err != nil {
			return err
		}
		_, old := c.sftp.Lstat(s.path(from))
		_, taken := c.sftp.Lstat(s.path(to))
		switch {
		case taken == nil && tried && errors.Is(old, fs.ErrNotExist): // done before the connection was lost
			return nil
		case taken == nil:
			return fmt.Errorf("%s: %w", to, fs.ErrExist)
		case old != nil:
			return s.checked(c, from, old)
		}
		tried = true
		return denied(from, s.checked(c, from, c.sftp.Rename(s.path(from), s.path(to))))
	})
}

// Remove implements store.Store.
func (s *Store) Remove(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	return s.do(s.ctx, func(c *connection) error {
		err := s.parents(c, name)
		if err == nil {
			err = s.remove(c, name, 0)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return denied(name, err)
	})
}

// maxDepth is how many folders may lie in one another; a server that shows
// more shows a circle.
const maxDepth = 100

func (s *Store) remove(c *connection, name string, depth int) error {
	info, err := c.sftp.Lstat(s.path(name))
	if err != nil {
		return s.checked(c, name, err)
	}
	if !info.IsDir() {
		return s.checked(c, name, c.sftp.Remove(s.path(name)))
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d folders in one another", name, maxDepth)
	}
	infos, err := c.sftp.ReadDir(s.path(name))
	if err != nil {
		return s.checked(c, name, err)
	}
	for _, child := range infos {
		if strings.Contains(child.Name(), "/") || child.Name() == "" || child.Name() == "." || child.Name() == ".." {
			return fmt.Errorf("%s: the server names %q in it", name, child.Name())
		}
		if err := s.remove(c, name+"/"+child.Name(), depth+1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.checked(c, name, c.sftp.RemoveDirectory(s.path(name)))
}

// room asks how much is free and whether the file system is read-only; known
// is false for servers that cannot tell.
func (s *Store) room(c *connection) (free int64, locked, known bool) {
	if _, ok := c.sftp.HasExtension("statvfs@openssh.com"); !ok {
		return -1, false, false
	}
	v, err := c.sftp.StatVFS(s.root)
	if err != nil {
		return -1, false, false
	}
	const readOnly = 1 // SSH2_FXE_STATVFS_ST_RDONLY
	if v.Frsize == 0 || v.Bavail > math.MaxInt64/v.Frsize {
		return -1, v.Flag&readOnly != 0, false
	}
	return int64(v.Bavail * v.Frsize), v.Flag&readOnly != 0, true
}

// Free implements store.Store.
func (s *Store) Free() (free int64, err error) {
	err = s.do(s.ctx, func(c *connection) error {
		var known bool
		if free, _, known = s.room(c); !known {
			free = -1
		}
		select {
		case <-c.done:
			return sftp.ErrSSHFxConnectionLost
		default:
			return nil
		}
	})
	return free, err
}

// ReadOnly implements store.Store. The first time it tries to make a file, for
// a user's rights cannot be known otherwise.
func (s *Store) ReadOnly() bool {
	s.look.Do(func() {
		probe := s.path(newTemporary())
		err := s.do(s.ctx, func(c *connection) error {
			if _, locked, _ := s.room(c); locked {
				return store.ErrReadOnly
			}
			f, err := c.sftp.OpenFile(probe, os.O_WRONLY|os.O_CREATE)
			if err != nil {
				return err
			}
			return errors.Join(f.Close(), c.sftp.Remove(probe))
		})
		s.readOnly = errors.Is(err, store.ErrReadOnly) || errors.Is(err, fs.ErrPermission)
	})
	return s.readOnly
}

// replace gives a file another name in place of what is called so, on a server
// without posix-rename: the old one is there under a hidden name in between.
func replace(c *connection, from, to string) error {
	if _, ok := c.sftp.HasExtension("posix-rename@openssh.com"); ok {
		return c.sftp.PosixRename(from, to)
	}
	if _, err := c.sftp.Lstat(to); errors.Is(err, fs.ErrNotExist) {
		return c.sftp.Rename(from, to)
	} else if err != nil {
		return err
	}
	old := path.Join(path.Dir(to), newTemporary())
	if err := c.sftp.Rename(to, old); err != nil {
		return err
	}
	if err := c.sftp.Rename(from, to); err != nil {
		return errors.Join(err, c.sftp.Rename(old, to))
	}
	return c.sftp.Remove(old)
}
