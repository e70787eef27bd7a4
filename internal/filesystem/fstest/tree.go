package fstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// Tree says what of a mounted tree is comparable with a reader's files, beyond
// names, types, sizes and targets of symbolic links.
type Tree struct {
	Permissions bool          // and owners
	Links       bool          // numbers of them and of inodes
	Changed     bool          // times of change and of access
	Created     bool          // times of birth
	Folders     bool          // the sizes of directories
	Precision   time.Duration // of times; 0 is all of them
}

// Same walks a mounted tree and holds what the reader lists against it. Skip
// says which paths one of the two does not have; it may be nil. Streams are
// left out.
func (o Tree) Same(t testing.TB, l filesystem.Lister, dir string, skip func(path string) bool) {
	t.Helper()
	want := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, p)
		if err != nil || skip != nil && skip(name) {
			return err
		}
		want[name], err = o.stat(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for f, err := range l.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Stream != "" || skip != nil && skip(f.Path) {
			continue
		}
		if _, twice := got[f.Path]; twice {
			t.Errorf("%s is given twice", f.Path)
		}
		if parent := filepath.Dir(f.Path); f.Path != "." && got[parent] == "" && (skip == nil || !skip(parent)) {
			t.Errorf("%s comes before %s", f.Path, parent)
		}
		got[f.Path] = o.describe(f)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s: %s\nmounted: %s", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not in the mounted tree", name)
		}
	}
	if len(want) == 0 {
		t.Error("the mounted tree is empty")
	}
}

// describe puts what is comparable of a file into words.
func (o Tree) describe(f *filesystem.File) string {
	mode, size := f.Mode, f.Size
	if !o.Permissions {
		mode &= fs.ModeType
	}
	if f.Mode.IsDir() && !o.Folders || f.Mode&fs.ModeType&^fs.ModeDir != 0 {
		size = 0
	}
	s := fmt.Sprintf("%v, %d bytes, modified %s", mode, size, o.moment(f.Modified))
	if f.LinkTarget != "" || f.Device != 0 {
		s += fmt.Sprintf(", to %q, device %x", f.LinkTarget, f.Device)
	}
	if o.Permissions {
		s += fmt.Sprintf(", of %d:%d", f.UID, f.GID)
	}
	if o.Links {
		s += fmt.Sprintf(", inode %d, %d links", f.Inode, f.Links)
	}
	if o.Changed {
		s += fmt.Sprintf(", changed %s, read %s", o.moment(f.Changed), o.moment(f.Accessed))
	}
	if o.Created && !f.Created.IsZero() {
		s += ", made " + o.moment(f.Created)
	}
	return s
}

func (o Tree) moment(m time.Time) string {
	return m.UTC().Truncate(max(o.Precision, 1)).Format(time.RFC3339Nano)
}

// stat is describe of what the kernel says of a path.
func (o Tree) stat(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &st); err != nil {
		return "", err
	}
	at := func(m unix.StatxTimestamp) time.Time { return time.Unix(m.Sec, int64(m.Nsec)) }
	f := &filesystem.File{
		Inode: st.Ino, Links: st.Nlink, Mode: info.Mode(), UID: st.Uid, GID: st.Gid, Size: info.Size(),
		Modified: at(st.Mtime), Changed: at(st.Ctime), Accessed: at(st.Atime),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		f.Created = at(st.Btime)
	}
	if f.Mode&fs.ModeDevice != 0 {
		f.Device = uint64(st.Rdev_major)<<32 | uint64(st.Rdev_minor)
	}
	if f.Mode&fs.ModeSymlink != 0 {
		if f.LinkTarget, err = os.Readlink(path); err != nil {
			return "", err
		}
	}
	return o.describe(f), nil
}

// Owned gathers, over all files, the extents of the volume that hold their
// content and those that hold what describes them, as the reader gives them.
// No block may hold content of two files.
func Owned(t testing.TB, l filesystem.Lister) (content, metadata []extent.Extent) {
	t.Helper()
	type key struct {
		inode  uint64
		stream string
	}
	given, total := map[key]bool{}, int64(0)
	for f, err := range l.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Metadata != nil {
			for e, err := range f.Metadata {
				if err != nil {
					t.Fatalf("%s: %v", f.Path, err)
				}
				metadata = append(metadata, e)
			}
		}
		k := key{f.Inode, f.Stream}
		if f.Content == nil || f.Inode != 0 && given[k] {
			continue
		}
		given[k] = true
		for _, r := range runs(t, f) {
			content = append(content, r.Extent)
			if block := l.Info().BlockSize; r.Extent.Offset%block == 0 && r.Extent.Length%block == 0 {
				total += r.Extent.Length // what is smaller lies in metadata
			}
		}
	}
	content, metadata = extent.Union(content), extent.Union(metadata)
	whole := int64(0)
	for _, e := range content {
		if e.Offset%l.Info().BlockSize == 0 {
			whole += e.Length
		}
	}
	if whole < total {
		t.Errorf("%d bytes of content lie in %d bytes", total, whole)
	}
	return content, metadata
}

