package xfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 2048, 100000} {
		if _, err := Open(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}

// TestMounted copies a volume while it is mounted and written to.
func TestMounted(t *testing.T) {
	for _, args := range []string{"", "-b size=1024 -m rmapbt=1", "-l su=64k", "-s size=4096"} {
		path := makeVolume(t, 100, args)
		dir, ok := fstest.Mount(t, path, "")
		if !ok {
			t.Skip("cannot mount")
		}
		churn(t, dir)
		f, err := os.Create(filepath.Join(dir, "synced"))
		if err != nil {
			t.Fatal(err)
		}
		f.Write(make([]byte, 300_000))
		f.Sync()
		f.Close()
		copied := fstest.CopyMounted(t, path)
		fstest.Unmount(t, dir)
		if opened, _ := fstest.Open(t, copied, Open); opened.Info().State != filesystem.Recovery {
			t.Errorf("%q: state %q while it is mounted", args, opened.Info().State)
		}
		if opened, _ := fstest.Open(t, path, Open); opened.Info().State != filesystem.Clean {
			t.Errorf("%q: state %q behind the unmount", args, opened.Info().State)
		}
	}
}

// TestRoundTheLog lets a small log go round several times: wherever it ends,
// it is clean behind an unmount and not before.
func TestRoundTheLog(t *testing.T) {
	for _, args := range []string{"-l size=6m" + smallLog, "-l size=8m,su=64k" + smallLog} {
		t.Run(args, func(t *testing.T) {
			if cycles := roundTheLog(t, args); len(cycles) < 3 {
				t.Errorf("the log went round in cycles %v only", cycles)
			}
		})
	}
}

func roundTheLog(t *testing.T, args string) map[uint32]bool {
	path := makeVolume(t, 100, args)
	cycles := map[uint32]bool{}
	for round := range 8 {
		dir, ok := fstest.Mount(t, path, "")
		if !ok {
			t.Skip("cannot mount")
		}
		// The targets of symbolic links go through the log.
		for i := range 1500 {
			name := filepath.Join(dir, fmt.Sprint("link", i))
			os.Remove(name)
			os.Symlink(strings.Repeat("x", 900+round), name)
			if i%100 == 99 {
				fstest.Run(t, "sync", "-f", dir)
			}
		}
		before := fstest.Load(t, fstest.CopyMounted(t, path))
		fstest.Unmount(t, dir)
		after := fstest.Load(t, path)
		for i, p := range [][]byte{before, after} {
			f, err := open(bytes.NewReader(p), int64(len(p)))
			if err != nil {
				t.Fatal(err)
			}
			if want := []filesystem.State{filesystem.Recovery, filesystem.Clean}[i]; f.info.State != want {
				t.Errorf("round %d: state %q, want %q", round, f.info.State, want)
			}
			cycles[cycleOf(p[f.logStart*f.blockSize:])] = true
		}
		// A log that lacks the last block is as good as one that goes on.
		f, _ := open(bytes.NewReader(after), int64(len(after)))
		l := f.log
		at := l.offset + l.move(f.logEnd.head, -1).at*basicBlock
		be.PutUint32(after[at:], be.Uint32(after[at:])-1)
		if f, err := open(bytes.NewReader(after), int64(len(after))); err != nil || f.info.State != filesystem.Recovery {
			t.Errorf("round %d: the last block is old, and the state %v, %v", round, f.info.State, err)
		}
	}
	return cycles
}

// TestDamage changes bytes of the structures that Allocated stands on: no
// change may make the allocation smaller without an error, with checksums or
// without.
func TestDamage(t *testing.T) {
	for _, args := range []string{"-d agcount=2", "-d agcount=2 -m crc=0"} {
		path := makeVolume(t, 40, args)
		if dir, ok := fstest.Mount(t, path, ""); ok {
			churn(t, dir)
			fstest.Unmount(t, dir)
		}
		p := fstest.Load(t, path)
		f, err := open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatal(err)
		}
		damage := func(what string, from, n int64) {
			fstest.Damage(t, Open, p, fmt.Sprintf("%q: %s", args, what), from, n)
		}
		damage("superblock", 0, superSize)
		for n := range f.agCount {
			g, err := f.readGroup(n)
			if err != nil {
				t.Fatal(err)
			}
			damage("head of group", f.groupOffset(n), 224)
			damage("tree", (n*f.agBlocks+g.root)*f.blockSize, 300)
		}
	}
}

