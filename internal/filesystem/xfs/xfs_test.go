package xfs

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// cases are parameters of mkfs.xfs, each on a volume of mib MiB. Not every
// kernel mounts version 4, and none of x86 had blocks larger than its pages
// before Linux 6.12.
var cases = []struct {
	name string
	mib  int64
	args string
}{
	{"default", 64, ""},
	{"default, as large as mkfs.xfs likes it", 320, ""},
	{"version 4", 64, "-m crc=0"},
	{"version 4, 512", 40, "-m crc=0 -b size=512"},
	{"version 4, 64k", 300, "-m crc=0 -b size=65536"},
	{"version 4, first version of the log", 64, "-m crc=0 -l version=1"},
	{"version 4, no lazy counters", 64, "-m crc=0 -l lazy-count=0"},
	{"version 4, first version of attributes", 64, "-m crc=0 -i attr=1,projid32bit=0 -n ftype=0"},
	{"version 4, case folded", 64, "-m crc=0 -n version=ci"},
	{"1k", 64, "-b size=1024"},
	{"2k", 64, "-b size=2048"},
	{"8k", 128, "-b size=8192"},
	{"16k", 240, "-b size=16384"},
	{"64k", 900, "-b size=65536"},
	{"no reflink", 64, "-m reflink=0"},
	{"rmapbt", 64, "-m rmapbt=1"},
	{"rmapbt, 1k", 64, "-m rmapbt=1 -b size=1024"},
	{"no finobt", 64, "-m finobt=0,inobtcount=0"},
	{"no inobtcount", 64, "-m inobtcount=0"},
	{"no bigtime", 64, "-m bigtime=0"},
	{"no reflink, no finobt, no sparse inodes", 64, "-m reflink=0,finobt=0,inobtcount=0,bigtime=0 -i sparse=0"},
	{"64-bit counts of extents", 64, "-i nrext64=1"},
	{"inodes of 2048", 64, "-i size=2048"},
	{"16 groups", 300, "-d agcount=16"},
	{"99 groups", 1700, "-d agcount=99"},
	{"one group", 64, "-d agcount=1"},
	{"short last group", 101, "-d agsize=24m"},
	{"volume larger than the file system", 101, "-d size=70m"},
	{"small log", 64, "-l size=9m" + smallLog},
	{"large log", 300, "-l size=70m"},
	{"log in group 1", 120, "-d agcount=4 -l agnum=1,size=8m" + smallLog},
	{"log with stripes", 64, "-l su=64k"},
	{"log with large stripes", 100, "-l su=256k"},
	{"striped", 100, "-d su=64k,sw=4"},
	{"sectors of 4096", 64, "-s size=4096"},
	{"sectors of 2048, 2k", 64, "-s size=2048 -b size=2048"},
	{"sectors of 32768, 32k", 600, "-s size=32768 -b size=32768"},
	{"large directory blocks", 64, "-n size=65536"},
}

// smallLog leaves out what mkfs.xfs since 6.5 or so turns on by itself, and for
// which it wants a log of 12 MiB at least.
const smallLog = " -m rmapbt=0 -i nrext64=0"

// makeVolume runs mkfs.xfs on a new file, which gets a few files by a
// prototype so that volumes which cannot be mounted are not empty. The test is
// skipped where this mkfs.xfs refuses the parameters; without any it may not.
func makeVolume(t testing.TB, mib int64, args string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "volume")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(mib << 20); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, uint64(mib)))
	var proto bytes.Buffer
	proto.WriteString("/none\n0 0\nd--755 0 0\n")
	for i := range 40 {
		name := filepath.Join(dir, fmt.Sprint("p", i))
		if err := os.WriteFile(name, fstest.Noise(rng, rng.Int64N(100000)), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&proto, "p%d ---644 0 0 %s\n", i, name)
	}
	proto.WriteString("$\n$\n")
	if err := os.WriteFile(filepath.Join(dir, "proto"), proto.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	// What follows a comma would be an option of -p, and the directory may have one in its name.
	words := append([]string{"--unsupported", "-q", "-f", "-L", "Tëst", "-p", "proto"}, strings.Fields(args)...)
	mkfs := exec.Command(fstest.Tool(t, "mkfs.xfs"), append(words, path)...)
	mkfs.Dir = dir
	if out, err := mkfs.CombinedOutput(); err != nil {
		reason, _, _ := bytes.Cut(out, []byte("\n"))
		if args == "" {
			t.Fatalf("mkfs.xfs: %v\n%s", err, out)
		}
		t.Skipf("mkfs.xfs %s: %v: %s", args, err, reason)
	}
	return path
}

// churn writes and removes files so that free space is in many pieces.
func churn(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 200 {
		// A full volume is as good as one with room.
		os.WriteFile(filepath.Join(dir, fmt.Sprint("g", i)), fstest.Noise(rng, rng.Int64N(60000)), 0o644)
	}
	fstest.Run(t, "sync", "-f", dir)
	for i := 0; i < 200; i += 2 {
		os.Remove(filepath.Join(dir, fmt.Sprint("g", i)))
	}
	os.WriteFile(filepath.Join(dir, "holes"), fstest.Noise(rng, 700_000), 0o644)
	exec.Command("cp", "--reflink=always", filepath.Join(dir, "holes"), filepath.Join(dir, "shared")).Run()
	if f, err := os.OpenFile(filepath.Join(dir, "shared"), os.O_WRONLY, 0); err == nil {
		f.WriteAt(fstest.Noise(rng, 100_000), 300_000) // copied on write
		f.Close()
	}
	if f, err := os.Create(filepath.Join(dir, "punched")); err == nil {
		for i := range int64(400) {
			f.WriteAt(fstest.Noise(rng, 4096), i*12288)
		}
		f.Close()
	}
}

