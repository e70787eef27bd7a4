package f2fs

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// made are volumes that mkfs.f2fs makes and sload.f2fs fills.
var made = []struct {
	name      string
	mib       int64
	mkfs      string
	uncounted string // why partclone does not count it
}{
	{"usual", 100, "-l flash", ""},
	{"small", 80, "", "it refuses what is below 100 MiB"},
	{"label of another script", 100, "-l größe日本 -U 01234567-89ab-cdef-0123-456789abcdef", ""},
	{"odd size", 101, "", ""},
	{"every feature", 100, "-C utf8 -O extra_attr,inode_checksum,sb_checksum,compression,inode_crtime,lost_found," +
		"quota,project_quota,verity,encrypt,casefold", ""},
	{"compression", 100, "-O extra_attr,compression", ""},
	{"read-only", 100, "-O ro", ""},
	{"large NAT bitmap", 128, "-i", "it refuses them"},
	{"2 segments in a section", 200, "-s 2", ""},
	{"5 segments in a section", 300, "-s 5", ""},
	{"zones", 300, "-z 3", ""},
	{"zones of sections", 500, "-s 2 -z 2", ""},
	{"overprovision", 200, "-o 40", ""},
	{"sectors of 4096", 100, "-w 4096", ""},
	{"from both ends", 100, "-a 1", ""},
	{"defaults of Android", 200, "-g android -w 4096", ""},
	{"large", 20_000, "-t 0", ""},
}

// fill puts files into a volume; the larger ones have several nodes.
func fill(t testing.TB, path string, rng *rand.Rand) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "files")
	for i := range 60 {
		name := filepath.Join(dir, fmt.Sprint("dir", i%4), fmt.Sprint("file", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		size := rng.Int64N(20_000)
		if i%20 == 0 {
			size = 1_000_000
		}
		if err := os.WriteFile(name, fstest.Noise(rng, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fstest.Run(t, "sload.f2fs", "-f", dir, path)
}

// makeVolume makes a volume and puts files into it.
func makeVolume(t testing.TB, mib int64, args string) string {
	t.Helper()
	path := fstest.Volume(t, mib<<20)
	fstest.Run(t, append(append([]string{"mkfs.f2fs", "-q", "-f"}, strings.Fields(args)...), path)...)
	fill(t, path, rand.New(rand.NewPCG(uint64(mib), 1)))
	return path
}

// TestMade holds volumes against blkid, fsck.f2fs and partclone.f2fs.
func TestMade(t *testing.T) {
	for _, m := range made {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel() // partclone waits a second for its clock
			path := makeVolume(t, m.mib, m.mkfs)
			opened, file := fstest.Open(t, path, Open)
			info := opened.Info()
			fstest.SameAsBlkid(t, path, info)
			if info.Size > m.mib<<20 || info.Size < m.mib<<20-8<<20 || info.State != filesystem.Clean || info.BlockSize != 4096 {
				t.Errorf("%+v", info)
			}
			list := fstest.Allocation(t, opened)
			f := opened.(*fileSystem)
			fsckAgrees(t, fstest.CopyAllocated(t, file, list), f)
			if m.uncounted == "" {
				partcloneAgrees(t, path, f)
			}
		})
	}
}

// partcloneAgrees holds the bitmap of partclone.f2fs against ours. In the main
// area they are equal. In front of it partclone counts everything, and so
// counts more:
//
//	the gap          blocks 2 up to segment 0, up to which nothing lies
//	the SSA          summaries of segments without a block in use, and what is
//	                 left of its last segment
//
// Behind the last segment partclone's bitmap is what it finds in memory.
func partcloneAgrees(t *testing.T, path string, f *fileSystem) {
	t.Helper()
	bitmap, blocks := partcloneBitmap(t, path)
	if blocks != f.area.blocks {
		t.Errorf("%d blocks, partclone says %d", f.area.blocks, blocks)
	}
	ours := make([]bool, blocks)
	for e, err := range f.Allocated() {
		if err != nil {
			t.Fatal(err)
		}
		for b := e.Offset; b < e.End(); b += f.block {
			ours[b/f.block] = true
		}
	}
	for b := range f.area.end() {
		theirs := bitmap[b/8]>>(b%8)&1 != 0
		if b < f.area.main && !theirs || b >= f.area.main && theirs != ours[b] {
			t.Fatalf("block %d of %+v: in use %v, partclone says %v", b, f.area, ours[b], theirs)
		}
	}
}

// partcloneBitmap lets partclone.f2fs read a volume: the head of its stream is
// 110 bytes, then follows the bitmap.
func partcloneBitmap(t *testing.T, path string) (bitmap []byte, blocks int64) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	cmd := exec.Command(fstest.Tool(t, "partclone.f2fs"), "-c", "-s", path, "-O", image, "-L", os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("partclone.f2fs: %v\n%s", err, out)
	}
	p := fstest.Load(t, image)
	if string(p[36:41]) != "F2FS\x00" {
		t.Fatalf("partclone.f2fs writes %q", p[:110])
	}
	return p[110:], int64(binary.LittleEndian.Uint64(p[60:]))
}

// The sample was written by Linux 6.12; its notes say what fsck.f2fs and
// partclone counted: 0x142 valid blocks, 0x12 free segments, 4418 blocks.
func TestFixture(t *testing.T) {
	path, sums := fstest.Fixture(t, "f2fs")
	opened, file := fstest.Open(t, path, Open)
	f := opened.(*fileSystem)
	if info := f.Info(); info.Label != "f2fs1" || info.State != filesystem.Clean || info.Size != 64<<20 {
		t.Errorf("%+v", info)
	}
	if n := f.views[0].cp.validBlocks(); n != 0x142 || f.area.main+n != 4418 {
		t.Errorf("%d valid blocks in %+v", n, f.area)
	}
	copied := fstest.CopyAllocated(t, file, fstest.Allocation(t, opened))
	fsckAgrees(t, copied, f)
	if len(sums) == 0 {
		t.Error("the sample has no sums")
	}
}
