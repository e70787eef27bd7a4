package iso

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An item is what a reader sees of an entry.
type item struct {
	Path   string
	Mode   fs.FileMode
	Size   int64     // files only
	Sum    string    // of the contents
	Target string    // of links
	Time   time.Time // zero where the reader does not tell
	Links  int       // of directories, seen by the kernel only
}

// expected lists what readers must see of entries, parents included.
func expected(t testing.TB, entries []Entry) []item {
	t.Helper()
	seen := map[string]item{}
	for _, e := range entries {
		i := item{Path: e.Path, Mode: e.Mode, Size: e.Size, Target: e.Target, Time: e.Time}
		if i.Time.IsZero() {
			i.Time = testTime
		}
		switch e.Mode.Type() {
		case fs.ModeDir:
			if i.Mode.Perm() == 0 {
				i.Mode |= 0o755
			}
		case fs.ModeSymlink:
			i.Mode |= 0o777
		default:
			if i.Mode.Perm() == 0 {
				i.Mode |= 0o444
			}
			i.Sum = sum(t, e)
		}
		seen[e.Path] = i
	}
	for _, e := range entries {
		for d := path.Dir(e.Path); d != "."; d = path.Dir(d) {
			if _, ok := seen[d]; !ok {
				seen[d] = item{Path: d, Mode: fs.ModeDir | 0o755, Time: testTime}
			}
		}
	}
	var list []item
	for _, i := range seen {
		list = append(list, i)
	}
	sortItems(list)
	return list
}

func sortItems(list []item) {
	slices.SortFunc(list, func(a, b item) int { return cmp.Compare(a.Path, b.Path) })
}

func sum(t testing.TB, e Entry) string {
	if e.Size == 0 {
		return sumOf(t, eofReader{}, 0)
	}
	r, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return sumOf(t, r.(io.Reader), e.Size)
}

type eofReader struct{}

func (eofReader) Read([]byte) (int, error) { return 0, io.EOF }

// sumOf hashes contents, of large files only the sectors around stamps.
func sumOf(t testing.TB, r io.Reader, size int64) string {
	t.Helper()
	h := sha256.New()
	if at, ok := r.(io.ReaderAt); ok && size > maxExtent {
		for offset := int64(0); offset < size; offset += stampPeriod {
			from := max(0, offset-sectorSize)
			if _, err := io.Copy(h, io.NewSectionReader(at, from, 3*sectorSize)); err != nil {
				t.Fatalf("at %d: %v", from, err)
			}
		}
		r = io.NewSectionReader(at, size-sectorSize, sectorSize)
	}
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// walk lists a directory of the host.
func walk(t testing.TB, root string) (list []item) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		i := item{Path: p[len(root)+1:], Mode: info.Mode(), Time: info.ModTime().UTC()}
		switch info.Mode().Type() {
		case fs.ModeSymlink:
			if i.Target, err = os.Readlink(p); err != nil {
				return err
			}
		case 0:
			f, err := os.Open(p)
			if err != nil {
				return err
			}
			defer f.Close()
			i.Size, i.Sum = info.Size(), sumOf(t, f, info.Size())
		}
		list = append(list, i)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sortItems(list)
	return list
}

// compare reports the first differences of two listings.
func compare(t testing.TB, got, want []item) {
	t.Helper()
	differences := 0
	for i := range max(len(got), len(want)) {
		var g, w item
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("got  %+v\nwant %+v", g, w)
			if differences++; differences > 3 {
				t.Fatalf("%d and %d items", len(got), len(want))
			}
		}
	}
}

// contents counts the sums of files, for readers that see other names.
func contents(list []item) map[string]int {
	count := map[string]int{}
	for _, i := range list {
		if i.Mode.IsRegular() {
			count[i.Sum]++
		}
	}
	return count
}

// A stamped file is zero except for its offset at every multiple of stampPeriod, which
// divides the length of an extent: a stamp stands at the start of each.
type stamped struct{ *io.SectionReader }

const stampPeriod = 16513 * sectorSize

func openStamped(size int64) Opener {
	return func() (io.ReadCloser, error) {
		return stamped{io.NewSectionReader(stamps{}, 0, size)}, nil
	}
}

func (stamped) Close() error { return nil }

type stamps struct{}

func (stamps) ReadAt(p []byte, offset int64) (int, error) {
	clear(p)
	for s := offset / stampPeriod * stampPeriod; s < offset+int64(len(p)); s += stampPeriod {
		for i, b := range be.AppendUint64(nil, uint64(s)|1<<63) {
			if at := s + int64(i) - offset; at >= 0 && at < int64(len(p)) {
				p[at] = b
			}
		}
	}
	return len(p), nil
}

// A sparse file leaves out zeroes.
type sparse struct {
	file   io.WriterAt
	offset int64
}

func (s *sparse) Write(p []byte) (int, error) {
	var zero [32 << 10]byte
	start := s.offset
	s.offset += int64(len(p))
	for done := 0; done < len(p); {
		n := min(len(zero), len(p)-done)
		if part := p[done : done+n]; string(part) != string(zero[:n]) {
			if _, err := s.file.WriteAt(part, start+int64(done)); err != nil {
				return done, err
			}
		}
		done += n
	}
	return len(p), nil
}

// TestHelperListing is no test of its own: the kernel test runs this binary in
// its virtual machine to list what is mounted.
func TestHelperListing(t *testing.T) {
	root, out := os.Getenv("ISO_TEST_LIST"), os.Getenv("ISO_TEST_OUT")
	if root == "" {
		t.Skip("helper of TestKernel")
	}
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list := walk(t, root)
	for i := range list {
		var s unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, list[i].Path), &s); err != nil {
			t.Fatal(err)
		}
		if list[i].Mode.IsDir() {
			list[i].Links = int(s.Nlink)
		}
		if s.Atim != s.Mtim || s.Ctim != s.Mtim || s.Uid != 0 || s.Gid != 0 {
			t.Errorf("%s: %+v", list[i].Path, s)
		}
	}
	if err := json.NewEncoder(f).Encode(list); err != nil {
		t.Fatal(err)
	}
}
