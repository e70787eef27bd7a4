package apfs

// Types of objects, with where they are stored.
const (
	physical  = 1 << 30 // OBJ_PHYSICAL
	ephemeral = 1 << 31 // OBJ_EPHEMERAL

	typeSuperblock    = ephemeral | 0x01 // OBJECT_TYPE_NX_SUPERBLOCK
	typeSpaceman      = ephemeral | 0x05 // OBJECT_TYPE_SPACEMAN
	typeCAB           = physical | 0x06  // OBJECT_TYPE_SPACEMAN_CAB
	typeCIB           = physical | 0x07  // OBJECT_TYPE_SPACEMAN_CIB
	typeCheckpointMap = physical | 0x0C  // OBJECT_TYPE_CHECKPOINT_MAP
)

const objectHeader = 32 // bytes

// object is a block, or several, with a header.
//
//	0   8  checksum of what follows
//	8   8  identifier; of a physical object, the block where it lies
//	16  8  transaction that wrote it
//	24  4  type
//	28  4  subtype
type object []byte

func (o object) oid() uint64  { return le.Uint64(o[8:]) }  // o_oid
func (o object) xid() uint64  { return le.Uint64(o[16:]) } // o_xid
func (o object) kind() uint32 { return le.Uint32(o[24:]) } // o_type

// sound says whether the checksum fits.
func (o object) sound() bool { return le.Uint64(o) == fletcher64(o[8:]) }

// fletcher64 is the checksum of an object: Fletcher's over 32-bit words modulo
// 2³²−1, turned so that the sums over words and checksum are 0.
func fletcher64(p []byte) uint64 {
	const m = 1<<32 - 1
	var a, b uint64
	for len(p) >= 4 {
		// b grows with the square of the number of words: after 32768 of
		// them it is below 2⁶².
		piece := p[:min(len(p), 4*32768)]
		p = p[len(piece):]
		for ; len(piece) >= 4; piece = piece[4:] {
			a += uint64(le.Uint32(piece))
			b += a
		}
		a, b = a%m, b%m
	}
	low := m - (a+b)%m
	return (m-(a+low)%m)<<32 | low
}

// readPhysical reads the physical object of one block that lies in block at,
// written by a transaction up to the present one.
func (f *fileSystem) readPhysical(p object, at int64, kind uint32, what string) error {
	if err := readFull(f.r, p, at*f.block); err != nil {
		return err
	}
	return f.check(p, at*f.block, uint64(at), kind, what)
}

// check says what is wrong with the header of an object read at a byte.
func (f *fileSystem) check(p object, offset int64, oid uint64, kind uint32, what string) error {
	switch {
	case !p.sound():
		return formatError(offset, "the checksum of %s does not fit", what)
	case p.kind() != kind:
		return formatError(offset+24, "type %#x where %s must be", p.kind(), what)
	case p.oid() != oid:
		return formatError(offset+8, "%s has the identifier %d, not %d", what, p.oid(), oid)
	case p.xid() > f.super.xid():
		return formatError(offset+16, "%s is of transaction %d, the checkpoint of %d", what, p.xid(), f.super.xid())
	}
	return nil
}
