package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/filesystem/hfsplus"
)

// macs are the volumes of a disk, with what is added to them: a part of a block
// that has the copy of the header.
var macs = []struct {
	fixture string
	mib     int64
	tail    int
	file    string // of the image
	header  string // of the stream
}{
	{"hfsplus-journaled", 16, 1536, "hfsplus-ptcl-img.zst", "HFS Plus\x00"},
	{"hfsplus-wrapped", 20, 0, "hfsplus-ptcl-img.zst", "HFS Plus\x00"},
	{"hfsx-case", 16, 0, "hfsplus-ptcl-img.zst", "HFS Plus\x00"},
	{"hfs-plain", 8, 0, "hfsplus-ptcl-img.zst", "HFS\x00"},
}

// macDisk makes source.img with the volumes, one behind the other with 1 MiB
// before each, and gives them.
func (l *lab) macDisk() (volumes [][]byte, places []int64) {
	l.t.Helper()
	l.random("source.img", 72*mib, 0, 0)
	table, at := "label: dos\n", int64(mib)
	for _, m := range macs {
		path, _ := fstest.Fixture(l.t, m.fixture)
		p := fstest.Load(l.t, path)
		p = append(p, make([]byte, m.tail)...)
		copy(p[len(p)-min(m.tail, 1024):], p[1024:1024+min(m.tail, 512)])
		volumes, places = append(volumes, p), append(places, at)
		table += fmt.Sprintf("start=%d,size=%d,type=af\n", at/512, len(p)/512)
		at += (m.mib + 1) * mib
	}
	l.tool(table, "sfdisk", "--quiet", l.path("source.img"))
	for i, p := range volumes {
		if err := os.WriteFile(l.path("fs"), p, 0o600); err != nil {
			l.t.Fatal(err)
		}
		l.copyInto("fs", "source.img", places[i])
	}
	return volumes, places
}

// sameHFS holds what is in use of a volume against another.
func sameHFS(t *testing.T, what string, want, got []byte) {
	t.Helper()
	var opened filesystem.FileSystem
	opened, err := hfsplus.Open(bytes.NewReader(got), int64(len(got)))
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	list, err := extent.Collect(opened.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	if used, err := fstest.Used(hfsplus.Open, want); err != nil || used != extent.Total(list) {
		t.Errorf("%s: %d bytes in use, want %d, %v", what, extent.Total(list), used, err)
	}
	for _, e := range list {
		if !bytes.Equal(want[e.Offset:e.End()], got[e.Offset:e.End()]) {
			t.Errorf("%s: %v differs", what, e)
		}
	}
	if bytes.Equal(want, got) {
		t.Errorf("%s: what is not in use came too", what)
	}
}

// HFS Plus, HFSX, a wrapped one and HFS are saved by blocks and come back, by
// doppel whole and by partclone but for what lies behind the last block.
func TestHFS(t *testing.T) {
	l := newLab(t)
	volumes, places := l.macDisk()
	out := l.expect(done, `"event":"plan"`, "save", "source.img", "mac", "--plan", "--json")
	if strings.Count(out, `"method":"blocks"`) != len(macs) {
		t.Fatalf("the plan does not save all by blocks: %s", out)
	}
	l.expect(done, "is saved", "save", "source.img", "mac")
	l.expect(done, "image mac can be restored", "verify", "mac")
	l.random("target.img", 72*mib, 0, 72*mib)
	l.expect(done, "was compared", "restore", "mac", "target.img", "--yes", "--verify")
	target := l.read("target.img")
	for i, m := range macs {
		size := int64(len(volumes[i]))
		sameHFS(t, m.fixture, volumes[i], target[places[i]:places[i]+size])
		found, _ := filepath.Glob(l.path(fmt.Sprintf("images/mac/sda%d.%s", i+1, m.file)))
		if len(found) != 1 {
			t.Fatalf("%s has no stream", m.fixture)
		}
		l.find("zstd")
		l.find("partclone.restore")
		if head := l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | head -c 110"); !strings.HasPrefix(head[36:], m.header) {
			t.Errorf("%s: the stream begins with\n%q", m.fixture, head)
		}
		if i == 0 { // restore checks as much
			l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | partclone.chkimg -s - -L /dev/null")
		}
		by := fmt.Sprint("partclone", i)
		l.random(by, size, 0, size)
		l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | partclone.restore -C -s - -O "+l.path(by)+" -L /dev/null")
		volume := l.read(by)
		copy(volume[size-int64(m.tail):], volumes[i][size-int64(m.tail):])
		sameHFS(t, m.fixture+" by partclone", volumes[i], volume)
	}
}
