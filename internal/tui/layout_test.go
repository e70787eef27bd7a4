package tui

import (
	"slices"
	"testing"
)

func TestHeadsOfEmptyColumns(t *testing.T) {
	p := Page{Head: []string{"Disk", "Label", "Size"}, Items: []Item{{Cells: []string{"sda", "", "1 GB"}}, {Cells: []string{"Look again"}}}}
	if got, want := p.Heads(), []string{"Disk", "", "Size"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (Page{}).Heads(); got != nil {
		t.Errorf("a page without names has %q", got)
	}
}
