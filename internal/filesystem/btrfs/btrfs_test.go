package btrfs

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// cases are parameters of mkfs.btrfs, each on a volume of mib MiB.
var cases = []struct {
	name    string
	mib     int64
	args    string
	options string // of mount
	balance string // arguments of a balance at the end
}{
	{"defaults", 128, "", "", ""},
	{"xxhash64", 128, "--csum xxhash", "", ""},
	{"sha256", 128, "--csum sha256", "", ""},
	{"blake2b", 128, "--csum blake2", "", ""},
	{"compressed", 400, "", ",compress-force=zstd", "-dusage=90 -musage=90"},
	{"nodes of 4k", 128, "-n 4096", ",compress=lzo", ""},
	{"nodes of 64k", 160, "-n 65536", "", ""},
	{"mixed", 64, "--mixed", "", "--full-balance"},
	{"mixed, nodes of 4k, single", 40, "--mixed -n 4096 -m single -d single", "", ""},
	{"mixed, DUP", 300, "--mixed -m dup -d dup", "", ""},
	{"single metadata", 128, "-m single", "", ""},
	{"DUP data", 200, "-d dup -m dup", "", ""},
	{"single to DUP by balance", 1500, "-m single -d single", "", "--force -mconvert=dup -dconvert=dup"},
	{"DUP to single by balance", 256, "-m dup -d single", "", "--force -mconvert=single -sconvert=single"},
	{"RAID0 of one device", 256, "-m single -d single", "", "--force -dconvert=raid0"},
	{"no free space tree", 128, "-R ^free-space-tree", ",space_cache=v1", ""},
	{"holes", 128, "-O ^no-holes", "", ""},
	{"metadata items of old", 128, "-O ^skinny-metadata,^extref,^no-holes -R ^free-space-tree", "", ""},
	{"quota", 128, "-R quota", "", ""},
	{"block group tree", 128, "-O block-group-tree", "", ""},
	{"block group tree, mixed, nodes of 4k", 128, "-O block-group-tree --mixed -n 4096", "", ""},
	{"simple quota", 160, "-O squota", "", ""},
	{"sectors of 16k", 128, "-s 16384 -n 16384", "", ""},
	{"sectors of 64k", 200, "-s 65536 -n 65536", "", ""},
	{"smaller than its volume", 150, "-b 125829120", "", ""},
	{"three superblocks", 300 << 10, "", "", ""},
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// makeVolume runs mkfs.btrfs on a new file, with some files in it.
func makeVolume(t testing.TB, mib int64, args string) string {
	t.Helper()
	path := fstest.Volume(t, mib<<20)
	tree, rng := t.TempDir(), rand.New(rand.NewPCG(3, 4))
	for i := range 120 {
		write(t, filepath.Join(tree, fmt.Sprint("f", i)), fstest.Noise(rng, rng.Int64N(1<<(4+i%14))))
	}
	words := append([]string{"-q", "-f", "-L", "Tëst", "-r", tree}, strings.Fields(args)...)
	out, err := exec.Command(fstest.Tool(t, "mkfs.btrfs"), append(words, path)...).CombinedOutput()
	if bytes.Contains(out, []byte("unrecognized filesystem feature")) {
		t.Skipf("mkfs.btrfs is too old for %s", args)
	} else if err != nil {
		t.Fatalf("mkfs.btrfs %s: %v\n%s", args, err, out)
	}
	return path
}

// churn leaves subvolumes, snapshots, shared and compressed extents, files of
// many extents and many pieces of free space on a mounted volume.
func churn(t testing.TB, dir, balance string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	fstest.Run(t, "btrfs", "subvolume", "create", dir+"/sub")
	for i := range 300 {
		data := fstest.Noise(rng, rng.Int64N(9000))
		if i%3 == 0 {
			data = bytes.Repeat([]byte("all alike "), rng.IntN(3000))
		}
		write(t, fmt.Sprintf("%s/sub/g%d", dir, i), data)
	}
	write(t, dir+"/large", fstest.Noise(rng, 5<<20))
	fstest.Run(t, "sync", "-f", dir)
	fstest.Run(t, "btrfs", "subvolume", "snapshot", "-r", dir+"/sub", dir+"/snap")
	fstest.Run(t, "btrfs", "subvolume", "snapshot", dir+"/sub", dir+"/gone")
	for i := 0; i < 300; i += 2 {
		if err := os.Remove(fmt.Sprintf("%s/sub/g%d", dir, i)); err != nil {
			t.Fatal(err)
		}
	}
	fstest.Run(t, "cp", "--reflink=always", dir+"/large", dir+"/sub/shared")
	large, err := os.OpenFile(dir+"/large", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		if _, err := large.WriteAt(fstest.Noise(rng, 5000), rng.Int64N(4<<20)); err != nil {
			t.Fatal(err)
		}
	}
	large.Close()
	fstest.Run(t, "fallocate", "-l", "1M", dir+"/preallocated")
	fstest.Run(t, "btrfs", "subvolume", "delete", "--commit-after", dir+"/gone")
	if balance != "" {
		fstest.Run(t, append(append([]string{"btrfs", "balance", "start"}, strings.Fields(balance)...), dir)...)
	}
}

// openFile opens the volume in a file.
func openFile(t testing.TB, path string) (*fileSystem, *os.File) {
	t.Helper()
	opened, file := fstest.Open(t, path, Open)
	return opened.(*fileSystem), file
}

// number finds a number in the output of a program.
func number(t testing.TB, out, pattern string) int64 {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("%q is not in:\n%s", pattern, out)
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n
}

// superblocks are the bytes of superblocks behind the first MiB.
func superblocks(info filesystem.Info) (n int64) {
	for _, at := range superOffsets()[1:] {
		if at+superSize <= info.Size {
			n += info.BlockSize
		}
	}
	return n
}

// dumped counts the bytes of all extents that btrfs-progs finds, twice in the
// block groups that are DUP.
func dumped(t testing.TB, path string, nodeSize int64) (sum int64) {
	type span struct{ at, length int64 }
	var extents, groups []span
	dup := map[int64]bool{}
	item := regexp.MustCompile(`item \d+ key \((\d+) (EXTENT|METADATA|BLOCK_GROUP)_ITEM (\d+)\)`)
	for _, line := range strings.Split(fstest.Run(t, "btrfs", "inspect-internal", "dump-tree", path), "\n") {
		if m := item.FindStringSubmatch(line); m != nil {
			at, _ := strconv.ParseInt(m[1], 10, 64)
			length, _ := strconv.ParseInt(m[3], 10, 64)
			switch m[2] {
			case "METADATA":
				length = nodeSize
				fallthrough
			case "EXTENT":
				extents = append(extents, span{at, length})
			default:
				groups = append(groups, span{at, length})
			}
		} else if strings.Contains(line, "block group used") {
			dup[groups[len(groups)-1].at] = strings.Contains(line, "DUP")
		}
	}
	for _, g := range groups {
		for _, e := range extents {
			if e.at >= g.at && e.at < g.at+g.length {
				sum += e.length
				if dup[g.at] {
					sum += e.length
				}
			}
		}
	}
	return sum
}

// judge holds a copy of the allocated extents against the volume: by btrfs
// check, and by a mount, a scrub and the files where the volume could be mounted.
func judge(t testing.TB, copied, options string, want map[string][32]byte) {
	t.Helper()
	out := fstest.Run(t, "btrfs", "check", "--readonly", "--check-data-csum", copied)
	if !strings.Contains(out, "no error found") {
		t.Errorf("btrfs check: %s", out)
	}
	if want == nil {
		return
	}
	dir, ok := fstest.Mount(t, copied, options)
	if !ok {
		t.Fatal("the copy cannot be mounted")
	}
	defer fstest.Unmount(t, dir)
	if got := fstest.TreeSums(t, dir); len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("the files of the copy (%d of %d) are not the same", len(got), len(want))
	}
	out = fstest.Run(t, "btrfs", "scrub", "start", "-B", "-R", dir)
	for _, what := range []string{"read", "csum", "verify", "super", "uncorrectable"} {
		if n := number(t, out, what+`_errors: (\d+)`); n != 0 {
			t.Errorf("scrub: %d %s errors", n, what)
		}
	}
	if number(t, out, `tree_bytes_scrubbed: (\d+)`) == 0 {
		t.Errorf("scrub looked at nothing: %s", out)
	}
}

