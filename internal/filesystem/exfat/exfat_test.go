package exfat

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"doppel.live/internal/extent"
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
	for tag, value := range map[string]string{"TYPE": info.Type, "LABEL": info.Label, "UUID": info.UUID} {
		if want := strings.TrimSpace(run(t, "blkid", "-p", "-o", "value", "-s", tag, path)); value != want {
			t.Errorf("%s %q, blkid says %q", tag, value, want)
		}
	}
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
	out, err := exec.Command(fstest.Tool(t, "losetup"), "-f", "--show", "-b", "4096", path).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device with large sectors: %s", out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", device).Run() })
	run(t, "mkfs.exfat", "-L", "large", "-c", "8K", device)
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
	readTree(t, opened, file, opened.boot.root(), 0, "", got)
	if len(want) < 50 || !maps.Equal(got, want) {
		t.Errorf("%d files, the manifest has %d; or they differ", len(got), len(want))
	}
}

// readTree reads directories and files, as the specification says: entry sets
// of file (85), stream (C0) and names (C1); clusters are contiguous, size
// bytes, where bit 1 of the stream's flags is set.
func readTree(t *testing.T, f *fileSystem, r io.ReaderAt, first, contiguous int64, dir string, sums map[string]string) {
	p := content(t, f, r, first, contiguous)
	for ; len(p) >= 32 && p[0] != 0; p = p[32:] {
		if p[0] != 0x85 {
			continue
		}
		count, stream := int(p[1]), p[32:64]
		units := []byte{}
		for i := 2; i <= count; i++ {
			units = append(units, p[32*i+2:32*i+32]...)
		}
		name := utf16Text(units[:2*int(stream[3])])
		size, cluster := int64(le.Uint64(stream[24:])), int64(le.Uint32(stream[20:]))
		straight := int64(0)
		if stream[1]&2 != 0 {
			straight = size
		}
		if p[4]&0x10 != 0 {
			readTree(t, f, r, cluster, straight, dir+name+"/", sums)
			continue
		}
		data := []byte{}
		if size > 0 {
			data = content(t, f, r, cluster, straight)[:size]
		}
		sums[dir+name] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
}

// content is all of a chain, or that many bytes in whole clusters.
func content(t *testing.T, f *fileSystem, r io.ReaderAt, first, contiguous int64) []byte {
	t.Helper()
	n := (contiguous + f.boot.clusterSize() - 1) / f.boot.clusterSize()
	runs := []extent.Extent{{Offset: first, Length: n}}
	if n == 0 {
		var err error
		if runs, err = f.chain(first, f.boot.clusters()); err != nil {
			t.Fatal(err)
		}
	}
	var all []byte
	for _, e := range runs {
		p := make([]byte, e.Length*f.boot.clusterSize())
		if err := readFull(r, p, f.boot.offset(e.Offset)); err != nil {
			t.Fatal(err)
		}
		all = append(all, p...)
	}
	return all
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
