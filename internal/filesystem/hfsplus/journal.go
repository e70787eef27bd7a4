package hfsplus

import (
	"encoding/binary"

	"doppel.live/internal/filesystem"
)

// journal reads the journal of a volume. Nothing is written: after scan it
// knows what a replay would write where.
//
// The journal info block is block journalInfoBlock of the volume:
//
//	0   4  flags: 1 on this volume, 2 on another device, 4 not initialised
//	36  8  offset of the journal, bytes of the volume
//	44  8  its size, bytes
//
// The journal begins with its header. It and all that follows are in the byte
// order of the machine that wrote it.
//
//	0   4  magic 4A4E4C78          24  8  size, bytes
//	4   4  endian 12345678         32  4  blhdr_size, bytes of a block list
//	8   8  start of the oldest     36  4  checksum of the 44 bytes, this counted as 0
//	       transaction             40  4  jhdr_size, bytes: where the ring begins, and
//	16  8  end of the newest              the unit of block numbers
//
// Behind it is a ring of block lists, each followed by its data. A transaction
// is one or several of them.
//
//	0   2   max_blocks             16  16  binfo[0], which is no block
//	2   2   num_blocks, with       32  …   binfo[1] …:
//	        binfo[0]                       0   8  bnum; all ones: leave it out
//	4   4   bytes_used, with data          8   4  bsize, bytes
//	8   4   checksum of 32 bytes           12  4  checksum of the data, with flag 1
//	12  4   flags
//
// TN1150 calls the last fields of both reserved; a journal of macOS has 3 as
// flags, and Apple's headers name them.
type journal struct {
	v      *volume
	order  binary.ByteOrder
	offset int64 // byte of the volume
	size   int64 // bytes
	first  int64 // jhdr_size: where the ring begins
	list   int64 // blhdr_size
	start  int64
	end    int64
	wrote  []logged // up to end, in the order of the replay
	late   []logged // behind it
}

// logged is a block in the journal.
type logged struct {
	off, n int64 // bytes of the volume
	at     int64 // byte of the journal
}

const (
	infoOnVolume = 1
	infoOnOther  = 2
	infoNeedInit = 4

	journalMagic  = 0x4A4E4C78
	journalEndian = 0x12345678
	journalSize   = 44      // of the header, bytes
	maxJournal    = 1 << 30 // bytes

	listHead       = 32     // bytes: up to binfo[1]
	listChecksums  = 1      // flag
	journalVersion = "HFSJ" // lastMountedVersion of a system that keeps the journal
)

// holds says whether a replay would write anything.
func (j *journal) holds() bool { return j != nil && len(j.wrote) > 0 }

// openJournal reads the journal, if there is one, and gives the header as it
// will be after the replay. The place of the journal counts as used.
func (v *volume) openJournal(h header) (header, error) {
	if !h.has(volumeJournaled) {
		return h, nil
	}
	where := h.journalInfoBlock() * v.blockSize
	if h.journalInfoBlock() >= v.blocks {
		return nil, formatError(v.base+headerOffset+12, "journal info block %d of %d", h.journalInfoBlock(), v.blocks)
	}
	info, err := read(v, where, 180)
	if err != nil {
		return nil, err
	}
	v.reserve(where, where+v.blockSize)
	clean := h.state() == filesystem.Clean
	flags, offset, size := be.Uint32(info), be.Uint64(info[36:]), be.Uint64(info[44:])
	switch {
	case flags&infoOnVolume == 0 && clean:
		return h, nil
	case flags&infoOnVolume == 0:
		return nil, formatError(v.base+where, "it was not unmounted, and its journal is not on it (flags %d)", flags)
	case size < 2*512 || size > maxJournal || offset > uint64(v.size) || size > uint64(v.size)-offset:
		return nil, formatError(v.base+where+36, "a journal of %d bytes at byte %d of %d", size, offset, v.size)
	}
	v.reserve(int64(offset), int64(offset)+int64(size))
	if flags&infoNeedInit != 0 { // it holds nothing yet
		if !clean && h.lastMounted() == journalVersion {
			return nil, formatError(v.base+where, "it was not unmounted, and its journal is not initialised")
		}
		return h, nil
	}
	j := &journal{v: v, offset: int64(offset), size: int64(size)}
	if err := j.readHeader(); err != nil {
		return nil, err
	}
	return j.apply(h, clean)
}

