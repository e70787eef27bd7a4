package ext

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, 1024, 2047, 2048, 100000} {
		if _, err := Open(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}

// TestDamage changes every byte of the structures that Allocated stands on, in
// a file system with checksums: no change may make the allocation smaller
// without an error.
func TestDamage(t *testing.T) {
	p := fstest.Load(t, makeVolume(t, 3000, "-t ext4 -b 1024 -g 1024 -N 48 -O ^has_journal,^resize_inode"))
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	damage := func(what string, from, n int64) { fstest.Damage(t, Open, p, what, from, n) }
	damage("superblock", superOffset, superSize)
	damage("group descriptors", f.descBlock(0)*f.blockSize, f.groups*f.descSize)
	err = f.descriptors(func(g int64, d descriptor) error {
		if !f.blockUninit(d) {
			damage("block bitmap", int64(d.blockBitmap())*f.blockSize, 128)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestBitmapsDisagree changes bits of a bitmap without a checksum: what it marks
// is not what the superblock of a clean file system counts then.
func TestBitmapsDisagree(t *testing.T) {
	p := fstest.Load(t, makeVolume(t, 600, "-t ext2 -b 1024 -N 48"))
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	var bitmap int64
	if err := f.descriptors(func(_ int64, d descriptor) error { bitmap = int64(d.blockBitmap()) * f.blockSize; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, bit := range []int64{300, 570} { // one in use by data or free, one free
		p[bitmap+bit/8] ^= 1 << (bit % 8)
		if _, err := fstest.Used(Open, p); err == nil || !strings.Contains(err.Error(), "the bitmaps have") {
			t.Errorf("bit %d: %v", bit, err)
		}
		p[bitmap+bit/8] ^= 1 << (bit % 8)
	}
	if _, err := fstest.Used(Open, p); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	whole := fstest.Load(t, makeVolume(t, 600, "-t ext2 -b 1024 -N 48"))
	tests := []struct {
		name  string
		off   int
		value []byte
		want  string
	}{
		{"block size", 0x18, []byte{7}, "block size"},
		{"blocks beyond the volume", 0x04, []byte{0, 0, 0, 1}, "on a volume of"},
		{"no blocks", 0x04, []byte{0, 0, 0, 0}, "0 blocks"},
		{"first data block", 0x14, []byte{9}, "first data block"},
		{"no blocks in a group", 0x20, []byte{0, 0, 0, 0}, "blocks in a group"},
		{"odd number of blocks in a group", 0x20, []byte{1, 32, 0, 0}, "blocks in a group"},
		{"huge group", 0x20, []byte{0, 0, 0, 0x80}, "blocks in a group"},
		{"no inodes", 0x28, []byte{0, 0, 0, 0}, "inodes in a group"},
		{"inode size", 0x58, []byte{3, 0}, "inodes of"},
		{"unknown feature", 0x63, []byte{0x40}, "unknown features"},
		{"compression", 0x60, []byte{3}, "unknown features"},
		{"another file system's journal", 0x60, []byte{8}, "journal"},
		{"descriptor size", 0x60, []byte{0x82}, "group descriptors of"},
		{"revision", 0x4C, []byte{2}, "revision"},
	}
	for _, tt := range tests {
		p := bytes.Clone(whole)
		copy(p[superOffset+tt.off:], tt.value)
		_, err := fstest.Used(Open, p)
		e := new(filesystem.FormatError)
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || e.Offset < superOffset || e.Offset >= 2*superOffset {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestStates(t *testing.T) {
	whole := fstest.Load(t, makeVolume(t, 600, "-t ext2 -b 1024 -N 48"))
	for state, want := range map[byte]filesystem.State{1: filesystem.Clean, 0: filesystem.Dirty, 2: filesystem.Dirty, 3: filesystem.Dirty, 5: filesystem.Clean} {
		whole[superOffset+0x3A] = state
		f, err := Open(bytes.NewReader(whole), int64(len(whole)))
		if err != nil || f.Info().State != want {
			t.Errorf("s_state %d: %v, %v", state, f.Info().State, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, args := range []string{"-t ext2 -b 1024 -N 32", "-t ext2 -b 1024 -N 32 -O meta_bg,^resize_inode -g 256", "-t ext2 -r 0 -b 1024 -N 32",
		"-t ext4 -O ^metadata_csum,^has_journal,^resize_inode,64bit,bigalloc -b 1024 -C 4096 -N 32", "-t ext4 -O ^metadata_csum,^uninit_bg,^has_journal,^resize_inode -b 1024 -N 64 -g 256"} {
		f.Add(fstest.Load(f, makeVolume(f, 300, args)))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		fstest.Hostile(t, Open, p, int64(len(p)))
	})
}
