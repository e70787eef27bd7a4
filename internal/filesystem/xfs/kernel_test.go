package xfs

import (
	"testing"

	"doppel.live/internal/vm/lab"
)

// TestReplayVersion4 is TestReplay for what few kernels still mount. In the
// guest the loop devices lie on files in memory.
func TestReplayVersion4(t *testing.T) {
	c := lab.Config{
		Modules: []string{"loop"},
		Needs:   []string{"mkfs.xfs", "xfs_io", "xfs_repair", "mount"},
		Memory:  1024,
	}
	if !lab.Inside() {
		t.Setenv("TMPDIR", "/tmp") // the guest does not see the host's /dev/shm
	}
	lab.Run(t, c, func(t *testing.T) {
		for _, tt := range []struct {
			name, args, options string
			cut                 cut
		}{
			{"flushed", "-m crc=0 -d agcount=2", "", flushed},
			{"not flushed", "-m crc=0 -l su=64k", "", unflushed},
			{"first version of the log, copied", "-m crc=0 -l version=1", "", copied},
			{"512, no lazy counters", "-m crc=0 -b size=512 -l lazy-count=0", "", flushed},
		} {
			t.Run(tt.name, func(t *testing.T) { sameAfterRecovery(t, crash(t, 60, tt.args, tt.options, tt.cut, 1)) })
		}
	})
}
