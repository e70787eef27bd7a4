package fat

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"doppel.live/internal/filesystem"
)

const bootSize = 512 // bytes of the boot sector that mean something, whatever the sector

// bootSector is the first sector with the BIOS parameter block.
//
//	0   3  jump                    FAT12, FAT16         FAT32
//	11  2  bytes per sector        37  1   dirty flags  36  4   sectors per FAT
//	13  1  sectors per cluster     39  4   serial       40  2   flags: active FAT
//	14  2  reserved sectors        43  11  label        42  2   version, 0
//	16  1  FATs                    54  8   "FAT16   "   44  4   root's first cluster
//	17  2  root entries                                 50  2   backup boot sector
//	19  2  sectors, or 32  4                            65  1   dirty flags
//	21  1  media                                        67  4   serial
//	22  2  sectors per FAT; 0: FAT32                    71  11  label
//	510 2  55 AA                                        82  8   "FAT32   "
type bootSector []byte

func (b bootSector) sector() int64      { return int64(le.Uint16(b[11:])) } // bytes; BPB_BytsPerSec
func (b bootSector) cluster() int64     { return int64(b[13]) }             // sectors; BPB_SecPerClus
func (b bootSector) reserved() int64    { return int64(le.Uint16(b[14:])) } // sectors; BPB_RsvdSecCnt
func (b bootSector) fats() int64        { return int64(b[16]) }             // BPB_NumFATs
func (b bootSector) rootEntries() int64 { return int64(le.Uint16(b[17:])) } // BPB_RootEntCnt
func (b bootSector) media() byte        { return b[21] }                    // BPB_Media
func (b bootSector) fat32() bool        { return le.Uint16(b[22:]) == 0 }   // BPB_FATSz16
func (b bootSector) flags() uint16      { return le.Uint16(b[40:]) }        // BPB_ExtFlags, FAT32
func (b bootSector) version() uint16    { return le.Uint16(b[42:]) }        // BPB_FSVer, FAT32
func (b bootSector) rootCluster() int64 { return int64(le.Uint32(b[44:])) } // BPB_RootClus, FAT32
func (b bootSector) backup() int64      { return int64(le.Uint16(b[50:])) } // sector; BPB_BkBootSec, FAT32

// sectors are those of the whole volume: BPB_TotSec16 or BPB_TotSec32.
func (b bootSector) sectors() int64 {
	if n := le.Uint16(b[19:]); n != 0 {
		return int64(n)
	}
	return int64(le.Uint32(b[32:]))
}

// fatLength is in sectors: BPB_FATSz16 or BPB_FATSz32.
func (b bootSector) fatLength() int64 {
	if b.fat32() {
		return int64(le.Uint32(b[36:]))
	}
	return int64(le.Uint16(b[22:]))
}

// extra is where the block behind the BPB of both kinds begins: flags,
// signature, serial number, label, name.
func (b bootSector) extra() []byte {
	if b.fat32() {
		return b[64:]
	}
	return b[36:]
}

func (b bootSector) dirty() bool    { return b.extra()[1]&3 != 0 } // bit 0: not unmounted, bit 1: errors
func (b bootSector) serial() uint32 { return le.Uint32(b.extra()[3:]) }
func (b bootSector) label() string  { return text(b.extra()[7:18]) }
func (b bootSector) name() string   { return string(b.extra()[18:26]) }

// table is the byte where a FAT begins.
func (b bootSector) table(n int64) int64 { return (b.reserved() + n*b.fatLength()) * b.sector() }

// rootSectors are those of the root directory of FAT12 and FAT16.
func (b bootSector) rootSectors() int64 {
	return (b.rootEntries()*32 + b.sector() - 1) / b.sector()
}

// dataStart is the first sector of cluster 2.
func (b bootSector) dataStart() int64 {
	return b.reserved() + b.fats()*b.fatLength() + b.rootSectors()
}

// plausible says whether the numbers can be those of a FAT.
func (b bootSector) plausible() bool {
	return powerOfTwo(b.sector(), 512, 4096) && powerOfTwo(b.cluster(), 1, 128) &&
		b.reserved() > 0 && b.fats() > 0 && b.fats() <= 4 && b.fatLength() > 0 &&
		(b.media() == 0xF0 || b.media() >= 0xF8) && b.sectors() > b.dataStart() &&
		(b.fat32() || b.rootEntries() > 0)
}

