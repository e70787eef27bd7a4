package xfs

import (
	"os"
	"testing"
)

// TestMain puts the volumes into memory where there is a place for it: the
// matrix makes and syncs dozens of them.
func TestMain(m *testing.M) {
	if dir, err := os.MkdirTemp("/dev/shm", "doppel-xfs"); err == nil {
		os.Setenv("TMPDIR", dir)
		code := m.Run()
		os.RemoveAll(dir)
		os.Exit(code)
	}
	os.Exit(m.Run())
}
