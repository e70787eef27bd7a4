// Package ufs finds the fragments in use of UFS, the fast file system of the
// BSDs, by the maps of its cylinder groups. It does not read files, and it
// repairs nothing.
//
// UFS1 of 4.4BSD and later and UFS2, in both byte orders, with all sizes of
// blocks and fragments, the superblock at any of its four places. A block here
// is a fragment: the maps count in them. Boot area, copies of the superblock,
// headers and inodes of all groups (those that UFS2 has not yet initialised
// too: they are no data area) and the summary count as used; a map that calls
// any of them free is an error, as are counts that contradict the maps or,
// after a clean unmount, each other. Where FreeBSD keeps hashes of superblock
// and cylinder groups, they are verified.
//
// A file system that was not unmounted is given too, as Dirty. Soft updates
// write the map before what points to a block, all other ways of mounting may
// do so behind it; so what the inodes in use hold, through their indirect
// blocks, is added to what the maps call used. The journal of soft updates
// lies in a file and is saved with it. Not supported, and errors: the UFS of
// 4.2BSD and Solaris; gjournal, and a log of NetBSD (WAPBL) that must be
// replayed, since they hold newer blocks than the volume.
//
// The layout is that of the comments in ufs/ffs/fs.h and ufs/ufs/dinode.h of
// FreeBSD, NetBSD and OpenBSD, and of volumes made by makefs.
package ufs

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// fileSystem is one opened UFS.
type fileSystem struct {
	r    io.ReaderAt
	sb   superblock
	info filesystem.Info
	held [][]byte // by group, a bit for each fragment that inodes hold; nil where it was unmounted
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads and checks
// the superblock and all cylinder groups; where it was not unmounted, all
// inodes and indirect blocks too.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	sb, err := find(r, size)
	if err != nil {
		return nil, err
	}
	if err := sb.check(size); err != nil {
		return nil, err
	}
	if name := sb.journal(); name != "" {
		return nil, formatError(sb.at+1312, "a journal (%s) may hold newer blocks than the file system", name)
	}
	f := &fileSystem{r: r, sb: sb, info: sb.info()}
	f.info.Size = sb.size() * sb.fragmentSize()
	if err := f.checkCounts(); err != nil {
		return nil, err
	}
	if f.info.State != filesystem.Clean {
		if err := f.walk(); err != nil {
			return nil, err
		}
	}
	if f.info.Used, err = extent.Sum(f.Allocated()); err != nil {
		return nil, err
	}
	return f, nil
}

// Info describes the file system.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// Identify reads the superblock alone: what the file system calls itself,
// whether or not Open would take it. Size and Used are by its own count.
func Identify(r io.ReaderAt, size int64) (filesystem.Info, error) {
	sb, err := find(r, size)
	if bad := new(filesystem.FormatError); err != nil && !errors.As(err, &bad) {
		return filesystem.Info{}, err
	}
	info := sb.info()
	fragments, fragment := sb.size(), sb.fragmentSize()
	if powerOfTwo(fragment, minFragment, maxBlock) && fragments > 0 && fragments < 1<<46 {
		info.Size = fragments * fragment
		if free := sb.freeFragments(); sb.freeBlocks() >= 0 && sb.freeBlocks() < 1<<46 && free >= 0 && free < 1<<46 {
			info.Used = max(0, fragments-free-sb.freeBlocks()*min(max(sb.fragments(), 1), 8)) * fragment
		}
	}
	return info, nil
}

// Allocated gives the extents in use: all fragments that the maps do not call
// free, and those that inodes hold.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		return f.groups(func(g *group) error {
			if f.held != nil {
				g.hold(f.held[g.number])
			}
			for n := int64(0); n < g.fragments; {
				from := g.next(n, false)
				n = g.next(from, true)
				if err := add(extent.Extent{Offset: (g.base + from) * f.info.BlockSize, Length: (n - from) * f.info.BlockSize}); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// hash is FreeBSD's: the Castagnoli CRC that starts with all ones and is not
// inverted at its end, with 0 in the place of the hash itself.
func hash(p []byte, at int) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, p[:at])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return ^crc32.Update(sum, table, p[at+4:])
}

// formatError says what is wrong at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "ufs", Offset: offset, What: fmt.Sprintf(format, args...)}
}
