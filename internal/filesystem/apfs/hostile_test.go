package apfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

const block = 4096

// Where the structures of testdata/small.img.xz lie, in blocks.
const (
	atMap      = 1
	atSuper    = 2
	atSpaceman = 10
)

// small is a container of 1 MiB, made by mkapfs 0.2.0:
//
//	truncate -s 1M small.img
//	mkapfs -L small -U 8f6d3a52-53f5-4b8e-a1f5-5d3b7c2a9e10 -u 2c1f8b94-70de-4d26-9a3c-6e5f4d8b7a01 small.img
func small(t testing.TB) []byte {
	t.Helper()
	return fstest.Load(t, fstest.Unpack(t, "testdata/small.img.xz"))
}

// seal makes the checksum of the object in a block fit.
func seal(p []byte, at int) {
	o := p[at*block : (at+1)*block]
	le.PutUint64(o, fletcher64(o[8:]))
}

// structures finds the block of the first CIB and that of its first bitmap.
func structures(t testing.TB, p []byte) (cib, bitmap int) {
	t.Helper()
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	cib = int(f.spaceman.address(0))
	return cib, int(le.Uint64(p[cib*block+listHeader+24:]))
}

// TestDamage changes every byte of what leads to the bitmaps. The bitmap has
// no checksum, but counts.
func TestDamage(t *testing.T) {
	p := small(t)
	cib, bitmap := structures(t, p)
	for _, s := range []struct {
		name  string
		block int
		n     int64
	}{
		{"block 0", 0, block}, {"checkpoint map", atMap, block}, {"superblock", atSuper, block}, {"reaper", atSpaceman - 1, 512},
		{"space manager", atSpaceman, block}, {"free queue", atSpaceman + 1, 512}, {"chunk-info block", cib, block}, {"bitmap", bitmap, block},
	} {
		fstest.Damage(t, Open, p, s.name, int64(s.block)*block, s.n)
	}
}