// Outside gives what of list is not in whole. Both are valid lists.
func Outside(list, whole []extent.Extent) []extent.Extent {
	var out []extent.Extent
	for _, e := range list {
		at := e.Offset
		for _, w := range extent.From(whole, at) {
			if w.Offset >= e.End() {
				break
			}
			if w.Offset > at {
				out = append(out, extent.Extent{Offset: at, Length: w.Offset - at})
			}
			at = w.End()
		}
		if at < e.End() {
			out = append(out, extent.Extent{Offset: at, Length: e.End() - at})
		}
	}
	return out
}

// Listing puts all that Files gives into lines, contents and runs as well, up
// to limit files; errors are lines of their own. It is what damage tests
// compare. An error that is none of the format is the test's.
func Listing(t testing.TB, l filesystem.Lister, limit int) (files map[string]string, errs []error) {
	t.Helper()
	files = map[string]string{}
	check := func(err error) {
		formatError := new(filesystem.FormatError)
		if !errors.As(err, &formatError) && !errors.Is(err, filesystem.ErrContent) {
			t.Errorf("no error of the format: %v", err)
		}
		errs = append(errs, err)
	}
	full := Tree{Permissions: true, Links: true, Changed: true, Created: true, Folders: true}
	for f, err := range l.Files() {
		if limit--; limit < 0 {
			break
		}
		if err != nil {
			check(err)
			continue
		}
		var s strings.Builder
		s.WriteString(full.describe(f))
		if f.Content != nil {
			n := 0
			for r, err := range f.Content.Runs() {
				if err != nil {
					check(err)
					break
				}
				if n++; n > 1<<16 {
					break
				}
				fmt.Fprint(&s, r)
			}
			buf := make([]byte, min(f.Size, 1<<16))
			if n, err := f.Open().ReadAt(buf, 0); n < len(buf) {
				check(err)
			} else {
				fmt.Fprintf(&s, "%x", buf)
			}
		}
		if f.Metadata != nil {
			for e, err := range f.Metadata {
				if err != nil {
					check(err)
					break
				}
				fmt.Fprint(&s, e)
			}
		}
		files[f.Path+":"+f.Stream] = s.String()
	}
	return files, errs
}

// Stops walks the files and leaves each of the walk's loops at every place: an
// iterator that goes on then panics.
func Stops(t testing.TB, l filesystem.Lister) {
	t.Helper()
	for n, more := 0, true; more; n++ {
		more = false
		i := 0
		for f, err := range l.Files() {
			if i == n {
				more = true
				stopsIn(f, err)
				break
			}
			i++
		}
	}
}

// stopsIn is Stops for the runs and the metadata of one file.
func stopsIn(f *filesystem.File, err error) {
	if err != nil {
		return
	}
	for n, more := 0, true; more && n < 100; n++ {
		more = false
		i := 0
		if f.Content != nil {
			for range f.Content.Runs() {
				if i == n {
					more = true
					break
				}
				i++
			}
		}
		i = 0
		if f.Metadata != nil {
			for range f.Metadata {
				if i == n {
					more = true
					break
				}
				i++
			}
		}
	}
}

// Reads reads files of up to 4 MiB at odd places and holds the pieces against
// the whole.
func Reads(t testing.TB, l filesystem.Lister) {
	t.Helper()
	rng := rand.New(rand.NewPCG(61, 62))
	for f, err := range l.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Content == nil || f.Size == 0 || f.Size > 4<<20 {
			continue
		}
		whole, err := io.ReadAll(f.Open())
		if err != nil || int64(len(whole)) != f.Size {
			t.Fatalf("%s: %d bytes of %d, %v", f.Path, len(whole), f.Size, err)
		}
		for range 8 {
			off := rng.Int64N(f.Size)
			p := make([]byte, 1+rng.IntN(20_000))
			n, err := f.Content.ReadAt(p, off)
			want := whole[off:min(f.Size, off+int64(len(p)))]
			if !bytes.Equal(p[:n], want) || n < len(p) && err != io.EOF || n == len(p) && err != nil && err != io.EOF {
				t.Fatalf("%s: %d bytes at %d are not those of the whole: %d, %v", f.Path, len(p), off, n, err)
			}
		}
		if n, err := f.Content.ReadAt(make([]byte, 1), f.Size); n != 0 || err != io.EOF {
			t.Fatalf("%s: %d bytes behind the end, %v", f.Path, n, err)
		}
	}
}