// numbers are fields that xfs_db prints, from one place.
func numbers(t testing.TB, path, place string, names ...string) []int64 {
	t.Helper()
	out := fstest.Run(t, "xfs_db", "-r", "-c", place, "-c", "print "+strings.Join(names, " "), path)
	var list []int64
	for _, m := range regexp.MustCompile(`(?m)^\w+ = (\d+)$`).FindAllStringSubmatch(out, -1) {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		list = append(list, n)
	}
	if len(list) != len(names) {
		t.Fatalf("xfs_db prints %s", out)
	}
	return list
}

// freeByXFS is what xfs_db finds free: the tree of free space by length, and
// the free lists. It gives both together, the number of blocks in the lists,
// and the blocks of trees, the roots left out.
func freeByXFS(t testing.TB, path string) (free []extent.Extent, listed, trees int64) {
	t.Helper()
	sb := numbers(t, path, "sb 0", "agcount", "agblocks", "blocksize", "dblocks", "fdblocks")
	for _, line := range strings.Split(fstest.Run(t, "xfs_db", "-r", "-c", "freesp -c -d", path), "\n") {
		var group, block, count int64
		if n, _ := fmt.Sscan(line, &group, &block, &count); n == 3 && len(strings.Fields(line)) == 3 {
			free = append(free, extent.Extent{Offset: (group*sb[1] + block) * sb[2], Length: count * sb[2]})
		}
	}
	for n := range sb[0] {
		agf := numbers(t, path, fmt.Sprint("agf ", n), "flcount", "btreeblks")
		listed, trees = listed+agf[0], trees+agf[1]
	}
	return extent.Union(free), listed, trees
}

func TestMatrix(t *testing.T) {
	fstest.Tool(t, "mkfs.xfs")
	mounted := 0
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			path := makeVolume(t, tt.mib, tt.args)
			want := map[string][32]byte{}
			if dir, ok := fstest.Mount(t, path, ""); ok {
				churn(t, dir)
				want = fstest.TreeSums(t, dir)
				fstest.Unmount(t, dir)
				mounted++
			}
			opened, file := fstest.Open(t, path, Open)
			list := fstest.Allocation(t, opened)
			info := opened.Info()
			if info.State != filesystem.Clean || info.Label != "Tëst" || info.Type != "xfs" {
				t.Errorf("info %+v", info)
			}
			// What xfs_db finds free and we do not are the free lists.
			free, listed, _ := freeByXFS(t, path)
			ours := extent.Invert(list, info.Size)
			if more := extent.Total(free) - extent.Total(ours); more != listed*info.BlockSize {
				t.Errorf("xfs_db finds %d more bytes free, the free lists have %d blocks of %d", more, listed, info.BlockSize)
			}
			if !slices.Equal(extent.Union(free, ours), free) {
				t.Error("not all is free that we find free")
			}
			copied := fstest.CopyAllocated(t, file, list)
			fstest.Run(t, "xfs_repair", "-n", "-o", "force_geometry", copied)
			if len(want) == 0 {
				return
			}
			dir, ok := fstest.Mount(t, copied, ",ro,norecovery")
			if !ok {
				t.Fatal("the copy cannot be mounted")
			}
			if !maps.Equal(fstest.TreeSums(t, dir), want) {
				t.Errorf("the files of the copy (of %d) are not the same", len(want))
			}
			fstest.Unmount(t, dir)
		})
	}
	t.Logf("%d of %d were mounted", mounted, len(cases))
}

// TestAgainstPartclone holds the count of used blocks against that of
// partclone. That is the superblock's, which takes for free what the trees and
// free lists of free space may give back: the blocks of the lists, and those of
// the trees but their roots. They hold no files, but what is in use they are.
// Since 0.3.36, perhaps before, it counts the blocks of trees in use as well.
// partclone sleeps for seconds: all of it runs at the same time.
func TestAgainstPartclone(t *testing.T) {
	fstest.Tool(t, "partclone.xfs")
	for _, tt := range cases {
		if !strings.Contains(tt.name, "default") && !strings.Contains(tt.name, "1k") && !strings.Contains(tt.name, "version 4") && !strings.Contains(tt.name, "group") {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := makeVolume(t, tt.mib, tt.args)
			if dir, ok := fstest.Mount(t, path, ""); ok {
				churn(t, dir)
				fstest.Unmount(t, dir)
			}
			opened, _ := fstest.Open(t, path, Open)
			ours := opened.Info().Used / opened.Info().BlockSize
			_, listed, trees := freeByXFS(t, path)
			blocks, version := usedByPartclone(t, path)
			with, without := blocks+listed == ours, blocks+listed+trees == ours
			if version <= 23 && !without || version >= 36 && !with || !with && !without {
				t.Errorf("%d blocks in use, partclone 0.3.%d says %d, %d are in free lists, %d in trees", ours, version, blocks, listed, trees)
			}
		})
	}
}

// usedByPartclone is how many blocks partclone 0.3.VERSION counts.
func usedByPartclone(t *testing.T, path string) (blocks, version int64) {
	t.Helper()
	out := fstest.Run(t, "partclone.xfs", "-c", "-d", "-s", path, "-O", "/dev/null", "-L", "/dev/null", "-B", "-F")
	used := regexp.MustCompile(`Space in use: .* = (\d+) Blocks`).FindStringSubmatch(out)
	v := regexp.MustCompile(`Partclone v0\.3\.(\d+)`).FindStringSubmatch(out)
	if used == nil || v == nil {
		t.Fatalf("partclone.xfs prints no version or no used blocks: %s", out)
	}
	blocks, _ = strconv.ParseInt(used[1], 10, 64)
	version, _ = strconv.ParseInt(v[1], 10, 64)
	return blocks, version
}
