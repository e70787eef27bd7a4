// Package format makes an empty exFAT: boot regions with their checksums, FAT,
// allocation bitmap, up-case table, root directory with a label. The boot
// sector comes last, so what was interrupted is no exFAT. It neither reads the
// volume nor asks whether it may be overwritten.
//
// Sectors have 512 bytes; FAT and cluster heap begin at multiples of 1 MiB of
// the volume, for the erase blocks of flash. The clusters have the sizes that
// Microsoft gives for volumes of that size. There is one FAT and one bitmap
// (no TexFAT), no OEM parameters and no volume GUID.
//
// The layout is that of Microsoft's "exFAT file system specification"; section
// numbers below are its.
package format

import (
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf16"
)

const (
	sector      = 512
	align       = 1 << 20  // bytes
	minSize     = 16 << 20 // bytes of a volume; less is not worth two regions of 1 MiB
	maxClusters = 1<<32 - 11
	region      = 12 // sectors of a boot region, 3.1
	maxLabel    = 11 // UTF-16 units, 7.3
	piece       = 1 << 20
	firstInUse  = 2 // the number of the first cluster
	endOfChain  = 0xFFFFFFFF
)

// Options describe the volume. Only Serial should be given.
type Options struct {
	Label  string       // at most 11 UTF-16 units; "" none
	Serial uint32       // VolumeSerialNumber: random
	Offset int64        // bytes from the start of the disk to the volume, a multiple of 512; 0 unknown
	Sync   func() error // makes durable what was written; called before and behind the boot sector; nil: nothing is done
}

// Layout says what lies where, in bytes from the start of the volume.
type Layout struct {
	Size        int64 // of the volume, whole sectors
	ClusterSize int64
	FAT         int64
	FATSize     int64 // whole sectors
	Heap        int64 // where cluster 2 begins
	Clusters    int64

	bitmap, upcase, root int64 // first clusters
	bitmapSize           int64 // bytes
	table                []byte
	end                  int64 // first free cluster
}

// Plan gives the layout of a volume of size bytes.
func Plan(size int64) (Layout, error) {
	l := Layout{Size: size &^ (sector - 1), FAT: align, ClusterSize: clusterSize(size), table: upcaseTable()}
	if size < minSize {
		return l, fmt.Errorf("exfat: a volume of %d bytes, at least %d are needed", size, int64(minSize))
	}
	most := (l.Size-l.FAT)/l.ClusterSize + firstInUse
	l.Heap = roundUp(l.FAT+4*most, align)
	l.Clusters = (l.Size - l.Heap) / l.ClusterSize
	if l.Clusters > maxClusters {
		return l, fmt.Errorf("exfat: %d clusters, more than there can be", l.Clusters)
	}
	l.FATSize = roundUp(4*(l.Clusters+firstInUse), sector)
	l.bitmapSize = (l.Clusters + 7) / 8
	l.bitmap = firstInUse
	l.upcase = l.bitmap + l.clusters(l.bitmapSize)
	l.root = l.upcase + l.clusters(int64(len(l.table)))
	l.end = l.root + 1
	return l, nil
}

// Written is how many bytes from its start are written of the volume.
func (l Layout) Written() int64 { return l.offset(l.end) }

// clusterSize is Microsoft's default for a volume of size bytes.
func clusterSize(size int64) int64 {
	switch {
	case size <= 256<<20:
		return 4 << 10
	case size <= 32<<30:
		return 32 << 10
	}
	return 128 << 10
}

func (l Layout) clusters(n int64) int64 { return (n + l.ClusterSize - 1) / l.ClusterSize }

func (l Layout) offset(cluster int64) int64 { return l.Heap + (cluster-firstInUse)*l.ClusterSize }

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// Write makes the file system on a volume of size bytes.
func Write(w io.WriterAt, size int64, o Options) error {
	label := utf16.Encode([]rune(o.Label))
	if len(label) > maxLabel {
		return fmt.Errorf("exfat: label %q has more than %d characters", o.Label, maxLabel)
	}
	l, err := Plan(size)
	if err != nil {
		return err
	}
	boot := l.bootRegion(o)
	for _, step := range []func() error{
		func() error { return put(w, nil, 0, region*sector) }, // what was there is gone first
		o.sync,
		func() error { return put(w, nil, 2*region*sector, l.FAT-2*region*sector) },
		func() error { return put(w, l.fat(), l.FAT, l.Heap-l.FAT) },
		func() error { return put(w, l.bits(), l.offset(l.bitmap), (l.upcase-l.bitmap)*l.ClusterSize) },
		func() error { return put(w, l.table, l.offset(l.upcase), (l.root-l.upcase)*l.ClusterSize) },
		func() error { return put(w, l.directory(label), l.offset(l.root), l.ClusterSize) },
		func() error { return put(w, boot, region*sector, region*sector) },
		func() error { return put(w, boot[sector:], sector, (region-1)*sector) },
		o.sync,
		func() error { return put(w, boot[:sector], 0, sector) },
		o.sync,
	} {
		if err := step(); err != nil {
			return fmt.Errorf("exfat: %w", err)
		}
	}
	return nil
}

