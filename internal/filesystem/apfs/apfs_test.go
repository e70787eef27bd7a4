package apfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/partclone"
)

const (
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

// cases are parameters of mkapfs, each on a volume of size bytes. Its version
// 0.1 makes no containers below 512 MiB or with more than one bitmap block of
// the internal pool.
var cases = []struct {
	name string
	size int64
	args string
}{
	{"default", 512 * mib, ""},
	{"labelled", 513 * mib, "-L Tëst"},
	{"case-sensitive", 600 * mib, "-s"},
	{"sensitive to normalization", 600 * mib, "-z -L z"},
	{"both, with its UUIDs", gib, "-s -z -U 12345678-9abc-def0-1234-56789abcdef0 -u 11111111-2222-3333-4444-555555555555"},
	{"not of whole blocks", 520*mib + 3*512, "-L x"},
	{"last chunk of one block", 640*mib + 4096, ""},
	{"several chunks", 5 * gib, ""},
	{"several CIBs", 50 * gib, ""},
	{"last CIB of one chunk", 126*128*mib + 4096, ""},
	{"many CIBs", tib, ""},
	{"smallest", mib, ""},
	{"small", 8 * mib, "-L small"},
	{"not quite small", 33*mib + 511, ""},
	{"space manager of two blocks", 7 * tib, ""},
	{"two CABs", 8 * tib, ""},
}

// makeVolume runs mkapfs on a new file. Where apfsck does not like the result,
// or mkapfs the size, these programs are too old for it.
func makeVolume(t testing.TB, size int64, args string) string {
	t.Helper()
	path := fstest.Volume(t, size)
	out, err := exec.Command(fstest.Tool(t, "mkapfs"), append(strings.Fields(args), path)...).CombinedOutput()
	if bytes.Contains(out, []byte("not")) && bytes.Contains(out, []byte("supported")) {
		t.Skipf("this mkapfs is too old: %s", out)
	}
	if err != nil {
		t.Fatalf("mkapfs: %v %s", err, out)
	}
	return path
}

// judged says what apfsck finds.
func judged(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.Command(fstest.Tool(t, "apfsck"), "-cuw", path).CombinedOutput()
	if err != nil && len(out) == 0 {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

func TestMatrix(t *testing.T) {
	fstest.Tool(t, "mkapfs")
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // partclone sleeps for seconds
			path := makeVolume(t, tt.size, tt.args)
			if tt.size > tib {
				if out := judged(t, path); out != "" {
					t.Skipf("this mkapfs or apfsck is too old for so large a container: %s", out)
				}
			}
			opened, file := fstest.Open(t, path, Open)
			list := fstest.Allocation(t, opened)
			info := opened.Info()
			if info.Type != "apfs" || info.State != filesystem.Clean || info.Size != tt.size/4096*4096 || info.BlockSize != 4096 || info.Label != "" {
				t.Errorf("info %+v", info)
			}
			sameAsBlkid(t, path, info)
			if tt.size <= 6*gib { // partclone does not end with the largest ones
				sameAsPartclone(t, path, info, list)
			}
			if out := judged(t, fstest.CopyAllocated(t, file, list)); out != "" {
				t.Errorf("apfsck says of the copy: %s", out)
			}
		})
	}
}

// sameAsBlkid holds the names of a container against those of blkid.
func sameAsBlkid(t *testing.T, path string, info filesystem.Info) {
	t.Helper()
	blkid, err := exec.LookPath("/usr/sbin/blkid")
	if err != nil {
		return
	}
	out := fstest.Run(t, blkid, "-p", "-o", "export", path)
	for _, want := range []string{"TYPE=apfs\n", "UUID=" + info.UUID + "\n", "BLOCK_SIZE=4096\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("blkid does not say %q: %s", want, out)
		}
	}
	if strings.Contains(out, "LABEL") {
		t.Errorf("blkid knows a label: %s", out)
	}
}

