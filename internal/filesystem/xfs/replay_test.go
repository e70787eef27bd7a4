package xfs

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
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// cut is how a file system in use comes to its end.
type cut int

const (
	flushed   cut = iota // it is shut down behind a write of the log
	unflushed            // it is shut down, and what is not in the log is lost
	copied               // its device is copied while it is mounted
)

// crashes are parameters of mkfs.xfs and of the mount, each on a volume of mib
// MiB, and how it ends.
var crashes = []struct {
	name          string
	mib           int64
	args, options string
	cut           cut
}{
	{"default, flushed", 72, "", "", flushed},
	{"default, copied", 72, "", "", copied},
	{"reverse mapping", 72, "-m rmapbt=1 -d agcount=2", "", flushed},
	{"reverse mapping, 1k, not flushed", 72, "-m rmapbt=1 -b size=1024", "", unflushed},
	{"directories of 64k, 1k", 72, "-b size=1024 -n size=65536 -d agcount=1", "", flushed},
	{"no reflink, no finobt, no sparse inodes", 72, "-m reflink=0,finobt=0,inobtcount=0,bigtime=0 -i sparse=0", "", flushed},
	{"no finobt, not flushed", 72, "-m finobt=0,inobtcount=0,rmapbt=0 -i nrext64=0 -l size=6m", "", unflushed},
	{"large records", 72, "-l size=20m -d agcount=1", ",logbsize=256k", flushed},
	{"log with stripes", 72, "-l su=64k,size=8m -d agcount=2" + smallLog, "", flushed},
	{"log with stripes of 256k, not flushed", 72, "-l su=256k,size=20m -d agcount=2", "", unflushed},
	{"log with stripes of 4k, inodes of 2048, copied", 72, "-l su=4k,size=16m -d agcount=2 -i size=2048,nrext64=1", "", copied},
	{"sectors of 4096", 72, "-s size=4096 -l size=6m" + smallLog, "", flushed},
	{"sectors of 2048, 2k, not flushed", 72, "-s size=2048 -b size=2048 -m rmapbt=1", "", unflushed},
	{"many groups", 256, "-d agcount=16", "", unflushed},
	{"64k", 400, "-b size=65536 -d agcount=1", "", flushed},
}

// wear writes and removes files until the log has gone round more than once,
// and leaves much that only the log knows.
func wear(t *testing.T, dir string, rounds int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, uint64(rounds)))
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint("d", i%7), fmt.Sprint("f", i)) }
	for i := range 7 {
		os.Mkdir(filepath.Join(dir, fmt.Sprint("d", i)), 0o755)
	}
	for round := range rounds {
		for i := range 250 {
			os.Remove(name(i))
			switch i % 5 {
			case 0: // through the log, target and all
				os.Symlink(strings.Repeat("x", 200+rng.IntN(700)), name(i))
			case 1:
				punched(rng, name(i), int64(10+rng.IntN(60)))
			default:
				os.WriteFile(name(i), fstest.Noise(rng, rng.Int64N(30000)), 0o644)
			}
			if i%5 == 2 {
				unix.Setxattr(name(i), "user.large", fstest.Noise(rng, rng.Int64N(5000)), 0)
				clone(name(i), name(i+1))
			}
		}
		if round%2 == 0 {
			fstest.Run(t, "sync", "-f", dir)
		}
		os.RemoveAll(filepath.Join(dir, fmt.Sprint("d", round%7)))
		os.Mkdir(filepath.Join(dir, fmt.Sprint("d", round%7)), 0o755)
	}
	for i := range 40 { // one by one: many small transactions
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("s", i)))
		if err != nil {
			t.Fatal(err)
		}
		f.Write(fstest.Noise(rng, rng.Int64N(50000)))
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		os.Remove(name(i * 3))
	}
	for i := range 200 {
		os.WriteFile(filepath.Join(dir, fmt.Sprint("late", i)), fstest.Noise(rng, rng.Int64N(5000)), 0o644)
	}
}

