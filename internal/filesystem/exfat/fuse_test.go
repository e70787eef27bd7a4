package exfat

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// loop makes a block device of a volume, with sectors of that many bytes.
func loop(t *testing.T, path string, sector int64) string {
	t.Helper()
	out, err := exec.Command(fstest.Tool(t, "losetup"), "-f", "--show", "-b", fmt.Sprint(sector), path).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %s", out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", device).Run() })
	return device
}

// mount mounts a device by exfat-fuse; over a block device unmounting it
// waits until everything is written.
func mount(t *testing.T, device, options string) (dir string, err error) {
	t.Helper()
	dir = t.TempDir()
	out, err := exec.Command(fstest.Tool(t, "mount.exfat-fuse"), "-o", options, device, dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	t.Cleanup(func() { unix.Unmount(dir, 0) })
	return dir, nil
}

// written are volumes that exfat-fuse writes to.
var written = []struct {
	kib    int64
	sector int64
	args   string
}{
	{6000, 512, "-c 512"},
	{30000, 512, "-c 4K"},
	{60000, 4096, "-c 4K"},
	{60000, 4096, "-c 32K"},
}

// TestFuse lets exfat-fuse write fragmented files to volumes, copies what is in
// use of each onto garbage, and reads the copies by exfat-fuse: twice as it
// lies on the disk while mounted, as after a power cut, once unmounted.
func TestFuse(t *testing.T) {
	fstest.Tool(t, "mount.exfat-fuse")
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	for _, w := range written {
		t.Run(fmt.Sprint(w.args, " sectors of ", w.sector), func(t *testing.T) {
			path := fstest.Volume(t, w.kib<<10)
			device := loop(t, path, w.sector)
			run(t, append(append([]string{"mkfs.exfat"}, strings.Fields(w.args)...), device)...)
			writeAndCut(t, device, w.kib<<10)
		})
	}
}

func writeAndCut(t *testing.T, device string, size int64) {
	dir, err := mount(t, device, "rw")
	if err != nil {
		t.Skip("no FUSE: ", err)
	}
	rng := rand.New(rand.NewPCG(uint64(size), 4))
	fstest.Churn(t, rng, dir, "file 漢 ", size)
	open := keepOpen(t, rng, dir, size)
	// What of it is on the disk, and what the program still holds, is its
	// affair: what it reads of the volume it must read of the copy.
	before := fstest.Snapshot(t, device)
	sameByFuse(t, before, filesystem.Dirty, nil)
	fstest.Churn(t, rng, dir, "file 漢 ", size)
	after := fstest.Snapshot(t, device)
	sameByFuse(t, after, filesystem.Dirty, nil)
	unsaved := sameByFuse(t, cut(t, rng, before, after, false), filesystem.Dirty, nil)
	if unsaved == 0 {
		t.Error("the bitmap knows everything: this shows nothing")
	}
	sameByFuse(t, cut(t, rng, before, after, true), filesystem.Dirty, nil)
	for _, f := range open {
		f.Close()
	}
	want := fstest.TreeSums(t, dir)
	fstest.Unmount(t, dir)
	sameByFuse(t, fstest.Snapshot(t, device), filesystem.Clean, want)
}

// keepOpen makes files that grow and stay open, and directories beside them.
func keepOpen(t *testing.T, rng *rand.Rand, dir string, size int64) (open []*os.File) {
	t.Helper()
	for i := range 6 {
		name := filepath.Join(dir, fmt.Sprint("new ", i/2), fmt.Sprint("open ", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		open = append(open, f)
	}
	for range 5 {
		for _, f := range open {
			if _, err := f.Write(fstest.Noise(rng, size/500)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return open
}

// cut is what a power cut may leave between two states of a volume, since its
// parts are written in no order: the latter one with the former's bitmap, or
// with half of the former's sectors, any.
func cut(t *testing.T, rng *rand.Rand, before, after string, any bool) string {
	t.Helper()
	old, p := fstest.Load(t, before), fstest.Load(t, after)
	f, _ := openFile(t, after)
	for _, run := range f.bitmap {
		at := f.boot.offset(run.Offset)
		copy(p[at:], old[at:at+run.Length*f.boot.clusterSize()])
	}
	for at := f.boot.fat() * f.boot.sector(); any && at < int64(len(p)); at += f.boot.sector() {
		if rng.IntN(2) == 0 {
			copy(p[at:], old[at:min(at+f.boot.sector(), int64(len(p)))])
		}
	}
	path := fstest.Volume(t, 0)
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sameByFuse copies what is in use of a volume and compares what exfat-fuse
// reads, or what is read of the volume where want is nil. It gives how many
// bytes are in use that the bitmap has free.
func sameByFuse(t *testing.T, path string, state filesystem.State, want map[string][32]byte) (unsaved int64) {
	t.Helper()
	opened, file := openFile(t, path)
	if got := opened.Info().State; got != state {
		t.Errorf("state %q, want %q", got, state)
	}
	copied := fstest.CopyAllocated(t, file, fstest.Allocation(t, opened))
	if want == nil {
		want = readByFuse(t, path, opened.boot.sector())
	}
	if got := readByFuse(t, copied, opened.boot.sector()); len(want) < 10 || !maps.Equal(got, want) {
		t.Errorf("%s: the %d files of the copy are not the %d of the volume", state, len(got), len(want))
	}
	of, _ := openFile(t, copied)
	if a, b := listed(t, opened), listed(t, of); len(a) < 10 || !maps.Equal(a, b) {
		t.Errorf("%s: we read %d files of the copy, which are not the %d of the volume", state, len(b), len(a))
	}
	if a, b := findings(t, path), findings(t, copied); a != b {
		t.Errorf("%s: fsck.exfat says of the volume\n%s\nand of the copy\n%s", state, a, b)
	}
	used := opened.info.Used
	if state == filesystem.Clean {
		counted(t, copied)
		judged(t, path)
		fstest.Contents(t, opened, file)
		if got := fstest.FileSums(t, opened); !maps.Equal(got, want) {
			t.Errorf("%d files, exfat-fuse reads %d; or they differ", len(got), len(want))
		}
	}
	opened.reached = nil
	for e, err := range opened.Allocated() {
		if err != nil {
			t.Fatal(err)
		}
		used -= e.Length
	}
	return used
}

// listed are the sums of the files as we read them, as far as they go.
func listed(t *testing.T, f *fileSystem) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	for file, err := range f.Files() {
		if err != nil {
			sums[err.Error()] = [32]byte{}
		}
		if file == nil || file.Content == nil {
			continue
		}
		p := make([]byte, file.Size)
		n, err := file.Content.ReadAt(p, 0)
		if err != nil {
			p = append(p[:n], err.Error()...)
		}
		sums[file.Path] = sha256.Sum256(p)
	}
	return sums
}

// findings are what fsck.exfat says of a volume, without its name.
func findings(t *testing.T, path string) string {
	t.Helper()
	out, _ := exec.Command(fstest.Tool(t, "fsck.exfat"), "-n", path).CombinedOutput()
	return strings.ReplaceAll(string(out), path, "FILE")
}

// readByFuse mounts a volume and gives the sums of its files. Where a cut left
// a file without all of its clusters, it is read up to an error.
func readByFuse(t *testing.T, path string, sector int64) map[string][32]byte {
	t.Helper()
	dir, err := mount(t, loop(t, path, sector), "ro")
	if err != nil {
		return map[string][32]byte{"it cannot be mounted": {}}
	}
	defer fstest.Unmount(t, dir)
	return fstest.CutSums(t, dir)
}
