package ufs

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"doppel.live/internal/filesystem"
)

const (
	superSize    = 1376    // bytes of the structure; fs_sbsize has it in whole fragments
	superArea    = 8192    // bytes: SBLOCKSIZE
	superMagicAt = 1372    // bytes
	minBlock     = 4096    // bytes: MINBSIZE
	maxBlock     = 1 << 16 // bytes: MAXBSIZE
	minFragment  = 512     // bytes
	summarySize  = 16      // bytes: struct csum
)

// The magic numbers of the superblock.
const (
	magicUFS1   = 0x00011954
	magicUFS2   = 0x19540119
	magicUFS2EA = 0x19012038 // NetBSD's UFS2 with extended attributes: the same layout
)

// Flags of fs_flags. Two bits mean one thing to FreeBSD and another to NetBSD.
const (
	flagUnclean     = 0x01 // not clean when it was mounted
	flagSoftUpdates = 0x02
	flagNeedsCheck  = 0x04 // FS_NEEDSFSCK
	flagGJournal    = 0x40
	flagLog         = 0x100      // NetBSD: FS_DOWAPBL; FreeBSD: ACLs of NFSv4
	flagHashes      = 0x200      // FreeBSD: FS_METACKHASH; NetBSD: quotas
	flagUnknown     = 0x7F000000 // "things that we may someday support", blocks of any size among them

	oldFlagUpdated = 0x80 // in fs_old_flags: fs_flags and fs_sblockloc hold
)

// Bits of fs_metackhash.
const (
	hashSuper = 0x1 // CK_SUPERBLOCK
	hashGroup = 0x2 // CK_CYLGRP
)

// places are where a superblock may lie, in the order in which the BSDs look.
func places() []int64 { return []int64{64 << 10, 8 << 10, 0, 256 << 10} }

// superblock is struct fs, as read at byte at of the volume.
type superblock struct {
	p     []byte // superArea bytes, or what the volume has of them
	at    int64
	order binary.ByteOrder
}

func (s superblock) u32(off int) uint32 { return s.order.Uint32(s.p[off:]) }
func (s superblock) i32(off int) int64  { return int64(int32(s.u32(off))) }
func (s superblock) i64(off int) int64  { return int64(s.order.Uint64(s.p[off:])) }

func (s superblock) copyBlock() int64      { return s.i32(8) }   // fs_sblkno, fragments from the start of a group
func (s superblock) groupBlock() int64     { return s.i32(12) }  // fs_cblkno
func (s superblock) inodeBlock() int64     { return s.i32(16) }  // fs_iblkno
func (s superblock) dataBlock() int64      { return s.i32(20) }  // fs_dblkno
func (s superblock) groupOffset() int64    { return s.i32(24) }  // fs_old_cgoffset
func (s superblock) groupMask() uint32     { return s.u32(28) }  // fs_old_cgmask
func (s superblock) groups() int64         { return s.i32(44) }  // fs_ncg
func (s superblock) blockSize() int64      { return s.i32(48) }  // fs_bsize
func (s superblock) fragmentSize() int64   { return s.i32(52) }  // fs_fsize
func (s superblock) fragments() int64      { return s.i32(56) }  // fs_frag: in a block
func (s superblock) bytes() int64          { return s.i32(104) } // fs_sbsize
func (s superblock) pointers() int64       { return s.i32(116) } // fs_nindir
func (s superblock) id() (a, b uint32)     { return s.u32(144), s.u32(148) }
func (s superblock) summaryBytes() int64   { return s.i32(156) } // fs_cssize
func (s superblock) groupBytes() int64     { return s.i32(160) } // fs_cgsize
func (s superblock) inodesPerGroup() int64 { return s.i32(184) } // fs_ipg
func (s superblock) groupFragments() int64 { return s.i32(188) } // fs_fpg
func (s superblock) clean() byte           { return s.p[209] }   // fs_clean
func (s superblock) oldFlags() uint32      { return uint32(s.p[211]) }
func (s superblock) logVersion() byte      { return s.p[864] }    // fs_journal_version, NetBSD
func (s superblock) logPlace() byte        { return s.p[865] }    // fs_journal_location, NetBSD
func (s superblock) place() int64          { return s.i64(1000) } // fs_sblockloc
func (s superblock) hash() uint32          { return s.u32(1304) } // fs_ckhash
func (s superblock) hashes() uint32        { return s.u32(1308) } // fs_metackhash
func (s superblock) inlineLink() int64     { return s.i32(1320) } // fs_maxsymlinklen
func (s superblock) inodeFormat() int64    { return s.i32(1324) } // fs_old_inodefmt
func (s superblock) blockMask() int64      { return s.i64(1336) } // fs_qbmask
func (s superblock) magic() uint32         { return s.u32(superMagicAt) }

func (s superblock) second() bool { return s.magic() != magicUFS1 }

// UFS1 keeps sizes and counts in its old fields; those of UFS2 are wider.

