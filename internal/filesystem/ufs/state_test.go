package ufs

import (
	"bytes"
	"maps"
	"math/bits"
	"os"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// caseOf gives the number of a case by its name.
func caseOf(t testing.TB, name string) int {
	t.Helper()
	for i, m := range made {
		if m.name == name {
			return i
		}
	}
	t.Fatalf("no case %q", name)
	return 0
}

// walked are cases of every kind that the walk over inodes differs for.
var walked = []string{"UFS1 of little fragments", "UFS1, big-endian, many groups", "UFS2 of little fragments", "UFS2, big-endian, many groups"}

// TestStates holds what is said of the last unmount.
func TestStates(t *testing.T) {
	for _, name := range []string{"UFS1, big-endian, many groups", "UFS2, many groups"} {
		p := fstest.Load(t, makeVolume(t, caseOf(t, name)))
		sb := openBytes(t, p).sb
		for _, tt := range []struct {
			clean   byte
			flags   uint32
			journal string // fs_journal_version and fs_journal_location
			want    filesystem.State
		}{
			{1, 0, "", filesystem.Clean},
			{1, flagSoftUpdates | 0x8, "", filesystem.Clean}, // with their journal
			{1, flagLog, "", filesystem.Clean},               // FreeBSD's ACLs
			{1, flagHashes, "", filesystem.Clean},            // NetBSD's quotas
			{0, 0, "", filesystem.Dirty},
			{0, flagSoftUpdates | 0x8, "", filesystem.Dirty},
			{2, 0, "", filesystem.Dirty}, // mounted by NetBSD, or OpenBSD
			{1, flagUnclean, "", filesystem.Dirty},
			{1, flagNeedsCheck, "", filesystem.Dirty},
			{1, flagGJournal, "", filesystem.Recovery},
			{2, flagLog, "\x01\x02", filesystem.Recovery},
			{2, flagLog, "\x01\x01", filesystem.Recovery},
			{1, flagLog, "\x01\x01", filesystem.Recovery},
		} {
			q := bytes.Clone(p)
			q[sb.at+209] = tt.clean
			sb.order.PutUint32(q[sb.at+1312:], tt.flags)
			copy(q[sb.at+864:], tt.journal)
			opened, err := Open(bytes.NewReader(q), int64(len(q)))
			info, identified := Identify(bytes.NewReader(q), int64(len(q)))
			if identified != nil || info.State != tt.want || info.Size != int64(len(q)) {
				t.Errorf("%s, %+v: identified as %+v, %v", name, tt, info, identified)
			}
			if tt.want == filesystem.Recovery {
				if err == nil || !strings.Contains(err.Error(), "a journal (") {
					t.Errorf("%s, %+v: error %v", name, tt, err)
				}
			} else if err != nil || opened.Info() != info {
				t.Errorf("%s, %+v: opened as %+v, %v, identified as %+v", name, tt, opened, err, info)
			}
		}
	}
}

// TestCrash takes the blocks of half of the files, indirect ones too, out of
// the maps, as they are when the power fails before the maps are written: of a
// copy of what is then in use all files must be read.
func TestCrash(t *testing.T) {
	for _, name := range walked {
		t.Run(name, func(t *testing.T) {
			path := makeVolume(t, caseOf(t, name))
			p := fstest.Load(t, path)
			f := openBytes(t, p)
			w := newWalker(f)
			names := slices.Sorted(maps.Keys(kept()))
			for i, name := range names {
				if i%2 == 0 || name == "big" {
					if err := w.inode(f.inodeBytes(p, numberOf(t, f, p, name))); err != nil {
						t.Fatal(err)
					}
				}
			}
			f.recount(p, nil)
			before := openBytes(t, p).info.Used
			first := f.header(p, 0)[120:124]
			initialised := f.sb.order.Uint32(first)
			if f.sb.second() { // it says so late too
				f.sb.order.PutUint32(first, 0)
			}
			p[f.sb.at+209] = 0
			f.total(p[f.sb.at:], [4]int64{1, 2, 3, 4})
			if err := os.WriteFile(path, p, 0o600); err != nil {
				t.Fatal(err)
			}
			opened, file := fstest.Open(t, path, Open)
			list := fstest.Allocation(t, opened)
			if got := opened.Info(); got.State != filesystem.Dirty || got.Used != f.info.Used || before >= got.Used {
				t.Errorf("%+v: %d bytes in use before, %d by the maps", got, f.info.Used, before)
			}
			copied := fstest.CopyAllocated(t, file, list)
			if !f.atHome() {
				t.Fatal("nobody reads it")
			}
			q := fstest.Load(t, copied)
			f.sb.order.PutUint32(f.header(q, 0)[120:], initialised) // the Sleuth Kit stops there
			if err := os.WriteFile(copied, q, 0o600); err != nil {
				t.Fatal(err)
			}
			readBySleuthKit(t, copied)
		})
	}
}

// TestCircles points indirect blocks at themselves and at each other, and out
// of the file system.
func TestCircles(t *testing.T) {
	for _, name := range walked {
		p := fstest.Load(t, makeVolume(t, caseOf(t, name)))
		f := openBytes(t, p)
		inode := f.inodeBytes(p, numberOf(t, f, p, "big"))
		first := 40 + 12*4
		if f.sb.second() {
			first = 112 + 12*8
		}
		put := func(b []byte, i, n int64) {
			if f.sb.second() {
				f.sb.order.PutUint64(b[8*i:], uint64(n))
			} else {
				f.sb.order.PutUint32(b[4*i:], uint32(n))
			}
		}
		single := newWalker(f).pointer(inode[first:], 0)
		block := p[single*f.sb.fragmentSize():][:f.sb.blockSize()]
		for i := range f.sb.pointers() {
			put(block, i, []int64{single, single + 1, f.sb.size() - 1, f.sb.size(), -1, 1, 2}[i%7])
		}
		put(inode[first:], 1, single)
		put(inode[first:], 2, single)
		p[f.sb.at+209] = 0
		if got := openBytes(t, p).info; got.State != filesystem.Dirty || got.Used < f.info.Used {
			t.Errorf("%s: %+v, before %+v", name, got, f.info)
		}
	}
}

// TestThreeLevels hangs the two levels of indirect blocks of a file one lower,
// below a block that the map calls free: that one is found, and all below it.
func TestThreeLevels(t *testing.T) {
	p := fstest.Load(t, makeVolume(t, caseOf(t, "UFS2 of little fragments")))
	f := openBytes(t, p)
	inode := f.inodeBytes(p, numberOf(t, f, p, "big"))
	two, three := inode[208+8:][:8], inode[208+16:][:8]
	last := f.sb.size() - f.sb.fragments()
	top := p[last*f.sb.fragmentSize():][:f.sb.blockSize()]
	clear(top)
	if bytes.Equal(two, top[:8]) {
		t.Fatal("the file has no two levels")
	}
	copy(top, two)
	copy(top[8:], two)
	clear(two)
	f.sb.order.PutUint64(three, uint64(last))
	p[f.sb.at+209] = 0
	if err := newWalker(f).inode(inode); err != nil {
		t.Fatal(err)
	}
	held := int64(0)
	for _, m := range f.held {
		for _, b := range m {
			held += int64(bits.OnesCount8(b))
		}
	}
	// 769 blocks of data, 512 of them below an indirect block, the rest below
	// another one; above that the old and the new top.
	if want := (769 + 1 + 1 + 2) * f.sb.fragments(); held != want {
		t.Errorf("the file holds %d fragments, not %d", held, want)
	}
	if got := openBytes(t, p).info.Used; got != f.info.Used+f.sb.blockSize() {
		t.Errorf("%d bytes in use, %d before", got, f.info.Used)
	}
}

func newWalker(f *fileSystem) *walker {
	f.held = make([][]byte, f.sb.groups())
	w := &walker{f: f}
	for i := range w.seen {
		w.seen[i], w.blocks[i] = map[int64]bool{}, make([]byte, f.sb.blockSize())
	}
	return w
}

// numberOf finds the inode of a file by its name in the volume.
func numberOf(t testing.TB, f *fileSystem, p []byte, name string) int64 {
	t.Helper()
	name = name[strings.LastIndexByte(name, '/')+1:]
	at := bytes.Index(p, append([]byte{8, byte(len(name))}, name+"\x00"...))
	if at < 6 {
		t.Fatalf("%s has no name in the volume", name)
	}
	return int64(f.sb.order.Uint32(p[at-6:]))
}

// TestVariants holds what makefs does not make: a file system of before UFS2,
// NetBSD's magic, labels, an end in the middle of a block.
func TestVariants(t *testing.T) {
	one := makeVolume(t, caseOf(t, "UFS1 of the usual size"))
	p := fstest.Load(t, one)
	want := openBytes(t, p).info
	p[8192+211] = 0 // fs_old_flags
	clear(p[8192+860 : 8192+1312])
	if got := openBytes(t, p).info; got != want {
		t.Errorf("UFS1 of old: %+v, not %+v", got, want)
	}
	two := makeVolume(t, caseOf(t, "UFS2, many groups"))
	p = fstest.Load(t, two)
	sb := openBytes(t, p).sb
	copy(p[sb.at+680:], "Tëst of 32 bytes, and not more")
	if err := os.WriteFile(two, p, 0o600); err != nil {
		t.Fatal(err)
	}
	out := fstest.Run(t, "blkid", "-p", "-o", "value", "-s", "LABEL", two)
	if got := openBytes(t, p).info.Label; got+"\n" != out {
		t.Errorf("label %q, by blkid %q", got, out)
	}
	want = openBytes(t, p).info
	sb.order.PutUint32(p[sb.at+1372:], magicUFS2EA)
	if got := openBytes(t, p).info; got != want {
		t.Errorf("with extended attributes: %+v, not %+v", got, want)
	}
}

// TestOddEnd cuts the last fragments off, so that a part of a block is left.
func TestOddEnd(t *testing.T) {
	for _, name := range walked {
		path := makeVolume(t, caseOf(t, name))
		p := fstest.Load(t, path)
		f := openBytes(t, p)
		n := f.sb.size() - 3
		last := f.header(p, f.sb.groups()-1)
		f.sb.order.PutUint32(last[20:], uint32(n-(f.sb.groups()-1)*f.sb.groupFragments()))
		if f.sb.second() {
			f.sb.order.PutUint64(p[f.sb.at+1080:], uint64(n))
		} else {
			f.sb.order.PutUint32(p[f.sb.at+36:], uint32(n))
			f.sb.order.PutUint64(p[f.sb.at+1080:], uint64(n))
		}
		f.held = make([][]byte, f.sb.groups())
		f.recount(p, nil)
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		opened, _ := fstest.Open(t, path, Open)
		list, info := fstest.Allocation(t, opened), opened.Info()
		if info.Size != n*info.BlockSize || info.Used != f.info.Used {
			t.Errorf("%s: %+v, before %+v", name, info, f.info)
		}
		sameAsSleuthKit(t, path, info, list)
	}
}

// TestStart holds where the metadata of a group lie on disks with platters.
func TestStart(t *testing.T) {
	sb := openBytes(t, fstest.Load(t, makeVolume(t, caseOf(t, "UFS1, big-endian, many groups")))).sb
	sb.order.PutUint32(sb.p[24:], 64)
	sb.order.PutUint32(sb.p[28:], 0xFFFFFFFC)
	for c, want := range []int64{0, 64, 128, 192, 0, 64} {
		if got := sb.start(int64(c)) - int64(c)*sb.groupFragments(); got != want {
			t.Errorf("group %d: %d, not %d", c, got, want)
		}
	}
}