func TestRefused(t *testing.T) {
	whole := fstest.Load(t, makeVolume(t, 40, "-m crc=0 -d agcount=2"))
	f, err := open(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.readGroup(0)
	if err != nil {
		t.Fatal(err)
	}
	agf, root := int(f.groupOffset(0)), int(g.root*f.blockSize)
	tests := []struct {
		name  string
		off   int
		value []byte
		want  string
	}{
		{"block size", 4, []byte{0, 0, 0, 9}, "block size"},
		{"log2 of the block size", 120, []byte{77}, "block size"},
		{"blocks beyond the volume", 8, []byte{1}, "on a volume of"},
		{"no blocks", 8, make([]byte, 8), "groups"},
		{"sector size", 102, []byte{0, 3}, "sectors of"},
		{"no blocks in a group", 84, make([]byte, 4), "groups of 0"},
		{"huge group", 84, []byte{0xFF}, "groups of"},
		{"too many groups", 91, []byte{9}, "9 allocation groups"},
		{"version", 101, []byte{0x93}, "version 3"},
		{"unknown feature", 203, []byte{0xFF}, "unknown features"},
		{"unfinished", 126, []byte{1}, "did not finish"},
		{"log elsewhere", 48, make([]byte, 8), "log lies on another device"},
		{"log outside", 48, []byte{1}, "a log of"},
		{"huge log", 96, []byte{1}, "a log of"},
		{"real-time section", 20, []byte{1}, "real-time section"},
		{"magic of the AGF", agf, []byte{0}, "not the head of group 0"},
		{"number of the AGF", agf + 11, []byte{7}, "not the head of group 0"},
		{"length in the AGF", agf + 15, []byte{7}, "group 0 has"},
		{"levels", agf + 28, []byte{7}, "a tree of"},
		{"more levels than there are", agf + 31, []byte{2}, "not level 1"},
		{"root outside", agf + 16, []byte{7}, "has a block"},
		{"root in the head", agf + 16, make([]byte, 4), "has a block 0"},
		{"free blocks in the AGF", agf + 55, []byte{1}, "the tree has"},
		{"too many free blocks in the AGF", agf + 52, []byte{1}, "free blocks of"},
		{"magic of the tree", root, []byte{0}, "not level 0"},
		{"records in the tree", root + 6, []byte{9}, "records in a block"},
		{"one record less", root + 7, []byte{0}, "the tree has"},
		{"free block in the head", root + headSize4, make([]byte, 4), "where at least"},
		{"free extent too long", root + headSize4 + 4, []byte{1}, "where at least"},
	}
	for _, tt := range tests {
		p := bytes.Clone(whole)
		copy(p[tt.off:], tt.value)
		_, err := fstest.Used(Open, p)
		e := new(filesystem.FormatError)
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || e.Offset < 0 || e.Offset >= int64(len(p)) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzOpen puts hostile bytes at the start of a sound volume, and anywhere.
func FuzzOpen(f *testing.F) {
	for _, args := range []string{"-m crc=0 -d agcount=1 -b size=512", "-m crc=0 -d agcount=2", "-d agcount=1"} {
		p := fstest.Load(f, makeVolume(f, 40, args))
		f.Add(p[:16<<10], uint32(0), []byte{}) // the head of group 0 and its tree
	}
	whole := fstest.Load(f, makeVolume(f, 18, "-m crc=0 -d agcount=1"))
	f.Fuzz(func(t *testing.T, head []byte, off uint32, change []byte) {
		p := bytes.Clone(whole)
		copy(p, head)
		copy(p[min(int(off), len(p)):], change)
		fstest.Hostile(t, Open, p, int64(len(p)))
	})
}
