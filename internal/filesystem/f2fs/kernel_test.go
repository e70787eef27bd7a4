package f2fs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/vm/lab"
)

// written are volumes that Linux writes to: how they are made, how mounted.
var written = []struct {
	name  string
	mib   int64
	mkfs  string
	mount string
}{
	{"usual", 64, "", ""},
	{"all nodes large", 64, "", ",noinline_data,noinline_dentry,noinline_xattr"},
	{"attributes", 64, "-O extra_attr,inode_checksum,sb_checksum,inode_crtime,lost_found", ""},
	{"quota", 64, "-O extra_attr,quota,project_quota", ",usrquota,grpquota,prjquota"},
	{"flexible attributes", 64, "-O extra_attr,flexible_inline_xattr", ",inline_xattr_size=80"},
	{"encrypt, verity, two logs", 64, "-O encrypt,verity", ",active_logs=2"}, // each fsync makes a checkpoint
	{"large NAT bitmap", 64, "-i", ""},
	{"3 segments in a section", 200, "-s 3", ""},
	{"zones", 160, "-s 2 -z 2", ""},
	{"overprovision", 100, "-o 30", ",background_gc=off"},
	{"sectors of 4096", 64, "-w 4096", ",mode=lfs"},
	{"from both ends", 64, "-a 1", ",active_logs=4,fsync_mode=strict"},
	{"fragmented blocks", 100, "", ",mode=fragment:block"},
	{"fragmented segments", 64, "", ",mode=fragment:segment,noextent_cache"},
}

// TestKernel lets Linux write to volumes in files and copies what is in use of
// each onto garbage: while it is mounted, as after a power cut, and when it was
// unmounted. Linux must read the same files of the copy as of the whole, and
// fsck.f2fs be content.
func TestKernel(t *testing.T) {
	if !lab.Inside() {
		t.Setenv("TMPDIR", "/tmp") // the guest does not see the host's /dev/shm
	}
	lab.Run(t, lab.Config{
		Modules: []string{"loop", "f2fs"},
		Needs:   []string{"mkfs.f2fs", "fsck.f2fs", "mount"},
		Memory:  1536,
		Limit:   8 * time.Minute, // some 40 seconds on an idle machine
	}, func(t *testing.T) {
		ran, behind := 0, 0
		for i, w := range written {
			t.Run(w.name, func(t *testing.T) {
				path := fstest.Volume(t, w.mib<<20)
				fstest.Run(t, append(append([]string{"mkfs.f2fs", "-q", "-f"}, strings.Fields(w.mkfs)...), path)...)
				n := writeAndCut(t, path, w.mount, rand.New(rand.NewPCG(uint64(i), 5)), i%3 == 0)
				ran++
				if n >= 10 {
					behind++
				}
			})
		}
		if ran > 5 && behind < ran/2 {
			t.Errorf("%d of %d cut volumes have nodes behind their checkpoints: the test shows nothing", behind, ran)
		}
	})
}

