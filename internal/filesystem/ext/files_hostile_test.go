package ext

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// smallTree is a volume of few blocks with files of every kind that mke2fs can
// copy, and an extent tree that is deeper than its inode.
func smallTree(t testing.TB, args string) []byte {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(21, 22))
	for _, sub := range []string{"a/b/c", "many"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		os.WriteFile(filepath.Join(dir, "many", fmt.Sprint("a longer name ", i)), nil, 0o644)
	}
	os.WriteFile(filepath.Join(dir, "a/file"), fstest.Noise(rng, 5000), 0o644)
	os.WriteFile(filepath.Join(dir, "a/b/tiny"), fstest.Noise(rng, 90), 0o644)
	os.Symlink("short", filepath.Join(dir, "a/b/c/link"))
	os.Symlink(strings.Repeat("long ", 30), filepath.Join(dir, "long link"))
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(12) {
		sparse.WriteAt(fstest.Noise(rng, 10), i*i*4096)
	}
	sparse.Close()
	path := filepath.Join(t.TempDir(), "volume")
	fstest.Run(t, append(append([]string{"mke2fs", "-q", "-F", "-b", "1024", "-N", "80", "-d", dir}, strings.Fields(args)...), path, "400")...)
	return fstest.Load(t, path)
}

var treeArgs = []string{
	"-t ext4 -O ^has_journal,^resize_inode",
	"-t ext4 -O ^has_journal,^resize_inode,inline_data",
	"-t ext4 -O ^has_journal,^resize_inode,^metadata_csum",
	"-t ext2",
}

func listing(t testing.TB, p []byte, limit int) (map[string]string, []error) {
	t.Helper()
	opened, err := Open(fstest.Padded(p), int64(len(p)))
	if err != nil {
		return nil, []error{err}
	}
	return fstest.Listing(t, opened.(filesystem.Lister), limit)
}

// TestFilesDamage changes bytes of the inodes, directories and maps of a file
// system with checksums, every 11th, so that all fields have their turn: each
// is told, or nothing is different.
func TestFilesDamage(t *testing.T) {
	for _, args := range treeArgs[:2] {
		p := smallTree(t, args)
		want, errs := listing(t, p, 1<<20)
		if len(errs) > 0 || len(want) < 45 {
			t.Fatalf("%d files, %v", len(want), errs)
		}
		opened, _ := Open(bytes.NewReader(p), int64(len(p)))
		places := map[int64]string{}
		for f, err := range opened.(filesystem.Lister).Files() {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(f.Path, "many/") && f.Path != "many/a longer name 3" {
				continue
			}
			for e := range f.Metadata {
				for at := e.Offset; at < e.End() && !strings.Contains(f.Path, "link"); at++ {
					if at%11 == 0 {
						places[at] = f.Path
					}
				}
			}
		}
		if len(places) < 1000 {
			t.Fatalf("only %d bytes to damage", len(places))
		}
		told := 0
		for at, path := range places {
			old := p[at]
			p[at] ^= byte(1 + at%255)
			got, errs := listing(t, p, 1000)
			p[at] = old
			if len(errs) > 0 {
				told++
				continue
			}
			for name, w := range want {
				if got[name] != w {
					t.Errorf("byte %d, of %s, damaged: %q is not the same, and no error", at, path, name)
					break
				}
			}
		}
		t.Logf("%d of %d changes are told", told, len(places))
	}
}

// TestFilesStop leaves the walk everywhere, on sound volumes and on others.
func TestFilesStop(t *testing.T) {
	for _, args := range treeArgs {
		p := smallTree(t, args)
		for _, damage := range []int{0, 5, 50} {
			q, rng := bytes.Clone(p), rand.New(rand.NewPCG(1, 2))
			for range damage { // in inodes and directories, most of it
				q[8<<10+rng.IntN(40<<10)] ^= 0xFF
			}
			opened, err := Open(bytes.NewReader(q), int64(len(q)))
			if err != nil {
				t.Fatal(err)
			}
			fstest.Stops(t, opened.(filesystem.Lister))
		}
	}
}