func TestMatrix(t *testing.T) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := makeVolume(t, tt.mib, tt.args)
			var want map[string][32]byte
			var usage int64
			if dir, ok := fstest.Mount(t, path, tt.options); ok {
				churn(t, dir, tt.balance)
				want = fstest.TreeSums(t, dir)
				fstest.Unmount(t, dir)
				dir, _ = fstest.Mount(t, path, ",ro")
				usage = number(t, fstest.Run(t, "btrfs", "filesystem", "usage", "-b", dir), `\sUsed:\s+(\d+)`)
				fstest.Unmount(t, dir)
			}
			f, file := openFile(t, path)
			list := fstest.Allocation(t, f)
			info := f.Info()
			fstest.SameAsBlkid(t, path, info)
			if info.Label != "Tëst" || info.State != filesystem.Clean {
				t.Errorf("info %+v", info)
			}
			beside := reserved + superblocks(info)
			if n := dumped(t, path, f.nodeSize); info.Used-beside != n {
				t.Errorf("%d bytes in use, dump-tree has %d", info.Used-beside, n)
			}
			if usage != 0 && info.Used-beside != usage {
				t.Errorf("%d bytes in use, filesystem usage says %d", info.Used-beside, usage)
			}
			judge(t, fstest.CopyAllocated(t, file, list), tt.options, want)
		})
	}
}
