package ext

import (
	"fmt"
	"slices"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// descriptor is one group descriptor, as read: 32 bytes, or more with 64bit.
type descriptor []byte

func (d descriptor) blockBitmap() uint64 { return d.wide(0x00, 0x20) } // bg_block_bitmap
func (d descriptor) inodeBitmap() uint64 { return d.wide(0x04, 0x24) } // bg_inode_bitmap
func (d descriptor) inodeTable() uint64  { return d.wide(0x08, 0x28) } // bg_inode_table
func (d descriptor) flags() uint16       { return le.Uint16(d[0x12:]) }
func (d descriptor) checksum() uint16    { return le.Uint16(d[0x1E:]) }

func (d descriptor) wide(lo, hi int) uint64 {
	v := uint64(le.Uint32(d[lo:]))
	if len(d) >= 64 {
		v |= uint64(le.Uint32(d[hi:])) << 32
	}
	return v
}

// freeClusters is bg_free_blocks_count; clusters with bigalloc.
func (d descriptor) freeClusters() int64 {
	v := int64(le.Uint16(d[0x0C:]))
	if len(d) >= 64 {
		v |= int64(le.Uint16(d[0x2C:])) << 16
	}
	return v
}

const flagBlockUninit = 0x2 // bg_flags: the block bitmap was never written

// blockUninit says whether the block bitmap of the group must be computed. The
// flag counts only where descriptors have checksums.
func (f *fileSystem) blockUninit(d descriptor) bool {
	return f.sb.roCompat()&(roCompatGDTCsum|roCompatMetadataCsum) != 0 && d.flags()&flagBlockUninit != 0
}

// groupStart is the first block of group g.
func (f *fileSystem) groupStart(g int64) int64 { return f.firstBlock + g*f.groupBlocks }

// groupEnd is the first block behind group g.
func (f *fileSystem) groupEnd(g int64) int64 { return min(f.groupStart(g+1), f.blocks) }

// hasSuper says whether group g begins with a copy of the superblock.
func (f *fileSystem) hasSuper(g int64) bool {
	switch {
	case g == 0:
		return true
	case f.sb.compat()&compatSparseSuper2 != 0:
		return g == f.sb.backupGroup(0) || g == f.sb.backupGroup(1)
	case g == 1 || f.sb.roCompat()&roCompatSparseSuper == 0:
		return true
	}
	return powerOf(g, 3) || powerOf(g, 5) || powerOf(g, 7)
}

func powerOf(n, base int64) bool {
	for n%base == 0 {
		n /= base
	}
	return n == 1
}

// baseBlocks is the number of blocks at the start of group g that hold the
// superblock, group descriptors and room for more of these.
func (f *fileSystem) baseBlocks(g int64) int64 {
	var n int64
	if f.hasSuper(g) {
		n = 1
		if g == 0 && f.blockSize == 1024 && f.firstBlock == 0 {
			n = 2 // the boot block is a block of its own, before the superblock
		}
	}
	meta := g / f.descsPerBlock // number of the meta group, and of its descriptor block
	if f.sb.incompat()&incompatMetaBG != 0 && meta >= f.sb.firstMetaBG() {
		switch g % f.descsPerBlock {
		case 0, 1, f.descsPerBlock - 1:
			n++
		}
		return n
	}
	if n > 0 {
		n += f.oldDescBlocks + f.reservedDescs
	}
	return n
}

// descBlock is the block that holds block i of the descriptor table.
func (f *fileSystem) descBlock(i int64) int64 {
	if i < f.oldDescBlocks {
		return superOffset/f.blockSize + 1 + i // behind the superblock: block 1, or 2 where blocks are 1 KiB
	}
	g := i * f.descsPerBlock
	block := f.groupStart(g)
	if f.hasSuper(g) {
		block++
	}
	if g == 0 && f.blockSize == 1024 && f.firstBlock == 0 {
		block++
	}
	return block
}

const descChunk = 256 << 10 // bytes of the descriptor table read at once

// descriptors calls do with every group and its descriptor, in order. The
// descriptor is valid during the call. Their checksums are right, and what
// they point to is within the file system.
func (f *fileSystem) descriptors(do func(g int64, d descriptor) error) error {
	buf := make([]byte, max(min(descChunk, f.descBlocks*f.blockSize), f.blockSize))
	for i := int64(0); i < f.descBlocks; {
		first, n := f.descBlock(i), int64(1)
		for i+n < f.descBlocks && (n+1)*f.blockSize <= int64(len(buf)) && f.descBlock(i+n) == first+n {
			n++
		}
		if first+n > f.blocks {
			return formatError(first*f.blockSize, "the group descriptors leave the file system")
		}
		table := buf[:n*f.blockSize]
		if err := filesystem.ReadFull(f.r, table, first*f.blockSize); err != nil {
			return fmt.Errorf("ext: group descriptors at byte %d: %w", first*f.blockSize, err)
		}
		for j := range n * f.descsPerBlock {
			g := i*f.descsPerBlock + j
			if g == f.groups {
				return nil
			}
			d := descriptor(table[j*f.descSize:][:f.descSize])
			if err := f.checkDescriptor(g, d, first*f.blockSize+j*f.descSize); err != nil {
				return err
			}
			if err := do(g, d); err != nil {
				return err
			}
		}
		i += n
	}
	return nil
}

// checkDescriptor holds the descriptor of group g, found at byte off, against
// its checksum and the size of the file system.
func (f *fileSystem) checkDescriptor(g int64, d descriptor, off int64) error {
	if sum, ok := f.descriptorSum(g, d); ok && sum != d.checksum() {
		return formatError(off+0x1E, "wrong checksum of the descriptor of group %d", g)
	}
	blocks := uint64(f.blocks)
	switch {
	case d.blockBitmap() >= blocks || d.blockBitmap() <= uint64(f.firstBlock):
		return formatError(off, "block bitmap of group %d at block %d", g, d.blockBitmap())
	case d.inodeBitmap() >= blocks || d.inodeBitmap() <= uint64(f.firstBlock):
		return formatError(off+4, "inode bitmap of group %d at block %d", g, d.inodeBitmap())
	case d.inodeTable() >= blocks || d.inodeTable() <= uint64(f.firstBlock) || uint64(f.inodeBlocks) > blocks-d.inodeTable():
		return formatError(off+8, "inode table of group %d at block %d", g, d.inodeTable())
	}
	return nil
}

// descriptorSum is the checksum that the descriptor of group g should have; ok
// is false where descriptors have none.
func (f *fileSystem) descriptorSum(g int64, d descriptor) (sum uint16, ok bool) {
	var group [4]byte
	le.PutUint32(group[:], uint32(g))
	switch {
	case f.sb.roCompat()&roCompatMetadataCsum != 0:
		crc := f.crc32c(f.checksumSeed, group[:])
		crc = f.crc32c(crc, d[:0x1E])
		crc = f.crc32c(crc, []byte{0, 0})
		return uint16(f.crc32c(crc, d[0x20:])), true
	case f.sb.roCompat()&roCompatGDTCsum != 0:
		crc := crc16(0xFFFF, f.sb.uuid())
		crc = crc16(crc, group[:])
		crc = crc16(crc, d[:0x1E])
		return crc16(crc, d[0x20:]), true
	}
	return 0, false
}

// crc16 is the CRC of polynomial 0x8005, bits reversed.
func crc16(crc uint16, p []byte) uint16 {
	for _, b := range p {
		crc ^= uint16(b)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low != 0 {
				crc ^= 0xA001
			}
		}
	}
	return crc
}

