package hfsplus

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/vm/lab"
)

const mib = 1 << 20

var le = binary.LittleEndian

// plans are the volumes that Linux fills.
var plans = []struct {
	name string
	plan
	partclone string // why that does not read it
}{
	{"blocks of 512", plan{size: 6 * mib, blockSize: 512}, ""},
	{"blocks of 1024, HFSX", plan{size: 9*mib + 512, blockSize: 1024, x: true}, ""},
	{"blocks of 2048, journaled", plan{size: 8 * mib, blockSize: 2048, journal: true}, ""},
	{"blocks of 4096", plan{size: 10 * mib, blockSize: 4096}, ""},
	{"behind the last block", plan{size: 10*mib + 7*512, blockSize: 4096, journal: true}, ""},
	{"one sector behind the last block", plan{size: 10*mib + 512, blockSize: 4096, x: true}, ""},
	{"blocks of 8192, HFSX, journaled", plan{size: 12 * mib, blockSize: 8192, x: true, journal: true}, ""},
	{"blocks of 65536", plan{size: 16*mib + 40960, blockSize: 65536}, ""},
	{"bitmap in 5 pieces", plan{size: 8 * mib, blockSize: 512, pieces: 5}, ""},
	{"bitmap in 13 pieces", plan{size: 25 * mib, blockSize: 512, pieces: 13}, "reads no more than 8 pieces of the bitmap"},
	{"wrapper, aligned", plan{size: 9 * mib, blockSize: 4096, wrapper: 4096, first: 8, inside: 3}, ""},
	{"wrapper, not aligned", plan{size: 9*mib + 1536, blockSize: 4096, wrapper: 1024, first: 11, inside: 6}, "wants a whole number of blocks before it"},
}

// TestKernel lets Linux write to made volumes, copies what is in use of each
// onto garbage, and reads the copies by Linux. partclone counts what is in use.
//
//	/dev/ubda …   the volumes, in the order of plans
func TestKernel(t *testing.T) {
	c := lab.Config{Modules: []string{"loop", "nls_utf8", "hfsplus"}, Needs: []string{"mount"}, Memory: 1024}
	if !lab.Inside() {
		t.Setenv("TMPDIR", "/tmp") // the guest does not see the host's /dev/shm
		for _, tt := range plans {
			c.Disks = append(c.Disks, tt.plan.file(t, t.TempDir()))
		}
	}
	lab.Run(t, c, func(t *testing.T) {
		for i, tt := range plans {
			t.Run(tt.name, func(t *testing.T) { filled(t, fmt.Sprintf("/dev/ubd%c", 'a'+i), tt.size) })
		}
	})
	if lab.Inside() {
		return
	}
	t.Run("partclone", func(t *testing.T) {
		images := counts(t, c.Disks)
		for i, tt := range plans {
			if images[i] == nil && tt.partclone != "" {
				t.Logf("%s: partclone %s", tt.name, tt.partclone)
				continue
			}
			sameCount(t, tt.name, c.Disks[i], images[i])
		}
	})
}

