package qcow2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/fstest"
)

// sample makes a raw disk of size bytes with data, text and holes.
func sample(t testing.TB, size int64) string {
	t.Helper()
	path := fstest.Volume(t, size)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rng := rand.New(rand.NewPCG(1, uint64(size)))
	for range 60 {
		p := make([]byte, rng.IntN(90_000))
		for i := range p {
			p[i] = byte(rng.IntN(1 + rng.IntN(200)))
		}
		if off := rng.Int64N(size); off+int64(len(p)) <= size {
			f.WriteAt(p, off)
		}
	}
	f.WriteAt([]byte("the last sector"), size-512)
	return path
}

func openFile(t testing.TB, path string) *Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	st, _ := f.Stat()
	q, err := Open(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// equal compares a disk with a raw file: whole, in pieces, and what Stored
// leaves out with zeros.
func equal(t testing.TB, q *Reader, raw string) {
	t.Helper()
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if q.Size() != int64(len(want)) {
		t.Fatalf("%d bytes, want %d", q.Size(), len(want))
	}
	got, err := io.ReadAll(io.NewSectionReader(q, 0, q.Size()))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the disk differs, %v", err)
	}
	rng := rand.New(rand.NewPCG(2, 3))
	for range 50 {
		p := make([]byte, 1+rng.IntN(200_000))
		off := rng.Int64N(q.Size())
		n, err := q.ReadAt(p, off)
		if int64(n) != min(int64(len(p)), q.Size()-off) || (n < len(p)) != (err == io.EOF) || !bytes.Equal(p[:n], want[off:off+int64(n)]) {
			t.Fatalf("%d bytes at %d: %d, %v", len(p), off, n, err)
		}
	}
	stored, err := q.Stored()
	if err != nil {
		t.Fatal(err)
	}
	if err := extent.Validate(stored, q.Size()); err != nil {
		t.Fatal(err)
	}
	for _, e := range extent.Invert(stored, q.Size()) {
		if !zero(want[e.Offset:e.End()]) {
			t.Fatalf("%v is not stored, and not zero", e)
		}
	}
}

// TestRead reads what qemu-img writes.
func TestRead(t *testing.T) {
	raw := sample(t, 20<<20+512)
	for _, tt := range []struct{ name, convert, options string }{
		{"usual", "", "compat=1.1"},
		{"version 2", "", "compat=0.10"},
		{"smallest clusters", "", "cluster_size=512"},
		{"largest clusters", "", "cluster_size=2M"},
		{"compressed", "-c", "compat=1.1"},
		{"compressed, version 2, small clusters", "-c", "compat=0.10,cluster_size=4k"},
		{"compressed by zstd", "-c", "compression_type=zstd"},
		{"preallocated", "-S 0", "preallocation=metadata"},
		{"lazy reference counts", "", "lazy_refcounts=on,refcount_bits=64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			args := append([]string{"qemu-img", "convert", "-f", "raw", "-O", "qcow2"}, strings.Fields(tt.convert)...)
			fstest.Run(t, append(args, "-o", tt.options, raw, path)...)
			equal(t, openFile(t, path), raw)
			// Zeros written on purpose, and an old state kept inside.
			fstest.Run(t, "qemu-img", "snapshot", "-c", "before", path)
			fstest.Run(t, "qemu-io", "-f", "qcow2", "-c", "write -z 1M 3M", "-c", "write -P 77 5000000 70000", "-c", "discard 8M 2M", path)
			now := filepath.Join(t.TempDir(), "now")
			fstest.Run(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, now)
			equal(t, openFile(t, path), now)
		})
	}
}

