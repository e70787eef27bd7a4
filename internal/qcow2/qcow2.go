// Package qcow2 reads and writes disks in QEMU's qcow2 format, versions 2 and
// 3. It sees files only through io.ReaderAt and io.WriterAt.
//
// Not supported, and refused by name: backing files (a path in a file that
// somebody else made is not followed), encryption, external data files,
// extended L2 entries. Snapshots inside a file are left alone: the disk is read
// as it is now.
//
// The layout is that of QEMU's documentation, docs/interop/qcow2.
package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrFormat says that a file is not qcow2.
var ErrFormat = errors.New("not a qcow2 file")

var be = binary.BigEndian

const (
	magic        = "QFI\xfb"
	headerV2     = 72  // bytes
	headerV3     = 104 // bytes; a byte more where the compression has a name
	clusterBits  = 16  // of what we write: 64 KiB, QEMU's own choice
	maxSize      = 1 << 56
	maxL1        = 32 << 20 // bytes: QEMU's own limit of an L1 table
	offsetMask   = 1<<56 - 1<<9
	flagCopied   = 1 << 63
	flagPacked   = 1 << 62
	flagZero     = 1
	sectorLength = 512 // bytes: the unit of the length of packed clusters
)

// Bits of incompatible_features.
const (
	featureDirty    = 1 << 0 // reference counts may be wrong: nothing that a reader needs
	featureCorrupt  = 1 << 1
	featureExternal = 1 << 2
	featurePacking  = 1 << 3 // the byte behind the header names the compression
	featureExtended = 1 << 4
)

// Compressions.
const (
	packedDeflate = 0
	packedZstd    = 1
)

// header is what a file begins with, big-endian.
type header struct {
	version     uint32
	clusterBits uint32
	size        uint64 // of the disk, bytes
	l1Entries   uint32
	l1Offset    uint64
	packing     byte
}

// Is says whether a file begins as a qcow2 file does.
func Is(r io.ReaderAt) bool {
	var b [4]byte
	n, _ := r.ReadAt(b[:], 0)
	return n == 4 && string(b[:]) == magic
}

// parseHeader reads and checks the header of a file of length bytes.
//
//	0   4  magic               48  8  reference count table
//	4   4  version             56  4  its clusters
//	8   8  backing file name   60  4  number of snapshots
//	16  4  its length          64  8  their table
//	20  4  cluster bits        72  8  incompatible features (version 3 from here)
//	24  8  size of the disk    80  8  compatible features
//	32  4  encryption          88  8  autoclear features
//	36  4  entries of L1       96  4  log2 of the bits of a reference count
//	40  8  L1 table            100 4  length of the header
//	                           104 1  compression
func parseHeader(r io.ReaderAt, length int64) (h header, err error) {
	var b [headerV3 + 8]byte
	n, err := r.ReadAt(b[:], 0)
	if n < headerV2 || string(b[:4]) != magic {
		if err != nil && err != io.EOF {
			return h, err
		}
		return h, ErrFormat
	}
	h = header{
		version: be.Uint32(b[4:]), clusterBits: be.Uint32(b[20:]), size: be.Uint64(b[24:]),
		l1Entries: be.Uint32(b[36:]), l1Offset: be.Uint64(b[40:]),
	}
	switch {
	case h.version != 2 && h.version != 3:
		return h, fmt.Errorf("qcow2: version %d", h.version)
	case be.Uint64(b[8:]) != 0:
		return h, errors.New("qcow2: the file needs a backing file: make it whole first (qemu-img convert)")
	case be.Uint32(b[32:]) != 0:
		return h, errors.New("qcow2: the file is encrypted")
	}
	if h.version == 3 {
		if err := h.features(b[:n]); err != nil {
			return h, err
		}
	}
	return h, h.check(length)
}

// features reads what version 3 has more.
func (h *header) features(b []byte) error {
	if len(b) < headerV3 {
		return errors.New("qcow2: the header is cut")
	}
	bits, length := be.Uint64(b[72:]), be.Uint32(b[100:])
	switch {
	case bits&featureCorrupt != 0:
		return errors.New("qcow2: the file is marked as corrupt: mend it first (qemu-img check -r all)")
	case bits&featureExternal != 0:
		return errors.New("qcow2: its data lies in another file")
	case bits&featureExtended != 0:
		return errors.New("qcow2: extended L2 entries are not supported: convert the file first (qemu-img convert)")
	case bits&^(featureDirty|featurePacking) != 0:
		return fmt.Errorf("qcow2: unknown features %#x", bits)
	}
	if bits&featurePacking != 0 {
		if length <= headerV3 || len(b) <= headerV3 {
			return errors.New("qcow2: the header is too short for the name of its compression")
		}
		if h.packing = b[headerV3]; h.packing > packedZstd {
			return fmt.Errorf("qcow2: compression %d", h.packing)
		}
	}
	return nil
}

// check holds the numbers of the header against the file.
func (h *header) check(length int64) error {
	if h.clusterBits < 9 || h.clusterBits > 21 {
		return fmt.Errorf("qcow2: clusters of 2^%d bytes", h.clusterBits)
	}
	perEntry := uint64(1) << (2*h.clusterBits - 3) // bytes of the disk for an entry of L1
	need := (h.size + perEntry - 1) / perEntry
	switch {
	case h.size > maxSize:
		return fmt.Errorf("qcow2: a disk of %d bytes", h.size)
	case uint64(h.l1Entries) < need || h.l1Entries > maxL1/8:
		return fmt.Errorf("qcow2: %d entries in the L1 table, the disk needs %d", h.l1Entries, need)
	case need > 0 && (h.l1Offset%512 != 0 || h.l1Offset > uint64(length) || 8*need > uint64(length)-h.l1Offset):
		return fmt.Errorf("qcow2: an L1 table at byte %d of %d", h.l1Offset, length)
	}
	h.l1Entries = uint32(need)
	return nil
}
