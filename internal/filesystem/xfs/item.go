package xfs

import (
	"math/bits"

	"doppel.live/internal/extent"
)

// Types of items.
const (
	itemEFI      = 0x1236 // intent to free extents
	itemEFD      = 0x1237 // done
	itemInode    = 0x123B
	itemBuffer   = 0x123C
	itemDquot    = 0x123D
	itemQuotaOff = 0x123E
	itemCreate   = 0x123F // of a chunk of inodes
	itemRUI      = 0x1240 // intent to change the reverse mapping; RUD
	itemCUI      = 0x1242 // counts of references; CUD
	itemBUI      = 0x1244 // mapping of a file; BUD
	itemATTRI    = 0x1246 // extended attributes; ATTRD
	itemXMI      = 0x1248 // exchange of mappings; XMD
	itemXMD      = 0x1249
)

// begin takes the first region of an item.
//
// Buffers change the tree of free space. Of all else that an item names, it
// counts which blocks recovery will read, or compare, or write in part: they
// have to be there even where they are free when it is over.
//
// Intents that were not done are carried out when all has been replayed, on the
// trees as they are then, and none of them needs a block that is free then:
//
//   - EFI: the extents were taken from their owner and are not yet in the tree
//     of free space. They count as used until recovery has put them there.
//   - RUI: the owner of blocks, which are in use, is entered or removed. Blocks
//     are freed after that, by an EFI of their own.
//   - CUI: the count of blocks that files share. Where it comes to nothing the
//     blocks are freed behind it, again by an EFI.
//   - BUI: blocks are put into a file or taken from it. They were allocated in
//     a transaction before, or are to be freed by an EFI behind it.
//   - ATTRI: an attribute, whose name and value are in the log. The blocks for
//     it are allocated by recovery itself, which writes them before it reads
//     them.
//   - XMI: files exchange mappings, and no block is allocated or freed.
//
// Blocks that the trees need for this come from the free lists, which count as
// used, or from free space; what was in them does not matter.
func (t *transaction) begin(data []byte) error {
	switch kind := le.Uint16(data); {
	case kind == itemBuffer:
		return t.beginBuffer(data)
	case kind == itemInode:
		return t.inode(data)
	case kind == itemDquot:
		if len(data) < 20 {
			return problemf("a quota of %d bytes", len(data))
		}
		return t.touch(int64(le.Uint64(data[8:])), int64(int32(le.Uint32(data[16:]))))
	case kind == itemCreate:
		return t.create(data)
	case kind == itemEFI || kind == itemEFD || kind == itemQuotaOff || kind >= itemRUI && kind <= itemXMD:
		return nil
	default:
		return problemf("an item of unknown type %#x", kind)
	}
}

// touch notes the blocks around n basic blocks of the volume.
func (t *transaction) touch(from, n int64) error {
	f := t.p.f
	if from < 0 || n <= 0 || from > f.blocks*f.blockSize/basicBlock || n > f.blocks*f.blockSize/basicBlock-from {
		return problemf("%d sectors at sector %d of the volume", n, from)
	}
	first := from * basicBlock / f.blockSize * f.blockSize
	end := ((from+n)*basicBlock + f.blockSize - 1) / f.blockSize * f.blockSize
	t.touched = append(t.touched, extent.Extent{Offset: first, Length: end - first})
	return nil
}

// inode takes an item of an inode; the numbers from ilf_ino on lie four bytes
// further in front where a machine of 32 bits wrote it:
//
//	16  8   ilf_ino             48  4   ilf_len, basic blocks
//	40  8   ilf_blkno, basic    52  4   ilf_boffset
//	        block of the buffer
//
// Recovery reads the buffer, in which the inode lies with its neighbours.
// Where blocks of the file's map get a new owner (XFS_ILOG_DOWNER) it reads
// those too; they are in use when all is over, or were freed since, and then
// an item cancels each of them.
func (t *transaction) inode(data []byte) error {
	off := 40
	switch len(data) {
	case 56:
	case 52:
		off = 36
	default:
		return problemf("an inode of %d bytes", len(data))
	}
	return t.touch(int64(le.Uint64(data[off:])), int64(int32(le.Uint32(data[off+8:]))))
}