// TestWrite writes in random order and lets qemu-img judge.
func TestWrite(t *testing.T) {
	for _, size := range []int64{512, cluster - 512, cluster, cluster + 512, 40<<20 + 512} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			raw := sample(t, size)
			want, _ := os.ReadFile(raw)
			path := filepath.Join(t.TempDir(), "disk.qcow2")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			w, err := Create(f, size)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(4, uint64(size)))
			for range 40 { // what is overwritten must not come back
				p := make([]byte, min(size, 1+rng.Int64N(100_000)))
				for i := range p {
					p[i] = byte(rng.Uint32())
				}
				if _, err := w.WriteAt(p, rng.Int64N(size-int64(len(p))+1)); err != nil {
					t.Fatal(err)
				}
			}
			const piece = 100_000
			for _, i := range rng.Perm(int((size + piece - 1) / piece)) {
				off := int64(i) * piece
				if _, err := w.WriteAt(want[off:min(size, off+piece)], off); err != nil {
					t.Fatal(err)
				}
			}
			back := make([]byte, size)
			if _, err := w.ReadAt(back, 0); err != nil && err != io.EOF || !bytes.Equal(back, want) {
				t.Fatalf("read back: %v", err)
			}
			if Is(f) {
				t.Error("the file looks whole before Close")
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			equal(t, openFile(t, path), raw)
			if out := fstest.Run(t, "qemu-img", "check", path); !strings.Contains(out, "No errors were found") {
				t.Error(out)
			}
			fstest.Run(t, "qemu-img", "compare", "-f", "qcow2", "-F", "raw", path, raw)
			if _, err := w.WriteAt(make([]byte, 2), size-1); err == nil {
				t.Error("a write behind the end")
			}
		})
	}
}

// An empty disk of 4 TiB takes no room for what it does not hold.
func TestWriteSparse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := Create(f, 4<<40)
	if err != nil {
		t.Fatal(err)
	}
	w.WriteAt([]byte("end"), 4<<40-3)
	w.WriteAt(make([]byte, 3*cluster), 1<<40)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if st, _ := f.Stat(); st.Size() > 8*cluster {
		t.Errorf("%d bytes", st.Size())
	}
	if out := fstest.Run(t, "qemu-img", "check", path); !strings.Contains(out, "No errors were found") {
		t.Error(out)
	}
	p := make([]byte, 5)
	if n, err := openFile(t, path).ReadAt(p, 4<<40-5); n != 5 || string(p) != "\x00\x00end" {
		t.Errorf("%q %v", p, err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	raw := sample(t, 1<<20)
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"backing file": {[]string{"-b", raw, "-F", "raw"}, "backing file"},
		"extended L2":  {[]string{"-o", "extended_l2=on", "DISK", "1M"}, "extended L2"},
		"data file":    {[]string{"-o", "data_file=" + filepath.Join(dir, "data"), "DISK", "1M"}, "another file"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", ""))
		args := []string{"qemu-img", "create", "-q", "-f", "qcow2"}
		named := false
		for _, a := range tt.args {
			if a == "DISK" {
				a, named = path, true
			}
			args = append(args, a)
		}
		if !named {
			args = append(args, path)
		}
		fstest.Run(t, args...)
		b, _ := os.ReadFile(path)
		if _, err := Open(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, 3, 71, 600} {
		if _, err := Open(bytes.NewReader(make([]byte, n)), int64(n)); !errors.Is(err, ErrFormat) {
			t.Errorf("%d zeros: %v", n, err)
		}
	}
	if _, err := Create(nil, 0); err == nil {
		t.Error("a disk without a byte")
	}
}

func FuzzReader(f *testing.F) {
	raw := sample(f, 20_480)
	for _, o := range []string{"cluster_size=512", "cluster_size=512,compression_type=zstd", "cluster_size=1k,compat=0.10"} {
		for _, c := range []string{"-c", "-q"} {
			path := filepath.Join(f.TempDir(), "disk")
			fstest.Run(f, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", c, "-o", o, raw, path)
			b, _ := os.ReadFile(path)
			f.Add(b, uint32(0), []byte{})
		}
	}
	f.Fuzz(func(t *testing.T, p []byte, off uint32, change []byte) {
		p = bytes.Clone(p)
		copy(p[min(int64(off), int64(len(p))):], change)
		q, err := Open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			return
		}
		list, err := q.Stored()
		if err != nil {
			return
		}
		if err := extent.Validate(list, q.Size()); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3000)
		for _, e := range list[:min(len(list), 50)] {
			q.ReadAt(b, e.Offset)
			q.ReadAt(b, max(0, e.End()-100))
		}
	})
}
