package xfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// tail gives the records of a log from its end on backwards.
func lastRecords(t *testing.T, f *fileSystem, n int) (list []*record) {
	t.Helper()
	for at := f.logEnd.head; len(list) < n; at = list[len(list)-1].place {
		r, err := f.log.before(at)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// unwrite lets n blocks of the log from p on be as they were before the last
// time around.
func unwrite(f *fileSystem, p []byte, at place, n int64) {
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range n {
		b := f.log.move(at, i)
		block := p[f.log.offset+b.at*basicBlock:][:basicBlock]
		copy(block, fstest.Noise(rng, basicBlock))
		be.PutUint32(block, b.cycle-1)
	}
}

// TestTorn takes parts of the last records away, as where a disk wrote some
// blocks of what was under way and others not. The kernel cuts the log off
// there, and so do we.
func TestTorn(t *testing.T) {
	path := crash(t, 72, "-l size=6m -d agcount=2"+smallLog, "", flushed, 3)
	whole := fstest.Load(t, path)
	f, err := open(bytes.NewReader(whole), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	last := lastRecords(t, f, 12)
	tests := []struct {
		name string
		do   func(p []byte)
		end  place
	}{
		{"last block", func(p []byte) { unwrite(f, p, f.log.move(f.logEnd.head, -1), 1) }, last[0].place},
		{"head of the last record", func(p []byte) { unwrite(f, p, last[0].place, 1) }, last[0].place},
		{"last record", func(p []byte) { unwrite(f, p, last[0].place, last[0].length) }, last[0].place},
		{"a block of the third last record", func(p []byte) { unwrite(f, p, f.log.move(last[2].place, 3), 1) }, last[2].place},
		{"head of the second last record", func(p []byte) { unwrite(f, p, last[1].place, 1) }, last[1].place},
		{"end of the last and a block of the fourth last record", func(p []byte) {
			unwrite(f, p, f.log.move(f.logEnd.head, -2), 2)
			unwrite(f, p, f.log.move(last[3].place, 2), 1)
		}, last[3].place},
		{"a byte of the last record", func(p []byte) { p[f.log.offset+f.log.move(last[0].place, 1).at*basicBlock+77] ^= 1 }, last[0].place},
		{"bytes of the second and the eighth last record", func(p []byte) {
			p[f.log.offset+f.log.move(last[1].place, 1).at*basicBlock+77] ^= 1
			p[f.log.offset+f.log.move(last[7].place, 1).at*basicBlock+77] ^= 1
		}, last[7].place},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := bytes.Clone(whole)
			tt.do(p)
			torn := filepath.Join(t.TempDir(), "torn")
			if err := os.WriteFile(torn, p, 0o600); err != nil {
				t.Fatal(err)
			}
			if g, err := identify(bytes.NewReader(p), int64(len(p))); err != nil || g.logEnd == nil || g.logEnd.head != tt.end {
				t.Errorf("the log ends at %+v, want %v: %v", g.logEnd, tt.end, g.logError)
			}
			sameAfterRecovery(t, torn)
		})
	}
	t.Run("a byte of the ninth last record", func(t *testing.T) {
		p := bytes.Clone(whole)
		p[f.log.offset+f.log.move(last[8].place, 1).at*basicBlock+77] ^= 1
		torn := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(torn, p, 0o600); err != nil {
			t.Fatal(err)
		}
		if files, err := recoverVolume(t, torn); err == nil {
			t.Errorf("the kernel recovers it, with %d files", len(files))
		}
		_, err := open(bytes.NewReader(p), int64(len(p)))
		if e := new(filesystem.FormatError); !errors.As(err, &e) {
			t.Errorf("error %v", err)
		}
	})
}
