package ntfs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// withoutSystem leaves out the files of the system, which ntfs-3g does not
// show.
type withoutSystem struct{ *fileSystem }

func (w withoutSystem) Files() iter.Seq2[*filesystem.File, error] {
	return func(yield func(*filesystem.File, error) bool) {
		for f, err := range w.fileSystem.Files() {
			if (err != nil || !system(f.Path)) && !yield(f, err) {
				return
			}
		}
	}
}

func system(path string) bool { return strings.HasPrefix(path, "$") }

// zoo makes what ntfs-3g can make besides what churn does.
func zoo(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(31, 32))
	name := func(s string) string { return filepath.Join(dir, s) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(name("zoo/deep/er"), 0o755))
	for i := range 12 { // resident, up to the size where it is no longer
		write(dir, fmt.Sprint("zoo/small", i*70), fstest.Noise(rng, int64(i*70)))
	}
	write(dir, "zoo/long name of a file with one for DOS", []byte("x"))
	unix.Setxattr(name("zoo/long name of a file with one for DOS"), "system.ntfs_dos_name", []byte("LONGNA~1"), 0)
	must(os.Link(name("zoo/small140"), name("zoo/deep/other name")))
	for i := range 60 { // so many names need an attribute list
		must(os.Link(name("zoo/small210"), name(fmt.Sprintf("zoo/deep/er/%d %s", i, strings.Repeat("n", 30)))))
	}
	must(os.Symlink("small70", name("zoo/link")))
	must(os.Symlink(strings.Repeat("long/", 50), name("zoo/long link")))
	must(unix.Mkfifo(name("zoo/fifo"), 0o644))
	must(unix.Mknod(name("zoo/socket"), unix.S_IFSOCK|0o755, 0))
	for i := range 400 {
		write(dir, fmt.Sprintf("zoo/deep/%d \U0001F600 ü", i), nil)
	}
	for i := 0; i < 400; i += 3 {
		os.Remove(name(fmt.Sprintf("zoo/deep/%d \U0001F600 ü", i)))
	}
	for i, at := range []int64{-11_000_000_000, -1, 0, 3_000_000_000, 100_000_000_000} {
		when := time.Unix(at, max(0, int64(i)-1)*123456700)
		must(os.Chtimes(name(fmt.Sprint("zoo/small", i*70)), when, when))
	}
	// In turns, so that both are in many pieces.
	a, err := os.Create(name("zoo/pieces"))
	must(err)
	b, err := os.Create(name("zoo/pieces:of a stream"))
	must(err)
	for range 300 {
		a.Write(fstest.Noise(rng, 4096))
		a.Sync()
		b.Write(fstest.Noise(rng, 4096))
		b.Sync()
	}
	a.Close()
	b.Close()
	packedZoo(t, dir)
}

// scatter fills the volume and makes room in many places.
func scatter(t testing.TB, dir string) {
	t.Helper()
	n := 0
	for ; os.WriteFile(filepath.Join(dir, fmt.Sprint("fill", n)), make([]byte, 16<<10), 0o644) == nil; n++ {
	}
	if n < 200 {
		t.Fatalf("full after %d files", n)
	}
	for i := range n + 1 {
		if i%2 != 0 {
			os.Remove(filepath.Join(dir, fmt.Sprint("fill", i)))
		}
	}
}