func (s superblock) size() int64 { // fs_size, in fragments
	if s.second() {
		return s.i64(1080)
	}
	return s.i32(36)
}

func (s superblock) summary() int64 { // fs_csaddr, a fragment
	if s.second() {
		return s.i64(1096)
	}
	return s.i32(152)
}

func (s superblock) freeBlocks() int64 { // fs_cstotal.cs_nbfree
	if s.second() {
		return s.i64(1016)
	}
	return s.i32(196)
}

func (s superblock) freeFragments() int64 { // fs_cstotal.cs_nffree, outside of free blocks
	if s.second() {
		return s.i64(1032)
	}
	return s.i32(204)
}

func (s superblock) flags() uint32 {
	if s.oldFlags()&oldFlagUpdated == 0 {
		return s.oldFlags()
	}
	return s.u32(1312)
}

// has says whether hashes of a kind are kept up to date.
func (s superblock) has(kind uint32) bool {
	return s.second() && s.flags()&flagHashes != 0 && s.hashes()&kind != 0
}

// state is what the superblock says of the last unmount.
func (s superblock) state() filesystem.State {
	switch {
	case s.journal() != "":
		return filesystem.Recovery
	case s.clean() == 1 && s.flags()&(flagUnclean|flagNeedsCheck) == 0:
		return filesystem.Clean
	}
	return filesystem.Dirty
}

// journal names the journal that may hold newer blocks than the volume. The
// one of soft updates is none of these: it only says what a check must look
// at. gjournal holds blocks of any kind back, the superblock too, so that the
// flag of a clean unmount says nothing; NetBSD takes the flag of its log away
// when it unmounts.
func (s superblock) journal() string {
	switch {
	case s.flags()&flagGJournal != 0:
		return "gjournal"
	case s.flags()&flagLog != 0 && s.logVersion() == 1 && (s.logPlace() == 1 || s.logPlace() == 2):
		return "WAPBL"
	}
	return ""
}

// home says whether the superblock lies where it says that the standard one
// lies: its copies in the cylinder groups do not. With blocks of 64 KiB the
// first copy is at byte 65536, where that of UFS2 is looked for first. Before
// there was UFS2, superblocks did not say it.
func (s superblock) home() bool {
	switch {
	case s.oldFlags()&oldFlagUpdated != 0:
		return s.place() == s.at
	case s.second():
		return s.at == 64<<10 && s.place() == s.at
	}
	return s.at == 8<<10
}

// find looks for the superblock. A volume with two that are both at home was
// formatted twice: which of them holds is not for us to say. The copies alone
// are an error too; one of them is given with it, for its name.
func find(r io.ReaderAt, size int64) (superblock, error) {
	var seen, found []superblock
	for _, at := range places() {
		s, ok, err := readSuperblock(r, size, at)
		switch {
		case err != nil:
			return superblock{}, err
		case ok && s.home():
			found = append(found, s)
		case ok:
			seen = append(seen, s)
		}
	}
	switch {
	case len(found) > 1:
		return found[0], formatError(found[1].at, "a second superblock: there is one at byte %d too", found[0].at)
	case len(found) == 1:
		return found[0], nil
	case len(seen) > 0:
		return seen[0], formatError(seen[0].at, "a copy of a superblock that should be at byte %d, where there is none", seen[0].place())
	}
	return superblock{}, fmt.Errorf("ufs: %w", filesystem.ErrFormat)
}

// readSuperblock reads what may be a superblock; ok says whether it is one.
func readSuperblock(r io.ReaderAt, size, at int64) (s superblock, ok bool, err error) {
	if size < at+superSize {
		return s, false, nil
	}
	s = superblock{p: make([]byte, min(superArea, size-at)), at: at}
	if err := filesystem.ReadFull(r, s.p, at); err != nil {
		return s, false, fmt.Errorf("ufs: superblock at byte %d: %w", at, err)
	}
	for _, s.order = range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch s.magic() {
		case magicUFS1, magicUFS2, magicUFS2EA:
			if block := s.blockSize(); powerOfTwo(block, minBlock, maxBlock) {
				return s, true, nil
			}
		}
	}
	return s, false, nil
}

// check holds the superblock against itself and against its volume.
func (s superblock) check(size int64) error {
	bad := func(off int64, format string, args ...any) error { return formatError(s.at+off, format, args...) }
	block, fragment := s.blockSize(), s.fragmentSize()
	switch {
	case !powerOfTwo(fragment, minFragment, block) || block/fragment > 8 || s.fragments() != block/fragment:
		return bad(52, "fragments of %d bytes, %d in a block of %d", fragment, s.fragments(), block)
	case s.bytes() < superSize || s.bytes() > superArea:
		return bad(104, "a superblock of %d bytes", s.bytes())
	case !s.second() && (s.inodeFormat() != 2 || s.blockMask() != block-1):
		return bad(1324, "neither 4.4BSD nor one of those after it: a file system of 4.2BSD or Solaris")
	case s.flags()&flagUnknown != 0:
		return bad(1312, "unknown flags %#x", s.flags()&flagUnknown)
	case s.pointers() != block/s.pointerSize():
		return bad(116, "%d pointers in a block of %d bytes", s.pointers(), block)
	case s.size() <= 0 || s.size() > size/fragment:
		return bad(36, "%d fragments of %d bytes on a volume of %d", s.size(), fragment, size)
	}
	if s.has(hashSuper) {
		if int64(len(s.p)) < s.bytes() {
			return bad(104, "a superblock of %d bytes at the end of the volume", s.bytes())
		}
		if sum := hash(s.p[:s.bytes()], 1304); sum != s.hash() {
			return bad(1304, "the hash of the superblock is %#x, not %#x", sum, s.hash())
		}
	}
	return s.checkGroups()
}

