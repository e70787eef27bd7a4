package ntfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// cases are parameters of mkntfs, each on a volume of size bytes.
var cases = []struct {
	name string
	size int64
	args string
}{
	{"512", 12 << 20, "-c 512"},
	{"512, odd number of sectors", 12<<20 + 7*512, "-c 512"},
	{"1024", 12 << 20, "-c 1024"},
	{"2048", 16<<20 + 512, "-c 2048"},
	{"4096", 24 << 20, ""},
	{"4096, no sector behind the last cluster but the copy", 24<<20 + 512, ""},
	{"4096, three sectors behind the last cluster", 24<<20 + 3*512, ""},
	{"8192", 24 << 20, "-c 8192"},
	{"16 KiB", 24 << 20, "-c 16384"},
	{"32 KiB", 32<<20 + 5*512, "-c 32768"},
	{"64 KiB", 48 << 20, "-c 65536"},
	{"128 KiB", 64 << 20, "-c 131072"},
	{"512 KiB", 128 << 20, "-c 524288"},
	{"1 MiB", 200 << 20, "-c 1048576"},
	{"2 MiB", 400<<20 + 1<<20, "-c 2097152"},
	{"sectors of 1024", 24 << 20, "-s 1024"},
	{"sectors of 4096", 24 << 20, "-s 4096"},
	{"sectors of 4096, clusters of 64 KiB", 64 << 20, "-s 4096 -c 65536"},
	{"compressed", 24 << 20, "-C"},
	{"volume larger than the file system", 24 << 20, "FILE 30000"},
	{"volume a little larger than the file system", 24<<20 + 4096, "FILE 49152"},
	{"large, sparse volume", 64 << 30, ""},
}

// makeVolume runs mkntfs on a new file.
func makeVolume(t testing.TB, size int64, args string) string {
	t.Helper()
	path := fstest.Volume(t, size)
	args, behind, _ := strings.Cut(args, "FILE ")
	words := append([]string{"mkntfs", "-q", "-F", "-f", "-L", "Wïndows"}, strings.Fields(args)...)
	fstest.Run(t, append(append(words, path), strings.Fields(behind)...)...)
	return path
}

