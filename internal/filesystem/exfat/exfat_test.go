package exfat

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// cases are parameters of mkfs.exfat, each on a volume of kib KiB.
var cases = []struct {
	name string
	kib  int64
	args string
}{
	{"default", 65536, "-L Tëst"},
	{"no label", 65536, ""},
	{"not of whole clusters", 20003, "-c 4K -L x"},
	{"sectors as clusters", 30000, "-c 512 -L abcdefghijk"},
	{"large clusters", 300000, "-c 32M"},
	{"bitmap before the heap", 40000, "--pack-bitmap -c 2K"},
	{"large, sparse", 1 << 30, "-c 128K"},
	{"aligned to 4K", 8192, "-b 4K -c 1K"},
}

// run runs a program, which prints names as they are.
func run(t testing.TB, args ...string) string {
	t.Helper()
	return fstest.Run(t, append([]string{"env", "LC_ALL=C.UTF-8", fstest.Tool(t, args[0])}, args[1:]...)...)
}

func makeVolume(t testing.TB, kib int64, args string) string {
	t.Helper()
	path := fstest.Volume(t, kib<<10)
	run(t, append(append([]string{"mkfs.exfat"}, strings.Fields(args)...), path)...)
	return path
}

func openFile(t testing.TB, path string) (*fileSystem, *os.File) {
	t.Helper()
	opened, file := fstest.Open(t, path, Open)
	return opened.(*fileSystem), file
}

// judged compares what is said of a volume with blkid, and lets fsck.exfat judge a copy of what is in use.
func judged(t *testing.T, path string) (copied string) {
	opened, file := openFile(t, path)
	list := fstest.Allocation(t, opened)
	info := opened.Info()
	if info.State != filesystem.Clean {
		t.Errorf("state %q", info.State)
	}
	fstest.SameAsBlkid(t, path, info)
	copied = fstest.CopyAllocated(t, file, list)
	if out := run(t, "fsck.exfat", "-n", copied); !strings.Contains(out, "clean") {
		t.Errorf("fsck.exfat: %s", out)
	}
	return copied
}

// counted compares what is in use with the numbers of dump.exfat.
func counted(t *testing.T, path string) {
	t.Helper()
	opened, _ := openFile(t, path)
	dump := run(t, "dump.exfat", path)
	number := func(name string) int64 {
		m := regexp.MustCompile(name + `:\s+(\d+)`).FindStringSubmatch(dump)
		if m == nil {
			t.Fatalf("dump.exfat does not print %q:\n%s", name, dump)
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return n
	}
	heap := number(`Cluster Heap Offset \(sector offset\)`) * opened.boot.sector()
	if want := heap + (number("Total Clusters")-number("Free Clusters"))*number("Cluster size"); opened.info.Used != want {
		t.Errorf("%d bytes in use, dump.exfat says %d", opened.info.Used, want)
	}
}

func TestMatrix(t *testing.T) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			path := makeVolume(t, tt.kib, tt.args)
			counted(t, path)
			judged(t, path)
		})
	}
}

// TestLargeSectors makes the volume on a device with sectors of 4096 bytes.
func TestLargeSectors(t *testing.T) {
	path := makeVolume(t, 65536, "")
	run(t, "mkfs.exfat", "-L", "large", "-c", "8K", loop(t, path, 4096))
	if opened, _ := openFile(t, path); opened.boot.sector() != 4096 {
		t.Fatalf("sectors of %d bytes", opened.boot.sector())
	}
	judged(t, path)
}

// TestSample copies a volume that the kernel wrote to, with fragmented files
// and deletions, and compares all files with the sums taken through the kernel.
func TestSample(t *testing.T) {
	path, want := fstest.Fixture(t, "exfat-frag")
	copied := judged(t, path)
	opened, file := openFile(t, copied)
	if opened.Info().Used != 8576*512 { // partclone's count
		t.Errorf("%d bytes in use", opened.Info().Used)
	}
	got := map[string]string{}
	for name, sum := range fstest.FileSums(t, opened) {
		got[name] = fmt.Sprintf("%x", sum)
	}
	if len(want) < 50 || !maps.Equal(got, want) {
		t.Errorf("%d files, the manifest has %d; or they differ", len(got), len(want))
	}
	fstest.Contents(t, opened, file)
}

// TestAgainstPartclone holds the count of used sectors against that of
// partclone, whose programs sleep for seconds: they run at the same time.
func TestAgainstPartclone(t *testing.T) {
	fstest.Tool(t, "partclone.exfat")
	var wg sync.WaitGroup
	for _, tt := range cases {
		if tt.kib > 1<<20 {
			continue
		}
		path := makeVolume(t, tt.kib, tt.args)
		opened, _ := openFile(t, path)
		stream := filepath.Join(t.TempDir(), "stream")
		wg.Go(func() {
			out, err := exec.Command("partclone.exfat", "-c", "-s", path, "-O", stream, "-L", "/dev/null", "-B", "-F").CombinedOutput()
			if err != nil {
				t.Errorf("%s: partclone.exfat: %v %s", tt.name, err, bytes.TrimSpace(out))
				return
			}
			head, err := os.ReadFile(stream)
			if err != nil || len(head) < 110 {
				t.Errorf("%s: %d bytes, %v", tt.name, len(head), err)
				return
			}
			// The count by the bitmap, at byte 76; what it prints is another.
			if used := int64(le.Uint64(head[76:])) * int64(le.Uint32(head[84:])); used != opened.info.Used {
				t.Errorf("%s: %d bytes in use, partclone says %d", tt.name, opened.info.Used, used)
			}
		})
	}
	wg.Wait()
}

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 100000} {
		if _, err := Open(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}
