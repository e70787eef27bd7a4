package iso

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var testTime = time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)

// pattern returns n bytes that differ from sector to sector.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>11)*7 ^ seed
	}
	return b
}

// bootOptions describes a bootable disc with boot files of our own: they start nothing, but
// have the places that are patched.
func bootOptions() Options {
	return Options{
		VolumeID:    "DOPPEL",
		VolumeSetID: "DOPPEL-0b6f2c1e-5d0a-4f3a-9a53-2f6c0de1b7aa",
		Publisher:   "DOPPEL", Application: "DOPPEL LIVE",
		Time: testTime,
		Boot: &Boot{
			Image: "boot/grub/i386-pc/eltorito.img",
			MBR:   pattern(512, 1),
			ESP:   Bytes(pattern(1<<20, 2)), ESPSize: 1 << 20,
		},
	}
}

// sampleEntries is a tree with everything that a disc can hold, named by what is tried.
func sampleEntries() []Entry {
	file := func(path string, data []byte) Entry {
		return Entry{Path: path, Size: int64(len(data)), Open: Bytes(data)}
	}
	list := []Entry{
		file("boot/grub/i386-pc/eltorito.img", pattern(31<<10, 3)),
		file("boot/vmlinuz", pattern(100_001, 4)),
		{Path: "boot", Mode: fs.ModeDir | 0o750, Time: testTime.Add(-time.Hour)},
		{Path: "run.sh", Mode: 0o751, Size: 3, Open: Bytes([]byte("hi\n")), Time: testTime.Add(-48 * time.Hour)},
		{Path: "empty"},
		{Path: "empty directory", Mode: fs.ModeDir | 0o700},
		{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: "suid", Mode: fs.ModeSetuid | 0o755, Size: 1, Open: Bytes([]byte("x"))},
		{Path: "links/relative", Mode: fs.ModeSymlink, Target: "../boot/vmlinuz"},
		{Path: "links/absolute", Mode: fs.ModeSymlink, Target: "/usr/./lib/../bin"},
		{Path: "links/root", Mode: fs.ModeSymlink, Target: "/"},
		{Path: "links/dangling", Mode: fs.ModeSymlink, Target: strings.Repeat("long component ", 16) + "/x"},
		{Path: "links/longest", Mode: fs.ModeSymlink, Target: strings.Repeat("a/", 511) + "c"},
		{Path: "links/large component", Mode: fs.ModeSymlink, Target: strings.Repeat("0123456789", 25) + "abcde"},
		{Path: "links/" + strings.Repeat("L", 253), Mode: fs.ModeSymlink, Target: strings.Repeat("b/", 511) + "c"},
		file(".disk/id/0b6f2c1e-5d0a-4f3a-9a53-2f6c0de1b7aa", nil),
		file(strings.Repeat("d/", 20)+"deep", []byte("deep")),
	}
	for _, n := range []int{1, 2047, 2048, 2049, 4096} {
		list = append(list, file(fmt.Sprintf("sizes/%d", n), pattern(n, 5)))
	}
	for i := range 300 { // directories of several sectors, identifiers that collide
		list = append(list, file(fmt.Sprintf("many/a rather long name of a file, number %03d.ko.xz", i), pattern(i, 6)))
		list = append(list, Entry{Path: fmt.Sprintf("many/directories/a rather long name of a directory %03d", i), Mode: fs.ModeDir})
	}
	for _, name := range awkwardNames {
		list = append(list, file("names/"+name, []byte(name)))
	}
	return list
}

var awkwardNames = []string{
	"README", "readme", "ReadMe", "README.TXT", "readme.txt", "Readme.txt", "readme_1.txt",
	".hidden", "..two", "...", "trailing.", "two..dots", "a.b.c.d", "-", "_", "~", "#", " ", "  ",
	"Grüße", "日本語のファイル名.txt", "😀.png", "😁.png", "e\u0301", "é", "tab\there", "new\nline", `back\slash`, "a;1", "a:b", "a*b?",
	strings.Repeat("n", 253), strings.Repeat("n", 252) + "m", strings.Repeat("é", 126), strings.Repeat("n", 250), strings.Repeat("n", 251),
	"name." + strings.Repeat("extension", 20), "name." + strings.Repeat("extension", 20) + "s",
	strings.Repeat("0123456789", 6) + "0123", strings.Repeat("0123456789", 6) + "01234",
	"AB", "AB.", "AB.C", "AB1", "AB1.C", "AB_", "A", "A.B", "A.0", "\xc3\xa4\xcc\x88",
}

func build(t testing.TB, o Options, entries []Entry) *Layout {
	t.Helper()
	b := New(o)
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	l, err := b.Layout()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func writeFile(t testing.TB, l *Layout) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disc.iso")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := l.WriteTo(f)
	if err != nil {
		t.Fatal(err)
	}
	if n != l.Size() {
		t.Fatalf("wrote %d bytes, announced %d", n, l.Size())
	}
	return name
}

// run runs a foreign program and returns all that it says, or skips.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestEqualInputGivesEqualBytes(t *testing.T) {
	var sums [2][32]byte
	for i := range sums {
		l := build(t, bootOptions(), sampleEntries())
		for range 2 { // a layout can be written again
			h := sha256.New()
			if _, err := l.WriteTo(h); err != nil {
				t.Fatal(err)
			}
			sums[i] = [32]byte(h.Sum(nil))
		}
	}
	if sums[0] != sums[1] {
		t.Error("two discs of the same entries differ")
	}
}

func TestSizesThatWereNotAnnounced(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		open Opener
		want string
	}{
		{"short", Bytes(pattern(4999, 0)), "ends after 4999"},
		{"long", Bytes(pattern(5001, 0)), "longer than the 5000"},
		{"open", func() (io.ReadCloser, error) { return nil, broken }, "broken"},
	}
	for _, path := range []string{"f", "boot/grub/i386-pc/eltorito.img"} {
		for _, tt := range tests {
			t.Run(tt.name+" "+filepath.Base(path), func(t *testing.T) {
				o, entries := bootOptions(), []Entry{{Path: path, Size: 5000, Open: tt.open}}
				if path == "f" {
					o.Boot = nil
				}
				_, err := build(t, o, entries).WriteTo(io.Discard)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q in it", err, tt.want)
				}
			})
		}
	}
}

func TestVolumeSetID(t *testing.T) {
	o := bootOptions()
	name := writeFile(t, build(t, o, sampleEntries()))
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if id, err := VolumeSetID(f); err != nil || id != o.VolumeSetID {
		t.Errorf("VolumeSetID = %q, %v", id, err)
	}
	if _, err := VolumeSetID(bytes.NewReader(make([]byte, 40000))); !errors.Is(err, ErrFormat) {
		t.Errorf("zeroes: %v", err)
	}
}
