package ntfs

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// smallTree is a small volume with files of all kinds.
func smallTree(t testing.TB) []byte {
	t.Helper()
	path := makeVolume(t, 3<<20, "-c 512")
	dir, unmount := mount(t, path, ",special_files=wsl")
	rng := rand.New(rand.NewPCG(51, 52))
	os.MkdirAll(filepath.Join(dir, "a/b"), 0o755)
	for i := range 60 {
		write(dir, fmt.Sprint("a/a longer name ", i), nil)
	}
	write(dir, "a/b/file", fstest.Noise(rng, 9000))
	write(dir, "a/b/file:stream", fstest.Noise(rng, 3000))
	write(dir, "resident", fstest.Noise(rng, 100))
	for i := range 20 {
		os.Link(filepath.Join(dir, "resident"), filepath.Join(dir, "a/b", fmt.Sprint("another name of it ", i)))
	}
	os.Symlink("resident", filepath.Join(dir, "link"))
	packed := filepath.Join(dir, "packed")
	os.Mkdir(packed, 0o755)
	unix.Setxattr(packed, "system.ntfs_attrib", []byte{0, 8, 0, 0}, 0)
	write(packed, "text", bytes.Repeat([]byte("what packs well "), 2000))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(200) { // runs for two records
		sparse.WriteAt(fstest.Noise(rng, 100), i*20_000)
	}
	sparse.Close()
	unmount()
	return load(t, path).data
}

func listing(t testing.TB, p []byte, limit int) (map[string]string, []error) {
	t.Helper()
	opened, err := Open(fstest.Padded(p), int64(len(p)))
	if err != nil {
		return nil, []error{err}
	}
	return fstest.Listing(t, withoutSystem{opened.(*fileSystem)}, limit)
}

// TestFilesDamage changes bytes of what describes files: nothing happens to any
// other.
func TestFilesDamage(t *testing.T) {
	p := smallTree(t)
	want, errs := listing(t, p, 1<<20)
	if len(errs) > 0 || len(want) < 90 {
		t.Fatalf("%d files, %v", len(want), errs)
	}
	f := (&volumeFile{t, p}).open()
	places := map[int64]uint64{}
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if file.Mode.IsDir() || system(file.Path) || file.Stream != "" || strings.Contains(file.Path, "longer name") && !strings.HasSuffix(file.Path, " 7") {
			continue
		}
		for e := range file.Metadata {
			for at := e.Offset; at < e.End(); at++ {
				if at%13 == 0 {
					places[at] = file.Inode
				}
			}
		}
	}
	if len(places) < 500 {
		t.Fatalf("only %d bytes to damage", len(places))
	}
	told := 0
	for at, inode := range places {
		old := p[at]
		p[at] ^= byte(1 + at%255)
		got, errs := listing(t, p, 1<<20)
		p[at] = old
		if len(errs) > 0 {
			told++
		}
		for name, w := range want {
			if got[name] != w && !strings.Contains(w, fmt.Sprintf("inode %d,", inode)) {
				t.Errorf("byte %d, of record %d, damaged: %q is not the same; %v", at, inode, name, errs)
				break
			}
		}
	}
	t.Logf("%d of %d changes are told", told, len(places))
}

// TestFilesStop leaves the walk everywhere, on a sound volume and on another.
func TestFilesStop(t *testing.T) {
	v := &volumeFile{t, smallTree(t)}
	f := v.open()
	fstest.Stops(t, withoutSystem{f})
	rng := rand.New(rand.NewPCG(1, 2))
	for number := int64(64); number < 100; number += 3 {
		off, _ := f.mft.offset(number * f.boot.record)
		v.data[off+rng.Int64N(400)] ^= 0xFF
	}
	fstest.Stops(t, withoutSystem{v.open()})
}

// TestFilesHostile makes structures that no volume has.
func TestFilesHostile(t *testing.T) {
	p := smallTree(t)
	numbers := map[string]int64{}
	for file, err := range (&volumeFile{t, p}).open().Files() {
		if err != nil {
			t.Fatal(err)
		}
		numbers[file.Path] = int64(file.Inode)
	}
	find := func(rec record, kind uint32, name string) attribute {
		a, err := rec.find(kind, name)
		if err != nil || a == nil {
			t.Fatalf("attribute %#x: %v", kind, err)
		}
		return a
	}
	// The first entry in the index root of a directory.
	entry := func(rec record) []byte {
		v := find(rec, attrIndexRoot, indexName).value()
		return v[0x10+le.Uint32(v[0x10:]):]
	}
	tests := []struct {
		name, file string
		edit       func(rec record)
		want       string
	}{
		{"a directory in itself", "packed", func(rec record) { le.PutUint64(entry(rec), le.Uint64(entry(rec)[0x10:])) }, "lies in itself"},
		{"a name of a record that was used again", "packed", func(rec record) { entry(rec)[6]++ }, "no longer that of the name"},
		{"a name of a record that is not there", "packed", func(rec record) { entry(rec)[4] = 9 }, "is named and not there"},
		{"a name of another directory", "packed", func(rec record) { entry(rec)[0x10]++ }, "none of its directory"},
		{"a name with a slash", "packed", func(rec record) { entry(rec)[0x54] = '/' }, "a file named"},
		{"an entry of no length", "packed", func(rec record) { entry(rec)[8] = 0 }, "an entry of 0 bytes"},
		{"an index block of 3 bytes", "a", func(rec record) { find(rec, attrIndexRoot, indexName).value()[8] = 3 }, "blocks of"},
		{"blocks in use that are not there", "a", func(rec record) { find(rec, attrBitmap, indexName).value()[7] = 0x80 }, "is in use and not there"},
		{"a huge file", "a/b/file", func(rec record) { le.PutUint64(find(rec, attrData, "")[0x30:], 1<<63-1) }, "in 18 clusters"},
		{"more written than there is", "a/b/file", func(rec record) { find(rec, attrData, "")[0x3C] = 1 }, "of them written"},
		{"units of 2^40 clusters", "packed/text", func(rec record) { find(rec, attrData, "")[0x22] = 40 }, "content cannot be read"},
		{"units of 2 clusters", "packed/text", func(rec record) { find(rec, attrData, "")[0x22] = 1 }, "not LZNT1"},
		{"a link that is too long", "link", func(rec record) { find(rec, attrReparsePoint, "").value()[4] = 0xFF }, "a reparse point of"},
	}
	for _, tt := range tests {
		v := &volumeFile{t, bytes.Clone(p)}
		v.change(numbers[tt.file], tt.edit)
		files, errs := listing(t, v.data, 1<<16)
		if len(errs) == 0 || !strings.Contains(fmt.Sprint(errs), tt.want) || files["sparse:"] == "" {
			t.Errorf("%s: %d files, %v; want %q", tt.name, len(files), errs, tt.want)
		}
	}
}