// filled lets Linux fill a volume and reads the copy of what is in use.
func filled(t *testing.T, device string, size int64) {
	dir := t.TempDir()
	mountAs(t, device, dir, "hfsplus", "force")
	churn(t, rand.New(rand.NewPCG(uint64(size), 5)), dir, size)
	want := fstest.TreeSums(t, dir)
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
	p := fstest.Load(t, device) // and closed: what Linux keeps of it ends with the last that has it open
	if opened, err := Open(bytes.NewReader(p), int64(len(p))); err != nil || opened.Info().State != filesystem.Dirty {
		t.Errorf("while it is mounted: %+v, %v", opened, err)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	same(t, device, want)
	opened, _ := open(t, device)
	if free := opened.area.blocks - (opened.info.Used-opened.outside())/opened.area.blockSize; free != int64(st.Bfree)*st.Frsize/opened.area.blockSize {
		t.Errorf("%d blocks are free, Linux says %d of %d bytes", free, st.Bfree, st.Bsize)
	}
}

// outside is how many bytes lie outside of the blocks and count as used.
func (f *fileSystem) outside() int64 { return f.area.first + extent.Total(f.tail) }

// same copies what is in use of a volume and has Linux read the copy.
func same(t *testing.T, path string, want map[string][32]byte) {
	t.Helper()
	opened, file := open(t, path)
	if opened.info.State != filesystem.Clean {
		t.Errorf("state %q", opened.info.State)
	}
	got := treeSums(t, copyAllocated(t, file, opened), "hfsplus")
	if len(want) < 30 || !maps.Equal(got, want) {
		t.Errorf("the %d files of the copy are not the %d of the volume", len(got), len(want))
	}
}

// open opens a device or a file: the size of a device is where it ends.
func open(t *testing.T, path string) (*fileSystem, *os.File) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	size, err := file.Seek(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(file, size)
	if err != nil {
		t.Fatal(err)
	}
	return opened.(*fileSystem), file
}

// copyAllocated is fstest's, for a device too.
func copyAllocated(t *testing.T, file *os.File, opened *fileSystem) string {
	t.Helper()
	list := fstest.Allocation(t, opened)
	whole := fstest.Volume(t, 0)
	data := make([]byte, opened.size)
	if _, err := file.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(whole, data, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(whole)
	regular, err := os.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer regular.Close()
	return fstest.CopyAllocated(t, regular, list)
}

func mountAs(t *testing.T, path, dir, kind, options string) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", kind, "-o", options, path, dir).CombinedOutput(); err != nil {
		log, _ := exec.Command("dmesg").CombinedOutput()
		t.Fatalf("mount: %s%s", out, log[max(0, len(log)-500):])
	}
}

// churn writes files, removes some, and lets others grow into the holes.
func churn(t *testing.T, rng *rand.Rand, dir string, size int64) {
	t.Helper()
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint("folder ", i%5), fmt.Sprint("file", i)) }
	write := func(name string, flags int, data []byte) {
		f, err := os.OpenFile(name, flags|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 60 {
		if err := os.MkdirAll(filepath.Dir(name(i)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(name(i), os.O_CREATE, fstest.Noise(rng, rng.Int64N(size/300)))
	}
	for i := 0; i < 60; i += 3 {
		if err := os.Remove(name(i)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 7 { // in turn, so that they lie in many pieces
		for i := range 6 {
			write(name(3*i+1), os.O_APPEND, fstest.Noise(rng, size/1500+int64(round)))
		}
		unix.Sync()
	}
}

// counts has partclone save volumes, all at once since it mostly sleeps, and
// gives the heads of what it wrote; nil where it refuses.
func counts(t *testing.T, volumes []string) [][]byte {
	program := fstest.Tool(t, "partclone.hfsp")
	heads := make([][]byte, len(volumes))
	var all sync.WaitGroup
	for i, path := range volumes {
		all.Go(func() {
			image := path + ".image"
			if exec.Command(program, "-c", "-s", path, "-O", image, "-L", "/dev/null").Run() == nil {
				heads[i], _ = os.ReadFile(image)
			}
			os.Remove(image)
		})
	}
	all.Wait()
	return heads
}

// sameCount holds what is in use of a volume against partclone's count.
func sameCount(t *testing.T, name, path string, image []byte) {
	t.Helper()
	if len(image) < 110 {
		t.Errorf("%s: partclone does not read it", name)
		return
	}
	opened, _ := open(t, path)
	ours, theirs := opened.info.Used, int64(le.Uint64(image[76:]))*int64(le.Uint32(image[84:]))
	if opened.area.first == 0 { // partclone sees nothing behind the last block, but all around a wrapped volume
		ours -= extent.Total(opened.tail)
	}
	if ours != theirs {
		t.Errorf("%s: %d bytes in use, partclone has %d", name, ours, theirs)
	}
}