// TestFilesHostile makes structures that no file system has.
func TestFilesHostile(t *testing.T) {
	p := smallTree(t, "-t ext2")
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	inodes := map[string]*inode{}
	r := &inodeReader{f: f}
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if inodes[file.Path], err = r.read(int64(file.Inode)); err != nil {
			t.Fatal(err)
		}
	}
	block := func(path string) uint32 { return le.Uint32(inodes[path].block()) }
	entry := func(dir, name string) int { // of a directory, bytes from the start of the volume
		at := int(block(dir)) * 1024
		return at + bytes.Index(p[at:at+1024], []byte(name)) - 8
	}
	put32 := func(at int64, v uint32) func(p []byte) {
		return func(p []byte) { le.PutUint32(p[at:], v) }
	}
	mapAt := inodes["sparse"].at + blockOff
	tests := []struct {
		name string
		edit func(p []byte)
		want string
	}{
		{"a directory in itself", put32(int64(entry("a", "b")), uint32(inodes["a"].number)), "lies in itself"},
		{"the root in a directory", put32(int64(entry("a", "b")), inodeRoot), "of the file system's own"},
		{"an inode that is not there", put32(int64(entry("a", "b")), 1<<30), "inode 1073741824 of"},
		{"an inode not in use", put32(int64(entry("a", "b")), 79), "mode 0"},
		{"a name with a slash", func(p []byte) { p[entry("a", "file")+9] = '/' }, "a file named"},
		{"a short entry", func(p []byte) { p[entry("a", "file")+4] = 4 }, "an entry of"},
		{"an entry beyond its block", func(p []byte) { p[entry("a", "file")+5] = 8 }, "an entry of"},
		{"a pointer beyond the volume", put32(mapAt, 1<<20), "a pointer to block"},
		{"a map beyond the volume", put32(mapAt+4*12, 1<<20), "a map of blocks at block"},
		{"a directory with a hole", put32(inodes["a"].at+blockOff, 0), "a hole"},
		{"a directory longer than its blocks", put32(inodes["a"].at+4, 1<<31), "a hole"},
		{"a symbolic link of 64 KiB", put32(inodes["long link"].at+4, 1<<16), "a symbolic link of"},
		{"a map in itself", func(p []byte) {
			self := le.Uint32(p[mapAt+4*12:])
			le.PutUint32(p[mapAt+4*14:], self)
			for i := range uint32(256) {
				le.PutUint32(p[self*1024+4*i:], self)
			}
		}, "more blocks than there are"},
	}
	for _, tt := range tests {
		q := bytes.Clone(p)
		tt.edit(q)
		files, errs := listing(t, q, 1<<16)
		if len(errs) == 0 || !strings.Contains(fmt.Sprint(errs), tt.want) || files["many/a longer name 39:"] == "" {
			t.Errorf("%s: %d files, %v; want %q", tt.name, len(files), errs, tt.want)
		}
	}
}

// TestFilesEnd makes directories that lie in each other many times over: the
// walk ends.
func TestFilesEnd(t *testing.T) {
	p := smallTree(t, "-t ext2")
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	// The inodes of the 40 files become directories, each of one block that
	// names the next one many times.
	r := &inodeReader{f: f}
	var chain []*inode
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(file.Path, "many/") {
			in, err := r.read(int64(file.Inode))
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, in)
		}
	}
	for i, in := range chain {
		block := 300 + i
		le.PutUint16(p[in.at:], modeDirectory|0o755)
		le.PutUint32(p[in.at+4:], 1024)
		le.PutUint32(p[in.at+blockOff:], uint32(block))
		names := p[block*1024 : (block+1)*1024]
		clear(names)
		for j := 0; j < 1024; j += 16 {
			le.PutUint32(names[j:], uint32(chain[(i+1)%len(chain)].number))
			le.PutUint16(names[j+4:], 16)
			names[j+6] = 2
			copy(names[j+8:], fmt.Sprintf("%02d", j/16))
		}
	}
	files, errs := listing(t, p, 1<<20)
	if len(files) > 1<<17 || !strings.Contains(fmt.Sprint(errs[len(errs)-1]), "more blocks of directories") {
		t.Errorf("%d files, %d errors, the last: %v", len(files), len(errs), errs[len(errs)-1])
	}
}

// FuzzFiles changes bytes of the structures that the walk reads: of five bytes
// each, four choose one and the last changes it.
func FuzzFiles(f *testing.F) {
	var volumes [][]byte
	for i, args := range treeArgs {
		volumes = append(volumes, smallTree(f, args))
		f.Add(byte(i), []byte{0, 4, 0, 0, 1})
		f.Add(byte(i), []byte{0x80, 8, 0, 0, 7, 0, 0x40, 1, 0, 0xFF})
	}
	f.Fuzz(func(t *testing.T, which byte, changes []byte) {
		p := bytes.Clone(volumes[int(which)%len(volumes)])
		for ; len(changes) >= 5; changes = changes[5:] {
			p[int64(le.Uint32(changes))%int64(len(p))] ^= changes[4]
		}
		fstest.HostileFiles(t, Open, p, int64(len(p)))
	})
}
