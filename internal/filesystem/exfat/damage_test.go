package exfat

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/filesystem/fstest"
)

// damage is one of a volume as handmade makes it.
type damage struct {
	name   string
	damage func(p []byte)
	errors string
	read   int64 // bytes of x that can be read; −1: it is not listed
}

// damages are what TestDamagedFiles does to entry sets and chains.
func damages(f *fileSystem) []damage {
	root, sub := f.boot.offset(f.boot.root()), f.boot.offset(subAt)
	link := func(c int64, next uint32) func(p []byte) {
		return func(p []byte) { le.PutUint32(p[f.boot.entry(c):], next) }
	}
	// x puts another set in the place of x, sealed.
	x := func(change func(set []byte)) func(p []byte) {
		return func(p []byte) {
			set := p[sub : sub+96]
			change(set)
			sealSet(set)
		}
	}
	return []damage{
		{"whole", func(p []byte) {}, `^$`, 1200},
		{"checksum", func(p []byte) { p[sub+40]++ }, `^exfat: dir/sub/x: .*the checksum of its entry set does not fit\n$`, -1},
		{"checksum of a directory", func(p []byte) { p[root+96+8]++ }, `^exfat: dir: .*checksum.*\n$`, -2},
		{"chain too short", link(xAt+2, endOfChain), `^exfat: dir/sub/x: .*a chain of 2 clusters for 1200 bytes\n$`, 1024},
		{"chain too long", link(xAt+1, 130), `^exfat: dir/sub/x: .*a chain of more than 3 clusters for 1200 bytes\n$`, 1200},
		{"chain leads nowhere", link(xAt, 0), `^exfat: dir/sub/x: .*is followed by cluster 0 `, 512},
		{"bad cluster", link(xAt+2, 0xFFFFFFF7), `^exfat: dir/sub/x: .*is followed by cluster 4294967287 `, 1024},
		{"cyclic chain", link(xAt+2, xAt), `^exfat: dir/sub/x: exfat: at byte \d+: its chain meets itself at cluster \d+\n$`, 1024},
		{"cyclic directory", link(subAt+3, subAt), `^exfat: dir/sub: exfat: at byte \d+: it is longer than 1024 bytes\n$`, 1200},
		{"directory too short", link(subAt, endOfChain), `^exfat: dir/sub: exfat: at byte \d+: a chain of 1 clusters for 1024 bytes\n`, 1200},
		{"first cluster", x(func(s []byte) { s[32+20] = 1 }), `^exfat: dir/sub/x: exfat: at byte \d+: it begins at cluster 1 `, 0},
		{"straight, first cluster", x(func(s []byte) { s[32+20], s[33] = 1, 3 }), `^exfat: dir/sub/x: exfat: at byte \d+: it begins at cluster 1 `, 0},
		{"straight, beyond the end", x(func(s []byte) {
			le.PutUint32(s[32+20:], uint32(f.boot.clusters()))
			s[33] = 3
		}), `^exfat: dir/sub/x: .*a chain of 2 clusters for 1200 bytes\n$`, 1024},
		{"no clusters possible", x(func(s []byte) { s[33] = 0 }), `^exfat: dir/sub/x: .*can have no clusters\n$`, -1},
		{"larger than the volume", x(func(s []byte) { s[32+31] = 0x7F }), `^exfat: dir/sub/x: .*bytes in \d+ clusters\n$`, -1},
		{"more is written than there is", x(func(s []byte) { s[32+8]++ }), `^exfat: dir/sub/x: .*1201 of 1200 bytes are written\n$`, -1},
		{"no stream", x(func(s []byte) { s[32] = 0xC1 }), `^exfat: dir/sub: .*without a stream, but an entry 0xc1\n$`, -1},
		{"no name", x(func(s []byte) { s[64] = 0xC2 }), `^exfat: dir/sub: .*with an entry 0xc2 in place 2\n$`, -1},
		{"long name", x(func(s []byte) { s[35] = 16 }), `^exfat: dir/sub: .*15 of 16 characters of its name\n$`, -1},
		{"empty name", x(func(s []byte) { s[35] = 0 }), `^exfat: dir/sub: .*an entry 0xc1 in place 2\n$`, -1},
		{"name with a slash", x(func(s []byte) { s[66] = '/' }), `^exfat: dir/sub: .*the name "/"\n$`, -1},
		{"name of a dot", x(func(s []byte) { s[66] = '.' }), `^exfat: dir/sub: .*the name "\."\n$`, -1},
		{"too few entries", x(func(s []byte) { s[1] = 1 }), `^exfat: dir/sub: .*an entry set of 1 entries\n$`, -1},
		{"too many entries", x(func(s []byte) { s[1] = 19 }), `^exfat: dir/sub: .*an entry set of 19 entries\n$`, -1},
		{"an entry is missing", x(func(s []byte) { s[64] = 0x41 }), `^exfat: dir/sub: .*of which 1 entries are missing\n$`, -1},
		{"more entries than follow", x(func(s []byte) { s[1] = 3 }), `^exfat: dir/sub: .*of which 1 entries are missing\n$`, -1},
		{"directory in itself", func(p []byte) {
			set := p[f.boot.offset(dirAt) : f.boot.offset(dirAt)+96]
			set[32+20] = dirAt
			le.PutUint64(set[32+8:], 512)
			le.PutUint64(set[32+24:], 512)
			sealSet(set)
		}, `^exfat: dir/sub: exfat: at byte \d+: it lies in itself`, -2},
	}
}

