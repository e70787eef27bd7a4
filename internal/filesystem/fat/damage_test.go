package fat

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// tree is a volume whose clusters are known, to be damaged, and its reader:
//
//	dir         a directory of one cluster
//	dir/sub     another
//	dir/sub/x   a file in three clusters
//	y           the same, behind them
func tree(t testing.TB, args string, kib int64) ([]byte, *fileSystem) {
	t.Helper()
	path := fstest.Volume(t, kib<<10)
	run(t, append(append([]string{"mkfs.fat"}, strings.Fields(args)...), path)...)
	data := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(data, bytes.Repeat([]byte("1234567\n"), 150), 0o600); err != nil { // 1200 bytes
		t.Fatal(err)
	}
	run(t, "mmd", "-i", path, "::/dir", "::/dir/sub")
	run(t, "mcopy", "-i", path, data, "::/dir/sub/x")
	run(t, "mcopy", "-i", path, data, "::/y")
	p := fstest.Load(t, path)
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	return p, f
}

// find gives the byte of the entry with a short name, and its first cluster.
func find(t testing.TB, f *fileSystem, p []byte, name string) (at, first int64) {
	t.Helper()
	i := bytes.Index(p, fmt.Appendf(nil, "%-11s", name))
	if i < 0 {
		t.Fatalf("no entry %q", name)
	}
	return int64(i), dirEntry(p[i:]).cluster(f.width)
}

// setEntry sets the entry of a cluster in all FATs.
func setEntry(f *fileSystem, p []byte, c, value int64) {
	freeEntry(f, p, c)
	for n := range f.boot.fats() {
		at := f.boot.table(n) + c*f.width/8
		shift := uint(0)
		if f.width == 12 {
			shift = uint(c % 2 * 4)
		}
		for i := range (f.width + 7) / 8 {
			p[at+i] |= byte(value << shift >> uint(8*i))
		}
	}
}

// damage is one of a volume as tree makes it.
type damage struct {
	name   string
	damage func(t *testing.T, f *fileSystem, p []byte)
	errors string // what all errors say, in their order
	read   int64  // bytes of x that can still be read
	gone   string // paths
}

// damages are what TestDamagedFiles does to chains.
func damages() []damage {
	return []damage{
		{"whole", func(t *testing.T, f *fileSystem, p []byte) {}, "^$", 1200, ""},
		{"chain too short", func(t *testing.T, f *fileSystem, p []byte) {
			_, x := find(t, f, p, "X")
			setEntry(f, p, x+1, f.last())
		}, `^fat: dir/sub/x: .*a chain of 2 clusters for 1200 bytes\n$`, 1024, ""},
		{"chain is free", func(t *testing.T, f *fileSystem, p []byte) {
			_, x := find(t, f, p, "X")
			setEntry(f, p, x, 0)
		}, `^fat: dir/sub/x: .*is followed by 0, no cluster`, 512, ""},
		{"chain into a bad cluster", func(t *testing.T, f *fileSystem, p []byte) {
			_, x := find(t, f, p, "X")
			setEntry(f, p, x+1, f.last()-8)
		}, `^fat: dir/sub/x: .*is followed by `, 1024, ""},
		{"chain too long", func(t *testing.T, f *fileSystem, p []byte) {
			_, x := find(t, f, p, "X")
			setEntry(f, p, x+2, x+3)
		}, `^fat: dir/sub/x: .*a chain of more than 3 clusters for 1200 bytes\n$`, 1200, ""},
		{"no chain", func(t *testing.T, f *fileSystem, p []byte) {
			at, _ := find(t, f, p, "X")
			clear(p[at+26 : at+28])
		}, `^fat: dir/sub/x: fat: at byte \d+: it begins at cluster 0`, 0, ""},
		{"chain without a size", func(t *testing.T, f *fileSystem, p []byte) {
			at, _ := find(t, f, p, "X")
			clear(p[at+28 : at+32])
		}, `^fat: dir/sub/x: .*a chain of more than 0 clusters for 0 bytes\n$`, 0, ""},
		{"cyclic chain", func(t *testing.T, f *fileSystem, p []byte) {
			at, x := find(t, f, p, "X")
			setEntry(f, p, x+2, x+1)
			le.PutUint32(p[at+28:], 1<<31)
		}, `^fat: dir/sub/x: fat: at byte \d+: its chain meets itself at cluster \d+\n$`, 1536, ""},
		{"directory in itself", func(t *testing.T, f *fileSystem, p []byte) {
			_, dir := find(t, f, p, "DIR")
			at, _ := find(t, f, p, "SUB")
			le.PutUint16(p[at+26:], uint16(dir))
		}, `^fat: dir/sub: fat: at byte \d+: it lies in itself`, -1, "dir/sub/x"},
		{"directory without clusters", func(t *testing.T, f *fileSystem, p []byte) {
			at, _ := find(t, f, p, "SUB")
			clear(p[at+26 : at+28])
		}, `^fat: dir/sub: fat: at byte \d+: it begins at cluster 0`, -1, "dir/sub/x"},
		{"directory with a cyclic chain", func(t *testing.T, f *fileSystem, p []byte) {
			_, dir := find(t, f, p, "DIR")
			setEntry(f, p, dir, dir)
		}, `^fat: dir: fat: at byte \d+: its chain meets itself at cluster \d+\n$`, 1200, ""},
	}
}