const maxForeign = 1 << 20 // runs of metadata outside their groups; 16 MiB of them

// scanDescriptors reads all descriptors once: it checks them, counts the free
// clusters and collects the bitmaps and inode tables that lie outside their
// group, as with flex_bg.
func (f *fileSystem) scanDescriptors() error {
	err := f.descriptors(func(g int64, d descriptor) error {
		f.freeClusters += d.freeClusters()
		for _, e := range f.metadata(d) {
			if e.Offset >= f.groupStart(g) && e.End() <= f.groupEnd(g) {
				continue
			}
			// Runs of neighbouring groups lie side by side: join them as they come.
			if n := len(f.foreign); !joinTail(f.foreign[max(0, n-3):], e) {
				f.foreign = append(f.foreign, e)
			}
			if len(f.foreign) > maxForeign {
				return formatError(superOffset, "more than %d bitmaps and inode tables out of place", maxForeign)
			}
		}
		return nil
	})
	f.foreign = slices.Clip(extent.Union(f.foreign))
	return err
}

// joinTail appends e to one of runs that ends where e begins.
func joinTail(runs []extent.Extent, e extent.Extent) bool {
	for i := range runs {
		if runs[i].End() == e.Offset {
			runs[i].Length += e.Length
			return true
		}
	}
	return false
}

// metadata gives the runs of blocks (not bytes) that the group's descriptor
// points to.
func (f *fileSystem) metadata(d descriptor) [3]extent.Extent {
	return [3]extent.Extent{
		{Offset: int64(d.blockBitmap()), Length: 1},
		{Offset: int64(d.inodeBitmap()), Length: 1},
		{Offset: int64(d.inodeTable()), Length: f.inodeBlocks},
	}
}
