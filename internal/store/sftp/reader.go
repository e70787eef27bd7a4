package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pkg/sftp"

	"doppel.live/internal/store"
	"doppel.live/internal/store/ahead"
)

// pieces are as large as packets, and as many are under way as a line of
// 100 ms and 1 Gbit/s holds for the most part.
func pieces() ahead.Options { return ahead.Options{Piece: largePacket, Ahead: 32, Parallel: 32} }

// ErrChanged is an object that was replaced or cut while it was read.
var ErrChanged = errors.New("it was changed while it was being read")

type reader struct {
	*ahead.Reader
	store *Store
	handle
}

// Close implements store.Reader.
func (r *reader) Close() error {
	r.Reader.Close()
	r.store.mu.Lock()
	c := r.store.now
	r.store.mu.Unlock()
	if c != nil {
		_ = r.handle.close(c) // nothing was written
	}
	return nil
}

// Open implements store.Store.
func (s *Store) Open(name string) (store.Reader, error) {
	if err := store.CheckName(name); err != nil {
		return nil, err
	}
	r := &reader{store: s}
	var first os.FileInfo
	r.handle.open = func(c *connection) (*sftp.File, error) {
		file, info, err := s.openFile(c, name)
		if err == nil && first != nil && (info.Size() != first.Size() || !info.ModTime().Equal(first.ModTime())) {
			file.Close()
			return nil, fmt.Errorf("%s: %w", name, ErrChanged)
		}
		if err == nil && first == nil {
			first = info
		}
		return file, err
	}
	err := s.do(s.ctx, func(c *connection) error {
		_, err := r.handle.at(c)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Reader = s.ahead(s.ctx, &r.handle, name, first.Size())
	return r, nil
}

// ahead reads a file of size bytes over as many connections as it takes.
func (s *Store) ahead(ctx context.Context, h *handle, name string, size int64) *ahead.Reader {
	return ahead.New(ctx, size, pieces(), func(ctx context.Context, p []byte, off int64) error {
		return s.do(ctx, func(c *connection) error {
			file, err := h.at(c)
			if err != nil {
				return err
			}
			return c.packet(ctx, func() error { return s.fill(c, file, name, p, off) })
		})
	})
}

// openFile opens a regular file for reading.
func (s *Store) openFile(c *connection, name string) (*sftp.File, os.FileInfo, error) {
	if err := s.parents(c, name); err != nil {
		return nil, nil, err
	}
	info, err := c.sftp.Lstat(s.path(name))
	if err != nil {
		return nil, nil, s.checked(c, name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", name, store.ErrNotFile)
	}
	file, err := c.sftp.Open(s.path(name))
	if err != nil {
		return nil, nil, s.checked(c, name, err)
	}
	opened, err := file.Stat()
	if err == nil && !opened.Mode().IsRegular() {
		err = store.ErrNotFile
	}
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, opened, nil
}

// fill reads a whole piece.
func (s *Store) fill(c *connection, file *sftp.File, name string, p []byte, off int64) error {
	n, err := file.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	select {
	case <-c.done:
		return sftp.ErrSSHFxConnectionLost
	default:
	}
	// The same value stands for the end of the file and, wrapped, for that of
	// the connection.
	if err == io.EOF {
		return fmt.Errorf("%s: %w: it ends at byte %d", name, ErrChanged, off+int64(n))
	}
	return s.checked(c, name, err)
}