// TestDamagedFiles damages chains: an error names the file, and the others are
// given as before.
func TestDamagedFiles(t *testing.T) {
	for args, kib := range map[string]int64{"-F 12 -s 1": 300, "-F 16 -s 1": 5000, "-F 32 -s 1": 34000} {
		whole, f := tree(t, args, kib)
		for _, tt := range damages() {
			t.Run(args+" "+tt.name, func(t *testing.T) {
				p := bytes.Clone(whole)
				tt.damage(t, f, p)
				tt.check(t, p)
			})
		}
	}
}

// check walks the damaged volume.
func (tt damage) check(t *testing.T, p []byte) {
	opened, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	seen, said := map[string]*filesystem.File{}, ""
	for f, err := range opened.Files() {
		if f != nil {
			seen[f.Path] = f
		}
		if err != nil {
			said += err.Error() + "\n"
		}
	}
	if !regexp.MustCompile(tt.errors).MatchString(said) {
		t.Errorf("errors %q, want %q", said, tt.errors)
	}
	want := map[string]bool{".": true, "dir": true, "dir/sub": true, "dir/sub/x": true, "y": true}
	delete(want, tt.gone)
	for path := range seen {
		if !want[path] {
			t.Errorf("%s is listed", path)
		}
		delete(want, path)
	}
	if len(want) != 0 {
		t.Errorf("not listed: %v", slices.Collect(maps.Keys(want)))
	}
	if tt.read >= 0 {
		readable(t, seen["dir/sub/x"], tt.read)
	}
	readable(t, seen["y"], 1200)
}

// readable holds how far a file can be read, by its content and its runs.
func readable(t *testing.T, f *filesystem.File, want int64) {
	t.Helper()
	if f == nil {
		t.Error("it is not listed")
		return
	}
	p := make([]byte, f.Size)
	n, err := f.Content.ReadAt(p, 0)
	if int64(n) != want || want < f.Size && !errors.As(err, new(*filesystem.FormatError)) {
		t.Errorf("%s: %d bytes were read, %v; want %d", f.Path, n, err, want)
	}
	total := int64(0)
	for run, err := range f.Content.Runs() {
		if err != nil {
			break
		}
		total += run.Extent.Length
	}
	if total = min(total, f.Size); total != want {
		t.Errorf("%s: runs of %d bytes, want %d", f.Path, total, want)
	}
}

// TestManyNames lets every entry of every directory name the same few
// directories: by number of paths a walk without end.
func TestManyNames(t *testing.T) {
	p, f := tree(t, "-F 16 -s 1", 5000)
	_, dir := find(t, f, p, "DIR")
	const levels = 40
	for level := range int64(levels) {
		c := dir + level
		setEntry(f, p, c, f.last())
		for i := range int64(16) {
			at := f.data + (c-2)*f.clusterSize + i*entrySize
			copy(p[at:], short(fmt.Sprintf("D%-10d", i), 0x10, 0))
			le.PutUint16(p[at+26:], uint16(c+1))
		}
	}
	opened, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	n, last := int64(0), error(nil)
	for _, err := range opened.Files() {
		n, last = n+1, err
	}
	if n < levels || n > 200*f.clusters || last == nil || !strings.Contains(last.Error(), "not all are listed") {
		t.Errorf("%d files, the last error is %v", n, last)
	}
}

// TestDeep makes directories in each other beyond what is followed.
func TestDeep(t *testing.T) {
	p, f := tree(t, "-F 16 -s 1", 5000)
	_, dir := find(t, f, p, "DIR")
	for level := range int64(1024) {
		c := dir + level
		setEntry(f, p, c, f.last())
		at := f.data + (c-2)*f.clusterSize
		clear(p[at : at+f.clusterSize])
		copy(p[at:], short("D          ", 0x10, 0))
		le.PutUint16(p[at+26:], uint16(c+1))
	}
	opened, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, err := range opened.Files() {
		if err != nil && said == "" {
			said = err.Error()
		}
	}
	if !strings.Contains(said, "more than 512 directories lie in each other") {
		t.Errorf("error %q", said)
	}
}

// TestDamagedDirectories changes every byte of directories: what they do not
// hold stays.
func TestDamagedDirectories(t *testing.T) {
	for args, kib := range map[string]int64{"-F 12 -s 1": 300, "-F 16 -s 1": 5000, "-F 32 -s 1": 34000} {
		p, f := tree(t, args, kib)
		_, dir := find(t, f, p, "DIR")
		_, sub := find(t, f, p, "SUB")
		at := func(c int64) int64 { return f.data + (c-2)*f.clusterSize }
		n := fstest.DamageFiles(t, Open, p, args+": directory", at(dir), 128, []string{".", "dir", "y"})
		n += fstest.DamageFiles(t, Open, p, args+": directory", at(sub), 128, []string{".", "dir", "dir/sub", "y"})
		if n < 10 {
			t.Errorf("%s: only %d errors", args, n)
		}
	}
}
