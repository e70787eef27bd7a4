package storetest

import (
	"io"

	"doppel.live/internal/store"
)

// Short is a store in which one object ends early when it is read, with the size
// that it should have: a network file system that gives less than there is.
type Short struct {
	store.Store
	Name string // of the object
	At   int64  // bytes that can be read of it
}

// Open implements store.Store.
func (s Short) Open(name string) (store.Reader, error) {
	r, err := s.Store.Open(name)
	if err != nil || name != s.Name {
		return r, err
	}
	return shortReader{r, s.At}, nil
}

type shortReader struct {
	store.Reader
	at int64
}

// ReadAt implements store.Reader.
func (r shortReader) ReadAt(p []byte, off int64) (int, error) {
	return io.NewSectionReader(r.Reader, 0, r.at).ReadAt(p, off)
}