// sameAsPartclone holds an allocation against the bitmap that partclone makes.
func sameAsPartclone(t *testing.T, path string, info filesystem.Info, list []extent.Extent) {
	t.Helper()
	program := ""
	for _, dir := range []string{"", "/usr/sbin/"} {
		if found, err := exec.LookPath(dir + "partclone.apfs"); err == nil {
			program = found
		}
	}
	if program == "" {
		t.Log("no partclone.apfs")
		return
	}
	stream := filepath.Join(t.TempDir(), "stream")
	fstest.Run(t, program, "-c", "-d", "-s", path, "-O", stream, "-L", "/dev/null", "-B", "-F")
	file, err := os.Open(stream)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := partclone.NewReader(file, 1<<44)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := extent.Collect(r.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	if h := r.Header; h.FileSystem != "APFS" || int64(h.BlockSize) != info.BlockSize || int64(h.UsedByFS)*info.BlockSize != info.Used {
		t.Errorf("partclone: %+v, ours: %+v", h, info)
	}
	// Where the last chunk is not whole and has no bitmap, partclone takes
	// garbage for one.
	chunk := 8 * info.BlockSize * info.BlockSize
	last := (info.Size - 1) / chunk * chunk
	if info.Size%chunk != 0 && list[len(list)-1].End() <= last {
		theirs = upTo(theirs, last)
	}
	if !slices.Equal(theirs, list) {
		t.Errorf("partclone: %d extents of %d bytes; ours: %d of %d", len(theirs), extent.Total(theirs), len(list), extent.Total(list))
	}
}

// upTo cuts a list.
func upTo(list []extent.Extent, end int64) []extent.Extent {
	var out []extent.Extent
	for _, e := range list {
		if e.Offset < end {
			out = append(out, extent.Extent{Offset: e.Offset, Length: min(e.Length, end-e.Offset)})
		}
	}
	return out
}

// fixtures are containers with files: of the Linux module, and of macOS.
func fixture(t testing.TB, name string) (path string, sums map[string]string) {
	t.Helper()
	if name == "macOS" {
		return fstest.Unpack(t, "../../../../shared/fixtures/dfvfs-apfs.raw.xz"), nil
	}
	return fstest.Fixture(t, name)
}

// TestFixtures copies what is in use of containers with files over garbage:
// libfsapfs reads all files from it as before.
func TestFixtures(t *testing.T) {
	for _, name := range []string{"apfs", "macOS"} {
		t.Run(name, func(t *testing.T) {
			path, sums := fixture(t, name)
			opened, file := fstest.Open(t, path, Open)
			list := fstest.Allocation(t, opened)
			info := opened.Info()
			if info.State != filesystem.Clean {
				t.Errorf("info %+v", info)
			}
			sameAsBlkid(t, path, info)
			sameAsPartclone(t, path, info, list)
			copied := fstest.CopyAllocated(t, file, list)
			t.Run("apfsck", func(t *testing.T) {
				if out := judged(t, path); out != "" {
					t.Skipf("this apfsck is too old: %s", out)
				}
				if out := judged(t, copied); out != "" {
					t.Errorf("apfsck says of the copy: %s", out)
				}
			})
			before := files(t, path)
			if after := files(t, copied); len(before) == 0 || !sameFiles(before, after) {
				t.Errorf("the files of the copy, %d, are not the %d of the container", len(after), len(before))
			}
			for f, sum := range sums {
				if before[f] != sum {
					t.Errorf("%s: %s, the manifest says %s", f, before[f], sum)
				}
			}
		})
	}
}

// TestUsed holds the figures of the sample against those that the kernel and
// partclone gave for it where it was made.
func TestUsed(t *testing.T) {
	path, _ := fstest.Fixture(t, "apfs")
	stats, err := os.ReadFile("../../../../shared/fixtures/filesystems/apfs.stats")
	if err != nil {
		t.Skip(err)
	}
	opened, _ := fstest.Open(t, path, Open)
	used := regexp.MustCompile(` usedblocks=(\d+)`).FindSubmatch(stats)
	free := regexp.MustCompile(` blocks=8192 free=(\d+)`).FindSubmatch(stats)
	if used == nil || free == nil || string(used[1]) != "463" || string(free[1]) != "7729" || opened.Info().Used != 463*4096 {
		t.Errorf("%+v, used %q, free %q", opened.Info(), used, free)
	}
}