// writeAndCut cuts a volume once or twice: the first cut is that of one without
// a checkpoint since it was made, so that the one in force calls it unmounted.
// It gives the number of nodes behind the checkpoint at the last cut: few,
// where Linux made a checkpoint by itself, for want of space or at each fsync.
func writeAndCut(t *testing.T, path, options string, rng *rand.Rand, twice bool) int64 {
	dir := mount(t, path, options)
	want := syncFiles(t, rng, dir, "first", 5)
	if twice {
		afterCut(t, path, want)
	}

	churn(t, rng, dir)
	unix.Sync()
	syncFiles(t, rng, dir, "second", 12)
	want = changeFiles(t, rng, dir)
	behind := afterCut(t, path, want)

	churn(t, rng, dir)
	unix.Sync()
	want = fstest.TreeSums(t, dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	opened, file := fstest.Open(t, path, Open)
	if got := opened.Info().State; got != filesystem.Clean {
		t.Errorf("state %q", got)
	}
	copied := fstest.CopyAllocated(t, file, fstest.Allocation(t, opened))
	fsckAgrees(t, copied, opened.(*fileSystem))
	if got := readByKernel(t, copied); len(want) < 60 || !maps.Equal(got, want) {
		t.Errorf("the %d files of the copy are not the %d of the volume", len(got), len(want))
	}
	return behind
}

// mount mounts a volume; no checkpoint is made but by what a test does.
func mount(t *testing.T, path, options string) string {
	t.Helper()
	dir := t.TempDir()
	lab.Do(t, "mount", "-t", "f2fs", "-o", "loop"+options, path, dir)
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	intervals, _ := filepath.Glob("/sys/fs/f2fs/loop*/cp_interval")
	if len(intervals) == 0 {
		t.Fatal("f2fs has nothing in /sys")
	}
	for _, name := range intervals {
		lab.Set(t, name, "100000")
	}
	return dir
}

// write writes to a file as flags say, and syncs it alone.
func write(t *testing.T, name string, flags int, data []byte) {
	t.Helper()
	f, err := os.OpenFile(name, flags|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// syncFiles makes files and syncs each by itself. It gives the sums of all
// files.
func syncFiles(t *testing.T, rng *rand.Rand, dir, prefix string, n int) map[string][32]byte {
	t.Helper()
	for i := range n {
		size := []int64{100, 9000, 300_000}[i%3]
		if i == 7 {
			size = 6 << 20 // three nodes, and more than a segment
		}
		write(t, filepath.Join(dir, fmt.Sprint(prefix, i)), os.O_CREATE, fstest.Noise(rng, size))
	}
	return fstest.TreeSums(t, dir)
}

// changeFiles appends to some files, writes into others, gives one a hole and
// cuts one; each is synced by itself. It gives the sums of all files.
func changeFiles(t *testing.T, rng *rand.Rand, dir string) map[string][32]byte {
	t.Helper()
	for i := range 8 {
		name := filepath.Join(dir, fmt.Sprint("second", i))
		switch i % 4 {
		case 0:
			write(t, name, os.O_APPEND, fstest.Noise(rng, 50_000))
		case 1:
			write(t, name, 0, fstest.Noise(rng, 5_000))
		case 2:
			if err := os.Truncate(name, 9<<20); err != nil {
				t.Fatal(err)
			}
			write(t, name, os.O_APPEND, fstest.Noise(rng, 5_000))
		case 3:
			write(t, name, os.O_TRUNC, fstest.Noise(rng, 70_000))
		}
	}
	return fstest.TreeSums(t, dir)
}

// churn writes files, removes every second of them, and lets others grow into
// the holes; some blocks are reserved and not written.
func churn(t *testing.T, rng *rand.Rand, dir string) {
	t.Helper()
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint("dir", i%5), fmt.Sprintf("größe %d", i)) }
	for i := range 120 {
		if err := os.MkdirAll(filepath.Dir(name(i)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name(i), fstest.Noise(rng, rng.Int64N(40_000)), 0o644); err != nil {
			t.Fatal(err)
		}
		if i%40 == 0 {
			unix.Sync()
		}
	}
	for i := 0; i < 120; i += 2 {
		if err := os.Remove(name(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i < 60; i += 2 {
		f, err := os.OpenFile(name(i), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(fstest.Noise(rng, rng.Int64N(60_000))); err != nil {
			t.Fatal(err)
		}
		if i == 31 {
			if err := unix.Fallocate(int(f.Fd()), 0, 200_000, 300_000); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
}

// afterCut takes the volume as it lies there, while it is mounted, and lets
// Linux recover the whole and a copy of what is in use. It gives the number of
// nodes behind the checkpoint.
func afterCut(t *testing.T, path string, want map[string][32]byte) int64 {
	t.Helper()
	cut := fstest.Volume(t, 0)
	lab.Do(t, "cp", "--sparse=always", path, cut)
	defer os.Remove(cut)
	opened, file := fstest.Open(t, cut, Open)
	f := opened.(*fileSystem)
	n, err := f.followNodes(f.views[0].cp)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Info().State; got != filesystem.Recovery {
		t.Errorf("state %q", got)
	}
	copied := fstest.CopyAllocated(t, file, fstest.Allocation(t, opened))
	file.Close()
	defer os.Remove(copied)
	whole, got := readByKernel(t, cut), readByKernel(t, copied)
	if !maps.Equal(whole, want) {
		t.Errorf("Linux reads %d files of the cut volume, not the %d that were synced", len(whole), len(want))
	}
	if !maps.Equal(got, whole) {
		t.Errorf("the %d files of the copy are not the %d of the cut volume", len(got), len(whole))
	}
	fsck(t, copied)
	return n
}

// readByKernel mounts a volume, which recovers it, and gives its files' sums.
func readByKernel(t *testing.T, path string) map[string][32]byte {
	t.Helper()
	dir := mount(t, path, "")
	defer unix.Unmount(dir, 0)
	return fstest.TreeSums(t, dir)
}
