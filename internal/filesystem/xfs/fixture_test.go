package xfs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/partclone"
)

// TestFixture puts a volume together again from what partclone 0.3.47 saved of
// it. All that it saved is in use; we find the free lists in use besides.
func TestFixture(t *testing.T) {
	packed, err := os.Open("../../../../shared/fixtures/partclone/xfs.img.zst")
	if err != nil {
		t.Skip("no fixtures")
	}
	defer packed.Close()
	z, err := zstd.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	saved, err := partclone.NewReader(z, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := extent.Collect(saved.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	volume := make([]byte, 50331648)
	for {
		off, data, err := saved.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		copy(volume[off:], data)
	}
	f, err := open(bytes.NewReader(volume), int64(len(volume)))
	if err != nil {
		t.Fatal(err)
	}
	ours := fstest.Allocation(t, f)
	if !slices.Equal(extent.Union(ours, theirs), ours) {
		t.Error("partclone saved more than we find in use")
	}
	listed := int64(0)
	for n := range f.agCount {
		listed += int64(be.Uint32(volume[f.groupOffset(n)+48:])) // agf_flcount
	}
	if more := extent.Total(ours) - extent.Total(theirs); more != listed*f.blockSize {
		t.Errorf("we find %d bytes more in use, the free lists have %d blocks", more, listed)
	}
}
