package fstest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Churn writes files whose names begin with name, removes some, and lets others
// grow into the holes. They are made for a volume of size bytes.
func Churn(t testing.TB, rng *rand.Rand, dir, name string, size int64) {
	t.Helper()
	path := func(i int) string { return filepath.Join(dir, fmt.Sprintf("Füll %d", i%5), fmt.Sprint(name, i)) }
	for i := range 60 {
		if err := os.MkdirAll(filepath.Dir(path(i)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path(i), Noise(rng, rng.Int64N(size/300)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 60; i += 3 {
		if err := os.Remove(path(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		f, err := os.OpenFile(path(3*(i/2)+1+i%2), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(Noise(rng, size/300)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

// Snapshot copies a device as it lies there, its cached blocks included.
func Snapshot(t testing.TB, device string) string {
	t.Helper()
	path := Volume(t, 0)
	if err := os.WriteFile(path, Load(t, device), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// CutSums are TreeSums where a power cut may have left a file without all of its
// clusters, which is read up to an error, or a directory that cannot be read.
func CutSums(t testing.TB, dir string) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(p, dir+"/")
		if err != nil {
			sums[name] = [32]byte{1}
			return nil
		}
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if errors.Is(err, unix.EIO) {
				b = append(b, "and no more"...)
			} else if err != nil {
				return err
			}
			sums[name] = sha256.Sum256(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}
