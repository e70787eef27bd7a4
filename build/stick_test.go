package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"doppel.live/internal/stick"
)

// The stick image differs from that of the disc in the marker only, and is not
// made of one that has something there.
func TestStickImage(t *testing.T) {
	dir := t.TempDir()
	disc, to := filepath.Join(dir, "disc"), filepath.Join(dir, "stick")
	data := make([]byte, 64<<10)
	data[0], data[40<<10] = 1, 2
	if err := os.WriteFile(disc, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := stickImage(to, disc); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if stick.Marked(bytes.NewReader(got)) != nil || stick.Marked(bytes.NewReader(data)) == nil {
		t.Error("the marker is not where it belongs")
	}
	clear(got[stick.MarkerOffset:][:512])
	if !bytes.Equal(got, data) {
		t.Error("more than the marker differs")
	}
	if stickImage(disc, to) == nil {
		t.Error("a stick image was made out of a stick image")
	}
}
