package hfsplus

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/vm/lab"
)

// TestChecksum is the header of a journal of macOS, published with its fields
// and its checksum in "HFS+ Journal Basics" (kazamiya.net): little-endian, with
// transactions from byte 68096 to 139776.
func TestChecksum(t *testing.T) {
	h := ring{order: binary.LittleEndian, size: 524288, list: 8192, sector: 512}.header(68096, 139776)
	if got := le.Uint32(h[36:]); got != 0x08CE9036 || string(h[:4]) != "xLNJ" {
		t.Errorf("%#x, %q", got, h[:4])
	}
	j := &journal{v: &volume{r: reader(append(h, make([]byte, 524288)...)), size: 524288}, size: 524288}
	if err := j.readHeader(); err != nil || j.start != 68096 || j.end != 139776 || j.list != 8192 || j.first != 512 || j.size != 524288 {
		t.Errorf("%+v, %v", j, err)
	}
}

// ring writes a journal as TN1150 describes it. No system here writes one:
// Linux leaves it alone.
type ring struct {
	order  binary.AppendByteOrder
	size   int64 // bytes
	list   int64 // of a block list
	sector int64
	sums   bool // of the data too, as macOS writes them
}

// change is a block that a transaction writes.
type change struct {
	off  int64 // byte of the volume; -1: a block that was taken back
	data []byte
}

func (r ring) header(start, end int64) []byte {
	h := r.order.AppendUint32(nil, journalMagic)
	h = r.order.AppendUint32(h, journalEndian)
	for _, n := range []int64{start, end, r.size} {
		h = r.order.AppendUint64(h, uint64(n))
	}
	h = r.order.AppendUint32(h, uint32(r.list))
	h = r.order.AppendUint32(h, 0)
	h = r.order.AppendUint32(h, uint32(r.sector))
	copy(h[36:], r.order.AppendUint32(nil, r.checksum(h)))
	return append(h, make([]byte, r.sector-int64(len(h)))...)
}

// checksum is written anew, by the note's words.
func (ring) checksum(p []byte) (sum uint32) {
	for _, b := range p {
		sum = (sum << 8) ^ (sum + uint32(b))
	}
	return ^sum
}

// transaction gives a block list with its data.
func (r ring) transaction(changes []change) []byte {
	flags := uint32(2)
	if r.sums {
		flags = 3
	}
	p := r.order.AppendUint16(nil, uint16((r.list-16)/16))
	p = r.order.AppendUint16(p, uint16(len(changes)+1))
	total := r.list
	for _, c := range changes {
		total += int64(len(c.data))
	}
	p = r.order.AppendUint32(p, uint32(total))
	p = r.order.AppendUint32(p, 0)
	p = r.order.AppendUint32(p, flags)
	p = append(p, make([]byte, 16)...)
	for _, c := range changes {
		number, sum := uint64(c.off/r.sector), uint32(0)
		if c.off < 0 {
			number = ^uint64(0)
		} else if r.sums {
			sum = r.checksum(c.data)
		}
		p = r.order.AppendUint64(p, number)
		p = r.order.AppendUint32(p, uint32(len(c.data)))
		p = r.order.AppendUint32(p, sum)
	}
	copy(p[8:], r.order.AppendUint32(nil, r.checksum(p[:32])))
	p = append(p, make([]byte, r.list-int64(len(p)))...)
	for _, c := range changes {
		p = append(p, c.data...)
	}
	return p
}

// write writes the journal: transactions from byte start on, of which those
// behind the first until count are behind the end that the header names.
func (r ring) write(to []byte, start int64, until int, transactions ...[]change) {
	at, end := start, start
	for i, changes := range transactions {
		for p := r.transaction(changes); len(p) > 0; {
			n := copy(to[at:r.size], p)
			if at += int64(n); at == r.size {
				at = r.sector
			}
			p = p[n:]
		}
		if i < until {
			end = at
		}
	}
	copy(to, r.header(start, end))
}

// journaled gives where the journal of a made volume lies, and has its info
// block say that it is initialised.
func journaled(p []byte) (journal []byte) {
	h := header(p[headerOffset:])
	info := p[h.journalInfoBlock()*h.blockSize():]
	be.PutUint32(info, infoOnVolume)
	offset := be.Uint64(info[36:])
	return p[offset : offset+be.Uint64(info[44:])]
}

// mounted marks a header as that of a journaled volume in use by macOS.
func mounted(h []byte) {
	be.PutUint32(h[4:], be.Uint32(h[4:])&^volumeUnmounted)
	copy(h[8:], journalVersion)
}

// metadata are the places of the header and the special files.
func metadata(t *testing.T, p []byte) (list []extent.Extent) {
	t.Helper()
	h := header(p[headerOffset : headerOffset+headerSize])
	v := &volume{r: reader(p), size: int64(len(p)), blockSize: h.blockSize(), blocks: h.blocks()}
	if _, err := v.specialFiles(h); err != nil {
		t.Fatal(err)
	}
	list = append(list, extent.Extent{Offset: headerOffset, Length: headerSize})
	for _, r := range v.also {
		list = append(list, extent.Extent{Offset: r.start * v.blockSize, Length: r.count * v.blockSize})
	}
	return extent.Union(list)
}

