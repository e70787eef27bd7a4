package btrfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// sync writes data at a byte of a file and waits until it is on the disk: that
// is what brings it into the log.
func syncAt(t testing.TB, path string, data []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// crashed makes a volume as a power cut leaves it: files in the log, in two
// subvolumes, of which the extent tree knows nothing.
func crashed(t testing.TB, args string) string {
	t.Helper()
	path := makeVolume(t, 256, args)
	dir, ok := mount(t, path, ",commit=300")
	if !ok {
		t.Skip("mounting is not possible here")
	}
	rng := rand.New(rand.NewPCG(8, 9))
	run(t, "btrfs", "subvolume", "create", dir+"/sub")
	for i := range 20 {
		write(t, fmt.Sprintf("%s/sub/old%d", dir, i), noise(rng, rng.Int64N(100_000)))
	}
	run(t, "fallocate", "-l", "300000", dir+"/preallocated") // within the log it ends in a commit
	run(t, "btrfs", "filesystem", "sync", dir)
	for i := range 150 {
		syncAt(t, fmt.Sprintf("%s/new%d", dir, i), noise(rng, 1+rng.Int64N(20_000)), 0)
		syncAt(t, fmt.Sprintf("%s/sub/new%d", dir, i%40), noise(rng, 9000), rng.Int64N(200_000))
	}
	for i := range 20 {
		syncAt(t, fmt.Sprintf("%s/sub/old%d", dir, i), noise(rng, 5000), 8000)
	}
	syncAt(t, dir+"/preallocated", noise(rng, 20_000), 100_000)
	copied := filepath.Join(t.TempDir(), "crashed")
	run(t, "cp", "--sparse=always", path, copied)
	unmount(t, dir)
	return copied
}

func TestLog(t *testing.T) {
	for _, args := range []string{"", "-n 4096", "--mixed --csum xxhash", "-d dup"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			path := crashed(t, args)
			f, file := openFile(t, path)
			if f.sb.logRoot() == 0 || f.Info().State != filesystem.Recovery {
				t.Fatalf("log at %d, state %s", f.sb.logRoot(), f.Info().State)
			}
			list := allocation(t, f)
			f.fixed = extent.Align([]extent.Extent{{Length: reserved}}, f.sectorSize, f.info.Size)
			if committed, err := extent.Collect(f.Allocated()); err != nil || extent.Total(list)-extent.Total(committed) < 1<<20 {
				t.Errorf("the log adds %d bytes, %v", extent.Total(list)-extent.Total(committed), err)
			}
			copied := copyAllocated(t, file, list)
			dir, _ := mount(t, path, "")
			want := sums(t, dir)
			unmount(t, dir)
			if _, ok := want["/sub/new39"]; !ok || len(want) < 150 {
				t.Fatalf("the log was not replayed: %d files", len(want))
			}
			dir, ok := mount(t, copied, "")
			if !ok {
				t.Fatal("the copy can't be mounted")
			}
			if !maps.Equal(sums(t, dir), want) {
				t.Error("the files of the copy are not the same")
			}
			unmount(t, dir)
			judge(t, copied, "", want)
		})
	}
}

// TestLogDamaged flips bytes of the log: no change may make the allocation
// smaller without an error.
func TestLogDamaged(t *testing.T) {
	path := crashed(t, "-n 4096")
	f, _ := openFile(t, path)
	want := f.Info().Used
	p := load(t, path)
	at := f.place(f.sb.logRoot())
	for off := at; off < at+f.nodeSize; off += 5 {
		p[off] ^= 0x5A
		if c := f.chunkAt(f.sb.logRoot()); c.count == 2 {
			p[off-at+c.copies[1]+int64(f.sb.logRoot()-c.logical)] ^= 0x5A
		}
		if got, err := used(p, checksumOf); err == nil && got < want {
			t.Fatalf("log damaged at byte %d: %d bytes in use, %d before, and no error", off, got, want)
		}
		p[off] ^= 0x5A
		if c := f.chunkAt(f.sb.logRoot()); c.count == 2 {
			p[off-at+c.copies[1]+int64(f.sb.logRoot()-c.logical)] ^= 0x5A
		}
	}
}
