package hfsplus

import (
	"cmp"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"doppel.live/internal/filesystem/fstest"
)

// plan says how an empty HFS Plus is made. No program that makes one is in all
// Debians; that this one's are right says the kernel, which mounts and fills
// them, and partclone.
type plan struct {
	size      int64 // bytes of the volume
	blockSize int64
	x         bool  // HFSX, names by case
	journal   bool  // a journal that is not initialised, as mkfs.hfsplus leaves it
	pieces    int64 // that the allocation file lies in; what is above 8 is in the extents file
	wrapper   int64 // its block size, 0: none
	first     int64 // sector of the wrapper's first block
	inside    int64 // block of the wrapper where the HFS Plus begins
	space     int64 // bytes of the journal, 0: journalLen
}

const (
	nodeSize    = 4096
	journalLen  = 1 << 20
	makersLabel = "Größe :1"
)

// made is a volume being made.
type made struct {
	plan
	p      []byte // the HFS Plus
	h      header
	bitmap []byte
	next   int64 // first free block
}

// volume makes a volume and gives all its bytes.
func (l plan) volume(t testing.TB) []byte {
	t.Helper()
	p := make([]byte, l.size)
	base, end := int64(0), l.size
	if l.wrapper > 0 {
		base = l.first*512 + l.inside*l.wrapper
		count := (l.size - 1024 - base) / l.wrapper
		end = base + count*l.wrapper
		l.wrap(p, count)
	}
	m := &made{plan: l, p: p[base:end]}
	m.format()
	return p
}

// wrap writes the master directory block.
func (l plan) wrap(p []byte, count int64) {
	m := p[headerOffset:]
	copy(m, "BD")
	be.PutUint16(m[10:], 0x8300)
	be.PutUint16(m[14:], 3)
	be.PutUint16(m[18:], uint16(l.inside+count))
	be.PutUint32(m[20:], uint32(l.wrapper))
	be.PutUint16(m[28:], uint16(l.first))
	copy(m[36:], "\x07wrapper")
	copy(m[124:], "H+")
	be.PutUint16(m[126:], uint16(l.inside))
	be.PutUint16(m[128:], uint16(count))
	copy(p[l.size-1024:], m[:512])
}

// take gives n blocks and marks them.
func (m *made) take(n int64) int64 {
	at := m.next
	m.mark(at, n)
	m.next += n
	return at
}

func (m *made) mark(at, n int64) {
	for b := at; b < at+n; b++ {
		m.bitmap[b/8] |= 0x80 >> (b % 8)
	}
}

func (m *made) up(bytes int64) int64 { return (bytes + m.blockSize - 1) / m.blockSize }

func (m *made) format() {
	blocks := int64(len(m.p)) / m.blockSize
	m.h = make(header, headerSize)
	copy(m.h, "H+\x00\x04")
	if m.x {
		copy(m.h, "HX\x00\x05")
	}
	be.PutUint32(m.h[4:], 0x80000000|volumeUnmounted)
	copy(m.h[8:], "test")
	for i := 16; i < 32; i += 4 {
		be.PutUint32(m.h[i:], 0xE0000000) // dates
	}
	be.PutUint32(m.h[40:], uint32(m.blockSize))
	be.PutUint32(m.h[44:], uint32(blocks))
	be.PutUint32(m.h[56:], uint32(max(m.blockSize, 65536)))
	be.PutUint32(m.h[60:], uint32(max(m.blockSize, 65536)))
	be.PutUint32(m.h[64:], 16)
	be.PutUint64(m.h[72:], 1)
	copy(m.h[80+24:], "\xC7\xAD\x25\xCB\x22\xFF\x87\x91")
	m.bitmap = make([]byte, m.up((blocks+7)/8)*m.blockSize)
	m.take(m.up(headerOffset + headerSize))
	if m.journal {
		m.makeJournal()
	}
	overflow := m.allocationFile()
	m.tree(192, 8, extentsFileID, overflow)
	m.tree(272, 64, catalogFileID, m.root())
	if tail := (int64(len(m.p)) - 1024) / m.blockSize; tail < blocks {
		m.mark(tail, blocks-tail)
	}
	m.finish(blocks)
}

// finish writes the bitmap and both headers.
func (m *made) finish(blocks int64) {
	free := uint32(0)
	for b := range blocks {
		if m.bitmap[b/8]&(0x80>>(b%8)) == 0 {
			free++
		}
	}
	be.PutUint32(m.h[48:], free)
	be.PutUint32(m.h[52:], uint32(m.next))
	copy(m.p[headerOffset:], m.h)
	copy(m.p[len(m.p)-1024:], m.h)
	v := &volume{blockSize: m.blockSize, blocks: blocks, size: int64(len(m.p)), r: reader(m.p)}
	extents, err := v.openFork(m.h, "extents file", 192, extentsFileID, nil)
	if err != nil {
		panic(err)
	}
	f, err := v.openFork(m.h, "allocation file", 112, allocationFileID, extents)
	if err != nil {
		panic(err)
	}
	_ = f.each(m.bitmap, 0, func(p []byte, at int64) error { copy(m.p[at:], p); return nil })
}

type reader []byte

func (r reader) ReadAt(p []byte, off int64) (int, error) { return copy(p, r[off:]), nil }

func (m *made) makeJournal() {
	be.PutUint32(m.h[4:], be.Uint32(m.h[4:])|volumeJournaled)
	info := m.take(1)
	size := cmp.Or(m.space, journalLen)
	at := m.take(m.up(size))
	be.PutUint32(m.h[12:], uint32(info))
	p := m.p[info*m.blockSize:]
	be.PutUint32(p, infoOnVolume|infoNeedInit)
	be.PutUint64(p[36:], uint64(at*m.blockSize))
	be.PutUint64(p[44:], uint64(size))
}

