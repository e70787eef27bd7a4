package exfat

import (
	"fmt"
	"io"

	"doppel.live/internal/filesystem"
)

const bootSize = 512 // bytes of the boot sector that mean something, whatever the sector

// Flags of the volume.
const (
	flagDirty        = 1 << 1
	flagMediaFailure = 1 << 2
)

// bootSector is the first sector.
//
//	3    8   "EXFAT   "                  100  4  serial number
//	11   53  0, where FAT has its BPB    104  2  revision, 0x0100
//	72   8   sectors of the volume       106  2  flags of the volume
//	80   4   first sector of the FAT     108  1  log2 of bytes per sector
//	84   4   its sectors                 109  1  log2 of sectors per cluster
//	88   4   first sector of the heap    110  1  FATs; 2: TexFAT
//	92   4   clusters                    112  1  percent in use
//	96   4   root's first cluster        510  2  55 AA
type bootSector []byte

func (b bootSector) sectors() uint64    { return le.Uint64(b[72:]) }              // VolumeLength
func (b bootSector) fat() int64         { return int64(le.Uint32(b[80:])) }       // FatOffset, sectors
func (b bootSector) fatLength() int64   { return int64(le.Uint32(b[84:])) }       // FatLength, sectors
func (b bootSector) heapSector() int64  { return int64(le.Uint32(b[88:])) }       // ClusterHeapOffset
func (b bootSector) clusters() int64    { return int64(le.Uint32(b[92:])) }       // ClusterCount
func (b bootSector) root() int64        { return int64(le.Uint32(b[96:])) }       // FirstClusterOfRootDirectory
func (b bootSector) serial() uint32     { return le.Uint32(b[100:]) }             // VolumeSerialNumber
func (b bootSector) revision() uint16   { return le.Uint16(b[104:]) }             // FileSystemRevision
func (b bootSector) flags() uint16      { return le.Uint16(b[106:]) }             // VolumeFlags
func (b bootSector) sectorShift() uint  { return uint(b[108]) }                   // BytesPerSectorShift
func (b bootSector) clusterShift() uint { return uint(b[109]) + b.sectorShift() } // SectorsPerClusterShift, in bytes here
func (b bootSector) fats() int          { return int(b[110]) }                    // NumberOfFats

func (b bootSector) sector() int64      { return 1 << b.sectorShift() }
func (b bootSector) clusterSize() int64 { return 1 << b.clusterShift() }
func (b bootSector) heap() int64        { return b.heapSector() << b.sectorShift() } // bytes

// valid says whether there is a cluster of that number.
func (b bootSector) valid(cluster int64) bool { return cluster >= 2 && cluster < b.clusters()+2 }

// offset is the byte where a cluster begins.
func (b bootSector) offset(cluster int64) int64 { return b.heap() + (cluster-2)<<b.clusterShift() }

// entry is the byte where the FAT's entry of a cluster is.
func (b bootSector) entry(cluster int64) int64 { return b.fat()<<b.sectorShift() + 4*cluster }

// readBoot reads the boot sector and checks what the arithmetic of the others
// needs: sectors of 512 to 4096 bytes, clusters of at most 32 MiB.
func readBoot(r io.ReaderAt, size int64) (bootSector, error) {
	if size < bootSize {
		return nil, fmt.Errorf("exfat: %w", filesystem.ErrFormat)
	}
	b := make(bootSector, bootSize)
	if err := readFull(r, b, 0); err != nil {
		return nil, err
	}
	if string(b[3:11]) != "EXFAT   " || b.sectorShift() < 9 || b.sectorShift() > 12 || b.clusterShift() > 25 {
		return nil, fmt.Errorf("exfat: %w", filesystem.ErrFormat)
	}
	return b, nil
}

// supported refuses other revisions, TexFAT, and regions that do not lie
// behind each other within the volume.
func (b bootSector) supported(size int64) error {
	for i, c := range b[11:64] {
		if c != 0 {
			return formatError(int64(11+i), "there must be 0 where FAT has its numbers")
		}
	}
	switch {
	case b[510] != 0x55 || b[511] != 0xAA:
		return formatError(510, "no signature 55 AA")
	case b.revision()>>8 != 1:
		return formatError(104, "revision %#x", b.revision())
	case b.fats() != 1:
		return formatError(110, "%d FATs", b.fats())
	case b.flags()&1 != 0:
		return formatError(106, "the second of one FATs is active")
	case b.sectors() > uint64(size>>b.sectorShift()):
		return formatError(72, "%d sectors of %d bytes on a volume of %d bytes", b.sectors(), b.sector(), size)
	case b.clusters() == 0 || b.clusters() > 0xFFFFFFF5:
		return formatError(92, "%d clusters", b.clusters())
	case b.fat() < 24 || b.heapSector() < b.fat()+b.fatLength():
		return formatError(80, "FAT at sector %d, clusters at sector %d", b.fat(), b.heapSector())
	case b.fatLength()<<b.sectorShift() < 4*(b.clusters()+2):
		return formatError(84, "a FAT of %d sectors for %d clusters", b.fatLength(), b.clusters())
	case b.clusters() > (int64(b.sectors())-b.heapSector())>>(b.clusterShift()-b.sectorShift()):
		return formatError(92, "%d clusters from sector %d on, of %d", b.clusters(), b.heapSector(), b.sectors())
	case !b.valid(b.root()):
		return formatError(96, "root directory in cluster %d of %d", b.root(), b.clusters())
	}
	return nil
}

// verifyBoot compares the checksum of the main boot region: its 12th sector
// repeats the sum of the other 11, without flags and percent in use.
func (f *fileSystem) verifyBoot() error {
	sector := f.boot.sector()
	region := make([]byte, 12*sector)
	if err := readFull(f.r, region, 0); err != nil {
		return err
	}
	sum := uint32(0)
	for i, c := range region[:11*sector] {
		if i == 106 || i == 107 || i == 112 {
			continue
		}
		sum = sum<<31 | sum>>1
		sum += uint32(c)
	}
	for at := 11 * sector; at < 12*sector; at += 4 {
		if le.Uint32(region[at:]) != sum {
			return formatError(at, "the checksum of the boot region does not fit")
		}
	}
	return nil
}