// clone lets one file share its blocks with another, where that can be.
func clone(from, to string) {
	source, err := os.Open(from)
	if err != nil {
		return
	}
	defer source.Close()
	target, err := os.Create(to)
	if err != nil {
		return
	}
	defer target.Close()
	unix.IoctlFileClone(int(target.Fd()), int(source.Fd()))
}

// punched is a file of many extents.
func punched(rng *rand.Rand, name string, n int64) {
	f, err := os.Create(name)
	if err != nil {
		return
	}
	defer f.Close()
	for i := range n {
		f.WriteAt(fstest.Noise(rng, 4096), i*12288)
	}
}

// crash makes a volume as a power cut leaves it.
func crash(t *testing.T, mib int64, args, options string, how cut, rounds int) string {
	t.Helper()
	path := makeVolume(t, mib, args)
	dir, ok := fstest.Mount(t, path, options)
	if !ok {
		t.Skip("cannot mount")
	}
	wear(t, dir, rounds)
	open, err := os.Create(filepath.Join(dir, "removed")) // an inode without a name
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	open.Write(make([]byte, 100_000))
	os.Remove(open.Name())
	switch how {
	case flushed:
		fstest.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
	case unflushed:
		fstest.Run(t, "xfs_io", "-x", "-c", "shutdown", dir)
	case copied:
		path = fstest.CopyMounted(t, path)
	}
	open.Close()
	fstest.Unmount(t, dir)
	return path
}

// recoverVolume lets the kernel replay the log; it gives all that is in the
// file system then.
func recoverVolume(t *testing.T, path string) (map[string]string, error) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "xfs", "-o", "loop,nouuid", path, dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mount: %w: %s", err, bytes.TrimSpace(out))
	}
	defer fstest.Unmount(t, dir)
	return tree(dir)
}

// tree describes all files, directories and links below a directory.
func tree(dir string) (map[string]string, error) {
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprint(info.Mode(), info.ModTime().UnixNano())
		switch {
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			value := make([]byte, 8192)
			n, _ := unix.Getxattr(p, "user.large", value)
			text += fmt.Sprintf(" %x %x", sha256.Sum256(b), sha256.Sum256(value[:max(n, 0)]))
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text += target
		}
		all[strings.TrimPrefix(p, dir)] = text
		return nil
	})
	return all, err
}

