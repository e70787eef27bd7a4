package xfs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/fstest"
)

// TestLogprint holds the ends of logs, whole and torn, against what
// xfs_logprint finds.
func TestLogprint(t *testing.T) {
	for _, args := range []string{"-m crc=0 -d agcount=1", "-m crc=0 -d agcount=1 -l version=1", "-d agcount=1"} {
		h := makeLog(t, args)
		var heads []place // of each record
		for id := range uint32(6) {
			heads = append(heads, h.head)
			h.begin(id)
			h.taking(t, id, 10+id)
			h.commit(id)
			h.record()
		}
		block := func(p place) []byte { return h.p[h.f.log.offset+p.at*basicBlock:][:basicBlock] }
		for _, torn := range []struct {
			name string
			do   func()
		}{
			{"whole", func() {}},
			{"last block", func() { clear(block(h.f.log.move(h.head, -1))) }},
			{"head of the fourth record", func() { clear(block(heads[3])) }},
			{"second block of the third record", func() { clear(block(h.f.log.move(heads[2], 2))) }},
		} {
			torn.do()
			path := filepath.Join(t.TempDir(), "volume")
			if err := os.WriteFile(path, h.p, 0o600); err != nil {
				t.Fatal(err)
			}
			out := fstest.Run(t, "xfs_logprint", "-t", path)
			m := regexp.MustCompile(`log tail: (\d+) head: (\d+) state: (\S+)`).FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("xfs_logprint prints %s", out)
			}
			f, err := open(bytes.NewReader(h.p), int64(len(h.p)))
			if err != nil {
				t.Fatalf("%s, %s: %v", args, torn.name, err)
			}
			if ours := fmt.Sprint(f.logEnd.last.tail().at, f.logEnd.head.at); ours != m[1]+" "+m[2] || m[3] != "<DIRTY>" {
				t.Errorf("%s, %s: the log is from %s, xfs_logprint says %s", args, torn.name, ours, m[0])
			}
		}
	}
}

// TestDamagedLog changes bytes of a record that is none of the last eight, which
// recovery may cut off.
func TestDamagedLog(t *testing.T) {
	for _, args := range []string{"-d agcount=1", "-m crc=0 -d agcount=1"} {
		h := makeLog(t, args)
		h.begin(1)
		h.taking(t, 1, 10)
		h.commit(1)
		h.record()
		for id := range uint32(9) {
			h.begin(2 + id)
			h.commit(2 + id)
			h.record()
		}
		if now, err := fstest.Used(Open, h.p); err != nil || now != h.f.info.Used+10*h.f.blockSize {
			t.Fatalf("%d bytes in use, %d before: %v", now, h.f.info.Used, err)
		}
		at := h.f.log.offset + h.tail.at*basicBlock
		fstest.Damage(t, Open, h.p, "head of a record of the log", at, 330)
		fstest.Damage(t, Open, h.p, "record of the log", at+basicBlock, 400)
		last := h.f.log.offset + (h.head.at-2)*basicBlock
		fstest.Damage(t, Open, h.p, "last record of the log", last, 64)
		for n := range int64(5) {
			fstest.Damage(t, Open, h.p, "cycle at the end of the log", last+n*basicBlock, 4)
		}
	}
}

// FuzzLog puts hostile operations into the log of a sound volume, with the
// right checksums.
func FuzzLog(f *testing.F) {
	bases := []*handmade{makeLog(f, "-m crc=0 -d agcount=1"), makeLog(f, "-d agcount=1")}
	for _, tt := range logs {
		h := bases[0].clone()
		tt.make(f, h)
		f.Add(h.data, h.ops, false)
		f.Add(h.data, h.ops, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, ops uint32, v5 bool) {
		h := *bases[0]
		if v5 {
			h = *bases[1]
		}
		start := h.f.log.offset
		log := bytes.Clone(h.p[start:][:64<<10])
		defer copy(h.p[start:], log)
		h.data, h.ops = bytes.Clone(data[:min(len(data), recordCycles)]), ops
		if len(h.data) == 0 {
			return
		}
		h.record()
		opened, err := Open(bytes.NewReader(h.p), int64(len(h.p)))
		if err != nil {
			return
		}
		list, err := extent.Collect(opened.Allocated())
		if err != nil {
			t.Fatal(err) // Open read it
		}
		if err := extent.Validate(list, opened.Info().Size); err != nil {
			t.Fatal(err)
		}
		if extent.Total(list) != opened.Info().Used {
			t.Fatalf("%+v, extents hold %d", opened.Info(), extent.Total(list))
		}
	})
}
