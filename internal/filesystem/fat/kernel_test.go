package fat

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
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
	"doppel.live/internal/vm/lab"
)

// written are volumes that the kernel's vfat writes to.
var written = []struct {
	kib  int64
	args string
}{
	{4000, "-F 12"},
	{9000, "-F 16 -s 1"},
	{6000, fewClusters},
}

// TestKernel lets Linux write fragmented files to volumes, copies what is in
// use of each onto garbage, and reads the copies by Linux: once after it was
// unmounted, once as it lies on the disk while mounted, as after a power cut.
//
//	/dev/ubda … /dev/ubdc   the volumes, one of each kind
func TestKernel(t *testing.T) {
	c := lab.Config{
		Modules: []string{"loop", "vfat", "nls_cp437", "nls_iso8859-1", "nls_utf8"},
		Needs:   []string{"mkfs.fat", "fsck.fat", "mount"},
		Memory:  768,
	}
	if !lab.Inside() {
		t.Setenv("TMPDIR", "/tmp") // the guest does not see the host's /dev/shm
		for _, w := range written {
			path := fstest.Volume(t, w.kib<<10)
			run(t, append(append([]string{"mkfs.fat", "-n", "KERNEL"}, strings.Fields(w.args)...), path)...)
			c.Disks = append(c.Disks, path)
		}
	}
	lab.Run(t, c, func(t *testing.T) {
		for i, w := range written {
			t.Run(w.args, func(t *testing.T) { writeAndCut(t, fmt.Sprintf("/dev/ubd%c", 'a'+i), w.kib<<10) })
		}
	})
}

func writeAndCut(t *testing.T, device string, size int64) {
	dir := t.TempDir()
	if err := unix.Mount(device, dir, "vfat", 0, "utf8=1"); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(uint64(size), 4))
	churn(t, rng, dir, size)
	unix.Sync()
	cut := snapshot(t, device)
	want := fstest.TreeSums(t, dir)
	sameByKernel(t, cut, filesystem.Dirty, want)

	// More that is not asked to be on the disk; some of it is. What Linux
	// reads of that it must read of the copy.
	churn(t, rng, dir, size)
	cut = snapshot(t, device)
	sameByKernel(t, cut, filesystem.Dirty, readByKernel(t, cut))

	want = fstest.TreeSums(t, dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	sameByKernel(t, snapshot(t, device), filesystem.Clean, want)
}

// churn writes files, removes some, and lets others grow into the holes.
func churn(t *testing.T, rng *rand.Rand, dir string, size int64) {
	t.Helper()
	name := func(i int) string { return filepath.Join(dir, fmt.Sprintf("Füll %d", i%5), fmt.Sprint("file", i)) }
	for i := range 60 {
		if err := os.MkdirAll(filepath.Dir(name(i)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name(i), fstest.Noise(rng, rng.Int64N(size/300)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 60; i += 3 {
		if err := os.Remove(name(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		f, err := os.OpenFile(name(3*(i/2)+1+i%2), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(fstest.Noise(rng, size/300)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// snapshot copies a device as it lies there, its cached blocks included.
func snapshot(t *testing.T, device string) string {
	t.Helper()
	data, err := os.ReadFile(device)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "snapshot")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// sameByKernel copies what is in use of a volume and compares what Linux reads.
func sameByKernel(t *testing.T, path string, state filesystem.State, want map[string][32]byte) {
	t.Helper()
	opened, file := openFile(t, path)
	if got := opened.Info().State; got != state {
		t.Errorf("state %q, want %q", got, state)
	}
	copied := fstest.CopyAllocated(t, file, fstest.Allocation(t, opened))
	if got := readByKernel(t, copied); len(want) < 40 || !maps.Equal(got, want) {
		t.Errorf("%s: the %d files of the copy are not the %d of the volume", state, len(got), len(want))
	}
	if state == filesystem.Clean {
		if got := fstest.FileSums(t, opened); !maps.Equal(got, want) {
			t.Errorf("our %d files are not the %d of Linux", len(got), len(want))
		}
		clusters, data := fsck(t, copied)
		if used := data + clusters*opened.clusterSize; opened.Info().Used != used {
			t.Errorf("%d bytes in use, fsck.fat says %d", opened.Info().Used, used)
		}
	}
}

// readByKernel mounts a volume and gives the sums of its files. Where a cut
// left a chain that is too short for its file, Linux reads up to an error.
func readByKernel(t *testing.T, path string) map[string][32]byte {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "vfat", "-o", "loop,ro,utf8=1", path, dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %s", out)
	}
	defer unix.Unmount(dir, 0)
	sums := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			sums[strings.TrimPrefix(p, dir+"/")] = [32]byte{1}
			return nil
		}
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if errors.Is(err, unix.EIO) {
				b = append(b, "and no more"...)
			} else if err != nil {
				return err
			}
			sums[strings.TrimPrefix(p, dir+"/")] = sha256.Sum256(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}