// create takes an item that makes inodes; its numbers are big-endian:
//
//	4   4   icl_ag              20  4   icl_length, blocks
//	8   4   icl_agbno
func (t *transaction) create(data []byte) error {
	if len(data) < 28 {
		return problemf("new inodes of %d bytes", len(data))
	}
	f := t.p.f
	group, block, n := int64(be.Uint32(data[4:])), int64(be.Uint32(data[8:])), int64(be.Uint32(data[20:]))
	if group >= f.agCount || block+n > f.groupLength(group) {
		return problemf("new inodes at block %d of group %d", block, group)
	}
	perBlock := f.blockSize / basicBlock
	return t.touch((group*f.agBlocks+block)*perBlock, n*perBlock)
}

// bufferItem is what a transaction wrote to a buffer. Its first region is
//
//	4   2   blf_flags           16  4   blf_map_size, words of 32 bits
//	6   2   blf_len, basic      20      blf_data_map
//	        blocks
//	8   8   blf_blkno, basic
//	        block of the volume
//
// Each bit of the map stands for 128 bytes of the buffer; the lowest of the
// first word is the first. The other regions hold the bytes of runs of bits
// that are set:
//
//	map 0x0000000D: a region of 128 bytes for byte 0, and one of 256 for byte 256
type bufferItem struct {
	change
	marks  []uint32 // blf_data_map
	next   int      // chunk that the next region may begin with
	wanted bool     // false: the regions are not for us
}

const (
	bufferChunk  = 128
	bufferCancel = 0x2 // blf_flags, XFS_BLF_CANCEL

	// The upper bits of blf_flags say what is in the buffer, where the kernel
	// is not very old. As seen in logs; 0 is not known.
	bufferKind  = 11
	kindUnknown = 0
	kindTree    = 4
)

func (t *transaction) beginBuffer(data []byte) error {
	if len(data) < 20 || int64(len(data)) < 20+4*int64(le.Uint32(data[16:])) {
		return problemf("a buffer of %d bytes", len(data))
	}
	flags, length, at, words := le.Uint16(data[4:]), int64(le.Uint16(data[6:])), int64(le.Uint64(data[8:])), int64(le.Uint32(data[16:]))
	if err := t.touch(at, length); err != nil {
		return err
	}
	item := &bufferItem{change: change{off: at * basicBlock, length: length * basicBlock, cancel: flags&bufferCancel != 0}}
	for i := range words {
		item.marks = append(item.marks, le.Uint32(data[20+4*i:]))
	}
	kind := flags >> bufferKind
	item.wanted = t.p.isHead(item.off, item.length) ||
		item.length == t.p.f.blockSize && item.off%item.length == 0 && (kind == kindUnknown || kind == kindTree)
	if item.cancel {
		item.marks = nil // nothing of a cancelled buffer is written
	}
	t.item = item
	return nil
}

// region takes the bytes of the next chunks.
func (b *bufferItem) region(data []byte) error {
	if b.cancel {
		return nil
	}
	from := b.nextMark()
	n := len(data) / bufferChunk
	if n == 0 || len(data)%bufferChunk != 0 || int64(from+n)*bufferChunk > b.length {
		return problemf("%d bytes for chunk %d of a buffer of %d bytes", len(data), from, b.length)
	}
	for i := range n {
		if !b.marked(from + i) {
			return problemf("%d bytes for chunk %d of a buffer, and chunk %d is not marked", len(data), from, from+i)
		}
	}
	b.next = from + n
	if b.wanted {
		b.writes = append(b.writes, write{int64(from) * bufferChunk, append([]byte(nil), data...)})
	}
	return nil
}

// nextMark is the next chunk that is marked.
func (b *bufferItem) nextMark() int {
	for i := b.next; i < 32*len(b.marks); i++ {
		if i%32 == 0 && b.marks[i/32] == 0 {
			i += 31
			continue
		}
		if skip := bits.TrailingZeros32(b.marks[i/32] >> (i % 32)); skip < 32-i%32 {
			return i + skip
		}
		i |= 31
	}
	return 32 * len(b.marks)
}

func (b *bufferItem) marked(i int) bool {
	return i < 32*len(b.marks) && b.marks[i/32]>>(i%32)&1 != 0
}

// end takes a buffer whose regions are all there.
func (t *transaction) end(b *bufferItem) error {
	if b.nextMark() < 32*len(b.marks) {
		return problemf("chunk %d of a buffer is marked, and not there", b.nextMark())
	}
	if !b.wanted {
		return nil
	}
	t.done = append(t.done, b.change)
	t.p.held += b.held()
	return t.p.checkHeld()
}
