package fat

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
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
	fstest.Churn(t, rng, dir, "file", size)
	unix.Sync()
	cut := fstest.Snapshot(t, device)
	want := fstest.TreeSums(t, dir)
	sameByKernel(t, cut, filesystem.Dirty, want)

	// More that is not asked to be on the disk; some of it is. What Linux
	// reads of that it must read of the copy.
	fstest.Churn(t, rng, dir, "file", size)
	cut = fstest.Snapshot(t, device)
	sameByKernel(t, cut, filesystem.Dirty, readByKernel(t, cut))

	want = fstest.TreeSums(t, dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	sameByKernel(t, fstest.Snapshot(t, device), filesystem.Clean, want)
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
	return fstest.CutSums(t, dir)
}
