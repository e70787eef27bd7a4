package apfs

import (
	"doppel.live/internal/extent"
)

// spaceman is the space manager. Behind the header of an object:
//
//	32  4  block size            144  4  flags
//	36  4  blocks of a chunk     152  8  blocks of the internal pool
//	40  4  chunks of a CIB       164  4  blocks of the ring of its bitmaps
//	44  4  CIBs of a CAB         168  8  first block of the ring
//	48  48 main device           176  8  first block of the internal pool
//	96  48 second device
//
// and of each device
//
//	0   8  blocks    16  4  CIBs    24  8  free blocks
//	8   8  chunks    20  4  CABs    32  4  where the addresses of CABs, or of
//	                                       CIBs if there are none, begin
type spaceman struct {
	object
	offset int64 // bytes: where it lies on the volume
}

const (
	spacemanHeader = 336 // bytes; addresses lie behind them
	listHeader     = objectHeader + 8
	chunkInfoSize  = 32 // bytes
)

func (s spaceman) blockSize() int64      { return int64(le.Uint32(s.object[32:])) } // sm_block_size
func (s spaceman) blocksPerChunk() int64 { return int64(le.Uint32(s.object[36:])) } // sm_blocks_per_chunk
func (s spaceman) chunksPerCIB() int64   { return int64(le.Uint32(s.object[40:])) } // sm_chunks_per_cib
func (s spaceman) cibsPerCAB() int64     { return int64(le.Uint32(s.object[44:])) } // sm_cibs_per_cab

// pool is the internal pool, where bitmaps, CIBs and CABs lie; ring are the
// bitmaps of the pool itself. In blocks.
func (s spaceman) pool() extent.Extent {
	return extent.Extent{Offset: int64(le.Uint64(s.object[176:])), Length: int64(le.Uint64(s.object[152:]))} // sm_ip_base, sm_ip_block_count
}

func (s spaceman) ring() extent.Extent {
	return extent.Extent{Offset: int64(le.Uint64(s.object[168:])), Length: int64(le.Uint32(s.object[164:]))} // sm_ip_bm_base, sm_ip_bm_block_count
}

// device is what the space manager says of one of two devices.
type device []byte

func (s spaceman) main() device  { return device(s.object[48:96]) }
func (s spaceman) tier2() device { return device(s.object[96:144]) }

func (d device) blocks() uint64 { return le.Uint64(d) }             // sm_block_count
func (d device) chunks() uint64 { return le.Uint64(d[8:]) }         // sm_chunk_count
func (d device) cibs() int64    { return int64(le.Uint32(d[16:])) } // sm_cib_count
func (d device) cabs() int64    { return int64(le.Uint32(d[20:])) } // sm_cab_count
func (d device) free() uint64   { return le.Uint64(d[24:]) }        // sm_free_count
func (d device) list() int64    { return int64(le.Uint32(d[32:])) } // sm_addr_offset

// address is the block of CAB or CIB number i.
func (s spaceman) address(i int64) int64 {
	return int64(le.Uint64(s.object[s.main().list()+8*i:]))
}

// quotient rounds up.
func quotient(n, by int64) int64 { return (n + by - 1) / by }

// supported says what is wrong with the numbers of a space manager.
func (s spaceman) supported(f *fileSystem) error {
	d := s.main()
	chunks := quotient(f.blocks, 8*f.block)
	perCIB, perCAB := (f.block-listHeader)/chunkInfoSize, (f.block-listHeader)/8
	cibs := quotient(chunks, perCIB)
	addresses := cibs
	if d.cabs() != 0 {
		addresses = d.cabs()
	}
	switch {
	case s.blockSize() != f.block || s.blocksPerChunk() != 8*f.block:
		return formatError(s.offset+32, "the space manager has blocks of %d bytes in chunks of %d", s.blockSize(), s.blocksPerChunk())
	case s.chunksPerCIB() != perCIB || s.cibsPerCAB() != perCAB:
		return formatError(s.offset+40, "%d chunks in a CIB, %d CIBs in a CAB", s.chunksPerCIB(), s.cibsPerCAB())
	case s.tier2().blocks() != 0 || s.tier2().cibs() != 0 || s.tier2().cabs() != 0:
		return formatError(s.offset+96, "the space manager has a second device: Fusion is not supported")
	case d.blocks() != uint64(f.blocks) || d.chunks() != uint64(chunks):
		return formatError(s.offset+48, "the space manager has %d blocks in %d chunks, the container %d", d.blocks(), d.chunks(), f.blocks)
	case d.cibs() != cibs || d.cabs() != 0 && d.cabs() != quotient(cibs, perCAB):
		return formatError(s.offset+64, "%d CIBs, %d CABs for %d chunks", d.cibs(), d.cabs(), chunks)
	case d.free() > d.blocks():
		return formatError(s.offset+72, "%d free blocks of %d", d.free(), d.blocks())
	case d.list() < spacemanHeader || d.list()+8*addresses > int64(len(s.object)):
		return formatError(s.offset+80, "%d addresses from byte %d of a space manager of %d bytes on", addresses, d.list(), len(s.object))
	}
	return nil
}

