package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"doppel.live/internal/image"
	"doppel.live/internal/partition"
	"doppel.live/internal/partition/tabletest"
	"doppel.live/internal/progress"
)

// oddDisk makes a disk of 16 MiB with a table that no Clonezilla knows; its
// volumes, two of random bytes, begin at first and at 8 MiB. The last 100 KiB
// of a slice are in none of its partitions and not blank.
//
//	bsd    a disklabel: a at 0
//	slice  FreeBSD from 1 MiB on: a at its start
//	apm    an Apple map with a driver
func oddDisk(scheme string) (d []byte, first int) {
	d = make([]byte, 16*mib)
	r := rand.NewChaCha8([32]byte{7})
	le := binary.LittleEndian
	letter := func(c byte, start, size uint64) tabletest.Letter {
		return tabletest.Letter{Letter: c, Start: start, Size: size, Kind: 7}
	}
	if scheme != "bsd" {
		first = mib
	}
	r.Read(d[first : 6*mib])
	r.Read(d[8*mib : 12*mib])
	switch scheme {
	case "bsd":
		clear(d[512:1536])
		tabletest.Disklabel(d[512:], le, 512, 16*2048, 0, 8, letter('a', 0, 6*2048), letter('e', 8*2048, 4*2048))
	case "slice":
		tabletest.MBREntry(d, 0, 0x80, 0xA5, 2048, 13*2048)
		clear(d[mib+512 : mib+1536])
		tabletest.Disklabel(d[mib+512:], le, 512, 13*2048, 0, 8, letter('a', 0, 5*2048), letter('e', 7*2048, 4*2048))
		copy(d[14*mib-(100<<10):], "the end of the slice")
	case "apm":
		tabletest.AppleMap(d, 512,
			tabletest.AppleEntry{Start: 1, Size: 63, Kind: "Apple_partition_map"},
			tabletest.AppleEntry{Start: 64, Size: 64, Kind: "Apple_Driver"},
			tabletest.AppleEntry{Start: 2048, Size: 5 * 2048, Kind: "Apple_HFS"},
			tabletest.AppleEntry{Start: 8 * 2048, Size: 4 * 2048, Kind: "Apple_HFS"})
		copy(d[70*512:], "a driver")
	}
	return d, first
}

// watched is a target that tells before each write; writes come one at a time
// to it, whoever writes.
type watched struct {
	*disk
	before func()
	one    sync.Mutex
}

func (w *watched) WriteAt(p []byte, off int64) (int, error) {
	w.one.Lock()
	defer w.one.Unlock()
	w.before()
	return w.disk.WriteAt(p, off)
}

// Every byte comes back, and until the last write nothing looks like a table,
// though the first volume begins with it.
func TestTablesWithinVolumes(t *testing.T) {
	for _, scheme := range []string{"bsd", "slice", "apm"} {
		t.Run(scheme, func(t *testing.T) {
			source, _ := oddDisk(scheme)
			im := save(t, source, Choice{})
			if n := len(im.m.Disks[0].Volumes); n != 2 {
				t.Fatalf("%d volumes: %+v", n, im.m.Disks[0].Volumes)
			}
			d := newDisk(int64(len(source)), 0)
			p, present := planFor(t, im, d)
			writes, early := 0, 0
			w := &watched{disk: d, before: func() {
				writes++
				if table, err := partition.Read(d, d.Size(), 512); err != nil || table.Scheme != partition.None && table.Conflict() == "" {
					early++
				}
			}}
			if _, err := Restore(context.Background(), reading{im}, []Job{{p, w, present}}, RestoreOptions{Verify: true}, &progress.Meter{}); err != nil {
				t.Fatal(err)
			}
			if early > 0 || writes < 5 {
				t.Errorf("before %d of %d writes the target had a table", early, writes)
			}
			if !bytes.Equal(d.bytes, source) {
				t.Error("the target is not the source")
			}
		})
	}
}

// A restore that ends early leaves no table, and only what was chosen of a
// slice is saved.
func TestSliceInPart(t *testing.T) {
	source, first := oddDisk("slice")
	im := save(t, source, Choice{})
	d := newDisk(int64(len(source)), 0)
	p, present := planFor(t, im, d)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := func(e progress.Event) {
		if e.Kind == progress.Step && strings.Contains(e.Text, "sda6") {
			cancel()
		}
	}
	if _, err := Restore(ctx, reading{im}, []Job{{p, d, present}}, RestoreOptions{}, &progress.Meter{Report: stop}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if label := binary.LittleEndian.Uint32(d.bytes[first+512:]); label != 0 || d.bytes[510] != 0 {
		t.Errorf("the target has a label (%x) or an MBR", label)
	}
	for what, c := range map[string]Choice{"raw raw": {Only: []int{1}}, "absent raw": {Only: []int{6}}, "raw absent": {Except: []string{"sda6"}}} {
		m, _ := survey(t, bytes.NewReader(source), int64(len(source)), c)
		var methods []string
		for _, v := range m.Disks[0].Volumes {
			methods = append(methods, string(v.Method))
		}
		if got := strings.Join(methods, " "); got != what {
			t.Errorf("%+v: %s, want %s", c, got, what)
		}
	}
}

// A disk whose table contradicts itself, or is older than the file system that
// the whole disk is, is saved with every byte.
func TestDoubtfulTables(t *testing.T) {
	le := binary.LittleEndian
	for name, c := range map[string]struct {
		scheme string
		change func(d []byte)
	}{
		"damaged label":        {"bsd", func(d []byte) { d[512+148]++ }},
		"letters overlap":      {"bsd", func(d []byte) { le.PutUint32(d[512+148:], 15*2048); tabletest.FixDisklabel(d[512:], le) }},
		"a disc of Macs":       {"apm", func(d []byte) { copy(d[32<<10:], "\x01CD001\x01") }},
		"letter out of slice":  {"slice", func(d []byte) { le.PutUint32(d[mib+512+148:], 14*2048); tabletest.FixDisklabel(d[mib+512:], le) }},
		"map without a device": {"apm", func(d []byte) { clear(d[:512]) }},
	} {
		source, _ := oddDisk(c.scheme)
		c.change(source)
		im := save(t, source, Choice{})
		if v := im.m.Disks[0].Volumes; len(v) != 1 || v[0].Method != image.Raw || im.m.Disks[0].Scheme != "none" || v[0].Reason == "" {
			t.Errorf("%s: %+v", name, im.m.Disks[0])
		}
		d := newDisk(int64(len(source)), 0xA5)
		if err := restoreTo(t, im, d); err != nil || !bytes.Equal(d.bytes, source) {
			t.Errorf("%s: %v, equal %t", name, err, bytes.Equal(d.bytes, source))
		}
	}
}
