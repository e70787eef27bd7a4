package btrfs

import (
	"os"
	"path/filepath"
	"testing"

	"doppel.live/internal/filesystem/fstest"
)

// TestFixture reads a volume that partclone 0.3.47 saved and restored.
func TestFixture(t *testing.T) {
	stream, err := filepath.Abs("../../../../shared/fixtures/partclone/btrfs.img.zst")
	if _, statErr := os.Stat(stream); err != nil || statErr != nil {
		t.Skip("the fixtures are not here")
	}
	fstest.Tool(t, "zstd")
	fstest.Tool(t, "partclone.restore")
	t.Parallel()
	path := filepath.Join(t.TempDir(), "volume")
	fstest.Run(t, "sh", "-c", "truncate -s 117440512 "+path+" && zstd -dcq "+stream+" | partclone.restore -C -s - -O "+path+" -L /dev/null")
	if err := os.Truncate(path, 117440512); err != nil {
		t.Fatal(err)
	}
	f, file := openFile(t, path)
	list := fstest.Allocation(t, f)
	if n := dumped(t, path, f.nodeSize); f.Info().Used != n+reserved+superblocks(f.Info()) {
		t.Errorf("%d bytes in use, dump-tree has %d", f.Info().Used, n)
	}
	judge(t, fstest.CopyAllocated(t, file, list), "", nil)
}
