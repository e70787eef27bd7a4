package btrfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"doppel.live/internal/filesystem"
)

const (
	superOffset = 64 << 10 // bytes
	superSize   = 4096
	superMagic  = "_BHRfS_M"

	systemChunksSize = 2048 // bytes of sys_chunk_array
	maxLevel         = 7    // of the root of a tree
)

// superOffsets are the places of the superblock and its mirrors.
func superOffsets() []int64 { return []int64{superOffset, 64 << 20, 256 << 30} }

// Flags of the superblock.
const (
	flagWritten = 1 << 0
	flagReloc   = 1 << 1
	flagError   = 1 << 2
	flagSeeding = 1 << 32 // read-only, other devices may grow out of it

	knownFlags = flagWritten | flagReloc | flagError | flagSeeding
)

// Features without which a file system can't be read, and those without which
// it can't be written.
const (
	incompatMixedBackref  = 1 << 0
	incompatDefaultSubvol = 1 << 1
	incompatMixedGroups   = 1 << 2
	incompatCompressLZO   = 1 << 3
	incompatCompressZSTD  = 1 << 4
	incompatBigMetadata   = 1 << 5
	incompatExtendedIref  = 1 << 6
	incompatRAID56        = 1 << 7
	incompatSkinny        = 1 << 8
	incompatNoHoles       = 1 << 9
	incompatMetadataUUID  = 1 << 10
	incompatRAID1C34      = 1 << 11
	incompatSimpleQuota   = 1 << 16

	knownIncompat = incompatMixedBackref | incompatDefaultSubvol | incompatMixedGroups | incompatCompressLZO |
		incompatCompressZSTD | incompatBigMetadata | incompatExtendedIref | incompatRAID56 | incompatSkinny |
		incompatNoHoles | incompatMetadataUUID | incompatRAID1C34 | incompatSimpleQuota

	readOnlyFreeSpaceTree      = 1 << 0
	readOnlyFreeSpaceTreeValid = 1 << 1
	readOnlyVerity             = 1 << 2
	readOnlyBlockGroupTree     = 1 << 3

	knownReadOnly = readOnlyFreeSpaceTree | readOnlyFreeSpaceTreeValid | readOnlyVerity | readOnlyBlockGroupTree
)

var le = binary.LittleEndian

// superblock is 4096 bytes, and the same in its mirrors but for its place.
type superblock []byte

// off    len
func (s superblock) fsid() []byte             { return s[0x20:0x30] }                      // 0x020  16
func (s superblock) place() uint64            { return le.Uint64(s[0x30:]) }               // 0x030   8  bytenr
func (s superblock) flags() uint64            { return le.Uint64(s[0x38:]) }               // 0x038   8
func (s superblock) magic() []byte            { return s[0x40:0x48] }                      // 0x040   8
func (s superblock) generation() uint64       { return le.Uint64(s[0x48:]) }               // 0x048   8
func (s superblock) root() uint64             { return le.Uint64(s[0x50:]) }               // 0x050   8  logical
func (s superblock) chunkRoot() uint64        { return le.Uint64(s[0x58:]) }               // 0x058   8  logical
func (s superblock) logRoot() uint64          { return le.Uint64(s[0x60:]) }               // 0x060   8  logical, 0: no log
func (s superblock) bytesUsed() uint64        { return le.Uint64(s[0x78:]) }               // 0x078   8  one copy of each
func (s superblock) devices() uint64          { return le.Uint64(s[0x88:]) }               // 0x088   8  num_devices
func (s superblock) sectorSize() uint32       { return le.Uint32(s[0x90:]) }               // 0x090   4
func (s superblock) nodeSize() uint32         { return le.Uint32(s[0x94:]) }               // 0x094   4
func (s superblock) systemChunksSize() uint32 { return le.Uint32(s[0xA0:]) }               // 0x0A0   4  sys_chunk_array_size
func (s superblock) chunkGeneration() uint64  { return le.Uint64(s[0xA4:]) }               // 0x0A4   8  chunk_root_generation
func (s superblock) readOnlyFlags() uint64    { return le.Uint64(s[0xB4:]) }               // 0x0B4   8  compat_ro_flags
func (s superblock) incompat() uint64         { return le.Uint64(s[0xBC:]) }               // 0x0BC   8
func (s superblock) checksumType() uint16     { return le.Uint16(s[0xC4:]) }               // 0x0C4   2
func (s superblock) rootLevel() byte          { return s[0xC6] }                           // 0x0C6   1
func (s superblock) chunkLevel() byte         { return s[0xC7] }                           // 0x0C7   1
func (s superblock) logLevel() byte           { return s[0xC8] }                           // 0x0C8   1
func (s superblock) deviceID() uint64         { return le.Uint64(s[0xC9:]) }               // 0x0C9   8  of the device item
func (s superblock) deviceBytes() uint64      { return le.Uint64(s[0xD1:]) }               // 0x0D1   8  of the device item
func (s superblock) labelString() string      { return cString(s[0x12B:0x22B]) }           // 0x12B 256
func (s superblock) metadataUUID() []byte     { return s[0x23B:0x24B] }                    // 0x23B  16
func (s superblock) systemChunks() []byte     { return s[0x32B : 0x32B+systemChunksSize] } // 0x32B 2048

