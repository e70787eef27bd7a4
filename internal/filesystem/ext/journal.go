package ext

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sort"

	"doppel.live/internal/filesystem"
)

var be = binary.BigEndian

// journal reads the log of a file system that was not unmounted. After a
// replay it shows, as an io.ReaderAt, the volume as recovery will leave it:
// blocks that a committed transaction wrote come from the log. Nothing is
// written, and only the places of the blocks are held in memory.
//
// The log is that of the kernel's documentation, "Journal (jbd2)"; its numbers
// are big-endian. Every block of it that is no data begins with
//
//	0  4  C0 3B 39 98
//	4  4  kind: 1 descriptor, 2 commit, 3 and 4 superblock, 5 revocation
//	8  4  number of the transaction
type journal struct {
	f     *fileSystem
	r     io.ReaderAt
	runs  []span // where the log's blocks lie
	sb    journalSuper
	seed  uint32
	wrote map[int64]logged // block of the file system → what recovery will write there
}

// logged is one data block in the log.
type logged struct {
	block       int64 // of the log
	transaction uint32
	sum         uint32
	escaped     bool // the block began with the magic, which was zeroed
}

// journalSuper is block 0 of the log.
type journalSuper []byte

func (s journalSuper) blockSize() int64        { return int64(be.Uint32(s[0x0C:])) }
func (s journalSuper) length() int64           { return int64(be.Uint32(s[0x10:])) } // s_maxlen, blocks
func (s journalSuper) first() int64            { return int64(be.Uint32(s[0x14:])) }
func (s journalSuper) transaction() uint32     { return be.Uint32(s[0x18:]) } // s_sequence
func (s journalSuper) start() int64            { return int64(be.Uint32(s[0x1C:])) }
func (s journalSuper) incompat() uint32        { return be.Uint32(s[0x28:]) }
func (s journalSuper) has(feature uint32) bool { return s.incompat()&feature != 0 }
func (s journalSuper) checksummed() bool       { return s.has(journalCsumV2 | journalCsumV3) }

const (
	journalMagic = 0xC03B3998

	kindDescriptor = 1
	kindCommit     = 2
	kindSuper1     = 3
	kindSuper2     = 4
	kindRevoke     = 5

	journalRevoke      = 0x1 // s_feature_incompat
	journal64Bit       = 0x2
	journalAsyncCommit = 0x4
	journalCsumV2      = 0x8
	journalCsumV3      = 0x10
	journalKnown       = journalRevoke | journal64Bit | journalAsyncCommit | journalCsumV2 | journalCsumV3

	tagEscaped  = 0x1
	tagSameUUID = 0x2
	tagLast     = 0x8
)

// replay reads the log and gives the volume as recovery will leave it. It
// refuses a log that it can't follow to its end with certainty.
func (f *fileSystem) replay() (io.ReaderAt, error) {
	j := &journal{f: f, r: f.r, wrote: map[int64]logged{}}
	runs, err := f.journalRuns()
	if err != nil {
		return nil, err
	}
	j.runs = runs
	if err := j.readSuper(); err != nil {
		return nil, err
	}
	if j.sb.start() == 0 {
		return f.r, nil // empty: everything is in its place
	}
	return j, j.scan()
}

