package apfs

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"doppel.live/internal/filesystem/fstest"
)

// files are the sums of all files that libfsapfs reads, by path. The test is
// skipped where it cannot mount.
func files(t testing.TB, path string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command(fstest.Tool(t, "fsapfsmount"), path, dir).CombinedOutput(); err != nil {
		t.Skipf("fsapfsmount cannot mount: %v %s", err, out)
	}
	defer func() {
		if out, err := exec.Command(fstest.Tool(t, "umount"), dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	}()
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		sum := sha256.Sum256(b)
		rel, _ := filepath.Rel(dir, name)
		sums[rel] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return sums
}

func sameFiles(a, b map[string]string) bool { return maps.Equal(a, b) }
