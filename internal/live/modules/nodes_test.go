package modules

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseNodes(t *testing.T) {
	got := parseNodes("# comment here\ndm_mod mapper/control c10:236\nx ../../etc/passwd c1:1\nfloppy fd0 b2:0\nshort c1:1\nx bad c1\n")
	want := []node{
		{"mapper/control", unix.S_IFCHR, 10, 236},
		{"fd0", unix.S_IFBLK, 2, 0},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
