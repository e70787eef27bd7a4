package xfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// handmade is a volume to whose log records are written by hand.
type handmade struct {
	p    []byte // the volume
	f    *fileSystem
	tail place
	head place
	prev int64

	version uint32 // of its records
	data    []byte // of the record that is being made
	ops     uint32
}

func makeLog(t testing.TB, args string) *handmade {
	t.Helper()
	p := fstest.Load(t, makeVolume(t, 18, args))
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	return &handmade{p: p, f: f, tail: f.logEnd.head, head: f.logEnd.head, version: be.Uint32(f.logEnd.last.head[8:])}
}

// clone begins anew with the same volume.
func (h *handmade) clone() *handmade {
	c := *h
	c.p = bytes.Clone(h.p)
	return &c
}

// op adds an operation.
func (h *handmade) op(id uint32, flags byte, data []byte) {
	op := make([]byte, opHead)
	be.PutUint32(op, id)
	be.PutUint32(op[4:], uint32(len(data)))
	op[8], op[9] = clientTrans, flags
	h.data = append(append(h.data, op...), data...)
	h.ops++
}

// record writes the record.
func (h *handmade) record() {
	f := h.f
	blocks := (int64(len(h.data)) + basicBlock - 1) / basicBlock
	h.data = append(h.data, make([]byte, blocks*basicBlock-int64(len(h.data)))...)
	head := make([]byte, basicBlock)
	for i, v := range []uint32{logMagic, h.head.cycle, h.version, uint32(len(h.data))} {
		be.PutUint32(head[4*i:], v)
	}
	be.PutUint64(head[16:], h.head.lsn())
	be.PutUint64(head[24:], h.tail.lsn())
	be.PutUint32(head[36:], uint32(h.prev))
	be.PutUint32(head[40:], h.ops)
	for i := range blocks {
		block := h.data[i*basicBlock:]
		copy(head[44+4*i:][:4], block)
		be.PutUint32(block, h.head.cycle)
	}
	be.PutUint32(head[300:], littleEndian)
	copy(head[304:], f.sb.uuid())
	be.PutUint32(head[320:], recordCycles)
	r := record{head: head, data: h.data}
	le.PutUint32(head[32:], r.checksum(&f.log, 328))
	at := f.log.offset + h.head.at*basicBlock
	copy(h.p[at:], head)
	copy(h.p[at+basicBlock:], h.data)
	h.prev, h.head = h.head.at, f.log.move(h.head, 1+blocks)
	h.data, h.ops = nil, 0
}

// begin begins a transaction.
func (h *handmade) begin(id uint32) {
	h.op(id, opStart, nil)
	name := make([]byte, 16)
	le.PutUint32(name, transMagic)
	h.op(id, 0, name)
}

func (h *handmade) commit(id uint32) { h.op(id, opCommit, nil) }

// words puts numbers of given sizes one behind the other.
func words(order binary.ByteOrder, list ...any) []byte {
	var b bytes.Buffer
	for _, v := range list {
		binary.Write(&b, order, v)
	}
	return b.Bytes()
}

// buffer is the first region of an item of a buffer.
func buffer(off, length int64, regions, flags uint16, marks uint32) []byte {
	return words(binary.LittleEndian, uint16(itemBuffer), regions, flags, uint16(length/basicBlock), off/basicBlock, uint32(1), marks)
}

// take is a head and a tree of group 0 of which n blocks were allocated, 128
// bytes of each, which are all that changes.
func (h *handmade) take(t testing.TB, n uint32) (agf, root []byte, at int64) {
	t.Helper()
	g, err := h.f.readGroup(0)
	if err != nil {
		t.Fatal(err)
	}
	at = g.root * h.f.blockSize
	agf, root = bytes.Clone(h.p[h.f.groupOffset(0):][:bufferChunk]), bytes.Clone(h.p[at:][:bufferChunk])
	be.PutUint32(agf[52:], uint32(g.free)-n)
	be.PutUint32(agf[56:], uint32(g.longest)-n)
	first := root[h.f.treeHead():]
	if int64(be.Uint32(first[4:])) != g.longest {
		t.Fatalf("the first record has %d blocks, not %d", be.Uint32(first[4:]), g.longest)
	}
	be.PutUint32(first, be.Uint32(first)+n)
	be.PutUint32(first[4:], be.Uint32(first[4:])-n)
	return agf, root, at
}

// taking writes such a head and tree.
func (h *handmade) taking(t testing.TB, id, n uint32) {
	t.Helper()
	agf, root, at := h.take(t, n)
	h.op(id, 0, buffer(h.f.groupOffset(0), h.f.sectorSize, 2, 5<<bufferKind, 1))
	h.op(id, 0, agf)
	h.op(id, 0, buffer(at, h.f.blockSize, 2, kindTree<<bufferKind, 1))
	h.op(id, 0, root)
}

// free is a block far behind all that is in use.
func (h *handmade) free() int64 { return h.f.blocks - 100 }

// sectors is the basic block of the volume where a block begins.
func (h *handmade) sectors(block int64) int64 { return block * h.f.blockSize / basicBlock }

