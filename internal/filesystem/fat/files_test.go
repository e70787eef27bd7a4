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
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// listing gives a line for each file: path, size, and seconds of when it was
// written, read and created, or "error: " and one.
func listing(l filesystem.Lister) (lines []string) {
	unix := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		_, zone := t.Zone()
		return t.Unix() + int64(zone)
	}
	for f, err := range l.Files() {
		if f != nil && f.Path != "." {
			size := f.Size
			if f.Mode.IsDir() {
				size = -1
			}
			lines = append(lines, fmt.Sprint("/", f.Path, " ", size, " ", unix(f.Accessed), " ", unix(f.Modified), " ", unix(f.Created)))
		}
		if err != nil {
			lines = append(lines, "error: "+err.Error())
		}
	}
	return lines
}

// sleuthkit gives the same as listing by The Sleuth Kit, and the numbers of its
// inodes by path.
func sleuthkit(t *testing.T, path string) (lines []string, inodes map[string]string) {
	t.Helper()
	inodes = map[string]string{}
	for line := range strings.Lines(run(t, "fls", "-f", "fat", "-r", "-p", "-m", "", "-z", "UTC", path)) {
		w := strings.Split(strings.TrimSpace(line), "|")
		if len(w) != 11 || strings.HasPrefix(w[1], "/$") || strings.HasSuffix(w[1], "(deleted)") || strings.Contains(w[1], "Volume Label") {
			continue
		}
		if w[3][0] == 'd' {
			w[6] = "-1"
		} else {
			inodes[w[1]] = w[2]
		}
		lines = append(lines, strings.Join([]string{w[1], w[6], w[7], w[8], w[10]}, " "))
	}
	return lines, inodes
}

// TestSleuthkit holds names, sizes, times and runs against The Sleuth Kit.
func TestSleuthkit(t *testing.T) {
	fstest.Tool(t, "istat")
	for args, kib := range map[string]int64{"-F 12 -s 1": 2000, "-F 16 -s 4 -S 1024": 30000, "-F 32 -s 1": 40000} {
		path := makeVolume(t, kib, args)
		opened, _ := openFile(t, path)
		want, inodes := sleuthkit(t, path)
		got := listing(opened)
		slices.Sort(got)
		slices.Sort(want)
		if len(want) < 60 || !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nThe Sleuth Kit says\n%s", args, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		asked := 0
		for f := range opened.Files() {
			if asked == 12 || f.Mode.IsDir() || f.Size < 1000 {
				continue
			}
			asked++
			if got, want := sectors(opened, f), istat(t, path, inodes["/"+f.Path]); !slices.Equal(got, want) {
				t.Errorf("%s: %s lies in sectors %v, istat says %v", args, f.Path, got, want)
			}
		}
	}
}

// sectors are those of a file by its runs.
func sectors(f *fileSystem, file *filesystem.File) (all []int64) {
	for run := range file.Content.Runs() {
		end := min(run.Extent.End(), run.Extent.Offset+file.Size-run.Offset)
		for at := run.Extent.Offset; at < end; at += f.boot.sector() {
			all = append(all, at/f.boot.sector())
		}
	}
	return all
}

// istat gives the sectors of a file; it writes 0 for those behind its end.
func istat(t *testing.T, path, inode string) (all []int64) {
	t.Helper()
	_, list, _ := strings.Cut(run(t, "istat", "-f", "fat", path, inode), "Sectors:\n")
	for word := range strings.FieldsSeq(list) {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil && n != 0 {
			all = append(all, n)
		}
	}
	return all
}

// TestAttributes sets the read-only attribute by mattrib.
func TestAttributes(t *testing.T) {
	path := makeVolume(t, 4000, "-F 12")
	run(t, "mattrib", "-i", path, "+r", "+h", "::/others/lower.txt", "::/others/void")
	opened, _ := openFile(t, path)
	for f := range opened.Files() {
		want := map[bool]string{false: "-rw-r--r--", true: "drwxr-xr-x"}[f.Mode.IsDir()]
		if f.Path == "others/lower.txt" {
			want = "-r--r--r--"
		}
		if f.Mode.String() != want {
			t.Errorf("%s: mode %v, want %s", f.Path, f.Mode, want)
		}
	}
}