func TestRefused(t *testing.T) {
	whole := small(t)
	cib, bitmap := structures(t, whole)
	tests := []struct {
		name  string
		block int
		off   int
		value []byte
		want  string
	}{
		{"checksum", -1, 72, []byte{9}, "block 0 does not fit"},
		{"block size of block 0", 0, 36, []byte{0, 0, 1}, "does not fit"},
		{"fewer blocks in the newest", atSuper, 40, []byte{0xF0, 0}, "the container 240"},
		{"type of block 0", 0, 24, []byte{2}, "where a superblock must be"},
		{"larger than the volume", atSuper, 40, []byte{1, 1}, "257 blocks of 4096 bytes on a volume"},
		{"no blocks", 0, 40, []byte{0, 0}, "0 blocks of"},
		{"Fusion", 0, 65, []byte{1}, "Fusion"},
		{"version 1", 0, 64, []byte{1}, "version 1"},
		{"unknown feature", atSuper, 66, []byte{1}, "unknown features 0x10002"},
		{"no feature", atSuper, 64, []byte{0}, "unknown features 0x0"},
		{"descriptor area in pieces", 0, 107, []byte{0x80}, "descriptor area in several pieces"},
		{"data area in pieces", 0, 111, []byte{0x80}, "data area in several pieces"},
		{"huge descriptor area", 0, 106, []byte{2}, "descriptor area of 131080"},
		{"descriptor area leaves", 0, 112, []byte{255}, "descriptor area, 8 blocks from 255 on"},
		{"descriptor area far away", 0, 119, []byte{0x80}, "descriptor area, 8 blocks"},
		{"data area leaves", 0, 110, []byte{1}, "data area"},
		{"no data area", 0, 108, []byte{0}, "data area, 0 blocks"},
		{"other areas in the newest", atSuper, 108, []byte{1}, "other checkpoint areas"},
		{"no superblock", atSuper, 32, []byte("X"), "no superblock"},
		{"newest is older than block 0", 0, 16, []byte{9}, "is of transaction 1, block 0 of 9"},
		{"index of the checkpoint", atSuper, 136, []byte{2}, "a checkpoint of 2 blocks from 2 on"},
		{"index outside", atSuper, 136, []byte{200}, "a checkpoint of 2 blocks from 200 on"},
		{"checkpoint without map", atSuper, 140, []byte{1}, "a checkpoint of 1 blocks"},
		{"checkpoint too long", atSuper, 140, []byte{9}, "a checkpoint of 9 blocks"},
		{"no such space manager", atSuper, 152, []byte{9}, "no space manager 1033"},
		{"object map outside", atSuper, 167, []byte{1}, "metadata in 1 blocks"},
		{"object map in a free block", atSuper, 160, []byte{250}, "block 250, which holds metadata, is free"},
		{"keybag outside", atSuper, 1296, []byte{250, 0, 0, 0, 0, 0, 0, 0, 9}, "names 9 blocks from 250 on"},
		{"keybag far away", atSuper, 1303, []byte{0x80, 9}, "names 9 blocks from -"},
		{"type of the map", atMap, 24, []byte{2}, "the checkpoint map must be"},
		{"identifier of the map", atMap, 8, []byte{2}, "identifier 2, not 1"},
		{"map of another transaction", atMap, 16, []byte{0}, "transaction 0, the checkpoint of 1"},
		{"map is not the last", atMap, 32, []byte{0}, "flags 0x0"},
		{"too many mappings", atMap, 36, []byte{200}, "200 mappings"},
		{"object without a length", atMap, 40 + 9, []byte{0}, "an object of 0 bytes"},
		{"huge object", atMap, 40 + 11, []byte{1}, "an object of 16781312 bytes"},
		{"object outside the area", atMap, 40 + 32, []byte{200}, "in block 200"},
		{"objects at the same place", atMap, 40 + 32, []byte{atSpaceman}, "objects of the checkpoint overlap"},
		{"identifier of an object", atMap, 40 + 24, []byte{9}, "not 1033"},
		{"object of a later transaction", atSpaceman, 16, []byte{9}, "is of transaction 9"},
		{"type of the space manager", atSpaceman, 24, []byte{6}, "type 0x80000006"},
		{"block size of the space manager", atSpaceman, 33, []byte{0x20}, "blocks of 8192 bytes"},
		{"chunks in a CIB", atSpaceman, 40, []byte{9}, "9 chunks in a CIB"},
		{"second device", atSpaceman, 96, []byte{1}, "second device"},
		{"blocks of the device", atSpaceman, 48, []byte{9}, "in 1 chunks, the container"},
		{"chunks of the device", atSpaceman, 56, []byte{2}, "in 2 chunks, the container"},
		{"CIBs", atSpaceman, 64, []byte{2}, "2 CIBs"},
		{"CABs", atSpaceman, 68, []byte{2}, "1 CIBs, 2 CABs"},
		{"free blocks of the device", atSpaceman, 72, []byte{9, 0}, "the space manager 9"},
		{"more free blocks than there are", atSpaceman, 74, []byte{9}, "free blocks of 256"},
		{"addresses in the header", atSpaceman, 80, []byte{0, 0}, "addresses from byte 0"},
		{"addresses outside", atSpaceman, 80, []byte{0xFF, 0x0F}, "addresses from byte 4095"},
		{"no pool", atSpaceman, 152, []byte{0}, "metadata in 0 blocks"},
		{"pool outside", atSpaceman, 176, []byte{255}, "metadata in 6 blocks from 255"},
		{"CIB outside the pool", atSpaceman, 176, []byte{100}, "outside the internal pool"},
		{"CIB is a bitmap", atSpaceman, 384, []byte{byte(bitmap)}, "the checksum of chunk-info block"},
		{"type of the CIB", cib, 24, []byte{6}, "type 0x40000006"},
		{"index of the CIB", cib, 32, []byte{1}, "chunk-info block 1 of 1 entries"},
		{"chunks of the CIB", cib, 36, []byte{2}, "chunk-info block 0 of 2 entries"},
		{"chunk of a later transaction", cib, 40, []byte{7}, "a chunk of transaction 7"},
		{"chunk elsewhere", cib, 48, []byte{1}, "a chunk of 256 blocks from 1 on"},
		{"short chunk", cib, 56, []byte{1}, "a chunk of 257 blocks"},
		{"free blocks of the chunk", cib, 60, []byte{1, 0}, "has 1 free"},
		{"more free blocks than the chunk has", cib, 61, []byte{9}, "in a chunk of 256"},
		{"no bitmap", cib, 64, []byte{0, 0}, "no bitmap"},
		{"bitmap outside the pool", cib, 64, []byte{1}, "outside the internal pool"},
		{"bitmap", bitmap, 0, []byte{0xFE}, "blocks in use, its chunk has"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := bytes.Clone(whole)
			if tt.block < 0 {
				copy(p[tt.off:], tt.value)
			} else {
				copy(p[tt.block*block+tt.off:], tt.value)
				if tt.block != bitmap {
					seal(p, tt.block)
				}
			}
			_, err := Open(bytes.NewReader(p), int64(len(p)))
			e := new(filesystem.FormatError)
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || e.Offset < 0 || e.Offset >= int64(len(p)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	for _, p := range [][]byte{nil, make([]byte, 4095), make([]byte, 1<<20), bytes.Repeat([]byte{0xFF}, 8192)} {
		if _, err := Open(bytes.NewReader(p), int64(len(p))); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d bytes: %v", len(p), err)
		}
	}
}

// TestMetadata moves a bit of the bitmap from one of the places that no
// container has free to its last block.
func TestMetadata(t *testing.T) {
	whole := small(t)
	_, bitmap := structures(t, whole)
	for name, at := range map[string]int{"block 0": 0, "descriptor area": 8, "data area": 60, "ring": 86, "pool": 92, "object map": 61} {
		p := bytes.Clone(whole)
		p[bitmap*block+at/8] &^= 1 << (at % 8)
		p[bitmap*block+31] |= 0x80
		_, err := Open(bytes.NewReader(p), int64(len(p)))
		if want := fmt.Sprintf("block %d, which holds metadata, is free", at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
}

// TestNoBitmap: a chunk without a bitmap and without a free block is in use.
func TestNoBitmap(t *testing.T) {
	p := small(t)
	cib, _ := structures(t, p)
	le.PutUint32(p[cib*block+60:], 0)
	le.PutUint64(p[cib*block+64:], 0)
	le.PutUint64(p[atSpaceman*block+72:], 0)
	seal(p, cib)
	seal(p, atSpaceman)
	if used, err := fstest.Used(Open, p); err != nil || used != int64(len(p)) {
		t.Errorf("%d bytes in use, %v", used, err)
	}
}

// TestNamedBlocks: what only the superblock names counts as in use.
func TestNamedBlocks(t *testing.T) {
	whole := small(t)
	before, err := fstest.Used(Open, whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		off   int
		value []uint64
		want  int64 // blocks more
	}{
		{"blocked-out blocks", 1240, []uint64{200, 7}, 7},
		{"mapping tree", 1256, []uint64{201}, 1},
		{"jumpstart", 1272, []uint64{202}, 1 + 3 + 2},
		{"keybag", 1296, []uint64{203, 2}, 2},
		{"media keys", 1392, []uint64{204, 1}, 1},
		{"last block", 1296, []uint64{255, 1}, 1},
		{"in use anyway", 1296, []uint64{1, 3}, 0},
	} {
		p := bytes.Clone(whole)
		for i, v := range tt.value {
			le.PutUint64(p[atSuper*block+tt.off+8*i:], v)
		}
		driver := p[202*block:]
		copy(driver[32:], "JSDR")
		le.PutUint32(driver[44:], 2)
		for i, v := range []uint64{210, 3, 220, 2} {
			le.PutUint64(driver[176+8*i:], v)
		}
		seal(p, 202)
		seal(p, atSuper)
		got, err := fstest.Used(Open, p)
		if err != nil || got != before+tt.want*block {
			t.Errorf("%s: %d blocks more, %v, want %d", tt.name, (got-before)/block, err, tt.want)
		}
	}
}

// patched is a volume with a block exchanged.
type patched struct {
	io.ReaderAt
	at    int64 // bytes
	bytes []byte
}

func (r patched) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	if from, to := max(off, r.at), min(off+int64(len(p)), r.at+int64(len(r.bytes))); from < to {
		copy(p[from-off:to-off], r.bytes[from-r.at:])
	}
	return n, err
}

// change gives an opened volume with an object of it changed and sealed.
func (f *fileSystem) change(t *testing.T, at int64, off int, value ...uint64) patched {
	t.Helper()
	o := make([]byte, block)
	if err := readFull(f.r, o, at*block); err != nil {
		t.Fatal(err)
	}
	for i, v := range value {
		le.PutUint64(o[off+8*i:], v)
	}
	seal(o, 0)
	return patched{f.r, at * block, o}
}

// TestAcrossChunks: a run named by the superblock that begins in one chunk
// without a bitmap and ends in another.
func TestAcrossChunks(t *testing.T) {
	opened, file := fstest.Open(t, makeVolume(t, 800*mib, ""), Open)
	f := opened.(*fileSystem)
	r := f.change(t, f.super.descBase()+1, 1240, 2*32768-5, 32768+10)
	changed, err := Open(r, 800*mib)
	if err != nil {
		t.Fatal(err)
	}
	want := extent.Union(fstest.Allocation(t, opened), []extent.Extent{{Offset: (2*32768 - 5) * block, Length: (32768 + 10) * block}})
	if got := fstest.Allocation(t, changed); !slices.Equal(got, want) {
		t.Errorf("%v, want %v of %s", got, want, file.Name())
	}
}

// withCABs is a container of 8 TiB, made by mkapfs 0.2.0 with -L cabs. Packed
// are its blocks that hold anything, each behind its number.
func withCABs(t testing.TB) string {
	t.Helper()
	packed := fstest.Load(t, fstest.Unpack(t, "testdata/cabs.xz"))
	path := fstest.Volume(t, 8*tib)
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for ; len(packed) >= 8+block; packed = packed[8+block:] {
		if _, err := file.WriteAt(packed[8:8+block], int64(le.Uint64(packed))*block); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestCABs: a container with two lists of lists, and damage in the second.
func TestCABs(t *testing.T) {
	path := withCABs(t)
	opened, file := fstest.Open(t, path, Open)
	f := opened.(*fileSystem)
	list := fstest.Allocation(t, opened)
	if f.spaceman.main().cabs() != 2 || f.info.Used != 226250*block {
		t.Errorf("%+v, %v", f.info, list)
	}
	t.Run("apfsck", func(t *testing.T) {
		if out := judged(t, path); out != "" {
			t.Skipf("this apfsck is too old: %s", out)
		}
		if out := judged(t, fstest.CopyAllocated(t, file, list)); out != "" {
			t.Errorf("apfsck says of the copy: %s", out)
		}
	})
	second := f.spaceman.address(1)
	for _, tt := range []struct {
		name  string
		off   int
		value uint64
		want  string
	}{
		{"type", 24, typeCIB, "where chunk-info address block must be"},
		{"entries", 32, 1 | 15<<32, "chunk-info address block 1 of 15 entries"},
		{"index", 32, 3 | 14<<32, "chunk-info address block 3 of 14 entries"},
		{"address of another CIB", 40, uint64(second) - 5, "chunk-info block "},
		{"address outside", 40, 1, "chunk-info block 507 in block 1, outside"},
	} {
		_, err := Open(f.change(t, second, tt.off, tt.value), 8*tib)
		if bad := new(filesystem.FormatError); !errors.As(err, &bad) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzOpen changes a piece of a sound container; with fixed, the checksums of
// the objects in it fit again.
func FuzzOpen(f *testing.F) {
	whole := small(f)
	cib, bitmap := structures(f, whole)
	objects := map[int]bool{}
	for at := range len(whole) / block {
		objects[at] = object(whole[at*block : (at+1)*block]).sound()
	}
	for _, at := range []int{0, atMap, atSuper, atSpaceman, cib, bitmap} {
		for _, off := range []int{16, 24, 32, 36, 40, 64, 104, 136, 152, 384} {
			f.Add(uint32(at*block+off), []byte{1}, true, int64(len(whole)))
			f.Add(uint32(at*block+off), []byte{0xFF, 0xFF, 0xFF, 0x7F}, off > 40, int64(1)<<50)
		}
	}
	f.Fuzz(func(t *testing.T, off uint32, change []byte, fixed bool, size int64) {
		p := fstest.Change(whole, off, change)
		for at := int(off) / block; fixed && at <= (int(off)+len(change))/block && at < len(p)/block; at++ {
			if objects[at] {
				seal(p, at)
			}
		}
		fstest.Hostile(t, Open, p, size)
	})
}