// logs are records, and what they change: blocks in use more than before, or
// the error.
var logs = []struct {
	name string
	make func(t testing.TB, h *handmade)
	more int64 // blocks
	want string
}{
	{"blocks are allocated", func(t testing.TB, h *handmade) { h.begin(1); h.taking(t, 1, 10); h.commit(1) }, 10, ""},
	{"not committed", func(t testing.TB, h *handmade) { h.begin(1); h.taking(t, 1, 10) }, 0, ""},
	{"begun before the tail", func(t testing.TB, h *handmade) { h.taking(t, 1, 10); h.commit(1) }, 0, ""},
	{"one behind the other", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.begin(2)
		h.taking(t, 1, 10)
		h.taking(t, 2, 25)
		h.commit(1)
		h.commit(2)
	}, 25, ""},
	{"committed in the other order", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.begin(2)
		h.taking(t, 1, 10)
		h.taking(t, 2, 25)
		h.commit(2)
		h.commit(1)
	}, 10, ""},
	{"continued", func(t testing.TB, h *handmade) {
		agf, root, at := h.take(t, 10)
		h.begin(1)
		first := buffer(at, h.f.blockSize, 2, 0, 1)
		h.op(1, opContinue, first[:11])
		h.record()
		h.op(1, opWasCont|opContinue, first[11:13])
		h.record()
		h.op(1, opWasCont|opEnd, first[13:])
		h.op(1, opContinue, root[:60])
		h.record()
		h.op(1, opWasCont|opEnd, root[60:])
		h.op(1, 0, buffer(h.f.groupOffset(0), h.f.sectorSize, 2, 0, 1))
		h.op(1, 0, agf)
		h.commit(1)
	}, 10, ""},
	{"cancelled", func(t testing.TB, h *handmade) {
		_, root, at := h.take(t, 10)
		h.begin(1)
		h.op(1, 0, buffer(at, h.f.blockSize, 2, kindTree<<bufferKind, 1))
		h.op(1, 0, root)
		h.commit(1)
		h.begin(2)
		h.op(2, 0, buffer(at, h.f.blockSize, 1, kindTree<<bufferKind|bufferCancel, 0))
		h.commit(2)
	}, 0, ""},
	{"cancelled, and written again", func(t testing.TB, h *handmade) {
		_, _, at := h.take(t, 10)
		h.begin(1)
		h.op(1, 0, buffer(at, h.f.blockSize, 1, kindTree<<bufferKind|bufferCancel, 0))
		h.commit(1)
		h.begin(2)
		h.taking(t, 2, 10)
		h.commit(2)
	}, 10, ""},
	{"a tree of another kind is not ours", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, buffer(h.free()*h.f.blockSize, h.f.blockSize, 2, kindTree<<bufferKind, 2))
		h.op(1, 0, make([]byte, bufferChunk))
		h.commit(1)
	}, 1, ""},
	{"an inode", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, words(binary.LittleEndian, uint16(itemInode), uint16(2), [36]byte{}, h.sectors(h.free()), uint32(16), uint32(0)))
		h.op(1, 0, make([]byte, 176))
		h.commit(1)
	}, 2, ""},
	{"an inode of 32 bits", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, words(binary.LittleEndian, uint16(itemInode), uint16(1), [32]byte{}, h.sectors(h.free())+1, uint32(16), uint32(0)))
		h.commit(1)
	}, 3, ""},
	{"new inodes", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, words(binary.BigEndian, uint16(0x3F12), uint16(0x0100), uint32(0), uint32(h.free()), uint32(64), uint32(512), uint32(8), uint32(7)))
		h.commit(1)
	}, 8, ""},
	{"a quota", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, words(binary.LittleEndian, uint16(itemDquot), uint16(2), uint32(0), h.sectors(h.free()), uint32(8), uint32(0)))
		h.op(1, 0, make([]byte, 104))
		h.commit(1)
	}, 1, ""},
	{"intents", func(t testing.TB, h *handmade) {
		h.begin(1)
		for _, kind := range []uint16{itemEFI, itemEFD, itemQuotaOff, itemRUI, itemCUI + 1, itemBUI, itemATTRI, itemXMI} {
			h.op(1, 0, words(binary.LittleEndian, kind, uint16(2), make([]byte, 28)))
			h.op(1, 0, make([]byte, 8))
		}
		h.commit(1)
	}, 0, ""},
	{"the superblock", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, buffer(0, h.f.sectorSize, 2, 0, 1))
		sb := bytes.Clone(h.p[:bufferChunk])
		copy(sb[108:], "new label\x00\x00\x00")
		h.op(1, 0, sb)
		h.commit(1)
	}, 0, ""},
	{"it grows", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, buffer(0, h.f.sectorSize, 2, 0, 1))
		sb := bytes.Clone(h.p[:bufferChunk])
		be.PutUint64(sb[8:], uint64(h.f.blocks-1))
		h.op(1, 0, sb)
		h.commit(1)
	}, 0, "changes the size"},
	{"unknown item", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, words(binary.LittleEndian, uint16(0x1238), uint16(1)))
	}, 0, "unknown type 0x1238"},
	{"begun twice", func(t testing.TB, h *handmade) { h.begin(1); h.begin(1) }, 0, "begins twice"},
	{"no name", func(t testing.TB, h *handmade) { h.op(1, opStart, nil); h.op(1, 0, make([]byte, 16)) }, 0, "no name"},
	{"committed too early", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, buffer(0, h.f.sectorSize, 2, 0, 1))
		h.commit(1)
	}, 0, "before its end"},
	{"not continued", func(t testing.TB, h *handmade) { h.begin(1); h.op(1, opContinue, nil); h.op(1, 0, nil) }, 0, "not continued"},
	{"continues nothing", func(t testing.TB, h *handmade) { h.begin(1); h.op(1, opWasCont|opEnd, nil) }, 0, "not continued"},
	{"flags", func(t testing.TB, h *handmade) { h.op(1, 0x40, nil) }, 0, "with flags 0x40"},
	{"client", func(t testing.TB, h *handmade) { h.op(1, 0, nil); h.data[8] = 3 }, 0, "of client 0x3"},
	{"longer than the record", func(t testing.TB, h *handmade) { h.op(1, 0, nil); h.data[5] = 3 }, 0, "reaches beyond it"},
	{"buffer outside", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, buffer(h.f.blocks*h.f.blockSize, 4096, 1, 0, 0))
	}, 0, "of the volume"},
	{"chunk outside", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, buffer(0, 512, 2, 0, 16))
		h.op(1, 0, make([]byte, 128))
	}, 0, "chunk 4 of a buffer of 512 bytes"},
	{"chunk not marked", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, buffer(0, 512, 2, 0, 2))
		h.op(1, 0, make([]byte, 256))
	}, 0, "chunk 2 is not marked"},
	{"chunk missing", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, buffer(0, 512, 2, 0, 5))
		h.op(1, 0, make([]byte, 128))
	}, 0, "chunk 2 of a buffer is marked"},
	{"new inodes outside", func(t testing.TB, h *handmade) {
		h.begin(1)
		h.op(1, 0, words(binary.BigEndian, uint16(0x3F12), uint16(0x0100), uint32(0), uint32(h.f.blocks-1), uint32(64), uint32(512), uint32(8), uint32(7)))
	}, 0, "new inodes at block"},
	{"the tree and the head do not agree", func(t testing.TB, h *handmade) {
		_, root, at := h.take(t, 10)
		h.begin(1)
		h.op(1, 0, buffer(at, h.f.blockSize, 2, kindTree<<bufferKind, 1))
		h.op(1, 0, root)
		h.commit(1)
	}, 0, "the head says"},
}

