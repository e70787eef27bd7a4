package btrfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// cases are parameters of mkfs.btrfs, each on a volume of mib MiB.
var cases = []struct {
	name    string
	mib     int64
	args    string
	options string // of mount; "no": the kernel of this machine can't mount it
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
	{"sectors of 16k", 128, "-s 16384 -n 16384", "no", ""},
	{"sectors of 64k", 200, "-s 65536 -n 65536", "no", ""},
	{"smaller than its volume", 150, "-b 125829120", "", ""},
	{"three superblocks", 300 << 10, "", "", ""},
}

func tool(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
}

func run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(tool(t, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func noise(rng *rand.Rand, n int64) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
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
	path := filepath.Join(t.TempDir(), "volume")
	write(t, path, nil)
	if err := os.Truncate(path, mib<<20); err != nil {
		t.Fatal(err)
	}
	tree, rng := t.TempDir(), rand.New(rand.NewPCG(3, 4))
	for i := range 120 {
		write(t, filepath.Join(tree, fmt.Sprint("f", i)), noise(rng, rng.Int64N(1<<(4+i%14))))
	}
	words := append([]string{"-q", "-f", "-L", "Tëst", "-r", tree}, strings.Fields(args)...)
	out, err := exec.Command(tool(t, "mkfs.btrfs"), append(words, path)...).CombinedOutput()
	if bytes.Contains(out, []byte("unrecognized filesystem feature")) {
		t.Skipf("mkfs.btrfs is too old for %s", args)
	} else if err != nil {
		t.Fatalf("mkfs.btrfs %s: %v\n%s", args, err, out)
	}
	return path
}

// mount mounts a volume and gives the directory; ok is false where this
// process may not mount.
func mount(t testing.TB, path, options string) (dir string, ok bool) {
	t.Helper()
	if os.Getuid() != 0 || options == "no" {
		return "", false
	}
	dir = t.TempDir()
	out, err := exec.Command("mount", "-t", "btrfs", "-o", "loop"+options, path, dir).CombinedOutput()
	if err != nil {
		t.Logf("cannot mount: %s", bytes.TrimSpace(out))
		return "", false
	}
	t.Cleanup(func() { exec.Command("umount", "--lazy", dir).Run() })
	return dir, true
}

// unmount waits for others that look into every new mount for a moment.
func unmount(t testing.TB, dir string) {
	t.Helper()
	for range 20 {
		if exec.Command("umount", dir).Run() == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	run(t, "umount", dir)
}

// churn leaves subvolumes, snapshots, shared and compressed extents, files of
// many extents and many pieces of free space on a mounted volume.
func churn(t testing.TB, dir, balance string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	run(t, "btrfs", "subvolume", "create", dir+"/sub")
	for i := range 300 {
		data := noise(rng, rng.Int64N(9000))
		if i%3 == 0 {
			data = bytes.Repeat([]byte("all alike "), rng.IntN(3000))
		}
		write(t, fmt.Sprintf("%s/sub/g%d", dir, i), data)
	}
	write(t, dir+"/large", noise(rng, 5<<20))
	run(t, "sync", "-f", dir)
	run(t, "btrfs", "subvolume", "snapshot", "-r", dir+"/sub", dir+"/snap")
	run(t, "btrfs", "subvolume", "snapshot", dir+"/sub", dir+"/gone")
	for i := 0; i < 300; i += 2 {
		if err := os.Remove(fmt.Sprintf("%s/sub/g%d", dir, i)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "cp", "--reflink=always", dir+"/large", dir+"/sub/shared")
	large, err := os.OpenFile(dir+"/large", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 60 {
		if _, err := large.WriteAt(noise(rng, 5000), rng.Int64N(4<<20)); err != nil {
			t.Fatal(err)
		}
	}
	large.Close()
	run(t, "fallocate", "-l", "1M", dir+"/preallocated")
	run(t, "btrfs", "subvolume", "delete", "--commit-after", dir+"/gone")
	if balance != "" {
		run(t, append(append([]string{"btrfs", "balance", "start"}, strings.Fields(balance)...), dir)...)
	}
}

// openFile opens the volume in a file.
func openFile(t testing.TB, path string) (*fileSystem, *os.File) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := open(file, st.Size(), checksumOf)
	if err != nil {
		t.Fatal(err)
	}
	return f, file
}

// allocation collects and checks what Allocated gives.
func allocation(t testing.TB, f *fileSystem) []extent.Extent {
	t.Helper()
	var list []extent.Extent
	for e, err := range f.Allocated() {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	info := f.Info()
	if err := extent.Validate(list, info.Size); err != nil {
		t.Fatal(err)
	}
	if n := len(extent.Merge(list)); n != len(list) {
		t.Errorf("%d extents, %d when those that touch are joined", len(list), n)
	}
	for _, e := range list {
		if e.Offset%info.BlockSize != 0 || e.Length%info.BlockSize != 0 {
			t.Fatalf("extent %v is not of whole blocks", e)
		}
	}
	if used := extent.Total(list); used != info.Used {
		t.Errorf("Used %d, extents hold %d", info.Used, used)
	}
	return list
}

// copyAllocated copies the extents of file onto a new volume that is full of
// garbage: at every place where small, behind the used extents where large.
func copyAllocated(t testing.TB, file *os.File, list []extent.Extent) string {
	t.Helper()
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := out.Truncate(st.Size()); err != nil {
		t.Fatal(err)
	}
	garbage := noise(rand.New(rand.NewPCG(7, 8)), 1<<20)
	for _, e := range extent.Invert(list, st.Size()) {
		for done := int64(0); done < min(e.Length, 20<<20); {
			n, err := out.WriteAt(garbage[:min(int64(len(garbage)), e.Length-done)], e.Offset+done)
			if err != nil {
				t.Fatal(err)
			}
			done += int64(n)
		}
	}
	for _, e := range list {
		if _, err := io.Copy(io.NewOffsetWriter(out, e.Offset), io.NewSectionReader(file, e.Offset, e.Length)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// sums are the checksums of all files below a directory.
func sums(t testing.TB, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		out[strings.TrimPrefix(p, dir)] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
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
	for _, line := range strings.Split(run(t, "btrfs", "inspect-internal", "dump-tree", path), "\n") {
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
// check, and by a mount, a scrub and the files where it can be mounted.
func judge(t testing.TB, copied, options string, want map[string][32]byte) {
	t.Helper()
	out := run(t, "btrfs", "check", "--readonly", "--check-data-csum", copied)
	if !strings.Contains(out, "no error found") {
		t.Errorf("btrfs check: %s", out)
	}
	dir, ok := mount(t, copied, options)
	if !ok {
		return
	}
	defer unmount(t, dir)
	if got := sums(t, dir); len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("the files of the copy (%d of %d) are not the same", len(got), len(want))
	}
	out = run(t, "btrfs", "scrub", "start", "-B", "-R", dir)
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
			if dir, ok := mount(t, path, tt.options); ok {
				churn(t, dir, tt.balance)
				want = sums(t, dir)
				unmount(t, dir)
				dir, _ = mount(t, path, ",ro")
				usage = number(t, run(t, "btrfs", "filesystem", "usage", "-b", dir), `\sUsed:\s+(\d+)`)
				unmount(t, dir)
			}
			f, file := openFile(t, path)
			list := allocation(t, f)
			info := f.Info()
			if uuid := strings.TrimSpace(run(t, "blkid", "-p", "-o", "value", "-s", "UUID", path)); info.UUID != uuid || info.Type != "btrfs" || info.Label != "Tëst" || info.State != filesystem.Clean {
				t.Errorf("info %+v, blkid says %s", info, uuid)
			}
			beside := reserved + superblocks(info)
			if n := dumped(t, path, f.nodeSize); info.Used-beside != n {
				t.Errorf("%d bytes in use, dump-tree has %d", info.Used-beside, n)
			}
			if usage != 0 && info.Used-beside != usage {
				t.Errorf("%d bytes in use, filesystem usage says %d", info.Used-beside, usage)
			}
			judge(t, copyAllocated(t, file, list), tt.options, want)
		})
	}
}