// TestDamagedFiles damages entry sets and chains: an error names the file or
// its directory, and the others are given as before.
func TestDamagedFiles(t *testing.T) {
	whole, f := handmade(t)
	for _, tt := range damages(f) {
		t.Run(tt.name, func(t *testing.T) {
			p := bytes.Clone(whole)
			tt.damage(p)
			tt.check(t, p)
		})
	}
}

// check walks the damaged volume.
func (tt damage) check(t *testing.T, p []byte) {
	opened, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	files, said := paths(opened)
	if !regexp.MustCompile(tt.errors).MatchString(said) {
		t.Errorf("errors %q, want %q", said, tt.errors)
	}
	if files["y"] == nil || files["dir/void"] == nil != (tt.name == "checksum of a directory") {
		t.Errorf("y or dir/void: %v", files)
	}
	x := files["dir/sub/x"]
	if x == nil != (tt.read < 0) {
		t.Fatalf("x is %v", x)
	}
	if x != nil {
		if n, err := x.Content.ReadAt(make([]byte, 1200), 0); int64(n) != tt.read {
			t.Errorf("%d bytes can be read, want %d: %v", n, tt.read, err)
		}
	}
	if long := files["dir/sub/"+strings.Repeat("ü", 200)]; long == nil != (tt.read == -2 || tt.name == "directory too short") {
		t.Errorf("the file behind it: %v", long)
	}
}

// TestPassedOver holds entries of vendors, deleted sets and stray ones.
func TestPassedOver(t *testing.T) {
	p, f := handmade(t)
	sub := f.boot.offset(subAt)
	x := slices.Clone(p[sub : sub+96])
	benign := append(slices.Clone(x), append([]byte{0xE0}, make([]byte, 31)...)...)
	benign[1] = 3
	deleted := slices.Clone(x)
	for i := 0; i < 96; i += 32 {
		deleted[i] &^= 0x80
	}
	copy(p[sub:], make([]byte, 512))
	copy(p[sub:], slices.Concat(deleted, x[32:96], sealSet(benign)))
	opened, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	files, said := paths(opened)
	if said != "" || files["dir/sub/x"] == nil || len(files) != 6 {
		t.Errorf("%d files, errors %q", len(files), said)
	}
}

// TestDamagedDirectories changes every byte of entry sets: none is taken for a
// whole one, and what others name stays.
func TestDamagedDirectories(t *testing.T) {
	p, f := handmade(t)
	n := fstest.DamageFiles(t, Open, p, "directory", f.boot.offset(dirAt), 96, []string{".", "dir", "dir/void", "y"})
	if n < 94 { // all but the first byte of the set, and its number of entries
		t.Errorf("96 bytes were changed, %d errors", n)
	}
	n = fstest.DamageFiles(t, Open, p, "directory", f.boot.offset(subAt), 96, []string{".", "dir", "dir/sub", "dir/void", "y", "dir/sub/" + strings.Repeat("ü", 200)})
	if n < 94 {
		t.Errorf("96 bytes were changed, %d errors", n)
	}
}