// mount mounts a volume through ntfs-3g, without help from the kernel but
// FUSE. It gives the directory and what unmounts it.
func mount(t testing.TB, path, options string) (dir string, unmount func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root mounts")
	}
	dir = t.TempDir()
	cmd := exec.Command(fstest.Tool(t, "ntfs-3g"), path, dir, "-o", "streams_interface=windows,compression"+options)
	if out, err := cmd.CombinedOutput(); err != nil {
		if _, err := os.Stat("/dev/fuse"); err != nil {
			t.Skip("there is no /dev/fuse")
		}
		t.Fatalf("ntfs-3g: %v %s", err, out)
	}
	done := false
	unmount = func() {
		if !done {
			done = true
			fstest.Unmount(t, dir) // it returns when ntfs-3g has written everything
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}

// write writes a file; a volume that is full is as good as one with room.
func write(dir, name string, p []byte) {
	os.WriteFile(filepath.Join(dir, name), p, 0o644)
}

// churn writes and removes files of all kinds so that free space is in many
// pieces. scale is about the size of a file in bytes.
func churn(t testing.TB, dir string, scale int64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	packed := filepath.Join(dir, "packed")
	if err := os.MkdirAll(packed, 0o755); err != nil {
		t.Fatal(err)
	}
	// FILE_ATTRIBUTE_COMPRESSED; files made in it inherit it. Clusters above
	// 4 KiB do not allow it.
	unix.Setxattr(packed, "system.ntfs_attrib", []byte{0, 8, 0, 0}, 0)
	for i := range 100 {
		sub := fmt.Sprintf("d%d/ordner ß%d", i%5, i%3)
		os.MkdirAll(filepath.Join(dir, sub), 0o755)
		write(dir, fmt.Sprintf("%s/f%d", sub, i), fstest.Noise(rng, rng.Int64N(scale)))
	}
	for i := range 10 {
		text := bytes.Repeat([]byte(fmt.Sprintf("line %d of what packs well\n", i)), int(scale/10))
		write(packed, fmt.Sprint("text", i), text)
		write(packed, fmt.Sprint("noise", i), fstest.Noise(rng, scale))
	}
	write(dir, "small", []byte("lies in its MFT record"))
	write(dir, "small:stream", fstest.Noise(rng, 2*scale))
	write(dir, "d1:of a folder", fstest.Noise(rng, scale))
	write(dir, strings.Repeat("long ", 50), fstest.Noise(rng, scale))
	if f, err := os.Create(filepath.Join(dir, "sparse")); err == nil {
		f.WriteAt(fstest.Noise(rng, scale), 3*scale)
		f.WriteAt(fstest.Noise(rng, scale), 50*scale)
		f.Truncate(80 * scale)
		f.Close()
	}
	for i := 0; i < 100; i += 2 {
		os.Remove(filepath.Join(dir, fmt.Sprintf("d%d/ordner ß%d/f%d", i%5, i%3, i)))
	}
	os.Remove(filepath.Join(packed, "text3"))
	write(dir, "holes", fstest.Noise(rng, 15*scale))
	os.RemoveAll(filepath.Join(dir, "d4"))
}

// sums are the checksums of all files of a volume and of their streams.
func sums(t testing.TB, path string) map[string][32]byte {
	t.Helper()
	dir, unmount := mount(t, path, ",ro")
	defer unmount()
	out := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() && !d.IsDir() {
			return err
		}
		list := make([]byte, 4096)
		n, _ := unix.Lgetxattr(p, "system.ntfs_streams", list) // named streams: not every ntfs-3g has this
		for _, name := range append(strings.Split(string(list[:max(n, 0)]), "\x00"), "stream", "of a folder", "of a stream") {
			if b, err := os.ReadFile(p + ":" + name); err == nil && name != "" {
				out[strings.TrimPrefix(p, dir+"/")+":"+name] = sha256.Sum256(b)
			}
		}
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			out[strings.TrimPrefix(p, dir+"/")] = sha256.Sum256(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func openFile(t testing.TB, path string) (*fileSystem, *os.File) {
	t.Helper()
	opened, file := fstest.Open(t, path, Open)
	return opened.(*fileSystem), file
}

// allocation collects and checks what Allocated gives.
func allocation(t testing.TB, f *fileSystem) []extent.Extent {
	t.Helper()
	list, err := extent.Collect(f.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	info := f.Info()
	if err := extent.Validate(list, info.Size); err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Offset%info.BlockSize != 0 || e.Length%info.BlockSize != 0 && e.End() != f.size {
			t.Fatalf("extent %v is not of whole clusters", e)
		}
	}
	return list
}

// sameFiles says whether the extents alone bring back the file system: the
// checks of ntfsfix and ntfsresize pass, and every file is the same.
func sameFiles(t *testing.T, path string, file *os.File, list []extent.Extent) {
	t.Helper()
	copied := fstest.CopyAllocated(t, file, list)
	// It complains where the copy of the boot sector is not at the end of the
	// volume, as on one that grew: of the copy it must say the same.
	if before, after := fixReport(t, path), fixReport(t, copied); after != before {
		t.Errorf("ntfsfix -n: %s\nof the original:\n%s", after, before)
	}
	// It accounts for every cluster by the records' runs.
	if out, err := exec.Command(fstest.Tool(t, "ntfsresize"), "-i", "-f", copied).CombinedOutput(); err != nil && !bytes.Contains(out, []byte("is full")) && !bytes.Contains(out, []byte("Highly fragmented $Bitmap isn't supported")) {
		t.Errorf("ntfsresize -i: %v\n%s", err, out)
	}
	want := sums(t, path)
	if len(want) < 20 {
		t.Fatalf("only %d files", len(want))
	}
	if got := sums(t, copied); !maps.Equal(got, want) {
		t.Errorf("the files of the copy (%d of %d) are not the same", len(got), len(want))
	}
	f, _ := openFile(t, path)
	if got := fstest.FileSums(t, withoutSystem{f}); !maps.Equal(got, want) {
		t.Errorf("we read %d files, not the %d of ntfs-3g", len(got), len(want))
	}
	c, err := os.Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	was, is := make([]byte, 512), make([]byte, 512)
	for _, at := range []int64{f.boot.size(), f.size - f.boot.sector} {
		file.ReadAt(was, at)
		c.ReadAt(is, at)
		if string(was[3:11]) == magic && !bytes.Equal(was, is) {
			t.Errorf("the copy of the boot sector at byte %d is lost", at)
		}
	}
}

// fixReport is what ntfsfix says of a volume that it only looks at.
func fixReport(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command(fstest.Tool(t, "ntfsfix"), "-n", path).CombinedOutput()
	return fmt.Sprintf("%s%v", bytes.ReplaceAll(out, []byte(path), []byte("VOLUME")), err)
}

// used is what ntfsinfo says of the number of clusters in use.
func used(t testing.TB, path string) int64 {
	t.Helper()
	out := fstest.Run(t, "ntfsinfo", "-m", "-f", path)
	number := func(name string) int64 {
		m := regexp.MustCompile(name + `: (\d+)`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("ntfsinfo does not print %q:\n%s", name, out)
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return n
	}
	return number("Volume Size in Clusters") - number("Free Clusters")
}

func TestMatrix(t *testing.T) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			path := makeVolume(t, tt.size, tt.args)
			dir, unmount := mount(t, path, "")
			churn(t, dir, max(3000, min(tt.size/400, 40000)))
			unmount()
			f, file := openFile(t, path)
			list := allocation(t, f)
			info := f.Info()
			if total := extent.Total(list); total != info.Used {
				t.Errorf("Used %d, extents hold %d", info.Used, total)
			}
			fstest.SameAsBlkid(t, path, info)
			if info.State != filesystem.Clean {
				t.Errorf("state %q", info.State)
			}
			// Beyond ntfsinfo's count is only what lies behind the last cluster.
			if want := used(t, path)*info.BlockSize + extent.Total(f.tail); info.Used != want {
				t.Errorf("%d bytes in use, ntfsinfo says %d", info.Used, want)
			}
			sameFiles(t, path, file, list)
		})
	}
}

// TestAgainstPartclone holds the count of used blocks against that of
// partclone, which leaves out what lies behind the last cluster. Its programs
// sleep for seconds: they run at the same time.
func TestAgainstPartclone(t *testing.T) {
	fstest.Tool(t, "partclone.ntfs")
	var wg sync.WaitGroup
	for _, tt := range cases {
		if tt.size > 100<<20 {
			continue
		}
		path := makeVolume(t, tt.size, tt.args)
		dir, unmount := mount(t, path, "")
		churn(t, dir, 5000)
		unmount()
		f, _ := openFile(t, path)
		info := f.Info()
		wg.Go(func() {
			fstest.SameAsPartclone(t, "partclone.ntfs", tt.name, path, info.BlockSize, info.Used-extent.Total(f.tail))
		})
	}
	wg.Wait()
}