// apply decides whether the journal must be replayed.
func (j *journal) apply(h header, clean bool) (header, error) {
	v, where := j.v, j.v.base+j.offset
	keeps := h.lastMounted() == journalVersion
	switch {
	case j.start == j.end && (clean || !keeps):
		return h, nil
	case !keeps:
		return nil, formatError(where+8, "the journal holds transactions, but %q mounted the volume last", h.lastMounted())
	case v.base > 0:
		return nil, formatError(where+8, "the journal must be replayed, inside a wrapper")
	}
	if err := j.scan(); err != nil {
		return nil, err
	}
	v.log = j
	p, err := read(v, headerOffset, headerSize)
	if err != nil {
		return nil, err
	}
	after := header(p)
	if !isHeader(p) || after.blockSize() != h.blockSize() || after.blocks() != h.blocks() || string(after[112:192]) != string(h[112:192]) {
		return nil, formatError(where, "the journal changes the size of the volume, or the place of the bitmap")
	}
	return after, nil
}

// readHeader reads the header of the journal.
func (j *journal) readHeader() error {
	where := j.v.base + j.offset
	p := make([]byte, journalSize)
	if err := j.v.read("journal", p, j.offset); err != nil {
		return err
	}
	j.order = binary.LittleEndian
	if be.Uint32(p[4:]) == journalEndian {
		j.order = be
	}
	if j.order.Uint32(p) != journalMagic || j.order.Uint32(p[4:]) != journalEndian {
		return formatError(where, "no journal where the journal info block says")
	}
	if got := checksum(p, 36); got != j.order.Uint32(p[36:]) {
		return formatError(where+36, "wrong checksum of the journal's header")
	}
	start, end, size := j.order.Uint64(p[8:]), j.order.Uint64(p[16:]), j.order.Uint64(p[24:])
	j.list, j.first = int64(j.order.Uint32(p[32:])), int64(j.order.Uint32(p[40:]))
	within := func(n uint64) bool { return n >= uint64(j.first) && n <= size }
	switch {
	case size > uint64(j.size) || j.first < 512 || j.first%512 != 0 || uint64(j.first) >= size ||
		j.list < listHead || j.list > maxList || uint64(j.list) > size || !within(start) || !within(end):
		return formatError(where+8, "the journal's geometry: %d to %d of %d bytes, lists of %d, sectors of %d", start, end, size, j.list, j.first)
	}
	j.size = int64(size)
	j.start, j.end = j.wrap(int64(start)), j.wrap(int64(end))
	return nil
}

// maxList is the most that a block list with 65535 entries can need, and more.
const maxList = 2 << 20

// wrap brings a place that is behind the end of the ring back into it.
func (j *journal) wrap(at int64) int64 {
	if at >= j.size {
		at -= j.size - j.first
	}
	return at
}

// scan reads all block lists from start to end, and goes on behind that as long
// as there are more.
func (j *journal) scan() error {
	ring := j.size - j.first
	left := (j.end - j.start + ring) % ring
	at := j.start
	for left > 0 {
		list, n, err := j.blockList(at, left)
		if err != nil {
			return err
		}
		j.wrote = append(j.wrote, list...)
		at, left = j.wrap(at+n), left-n
	}
	left = ring - (j.end-j.start+ring)%ring
	for left > 0 {
		list, n, err := j.blockList(at, left)
		if isFormatError(err) {
			break // the end
		}
		if err != nil {
			return err
		}
		j.late = append(j.late, list...)
		at, left = j.wrap(at+n), left-n
	}
	return nil
}

