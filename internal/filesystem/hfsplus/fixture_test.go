package hfsplus

import (
	"encoding/hex"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/vm/lab"
)

// fixtures are volumes of mkfs.hfsplus, hformat and macOS, the first ones
// written to by Linux.
var fixtures = []struct {
	name      string
	kind      string // as the kernel names it
	info      filesystem.Info
	partclone bool // reads it
}{
	// By statfs 4096 blocks of 4096, 3525 free.
	{"hfsplus-journaled", "hfsplus", filesystem.Info{
		Type: "hfsplus", Label: "HfsJ", UUID: "f0769e26-3425-3b13-bda2-73cd3d609d6b",
		BlockSize: 4096, Size: 16777216, Used: 571 * 4096,
	}, true},
	// partclone has 3792 blocks of 512; by statfs 5108 of 4096, 4646 free, and
	// 12 around them.
	{"hfsplus-wrapped", "hfsplus", filesystem.Info{
		Type: "hfsplus", Label: "HfsWrap", UUID: "51ef604f-82c4-3057-88ec-e83ba0be6200",
		BlockSize: 4096, Size: 20971520, Used: 3792 * 512,
	}, true},
	// By statfs 8192 of 2048, 7156 free.
	{"hfsx-case", "hfsplus", filesystem.Info{
		Type: "hfsplus", Label: "HfsX", UUID: "7ba4a683-e618-3e05-98dd-933d83374161",
		BlockSize: 2048, Size: 16777216, Used: 1036 * 2048,
	}, true},
	// By statfs 16375 of 512, 14128 free; the volume has 9 sectors more.
	{"hfs-plain", "hfs", filesystem.Info{
		Type: "hfs", Label: "HfsOne", BlockSize: 512, Size: 8388608, Used: (16375 - 14128 + 9) * 512,
	}, false},
	// Of macOS, with 1014 of 4096, 971 free.
	{"dfvfs-hfsplus", "hfsplus", filesystem.Info{
		Type: "hfsplus", Label: "hfsplus_test", UUID: "aa87cdc6-8430-343d-a2a3-4cf46521e8f8",
		BlockSize: 4096, Size: 4153344, Used: 43 * 4096,
	}, true},
}

// fixture unpacks a fixture; that of macOS has no sums of its files.
func fixture(t testing.TB, name string) (path string, sums map[string]string) {
	t.Helper()
	if name != "dfvfs-hfsplus" {
		return fstest.Fixture(t, name)
	}
	return fstest.Unpack(t, "../../../../shared/fixtures/"+name+".raw.xz"), nil
}

func TestFixtures(t *testing.T) {
	var paths []string
	for _, tt := range fixtures {
		path, _ := fixture(t, tt.name)
		paths = append(paths, path)
		opened, _ := fstest.Open(t, path, Open)
		fstest.Allocation(t, opened)
		want := tt.info
		want.State = filesystem.Clean
		if got := opened.Info(); got != want {
			t.Errorf("%s: %+v\nwant %+v", tt.name, got, want)
		}
		file, _ := os.Open(path)
		defer file.Close()
		if got, err := Identify(file, want.Size); err != nil || got.Label != want.Label || got.UUID != want.UUID || got.Type != want.Type {
			t.Errorf("%s is called %+v, %v", tt.name, got, err)
		}
	}
	images := counts(t, paths)
	for i, tt := range fixtures {
		if tt.partclone {
			sameCount(t, tt.name, paths[i], images[i])
		}
	}
}

// TestFixturesByKernel has Linux read copies of what is in use of the fixtures,
// then write to the fixtures, and read copies again.
//
//	/dev/ubda …   the fixtures, in their order
func TestFixturesByKernel(t *testing.T) {
	c := lab.Config{Modules: []string{"loop", "nls_utf8", "hfsplus", "hfs"}, Needs: []string{"mount"}, Memory: 768}
	if !lab.Inside() {
		t.Setenv("TMPDIR", "/tmp") // the guest does not see the host's /dev/shm
		for _, tt := range fixtures {
			path, sums := fixture(t, tt.name)
			c.Disks = append(c.Disks, path)
			t.Setenv(variable(tt.name), strings.Join(lines(sums), "\n"))
		}
	}
	lab.Run(t, c, func(t *testing.T) {
		for i, tt := range fixtures {
			t.Run(tt.name, func(t *testing.T) {
				kernelReads(t, "/dev/ubd"+string(rune('a'+i)), tt.kind, os.Getenv(variable(tt.name)))
			})
		}
	})
}

// variable tells the guest the sums of the files of a fixture.
func variable(name string) string { return "DOPPEL_TEST_SUMS_" + name }

// lines have a sum and a path each.
func lines(sums map[string]string) (all []string) {
	for name, sum := range sums {
		all = append(all, sum+" "+name)
	}
	return all
}

func kernelReads(t *testing.T, device, kind, sums string) {
	want := map[string]string{}
	for line := range strings.Lines(sums) {
		if sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "); !strings.HasPrefix(name, ".journal") {
			want[name] = sum
		}
	}
	opened, file := open(t, device)
	copied := copyAllocated(t, file, opened)
	got := treeSums(t, copied, kind)
	if len(want) == 0 && len(got) < 3 {
		t.Errorf("%d files", len(got))
	}
	for name, sum := range want {
		if g, ok := got[name]; !ok || hex.EncodeToString(g[:]) != sum {
			t.Errorf("%s differs", name)
		}
	}
	dir := t.TempDir()
	mountAs(t, device, dir, kind, map[string]string{"hfs": "rw", "hfsplus": "force"}[kind])
	churn(t, rand.New(rand.NewPCG(3, 9)), dir, 3*mib)
	after := fstest.TreeSums(t, dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	opened, file = open(t, device)
	if got := treeSums(t, copyAllocated(t, file, opened), kind); !maps.Equal(got, after) || len(after) < len(want)+20 {
		t.Errorf("the %d files of the copy are not the %d of the volume", len(got), len(after))
	}
}

// treeSums are those of what the kernel reads of a volume.
func treeSums(t *testing.T, path, kind string) map[string][32]byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mount")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mountAs(t, path, dir, kind, "ro,loop")
	defer unix.Unmount(dir, 0)
	return fstest.TreeSums(t, dir)
}