func (o Options) sync() error {
	if o.Sync == nil {
		return nil
	}
	return o.Sync()
}

// put writes data at off, and zeroes behind it up to n bytes in all.
func put(w io.WriterAt, data []byte, off, n int64) error {
	buf := make([]byte, min(n, piece))
	for n > 0 {
		p := buf[:min(n, piece)]
		clear(p[copy(p, data):])
		data = data[min(len(data), len(p)):]
		if _, err := w.WriteAt(p, off); err != nil {
			return err
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return nil
}

var le = binary.LittleEndian

// bootRegion is the main boot region, and the backup one (3.1 to 3.4).
//
//	sector 0   the boot sector         9   OEM parameters: none
//	1 to 8     extended boot sectors   10  reserved
//	                                   11  checksum of the others, repeated
func (l Layout) bootRegion(o Options) []byte {
	b := make([]byte, region*sector)
	copy(b, []byte{0xEB, 0x76, 0x90})
	copy(b[3:], "EXFAT   ")
	le.PutUint64(b[64:], uint64(o.Offset/sector))                  // PartitionOffset
	le.PutUint64(b[72:], uint64(l.Size/sector))                    // VolumeLength
	le.PutUint32(b[80:], uint32(l.FAT/sector))                     // FatOffset
	le.PutUint32(b[84:], uint32(l.FATSize/sector))                 // FatLength
	le.PutUint32(b[88:], uint32(l.Heap/sector))                    // ClusterHeapOffset
	le.PutUint32(b[92:], uint32(l.Clusters))                       // ClusterCount
	le.PutUint32(b[96:], uint32(l.root))                           // FirstClusterOfRootDirectory
	le.PutUint32(b[100:], o.Serial)                                // VolumeSerialNumber
	le.PutUint16(b[104:], 0x0100)                                  // FileSystemRevision
	b[108], b[109] = shift(sector), shift(l.ClusterSize/sector)    // BytesPerSectorShift, SectorsPerClusterShift
	b[110], b[111] = 1, 0x80                                       // NumberOfFats, DriveSelect
	b[112] = byte((l.end - firstInUse) * 100 / max(l.Clusters, 1)) // PercentInUse
	for i := 120; i < 510; i++ {
		b[i] = 0xF4 // BootCode: halt
	}
	b[510], b[511] = 0x55, 0xAA
	for i := 1; i <= 8; i++ {
		le.PutUint32(b[(i+1)*sector-4:], 0xAA550000) // ExtendedBootSignature
	}
	sum := bootChecksum(b[:11*sector])
	for at := 11 * sector; at < region*sector; at += 4 {
		le.PutUint32(b[at:], sum)
	}
	return b
}

// bootChecksum is that of 3.4: without VolumeFlags and PercentInUse.
func bootChecksum(p []byte) uint32 {
	sum := uint32(0)
	for i, c := range p {
		if i != 106 && i != 107 && i != 112 {
			sum = sum<<31 | sum>>1
			sum += uint32(c)
		}
	}
	return sum
}

// shift is the binary logarithm of a power of two.
func shift(n int64) byte {
	s := byte(0)
	for ; n > 1; n >>= 1 {
		s++
	}
	return s
}

// fat is the beginning of the FAT (4.1): the media descriptor, a constant, and
// the chains of bitmap, up-case table and root directory.
func (l Layout) fat() []byte {
	b := make([]byte, 4*l.end)
	le.PutUint32(b, 0xFFFFFFF8)
	le.PutUint32(b[4:], 0xFFFFFFFF)
	for c := int64(firstInUse); c < l.end; c++ {
		next := c + 1
		if next == l.upcase || next == l.root || next == l.end {
			next = endOfChain
		}
		le.PutUint32(b[4*c:], uint32(next))
	}
	return b
}

// bits is the beginning of the allocation bitmap (7.1.5): bit 0 of byte 0 is
// cluster 2.
func (l Layout) bits() []byte {
	n := l.end - firstInUse
	b := make([]byte, (n+7)/8)
	for i := range n {
		b[i/8] |= 1 << uint(i%8)
	}
	return b
}

// directory is the beginning of the root directory: the label (7.3), the
// bitmap (7.1) and the up-case table (7.2), 32 bytes each.
func (l Layout) directory(label []uint16) []byte {
	b := make([]byte, 3*32)
	b[0], b[1] = 0x83, byte(len(label))
	if len(label) == 0 {
		b[0] = 0x03 // not in use
	}
	for i, u := range label {
		le.PutUint16(b[2+2*i:], u)
	}
	bitmap, upcase := b[32:64], b[64:96]
	bitmap[0] = 0x81
	le.PutUint32(bitmap[20:], uint32(l.bitmap))
	le.PutUint64(bitmap[24:], uint64(l.bitmapSize))
	upcase[0] = 0x82
	le.PutUint32(upcase[4:], tableChecksum(l.table))
	le.PutUint32(upcase[20:], uint32(l.upcase))
	le.PutUint64(upcase[24:], uint64(len(l.table)))
	return b
}