// nodeUUID is the UUID that nodes carry.
func (s superblock) nodeUUID() []byte {
	if s.incompat()&incompatMetadataUUID != 0 {
		return s.metadataUUID()
	}
	return s.fsid()
}

// cleanliness: every committed transaction is whole; a log is replayed on top
// of it by the next mount.
func (s superblock) cleanliness() filesystem.State {
	switch {
	case s.flags()&flagError != 0:
		return filesystem.Dirty
	case s.logRoot() != 0:
		return filesystem.Recovery
	}
	return filesystem.Clean
}

// readSuperblock reads and checks the superblock at 64 KiB, the only one that
// a mount goes by. A mirror of a later transaction, left by a crash between
// the two or by a write into the first one, makes it doubtful which trees
// count: that is an error. A damaged mirror, or one of another file system,
// is as good as none.
func readSuperblock(r io.ReaderAt, size int64, sums func(kind uint16) checksum) (superblock, checksum, error) {
	if size < superOffset+superSize {
		return nil, nil, fmt.Errorf("btrfs: %w", filesystem.ErrFormat)
	}
	sb := make(superblock, superSize)
	if err := filesystem.ReadFull(r, sb, superOffset); err != nil {
		return nil, nil, fmt.Errorf("btrfs: superblock: %w", err)
	}
	if string(sb.magic()) != superMagic {
		return nil, nil, fmt.Errorf("btrfs: %w", filesystem.ErrFormat)
	}
	sum := sums(sb.checksumType())
	switch {
	case sum == nil:
		return nil, nil, formatError(superOffset+0xC4, "unknown checksum %d", sb.checksumType())
	case !sum(sb):
		return nil, nil, formatError(superOffset, "checksum of the superblock is wrong")
	case sb.place() != superOffset:
		return nil, nil, formatError(superOffset+0x30, "superblock belongs to byte %d", sb.place())
	}
	if err := sb.check(size); err != nil {
		return nil, nil, err
	}
	for _, at := range superOffsets()[1:] {
		if at > size-superSize {
			break
		}
		mirror := make(superblock, superSize)
		if err := filesystem.ReadFull(r, mirror, at); err != nil {
			return nil, nil, fmt.Errorf("btrfs: superblock at byte %d: %w", at, err)
		}
		ours := string(mirror.magic()) == superMagic && mirror.place() == uint64(at) && bytes.Equal(mirror.fsid(), sb.fsid())
		if ours && sum(mirror) && mirror.generation() > sb.generation() {
			return nil, nil, formatError(at+0x48, "superblock is newer than the one at 64 KiB, generation %d after %d", mirror.generation(), sb.generation())
		}
	}
	return sb, sum, nil
}

// check says whether this package can read the file system.
func (s superblock) check(size int64) error {
	at := func(off int64, format string, args ...any) error {
		return formatError(superOffset+off, format, args...)
	}
	sector, node := s.sectorSize(), s.nodeSize()
	switch {
	case s.flags()&^uint64(knownFlags) != 0:
		return at(0x38, "unknown flags 0x%x: a copy of metadata, or a change by btrfstune that did not end", s.flags()&^uint64(knownFlags))
	case s.incompat()&^uint64(knownIncompat) != 0:
		return at(0xBC, "unknown features 0x%x", s.incompat()&^uint64(knownIncompat))
	case s.incompat()&incompatMixedBackref == 0:
		return at(0xBC, "extent tree of before 2009")
	case s.readOnlyFlags()&^uint64(knownReadOnly) != 0:
		return at(0xB4, "unknown read-only features 0x%x", s.readOnlyFlags()&^uint64(knownReadOnly))
	case s.devices() != 1:
		return at(0x88, "file system of %d devices, of which this is device %d", s.devices(), s.deviceID())
	case sector < 4096 || sector > 65536 || sector&(sector-1) != 0:
		return at(0x90, "sectors of %d bytes", sector)
	case node < sector || node > 65536 || node&(node-1) != 0:
		return at(0x94, "nodes of %d bytes", node)
	case s.deviceBytes() > uint64(size) || s.deviceBytes() < superOffset+superSize:
		return at(0xD1, "a device of %d bytes on a volume of %d", s.deviceBytes(), size)
	case s.deviceBytes()%uint64(sector) != 0:
		return at(0xD1, "a device of %d bytes, no whole sectors", s.deviceBytes())
	case s.systemChunksSize() > systemChunksSize:
		return at(0xA0, "%d bytes of system chunks", s.systemChunksSize())
	case s.rootLevel() > maxLevel || s.chunkLevel() > maxLevel || s.logLevel() > maxLevel:
		return at(0xC6, "trees of more than %d levels", maxLevel+1)
	}
	return nil
}
