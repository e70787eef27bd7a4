package partition

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"doppel.live/internal/partition/tabletest"
)

// smallGPT is a GPT on a disk of 64 KiB, so that fuzzing is fast.
func smallGPT(entries, entrySize int) []byte {
	d := make([]byte, 64<<10)
	put(d, 0, 0, 0xEE, 1, 127)
	array := make([]byte, entries*entrySize)
	copy(array, "type-type-type-tuniq-uniq-uniq-u")
	le.PutUint64(array[32:], 40)
	le.PutUint64(array[40:], 50)
	n := (len(array) + 511) / 512
	for _, c := range [][3]int{{1, 127, 2}, {127, 1, 127 - n}} {
		h := &gptHeader{sector: d[c[0]*512:][:512]}
		copy(h.sector, gptMagic)
		le.PutUint32(h.sector[8:], 0x10000)
		le.PutUint32(h.sector[12:], 92)
		for i, v := range []int{c[0], c[1], 2 + n, 126 - n} {
			le.PutUint64(h.sector[24+8*i:], uint64(v))
		}
		le.PutUint64(h.sector[72:], uint64(c[2]))
		le.PutUint32(h.sector[80:], uint32(entries))
		le.PutUint32(h.sector[84:], uint32(entrySize))
		le.PutUint32(h.sector[88:], crc32.ChecksumIEEE(array))
		fixHeader(h.sector)
		copy(d[c[2]*512:], array)
	}
	return d
}

// TestEntrySizes: any number and size of entries that the specification allows.
func TestEntrySizes(t *testing.T) {
	for _, tt := range [][2]int{{1, 128}, {4, 128}, {4, 256}, {7, 512}, {3, 1024}} {
		d := smallGPT(tt[0], tt[1])
		table := readBytes(t, d, 512)
		if len(table.Partitions) != 1 || len(table.Warnings) > 0 {
			t.Errorf("%v: %v %q", tt, table.Partitions, table.Warnings)
			continue
		}
		moved, err := table.MoveTo(int64(len(d)) + 5000)
		if err != nil || !moved.whole {
			t.Errorf("%v: %v", tt, err)
		}
	}
}

// TestEveryByteFlipped changes each byte of both copies of a GPT: what is read
// is the same table, with a message unless the byte means nothing, or an
// error; never another table without a word.
func TestEveryByteFlipped(t *testing.T) {
	whole := smallGPT(8, 128)
	want := readBytes(t, whole, 512)
	last := len(whole)
	silent := 0
	for off := 512; off < last; off++ {
		if off == 512+512+1024 {
			off = last - 512 - 1024
		}
		for _, flip := range []byte{0xFF, 1} {
			d := bytes.Clone(whole)
			d[off] ^= flip
			table, err := Read(bytes.NewReader(d), int64(len(d)), 512)
			if err != nil {
				continue
			}
			if !slices.Equal(table.Partitions, want.Partitions) || table.ID != want.ID || table.Conflict() != "" {
				t.Errorf("byte %d: %s %v, %q", off, table.Scheme, table.Partitions, table.Warnings)
			}
			if len(table.Warnings) > 0 {
				continue
			}
			silent++
			if in := off % (last - 512) % 512; in < 92 || off >= 1024 && off < last-512 {
				t.Errorf("byte %d: changed without a word", off)
			}
		}
	}
	if want := 2 * 2 * (512 - 92); silent != want {
		t.Errorf("%d changes make no message, want %d: those of the unused rest of both headers", silent, want)
	}
}

