package dir_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"doppel.live/internal/store"
	"doppel.live/internal/store/dir"
	"doppel.live/internal/store/storetest"
)

func open(t *testing.T, path string) *dir.Dir {
	t.Helper()
	d, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestDir(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return open(t, t.TempDir()) })
}

// Links and special files in an image folder come from somebody else: none of
// them is followed out, opened or waited for.
func TestForeignFiles(t *testing.T) {
	outside, inside := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := errors.Join(
		os.Symlink(secret, filepath.Join(inside, "link")),
		os.Symlink(outside, filepath.Join(inside, "folder")),
		syscall.Mkfifo(filepath.Join(inside, "fifo"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, inside)
	for _, name := range []string{"link", "fifo", "folder", "folder/secret"} {
		if r, err := d.Open(name); err == nil {
			r.Close()
			t.Errorf("%s was opened", name)
		}
	}
	if err := store.WriteFile(d, "folder/new", nil, 0o644); err == nil {
		t.Error("written through a link")
	}
	if _, err := d.Create("link", 0o644); err == nil {
		t.Error("a link was replaced")
	}
	if err := d.Remove("folder"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(secret); err != nil {
		t.Errorf("removed through a link: %v", err)
	}
}

func TestModes(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	for name, mode := range map[string]os.FileMode{"a": 0o600, "b": 0o644} {
		if err := store.WriteFile(d, name, nil, mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// A full and a read-only file system, as the kernel has them.
func TestFull(t *testing.T) {
	path := t.TempDir()
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(path, 0) })
	d, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if free, err := d.Free(); err != nil || free != 64<<10 {
		t.Errorf("free %d, %v", free, err)
	}
	if err := store.WriteFile(d, "a", make([]byte, 100<<10), 0o644); !errors.Is(err, store.ErrFull) {
		t.Errorf("full: %v", err)
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if err := store.WriteFile(d, "a", nil, 0o644); !errors.Is(err, store.ErrReadOnly) || !d.ReadOnly() {
		t.Errorf("read-only: %v, %t", err, d.ReadOnly())
	}
}

// A file that ends before its size has not come to its end, as a read over NFS
// said once of one that was whole on the server.
func TestShort(t *testing.T) {
	folder := t.TempDir()
	d := open(t, folder)
	if err := store.WriteFile(d, "sums", make([]byte, 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := d.Open("sums")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(filepath.Join(folder, "sums"), 6000); err != nil {
		t.Fatal(err)
	}
	for name, off := range map[string]int64{"across the end": 4000, "at the end": 6000, "behind it": 8000} {
		n, err := r.ReadAt(make([]byte, 2500), off)
		if want := max(0, 6000-int(off)); n != want || !errors.Is(err, store.ErrShort) || errors.Is(err, io.EOF) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	if n, err := r.ReadAt(make([]byte, 2000), 4000); n != 2000 || err != nil {
		t.Errorf("what is there: %d bytes, %v", n, err)
	}
	if n, err := r.ReadAt(make([]byte, 1), 10_000); n != 0 || err != io.EOF {
		t.Errorf("at the true end: %d bytes, %v", n, err)
	}
	if n, err := io.Copy(io.Discard, io.NewSectionReader(r, 0, r.Size())); n != 6000 || !errors.Is(err, store.ErrShort) {
		t.Errorf("as a stream: %d bytes, %v", n, err)
	}
}
