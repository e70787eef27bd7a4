package xfs

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/fstest"
)

// TestTwoLevels makes a tree of two levels in a volume of version 4, which few
// kernels still mount: a node and two leaves, written by hand.
func TestTwoLevels(t *testing.T) {
	p := fstest.Load(t, makeVolume(t, 40, "-m crc=0 -d agcount=1"))
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.readGroup(0)
	if err != nil {
		t.Fatal(err)
	}
	first := g.length - g.longest // blocks: the last free extent reaches the end
	block := func(n int64) []byte { return p[n*f.blockSize:][:f.blockSize] }
	words := func(q []byte, list ...int64) {
		for i, w := range list {
			be.PutUint32(q[4*i:], uint32(w))
		}
	}
	const none, end = 0xFFFFFFFF, 2736 // no sibling; where the pointers of a node of 4 KiB begin
	magic := int64(be.Uint32([]byte("ABTB")))
	words(block(g.root), magic, 1<<16|2, none, none, first+2, 5, first+10, g.longest-10)
	words(block(g.root)[end:], first, first+1)
	words(block(first), magic, 1, none, first+1, first+2, 5)
	words(block(first+1), magic, 1, first, none, first+10, g.longest-10)
	agf := p[f.groupOffset(0):]
	words(agf[28:], 2)
	words(agf[52:], g.longest-5, g.longest-10)

	if f, err = open(bytes.NewReader(p), int64(len(p))); err != nil {
		t.Fatal(err)
	}
	want := []extent.Extent{{Length: (first + 2) * 4096}, {Offset: (first + 7) * 4096, Length: 3 * 4096}}
	if list := fstest.Allocation(t, f); !slices.Equal(list, want) {
		t.Errorf("in use is %v, want %v", list, want)
	}
	for what, second := range map[string]int64{"where at least": first, "not level 0": g.root, "has a block": g.length} {
		words(block(g.root)[end+4:], second)
		if _, err := fstest.Used(Open, p); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("the second pointer is %d: %v, want %q", second, err, what)
		}
	}
}
