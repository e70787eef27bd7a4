// Package hfsplus finds the blocks in use of Apple's HFS Plus, HFSX and HFS by
// their bitmaps. It does not read files, and it repairs nothing.
//
// All block sizes, an HFS Plus inside an HFS wrapper, an allocation file and
// B-trees in any number of pieces. What the header says of the special files,
// of both headers and of the journal counts as used whatever the bitmap says,
// and so does everything outside of the blocks: a wrapper, and what lies behind
// the last block.
//
// A journaled volume that was not unmounted is read through its journal,
// replayed in memory. How far a system will replay it is its own choice (newer
// ones go on behind the end that the journal's header names), so a block counts
// as used that any version of the bitmap marks, the one on the disk or one in
// the journal. A volume without a journal that was not unmounted has State
// Dirty; its bitmap may lack what was written last. Not supported: a journal on
// another device, unless the volume was unmounted; a journal that holds
// something inside a wrapper, or after a system that knows no journal mounted
// the volume.
//
// The layout is that of Apple's Technical Note TN1150, "HFS Plus Volume
// Format", for HFS of "Inside Macintosh: Files", chapter 2; held against
// volumes of macOS, mkfs.hfsplus, hformat and Linux.
package hfsplus

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

var be = binary.BigEndian

// fileSystem is one opened volume of either format.
type fileSystem struct {
	r    io.ReaderAt
	size int64 // bytes of the volume
	info filesystem.Info
	area area
	tail []extent.Extent // what counts as used behind the blocks
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads the headers,
// the journal and the whole bitmap.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	p, err := head(r, size)
	if err != nil {
		return nil, err
	}
	f := &fileSystem{r: r, size: size}
	switch mdb := masterBlock(p); {
	case isHeader(p):
		err = f.openPlus(0, size)
	case mdb.wraps():
		var base, end int64
		if base, end, err = mdb.embedded(size); err == nil {
			err = f.openPlus(base, end)
		}
	default:
		err = f.openHFS(mdb)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Info describes the file system.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// Identify reads what the volume calls itself, whether or not Open would take
// it. Size and Used are what the headers say.
func Identify(r io.ReaderAt, size int64) (filesystem.Info, error) {
	p, err := head(r, size)
	if err != nil {
		return filesystem.Info{}, err
	}
	base, mdb := int64(0), masterBlock(p)
	if !isHeader(p) {
		base = -1
		if at, end, err := mdb.embedded(size); mdb.wraps() && err == nil && end-at >= headerOffset+headerSize {
			if p, err = read(r, at+headerOffset, headerSize); err != nil {
				return filesystem.Info{}, err
			}
			if isHeader(p) {
				base = at
			}
		}
	}
	if base < 0 {
		return mdb.identity(size), nil
	}
	info := header(p).identity()
	info.Size = min(info.Size, size-base)
	info.Label, err = label(&volume{r: r, base: base, size: size - base, blockSize: info.BlockSize}, header(p))
	if errors.As(err, new(*filesystem.FormatError)) {
		err = nil
	}
	return info, err
}

// head reads the header or master directory block and checks its signature.
func head(r io.ReaderAt, size int64) ([]byte, error) {
	if size < 2*headerOffset+headerSize {
		return nil, fmt.Errorf("hfsplus: %w", filesystem.ErrFormat)
	}
	p, err := read(r, headerOffset, headerSize)
	if err != nil {
		return nil, err
	}
	if !isHeader(p) && !masterBlock(p).valid() {
		return nil, fmt.Errorf("hfsplus: %w", filesystem.ErrFormat)
	}
	return p, nil
}

// appleUUID makes a UUID of the 8 bytes that HFS keeps: version 3, with a name
// space of Apple's.
func appleUUID(id []byte) string {
	if be.Uint64(id) == 0 {
		return ""
	}
	space := []byte{0xB3, 0xE2, 0x0F, 0x39, 0xF2, 0x92, 0x11, 0xD6, 0x97, 0xA4, 0x00, 0x30, 0x65, 0x43, 0xEC, 0xAC}
	sum := md5.Sum(append(space, id...))
	sum[6] = sum[6]&0x0F | 0x30
	sum[8] = sum[8]&0x3F | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:])
}

// unit is the largest block, at most size, in which a volume can be counted
// whose blocks of size bytes begin at first.
func unit(first, size int64) int64 {
	n := size & -size
	if first != 0 {
		n = min(n, first&-first)
	}
	return n
}

// read reads n bytes at off.
func read(r io.ReaderAt, off, n int64) ([]byte, error) {
	p := make([]byte, n)
	return p, readFull(r, p, off)
}

// readFull fills p from off on.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	if err := filesystem.ReadFull(r, p, off); err != nil {
		return fmt.Errorf("hfsplus: reading %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}

// formatError says what is wrong at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "hfsplus", Offset: offset, What: fmt.Sprintf(format, args...)}
}