// signed says whether the sector has the name of a FAT, or at least what a PC
// wants of a sector that it boots.
func (b bootSector) signed() bool {
	return strings.HasPrefix(b.name(), "FAT") || strings.HasPrefix(b.name(), "MSDOS") ||
		(b[0] == 0xEB || b[0] == 0xE9) && b[510] == 0x55 && b[511] == 0xAA
}

// readBoot reads the boot sector. There is no sure magic: the numbers must
// fit, and neither NTFS nor BitLocker be named.
func readBoot(r io.ReaderAt, size int64) (bootSector, error) {
	notFAT := fmt.Errorf("fat: %w", filesystem.ErrFormat)
	if size < bootSize {
		return nil, notFAT
	}
	b := make(bootSector, bootSize)
	if err := readFull(r, b, 0); err != nil {
		return nil, err
	}
	switch oem := string(b[3:11]); {
	case oem == "NTFS    ", oem == "-FVE-FS-", oem == "EXFAT   ", !b.signed(), !b.plausible():
		return nil, notFAT
	}
	return b, nil
}

// geometry checks the numbers of the boot sector against each other and
// against the volume.
//
// The width of entries follows from the number of clusters, except for FAT32,
// whose BPB differs: mkfs.fat makes small ones with fewer than 65525 clusters.
func (f *fileSystem) geometry(size int64) error {
	b := f.boot
	if f.info.Size > size {
		return formatError(32, "a file system of %d bytes on a volume of %d", f.info.Size, size)
	}
	f.clusterSize = b.cluster() * b.sector()
	f.data = b.dataStart() * b.sector()
	f.clusters = (b.sectors() - b.dataStart()) / b.cluster()
	switch {
	case b.fat32():
		f.width = 32
	case f.clusters < 4085:
		f.width = 12
	default:
		f.width = 16
	}
	name := b.name()
	switch {
	case f.clusters == 0:
		return formatError(13, "no clusters")
	case f.width == 16 && f.clusters >= 65525, f.clusters > 0x0FFFFFF5:
		return formatError(13, "%d clusters are too many for FAT%d", f.clusters, f.width)
	case f.width == 12 && name == "FAT16   ", f.width == 16 && name == "FAT12   ":
		return formatError(54, "%q with %d clusters", name, f.clusters)
	case b.fatLength()*b.sector() < f.tableBytes():
		return formatError(22, "FATs of %d sectors for %d clusters", b.fatLength(), f.clusters)
	case f.width == 32 && b.rootEntries() != 0:
		return formatError(17, "FAT32 with a root directory of %d entries", b.rootEntries())
	case f.width == 32 && b.version() != 0:
		return formatError(42, "version %#x", b.version())
	case f.width == 32 && !f.valid(b.rootCluster()):
		return formatError(44, "root directory in cluster %d of %d", b.rootCluster(), f.clusters)
	case f.width == 32 && b.flags()&0x80 != 0 && int64(b.flags()&0xF) >= b.fats():
		return formatError(40, "FAT %d of %d is active", b.flags()&0xF, b.fats())
	}
	return nil
}

// tableBytes is how much of a FAT is used.
func (f *fileSystem) tableBytes() int64 { return ((f.clusters+2)*f.width + 7) / 8 }

// valid says whether there is a cluster of that number.
func (f *fileSystem) valid(cluster int64) bool { return cluster >= 2 && cluster < f.clusters+2 }

// compareBackup refuses a FAT32 whose backup boot sector has another layout:
// one of the two is damaged. A backup without the signature of a boot sector
// was never written.
func (f *fileSystem) compareBackup() error {
	b := f.boot
	if n := b.backup(); !b.fat32() || n == 0 || n >= b.reserved() {
		return nil
	}
	at := b.backup() * b.sector()
	copied := make(bootSector, bootSize)
	if err := readFull(f.r, copied, at); err != nil {
		return err
	}
	if copied[510] != 0x55 || copied[511] != 0xAA {
		return nil
	}
	// Not the geometry of the disk and the hidden sectors, bytes 24 to 31.
	for _, field := range [][2]int64{{11, 24}, {32, 40}, {44, 48}} {
		if !bytes.Equal(b[field[0]:field[1]], copied[field[0]:field[1]]) {
			return formatError(at+field[0], "the backup boot sector says something else than the boot sector")
		}
	}
	return nil
}

// powerOfTwo says whether n is one, between lo and hi.
func powerOfTwo(n, lo, hi int64) bool { return n >= lo && n <= hi && n&(n-1) == 0 }
