package ext

import (
	"bytes"
	"fmt"
	"io/fs"
	"time"

	"doppel.live/internal/filesystem"
)

// inode is one inode, as read: s_inode_size bytes.
//
//	0x00  2  i_mode               0x28  60  i_block: map, target or data
//	0x02  2  i_uid, lower half    0x64  4   i_generation
//	0x04  4  i_size, lower half   0x68  4   i_file_acl, block of attributes
//	0x08  4  i_atime              0x6C  4   i_size, upper half
//	0x0C  4  i_ctime              0x76  2   i_file_acl, upper half
//	0x10  4  i_mtime              0x78  2   i_uid, upper half
//	0x18  2  i_gid, lower half    0x7A  2   i_gid, upper half
//	0x1A  2  i_links_count        0x7C  2   checksum, lower half
//	0x1C  4  i_blocks             0x80  2   i_extra_isize: bytes in use behind 128
//	0x20  4  i_flags              0x82  2   checksum, upper half
//	0x84  4  of ctime, 0x88 of mtime, 0x8C of atime: nanoseconds << 2 | epoch
//	0x90  4  i_crtime, 0x94 its nanoseconds
type inode struct {
	f      *fileSystem
	number int64
	at     int64 // bytes from the start of the volume
	p      []byte
}

// i_flags, as far as they matter here.
const (
	inodeFlagEncrypted = 0x800
	inodeFlagIndex     = 0x1000
	inodeFlagExtents   = 0x80000
	inodeFlagInline    = 0x10000000
)

// The types in i_mode.
const (
	modeType      = 0xF000
	modeFifo      = 0x1000
	modeCharacter = 0x2000
	modeDirectory = 0x4000
	modeBlock     = 0x6000
	modeRegular   = 0x8000
	modeSymlink   = 0xA000
	modeSocket    = 0xC000
)

const blockOff = 0x28 // of i_block

func (in *inode) mode() uint16          { return le.Uint16(in.p) }
func (in *inode) kind() uint16          { return in.mode() & modeType }
func (in *inode) links() uint16         { return le.Uint16(in.p[0x1A:]) }
func (in *inode) has(flags uint32) bool { return le.Uint32(in.p[0x20:])&flags != 0 }
func (in *inode) block() []byte         { return in.p[blockOff : blockOff+60] } // i_block
func (in *inode) uid() uint32           { return in.halves(0x02, 0x78) }
func (in *inode) gid() uint32           { return in.halves(0x18, 0x7A) }
func (in *inode) generation() []byte    { return in.p[0x64:0x68] }

func (in *inode) halves(lo, hi int) uint32 {
	return uint32(le.Uint16(in.p[lo:])) | uint32(le.Uint16(in.p[hi:]))<<16
}

// size is i_size, in bytes. Its upper half has another meaning in directories
// without large_dir.
func (in *inode) size() int64 {
	n := int64(le.Uint32(in.p[0x04:]))
	if in.kind() == modeRegular || in.f.sb.incompat()&incompatLargeDir != 0 {
		n |= int64(le.Uint32(in.p[0x6C:])) << 32
	}
	return n
}

// attributeBlock is i_file_acl: the block that holds extended attributes, or 0.
func (in *inode) attributeBlock() int64 {
	n := int64(le.Uint32(in.p[0x68:]))
	if in.f.sb.incompat()&incompat64Bit != 0 {
		n |= int64(le.Uint16(in.p[0x76:])) << 32
	}
	return n
}

// extra is where the fields behind the first 128 bytes end.
func (in *inode) extra() int {
	if len(in.p) <= 128 {
		return 128
	}
	return 128 + int(le.Uint16(in.p[0x80:]))
}

// time reads a time at off and, where the inode has it, what its other field
// adds: nanoseconds, and 2 bits that carry the seconds beyond 2038.
//
//	seconds -1, epoch bits 1  →  2106-02-07 06:28:15
func (in *inode) time(off, more int) time.Time {
	seconds, nanoseconds := int64(int32(le.Uint32(in.p[off:]))), int64(0)
	if in.extra() >= more+4 {
		v := le.Uint32(in.p[more:])
		seconds += int64(v&3) << 32
		nanoseconds = int64(v >> 2)
	}
	return time.Unix(seconds, nanoseconds)
}

// created is i_crtime, zero where the inode has none.
func (in *inode) created() time.Time {
	if in.extra() < 0x94 {
		return time.Time{}
	}
	return in.time(0x90, 0x94)
}

// fileMode is i_mode in the words of package fs.
func (in *inode) fileMode() fs.FileMode {
	m := fs.FileMode(in.mode() & 0o777)
	for i, mode := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if in.mode()&(0o1000<<i) != 0 {
			m |= mode
		}
	}
	switch in.kind() {
	case modeFifo:
		m |= fs.ModeNamedPipe
	case modeCharacter:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case modeDirectory:
		m |= fs.ModeDir
	case modeBlock:
		m |= fs.ModeDevice
	case modeSymlink:
		m |= fs.ModeSymlink
	case modeSocket:
		m |= fs.ModeSocket
	}
	return m
}

