package exfat

import (
	"bytes"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
)

// TestUnmarked takes everything but metadata out of the bitmap of a volume that
// was not unmounted: nothing is lost that files have.
func TestUnmarked(t *testing.T) {
	whole, f := handmade(t)
	want := f.info.Used
	tests := []struct {
		name   string
		change func(p []byte)
		more   int64 // clusters that count beside those of the whole volume
		less   int64
	}{
		{"bitmap", func(p []byte) {}, 0, 0},
		{"chain beyond the size", func(p []byte) { le.PutUint32(p[f.boot.entry(xAt+1):], 130) }, 1, 0},
		{"cyclic chain", func(p []byte) { le.PutUint32(p[f.boot.entry(xAt+1):], xAt) }, 0, 0},
		{"chain leads nowhere", func(p []byte) { le.PutUint32(p[f.boot.entry(xAt):], 1<<30) }, 0, 2},
		{"set without a checksum", func(p []byte) { p[f.boot.offset(subAt)+2]++ }, 0, 0},
		{"behind the end of a directory", func(p []byte) {
			copy(p[f.boot.offset(dirAt)+512-96:], file{"z", 0, 140, 5000, 5000, true}.set())
		}, 10, 0},
		{"grown root directory", func(p []byte) {
			le.PutUint32(p[f.boot.entry(f.boot.root()):], 150)
			le.PutUint32(p[f.boot.entry(150):], endOfChain)
			copy(p[f.boot.offset(150):], file{"z", 0, 140, 5000, 5000, true}.set())
		}, 11, 0},
		{"larger than the volume", func(p []byte) {
			copy(p[f.boot.offset(dirAt)+512-96:], file{"z", 0, f.boot.clusters(), 1 << 50, 1 << 50, true}.set())
		}, 2, 0},
		{"no bytes", func(p []byte) {
			copy(p[f.boot.offset(dirAt)+512-96:], file{"z", 0, 140, 0, 0, true}.set())
		}, 1, 0},
		{"directory behind each other", func(p []byte) {
			copy(p[f.boot.offset(dirAt)+512-96:], file{"z", attrDirectory, 160, 1024, 1024, true}.set())
			copy(p[f.boot.offset(161):], file{"y", 0, 140, 5000, 5000, true}.set())
		}, 12, 0},
		{"directory in itself", func(p []byte) {
			copy(p[f.boot.offset(dirAt)+512-96:], file{"z", attrDirectory, dirAt, 1024, 1024, true}.set())
		}, 1, 0},
	}
	for _, tt := range tests {
		p := bytes.Clone(whole)
		p[106] |= flagDirty
		bits := clusterSet(p[f.boot.offset(f.bitmap[0].Offset):])
		for c := int64(dirAt); c < 200; c++ {
			bits[(c-2)/8] &^= 1 << uint((c-2)%8)
		}
		tt.change(p)
		after, err := open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := (after.info.Used - want) / 512; after.info.State != filesystem.Dirty || got != tt.more-tt.less {
			t.Errorf("%s: %+v, %d clusters more, want %d", tt.name, after.info, got, tt.more-tt.less)
		}
	}
}

// TestManyTimes lets entries name all clusters over and over.
func TestManyTimes(t *testing.T) {
	p, f := handmade(t)
	p[106] |= flagDirty
	for c := int64(200); c < 300; c++ {
		le.PutUint32(p[f.boot.entry(c):], uint32(c+1))
		for i := range int64(5) {
			copy(p[f.boot.offset(c)+96*i:], file{"z", 0, 2, 1 << 40, 0, true}.set())
		}
	}
	le.PutUint32(p[f.boot.entry(dirAt):], 200)
	if _, err := Open(bytes.NewReader(p), int64(len(p))); err == nil || !strings.Contains(err.Error(), "many twice") {
		t.Errorf("error %v", err)
	}
}
