// Package fstest holds what the tests of all readers of file systems share:
// volumes made by other programs, copies of nothing but the extents in use over
// garbage, sums of files, damage. It is imported by tests only and knows no
// format.
package fstest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// Main runs the tests of a package with their temporary files in memory, where
// there is a place for it: a matrix makes and syncs dozens of volumes.
//
//	func TestMain(m *testing.M) { os.Exit(fstest.Main(m)) }
func Main(m *testing.M) int {
	if dir, err := os.MkdirTemp("/dev/shm", "doppel-test"); err == nil {
		os.Setenv("TMPDIR", dir)
		defer os.RemoveAll(dir)
	}
	return m.Run()
}

// Tool finds a program, in the directories of root's programs too; without it
// the test is skipped.
func Tool(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// Run runs a program in the C locale, with names in UTF-8, and gives what it
// printed; its failure is the test's.
func Run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(Tool(t, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Noise gives n random bytes.
func Noise(rng *rand.Rand, n int64) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

// Volume makes a file of size bytes that reads as zeros.
func Volume(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "volume")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// Load reads a whole file.
func Load(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Open opens a volume in a file.
func Open(t testing.TB, path string, open filesystem.Opener) (filesystem.FileSystem, *os.File) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	opened, err := open(file, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	return opened, file
}

// Allocation collects what Allocated gives and holds it against what the
// interface promises.
func Allocation(t testing.TB, opened filesystem.FileSystem) []extent.Extent {
	t.Helper()
	list, err := extent.Collect(opened.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	info := opened.Info()
	if err := extent.Validate(list, info.Size); err != nil {
		t.Fatal(err)
	}
	if n := len(extent.Merge(list)); n != len(list) {
		t.Errorf("%d extents, %d when those that touch are joined", len(list), n)
	}
	for _, e := range list {
		if block := max(info.BlockSize, 1); e.Offset%block != 0 || e.Length%block != 0 && e.End() != info.Size {
			t.Fatalf("extent %v is not of whole blocks of %d", e, block)
		}
	}
	if used := extent.Total(list); used != info.Used {
		t.Errorf("Used %d, extents hold %d", info.Used, used)
	}
	return list
}

// CopyAllocated copies the extents of file, and nothing else, onto a new volume
// whose free extents are full of garbage: whole up to 16 MiB, longer ones at
// both ends.
func CopyAllocated(t testing.TB, file *os.File, list []extent.Extent) string {
	t.Helper()
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	path := Volume(t, st.Size())
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	garbage := Noise(rand.New(rand.NewPCG(7, 8)), 1<<20)
	spoil := func(from, to int64) {
		for from < to {
			n, err := out.WriteAt(garbage[:min(int64(len(garbage)), to-from)], from)
			if err != nil {
				t.Fatal(err)
			}
			from += int64(n)
		}
	}
	const whole = 8 << 20
	for _, e := range extent.Invert(list, st.Size()) {
		spoil(e.Offset, min(e.End(), e.Offset+whole))
		spoil(max(e.Offset+whole, e.End()-whole), e.End())
	}
	for _, e := range list {
		if _, err := io.Copy(sparse{io.NewOffsetWriter(out, e.Offset)}, io.NewSectionReader(file, e.Offset, e.Length)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// sparse leaves out pieces of zeros: a new file has them already.
type sparse struct{ *io.OffsetWriter }

func (s sparse) Write(p []byte) (int, error) {
	if bytes.Count(p, []byte{0}) < len(p) {
		return s.OffsetWriter.Write(p)
	}
	_, err := s.Seek(int64(len(p)), io.SeekCurrent)
	return len(p), err
}

// TreeSums are the checksums of all regular files below a directory, by their
// paths from it.
func TreeSums(t testing.TB, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		out[strings.TrimPrefix(p, dir+"/")] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FileSums are the checksums of all regular files as a reader gives them, by
// path; an alternate stream has its name behind a colon.
func FileSums(t testing.TB, l filesystem.Lister) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	for f, err := range l.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if !f.Mode.IsRegular() {
			continue
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, f.Open()); err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		name := f.Path
		if f.Stream != "" {
			name += ":" + f.Stream
		}
		out[name] = [32]byte(sum.Sum(nil))
	}
	return out
}

// Used opens a volume and sums up its allocation, in bytes.
func Used(open filesystem.Opener, p []byte) (int64, error) {
	opened, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		return 0, err
	}
	list, err := extent.Collect(opened.Allocated())
	if err != nil {
		return 0, err
	}
	if err := extent.Validate(list, opened.Info().Size); err != nil {
		return 0, fmt.Errorf("not a valid allocation: %w", err)
	}
	return extent.Total(list), nil
}
