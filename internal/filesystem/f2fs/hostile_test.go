package f2fs

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// volume is a filled one in memory, with what is known of it.
func volume(t testing.TB, args string) ([]byte, *fileSystem) {
	t.Helper()
	p := fstest.Load(t, makeVolume(t, 100, args))
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	return p, f
}

// seal writes the checksums of both blocks of a checkpoint pack anew.
func (c checkpoint) seal(p []byte) {
	for _, at := range []int64{c.at, c.at + c.blocks() - 1} {
		block := p[at*c.block:][:c.block]
		le.PutUint32(block[4092:], crc(superMagic, block[:4092]))
	}
}

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, 1024, 4095, 4096, 100000} {
		if _, err := Open(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
	for _, mkfs := range []string{"mkfs.fat", "mke2fs -q -F", "mkfs.btrfs -q -f"} {
		path := fstest.Volume(t, 120<<20)
		fstest.Run(t, append(strings.Fields(mkfs), path)...)
		if _, err := Open(bytes.NewReader(fstest.Load(t, path)), 120<<20); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%s: %v", mkfs, err)
		}
	}
}

// TestDamage changes every byte of what Allocated stands on. Of nodes behind
// the checkpoint it changes none: where such a one is not whole, the chain ends
// for Linux too.
func TestDamage(t *testing.T) {
	for _, args := range []string{"", "-i -O sb_checksum", "-O ro"} {
		p, f := volume(t, args)
		damageAll(t, args, p, f)
	}
}

// The sample has compacted summaries with journals, as Linux writes them.
func TestDamageFixture(t *testing.T) {
	path, _ := fstest.Fixture(t, "f2fs")
	p := fstest.Load(t, path)
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.views[0].journal) == 0 || f.views[0].cp.flags()&flagCompact == 0 {
		t.Errorf("no journal in compacted summaries: the test shows nothing")
	}
	damageAll(t, "sample", p, f)
}

func damageAll(t *testing.T, name string, p []byte, f *fileSystem) {
	t.Helper()
	const block = 4096
	damage := func(structure string, at, n int64) {
		fstest.Damage(t, Open, p, name+" "+structure, at, n)
	}
	damage("superblock", superOffset, 200)
	damage("superblock", superOffset+1640, 60)
	damage("superblock", superOffset+2170, 120)
	damage("second superblock", block+superOffset, 200)
	damage("second superblock", block+superOffset+2170, 120)
	for i := range int64(2) {
		c, err := f.readCheckpoint(f.area.checkpoint + i*segmentBlocks)
		if err != nil {
			t.Fatal(err)
		}
		damage("checkpoint", c.at*block, 600)
		damage("checksum of the checkpoint", c.at*block+block-8, 8)
		damage("end of the checkpoint pack", (c.at+c.blocks()-1)*block, 300)
		damage("journals", (c.at+c.summaries())*block, 1100)
		damage("journal of the NAT", (c.at+c.summaries())*block+3584, 510)
		damage("journal of the SIT", (c.at+c.summaries()+2)*block+3584, 510)
	}
	damage("SIT", f.area.sit*block, 20*entrySize)
	damage("second copy of the SIT", (f.area.sit+f.area.sitBlocks)*block, 20*entrySize)
	damage("NAT", f.area.nat*block, 500)
}