// blockList reads the list at a byte of the journal, and gives its blocks and
// how many bytes it has with its data, left at most.
func (j *journal) blockList(at, left int64) (blocks []logged, used int64, err error) {
	where := j.v.base + j.offset + at
	if j.list > left {
		return nil, 0, formatError(where, "a block list of %d bytes in %d of the journal", j.list, left)
	}
	p := make([]byte, listHead)
	if err := j.read(p, at); err != nil {
		return nil, 0, err
	}
	n, total := int64(j.order.Uint16(p[2:])), int64(j.order.Uint32(p[4:]))
	switch {
	case checksum(p, 8) != j.order.Uint32(p[8:]):
		return nil, 0, formatError(where+8, "wrong checksum of a block list in the journal")
	case n < 1 || n > (j.list-16)/16 || total > left:
		return nil, 0, formatError(where+2, "a block list of %d blocks and %d bytes in the journal", n-1, total)
	}
	infos := make([]byte, 16*(n-1))
	if err := j.read(infos, j.wrap(at+listHead)); err != nil {
		return nil, 0, err
	}
	used = j.list
	for i := int64(1); i < n; i++ {
		b, err := j.block(infos[16*(i-1):], at+used, total-used, where+16+16*i)
		if err != nil {
			return nil, 0, err
		}
		if used += b.n; b.off < 0 {
			continue
		}
		if j.order.Uint32(p[12:])&listChecksums != 0 {
			if err := j.verify(b, j.order.Uint32(infos[16*(i-1)+12:])); err != nil {
				return nil, 0, err
			}
		}
		blocks = append(blocks, b)
	}
	if used != total {
		return nil, 0, formatError(where+4, "a block list of %d bytes in the journal, its blocks need %d", total, used)
	}
	return blocks, used, nil
}

// block reads an entry of a block list, which lies at byte where of the volume;
// its data is at a byte of the journal and has left bytes at most. The place of
// a block that is left out is negative.
func (j *journal) block(info []byte, at, left, where int64) (logged, error) {
	number, size := j.order.Uint64(info), int64(j.order.Uint32(info[8:]))
	b := logged{off: -1, n: size, at: j.wrap(at)}
	switch {
	case size <= 0 || size > left:
		return b, formatError(where+8, "a block of %d bytes in the journal", size)
	case number == ^uint64(0):
		return b, nil
	case number > uint64(j.v.size/j.first) || int64(number)*j.first > j.v.size-size:
		return b, formatError(where, "the journal writes %d bytes to sector %d", size, number)
	}
	b.off = int64(number) * j.first
	return b, nil
}

// verify reads a block and holds it against its checksum.
func (j *journal) verify(b logged, want uint32) error {
	sum, buf := uint32(0), make([]byte, min(b.n, 64<<10))
	for done := int64(0); done < b.n; {
		p := buf[:min(int64(len(buf)), b.n-done)]
		if err := j.read(p, j.wrap(b.at+done)); err != nil {
			return err
		}
		sum = add(sum, p)
		done += int64(len(p))
	}
	if ^sum != want {
		return formatError(j.v.base+j.offset+b.at, "wrong checksum of a block in the journal")
	}
	return nil
}

// read fills p from byte at of the journal on, around its end.
func (j *journal) read(p []byte, at int64) error {
	for len(p) > 0 {
		n := min(int64(len(p)), j.size-at)
		if err := readFull(j.v.r, p[:n], j.v.base+j.offset+at); err != nil {
			return err
		}
		p, at = p[n:], j.first
	}
	return nil
}

// over hands over the parts of blocks that lie within n bytes from off on: byte
// from of those, and how many, with their byte of the journal.
func (j *journal) over(blocks []logged, off, n int64, visit func(from, n, at int64) error) error {
	for _, b := range blocks {
		from, to := max(b.off, off), min(b.off+b.n, off+n)
		if from >= to {
			continue
		}
		if err := visit(from-off, to-from, j.wrap(b.at+from-b.off)); err != nil {
			return err
		}
	}
	return nil
}

// replay changes p, read from byte off of the volume, to what a replay up to
// the end will leave there.
func (j *journal) replay(p []byte, off int64) error {
	return j.over(j.wrote, off, int64(len(p)), func(from, n, at int64) error { return j.read(p[from:from+n], at) })
}

// unite sets all bits in p, read from byte off of the volume, that any version
// in the journal sets.
func (j *journal) unite(p []byte, off int64) error {
	var buf []byte
	for _, blocks := range [][]logged{j.wrote, j.late} {
		err := j.over(blocks, off, int64(len(p)), func(from, n, at int64) error {
			if buf == nil {
				buf = make([]byte, len(p))
			}
			version := buf[:n]
			if err := j.read(version, at); err != nil {
				return err
			}
			for i, b := range version {
				p[from+int64(i)] |= b
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checksum is that of a structure whose own checksum, 4 bytes at off, counts as
// zero.
func checksum(p []byte, off int) uint32 {
	return ^add(add(add(0, p[:off]), make([]byte, 4)), p[off+4:])
}

// add goes on with a checksum over p.
func add(sum uint32, p []byte) uint32 {
	for _, b := range p {
		sum = sum<<8 ^ (sum + uint32(b))
	}
	return sum
}