// chunk is what a CIB says of a chunk.
//
//	0   8  transaction    16  4  blocks (20 bits)    24  8  block of its bitmap
//	8   8  first block    20  4  free blocks (20 bits)
type chunk []byte

const chunkCount = 1<<20 - 1 // CI_COUNT_MASK, CIB_COUNT_MASK, CAB_COUNT_MASK

func (c chunk) xid() uint64   { return le.Uint64(c) }                          // ci_xid
func (c chunk) first() uint64 { return le.Uint64(c[8:]) }                      // ci_addr
func (c chunk) blocks() int64 { return int64(le.Uint32(c[16:]) & chunkCount) } // ci_block_count
func (c chunk) free() int64   { return int64(le.Uint32(c[20:]) & chunkCount) } // ci_free_count
func (c chunk) bitmap() int64 { return int64(le.Uint64(c[24:])) }              // ci_bitmap_addr

// readList reads CIB or CAB number i, which lies in block at and has want
// entries.
func (f *fileSystem) readList(buf object, at, i, want int64, kind uint32, what string) error {
	if pool := f.spaceman.pool(); !within(at, 1, pool.Offset, pool.Length) {
		return formatError(f.spaceman.offset+f.spaceman.main().list(), "%s %d in block %d, outside the internal pool", what, i, at)
	}
	if err := f.readPhysical(buf, at, kind, what); err != nil {
		return err
	}
	index, count := int64(le.Uint32(buf[32:])), int64(le.Uint32(buf[36:])&chunkCount)
	if index != i || count != want {
		return formatError(at*f.block+32, "%s %d of %d entries, where number %d of %d must be", what, index, count, i, want)
	}
	return nil
}

// chunks calls each with every chunk, ascending, and the byte of the volume
// where it is described.
func (f *fileSystem) chunks(each func(c chunk, at int64) error) error {
	d := f.spaceman.main()
	buf := make(object, f.block)
	if d.cabs() == 0 {
		for i := range d.cibs() {
			if err := f.chunksOf(buf, f.spaceman.address(i), i, each); err != nil {
				return err
			}
		}
		return nil
	}
	cab, perCAB := make(object, f.block), f.spaceman.cibsPerCAB()
	for n := range d.cabs() {
		count := min(perCAB, d.cibs()-n*perCAB)
		if err := f.readList(cab, f.spaceman.address(n), n, count, typeCAB, "chunk-info address block"); err != nil {
			return err
		}
		for i := range count {
			if err := f.chunksOf(buf, int64(le.Uint64(cab[listHeader+8*i:])), n*perCAB+i, each); err != nil {
				return err
			}
		}
	}
	return nil
}

// chunksOf calls each with the chunks of CIB number i in block at.
func (f *fileSystem) chunksOf(buf object, at, i int64, each func(c chunk, at int64) error) error {
	per, all := f.spaceman.chunksPerCIB(), int64(f.spaceman.main().chunks())
	count := min(per, all-i*per)
	if err := f.readList(buf, at, i, count, typeCIB, "chunk-info block"); err != nil {
		return err
	}
	for n := range count {
		off := listHeader + n*chunkInfoSize
		if err := each(chunk(buf[off:off+chunkInfoSize]), at*f.block+off); err != nil {
			return err
		}
	}
	return nil
}