func (j *journal) readSuper() error {
	p := make([]byte, j.f.blockSize)
	if err := j.read(p, 0); err != nil {
		return err
	}
	j.sb = journalSuper(p[:1024])
	at := j.physical(0) * j.f.blockSize
	switch kind := be.Uint32(p[4:]); {
	case be.Uint32(p) != journalMagic || kind != kindSuper1 && kind != kindSuper2:
		return formatError(at, "no journal where the journal should be")
	case kind == kindSuper1:
		clear(j.sb[0x24:]) // version 1 has no features
	}
	if j.sb.checksummed() {
		c := bytes.Clone(j.sb)
		clear(c[0xFC:0x100])
		if j.f.crc32c(^uint32(0), c) != be.Uint32(j.sb[0xFC:]) {
			return formatError(at+0xFC, "wrong checksum of the journal's superblock")
		}
	}
	j.seed = j.f.crc32c(^uint32(0), j.sb[0x30:0x40])
	var length int64 // blocks that are mapped
	for _, r := range j.runs {
		length = max(length, r.logical+r.length)
	}
	switch {
	case j.sb.incompat()&^journalKnown != 0:
		return formatError(at+0x28, "the journal has features %#x: fast commits, or unknown", j.sb.incompat()&^journalKnown)
	case j.sb.blockSize() != j.f.blockSize || j.sb.length() > length || j.sb.first() < 1 || j.sb.first() >= j.sb.length() || j.sb.start() >= j.sb.length():
		return formatError(at+0x0C, "the journal's geometry")
	case j.sb.start() != 0 && j.sb.start() < j.sb.first():
		return formatError(at+0x1C, "the journal starts at its block %d", j.sb.start())
	}
	return nil
}

// physical is where block n of the log lies, -1 for a hole.
func (j *journal) physical(n int64) int64 {
	i := sort.Search(len(j.runs), func(i int) bool { return j.runs[i].logical+j.runs[i].length > n })
	if i == len(j.runs) || j.runs[i].logical > n {
		return -1
	}
	return j.runs[i].physical + n - j.runs[i].logical
}

// read reads block n of the log.
func (j *journal) read(p []byte, n int64) error {
	block := j.physical(n)
	if block < 0 {
		return formatError(superOffset+0xE0, "block %d of the journal is a hole", n)
	}
	if err := filesystem.ReadFull(j.r, p, block*j.f.blockSize); err != nil {
		return fmt.Errorf("ext: journal at byte %d: %w", block*j.f.blockSize, err)
	}
	return nil
}

// next is the block behind n: the log is a ring.
func (j *journal) next(n int64) int64 {
	if n++; n >= j.sb.length() {
		return j.sb.first()
	}
	return n
}

// scan walks over all transactions up to the first that was not committed.
// What a later transaction revokes is not written by it and those before it.
func (j *journal) scan() error {
	p := make([]byte, j.f.blockSize)
	transaction, revoked := j.sb.transaction(), map[int64]uint32{}
	var pending []entry // of the present transaction
	var gone []int64
	at := j.sb.start()
	for read := int64(0); read <= j.sb.length(); read++ {
		if err := j.read(p, at); err != nil {
			return err
		}
		if be.Uint32(p) != journalMagic || be.Uint32(p[8:]) != transaction {
			break
		}
		kind := be.Uint32(p[4:])
		if err := j.checkBlock(p, at, kind); err != nil {
			return err
		}
		switch kind {
		case kindDescriptor:
			tags, err := j.tags(p, at, transaction)
			if err != nil {
				return err
			}
			for i := range tags {
				at = j.next(at)
				tags[i].logged.block = at
			}
			pending, read = append(pending, tags...), read+int64(len(tags))
		case kindRevoke:
			gone = append(gone, j.revocations(p)...)
		case kindCommit:
			for _, e := range pending {
				j.wrote[e.block] = e.logged
			}
			for _, block := range gone {
				revoked[block] = transaction
			}
			pending, gone = nil, nil
			transaction++
		default:
			return formatError(j.physical(at)*j.f.blockSize+4, "kind %d in the journal", kind)
		}
		at = j.next(at)
	}
	for block, last := range revoked {
		if w, ok := j.wrote[block]; ok && int32(last-w.transaction) >= 0 {
			delete(j.wrote, block)
		}
	}
	return nil
}

// checkBlock verifies the checksum of a descriptor, revocation or commit.
func (j *journal) checkBlock(p []byte, at int64, kind uint32) error {
	if !j.sb.checksummed() {
		return nil
	}
	field := len(p) - 4
	if kind == kindCommit {
		field = 0x10 // h_chksum[0]
	}
	c := bytes.Clone(p)
	clear(c[field : field+4])
	if j.f.crc32c(j.seed, c) != be.Uint32(p[field:]) {
		return formatError(j.physical(at)*j.f.blockSize+int64(field), "wrong checksum in the journal")
	}
	return nil
}

