package probe

import (
	"bytes"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// TestAPFSIsRead: a container is saved by its blocks in use; raw, with the
// reason and what it is called, where they cannot be known.
func TestAPFSIsRead(t *testing.T) {
	path, _ := fstest.Fixture(t, "apfs")
	p := fstest.Load(t, path)
	tests := []struct {
		name  string
		off   int
		value string
		want  string // reason
	}{
		{"sound", 0, "", ""},
		{"block 0", 4000, "X", "the checksum of the superblock in block 0"},
		{"newest superblock", 6*4096 + 4000, "X", "the newest checkpoint is of transaction 78, block 0 of 79"},
		{"space manager", 74*4096 + 4000, "X", "checksum of an object of the checkpoint"},
	}
	for _, tt := range tests {
		q := bytes.Clone(p)
		copy(q[tt.off:], tt.value)
		res, err := Probe(bytes.NewReader(q), int64(len(q)))
		if err != nil {
			t.Fatal(err)
		}
		info := res.Info
		if info.Type != "apfs" || info.UUID != "7ff0a6b3-e8ee-4b87-878b-f26b82713cb2" || info.Size != int64(len(p)) || !strings.Contains(res.Reason, tt.want) || (res.FileSystem != nil) != (tt.want == "") {
			t.Errorf("%s: %+v", tt.name, res)
		}
		if tt.want == "" && (info.State != filesystem.Clean || info.Used != 463*4096) {
			t.Errorf("%s: %+v", tt.name, info)
		}
	}
}
