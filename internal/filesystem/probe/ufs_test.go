package probe

import (
	"os"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
)

// TestUFSIsRead holds that UFS is saved by blocks, unmounted or not, and not
// where a journal must be replayed, or where it is damaged.
func TestUFSIsRead(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		path := volumeFile(t, 0, "makefs -t ffs -s 16m -o version="+version+",bsize=8192,fsize=1024 FILE /etc/apt")
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, tt := range []struct {
			what   string
			at     int64
			value  byte
			state  filesystem.State
			reason string // "": it is read
		}{
			{"unmounted", 8192 + 209, 1, filesystem.Clean, ""},
			{"not unmounted", 8192 + 209, 0, filesystem.Dirty, ""},
			{"gjournal", 8192 + 1312, 0x40, filesystem.Recovery, "a journal (gjournal)"},
			{"damaged", 24*1024 + 4, 0, filesystem.Recovery, "a journal (gjournal)"},
			{"no gjournal, damaged", 8192 + 1312, 0, filesystem.Dirty, "its magic is"},
		} {
			if _, err := f.WriteAt([]byte{tt.value}, tt.at); err != nil {
				t.Fatal(err)
			}
			res := probeFile(t, path)
			if res.Info.Type != "ufs" || res.Info.Version != version || res.Info.State != tt.state || res.Info.BlockSize != 1024 {
				t.Errorf("version %s, %s: %+v", version, tt.what, res.Info)
			}
			if (res.FileSystem != nil) != (tt.reason == "") || !strings.Contains(res.Reason, tt.reason) {
				t.Errorf("version %s, %s: file system %v, reason %q", version, tt.what, res.FileSystem, res.Reason)
			}
		}
	}
}
