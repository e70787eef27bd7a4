package exfat

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// small is a small volume, and its reader. Its root directory begins with the
// entries of the label, the bitmap and the up-case table.
func small(t testing.TB) ([]byte, *fileSystem) {
	t.Helper()
	p := fstest.Load(t, makeVolume(t, 600, "-b 4K -c 512"))
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	// exfatprogs since 1.2 keeps an entry free for a GUID before the bitmap.
	if root := f.boot.offset(f.boot.root()); p[root+32] == 0x20 {
		copy(p[root+32:], p[root+64:root+128])
		clear(p[root+96 : root+128])
	}
	return p, f
}

// TestDamage changes every byte of what Allocated stands on: no change may make
// the allocation smaller without an error. All that is in use here is
// metadata; of a file's cluster the bitmap is the only witness.
func TestDamage(t *testing.T) {
	p, f := small(t)
	fstest.Damage(t, Open, p, "boot region", 0, 12*512)
	fstest.Damage(t, Open, p, "FAT", f.boot.fat()*512, 128)
	fstest.Damage(t, Open, p, "root directory", f.boot.offset(f.boot.root()), 128)
	fstest.Damage(t, Open, p, "bitmap", f.boot.offset(f.bitmap[0].Offset), 16)
}

// seal writes the checksum of the main boot region.
func seal(p []byte) {
	sum := uint32(0)
	for i, c := range p[:11*512] {
		if i != 106 && i != 107 && i != 112 {
			sum = (sum<<31 | sum>>1) + uint32(c)
		}
	}
	for at := 11 * 512; at < 12*512; at += 4 {
		le.PutUint32(p[at:], sum)
	}
}

func TestRefused(t *testing.T) {
	whole, f := small(t)
	root, fat := f.boot.offset(f.boot.root()), f.boot.fat()*512
	tests := []struct {
		name  string
		off   int64
		value []byte
		want  string
	}{
		{"checksum", 11*512 + 8, []byte{1, 2}, "checksum"},
		{"numbers of a FAT", 11, []byte{0, 2}, "there must be 0"},
		{"no boot signature", 510, []byte{0}, "55 AA"},
		{"revision", 105, []byte{2}, "revision"},
		{"TexFAT", 110, []byte{2}, "2 FATs"},
		{"second FAT is active", 106, []byte{1}, "active"},
		{"larger than the volume", 72, []byte{0, 0, 1}, "on a volume of"},
		{"no clusters", 92, []byte{0, 0}, "0 clusters"},
		{"too many clusters", 92, []byte{0, 0, 1}, "clusters"},
		{"FAT in the boot region", 80, []byte{3}, "FAT at sector 3"},
		{"FAT too short", 84, []byte{1}, "a FAT of 1 sectors"},
		{"root directory nowhere", 96, []byte{1}, "root directory in cluster 1"},
		{"root directory without end", fat + 4*f.boot.root(), []byte{byte(f.boot.root()), byte(f.boot.root() >> 8), 0, 0}, "root directory"},
		{"no bitmap", root + 32, []byte{0x01}, "0 allocation bitmaps"},
		{"second bitmap", root + 33, []byte{1}, "1 allocation bitmaps"},
		{"short bitmap", root + 32 + 24, []byte{9}, "allocation bitmap of"},
		{"no up-case table", root + 64, []byte{0x02}, "no up-case table"},
		{"chain of the up-case table ends early", fat + 4*3, []byte{0xFF, 0xFF, 0xFF, 0xFF}, "up-case table"},
		{"chain leads nowhere", fat + 4*4, []byte{0xF0, 0xF0, 0, 0}, "is followed by cluster 61680"},
		{"bitmap has itself free", f.boot.offset(f.bitmap[0].Offset), []byte{0xFE}, "has cluster 2 free"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := bytes.Clone(whole)
			copy(p[tt.off:], tt.value)
			if tt.name != "checksum" {
				seal(p)
			}
			_, err := Open(bytes.NewReader(p), int64(len(p)))
			if e := new(filesystem.FormatError); !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestState(t *testing.T) {
	p, _ := small(t)
	for flags, want := range map[byte]filesystem.State{0: filesystem.Clean, 2: filesystem.Dirty, 4: filesystem.Dirty, 8: filesystem.Clean} {
		p[106] = flags
		f, err := Open(bytes.NewReader(p), int64(len(p)))
		if err != nil || f.Info().State != want {
			t.Errorf("flags %d: %+v, %v", flags, f, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	whole, opened := small(f)
	p := whole[:40<<10]
	f.Add(p, uint32(len(whole)))
	p = bytes.Clone(p)
	copy(p[opened.boot.offset(opened.bitmap[0].Offset)+6:], "\x55\x00\xFF\x01\xF0")
	f.Add(p, uint32(len(whole)))
	f.Fuzz(func(t *testing.T, p []byte, length uint32) {
		if len(p) >= 12*512 && p[108] == 9 {
			p = bytes.Clone(p)
			seal(p) // so that what is behind the checksum is met
		}
		fstest.Hostile(t, Open, p, int64(length))
	})
}