func TestRefused(t *testing.T) {
	p, f := volume(t, "-O sb_checksum,extra_attr")
	pack := f.views[0].cp
	tests := []struct {
		name  string
		at    int64 // in the superblock; both are changed
		value []byte
		want  string
	}{
		{"larger than the volume", 36, []byte{1, 0, 0, 1}, "blocks on a volume of"},
		{"blocks of 16 KiB", 16, []byte{14}, "only those of 4096"},
		{"zoned", 2180, []byte{0x0A}, "zoned"},
		{"several devices", 2201, []byte("/dev/sdb"), "several devices"},
		{"unknown feature", 2183, []byte{0x80}, "unknown features 0x8000"},
		{"areas overlap", 84, []byte{0, 9}, "an area in block"},
		{"no segments", 68, []byte{0, 0, 0, 0}, "0 segments"},
		{"one copy of the SIT", 56, []byte{3}, "area in block"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := bytes.Clone(p)
			for _, at := range []int64{superOffset, 4096 + superOffset} {
				copy(p[at+tt.at:], tt.value)
				le.PutUint32(p[at+superCRC:], crc(superMagic, p[at:at+superCRC]))
			}
			refused(t, p, tt.want)
		})
	}
	at := func(name string, at int64, value []byte, want string) {
		t.Run(name, func(t *testing.T) {
			p := bytes.Clone(p)
			copy(p[at:], value)
			refused(t, p, want)
		})
	}
	at("checksum of the superblock", superOffset+200, []byte{1}, "wrong checksum of the superblock")
	at("no second superblock", 4096+superOffset, make([]byte, 4), "no second superblock")
	at("a stale superblock", 4096+superOffset+superCRC, make([]byte, 4), "wrong checksum")
	at("checkpoint", pack.at*4096+20, []byte{0xEE}, "wrong checksum of the checkpoint")
	for i := range int64(2) {
		c, err := f.readCheckpoint(f.area.checkpoint + i*segmentBlocks)
		if err != nil {
			t.Fatal(err)
		}
		p[(c.at+c.blocks()-1)*4096+20]++
	}
	refused(t, p, "no checkpoint pack is whole")
}

func refused(t *testing.T, p []byte, want string) {
	t.Helper()
	_, err := Open(bytes.NewReader(p), int64(len(p)))
	if e := new(filesystem.FormatError); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

// A superblock that differs and is whole in itself, as an older one would be,
// makes the volume a doubtful one.
func TestStaleSuperblock(t *testing.T) {
	p, _ := volume(t, "")
	p[4096+superOffset+108]++ // its UUID
	refused(t, p, "differs from the first one")
}

func TestState(t *testing.T) {
	p, f := volume(t, "")
	tests := []struct {
		name       string
		set, unset uint32
		want       filesystem.State
	}{
		{"unmounted", 0, 0, filesystem.Clean},
		{"mounted", 0, flagUnmount, filesystem.Recovery},
		{"errors", flagError, 0, filesystem.Dirty},
		{"to be checked", flagFsck, flagUnmount, filesystem.Dirty},
		{"without checkpoints", flagDisabled, 0, filesystem.Dirty},
		{"resize not ended", flagResize, 0, filesystem.Dirty},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := bytes.Clone(p)
			c := f.views[0].cp
			for _, at := range []int64{c.at, c.at + c.blocks() - 1} {
				flags := p[at*4096+132:]
				le.PutUint32(flags, le.Uint32(flags)|tt.set&^tt.unset)
				le.PutUint32(flags, le.Uint32(flags)&^tt.unset)
			}
			c.seal(p)
			g, err := open(bytes.NewReader(p), int64(len(p)))
			if err != nil {
				t.Fatal(err)
			}
			if g.info.State != tt.want {
				t.Errorf("state %q, want %q", g.info.State, tt.want)
			}
		})
	}
}

// The version bitmaps lie in three ways; the one with blocks of their own is
// that of volumes of some TiB, too large for TestMade.
func TestBitmaps(t *testing.T) {
	tests := []struct {
		name           string
		flags, payload uint32
		sit, nat       int64 // bytes where they begin
	}{
		{"usual", 0, 0, 192, 192 + 64},
		{"large NAT bitmap", flagLargeNAT, 0, 196 + 128, 196},
		{"blocks of their own", 0, 2, 4096, 192},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := checkpoint{p: make([]byte, 4096*(1+tt.payload)), block: 4096}
			le.PutUint32(c.p[132:], tt.flags)
			le.PutUint32(c.p[156:], 64)
			le.PutUint32(c.p[160:], 128)
			c.p[tt.sit], c.p[tt.nat] = 1, 2
			sit, nat, err := c.bitmaps(int64(tt.payload))
			if err != nil || len(sit) != 64 || len(nat) != 128 || sit[0] != 1 || nat[0] != 2 {
				t.Errorf("%v, %v, %v", sit, nat, err)
			}
			le.PutUint32(c.p[156:], 4096*3)
			if _, _, err := c.bitmaps(int64(tt.payload)); err == nil {
				t.Error("a bitmap that is too long")
			}
		})
	}
}