// fuzzed reads d, whatever it is, and checks what must hold of any table.
func fuzzed(t *testing.T, d []byte, sectorSize int64) {
	table, err := Read(bytes.NewReader(d), int64(len(d)), sectorSize)
	if err != nil {
		t.Fatal(err)
	}
	_ = table.SfdiskDump("/dev/sda")
	for _, gap := range append(table.SliceGaps(), table.Gap()) {
		if gap.Offset < 0 || gap.Length < 0 || gap.End() > int64(len(d)) {
			t.Fatalf("gap %v", gap)
		}
	}
	for i, s := range table.Sectors {
		if i > 0 && s.Offset < table.Sectors[i-1].Offset || s.end() > int64(len(d)) {
			t.Fatalf("sectors %d at %d", i, s.Offset)
		}
		if !bytes.Equal(s.Data, d[s.Offset:s.end()]) {
			t.Fatalf("%s at %d is not as on the disk", s.Name, s.Offset)
		}
		if WriteRank(s.Name) < 0 {
			t.Fatalf("%s has no rank", s.Name)
		}
	}
	if table.Scheme == None || table.Conflict() == "" && len(table.Partitions) > 0 && len(table.Sectors) == 0 {
		if len(table.Partitions) > 0 {
			t.Fatalf("%s with partitions %v", table.Scheme, table.Partitions)
		}
		return
	}
	for _, p := range table.Partitions {
		if table.Conflict() == "" && (p.Start < 0 || p.Size < 0 || p.End() > int64(len(d))) {
			t.Fatalf("%v leaves the disk and nothing is said", p)
		}
	}
	if table.Conflict() != "" {
		return // such a table is saved with the whole disk
	}
	if again, err := Parse(table.Scheme, table.Sectors, table.DiskSize, sectorSize); err != nil {
		t.Fatal(err)
	} else if fmt.Sprint(again.Partitions) != fmt.Sprint(table.Partitions) {
		t.Fatalf("%v from kept sectors, %v from the disk", again.Partitions, table.Partitions)
	}
	if moved, err := table.MoveTo(int64(len(d)) + 40960); err == nil && !moved.Whole() {
		t.Fatalf("moved, and not whole: %q", moved.Warnings)
	}
}

func fuzzSector(large bool) int64 {
	if large {
		return 4096
	}
	return 512
}

// FuzzRead reads anything as a disk.
func FuzzRead(f *testing.F) {
	d := make([]byte, 8<<10)
	putGPT(d, 512, 4, 128)
	f.Add(d, false)
	f.Add(make([]byte, 8192), true)
	f.Fuzz(func(t *testing.T, d []byte, large bool) { fuzzed(t, d, fuzzSector(large)) })
}

// FuzzGPT reads headers and entries in their places, with correct sums.
func FuzzGPT(f *testing.F) {
	d := smallGPT(4, 128)
	hybrid := bytes.Clone(d)
	put(hybrid, 1, 0x80, 0x83, 40, 11)
	last := len(d) - 512
	f.Add(d[446:510], d[512:604], d[1024:1536], d[last:last+92], false)
	f.Add(hybrid[446:510], d[512:604], d[1024:1536], []byte{}, false)
	f.Add(d[446:510], []byte{}, d[1024:1536], d[last:last+92], false)
	large := make([]byte, 256<<10)
	putGPT(large, 4096, 4, 128)
	f.Add(large[446:510], large[4096:][:92], large[8192:][:512], large[252<<10:][:92], true)
	f.Fuzz(func(t *testing.T, mbr, primary, array, backup []byte, large bool) {
		size := int(fuzzSector(large))
		d := make([]byte, (64<<10)*size/512)
		last := len(d) - size
		copy(d[446:510], mbr)
		d[510], d[511] = 0x55, 0xAA
		copy(d[2*size:last/2], array)
		copy(d[last-size:last], array)
		for at, header := range map[int][]byte{size: primary, last: backup} {
			h := &gptHeader{sector: d[at:][:size]}
			if copy(h.sector[:92], header) < 92 {
				continue
			}
			copy(h.sector, gptMagic)
			le.PutUint32(h.sector[12:], 92)
			le.PutUint64(h.sector[24:], uint64(at/size))
			if lba, n := h.arrayLBA(), h.arrayBytes(); lba < uint64(len(d)/size) && n > 0 && n <= int64(len(d))-int64(lba)*int64(size) {
				le.PutUint32(h.sector[88:], crc32.ChecksumIEEE(d[int64(lba)*int64(size):][:n]))
			}
			fixHeader(h.sector)
		}
		fuzzed(t, d, int64(size))
	})
}