// device is the number of a device node: the old form of 8 bits each at the
// begin of i_block, or the new one behind it.
func (in *inode) device() uint64 {
	if in.kind() != modeCharacter && in.kind() != modeBlock {
		return 0
	}
	if old := le.Uint32(in.block()); old != 0 {
		return uint64(old>>8&0xFF)<<32 | uint64(old&0xFF)
	}
	v := le.Uint32(in.block()[4:])
	return uint64(v>>8&0xFFF)<<32 | uint64(v&0xFF|v>>12&0xFFF00)
}

// check says whether the inode is one in use whose numbers make sense.
func (in *inode) check() error {
	if extra := in.extra(); extra > len(in.p) || extra%4 != 0 {
		return formatError(in.at+0x80, "%d bytes in use behind the first 128", extra-128)
	}
	if in.f.sb.roCompat()&roCompatMetadataCsum != 0 {
		sum, want := in.sum()
		if sum != want {
			return formatError(in.at+0x7C, "wrong checksum of the inode")
		}
	}
	switch in.kind() {
	case modeFifo, modeCharacter, modeDirectory, modeBlock, modeRegular, modeSymlink, modeSocket:
	default:
		return formatError(in.at, "mode %#o", in.mode())
	}
	if size := in.size(); size < 0 || size > in.maxSize() {
		return formatError(in.at+0x04, "a size of %d bytes", uint64(size))
	}
	return nil
}

// maxSize is what the map of the inode can hold, in bytes.
func (in *inode) maxSize() int64 {
	if in.has(inodeFlagInline) {
		return int64(len(in.p))
	}
	size := in.f.blockSize
	if in.has(inodeFlagExtents) {
		return size << 32
	}
	per := size / 4
	return min(12+per+per*per+per*per*per, 1<<32) * size
}

// sum is the checksum of the inode as it should be and as it is: its lower
// half where there is no room for the upper one.
func (in *inode) sum() (should, is uint32) {
	p := bytes.Clone(in.p)
	is = uint32(le.Uint16(p[0x7C:]))
	clear(p[0x7C:0x7E])
	wide := in.extra() >= 0x84
	if wide {
		is |= uint32(le.Uint16(p[0x82:])) << 16
		clear(p[0x82:0x84])
	}
	should = in.f.crc32c(in.checksumSeed(), p)
	if !wide {
		should &= 0xFFFF
	}
	return should, is
}

// checksumSeed is what the checksums of the inode and of its blocks begin with.
func (in *inode) checksumSeed() uint32 {
	var number [4]byte
	le.PutUint32(number[:], uint32(in.number))
	return in.f.crc32c(in.f.crc32c(in.f.checksumSeed, number[:]), in.generation())
}

// inodeReader reads inodes. It holds one block of an inode table, since the
// inodes of neighbours in a directory are neighbours too.
type inodeReader struct {
	f     *fileSystem
	group int64 // whose table is at block table
	table int64 // 0: of none yet
	block int64 // that is in buf
	buf   []byte
}

// read reads an inode and checks it.
func (r *inodeReader) read(number int64) (*inode, error) {
	f := r.f
	per := f.sb.inodesPerGroup()
	g := (number - 1) / per
	if number < 1 || number > f.sb.inodes() || g >= f.groups {
		return nil, formatError(superOffset, "inode %d of %d", number, f.sb.inodes())
	}
	if r.table == 0 || g != r.group {
		if err := r.findTable(g); err != nil {
			return nil, err
		}
	}
	at := r.table*f.blockSize + (number-1)%per*f.sb.inodeSize()
	if block := at / f.blockSize; r.buf == nil || block != r.block {
		if r.buf == nil {
			r.buf = make([]byte, f.blockSize)
		}
		r.block = -1
		if err := filesystem.ReadFull(f.r, r.buf, block*f.blockSize); err != nil {
			return nil, fmt.Errorf("ext: inode table at byte %d: %w", block*f.blockSize, err)
		}
		r.block = block
	}
	in := &inode{f, number, at, bytes.Clone(r.buf[at%f.blockSize:][:f.sb.inodeSize()])}
	return in, in.check()
}

// findTable reads the descriptor of group g.
func (r *inodeReader) findTable(g int64) error {
	f := r.f
	d := make(descriptor, f.descSize)
	at := f.descBlock(g/f.descsPerBlock)*f.blockSize + g%f.descsPerBlock*f.descSize
	if err := filesystem.ReadFull(f.r, d, at); err != nil {
		return fmt.Errorf("ext: group descriptors at byte %d: %w", at, err)
	}
	if err := f.checkDescriptor(g, d, at); err != nil {
		return err
	}
	r.group, r.table = g, int64(d.inodeTable())
	return nil
}
