package apfs

import (
	"slices"

	"doppel.live/internal/extent"
)

const (
	mapHeader   = objectHeader + 8 // bytes before the mappings of a checkpoint map
	mappingSize = 40               // bytes
	mapLast     = 1                // CHECKPOINT_MAP_LAST

	// maxObject is the largest ephemeral object that is read, in bytes: the
	// space manager has 8 for each 16 GiB or 8 TiB of a container of 4 KiB
	// blocks, others are of a block or a few.
	maxObject = 4 << 20
)

// mapping says where an ephemeral object lies in this checkpoint.
//
//	0  4  type       16  8  volume
//	4  4  subtype    24  8  identifier
//	8  4  bytes      32  8  first block
type mapping []byte

func (m mapping) kind() uint32 { return le.Uint32(m) }             // cpm_type
func (m mapping) size() int64  { return int64(le.Uint32(m[8:])) }  // cpm_size
func (m mapping) oid() uint64  { return le.Uint64(m[24:]) }        // cpm_oid
func (m mapping) at() int64    { return int64(le.Uint64(m[32:])) } // cpm_paddr

// readCheckpoint finds the newest checkpoint and reads all its objects; the
// space manager stays.
func (f *fileSystem) readCheckpoint(first superblock, size int64) error {
	at, err := f.newest(first)
	if err != nil {
		return err
	}
	if err := f.super.supported(at*f.block, size); err != nil {
		return err
	}
	if err := f.sameAreas(first, at*f.block); err != nil {
		return err
	}
	f.blocks = int64(f.super.blockCount())
	area, length, index := int64(f.super.descBlocks()), int64(f.super.descLen()), int64(f.super.descIndex())
	if length < 2 || length > area || index >= area || f.descriptor(index+length-1) != at {
		return formatError(at*f.block+136, "a checkpoint of %d blocks from %d on in an area of %d", length, index, area)
	}
	var all []mapping
	for i := range length - 1 {
		found, err := f.readMap(f.descriptor(index+i), i == length-2)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	return f.readEphemeral(all, at*f.block)
}

// descriptor is the block that is number i of the descriptor area, a ring.
func (f *fileSystem) descriptor(i int64) int64 {
	return f.super.descBase() + i%int64(f.super.descBlocks())
}

// newest looks for the superblock of the highest transaction in the descriptor
// area. One whose checksum does not fit was not written to its end, unless
// block 0 already is a copy of it.
func (f *fileSystem) newest(first superblock) (at int64, err error) {
	buf := make(superblock, f.block)
	for i := range int64(first.descBlocks()) {
		block := first.descBase() + i
		if err := readFull(f.r, buf[:objectHeader+8], block*f.block); err != nil {
			return 0, err
		}
		if string(buf[32:36]) != "NXSB" || f.super != nil && buf.xid() <= f.super.xid() {
			continue
		}
		if err := readFull(f.r, buf, block*f.block); err != nil {
			return 0, err
		}
		if object(buf).sound() {
			f.super, at = slices.Clone(buf), block
		}
	}
	switch {
	case f.super == nil:
		return 0, formatError(first.descBase()*f.block, "no superblock in the checkpoint descriptor area")
	case f.super.xid() < first.xid():
		return 0, formatError(at*f.block+16, "the newest checkpoint is of transaction %d, block 0 of %d", f.super.xid(), first.xid())
	}
	return at, nil
}

// sameAreas holds a superblock at a byte of the volume against block 0.
func (f *fileSystem) sameAreas(first superblock, at int64) error {
	s := f.super
	if s.blockSize() != first.blockSize() || s.descBase() != first.descBase() || s.descBlocks() != first.descBlocks() ||
		s.dataBase() != first.dataBase() || s.dataBlocks() != first.dataBlocks() {
		return formatError(at+104, "the superblock of the newest checkpoint has other checkpoint areas than block 0")
	}
	return nil
}

// readMap reads the checkpoint map in block at.
func (f *fileSystem) readMap(at int64, last bool) ([]mapping, error) {
	buf := make(object, f.block)
	if err := f.readPhysical(buf, at, typeCheckpointMap, "the checkpoint map"); err != nil {
		return nil, err
	}
	offset := at * f.block
	flags, count := le.Uint32(buf[32:]), int64(le.Uint32(buf[36:])) // cpm_flags, cpm_count
	switch {
	case buf.xid() != f.super.xid():
		return nil, formatError(offset+16, "the checkpoint map is of transaction %d, the checkpoint of %d", buf.xid(), f.super.xid())
	case (flags&mapLast != 0) != last:
		return nil, formatError(offset+32, "flags %#x of a checkpoint map; the last one: %v", flags, last)
	case count > (f.block-mapHeader)/mappingSize:
		return nil, formatError(offset+36, "%d mappings in a checkpoint map", count)
	}
	var all []mapping
	for i := range count {
		m := mapping(buf[mapHeader+i*mappingSize:][:mappingSize])
		size := m.size()
		if size == 0 || size%f.block != 0 || size > maxObject || !within(m.at(), size/f.block, f.super.dataBase(), int64(f.super.dataBlocks())) {
			return nil, formatError(offset+mapHeader+i*mappingSize, "an object of %d bytes in block %d; the checkpoint data area has %d from %d on",
				size, m.at(), f.super.dataBlocks(), f.super.dataBase())
		}
		all = append(all, m)
	}
	return all, nil
}

// readEphemeral reads the objects of the checkpoint whose superblock lies at a
// byte, and keeps the space manager.
func (f *fileSystem) readEphemeral(all []mapping, at int64) error {
	slices.SortFunc(all, func(a, b mapping) int { return int(a.at() - b.at()) })
	var places []extent.Extent
	for _, m := range all {
		places = append(places, extent.Extent{Offset: m.at() * f.block, Length: m.size()})
	}
	if err := extent.Validate(places, f.blocks*f.block); err != nil {
		return formatError(at, "objects of the checkpoint overlap: %v", err)
	}
	var buf object
	for i, m := range all {
		buf = slices.Grow(buf[:0], int(places[i].Length))[:places[i].Length]
		if err := readFull(f.r, buf, places[i].Offset); err != nil {
			return err
		}
		if err := f.check(buf, places[i].Offset, m.oid(), m.kind(), "an object of the checkpoint"); err != nil {
			return err
		}
		if m.oid() == f.super.spacemanOID() && m.kind() == typeSpaceman {
			f.spaceman = spaceman{slices.Clone(buf), places[i].Offset}
		}
	}
	if f.spaceman.object == nil {
		return formatError(at+152, "no space manager %d in the checkpoint", f.super.spacemanOID())
	}
	return f.spaceman.supported(f)
}
