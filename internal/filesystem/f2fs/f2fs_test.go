package f2fs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/filesystem/bitmap"
	"doppel.live/internal/filesystem/fstest"
)

// fsck lets fsck.f2fs look at a volume and gives what it says.
func fsck(t *testing.T, path string) string {
	t.Helper()
	out := fstest.Run(t, "fsck.f2fs", "--dry-run", path)
	if strings.Contains(out, "[Fail]") || strings.Contains(out, "[ASSERT]") || !strings.Contains(out, "other corrupted bugs") {
		t.Errorf("fsck.f2fs says\n%s", out)
	}
	return out
}

// fsckAgrees holds the counts of fsck.f2fs against ours.
func fsckAgrees(t *testing.T, path string, f *fileSystem) {
	t.Helper()
	fsck(t, path)
	out := fstest.Run(t, "fsck.f2fs", "--dry-run", "-d", "1", path)
	m := regexp.MustCompile(`build_sit_area_bitmap.*Blocks \[0x\w+ : (\d+)\] Free Segs \[0x\w+ : (\d+)\]`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("fsck.f2fs counts nothing:\n%s", out)
	}
	var valid, free int64
	err := f.united(func(segment int64, blocks []byte) error {
		n := bitmap.Count(blocks)
		valid += n
		if n == 0 && !slices.Contains(f.views[0].cp.currentSegments(), segment) {
			free++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m[1] != fmt.Sprint(valid) || m[2] != fmt.Sprint(free) {
		t.Errorf("%d valid blocks, %d free segments; fsck.f2fs says %s", valid, free, m[0])
	}
	if extra := f.info.Used/f.block - valid; extra != f.metadata(free) {
		t.Errorf("%d blocks in use outside the main area, want %d", extra, f.metadata(free))
	}
}

// metadata is how many blocks outside the main area must be in use when so
// many segments are free.
//
//	2                   superblocks
//	512 * segments of   checkpoints, SIT, NAT; 2 each at least
//	1 for each segment  of the SSA, less the free ones; none where it is read-only
func (f *fileSystem) metadata(free int64) int64 {
	n := 2 + segmentBlocks*(f.sb.word(52)+f.sb.word(56)+f.sb.word(60))
	if f.sb.features()&featureReadOnly == 0 {
		n += f.area.segments - free
	}
	return n
}
