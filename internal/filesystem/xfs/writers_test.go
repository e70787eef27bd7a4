package xfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"doppel.live/internal/filesystem/fstest"
)

// TestReplayUnderWrites cuts while files are written: records are under way.
// The volume lies in a file of an ext4, which is frozen for the moment of the
// copy, so that all of it is of one moment.
func TestReplayUnderWrites(t *testing.T) {
	fstest.Tool(t, "fsfreeze")
	fstest.Tool(t, "mkfs.ext4")
	lower := filepath.Join(t.TempDir(), "lower")
	if err := os.WriteFile(lower, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(lower, 200<<20); err != nil {
		t.Fatal(err)
	}
	fstest.Run(t, "mkfs.ext4", "-q", "-O", "^has_journal", lower)
	below := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", lower, below).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %s", out)
	}
	defer exec.Command("umount", below).Run()
	volume := filepath.Join(below, "volume")
	fstest.Run(t, "cp", makeVolume(t, 100, "-m rmapbt=1 -d agcount=2"), volume)
	dir, ok := fstest.Mount(t, volume, "")
	if !ok {
		t.Skip("cannot mount")
	}
	churn(t, dir)
	var writers sync.WaitGroup
	stop, removing := make(chan struct{}), make(chan struct{})
	for w := range 4 {
		rng := rand.New(rand.NewPCG(uint64(w), 3))
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := filepath.Join(dir, fmt.Sprint("w", w, "-", i%120))
				os.Remove(name)
				if f, err := os.Create(name); err == nil {
					f.Write(fstest.Noise(rng, rng.Int64N(20000)))
					f.Sync()
					f.Close()
				}
			}
		})
	}
	writers.Go(func() { // frees many extents at a time, in chains of transactions
		rng := rand.New(rand.NewPCG(7, 3))
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := filepath.Join(dir, fmt.Sprint("many", i%3))
			punched(rng, name, 500)
			clone(name, name+"r")
			punched(rng, name, 100)
			select {
			case removing <- struct{}{}:
			default:
			}
			if i%2 == 0 {
				os.Remove(name + "r")
			}
			os.Remove(name)
		}
	})
	intents := 0
	for i := range 3 {
		copied := filepath.Join(t.TempDir(), "copied")
		<-removing
		fstest.Run(t, "fsfreeze", "-f", below)
		out, err := exec.Command("cp", "--sparse=always", volume, copied).CombinedOutput()
		fstest.Run(t, "fsfreeze", "-u", below)
		if err != nil {
			t.Fatalf("%s", out)
		}
		intents += unfinished(t, copied)
		t.Run(fmt.Sprint("cut ", i), func(t *testing.T) { sameAfterRecovery(t, copied) })
		os.Remove(copied)
	}
	close(stop)
	writers.Wait()
	fstest.Unmount(t, dir)
	t.Logf("%d intents were not done when the volumes were cut", intents)
}

// unfinished counts the intents in a log that were not done.
func unfinished(t *testing.T, path string) int {
	t.Helper()
	open := map[string]bool{}
	for _, m := range regexp.MustCompile(`\b([ERCB][FUM]?)(I|D):.*id: ?(\S+)`).FindAllStringSubmatch(fstest.Run(t, "xfs_logprint", "-t", path), -1) {
		if name := m[1] + m[3]; m[2] == "I" {
			open[name] = true
		} else {
			delete(open, name)
		}
	}
	return len(open)
}
