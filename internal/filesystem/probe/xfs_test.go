package probe

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// TestXFS: blocks in use of one whose log is empty or can be replayed, raw with
// the reason where the log, or the state of the file system, does not let them
// be known.
func TestXFS(t *testing.T) {
	fstest.Tool(t, "mkfs.xfs")
	p, err := os.ReadFile(volumeFile(t, 20, "mkfs.xfs --unsupported -q -f -m crc=0 -d agcount=1 FILE"))
	if err != nil {
		t.Fatal(err)
	}
	log := bytes.Index(p, []byte("\xFE\xED\xBA\xBE"))
	tests := []struct {
		name  string
		off   int
		value string
		state filesystem.State
		want  string // reason
	}{
		{"clean", 0, "X", filesystem.Clean, ""},
		{"no unmount", log + 512 + 9, "\x00", filesystem.Recovery, ""},
		{"no unmount, and unknown", log + 512 + 9, "\x40", filesystem.Recovery, "log can't be replayed (xfs: at byte"},
		{"log of another machine", log + 303, "\x02", filesystem.Recovery, "log can't be replayed (xfs: at byte"},
		{"log elsewhere", 48, strings.Repeat("\x00", 8), filesystem.Unknown, "log lies on another device"},
		{"real-time section", 23, "\x01", filesystem.Unknown, "real-time section"},
		{"damaged head", 512, "Y", filesystem.Unknown, "head of group 0"},
	}
	for _, tt := range tests {
		q := bytes.Clone(p)
		copy(q[tt.off:], tt.value)
		res, err := Probe(bytes.NewReader(q), int64(len(q)))
		if err != nil {
			t.Fatal(err)
		}
		if res.Info.Type != "xfs" || res.Info.State != tt.state || !strings.Contains(res.Reason, tt.want) || (res.FileSystem != nil) != (tt.want == "") {
			t.Errorf("%s: %+v", tt.name, res)
		}
	}
}
