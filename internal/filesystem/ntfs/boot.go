package ntfs

import (
	"fmt"
	"io"

	"doppel.live/internal/filesystem"
)

const magic = "NTFS    "

// boot is what the boot sector says.
//
//	0x03   8  "NTFS    "
//	0x0B   2  bytes in a sector
//	0x0D   1  sectors in a cluster; above 0x80 the negative log2 of them
//	0x28   8  sectors of the volume, without the copy of this one behind them
//	0x30   8  first cluster of $MFT
//	0x40   1  clusters in an MFT record; negative: log2 of its bytes
//	0x48   8  serial number
//	0x1FE  2  55 AA
type boot struct {
	sector   int64 // bytes
	cluster  int64 // bytes
	record   int64 // bytes in an MFT record
	sectors  int64
	clusters int64 // whole ones
	mft      int64 // cluster
	serial   uint64
}

// size is the length in bytes of the volume, without the copy of the boot
// sector.
func (b boot) size() int64 { return b.sectors * b.sector }

func readBoot(r io.ReaderAt, size int64) (boot, error) {
	var b boot
	if size < 512 {
		return b, fmt.Errorf("ntfs: %d bytes: %w", size, filesystem.ErrFormat)
	}
	p := make([]byte, 512)
	if err := filesystem.ReadFull(r, p, 0); err != nil {
		return b, fmt.Errorf("ntfs: boot sector: %w", err)
	}
	if string(p[3:11]) != magic {
		return b, fmt.Errorf("ntfs: %w", filesystem.ErrFormat)
	}
	b.sector = int64(le.Uint16(p[0x0B:]))
	if !powerOfTwo(b.sector, 512, 4096) {
		return b, formatError(0x0B, "%d bytes in a sector", b.sector)
	}
	b.cluster = count(p[0x0D], 0x80) * b.sector
	if !powerOfTwo(b.cluster, 512, 2<<20) {
		return b, formatError(0x0D, "%#x sectors of %d bytes in a cluster", p[0x0D], b.sector)
	}
	sectors := le.Uint64(p[0x28:])
	if sectors == 0 || sectors > uint64(size/b.sector) {
		return b, formatError(0x28, "%d sectors of %d bytes on a volume of %d bytes", sectors, b.sector, size)
	}
	b.sectors = int64(sectors)
	b.clusters = b.size() / b.cluster
	mft := le.Uint64(p[0x30:])
	if mft == 0 || mft >= uint64(b.clusters) {
		return b, formatError(0x30, "$MFT at cluster %d of %d", mft, b.clusters)
	}
	b.mft = int64(mft)
	if b.record = int64(p[0x40]) * b.cluster; p[0x40] >= 0x80 {
		b.record = 1 << min(-int(int8(p[0x40])), 31)
	}
	if !powerOfTwo(b.record, 512, 64<<10) {
		return b, formatError(0x40, "%#x clusters of %d bytes in an MFT record", p[0x40], b.cluster)
	}
	b.serial = le.Uint64(p[0x48:])
	return b, nil
}

// count reads a number that stands for itself up to limit and, above, for two
// to the power of its negative: 0xF4 is 2¹².
func count(c byte, limit byte) int64 {
	if c <= limit {
		return int64(c)
	}
	return 1 << min(-int(int8(c)), 31)
}

func powerOfTwo(n, lo, hi int64) bool { return n >= lo && n <= hi && n&(n-1) == 0 }