// FuzzMBR reads entries of an MBR and of a chain.
func FuzzMBR(f *testing.F) {
	d := make([]byte, 64<<10)
	put(d, 0, 0x80, 5, 10, 100)
	put(d[10*512:], 0, 0, 0x83, 1, 10)
	put(d[10*512:], 1, 0, 5, 20, 30)
	put(d[30*512:], 0, 0, 0x83, 1, 10)
	f.Add(d[446:510], d[10*512+446:][:64], d[30*512+446:][:64], false)
	put(d[30*512:], 1, 0, 5, 0, 30)
	f.Add(d[446:510], d[10*512+446:][:64], d[30*512+446:][:64], true)
	f.Fuzz(func(t *testing.T, mbr, first, second []byte, large bool) {
		size := fuzzSector(large)
		d := make([]byte, 128*size)
		for i, entries := range [][]byte{mbr, first, second} {
			sector := d[[]int64{0, 10, 30}[i]*size:][:512]
			copy(sector[446:510], entries)
			sector[510], sector[511] = 0x55, 0xAA
		}
		fuzzed(t, d, size)
	})
}

// FuzzDisklabel reads a label of a disk and of a slice of each kind; its
// checksum is made right.
func FuzzDisklabel(f *testing.F) {
	for version := range uint16(2) {
		d := make([]byte, 1024)
		putLabel(d, little, 512, version, 16, letterAt{'a', 10, 20, 7}, letterAt{'b', 30, 40, 1}, letterAt{'c', 0, 128, 0}, letterAt{'p', 100, 10, 0})
		f.Add(d, byte(0), uint32(0))
		f.Add(d, byte(0xA5), uint32(8))
		f.Add(d, byte(0xA6), uint32(8))
		f.Add(d, byte(0xA9), uint32(0))
	}
	f.Fuzz(func(t *testing.T, label []byte, kind byte, start uint32) {
		d := make([]byte, 64<<10)
		start %= 64
		at := d[(start+1)*512:]
		if kind != 0 {
			put(d, 0, 0, kind, start, 60)
			put(d, 1, 0, 0x83, 100, 20)
		}
		copy(at, label[:min(len(label), 8000)])
		if n := le.Uint16(at[138:]); n <= maxLetters {
			le.PutUint32(at, labelMagic)
			le.PutUint32(at[132:], labelMagic)
			tabletest.FixDisklabel(at, little)
		}
		fuzzed(t, d, 512)
	})
}

// FuzzApple reads an Apple map.
func FuzzApple(f *testing.F) {
	for _, block := range []int{512, 2048} {
		d := make([]byte, 32<<10)
		putApple(d, block, appleAt{1, 3, "Apple", "Apple_partition_map"}, appleAt{5, 2, "Macintosh", "Apple_Driver"},
			appleAt{8, 4, "untitled", "Apple_HFS"}, appleAt{12, 3, "", "Apple_Free"})
		f.Add(d, false)
	}
	f.Fuzz(func(t *testing.T, d []byte, large bool) {
		if len(d) > 1024 {
			copy(d, "ER")
			copy(d[512:], "PM")
		}
		fuzzed(t, d, fuzzSector(large))
	})
}

func TestFewSectors(t *testing.T) {
	for n := range 3 * 512 {
		d := bytes.Repeat([]byte("ER\x02\x00PM"), n)[:n]
		fuzzed(t, d, 512)
		if n >= 512 {
			d[510], d[511] = 0x55, 0xAA
			fuzzed(t, d, 512)
		}
	}
}
