package btrfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
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
// subvolumes, of which the extent tree knows nothing. The kernel may commit at
// any time, where memory is short for instance, and the log is empty then: the
// files are written until there is much in it. It is not ok where nothing can
// be mounted.
func crashed(t testing.TB, args string) (path string, ok bool) {
	t.Helper()
	path = makeVolume(t, 256, args)
	dir, ok := fstest.Mount(t, path, ",commit=300")
	if !ok {
		return "", false
	}
	defer fstest.Unmount(t, dir)
	rng := rand.New(rand.NewPCG(8, 9))
	fstest.Run(t, "btrfs", "subvolume", "create", dir+"/sub")
	for i := range 20 {
		write(t, fmt.Sprintf("%s/sub/old%d", dir, i), fstest.Noise(rng, rng.Int64N(100_000)))
	}
	fstest.Run(t, "fallocate", "-l", "300000", dir+"/preallocated") // within the log it ends in a commit
	for range 10 {
		fstest.Run(t, "btrfs", "filesystem", "sync", dir)
		fillLog(t, dir, rng)
		copied := fstest.CopyMounted(t, path)
		if f, _ := openFile(t, copied); f.sb.logRoot() != 0 && logAdds(t, f) >= 1<<20 {
			return copied, true
		}
	}
	t.Fatal("in ten attempts the log never added a MiB")
	return "", false
}

// fillLog writes files that are synced one by one.
func fillLog(t testing.TB, dir string, rng *rand.Rand) {
	t.Helper()
	for i := range 150 {
		syncAt(t, fmt.Sprintf("%s/new%d", dir, i), fstest.Noise(rng, 1+rng.Int64N(20_000)), 0)
		syncAt(t, fmt.Sprintf("%s/sub/new%d", dir, i%40), fstest.Noise(rng, 9000), rng.Int64N(200_000))
	}
	for i := range 20 {
		syncAt(t, fmt.Sprintf("%s/sub/old%d", dir, i), fstest.Noise(rng, 5000), 8000)
	}
	syncAt(t, dir+"/preallocated", fstest.Noise(rng, 20_000), 100_000)
}

// logAdds is how many bytes are in use by the log alone.
func logAdds(t testing.TB, f *fileSystem) int64 {
	t.Helper()
	committed := *f
	committed.fixed = extent.Align([]extent.Extent{{Length: reserved}}, f.sectorSize, f.info.Size)
	list, err := extent.Collect(committed.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	return f.info.Used - extent.Total(list)
}

func TestLog(t *testing.T) {
	for _, args := range []string{"", "-n 4096", "--mixed --csum xxhash", "-d dup"} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			path, ok := crashed(t, args)
			if !ok {
				t.Skip("mounting is not possible here")
			}
			f, file := openFile(t, path)
			if f.sb.logRoot() == 0 || f.Info().State != filesystem.Recovery {
				t.Fatalf("log at %d, state %s", f.sb.logRoot(), f.Info().State)
			}
			list := fstest.Allocation(t, f)
			copied := fstest.CopyAllocated(t, file, list)
			dir, _ := fstest.Mount(t, path, "")
			want := fstest.TreeSums(t, dir)
			fstest.Unmount(t, dir)
			if _, ok := want["sub/new39"]; !ok || len(want) < 150 {
				t.Fatalf("the log was not replayed: %d files", len(want))
			}
			dir, ok = fstest.Mount(t, copied, "")
			if !ok {
				t.Fatal("the copy can't be mounted")
			}
			if !maps.Equal(fstest.TreeSums(t, dir), want) {
				t.Error("the files of the copy are not the same")
			}
			fstest.Unmount(t, dir)
			judge(t, copied, "", want)
		})
	}
}

// TestLogDamaged flips bytes of the log: no change may make the allocation
// smaller without an error.
func TestLogDamaged(t *testing.T) {
	path, ok := crashed(t, "-n 4096")
	if !ok {
		t.Skip("mounting is not possible here")
	}
	f, _ := openFile(t, path)
	want := f.Info().Used
	p := fstest.Load(t, path)
	at := f.place(f.sb.logRoot())
	for off := at; off < at+f.nodeSize; off += 5 {
		p[off] ^= 0x5A
		if c := f.chunkAt(f.sb.logRoot()); c.count == 2 {
			p[off-at+c.copies[1]+int64(f.sb.logRoot()-c.logical)] ^= 0x5A
		}
		if got, err := fstest.Used(Open, p); err == nil && got < want {
			t.Fatalf("log damaged at byte %d: %d bytes in use, %d before, and no error", off, got, want)
		}
		p[off] ^= 0x5A
		if c := f.chunkAt(f.sb.logRoot()); c.count == 2 {
			p[off-at+c.copies[1]+int64(f.sb.logRoot()-c.logical)] ^= 0x5A
		}
	}
}
