package ufs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, 8192, 8192 + 1375, 66000, 400000} {
		if _, err := Open(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}

// little is a small volume with files, a few groups in it.
func little(t testing.TB, version, order string) []byte {
	t.Helper()
	dir := t.TempDir()
	for i := range 6 {
		writeFile(t, dir, i, 1<<(2*i+6))
	}
	path := t.TempDir() + "/volume"
	fstest.Run(t, "makefs", "-t", "ffs", "-B", order, "-s", "2m", "-o", "version="+version+",bsize=4096,fsize=512,maxbpcg=1024,density=8192", path, dir)
	return fstest.Load(t, path)
}

// hashed turns FreeBSD's hashes on.
func hashed(p []byte) []byte {
	f, _ := Open(bytes.NewReader(p), int64(len(p)))
	sb := f.(*fileSystem).sb
	sb.order.PutUint32(p[sb.at+1308:], hashSuper|hashGroup)
	sb.order.PutUint32(p[sb.at+1312:], flagHashes)
	for g := range sb.groups() {
		h := f.(*fileSystem).header(p, g)
		sb.order.PutUint32(h[132:], slowHash(h, 132))
	}
	s := p[sb.at : sb.at+sb.bytes()]
	sb.order.PutUint32(s[1304:], slowHash(s, 1304))
	return p
}

// slowHash is the sum as fs.h has it, a bit at a time: from ~0, not inverted.
func slowHash(p []byte, at int) uint32 {
	crc := ^uint32(0)
	for i, b := range p {
		if i < at || i >= at+4 {
			crc ^= uint32(b)
		}
		for range 8 {
			crc = crc>>1 ^ crc&1*0x82F63B78
		}
	}
	return crc
}

// TestDamage changes every byte of all structures that Allocated stands on.
func TestDamage(t *testing.T) {
	for name, p := range map[string][]byte{
		"UFS1":             little(t, "1", "be"),
		"UFS2":             little(t, "2", "le"),
		"UFS2 with hashes": hashed(little(t, "2", "le")),
	} {
		f := openBytes(t, p)
		if f.sb.groups() < 2 {
			t.Fatalf("%d groups", f.sb.groups())
		}
		fstest.Damage(t, Open, p, name+": superblock", f.sb.at, superSize)
		fstest.Damage(t, Open, p, name+": summary", f.sb.summary()*f.sb.fragmentSize(), f.sb.groups()*summarySize)
		for g := range f.sb.groups() {
			at := (f.sb.start(g) + f.sb.groupBlock()) * f.sb.fragmentSize()
			fstest.Damage(t, Open, p, name+": cylinder group", at, f.sb.groupBytes())
		}
	}
}

// TestHashes finds every changed byte where there are hashes.
func TestHashes(t *testing.T) {
	p := hashed(little(t, "2", "be"))
	f := openBytes(t, p)
	at := (f.sb.start(1) + f.sb.groupBlock()) * f.sb.fragmentSize()
	for _, r := range [][2]int64{{f.sb.at, f.sb.bytes()}, {at, f.sb.groupBytes()}} {
		for off := r[0]; off < r[0]+r[1]; off++ {
			p[off] ^= 0x10
			if _, err := Open(bytes.NewReader(p), int64(len(p))); err == nil && off != f.sb.at+1308+3 && off != f.sb.at+1308 {
				t.Errorf("byte %d was changed, and no error", off)
			}
			p[off] ^= 0x10
		}
	}
}

// TestWalkDamage changes every byte of inodes and an indirect block of a volume
// that was not unmounted: what the maps call used stays so.
func TestWalkDamage(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		p := little(t, version, "le")
		f := openBytes(t, p)
		p[f.sb.at+209] = 0
		fstest.Damage(t, Open, p, "inodes of UFS"+version, f.sb.inodeBlock()*f.sb.fragmentSize(), 10*f.sb.inodeSize())
	}
}

