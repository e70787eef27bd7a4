package probe

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// TestHFSIsRead holds what is saved by blocks, and what is not: a volume that
// was not unmounted.
func TestHFSIsRead(t *testing.T) {
	attributes := map[string]int{"hfsplus-journaled": 1024 + 6, "hfsplus-wrapped": 45056 + 1024 + 6, "hfsx-case": 1024 + 6, "hfs-plain": 1024 + 10}
	for name, at := range attributes {
		path, _ := fstest.Fixture(t, name)
		res := probeFile(t, path)
		if res.FileSystem == nil || res.Reason != "" || res.Info.State != filesystem.Clean || res.Info.Used != res.FileSystem.Info().Used {
			t.Errorf("%s: %+v", name, res)
		}
		p := fstest.Load(t, path)
		p[at] &^= 1 // unmounted
		dirty, err := Probe(bytes.NewReader(p), int64(len(p)))
		if err != nil || dirty.FileSystem != nil || !strings.Contains(dirty.Reason, "it was not unmounted") || dirty.Info.Label != res.Info.Label {
			t.Errorf("%s, not unmounted: %+v, %v", name, dirty, err)
		}
		p[at] |= 1
		if strings.HasPrefix(name, "hfsplus") || name == "hfsx-case" {
			at += 44 // the number of free blocks
		} else {
			at += 24
		}
		p[at]++
		doubtful, err := Probe(bytes.NewReader(p), int64(len(p)))
		if err != nil || doubtful.FileSystem != nil || !strings.Contains(doubtful.Reason, "doubtful") || doubtful.Info.Label != res.Info.Label {
			t.Errorf("%s, wrong number of free blocks: %+v, %v", name, doubtful, err)
		}
	}
}

// TestHFSCopies: the copy of the header lies before the end of the blocks, or
// of a volume that is no whole number of them.
func TestHFSCopies(t *testing.T) {
	path, _ := fstest.Fixture(t, "hfsx-case")
	p := fstest.Load(t, path)
	old := int64(len(p)) - 1024
	p = append(p, make([]byte, 1536)...)
	copy(p[len(p)-1024:], p[1024:1536])
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := Signatures(bytes.NewReader(p), int64(len(p)))
	want := []Signature{{"hfsplus", 1024, 2}, {"hfsplus", old, 2}, {"hfsplus", old + 1536, 2}}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%v, %v, want %v", list, err, want)
	}
	if res := probeFile(t, path); res.FileSystem == nil || res.Info.Size != int64(len(p)) {
		t.Errorf("%+v", res)
	}
	wiped(t, path)
}