// TestTorn makes the newer checkpoint one that was not written to its end: what
// either says is in use counts.
func TestTorn(t *testing.T) {
	path, _ := fstest.Fixture(t, "f2fs")
	p := fstest.Load(t, path)
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	want := f.info.Used
	c := f.views[0].cp
	p[(c.at+c.blocks()-1)*4096+300]++
	g, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	if g.views[0].cp.at == c.at || len(g.views) != 2 || g.info.State != filesystem.Recovery || g.info.Used < want {
		t.Errorf("%d views, the first at block %d, %+v; %d bytes were in use", len(g.views), g.views[0].cp.at, g.info, want)
	}
}

// A block that a file names and the SIT does not is found where the SIT's sum
// is not the checkpoint's.
func TestHiddenBlock(t *testing.T) {
	p, f := volume(t, "")
	v := f.views[0]
	found := false
	err := f.segments(v, func(segment int64, e entry, at int64) error {
		if _, ok := v.journal[segment]; found || ok || e.nodes() || e.blocks() < 20 {
			return nil
		}
		found = true
		stored := entry(p[at : at+entrySize])
		le.PutUint16(stored, le.Uint16(stored)-8)
		i := slices.Index(stored.bitmap(), 0xFF)
		stored.bitmap()[i] = 0
		return nil
	})
	if err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	refused(t, p, "not valid by its bitmap")
}

// TestChain writes nodes behind the checkpoint by hand: they and what they
// name count, those of other checkpoints do not, and a chain in a circle ends.
func TestChain(t *testing.T) {
	p, f := volume(t, "")
	c := f.views[0].cp
	first := f.area.main + c.nodeSegment(1)*segmentBlocks + c.nodeOffset(1)
	free := f.area.end() - 600 // in segments without anything
	put := func(at, next int64, version uint64, named ...int64) {
		n := node(p[at*4096 : (at+1)*4096])
		clear(n)
		for i, b := range named {
			le.PutUint32(n[4*i:], uint32(b))
		}
		footer := n.footer()
		le.PutUint32(footer, 77)
		le.PutUint32(footer[4:], 70)
		le.PutUint32(footer[8:], 1<<3)
		le.PutUint64(footer[12:], version)
		le.PutUint32(footer[20:], uint32(next))
	}
	put(first, first+1, c.version()|1<<40, free, free+7)
	put(first+1, first+2, c.version(), free+520, 5, newBlock, compressedBlock)
	put(first+2, first, c.version())
	g, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	if g.info.State != filesystem.Recovery {
		t.Errorf("state %q", g.info.State)
	}
	list, err := extent.Collect(g.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	for b, want := range map[int64]bool{first: true, first + 1: true, first + 2: true, first + 3: false, free: true, free + 1: false, free + 7: true, free + 520: true} {
		got := slices.ContainsFunc(list, func(e extent.Extent) bool { return e.Offset <= b*4096 && b*4096 < e.End() })
		if got != want {
			t.Errorf("block %d: in use %v", b, got)
		}
	}
	put(first, first+1, c.version()-1, free)
	if g, err = open(bytes.NewReader(p), int64(len(p))); err != nil || g.info.Used != f.info.Used || g.info.State != filesystem.Clean {
		t.Errorf("a node of an earlier checkpoint: %+v, %v", g.info, err)
	}
}
