// Package store says how named objects are kept below folders, wherever that
// is: a directory, a remote server, memory. It does not know what the objects
// hold; images and repositories stand on it.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"
)

// The errors that callers act on, beside fs.ErrNotExist and fs.ErrExist.
var (
	ErrFull     = errors.New("no room left in the place for images")
	ErrReadOnly = errors.New("the place for images is read-only")
	ErrName     = errors.New("not a name for an object")
	ErrNotFile  = errors.New("not a regular file")
	// ErrShort is an object of which less could be read than it has by its
	// size: what is missing is not its end.
	ErrShort = errors.New("less of it came than there is")
)

// Store keeps objects under names such as "folder/object". Names are checked:
// none leads out of the store. A store may be used from several goroutines.
type Store interface {
	// Create starts an object in an existing folder. It has no name that
	// can be opened or listed before Commit; Commit replaces an older object.
	Create(name string, mode fs.FileMode) (Object, error)
	// Open opens an object. Symbolic links, devices and the like are ErrNotFile.
	Open(name string) (Reader, error)
	// List gives the entries of a folder by ascending name; "." is the root.
	List(folder string) ([]Entry, error)
	// MakeFolder makes one folder; fs.ErrExist where there is one of that name.
	MakeFolder(name string) error
	// Rename gives an object or folder another name; fs.ErrExist where that is taken.
	Rename(from, to string) error
	// Remove removes an object, or a folder with all that is in it.
	// What does not exist is no error.
	Remove(name string) error
	// Free is the room for new objects in bytes; -1 where it cannot be known.
	Free() (int64, error)
	// ReadOnly tells whether nothing can be written here.
	ReadOnly() bool
}

// Sweeper is a Store in which objects that were neither committed nor aborted,
// since their writer was killed, take room.
type Sweeper interface {
	// Sweep removes all of them in a folder, those of living writers too.
	Sweep(folder string) error
}

// Object is an object being written. It ends with Commit or Abort.
type Object interface {
	io.Writer
	// Commit makes the object durable, then gives it its name, then makes
	// the name durable. After a crash there is the old object or the new.
	Commit() error
	// Abort leaves nothing behind. After Commit it does nothing.
	Abort() error
}

// Reader reads any range of an object. io.EOF stands at its size and nowhere
// before: what ends there although there is more is ErrShort.
type Reader interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// Entry is one name in a folder.
type Entry struct {
	Name     string // without the folder
	Size     int64  // bytes, 0 for a folder
	Folder   bool
	Regular  bool // an object that Open opens
	Modified time.Time
}

// CheckName tells whether name is one that every store takes: one or more
// parts joined by "/", none of them empty, "." or "..", no control characters
// and no backslash, each part at most 255 bytes of UTF-8.
func CheckName(name string) error {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." || len(part) > 255 || !utf8.ValidString(part) {
			return fmt.Errorf("%w: %q", ErrName, name)
		}
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	return nil
}

// WriteFile writes a small object at once.
func WriteFile(s Store, name string, data []byte, mode fs.FileMode) error {
	o, err := s.Create(name, mode)
	if err != nil {
		return err
	}
	if _, err := o.Write(data); err != nil {
		o.Abort()
		return err
	}
	return o.Commit()
}

// ReadFile reads an object of at most limit bytes.
func ReadFile(s Store, name string, limit int64) ([]byte, error) {
	r, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d expected", name, r.Size(), limit)
	}
	data, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err == nil && int64(len(data)) < r.Size() {
		err = fmt.Errorf("%s: %w: %d bytes of %d", name, ErrShort, len(data), r.Size())
	}
	return data, err
}