// packedZoo writes compressed files of all kinds of units.
func packedZoo(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(33, 34))
	packed := filepath.Join(dir, "zoo", "packed")
	if err := os.MkdirAll(packed, 0o755); err != nil {
		t.Fatal(err)
	}
	unix.Setxattr(packed, "system.ntfs_attrib", []byte{0, 8, 0, 0}, 0)
	text := func(n int) (p []byte) {
		for len(p) < n {
			p = fmt.Appendf(p, "%d bottles of %x, ", rng.IntN(100), rng.IntN(4))
		}
		return p[:n]
	}
	for _, n := range []int{1, 1000, 4096, 4097, 65535, 65536, 65537, 131072, 300_001} {
		write(packed, fmt.Sprint("text", n), text(n))
		write(packed, fmt.Sprint("zeros", n), make([]byte, n))
		write(packed, fmt.Sprint("noise", n), fstest.Noise(rng, int64(n)))
		var mixed []byte
		for len(mixed) < n {
			mixed = append(append(append(mixed, fstest.Noise(rng, 3000)...), make([]byte, rng.IntN(90_000))...), text(rng.IntN(20_000))...)
		}
		write(packed, fmt.Sprint("mixed", n), mixed[:n])
	}
	for _, name := range []string{"slow", "slow too"} { // a little at a time
		f, err := os.Create(filepath.Join(packed, name))
		if err != nil {
			t.Fatal(err)
		}
		for range 150 {
			f.Write(text(3000))
			f.Sync()
		}
		f.WriteAt(text(50_000), 100_000)
		f.WriteAt(text(1000), 900_000)
		f.Close()
	}
}

// TestFiles holds the walk against ntfs-3g's.
func TestFiles(t *testing.T) {
	for _, args := range []string{"", "-c 512", "-c 1024", "-s 4096 -c 65536"} {
		t.Run("mkntfs "+args, func(t *testing.T) {
			path := makeVolume(t, 32<<20, args)
			const options = ",special_files=wsl"
			dir, unmount := mount(t, path, options)
			scatter(t, dir)
			zoo(t, dir)
			unmount()
			f, _ := openFile(t, path)
			want := sums(t, path)
			if got := fstest.FileSums(t, withoutSystem{f}); len(want) < 300 || !maps.Equal(got, want) {
				t.Errorf("the contents of %d files are not those of %d", len(got), len(want))
				maps.DeleteFunc(got, func(name string, sum [32]byte) bool { return want[name] == sum })
				t.Log(slices.Collect(maps.Keys(got)))
			}
			packed(t, f, args == "" || args == "-c 1024")
			if n := sameRuns(t, path, f, "slow", "slow too", "mixed300001", "noise65537", "small770", "$LogFile"); n < 6 {
				t.Errorf("only %d runs", n)
			}
			everyCluster(t, f)
			dir, unmount = mount(t, path, ",ro,noatime"+options)
			defer unmount()
			fstest.Tree{Changed: true, Precision: 100}.Same(t, withoutSystem{f}, dir, nil)
		})
	}
}

// packed says whether there were compressed units of all kinds.
func packed(t *testing.T, f *fileSystem, wanted bool) {
	t.Helper()
	n, saved := 0, 0
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := file.Content.(*data); ok && d.unit > 0 {
			n++
			size := int64(0)
			for r := range d.Runs() {
				size += r.Extent.Length
			}
			if size < d.size {
				saved++
			}
		}
	}
	if wanted && (n < 30 || saved < 20 || n == saved) {
		t.Errorf("%d compressed files, %d of them smaller", n, saved)
	}
}

// everyCluster says whether the files own all clusters that $Bitmap marks, and
// no other.
func everyCluster(t *testing.T, f *fileSystem) {
	t.Helper()
	marked := fstest.Outside(allocation(t, f), f.tail)
	content, metadata := fstest.Owned(t, f)
	if out := fstest.Outside(extent.Union(content, metadata), marked); len(out) > 0 {
		t.Errorf("files have clusters that are not marked: %v", out)
	}
	if out := fstest.Outside(marked, extent.Align(extent.Union(content, metadata), f.boot.cluster, f.size)); len(out) > 0 {
		t.Errorf("nobody owns %v of what is marked", out)
	}
}

var clusterRun = regexp.MustCompile(`(?m)^\s+(\d+)\s+(\d+)\s+(\d+)\s*$`)