// entry is a tag of a descriptor block.
type entry struct {
	block  int64 // of the file system
	logged logged
}

// tags reads a descriptor block: the list of the data blocks that follow it.
//
//	with CSUM_V3        else
//	0   4  block        0  4  block
//	4   4  flags        4  2  checksum, lower half
//	8   4  upper half   6  2  flags
//	12  4  checksum     8  4  upper half, with 64BIT; CSUM_V2 adds 2 unused bytes
//
// A UUID of 16 bytes follows a tag without the flag SAME_UUID.
func (j *journal) tags(p []byte, at int64, transaction uint32) ([]entry, error) {
	size, v3 := 8, j.sb.has(journalCsumV3)
	if j.sb.has(journal64Bit) {
		size += 4
	}
	if j.sb.has(journalCsumV2) {
		size += 2
	}
	if v3 {
		size = 16
	}
	end := len(p)
	if j.sb.checksummed() {
		end -= 4
	}
	var list []entry
	for off := 12; off+size <= end; {
		tag := p[off:]
		block, flags, sum := int64(be.Uint32(tag)), uint32(be.Uint16(tag[6:])), uint32(be.Uint16(tag[4:]))
		if v3 {
			flags, sum = be.Uint32(tag[4:]), be.Uint32(tag[12:])
		}
		if j.sb.has(journal64Bit) {
			block |= int64(be.Uint32(tag[8:])) << 32
		}
		if block < 0 || block >= j.f.blocks {
			return nil, formatError(j.physical(at)*j.f.blockSize+int64(off), "block %d in the journal", block)
		}
		list = append(list, entry{block, logged{transaction: transaction, sum: sum, escaped: flags&tagEscaped != 0}})
		off += size
		if flags&tagSameUUID == 0 {
			off += 16
		}
		if flags&tagLast != 0 {
			return list, nil
		}
	}
	return list, nil
}

// revocations reads a revocation: at 12 the bytes in use, then block numbers.
func (j *journal) revocations(p []byte) (blocks []int64) {
	size := 4
	if j.sb.has(journal64Bit) {
		size = 8
	}
	end := min(int(be.Uint32(p[12:])), len(p))
	for off := 16; off+size <= end; off += size {
		if size == 8 {
			blocks = append(blocks, int64(be.Uint64(p[off:])))
		} else {
			blocks = append(blocks, int64(be.Uint32(p[off:])))
		}
	}
	return blocks
}

// ReadAt reads the volume as it will be after recovery.
func (j *journal) ReadAt(p []byte, off int64) (int, error) {
	n, err := j.r.ReadAt(p, off)
	if n < len(p) {
		return n, err
	}
	size := j.f.blockSize
	var buf []byte
	for block := off / size; block*size < off+int64(len(p)); block++ {
		w, ok := j.wrote[block]
		if !ok {
			continue
		}
		if buf == nil {
			buf = make([]byte, size)
		}
		if err := j.data(buf, w); err != nil {
			return 0, err
		}
		if start := block*size - off; start >= 0 {
			copy(p[start:], buf)
		} else {
			copy(p, buf[-start:])
		}
	}
	return n, nil
}

// data reads a logged block and verifies its checksum.
func (j *journal) data(p []byte, w logged) error {
	if err := j.read(p, w.block); err != nil {
		return err
	}
	if j.sb.checksummed() {
		var number [4]byte
		be.PutUint32(number[:], w.transaction)
		sum := j.f.crc32c(j.f.crc32c(j.seed, number[:]), p)
		if !j.sb.has(journalCsumV3) {
			sum &= 0xFFFF
		}
		if sum != w.sum {
			return formatError(j.physical(w.block)*j.f.blockSize, "wrong checksum of a block in the journal")
		}
	}
	if w.escaped {
		be.PutUint32(p, journalMagic)
	}
	return nil
}