// withoutLog is what the trees on the volume itself say; nil where they
// contradict each other.
func withoutLog(t *testing.T, path string) []extent.Extent {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := identify(file, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	list, err := extent.Collect(f.Allocated())
	if err != nil {
		return nil
	}
	return list
}

// newlyUsed asks xfs_db what became of a block that was free before recovery:
// who carries out intents needs new blocks of trees and puts others into the
// free lists, but never gives one to a file.
func newlyUsed(t *testing.T, f *fileSystem, path string, off int64) {
	t.Helper()
	block := off / f.blockSize
	block = block/f.agBlocks<<f.sb.agBlockLog() | block%f.agBlocks
	use := fstest.Run(t, "xfs_db", "-r", "-c", "blockget -n", "-c", fmt.Sprint("fsblock ", block), "-c", "blockuse", path)
	t.Logf("in use behind the recovery and not before: %s", strings.TrimSpace(use))
	for _, kind := range []string{"type freelist", "type bt"} {
		if strings.Contains(use, kind) {
			return
		}
	}
	t.Errorf("byte %d is in use behind the recovery, and was not: %s", off, use)
}

// sameAfterRecovery lets the kernel recover a volume and a copy of what we find
// in use of it, and compares what is in them. All that is in use behind the
// recovery has to be in use for us, but for blocks that recovery itself takes.
func sameAfterRecovery(t *testing.T, path string) (files map[string]string) {
	t.Helper()
	opened, file := fstest.Open(t, path, Open)
	if s := opened.Info().State; s != filesystem.Recovery {
		t.Fatalf("state %q", s)
	}
	list := fstest.Allocation(t, opened)
	copied := fstest.CopyAllocated(t, file, list)
	whole := path + ".whole"
	fstest.Run(t, "cp", "--sparse=always", path, whole)
	files, err := recoverVolume(t, whole)
	if err != nil {
		t.Fatal("the volume itself: ", err)
	}
	got, err := recoverVolume(t, copied)
	if err != nil {
		t.Fatal("the copy: ", err)
	}
	if len(files) < 40 || !maps.Equal(got, files) {
		t.Errorf("the files of the copy (%d) are not those of the volume (%d)", len(got), len(files))
	}
	for _, name := range []string{whole, copied} {
		fstest.Run(t, "xfs_repair", "-n", "-o", "force_geometry", name)
	}
	after, _ := fstest.Open(t, whole, Open)
	if s := after.Info().State; s != filesystem.Clean {
		t.Errorf("state %q behind the recovery", s)
	}
	size := after.Info().Size
	still := extent.Union(extent.Invert(fstest.Allocation(t, after), size), list)
	for _, e := range extent.Invert(still, size) {
		for off := e.Offset; off < e.End(); off += after.Info().BlockSize {
			newlyUsed(t, after.(*fileSystem), whole, off)
		}
	}
	os.Remove(whole)
	os.Remove(copied)
	return files
}

func TestReplay(t *testing.T) {
	ran, behind, lost := 0, 0, 0
	for _, tt := range crashes {
		t.Run(tt.name, func(t *testing.T) {
			path := crash(t, tt.mib, tt.args, tt.options, tt.cut, 2)
			want := sameAfterRecovery(t, path)
			ran++
			// What the trees on the volume say is not enough.
			opened, file := fstest.Open(t, path, Open)
			list := withoutLog(t, path)
			if list == nil || slices.Equal(extent.Union(list, fstest.Allocation(t, opened)), list) {
				return
			}
			behind++
			if lost == 0 {
				if got, err := recoverVolume(t, fstest.CopyAllocated(t, file, list)); err != nil || !maps.Equal(got, want) {
					lost++
				}
			}
		})
	}
	t.Logf("in %d of %d cases the log knew of blocks that the volume took for free", behind, ran)
	if !t.Failed() && ran > 5 && (behind == 0 || lost == 0) {
		t.Error("in no case files were lost without the log")
	}
}

// TestReplayRoundTheLog cuts a small log wherever it is, so that what must be
// replayed goes across its end.
func TestReplayRoundTheLog(t *testing.T) {
	for _, args := range []string{"-l size=6m -d agcount=2" + smallLog, "-l size=8m,su=64k -d agcount=1" + smallLog} {
		t.Run(args, func(t *testing.T) { replayRoundTheLog(t, args) })
	}
}

func replayRoundTheLog(t *testing.T, args string) {
	path := makeVolume(t, 100, args)
	dir, ok := fstest.Mount(t, path, "")
	if !ok {
		t.Skip("cannot mount")
	}
	across, split := 0, 0
	for round := range 5 {
		for i := range 1000 {
			name := filepath.Join(dir, fmt.Sprint("link", i))
			os.Remove(name)
			os.Symlink(strings.Repeat("x", 900+round), name)
			if i%100 == 50 {
				punched(rand.New(rand.NewPCG(uint64(i), 2)), filepath.Join(dir, fmt.Sprint("punched", i)), int64(20+10*round))
				fstest.Run(t, "xfs_io", "-c", "fsync", dir)
			}
		}
		copied := fstest.CopyMounted(t, path)
		f, err := open(bytes.NewReader(fstest.Load(t, copied)), 100<<20)
		if err != nil {
			t.Fatal(err)
		}
		for at := f.logEnd.last.tail(); at != f.logEnd.head; {
			r, err := f.log.record(at)
			if err != nil {
				t.Fatal(err)
			}
			if r.at+r.length > f.log.blocks {
				split++
			}
			at = r.end(&f.log)
		}
		if f.logEnd.last.tail().cycle != f.logEnd.head.cycle {
			across++
			sameAfterRecovery(t, copied)
		}
		os.Remove(copied)
	}
	fstest.Unmount(t, dir)
	t.Logf("%d of 5 logs go across the end, %d with a record that lies on both sides", across, split)
	if across == 0 {
		t.Error("no log goes across the end")
	}
}