// checkGroups is check for the cylinder groups: the layout of each, and that
// together they are the file system.
func (s superblock) checkGroups() error {
	bad := func(off int64, format string, args ...any) error { return formatError(s.at+off, format, args...) }
	block, fragment, per := s.blockSize(), s.fragmentSize(), s.groupFragments()
	switch {
	case per <= 0 || per > 8*block || per%s.fragments() != 0:
		return bad(188, "%d fragments in a cylinder group", per)
	case s.groups() != (s.size()+per-1)/per:
		return bad(44, "%d cylinder groups of %d fragments in %d", s.groups(), per, s.size())
	case s.groupBytes() < groupHeader || s.groupBytes() > block:
		return bad(160, "cylinder group headers of %d bytes", s.groupBytes())
	case s.inodesPerGroup() <= 0 || s.inodesPerGroup() > 8*block:
		return bad(184, "%d inodes in a cylinder group", s.inodesPerGroup())
	case s.copyBlock() < 0 || s.groupBlock() < s.copyBlock()+(s.bytes()+fragment-1)/fragment:
		return bad(8, "superblocks at fragment %d and headers at %d of the cylinder groups", s.copyBlock(), s.groupBlock())
	case s.inodeBlock() < s.groupBlock()+(s.groupBytes()+fragment-1)/fragment:
		return bad(12, "headers at fragment %d and inodes at %d of the cylinder groups", s.groupBlock(), s.inodeBlock())
	case s.dataBlock() < s.inodeBlock()+s.inodeBlocks()*s.fragments() || s.dataBlock() > per:
		return bad(16, "inodes at fragment %d and data at %d of the cylinder groups", s.inodeBlock(), s.dataBlock())
	case s.at+s.bytes() > s.dataBlock()*fragment:
		return bad(20, "data in front of fragment %d of the first cylinder group", s.dataBlock())
	case s.summaryBytes() < s.groups()*summarySize || s.summaryBytes()/fragment > s.size():
		return bad(156, "a summary of %d bytes for %d cylinder groups", s.summaryBytes(), s.groups())
	case s.summary() < s.dataBlock() || s.summary() > s.size()-s.summaryFragments():
		return bad(152, "a summary at fragment %d", s.summary())
	}
	return nil
}

// start is the fragment that the metadata of a cylinder group is counted from:
// old disks have it on another platter in each group. For example, with an
// offset of 64 and the mask ^3, the groups 0 to 4 have it at 0, 64, 128, 192
// and 0 of the group.
func (s superblock) start(c int64) int64 {
	base := c * s.groupFragments()
	if s.second() {
		return base
	}
	return base + s.groupOffset()*(c&int64(^s.groupMask()))
}

// inodeSize is that of an inode, in bytes.
func (s superblock) inodeSize() int64 {
	if s.second() {
		return 256
	}
	return 128
}

// pointerSize is that of a fragment's number in inodes and indirect blocks, in
// bytes.
func (s superblock) pointerSize() int64 {
	if s.second() {
		return 8
	}
	return 4
}

// inodeBlocks is the number of blocks that hold the inodes of a group.
func (s superblock) inodeBlocks() int64 {
	return (s.inodesPerGroup()*s.inodeSize() + s.blockSize() - 1) / s.blockSize()
}

// summaryFragments is the length of the summary of all groups.
func (s superblock) summaryFragments() int64 {
	return (s.summaryBytes() + s.fragmentSize() - 1) / s.fragmentSize()
}

// info is what the superblock alone says. Version 2 alone has a label.
func (s superblock) info() filesystem.Info {
	info := filesystem.Info{Type: "ufs", Version: "1", BlockSize: s.fragmentSize(), State: s.state()}
	if s.second() {
		info.Version = "2"
		name, _, _ := strings.Cut(string(s.p[680:712]), "\x00")
		info.Label = strings.TrimRight(name, " ")
	}
	if a, b := s.id(); a != 0 || b != 0 {
		info.UUID = fmt.Sprintf("%08x%08x", a, b)
	}
	return info
}

// powerOfTwo says whether n is one, between lo and hi.
func powerOfTwo(n, lo, hi int64) bool { return n >= lo && n <= hi && n&(n-1) == 0 }
