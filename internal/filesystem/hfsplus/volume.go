package hfsplus

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"doppel.live/internal/filesystem"
)

// volume is an HFS Plus while it is opened: its bytes, counted from its own
// begin, as they will be after its journal was replayed.
type volume struct {
	r         io.ReaderAt // what the HFS Plus lies on
	base      int64       // byte there where it begins
	size      int64       // bytes
	blockSize int64       // bytes
	blocks    int64
	log       *journal // nil where none must be replayed
	also      []run    // blocks in use whatever the bitmap says
}

// ReadAt reads the volume as it will be after the replay.
func (v *volume) ReadAt(p []byte, off int64) (int, error) {
	n, err := v.onDisk(p, off)
	if n < len(p) || v.log == nil {
		return n, err
	}
	if err := v.log.replay(p, off); err != nil {
		return 0, err
	}
	return n, nil
}

// onDisk reads the volume as it lies there.
func (v *volume) onDisk(p []byte, off int64) (int, error) {
	if off < 0 || off > v.size-int64(len(p)) {
		return 0, formatError(v.base, "byte %d lies behind its end", off)
	}
	return v.r.ReadAt(p, v.base+off)
}

// reserve counts the blocks of the bytes from one to another as used.
func (v *volume) reserve(from, to int64) {
	first := max(from, 0) / v.blockSize
	if end := min((to+v.blockSize-1)/v.blockSize, v.blocks); first < end {
		v.also = append(v.also, run{first, end - first})
	}
}

// isFormatError says whether an error is about the content of the volume.
func isFormatError(err error) bool {
	e := new(filesystem.FormatError)
	return errors.As(err, &e)
}

// fork is a special file: its pieces on the volume.
type fork struct {
	v      *volume
	name   string
	size   int64 // logicalSize, bytes
	pieces []piece
}

// piece is a run of blocks of a fork.
type piece struct {
	run
	at int64 // block of the fork
}

// The special files by their number.
const (
	extentsFileID    = 3
	catalogFileID    = 4
	allocationFileID = 6
	startupFileID    = 7
	attributesFileID = 8

	maxPieces = 1 << 14 // of one special file
)

// specialFiles gives the allocation file and counts all special files as used.
func (v *volume) specialFiles(h header) (*fork, error) {
	extents, err := v.openFork(h, "extents file", 192, extentsFileID, nil)
	if err != nil {
		return nil, err
	}
	bitmap, err := v.openFork(h, "allocation file", 112, allocationFileID, extents)
	if err != nil {
		return nil, err
	}
	all := []*fork{extents, bitmap}
	for _, f := range []struct {
		name string
		at   int
		id   uint32
	}{{"catalog file", 272, catalogFileID}, {"attributes file", 352, attributesFileID}, {"startup file", 432, startupFileID}} {
		opened, err := v.openFork(h, f.name, f.at, f.id, extents)
		if err != nil {
			return nil, err
		}
		all = append(all, opened)
	}
	for _, f := range all {
		for _, p := range f.pieces {
			v.also = append(v.also, p.run)
		}
	}
	return bitmap, nil
}

// openFork reads what the header says of a special file at its byte at. What
// does not fit there is in the extents file.
//
//	0   8   logicalSize, bytes
//	12  4   totalBlocks
//	16  64  8 × startBlock, blockCount
func (v *volume) openFork(h header, name string, at int, id uint32, extents *fork) (*fork, error) {
	size, blocks := be.Uint64(h[at:]), int64(be.Uint32(h[at+12:]))
	f := &fork{v: v, name: name, size: int64(size)}
	where := v.base + headerOffset + int64(at)
	if blocks > v.blocks || size > uint64(blocks*v.blockSize) {
		return nil, formatError(where, "%s: %d bytes in %d blocks", name, size, blocks)
	}
	if err := f.add(h[at+16:at+80], where+16); err != nil {
		return nil, err
	}
	if f.blocks() < blocks && extents != nil {
		if err := extents.overflow(f, id, blocks); err != nil {
			return nil, err
		}
	}
	if f.blocks() != blocks {
		return nil, formatError(where+12, "%s: %d blocks, its extents have %d", name, blocks, f.blocks())
	}
	return f, nil
}

// blocks is how many the known pieces have.
func (f *fork) blocks() int64 {
	if len(f.pieces) == 0 {
		return 0
	}
	last := f.pieces[len(f.pieces)-1]
	return last.at + last.count
}

// add adds the 8 extents of a record that lies at byte where of the volume; the
// first empty one ends it.
func (f *fork) add(p []byte, where int64) error {
	for i := 0; i < 64; i += 8 {
		r := run{int64(be.Uint32(p[i:])), int64(be.Uint32(p[i+4:]))}
		if r.count == 0 {
			return nil
		}
		if r.start+r.count > f.v.blocks {
			return formatError(where+int64(i), "%s: %d blocks at block %d of %d", f.name, r.count, r.start, f.v.blocks)
		}
		if len(f.pieces) == maxPieces {
			return formatError(where, "%s: more than %d extents", f.name, maxPieces)
		}
		f.pieces = append(f.pieces, piece{r, f.blocks()})
	}
	return nil
}

// each hands over where bytes of the fork lie: parts of p, and their byte of
// the volume.
func (f *fork) each(p []byte, off int64, visit func(p []byte, at int64) error) error {
	size := f.v.blockSize
	i := sort.Search(len(f.pieces), func(i int) bool { return (f.pieces[i].at+f.pieces[i].count)*size > off })
	for ; len(p) > 0; i++ {
		if i == len(f.pieces) {
			return formatError(f.v.base+headerOffset, "%s: byte %d lies behind its last block", f.name, off)
		}
		skip := off - f.pieces[i].at*size
		n := min(int64(len(p)), f.pieces[i].count*size-skip)
		if err := visit(p[:n], f.pieces[i].start*size+skip); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// read fills p from byte off of the fork on.
func (f *fork) read(p []byte, off int64) error {
	return f.each(p, off, func(p []byte, at int64) error { return f.v.read(f.name, p, at) })
}

// read fills p from byte at of the volume on.
func (v *volume) read(what string, p []byte, at int64) error {
	if err := readFull(v, p, at); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// bits reads a bitmap: a bit is set that any version of it sets, the one on the
// disk or one in the journal.
func (f *fork) bits(p []byte, off int64) error {
	return f.each(p, off, func(p []byte, at int64) error {
		if n, err := f.v.onDisk(p, at); n < len(p) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("hfsplus: %s: reading %d bytes at %d: %w", f.name, len(p), f.v.base+at, err)
		}
		if f.v.log == nil {
			return nil
		}
		return f.v.log.unite(p, at)
	})
}