func TestMoment(t *testing.T) {
	tests := []struct {
		date, clock uint16
		fine        byte
		want        string // local
	}{
		{0, 0, 0, "0001-01-01T00:00:00"},
		{1<<5 | 1, 0, 0, "1980-01-01T00:00:00"},
		{46<<9 | 11<<5 | 27, 20<<11 | 39<<5 | 29, 0, "2026-11-27T20:39:58"},
		{46<<9 | 11<<5 | 27, 20<<11 | 39<<5 | 29, 101, "2026-11-27T20:39:59.01"},
		{46<<9 | 11<<5 | 27, 20<<11 | 39<<5 | 29, 255, "2026-11-27T20:39:59.99"},
		{46<<9 | 13<<5 | 27, 0, 0, "0001-01-01T00:00:00"},
		{127<<9 | 12<<5 | 31, 0, 0, "2107-12-31T00:00:00"},
	}
	for _, tt := range tests {
		if got := moment(tt.date, tt.clock, tt.fine).Format("2006-01-02T15:04:05.99"); got != tt.want {
			t.Errorf("%#x %#x %d: %s, want %s", tt.date, tt.clock, tt.fine, got, tt.want)
		}
	}
}

// short makes the entry of a file without content.
func short(name string, attributes, lower byte) []byte {
	e := make([]byte, entrySize)
	copy(e, "           ")
	copy(e, name)
	e[11], e[12] = attributes, lower
	return e
}

// long makes the entries of a long name and the one behind them.
func long(name string, e []byte) (entries []byte) {
	units := append(utf16.Encode([]rune(name)), 0)
	for len(units)%13 != 0 {
		units = append(units, 0xFFFF)
	}
	parts := len(units) / 13
	if parts > 1 && units[13*(parts-1)] == 0 {
		parts-- // a name of whole parts has no end
	}
	for i := parts; i > 0; i-- {
		p := make([]byte, entrySize)
		p[0], p[11], p[13] = byte(i), 0x0F, dirEntry(e).checksum()
		if i == parts {
			p[0] |= 0x40
		}
		for k, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
			le.PutUint16(p[at:], units[13*(i-1)+k])
		}
		entries = append(entries, p...)
	}
	return append(entries, e...)
}

// change changes a byte of a copy.
func change(p []byte, at int, value byte) []byte {
	p = bytes.Clone(p)
	p[at] = value
	return p
}

// handmade gives entries of a root directory, and what they are called; "" what
// is not listed, "!" an error.
func handmade() map[string]struct {
	entries []byte
	want    string
} {
	a := short("ABCDEF  TXT", 0x20, 0)
	three := long("a name of three whole parts, which are of 13", a)
	return map[string]struct {
		entries []byte
		want    string
	}{
		"plain":                  {a, "ABCDEF.TXT"},
		"lower base":             {short("ABCDEF  TXT", 0x20, 0x08), "abcdef.TXT"},
		"lower extension":        {short("ABCDEF  TXT", 0x20, 0x10), "ABCDEF.txt"},
		"lower":                  {short("ABCDEFGHTXT", 0x20, 0x18), "abcdefgh.txt"},
		"no extension":           {short("ABCDEFGH   ", 0x20, 0x18), "abcdefgh"},
		"space inside":           {short("A B     C D", 0x20, 0), "A B.C D"},
		"code page":              {short("\x9A\x8E\x99\x80\xEE\xFD  \xE1", 0x20, 0), "ÜÄÖÇε².ß"},
		"code page, lower":       {short("\x9A\x8E\x99\x80    ", 0x20, 0x08), "üäöç"},
		"E5":                     {short("\x05BC        ", 0x20, 0), "σBC"},
		"long":                   {three, "a name of three whole parts, which are of 13"},
		"long of whole parts":    {long("13 characters", a), "13 characters"},
		"long, beyond the BMP":   {long("𝄞 漢", a), "𝄞 漢"},
		"deleted":                {change(a, 0, 0xE5), ""},
		"label":                  {short("LABEL      ", 0x08, 0), ""},
		"device attribute":       {short("DEVICE     ", 0x60, 0), "DEVICE"},
		"orphan, then a file":    {slices.Concat(three[:96], short("OTHER      ", 0x20, 0)), "OTHER"},
		"a part is missing":      {slices.Concat(three[:32], three[64:]), "ABCDEF.TXT"},
		"the first is missing":   {three[32:], "ABCDEF.TXT"},
		"a part is deleted":      {change(three, 32, 0xE5), "ABCDEF.TXT"},
		"a part of another":      {change(three, 32+13, 1), "ABCDEF.TXT"},
		"two beginnings":         {slices.Concat(three[:32], three), "a name of three whole parts, which are of 13"},
		"orphan before a label":  {slices.Concat(three[:96], short("LABEL      ", 0x08, 0), a), "ABCDEF.TXT"},
		"slash in the long name": {long("../../etc/passwd", a), "ABCDEF.TXT"},
		"long name of dots":      {long("..", a), "ABCDEF.TXT"},
		"slash":                  {short("A/B        ", 0x20, 0), "!"},
		"no name":                {short("           ", 0x20, 0), "!"},
		"end":                    {append(make([]byte, 32), a...), ""},
	}
}

