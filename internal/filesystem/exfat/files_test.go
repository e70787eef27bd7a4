package exfat

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// file says what an entry set names.
type file struct {
	name          string
	attributes    byte
	first         int64
	size, written int64
	straight      bool
}

// rotated is the checksum of 16 bits that exFAT has of sets and of names.
func rotated(sum uint16, p ...byte) uint16 {
	for _, c := range p {
		sum = (sum<<15 | sum>>1) + uint16(c)
	}
	return sum
}

// sealSet writes the checksum of an entry set.
func sealSet(set []byte) []byte {
	le.PutUint16(set[2:], rotated(rotated(0, set[:2]...), set[4:]...))
	return set
}

// set makes the entries of a file of 2026-11-27 20:39:58.
func (f file) set() []byte {
	units := utf16.Encode([]rune(f.name))
	parts := max((len(units)+14)/15, 1)
	p := make([]byte, (2+parts)*32)
	p[0], p[1], p[4] = 0x85, byte(1+parts), f.attributes
	stamp := uint32(46<<25 | 11<<21 | 27<<16 | 20<<11 | 39<<5 | 29)
	for _, at := range []int{8, 12, 16} {
		le.PutUint32(p[at:], stamp)
	}
	p[20], p[21], p[22], p[23], p[24] = 150, 101, 0x84, 0xFC, 0x80 // +1:00, −1:00, UTC
	s := p[32:]
	s[0], s[1], s[3] = 0xC0, 1, byte(len(units))
	if f.straight {
		s[1] = 3
	}
	hash := uint16(0)
	for _, u := range utf16.Encode([]rune(strings.ToUpper(f.name))) {
		hash = rotated(hash, byte(u), byte(u>>8))
	}
	le.PutUint16(s[4:], hash)
	le.PutUint64(s[8:], uint64(f.written))
	le.PutUint32(s[20:], uint32(f.first))
	le.PutUint64(s[24:], uint64(f.size))
	for i := range parts {
		p[64+32*i] = 0xC1
	}
	for i, u := range units {
		le.PutUint16(p[64+32*(i/15)+2+2*(i%15):], u)
	}
	return sealSet(p)
}

// Clusters of handmade.
const (
	dirAt, subAt, emptyAt = 100, 102, 104
	xAt, yAt              = 110, 120
)

// handmade is a volume whose clusters are known, and its reader:
//
//	dir           a directory of one cluster, 100
//	dir/sub       another one, in a chain of two: 102, 105
//	dir/sub/x     1200 bytes in a chain: 110, 112, 111
//	dir/sub/ü…    no bytes, with a long name
//	dir/void      an empty directory
//	y             1200 bytes behind each other from 120 on, of which 700 are written
func handmade(t testing.TB) ([]byte, *fileSystem) {
	t.Helper()
	p, f := small(t)
	at := f.boot.offset
	root := at(f.boot.root())
	for i := range int64(1536) {
		p[at(xAt)+i], p[at(yAt)+i] = byte(i/512+1), byte(i/512+4)
	}
	entries := file{"dir", attrDirectory, dirAt, 512, 512, false}.set()
	copy(p[root+96:], append(entries, file{"y", 0, yAt, 1200, 700, true}.set()...))
	entries = file{"sub", attrDirectory, subAt, 1024, 1024, false}.set()
	copy(p[at(dirAt):], append(entries, file{"void", attrDirectory, emptyAt, 512, 512, true}.set()...))
	x := file{"x", attrReadOnly, xAt, 1200, 1200, false}.set()
	copy(p[at(subAt):], slices.Concat(x, file{strings.Repeat("ü", 200), 0x20, 0, 0, 0, false}.set())[:512])
	copy(p[at(subAt+3):], slices.Concat(x, file{strings.Repeat("ü", 200), 0x20, 0, 0, 0, false}.set())[512:])
	for c, next := range map[int64]uint32{dirAt: endOfChain, subAt: subAt + 3, subAt + 3: endOfChain, xAt: xAt + 2, xAt + 2: xAt + 1, xAt + 1: endOfChain} {
		le.PutUint32(p[f.boot.entry(c):], next)
	}
	bits := clusterSet(p[at(f.bitmap[0].Offset):])
	for _, c := range []int64{dirAt, subAt, subAt + 3, emptyAt, xAt, xAt + 1, xAt + 2, yAt, yAt + 1, yAt + 2} {
		bits.add(c)
	}
	opened, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	return p, opened
}

