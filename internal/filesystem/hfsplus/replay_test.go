package hfsplus

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// logging is a made volume in use by macOS, and changes of it: 10 more blocks
// in use, another name.
func logging(t testing.TB, p plan) (volume []byte, changes []change, used int64) {
	t.Helper()
	volume = p.volume(t)
	opened, err := Open(bytes.NewReader(volume), int64(len(volume)))
	if err != nil {
		t.Fatal(err)
	}
	base := opened.(*fileSystem).area.first
	h := header(bytes.Clone(volume[base+headerOffset : base+headerOffset+headerSize]))
	mounted(h)
	copy(volume[base+headerOffset:], h)
	be.PutUint32(h[48:], uint32(h.free()-10))
	bitmap := int64(be.Uint32(h[128:])) * h.blockSize()
	catalog := int64(be.Uint32(h[272+16:])) * h.blockSize()
	bits := bytes.Clone(volume[base+bitmap : base+bitmap+512])
	for b := h.blocks() - 20; b < h.blocks()-10; b++ {
		bits[b/8] |= 0x80 >> (b % 8)
	}
	tree := bytes.Clone(volume[base+catalog : base+catalog+2*nodeSize])
	be.PutUint16(tree[nodeSize+14+8:], 'K')
	return volume, []change{{headerOffset, h}, {bitmap, bits}, {catalog, tree}}, opened.Info().Used + 10*h.blockSize()
}

const smallRing = 48 << 10 // bytes

// TestRing begins a journal at every sector of its ring, in both orders.
func TestRing(t *testing.T) {
	for _, r := range []ring{
		{order: binary.BigEndian, size: smallRing, list: 4096, sector: 512, sums: true},
		{order: binary.LittleEndian, size: smallRing, list: 8192, sector: 512},
	} {
		volume, changes, used := logging(t, plan{size: 4 * mib, blockSize: 4096, journal: true})
		wrong := change{changes[2].off, make([]byte, 512)}
		taken := make([]change, 40) // so that the list needs more than a sector
		for i := range taken {
			taken[i] = change{-1, make([]byte, 256)}
		}
		for start := r.sector; start <= r.size; start += r.sector {
			r.write(journaled(volume), start, 3, []change{wrong}, append(taken, changes[2]), changes[:2])
			opened, err := Open(bytes.NewReader(volume), int64(len(volume)))
			if err != nil {
				t.Fatalf("from byte %d: %v", start, err)
			}
			fstest.Allocation(t, opened)
			if info := opened.Info(); info.State != filesystem.Recovery || info.Label != "K"+makersLabel[1:] || info.Used != used {
				t.Errorf("from byte %d: %+v, want %d in use", start, info, used)
			}
		}
	}
}