// TestFilesEnd names a directory in itself under other records: the walk ends.
func TestFilesEnd(t *testing.T) {
	v := &volumeFile{t, smallTree(t)}
	f := v.open()
	var numbers []int64
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(file.Path, "longer name") {
			numbers = append(numbers, int64(file.Inode))
		}
	}
	for i, number := range numbers {
		next := numbers[(i+1)%len(numbers)]
		rec, err := f.readRecord(next)
		if err != nil {
			t.Fatal(err)
		}
		v.change(number, func(r record) {
			le.PutUint16(r.data[0x16:], 3)
			replace(r, emptyData(), manyNames(number, reference(next)|reference(rec.sequence())<<48))
		})
	}
	files, errs := listing(t, v.data, 1<<20)
	if len(files) > 1<<19 || !strings.Contains(fmt.Sprint(errs[len(errs)-1]), "more blocks of indexes") {
		t.Errorf("%d files, %d errors, the last: %v", len(files), len(errs), errs[len(errs)-1])
	}
}

func emptyData() []byte {
	a := make([]byte, 0x18)
	le.PutUint32(a, attrData)
	le.PutUint32(a[4:], 0x18)
	le.PutUint16(a[0x14:], 0x18)
	return a
}

// manyNames is the root of an index with four names for the same record.
func manyNames(directory int64, ref reference) []byte {
	var entries []byte
	for i := range 4 {
		e := make([]byte, 0x58)
		le.PutUint64(e, uint64(ref))
		le.PutUint16(e[8:], 0x58)
		le.PutUint16(e[0x0A:], 0x44)
		le.PutUint64(e[0x10:], uint64(directory))
		e[0x50] = 1
		e[0x52] = byte('a' + i)
		entries = append(entries, e...)
	}
	entries = append(entries, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 2, 0, 0, 0)
	a := make([]byte, 0x40, 0x40+len(entries))
	le.PutUint32(a, attrIndexRoot)
	le.PutUint32(a[4:], uint32(0x40+len(entries)))
	a[9] = 4
	le.PutUint16(a[0x0A:], 0x18)
	copy(a[0x18:], "$\x00I\x003\x000\x00")
	le.PutUint32(a[0x10:], uint32(0x20+len(entries)))
	le.PutUint16(a[0x14:], 0x20)
	le.PutUint32(a[0x20:], attrFileName)
	le.PutUint32(a[0x28:], 4096)
	le.PutUint32(a[0x30:], 0x10)
	le.PutUint32(a[0x34:], uint32(0x10+len(entries)))
	return append(a, entries...)
}

// FuzzFiles changes what describes files: of three bytes each, two choose one
// of those and the third changes it.
func FuzzFiles(f *testing.F) {
	p := smallTree(f)
	var places []int64
	opened := (&volumeFile{f, p}).open()
	for file, err := range opened.Files() {
		if err != nil {
			f.Fatal(err)
		}
		if file.Metadata == nil || system(file.Path) || strings.Contains(file.Path, "longer name") && !strings.HasSuffix(file.Path, " 7") {
			continue
		}
		for e := range file.Metadata {
			for at := e.Offset; at < e.End(); at++ {
				places = append(places, at)
			}
		}
	}
	f.Add([]byte{0x16, 0, 1})
	f.Add([]byte{0x41, 1, 0x80, 0x60, 12, 0xFF})
	f.Fuzz(func(t *testing.T, changes []byte) {
		q := bytes.Clone(p)
		for ; len(changes) >= 3; changes = changes[3:] {
			q[places[int(le.Uint16(changes))%len(places)]] ^= changes[2]
		}
		fstest.HostileFiles(t, func(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
			opened, err := open(r, size)
			if err != nil {
				return nil, err
			}
			return withoutSystem{opened}, nil
		}, q, int64(len(q)))
	})
}
