package xfs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
)

// record is one record of the log. It begins with a head of one basic block;
// its numbers are big-endian, but for the checksum:
//
//	0    4   h_magicno FE ED BA BE       36   4    h_prev_block
//	4    4   h_cycle                     40   4    h_num_logops
//	8    4   h_version                   44   256  h_cycle_data
//	12   4   h_len, bytes behind         300  4    h_fmt
//	         the head                    304  16   h_fs_uuid
//	16   8   h_lsn: its own place        320  4    h_size
//	24   8   h_tail_lsn
//	32   4   h_crc, little-endian
//
// In version 2 the head has one block more for every 32 KiB of h_size but the
// first: 4 bytes xh_cycle, 256 bytes xh_cycle_data. What begins with the number
// of a cycle begins so in place of its own four bytes, which the head keeps in
// its cycle data, one word for each block of data:
//
//	block 70 of the data, byte 70*512: word 70-64 = 6 of the second block of the head
//
// The checksum covers 328 bytes of the head, or 324 where a machine of 32 bits
// wrote it, with itself as zero; 260 of each block more that has words for data,
// which are fewer than there are blocks where h_len is less than h_size; then
// the data as they lie in the log. Where it is zero it was not made, as by old
// kernels, and by mkfs.xfs, whose only record is that of an unmount. A log of
// version 4 without checksums is believed where its parts fit each other.
type record struct {
	place
	head   []byte // all its blocks
	length int64  // basic blocks, those of the head included
	data   []byte // after load, with their own first bytes
}

const (
	logMagic      = 0xFEEDBABE
	recordCycles  = 32 << 10 // bytes of data for which a block of the head has words
	cyclesInBlock = recordCycles / basicBlock
	littleEndian  = 1 // h_fmt, XLOG_FMT_LINUX_LE
)

var errChecksum = errors.New("wrong checksum of a record of the log")

// record reads the head of the record at a place.
func (l *ring) record(p place) (*record, error) {
	b := make([]byte, basicBlock)
	if err := l.read(b, p.at); err != nil {
		return nil, err
	}
	version, size, n := be.Uint32(b[8:]), int64(be.Uint32(b[320:])), int64(be.Uint32(b[12:]))
	switch {
	case be.Uint32(b) != logMagic || be.Uint32(b[4:]) != p.cycle || be.Uint64(b[16:]) != p.lsn():
		return nil, l.errorf(p.at, 0, "no record of the log where one of cycle %d should begin", p.cycle)
	case version != 1 && version != 2:
		return nil, l.errorf(p.at, 8, "a record of the log of version %d", version)
	case n == 0 || n > 256<<10 || version == 2 && size > 256<<10:
		return nil, l.errorf(p.at, 12, "a record of %d of %d bytes in the log", n, size)
	case be.Uint32(b[300:]) != littleEndian:
		return nil, l.errorf(p.at, 300, "the log was written in format %d, by a machine of another kind", be.Uint32(b[300:]))
	case !bytes.Equal(b[304:320], l.f.sb.uuid()):
		return nil, l.errorf(p.at, 304, "a record of the log belongs to another file system")
	}
	heads := int64(1)
	if version == 2 && size > recordCycles {
		heads = (size + recordCycles - 1) / recordCycles
	}
	r := &record{place: p, head: make([]byte, heads*basicBlock), length: heads + (n+basicBlock-1)/basicBlock}
	if r.length-heads > heads*cyclesInBlock {
		return nil, l.errorf(p.at, 12, "a record of %d bytes in the log, its head has room for %d", n, heads*recordCycles)
	}
	if r.length > l.blocks {
		return nil, l.errorf(p.at, 12, "a record of %d bytes in a log of %d", n, l.blocks*basicBlock)
	}
	return r, l.read(r.head, p.at)
}

// tail is where recovery would have to begin if this record were the last.
func (r *record) tail() place { return placeOf(be.Uint64(r.head[24:])) }

func (r *record) end(l *ring) place { return l.move(r.place, r.length) }

// load reads the data, checks that all blocks were written together, and puts
// back the bytes that were in place of the cycles. errChecksum is wrapped
// where the blocks are there and what is in them is not what was written.
func (r *record) load(l *ring) error {
	heads := int64(len(r.head)) / basicBlock
	start := l.move(r.place, heads)
	p := make([]byte, (r.length-heads)*basicBlock)
	if err := l.read(p, start.at); err != nil {
		return err
	}
	for i := range heads {
		if b := l.move(r.place, i); cycleOf(r.head[i*basicBlock:]) != b.cycle {
			return l.errorf(b.at, 0, "the head of a record of the log was not written to its end")
		}
	}
	for i := range r.length - heads {
		if b := l.move(start, i); be.Uint32(p[i*basicBlock:]) != b.cycle {
			return l.errorf(b.at, 0, "a record of the log was not written to its end")
		}
	}
	r.data = p[:be.Uint32(r.head[12:])]
	switch want := le.Uint32(r.head[32:]); {
	case want == 0 && l.f.sb.version() >= 5 && be.Uint32(r.head[40:]) != 1:
		return l.errorf(r.at, 32, "a record of the log without a checksum")
	case want != 0 && r.checksum(l, 328) != want && r.checksum(l, 324) != want:
		return fmt.Errorf("%w: %w", l.errorf(r.at, 32, "in cycle %d", r.cycle), errChecksum)
	}
	for i := range r.length - heads {
		word := i/cyclesInBlock*basicBlock + 4 + i%cyclesInBlock*4
		if i < cyclesInBlock {
			word = 44 + i*4
		}
		copy(p[i*basicBlock:], r.head[word:word+4])
	}
	return nil
}

func (r *record) checksum(l *ring, size int) uint32 {
	head := bytes.Clone(r.head[:size])
	clear(head[32:36])
	sum := crc32.Update(0, l.f.castagnoli, head)
	for i := recordCycles; i < len(r.data); i += recordCycles {
		more := r.head[i/recordCycles*basicBlock:]
		sum = crc32.Update(sum, l.f.castagnoli, more[:4+cyclesInBlock*4])
	}
	return crc32.Update(sum, l.f.castagnoli, r.data)
}