// TestJournalStates are volumes whose journal needs no replay, or can have none.
func TestJournalStates(t *testing.T) {
	r := ring{order: binary.LittleEndian, size: smallRing, list: 4096, sector: 512, sums: true}
	info := func(p []byte) []byte { return p[header(p[headerOffset:]).journalInfoBlock()*4096:] }
	unmounted := func(p []byte) {
		be.PutUint32(p[headerOffset+4:], be.Uint32(p[headerOffset+4:])|volumeUnmounted)
	}
	tests := []struct {
		name   string
		change func(p []byte)
		state  filesystem.State
		refuse string // "": it is read
	}{
		{"transactions", func([]byte) {}, filesystem.Recovery, ""},
		{"transactions, unmounted", unmounted, filesystem.Recovery, ""},
		{"empty", func(p []byte) { r.write(journaled(p), 512, 0) }, filesystem.Recovery, ""},
		{"empty, unmounted", func(p []byte) { r.write(journaled(p), 512, 0); unmounted(p) }, filesystem.Clean, ""},
		{"empty, mounted last by another", func(p []byte) {
			r.write(journaled(p), 512, 0)
			copy(p[headerOffset+8:], "H+Lx")
		}, filesystem.Dirty, ""},
		{"not initialised", func(p []byte) { be.PutUint32(info(p), infoOnVolume|infoNeedInit) }, "", "is not initialised"},
		{"not initialised, mounted last by another", func(p []byte) {
			be.PutUint32(info(p), infoOnVolume|infoNeedInit)
			copy(p[headerOffset+8:], "H+Lx")
		}, filesystem.Dirty, ""},
		{"marked inconsistent", func(p []byte) {
			be.PutUint32(p[headerOffset+4:], be.Uint32(p[headerOffset+4:])|volumeInconsistent)
			r.write(journaled(p), 512, 0)
		}, filesystem.Dirty, ""},
		{"on another device", func(p []byte) { be.PutUint32(info(p), infoOnOther) }, "", "journal is not on it"},
		{"on another device, unmounted", func(p []byte) { be.PutUint32(info(p), infoOnOther); unmounted(p) }, filesystem.Clean, ""},
		{"mounted last by another", func(p []byte) { copy(p[headerOffset+8:], "H+Lx") }, "", `"H+Lx" mounted the volume last`},
		{"no header", func(p []byte) { journaled(p)[0] = 0 }, "", "no journal"},
		{"header's checksum", func(p []byte) { journaled(p)[36]++ }, "", "checksum of the journal's header"},
		{"list's checksum", func(p []byte) { journaled(p)[512+8]++ }, "", "checksum of a block list"},
		{"block's checksum", func(p []byte) { journaled(p)[512+4096+100]++ }, "", "checksum of a block in"},
		{"place", func(p []byte) { be.PutUint64(info(p)[36:], 4*mib-512) }, "", "a journal of 1048576 bytes"},
	}
	for _, tt := range tests {
		volume, changes, _ := logging(t, plan{size: 4 * mib, blockSize: 4096, journal: true})
		r.write(journaled(volume), 512, 1, changes)
		tt.change(volume)
		opened, err := Open(bytes.NewReader(volume), int64(len(volume)))
		switch {
		case tt.refuse != "":
			if err == nil || !strings.Contains(err.Error(), tt.refuse) || !isFormatError(err) {
				t.Errorf("%s: %v", tt.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case opened.Info().State != tt.state:
			t.Errorf("%s: state %q", tt.name, opened.Info().State)
		}
	}
}

// TestJournalRefuses are journals that would write what cannot be.
func TestJournalRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(changes []change) []change
		refuse string
	}{
		{"behind the end", func(c []change) []change { return append(c, change{4*mib - 512, make([]byte, 1024)}) }, "the journal writes"},
		{"another size", func(c []change) []change { c[0].data[47]--; return c }, "changes the size"},
		{"another bitmap", func(c []change) []change { c[0].data[112+19]--; return c }, "changes the size"},
		{"no header", func(c []change) []change { c[0].data[0]--; return c }, "changes the size"},
		{"an empty block", func(c []change) []change { return append(c, change{512, nil}) }, "a block of 0 bytes"},
	}
	for _, tt := range tests {
		volume, changes, _ := logging(t, plan{size: 4 * mib, blockSize: 4096, journal: true})
		r := ring{order: binary.BigEndian, size: smallRing, list: 4096, sector: 512, sums: true}
		r.write(journaled(volume), 512, 1, tt.change(changes))
		if _, err := Open(bytes.NewReader(volume), int64(len(volume))); err == nil || !strings.Contains(err.Error(), tt.refuse) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestWrappedJournal: a journal inside a wrapper is read while it is empty.
func TestWrappedJournal(t *testing.T) {
	p := plan{size: 4 * mib, blockSize: 4096, journal: true, wrapper: 4096, first: 8, inside: 3}
	volume, changes, _ := logging(t, p)
	inner := volume[p.first*512+p.inside*p.wrapper:]
	r := ring{order: binary.BigEndian, size: smallRing, list: 4096, sector: 512}
	r.write(journaled(inner), 512, 1, changes)
	if _, err := Open(bytes.NewReader(volume), int64(len(volume))); err == nil || !strings.Contains(err.Error(), "inside a wrapper") {
		t.Error(err)
	}
	r.write(journaled(inner), 512, 0)
	be.PutUint32(inner[headerOffset+4:], be.Uint32(inner[headerOffset+4:])|volumeUnmounted)
	opened, err := Open(bytes.NewReader(volume), int64(len(volume)))
	if err != nil {
		t.Fatal(err)
	}
	if list := fstest.Allocation(t, opened); extent.Total(list) != opened.Info().Used || opened.Info().State != filesystem.Clean {
		t.Errorf("%+v", opened.Info())
	}
}