// sameRuns holds the runs of files of these names, which have no streams,
// against those that ntfscluster prints. It gives the number of them.
func sameRuns(t *testing.T, path string, f *fileSystem, names ...string) (runs int) {
	t.Helper()
	asked := 0
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(names, filepath.Base(file.Path)) {
			continue
		}
		asked++
		var got [][3]int64
		for r, err := range file.Content.Runs() {
			if err != nil {
				t.Fatal(err)
			}
			if r.Extent.Offset%f.boot.cluster == 0 {
				got = append(got, [3]int64{r.Offset / f.boot.cluster, r.Extent.Offset / f.boot.cluster, r.Extent.Length / f.boot.cluster})
			}
		}
		runs += len(got)
		if want := clusterRuns(t, path, file.Path); !slices.Equal(got, want) {
			t.Errorf("%s: runs %v\nntfscluster: %v", file.Path, got, want)
		}
	}
	if asked != len(names) {
		t.Errorf("%d files named %q", asked, names)
	}
	return runs
}

// clusterRuns are VCN, LCN and length of the runs of a file as ntfscluster
// prints them, joined where they touch.
func clusterRuns(t *testing.T, path, name string) (list [][3]int64) {
	t.Helper()
	_, out, _ := strings.Cut(fstest.Run(t, "ntfscluster", "-f", "-F", "/"+name, path), "0x80 - ")
	for _, m := range clusterRun.FindAllStringSubmatch(out, -1) {
		var r [3]int64
		for i := range r {
			r[i], _ = strconv.ParseInt(m[1+i], 10, 64)
		}
		if n := len(list) - 1; n >= 0 && list[n][0]+list[n][2] == r[0] && list[n][1]+list[n][2] == r[1] {
			list[n][2] += r[2]
			continue
		}
		list = append(list, r)
	}
	return list
}

// TestManyPieces reads files, one of them compressed and one with holes, in so
// many pieces that their runs need several records.
func TestManyPieces(t *testing.T) {
	path := makeVolume(t, 24<<20, "-c 512")
	dir, unmount := mount(t, path, "")
	rng := rand.New(rand.NewPCG(41, 42))
	packed := filepath.Join(dir, "packed")
	os.Mkdir(packed, 0o755)
	unix.Setxattr(packed, "system.ntfs_attrib", []byte{0, 8, 0, 0}, 0)
	var text []byte
	for len(text) < 3_000_000 {
		text = fmt.Appendf(text, "%d ", rng.Uint32())
	}
	write(packed, "text", text)
	holes, err := os.Create(filepath.Join(dir, "pieces"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(1500) {
		if _, err := holes.WriteAt(fstest.Noise(rng, 512), i*20_000); err != nil {
			t.Fatal(err)
		}
	}
	holes.Close()
	unmount()
	f, _ := openFile(t, path)
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if file.Path != "pieces" && file.Path != "packed/text" {
			continue
		}
		d := file.Content.(*data)
		if len(d.pieces) < 2 || d.size == 0 || (d.unit > 0) != (file.Path != "pieces") {
			t.Errorf("%s: %d bytes in %d records, units of %d clusters", file.Path, d.size, len(d.pieces), d.unit)
		}
	}
	if got, want := fstest.FileSums(t, withoutSystem{f}), sums(t, path); !maps.Equal(got, want) {
		t.Errorf("the contents of %d files are not those of %d", len(got), len(want))
	}
	if n := sameRuns(t, path, f, "pieces", "text"); n < 800 {
		t.Errorf("only %d runs", n)
	}
	everyCluster(t, f)
}

// TestSystemFiles holds files of the system against what ntfscat reads.
func TestSystemFiles(t *testing.T) {
	path := makeVolume(t, 24<<20, "")
	f, _ := openFile(t, path)
	seen := 0
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if !system(file.Path) || file.Content == nil || file.Stream == "$Bad" {
			continue
		}
		seen++
		args := []string{"ntfscat", "-f", path, file.Path}
		if file.Stream != "" {
			args = []string{"ntfscat", "-f", "-n", file.Stream, path, file.Path}
		}
		p, err := io.ReadAll(file.Open())
		if strings.HasPrefix(file.Path, "$MFT") { // ntfscat undoes their fixups
			for at := int64(0); at < file.Size; at += f.boot.record {
				undoFixups(p[at : at+f.boot.record])
			}
		}
		if want := fstest.Run(t, args...); err != nil || want != string(p) {
			t.Errorf("%s:%s: %d bytes, %v; ntfscat reads %d", file.Path, file.Stream, len(p), err, len(want))
		}
	}
	if seen < 10 {
		t.Errorf("only %d files of the system", seen)
	}
}

