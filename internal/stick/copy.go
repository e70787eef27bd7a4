package stick

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path"

	"doppel.live/internal/progress"
	"doppel.live/internal/store"
)

// pending is how a copy of an image is called until it is whole; stores do not
// list such names.
const pending = ".doppel-copy-"

// SizeOf is how many bytes the objects of an image have.
func SizeOf(s store.Store, name string) (int64, error) {
	list, err := s.List(name)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, e := range list {
		if e.Folder {
			inner, err := SizeOf(s, path.Join(name, e.Name))
			if err != nil {
				return 0, err
			}
			n += inner
		}
		n += e.Size
	}
	return n, nil
}

// CopyImage copies an image from one store to another, byte for byte, and reads
// the copy back. It has its name only when it is whole; fs.ErrExist says that
// there is one of that name. It counts every byte twice.
func CopyImage(ctx context.Context, from, to store.Store, name string, m *progress.Meter) error {
	folder := path.Join(path.Dir(name), pending+path.Base(name))
	if err := to.Remove(folder); err != nil {
		return err
	}
	err := copyFolder(ctx, from, to, name, folder, m)
	if err == nil {
		err = to.Rename(folder, name)
	}
	if err != nil {
		_ = to.Remove(folder) // the error that counts is the first
	}
	return err
}

func copyFolder(ctx context.Context, from, to store.Store, name, folder string, m *progress.Meter) error {
	if err := to.MakeFolder(folder); err != nil {
		return err
	}
	list, err := from.List(name)
	if err != nil {
		return err
	}
	for _, e := range list {
		source, target := path.Join(name, e.Name), path.Join(folder, e.Name)
		switch {
		case e.Folder:
			err = copyFolder(ctx, from, to, source, target, m)
		case e.Regular:
			err = copyObject(ctx, from, to, source, target, m)
		default:
			err = fmt.Errorf("%s: %w", source, store.ErrNotFile)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyObject(ctx context.Context, from, to store.Store, source, target string, m *progress.Meter) error {
	r, err := from.Open(source)
	if err != nil {
		return err
	}
	defer r.Close()
	o, err := to.Create(target, 0o644)
	if err != nil {
		return err
	}
	want, err := stream(ctx, r, o, m)
	if err != nil {
		o.Abort()
		return fmt.Errorf("%s: %w", source, err)
	}
	if err := o.Commit(); err != nil {
		return err
	}
	back, err := to.Open(target)
	if err != nil {
		return err
	}
	defer back.Close()
	got, err := stream(ctx, back, io.Discard, m)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("what is read back differs from what was written: the target is failing")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// stream copies an object and gives the hash of it.
func stream(ctx context.Context, r store.Reader, w io.Writer, m *progress.Meter) ([]byte, error) {
	h, buf := sha256.New(), make([]byte, mib)
	for at := int64(0); at < r.Size(); {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := buf[:min(int64(len(buf)), r.Size()-at)]
		if n, err := r.ReadAt(p, at); n < len(p) {
			return nil, err
		}
		h.Write(p)
		if _, err := w.Write(p); err != nil {
			return nil, err
		}
		at += int64(len(p))
		m.Add(int64(len(p)))
	}
	return h.Sum(nil), nil
}