// TestNames lists entries made by hand, and by mtools too where it can: it does
// not know characters beyond the BMP, takes any long name, ends names at a
// space, and has lower case for ASCII only.
func TestNames(t *testing.T) {
	base := fstest.Load(t, makeVolume(t, 300, "-F 12 -s 1"))
	root := bootSector(base).table(2)
	clear(base[root : root+224*32])
	rc := filepath.Join(t.TempDir(), "mtoolsrc")
	if err := os.WriteFile(rc, []byte("default_codepage=437\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range handmade() {
		p := bytes.Clone(base)
		copy(p[root:], tt.entries)
		if name != "end" {
			copy(p[root+int64(len(tt.entries)):], short("BEHIND     ", 0x20, 0))
		}
		opened, err := open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for f, err := range opened.Files() {
			switch {
			case err != nil:
				t.Log(err)
				got = append(got, "!")
			case f.Path != ".":
				got = append(got, f.Path)
			}
		}
		want := []string{tt.want, "BEHIND"}
		if tt.want == "" {
			want = want[1:]
		}
		if name == "end" {
			want = nil
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if tt.want == "!" || slices.Contains([]string{"space inside", "code page, lower", "long, beyond the BMP"}, name) || strings.Contains(string(tt.entries), "LABEL") || strings.Contains(name, "long name") {
			continue
		}
		path := fstest.Volume(t, 0)
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		var mtools []string
		for line := range strings.Lines(run(t, "env", "MTOOLSRC="+rc, "mdir", "-a", "-b", "-i", path)) {
			mtools = append(mtools, strings.TrimPrefix(strings.TrimSpace(line), "::/"))
		}
		if !slices.Equal(mtools, want) {
			t.Errorf("%s: mtools says %q, want %q", name, mtools, want)
		}
	}
}

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

// TestDamagedFiles damages chains: an error names the file, and the others are
// given as before.
func TestDamagedFiles(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, f *fileSystem, p []byte)
		errors string // what all errors say, in their order
		read   int64  // bytes of x that can still be read
		gone   string // paths
	}{
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
		}, `^fat: dir/sub/x: its chain begins at cluster 0`, 0, ""},
		{"chain without a size", func(t *testing.T, f *fileSystem, p []byte) {
			at, _ := find(t, f, p, "X")
			clear(p[at+28 : at+32])
		}, `^fat: dir/sub/x: .*a chain of more than 0 clusters for 0 bytes\n$`, 0, ""},
		{"cyclic chain", func(t *testing.T, f *fileSystem, p []byte) {
			at, x := find(t, f, p, "X")
			setEntry(f, p, x+2, x+1)
			le.PutUint32(p[at+28:], 1<<31)
		}, `^fat: dir/sub/x: its chain meets itself at cluster \d+\n$`, 1536, ""},
		{"directory in itself", func(t *testing.T, f *fileSystem, p []byte) {
			_, dir := find(t, f, p, "DIR")
			at, _ := find(t, f, p, "SUB")
			le.PutUint16(p[at+26:], uint16(dir))
		}, `^fat: dir/sub: it lies in itself`, -1, "dir/sub/x"},
		{"directory without clusters", func(t *testing.T, f *fileSystem, p []byte) {
			at, _ := find(t, f, p, "SUB")
			clear(p[at+26 : at+28])
		}, `^fat: dir/sub: its chain begins at cluster 0`, -1, "dir/sub/x"},
		{"directory with a cyclic chain", func(t *testing.T, f *fileSystem, p []byte) {
			_, dir := find(t, f, p, "DIR")
			setEntry(f, p, dir, dir)
		}, `^fat: dir: its chain meets itself at cluster \d+\n$`, 1200, ""},
	}
	for args, kib := range map[string]int64{"-F 12 -s 1": 300, "-F 16 -s 1": 5000, "-F 32 -s 1": 34000} {
		whole, f := tree(t, args, kib)
		for _, tt := range tests {
			t.Run(args+" "+tt.name, func(t *testing.T) {
				p := bytes.Clone(whole)
				tt.damage(t, f, p)
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
			})
		}
	}
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

func FuzzFiles(f *testing.F) {
	for args, kib := range map[string]int64{"-F 12 -s 1": 300, "-F 16 -s 1 -r 16": 2400, fewClusters: 300} {
		path := fstest.Volume(f, kib<<10)
		run(f, append(append([]string{"mkfs.fat"}, strings.Fields(args)...), path)...)
		opened, _ := openFile(f, path)
		p := fstest.Load(f, path)
		head := p[:min(opened.data+16<<10, int64(len(p)))]
		f.Add(head, uint32(len(p)))
		for _, tt := range handmade() {
			root := opened.boot.table(opened.boot.fats()) // of FAT32 it is cluster 2
			head := bytes.Clone(head)
			copy(head[root:], tt.entries)
			f.Add(head, uint32(len(p)))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte, length uint32) { fstest.HostileWalk(t, Open, p, int64(length)) })
}