func TestHandmade(t *testing.T) {
	for _, args := range []string{"-m crc=0 -d agcount=1", "-m crc=0 -d agcount=1 -l version=1", "-d agcount=1"} {
		base := makeLog(t, args)
		for _, tt := range logs {
			h := base.clone()
			before := h.f.info.Used
			tt.make(t, h)
			h.record()
			opened, err := Open(bytes.NewReader(h.p), int64(len(h.p)))
			if tt.want != "" {
				e := new(filesystem.FormatError)
				if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s, %s: error %v, want %q", args, tt.name, err, tt.want)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, %s: %v", args, tt.name, err)
				continue
			}
			fstest.Allocation(t, opened)
			if more := (opened.Info().Used - before) / h.f.blockSize; more != tt.more || opened.Info().State != filesystem.Recovery {
				t.Errorf("%s, %s: %d blocks more in use, want %d; state %q", args, tt.name, more, tt.more, opened.Info().State)
			}
		}
	}
}

// TestNewerThanTheLog: what is on the volume counts where it changed behind
// what the log has of it, and nothing on it may be newer than all of the log.
func TestNewerThanTheLog(t *testing.T) {
	h := makeLog(t, "-d agcount=1")
	before := h.f.info.Used
	h.begin(1)
	h.taking(t, 1, 10)
	h.commit(1)
	h.record()
	second := h.head
	h.begin(2)
	h.commit(2)
	h.record()
	_, _, root := h.take(t, 0)
	for _, tt := range []struct {
		lsn  uint64
		more int64
		want string
	}{
		{second.lsn(), 0, ""},
		{h.tail.lsn(), 10, ""},
		{h.head.lsn(), 0, "newer than the log"},
	} {
		agf, tree := h.p[h.f.groupOffset(0):][:h.f.sectorSize], h.p[root:][:h.f.blockSize]
		be.PutUint64(agf[groupLSN:], tt.lsn)
		le.PutUint32(agf[groupCRC:], h.f.checksum(agf, groupCRC))
		be.PutUint64(tree[treeLSN:], tt.lsn)
		le.PutUint32(tree[treeCRC:], h.f.checksum(tree, treeCRC))
		got, err := fstest.Used(Open, h.p)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			continue
		}
		if err != nil || got-before != tt.more*h.f.blockSize {
			t.Errorf("place %#x: %d bytes more in use: %v", tt.lsn, got-before, err)
		}
	}
}
