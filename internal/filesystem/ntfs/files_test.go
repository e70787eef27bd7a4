package ntfs

import (
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

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
			fstest.Reads(t, withoutSystem{f})
			everyCluster(t, f)
			dir, unmount = mount(t, path, ",ro,noatime"+options)
			defer unmount()
			fstest.Tree{Links: true, Changed: true, Precision: 100}.Same(t, withoutSystem{f}, dir, func(path string) bool { return path == dosName })
			for file, err := range f.Files() { // ntfs-3g counts the name for DOS too
				if err != nil || file.Path == dosName && file.Links != 1 {
					t.Errorf("%+v, %v", file, err)
				}
			}
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