// save writes a volume into a file.
func save(t testing.TB, p []byte) string {
	t.Helper()
	path := fstest.Volume(t, 0)
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// paths walks a volume.
func paths(f *fileSystem) (files map[string]*filesystem.File, said string) {
	files = map[string]*filesystem.File{}
	for file, err := range f.Files() {
		if file != nil {
			files[file.Path] = file
		}
		if err != nil {
			said += err.Error() + "\n"
		}
	}
	return files, said
}

// TestHandmade holds that fsck.exfat takes what is made by hand, and what we
// read of it.
func TestHandmade(t *testing.T) {
	p, _ := handmade(t)
	path := save(t, p)
	judged(t, path)
	opened, volume := openFile(t, path)
	fstest.Contents(t, opened, volume)
	files, said := paths(opened)
	long := "dir/sub/" + strings.Repeat("ü", 200)
	want := []string{".", "dir", "dir/sub", "dir/sub/x", long, "dir/void", "y"}
	if got := slices.Sorted(maps.Keys(files)); said != "" || !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Fatalf("files %q, errors %q", got, said)
	}
	for name, mode := range map[string]string{".": "drwxr-xr-x", "dir/void": "drwxr-xr-x", "dir/sub/x": "-r--r--r--", "y": "-rw-r--r--"} {
		if got := files[name].Mode.String(); got != mode {
			t.Errorf("%s: mode %s, want %s", name, got, mode)
		}
	}
	y := make([]byte, 1200)
	if n, err := files["y"].Content.ReadAt(y, 0); n != 1200 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if i := bytes.IndexByte(y, 0); i != 700 || len(bytes.Trim(y[700:], "\x00")) != 0 {
		t.Errorf("zeros from byte %d on, %d bytes are written", i, 700)
	}
	runs := ""
	for run, err := range files["y"].Content.Runs() {
		runs += fmt.Sprint(run.Offset, " ", run.Extent.Offset-opened.boot.offset(yAt), " ", run.Extent.Length, " ", run.Unwritten, " ", err, "\n")
	}
	if runs != "0 0 700 false <nil>\n700 700 836 true <nil>\n" {
		t.Errorf("runs\n%s", runs)
	}
	if got := files["y"].Modified.UTC().Format(time.RFC3339Nano); got != "2026-11-27T21:39:59.01Z" {
		t.Errorf("modified %s", got)
	}
	if got := files["y"].Created.UTC().Format(time.RFC3339Nano); got != "2026-11-27T19:39:59.5Z" {
		t.Errorf("created %s", got)
	}
	if got := files["y"].Accessed.UTC().Format(time.RFC3339Nano); got != "2026-11-27T20:39:58Z" {
		t.Errorf("accessed %s", got)
	}
}

func TestMoment(t *testing.T) {
	for _, tt := range []struct {
		stamp        uint32
		fine, offset byte
		want         string
	}{
		{46<<25 | 11<<21 | 27<<16, 0, 0x80, "2026-11-27T00:00:00Z"},
		{46<<25 | 11<<21 | 27<<16, 199, 0xBF, "2026-11-27T00:00:01.99+15:45"},
		{46<<25 | 11<<21 | 27<<16, 0, 0xC0, "2026-11-27T00:00:00-16:00"},
		{46<<25 | 11<<21 | 27<<16, 0, 0x96, "2026-11-27T00:00:00+05:30"},
		{46<<25 | 13<<21 | 27<<16, 0, 0x80, "0001-01-01T00:00:00Z"},
		{0, 0, 0, "0001-01-01T00:00:00Z"},
	} {
		if got := moment(tt.stamp, tt.fine, tt.offset).Format(time.RFC3339Nano); got != tt.want {
			t.Errorf("%#x %d %#x: %s, want %s", tt.stamp, tt.fine, tt.offset, got, tt.want)
		}
	}
	if got := moment(46<<25|11<<21|27<<16, 0, 0x16); got.Location() != time.Local {
		t.Errorf("without an offset: %s", got)
	}
}

// TestSleuthkit holds names, sizes and times of the sample against The Sleuth
// Kit, for which a full odd second (100 in steps of 10 ms) is the even one.
func TestSleuthkit(t *testing.T) {
	fstest.Tool(t, "fls")
	path, _ := fstest.Fixture(t, "exfat-frag")
	opened, _ := openFile(t, path)
	var want, got []string
	for line := range strings.Lines(run(t, "fls", "-f", "exfat", "-r", "-p", "-m", "", "-z", "UTC", path)) {
		w := strings.Split(strings.TrimSpace(line), "|")
		if len(w) != 11 || strings.HasPrefix(w[1], "/$") || strings.HasSuffix(w[1], "(deleted)") || strings.Contains(w[1], "Volume Label") {
			continue
		}
		if w[3][0] == 'd' {
			w[6] = "0"
		}
		want = append(want, strings.Join([]string{w[1], w[6], w[7], w[8], w[10]}, " "))
	}
	seconds := func(t time.Time) int64 {
		if t.Nanosecond() == 0 {
			return t.Unix() &^ 1
		}
		return t.Unix()
	}
	for f, err := range opened.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Path == "." {
			continue
		}
		got = append(got, fmt.Sprint("/", f.Path, " ", f.Size, " ", f.Accessed.Unix(), " ", seconds(f.Modified), " ", seconds(f.Created)))
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 50 || !slices.Equal(got, want) {
		t.Errorf("got\n%s\nThe Sleuth Kit says\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func FuzzFiles(f *testing.F) {
	whole, opened := handmade(f)
	p := whole[:opened.boot.offset(yAt+3)]
	f.Add(p, uint32(len(whole)))
	p = bytes.Clone(p)
	p[106] |= flagDirty
	f.Add(p, uint32(len(whole)))
	f.Fuzz(func(t *testing.T, p []byte, length uint32) {
		if len(p) >= 12*512 && p[108] == 9 {
			p = bytes.Clone(p)
			seal(p)
		}
		fstest.HostileFiles(t, Open, p, int64(length))
	})
}
