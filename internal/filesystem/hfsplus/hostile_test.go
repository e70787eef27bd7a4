package hfsplus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, 1024, 2559, 2560, 100000} {
		p := make([]byte, size)
		if _, err := Open(bytes.NewReader(p), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
		if _, err := Identify(bytes.NewReader(p), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}

// small are volumes of little content, for damage.
func small(t testing.TB) map[string][]byte {
	t.Helper()
	volumes := map[string][]byte{
		"plain":   plan{size: 512 << 10, blockSize: 512}.volume(t),
		"x":       plan{size: 512<<10 + 1536, blockSize: 4096, x: true}.volume(t),
		"pieces":  plan{size: 512 << 10, blockSize: 512, pieces: 18}.volume(t),
		"wrapped": plan{size: 512 << 10, blockSize: 512, wrapper: 1024, first: 5, inside: 2}.volume(t),
	}
	volume, changes, _ := logging(t, plan{size: 512 << 10, blockSize: 512, journal: true, space: 40 << 10})
	ring{order: binary.BigEndian, size: 40 << 10, list: 1024, sector: 512, sums: true}.write(journaled(volume), 20<<10, 1, changes)
	volumes["journal"] = volume
	return volumes
}

// TestDamage changes every byte of the structures that Allocated stands on.
func TestDamage(t *testing.T) {
	for name, p := range small(t) {
		base := int64(0)
		if name == "wrapped" {
			base = masterBlock(p[headerOffset:]).first() + 2*1024
			fstest.Damage(t, Open, p, name+": master directory block", headerOffset, 170)
		}
		h := header(bytes.Clone(p[base+headerOffset : base+headerOffset+headerSize]))
		start := func(fork int) int64 { return base + int64(be.Uint32(h[fork+16:]))*h.blockSize() }
		if name == "journal" {
			info := h.journalInfoBlock() * h.blockSize()
			fstest.Damage(t, Open, p, name+": journal info block", info, 52)
			at := int64(be.Uint64(p[info+36:]))
			fstest.Damage(t, Open, p, name+": journal header", at, journalSize)
			at += 20 << 10
			fstest.Damage(t, Open, p, name+": block list", at, listHead)
			for i := range int64(3) { // the numbers of the blocks have no checksum
				fstest.Damage(t, Open, p, name+": size and checksum of a block", at+listHead+16*i+8, 8)
			}
			fstest.Damage(t, Open, p, name+": block", at+1024, 2048)
			continue
		}
		fstest.Damage(t, Open, p, name+": header", base+headerOffset, headerSize)
		fstest.Damage(t, Open, p, name+": bitmap", start(112), 128)
		fstest.Damage(t, Open, p, name+": extents file", start(192), 60)
		fstest.Damage(t, Open, p, name+": leaf of the extents file", start(192)+nodeSize, 200)
		fstest.Damage(t, Open, p, name+": catalog", start(272), 60)
		fstest.Damage(t, Open, p, name+": leaf of the catalog", start(272)+nodeSize, 60)
	}
}

func TestDamageHFS(t *testing.T) {
	path, _ := fixture(t, "hfs-plain")
	p := fstest.Load(t, path)
	m := masterBlock(p[headerOffset:])
	fstest.Damage(t, Open, p, "master directory block", headerOffset, 170)
	fstest.Damage(t, Open, p, "bitmap", m.bitmap(), 200)
	fstest.Damage(t, Open, p, "catalog", m.first()+int64(be.Uint16(m[150:]))*m.blockSize(), 40)
}

// TestRefuses are volumes that contradict themselves.
func TestRefuses(t *testing.T) {
	put := func(at int, n uint32) func(p []byte) []byte {
		return func(p []byte) []byte { be.PutUint32(p[headerOffset+at:], n); return p }
	}
	tests := []struct {
		name   string
		change func(p []byte) []byte
		refuse string
	}{
		{"cut off", func(p []byte) []byte { return p[:len(p)-1024] }, "1024 blocks of 512 bytes on a volume of"},
		{"blocks in use that the header does not know", func(p []byte) []byte {
			p[int64(be.Uint32(p[headerOffset+128:]))*512+127] |= 0x10
			return p
		}, "free by the bitmap"},
		{"free blocks", put(48, 17), "17 by the header: doubtful"},
		{"allocation file too small", put(116, 3), "an allocation file of 3 bytes"},
		{"allocation file behind the end", put(128, 1024), "1 blocks at block 1024 of 1024"},
		{"allocation file with too few extents", put(124, 2), "2 blocks, its extents have 1"},
		{"catalog elsewhere", put(272+16, 300), "no header of a B-tree"},
		{"extents file of no nodes", func(p []byte) []byte { put(124, 2)(p); put(192+4, 0)(p); return p }, "0 bytes for a B-tree"},
	}
	for _, tt := range tests {
		p := tt.change(plan{size: 512 << 10, blockSize: 512}.volume(t))
		_, err := Open(bytes.NewReader(p), int64(len(p)))
		if err == nil || !strings.Contains(err.Error(), tt.refuse) || !isFormatError(err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestDirty is a volume without a journal that was not unmounted: what the
// header knows of its own files is in use even where the bitmap lacks it.
func TestDirty(t *testing.T) {
	p := plan{size: 512 << 10, blockSize: 512}.volume(t)
	clean, err := fstest.Used(Open, p)
	if err != nil {
		t.Fatal(err)
	}
	h := p[headerOffset:]
	be.PutUint32(h[4:], be.Uint32(h[4:])&^volumeUnmounted)
	clear(p[int64(be.Uint32(h[128:]))*512:][:128])
	opened, err := Open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	fstest.Allocation(t, opened)
	if info := opened.Info(); info.State != filesystem.Dirty || info.Used != clean {
		t.Errorf("%+v, want %d in use", info, clean)
	}
}

// TestDirtyHFS is the same of an HFS, and volumes that contradict themselves.
func TestDirtyHFS(t *testing.T) {
	path, _ := fixture(t, "hfs-plain")
	p := fstest.Load(t, path)
	m := masterBlock(p[headerOffset:])
	tests := []struct {
		name   string
		change func(m masterBlock)
		refuse string
	}{
		{"cut off", func(m masterBlock) { be.PutUint16(m[18:], 16384) }, "16384 blocks of 512 bytes"},
		{"free blocks", func(m masterBlock) { m[35]++ }, "doubtful"},
		{"bitmap behind the blocks", func(m masterBlock) { m[15] = 4 }, "the bitmap of 16375 blocks"},
		{"B-tree behind the end", func(m masterBlock) { m[150] = 0x3F; m[151] = 0xF0 }, "127 blocks at block 16368"},
		{"B-tree elsewhere", func(m masterBlock) { m[151]++ }, "no header of a B-tree"},
	}
	for _, tt := range tests {
		q := bytes.Clone(p)
		tt.change(masterBlock(q[headerOffset:]))
		if _, err := Open(bytes.NewReader(q), int64(len(q))); err == nil || !strings.Contains(err.Error(), tt.refuse) || !isFormatError(err) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	m[10] &^= 1
	clear(p[m.bitmap():m.first()])
	opened, err := Open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	// Two B-trees of 127 blocks, and 9 sectors outside.
	if info := opened.Info(); info.State != filesystem.Dirty || info.Used != (2*127+9)*512 {
		t.Errorf("%+v", info)
	}
}

// TestTail are volumes of the same blocks on partitions of other sizes.
func TestTail(t *testing.T) {
	p := plan{size: 512<<10 + 1536, blockSize: 4096}.volume(t)
	const end = 512 << 10
	last := func(size int) extent.Extent {
		q := append(bytes.Clone(p), make([]byte, size-len(p))...)
		if size%1000 == 0 { // with a copy of the header at its end
			at := size - size%512 - 1024
			copy(q[at:], q[headerOffset:headerOffset+headerSize])
		}
		opened, err := Open(bytes.NewReader(q), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		list := fstest.Allocation(t, opened)
		return extent.Extent{Offset: list[len(list)-1].End(), Length: opened.Info().Size}
	}
	for size, want := range map[int]int64{
		end + 1536:      end + 1536,
		end + 4096:      end + 4096,
		end + 65536:     end + 65536,
		end + 65536 + 8: end,
		1_000_000:       1_000_000,
	} {
		if got := last(size); got.Length != want || size != 1_000_000 && want != end && got.Offset != want {
			t.Errorf("on %d bytes it covers %d, in use up to %d, want %d", size, got.Length, got.Offset, want)
		}
	}
}

// TestHuge is a volume as large as they get, of which little is there.
func TestHuge(t *testing.T) {
	p := plan{size: 512 << 10, blockSize: 4096}.volume(t)
	h := p[headerOffset:]
	be.PutUint32(h[4:], be.Uint32(h[4:])&^volumeUnmounted)
	be.PutUint32(h[44:], 1<<32-1)
	be.PutUint64(h[112:], 512<<20)
	be.PutUint32(h[124:], 131072)
	be.PutUint32(h[132:], 131072)
	size := int64(1<<32) * 4096
	fstest.Hostile(t, Open, p, size)
	opened, err := Open(fstest.Padded(p), size)
	if err != nil || opened.Info().Size != size || opened.Info().Used < 1<<29 {
		t.Errorf("%+v, %v", opened, err)
	}
}

func FuzzOpen(f *testing.F) {
	for _, p := range small(f) {
		f.Add(bytes.TrimRight(p[:128<<10], "\x00"), int64(len(p)))
	}
	if _, err := os.Stat("../../../../shared/fixtures"); err == nil {
		path, _ := fixture(f, "hfs-plain")
		f.Add(fstest.Load(f, path)[:70<<10], int64(8<<20))
	}
	f.Fuzz(func(t *testing.T, p []byte, size int64) {
		size = max(size, 0) % (1 << 28) // TestHuge has larger ones
		fstest.Hostile(t, Open, p, size)
		if info, err := Identify(fstest.Padded(p), size); err == nil && (info.Size > size || info.Size < 0 || info.Used < 0) {
			t.Errorf("%+v on a volume of %d", info, size)
		}
	})
}