// allocationFile takes its blocks, with holes between its pieces, and gives the
// record for the extents file.
func (m *made) allocationFile() (records [][]byte) {
	total := int64(len(m.bitmap)) / m.blockSize
	count := max(m.pieces, 1)
	if total < count {
		m.bitmap = append(m.bitmap, make([]byte, (count-total)*m.blockSize)...)
		total = count
	}
	fork := m.h[112:]
	be.PutUint64(fork, uint64(total*m.blockSize))
	be.PutUint32(fork[8:], uint32(m.blockSize))
	be.PutUint32(fork[12:], uint32(total))
	var key []byte
	for i, left := int64(0), total; i < count; i++ {
		n := int64(1)
		if i == count-1 {
			n = left
		}
		to := fork[16+8*min(i, 7):]
		if i >= 8 {
			if i%8 == 0 {
				key = make([]byte, 76)
				be.PutUint16(key, 10)
				be.PutUint32(key[4:], allocationFileID)
				be.PutUint32(key[8:], uint32(i))
				records = append(records, key)
			}
			to = key[12+8*(i%8):]
		}
		be.PutUint32(to, uint32(m.take(n)))
		be.PutUint32(to[4:], uint32(n))
		if left -= n; count > 1 {
			m.next += 3 // a hole
		}
	}
	return records
}

// tree makes a B-tree of nodes nodes with one leaf of records, or none.
func (m *made) tree(fork int, nodes int64, id uint32, records [][]byte) {
	blocks := m.up(nodes * nodeSize)
	nodes = blocks * m.blockSize / nodeSize
	at := m.take(blocks)
	f := m.h[fork:]
	be.PutUint64(f, uint64(blocks*m.blockSize))
	be.PutUint32(f[8:], uint32(blocks*m.blockSize))
	be.PutUint32(f[12:], uint32(blocks))
	be.PutUint32(f[16:], uint32(at))
	be.PutUint32(f[20:], uint32(blocks))
	p := m.p[at*m.blockSize:]
	head, used := p[14:], int64(1)
	if len(records) > 0 {
		used = 2
		leaf(p[nodeSize:2*nodeSize], kindLeaf, 1, records)
		be.PutUint16(head, 1)     // treeDepth
		be.PutUint32(head[2:], 1) // rootNode
		be.PutUint32(head[6:], uint32(len(records)))
		be.PutUint32(head[10:], 1) // firstLeafNode
		be.PutUint32(head[14:], 1) // lastLeafNode
	}
	leaf(p[:nodeSize], kindHeader, 0, [][]byte{head[:106], make([]byte, 128), make([]byte, nodeSize-256)})
	be.PutUint16(head[18:], nodeSize)
	be.PutUint16(head[20:], map[uint32]uint16{extentsFileID: 10, catalogFileID: 516}[id])
	be.PutUint32(head[22:], uint32(nodes))
	be.PutUint32(head[26:], uint32(nodes-used))
	be.PutUint32(head[32:], uint32(blocks*m.blockSize))
	be.PutUint32(head[38:], 2)
	if id == catalogFileID {
		be.PutUint32(head[38:], 6) // keys of any length
		head[37] = 0xCF
		if m.x {
			head[37] = 0xBC
		}
	}
	p[248] = []byte{0x80, 0xC0}[used-1]
}

// leaf writes a node.
func leaf(p []byte, kind, height byte, records [][]byte) {
	p[8], p[9] = kind, height
	be.PutUint16(p[10:], uint16(len(records)))
	at := 14
	for i, r := range records {
		copy(p[at:], r)
		be.PutUint16(p[len(p)-2*(i+1):], uint16(at))
		at += len(r)
	}
	be.PutUint16(p[len(p)-2*(len(records)+1):], uint16(at))
}

// root gives the records of the root folder.
func (m *made) root() [][]byte {
	name := utf16.Encode([]rune(makersLabel))
	text := make([]byte, 2+2*len(name))
	be.PutUint16(text, uint16(len(name)))
	for i, u := range name {
		be.PutUint16(text[2+2*i:], u)
	}
	folder := make([]byte, 6, 200)
	be.PutUint16(folder, uint16(4+len(text)))
	be.PutUint32(folder[2:], 1)
	folder = append(folder, text...)
	data := make([]byte, 88)
	be.PutUint16(data, 1)
	be.PutUint32(data[8:], 2)
	be.PutUint16(data[42:], 0o40755)
	thread := []byte{0, 6, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1}
	return [][]byte{append(folder, data...), append(thread, text...)}
}

// file makes a volume in a file.
func (l plan) file(t testing.TB, dir string) string {
	t.Helper()
	path := dir + "/volume"
	if err := os.WriteFile(path, l.volume(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMade holds made volumes against blkid.
func TestMade(t *testing.T) {
	for _, tt := range plans {
		path := tt.plan.file(t, t.TempDir())
		opened, _ := fstest.Open(t, path, Open)
		fstest.Allocation(t, opened)
		info := opened.Info()
		for tag, got := range map[string]string{"TYPE": info.Type, "LABEL": info.Label, "UUID": info.UUID} {
			if tag == "LABEL" && tt.blockSize > nodeSize {
				got = "" // blkid looks for the name in the wrong node then
				if info.Label != makersLabel {
					t.Errorf("%s: label %q", tt.name, info.Label)
				}
			}
			if want := fstest.Run(t, "blkid", "-p", "-o", "value", "-s", tag, path); got != strings.TrimSuffix(want, "\n") {
				t.Errorf("%s: %s %q, blkid: %q", tt.name, tag, got, want)
			}
		}
	}
}