func TestRefused(t *testing.T) {
	one, two := little(t, "1", "le"), little(t, "2", "le")
	f := openBytes(t, one)
	super, group := uint32(f.sb.at), uint32((f.sb.start(1)+f.sb.groupBlock())*f.sb.fragmentSize())
	free := group + f.sb.order.Uint32(one[group+96:])
	word := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	summary := uint32(f.sb.summary() * f.sb.fragmentSize())
	tests := []struct {
		name   string
		volume []byte
		off    uint32
		change []byte
		want   string
	}{
		{"fragment size", one, super + 52, word(600), "fragments of 600 bytes"},
		{"fragments too small", one, super + 52, word(256), "fragments of 256 bytes"},
		{"fragments in a block", one, super + 56, word(4), "4 in a block"},
		{"size of the superblock", one, super + 104, word(9000), "a superblock of 9000"},
		{"inodes of 4.2BSD", one, super + 1324, word(0xFFFFFFFF), "4.2BSD or Solaris"},
		{"Solaris", one, super + 1336, word(0x7C269D38), "4.2BSD or Solaris"},
		{"unknown flags", one, super + 1312, word(0x02000000), "unknown flags 0x2000000"},
		{"pointers in a block", one, super + 116, word(9), "9 pointers"},
		{"larger than the volume", one, super + 36, word(5000), "on a volume of"},
		{"no fragments", one, super + 36, word(0), "0 fragments"},
		{"negative size", two, super + 1080, bytes.Repeat([]byte{0xFF}, 8), "-1 fragments"},
		{"huge size", two, super + 1080, bytes.Repeat([]byte{0x7F}, 8), "on a volume of"},
		{"no fragments in a group", one, super + 188, word(0), "0 fragments in a cylinder group"},
		{"huge groups", one, super + 188, word(1 << 20), "fragments in a cylinder group"},
		{"number of groups", one, super + 44, word(9), "9 cylinder groups"},
		{"no groups", one, super + 44, word(0), "0 cylinder groups"},
		{"size of headers", one, super + 160, word(100), "headers of 100"},
		{"headers larger than a block", one, super + 160, word(8192), "headers of 8192"},
		{"no inodes", one, super + 184, word(0), "0 inodes"},
		{"headers in the superblocks", one, super + 12, word(1), "headers at 1"},
		{"inodes in the headers", one, super + 16, word(2), "inodes at 2"},
		{"data in the inodes", one, super + 20, word(3), "data at 3"},
		{"summary too short", one, super + 156, word(16), "a summary of 16"},
		{"summary outside", one, super + 152, word(9000), "a summary at fragment 9000"},
		{"summary in the boot area", one, super + 152, word(1), "a summary at fragment 1"},
		{"metadata outside of its group", one, super + 24, append(word(2000), word(0xFFFFFFFC)...), "not in it"},
		{"free blocks of the superblock", one, super + 196, word(7), "free by the superblock"},
		{"magic of a group", one, group + 4, word(0), "its magic is"},
		{"number of a group", one, group + 12, word(2), "it is called 2"},
		{"fragments of a group", one, group + 20, word(2), "it has 2 fragments"},
		{"map of inodes", one, group + 92, word(5000), "map of its inodes"},
		{"map of fragments", one, group + 96, word(5000), "map of its fragments"},
		{"map of fragments in the other", one, group + 96, word(168), "map of its fragments"},
		{"free blocks of a group", one, group + 28, word(7), "7 and"},
		{"free fragments of a group", one, group + 36, word(7), "and 7 by its count"},
		{"runs of free fragments", one, group + 52 + 12, word(7), "7 by its count"},
		{"inodes of a group", two, group + 116, word(7), "7 inodes"},
		{"a fragment more is free", one, free + 100, []byte{1}, "by its map"},
		{"summary", one, summary, word(77), "otherwise than its summary"},
		{"a second superblock", one, 64 << 10, secondSuper(one, super), "a second superblock"},
		{"elsewhere", one, super + 1000, word(0), "a copy of a superblock"},
	}
	for _, tt := range tests {
		p := fstest.Change(tt.volume, tt.off, tt.change)
		_, err := fstest.Used(Open, p)
		e := new(filesystem.FormatError)
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || e.Offset < 0 || e.Offset >= int64(len(p)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
		if info, err := Identify(bytes.NewReader(p), int64(len(p))); err != nil || info.Type != "ufs" {
			t.Errorf("%s: identified as %+v, %v", tt.name, info, err)
		}
	}
}

// secondSuper is the superblock as it is where one of an older UFS2 was.
func secondSuper(p []byte, at uint32) []byte {
	s := bytes.Clone(p[at : at+superSize])
	binary.LittleEndian.PutUint64(s[1000:], 64<<10)
	return s
}

// TestMetadataFree calls metadata free, with counts that fit.
func TestMetadataFree(t *testing.T) {
	for _, version := range []string{"1", "2"} {
		whole := little(t, version, "le")
		f := openBytes(t, whole)
		group := f.sb.groupFragments()
		for what, at := range map[string]int64{
			"boot area": 1, "superblock": f.sb.at / f.sb.fragmentSize(), "inodes": f.sb.inodeBlock() + 3,
			"header": group + f.sb.groupBlock(), "copy": group + f.sb.copyBlock(), "last inodes": group + f.sb.dataBlock() - 1,
			"summary": f.sb.summary(),
		} {
			p := slices.Clone(whole)
			f.held = make([][]byte, f.sb.groups())
			(&walker{f: f}).mark(at, 1)
			f.recount(p, nil)
			_, err := Open(bytes.NewReader(p), int64(len(p)))
			if e := new(filesystem.FormatError); !errors.As(err, &e) || !strings.Contains(err.Error(), "and metadata") {
				t.Errorf("UFS%s: the %s is free: %v", version, what, err)
			}
		}
	}
}

// FuzzOpen puts hostile bytes anywhere into volumes, unmounted and not.
func FuzzOpen(f *testing.F) {
	var whole [][]byte
	for i, version := range []string{"1", "2", "1", "2"} {
		p := little(f, version, []string{"be", "le"}[i%2])
		if i >= 2 {
			p[8192+209] = 0
		}
		whole = append(whole, p)
		sb := openBytes(f, p).sb
		group := uint32((sb.start(1) + sb.groupBlock()) * sb.fragmentSize())
		inodes := uint32(sb.inodeBlock() * sb.fragmentSize())
		f.Add(byte(i), uint32(8192), p[8192:8192+superSize], int64(0))
		f.Add(byte(i), group, p[group:group+uint32(sb.groupBytes())], int64(1<<40))
		f.Add(byte(i), inodes, p[inodes:inodes+2048], int64(-5000))
	}
	f.Fuzz(func(t *testing.T, which byte, off uint32, change []byte, more int64) {
		p := fstest.Change(whole[int(which)%len(whole)], off, change)
		fstest.Hostile(t, Open, p, int64(len(p))+max(more%(1<<44), 1000-int64(len(p))))
	})
}