// cut makes the volume that a power cut leaves between two states of it: the
// data is on it, the metadata is still that of before. What differs is given,
// in whole sectors.
func cut(t *testing.T, before, after []byte, sector int64) (disk []byte, changes []change) {
	t.Helper()
	disk, after = bytes.Clone(after), bytes.Clone(after)
	mounted(after[headerOffset:])
	all := extent.Union(metadata(t, before), metadata(t, after))
	for _, e := range extent.Align(all, sector, int64(len(after))) {
		copy(disk[e.Offset:e.End()], before[e.Offset:e.End()])
		for at := e.Offset; at < e.End(); at += sector {
			if bytes.Equal(after[at:at+sector], before[at:at+sector]) {
				continue
			}
			n := len(changes) - 1
			if n >= 0 && changes[n].off+int64(len(changes[n].data)) == at && len(changes[n].data) < 8192 {
				changes[n].data = after[changes[n].off : at+sector]
				continue
			}
			changes = append(changes, change{at, after[at : at+sector]})
		}
	}
	mounted(disk[headerOffset:])
	return disk, changes
}

// cuts are journals of such a volume.
var cuts = []struct {
	name  string
	ring  ring
	start int64
	until func(transactions int) int // are within the end
}{
	{"big-endian", ring{order: binary.BigEndian, list: 4096, sector: 512}, 512, whole},
	{"little-endian with sums", ring{order: binary.LittleEndian, list: 8192, sector: 512, sums: true}, 512, whole},
	{"around the end", ring{order: binary.LittleEndian, list: 4096, sector: 512, sums: true}, journalLen - 14336, whole},
	{"sectors of 4096", ring{order: binary.LittleEndian, list: 4096, sector: 4096}, journalLen, whole},
	{"half behind the end", ring{order: binary.LittleEndian, list: 4096, sector: 512, sums: true}, 300 * 512, func(n int) int { return n / 2 }},
	{"all behind the end", ring{order: binary.BigEndian, list: 4096, sector: 512, sums: true}, 300 * 512, func(int) int { return 0 }},
}

func whole(n int) int { return n }

// TestPowerCut lets Linux write to a volume twice, and puts what the second
// time changed of the metadata into a journal. What is in use of the volume
// with that is copied onto garbage, replayed, and read by Linux.
//
//	/dev/ubda …   made volumes with blocks of 512, 4096
func TestPowerCut(t *testing.T) {
	c := lab.Config{Modules: []string{"loop", "nls_utf8", "hfsplus"}, Needs: []string{"mount"}, Memory: 768}
	if !lab.Inside() {
		t.Setenv("TMPDIR", "/tmp") // the guest does not see the host's /dev/shm
		for _, block := range []int64{512, 4096} {
			c.Disks = append(c.Disks, plan{size: 8 * mib, blockSize: block, journal: true}.file(t, t.TempDir()))
		}
	}
	lab.Run(t, c, func(t *testing.T) {
		for _, device := range []string{"/dev/ubda", "/dev/ubdb"} {
			before, _ := written(t, device, 1)
			after, want := written(t, device, 2)
			for _, tt := range cuts {
				t.Run(device[5:]+" "+tt.name, func(t *testing.T) {
					disk, changes := cut(t, before, after, tt.ring.sector)
					list := transactions(changes)
					r := tt.ring
					r.size = journalLen
					r.write(journaled(disk), tt.start, tt.until(len(list)), list...)
					judgeCut(t, disk, changes, want, union(t, before, after))
				})
			}
		}
	})
}

// transactions makes some of changes; before each it writes the first block of
// it wrongly, and has one that was taken back.
func transactions(changes []change) (list [][]change) {
	for at := 0; at < len(changes); at += 8 {
		some := changes[at:min(at+8, len(changes))]
		wrong := change{some[0].off, bytes.Clone(some[0].data)}
		for i := range wrong.data {
			if some[0].off != headerOffset && some[0].off != 0 {
				wrong.data[i] &= 0x55 // no block more in use, if it is the bitmap
			}
		}
		list = append(list, []change{wrong, {-1, make([]byte, 4096)}}, some)
	}
	return list
}

// union is how many bytes are in use of one of two states of a volume or of
// both.
func union(t *testing.T, before, after []byte) int64 {
	t.Helper()
	var lists [][]extent.Extent
	for _, p := range [][]byte{before, after} {
		opened, err := Open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, fstest.Allocation(t, opened))
	}
	total := extent.Total(extent.Union(lists...))
	if total == extent.Total(lists[0]) || total == extent.Total(lists[1]) {
		t.Error("nothing was freed, or nothing taken")
	}
	return total
}

// judgeCut copies what is in use of a volume, replays its journal there by what
// was put into it, and has Linux read that.
func judgeCut(t *testing.T, disk []byte, changes []change, want map[string][32]byte, used int64) {
	path := fstest.Volume(t, 0)
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, file := open(t, path)
	if info := opened.Info(); info.State != filesystem.Recovery || info.Label != makersLabel || info.Used != used {
		t.Errorf("%+v, in use are %d before or after", info, used)
	}
	copied := copyAllocated(t, file, opened)
	out, err := os.OpenFile(copied, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for _, c := range changes {
		if _, err := out.WriteAt(c.data, c.off); err != nil {
			t.Fatal(err)
		}
	}
	if got := treeSums(t, copied, "hfsplus"); len(want) < 30 || !maps.Equal(got, want) {
		t.Errorf("the %d files of the copy are not the %d of the volume", len(got), len(want))
	}
}

// written writes to a device and gives what is on it then, and the files.
func written(t *testing.T, device string, seed uint64) ([]byte, map[string][32]byte) {
	t.Helper()
	dir := t.TempDir()
	mountAs(t, device, dir, "hfsplus", "force")
	churn(t, rand.New(rand.NewPCG(seed, 1)), dir, mib*int64(seed))
	if seed > 1 {
		if err := os.RemoveAll(dir + "/folder 1"); err != nil {
			t.Fatal(err)
		}
	}
	sums := fstest.TreeSums(t, dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	return fstest.Load(t, device), sums
}