// TestFilesOfFixture reads a volume in many pieces, whose files others summed.
func TestFilesOfFixture(t *testing.T) {
	path, want := fstest.Fixture(t, "ntfs-frag")
	f, _ := openFile(t, path)
	got := map[string]string{}
	for name, sum := range fstest.FileSums(t, withoutSystem{f}) {
		got[name] = hex.EncodeToString(sum[:])
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d files, not the %d of the manifest", len(got), len(want))
	}
	everyCluster(t, f)
}

// TestReparse writes reparse points as Windows does.
func TestReparse(t *testing.T) {
	path := makeVolume(t, 24<<20, "")
	dir, unmount := mount(t, path, "")
	wide := func(s string) (p []byte) {
		for _, c := range s {
			p = append(p, byte(c), 0)
		}
		return p
	}
	link := func(tag uint32, flags []byte, target, show string) []byte {
		a, b := wide(target), wide(show)
		var p []byte
		for _, n := range []int{0, len(a), len(a), len(b)} {
			p = le.AppendUint16(p, uint16(n))
		}
		p = append(append(append(p, flags...), a...), b...)
		return append(le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, tag), uint16(len(p))), 0), p...)
	}
	bare := func(tag uint32) []byte {
		return append(le.AppendUint32(le.AppendUint32(nil, tag), 16), make([]byte, 16)...)
	}
	tests := []struct {
		name   string
		folder bool
		value  []byte
		mode   fs.FileMode
		target string
		sealed bool
	}{
		{"junction", true, link(tagMountPoint, nil, `\??\C:\Users`, `C:\Users`), fs.ModeSymlink, `C:\Users`, false},
		{"folder link", true, link(tagSymlink, []byte{1, 0, 0, 0}, `..\there`, `..\there`), fs.ModeSymlink, `..\there`, false},
		{"file link", false, link(tagSymlink, []byte{0, 0, 0, 0}, `\??\D:\file`, `D:\file`), fs.ModeSymlink, `D:\file`, false},
		{"wof", false, bare(tagWOF), 0, "", true},
		{"dedup", false, bare(tagDedup), 0, "", true},
		{"cloud", false, bare(0x9000601A), 0, "", true},
		{"unknown", false, bare(0x80001234), 0, "", false},
	}
	for _, tt := range tests {
		if tt.folder {
			os.Mkdir(filepath.Join(dir, tt.name), 0o755)
		} else {
			write(dir, tt.name, nil)
		}
		if err := unix.Setxattr(filepath.Join(dir, tt.name), "system.ntfs_reparse_data", tt.value, 0); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
	}
	unmount()
	f, _ := openFile(t, path)
	files := map[string]*filesystem.File{}
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		files[file.Path] = file
	}
	for _, tt := range tests {
		file := files[tt.name]
		if file == nil || file.Mode.Type() != tt.mode || file.LinkTarget != tt.target {
			t.Errorf("%s: %+v", tt.name, file)
			continue
		}
		if tt.mode != 0 {
			continue
		}
		file.Content.(*data).size = 1 // ntfs-3g makes them of files without content only
		if _, err := file.Content.ReadAt(make([]byte, 1), 0); errors.Is(err, filesystem.ErrContent) != tt.sealed {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	everyCluster(t, f)
}

// TestNoContent marks files as encrypted and as compressed in another way.
func TestNoContent(t *testing.T) {
	for _, flags := range []uint16{flagEncrypted, 2} {
		path := makeVolume(t, 12<<20, "")
		dir, unmount := mount(t, path, "")
		write(dir, "file", fstest.Noise(rand.New(rand.NewPCG(1, 2)), 100_000))
		st, err := os.Stat(filepath.Join(dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		number := int64(st.Sys().(*syscall.Stat_t).Ino)
		unmount()
		v := load(t, path)
		v.change(number, func(rec record) {
			a, err := rec.find(attrData, "")
			if err != nil {
				t.Fatal(err)
			}
			le.PutUint16(a[0x0C:], flags)
		})
		for file, err := range v.open().Files() {
			if err != nil {
				t.Fatal(err)
			}
			if file.Path != "file" {
				continue
			}
			if _, err := file.Open().ReadAt(make([]byte, 1), 0); !errors.Is(err, filesystem.ErrContent) {
				t.Errorf("flags %#x: %v", flags, err)
			}
			for r, err := range file.Content.Runs() {
				if err != nil || r.Extent.Length < 100_000 {
					t.Errorf("run %v, %v", r, err)
				}
			}
		}
	}
}

// TestInitialized says of a file that only its first 40000 bytes were written,
// as Windows does of one that it made longer; of ntfs-3g, none is.
func TestInitialized(t *testing.T) {
	path := makeVolume(t, 12<<20, "")
	dir, unmount := mount(t, path, "")
	content := fstest.Noise(rand.New(rand.NewPCG(1, 2)), 100_000)
	write(dir, "file", content)
	st, err := os.Stat(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	unmount()
	v := load(t, path)
	v.change(int64(st.Sys().(*syscall.Stat_t).Ino), func(rec record) {
		a, err := rec.find(attrData, "")
		if err != nil {
			t.Fatal(err)
		}
		le.PutUint64(a[0x38:], 40_000)
	})
	v.save(path)
	f, _ := openFile(t, path)
	if got, want := fstest.FileSums(t, withoutSystem{f}), sums(t, path); !maps.Equal(got, want) {
		t.Error("the contents are not those of ntfs-3g")
	}
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if file.Path != "file" {
			continue
		}
		p, err := io.ReadAll(file.Open())
		if want := append(content[:40_000:40_000], make([]byte, 60_000)...); err != nil || !bytes.Equal(p, want) {
			t.Errorf("the content is not zeros from byte 40000 on: %v", err)
		}
		var runs []filesystem.Run
		for r := range file.Content.Runs() {
			runs = append(runs, r)
		}
		if len(runs) != 2 || runs[0].Extent.Length != 40960 || runs[0].Unwritten || !runs[1].Unwritten || runs[1].Offset != 40960 {
			t.Errorf("runs %+v", runs)
		}
	}
}

// TestDecompress holds the example of [MS-XCA], section 3.3, and what breaks
// it, against what comes out.
func TestDecompress(t *testing.T) {
	const plain = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D"
	packed, _ := hex.DecodeString("38b08846232000204720410010a24701a045204400084501507900c045200524138805b4024a44ef0358028c091601484500be009e000401189000")
	out := bytes.Repeat([]byte{0xAA}, 300)
	if err := decompress(out, packed); err != nil || string(bytes.TrimRight(out, "\x00")) != plain {
		t.Errorf("%q, %v", out, err)
	}
	for name, p := range map[string][]byte{
		"cut":                   packed[:20],
		"another signature":     append([]byte{0x38, 0x90}, packed[2:]...),
		"a copy of nothing":     {0x02, 0xB0, 0x01, 0x00, 0x00, 0x00},
		"a copy of before":      {0x04, 0xB0, 0x02, 'a', 0x00, 0x20, 0x00},
		"more than there is":    append([]byte{0x2C, 0x31}, make([]byte, 0x12D)...),
		"a chunk of one length": {0x01, 0xB0, 0x01, 0x00},
	} {
		if err := decompress(out, p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
