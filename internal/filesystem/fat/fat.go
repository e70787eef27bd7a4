// Package fat finds the clusters in use of FAT12, FAT16 and FAT32 by their
// file allocation tables, and reads files. It repairs nothing.
//
// Everything before the first cluster counts as in use: boot sector, FSInfo
// and backup boot sector among the reserved sectors, all FATs, and the root
// directory of FAT12 and FAT16. Of the clusters, those whose entry says in any
// mirrored FAT that they are neither free nor bad, and those that such an entry
// points at.
//
// A volume that was not unmounted is read as any reader may see it: entries of
// directories and FATs are written in no order, so that a file's first cluster
// may still be free by the FAT. All directories are searched for such ones.
//
// Files have their long name where its parts are whole and its checksum fits,
// otherwise the short one, read as CP437. Times are local times of who wrote
// them and taken as those of this machine.
//
// The layout is that of Microsoft's "FAT: General Overview of On-Disk Format"
// (fatgen103). Not supported: sectors above 4096 bytes, volumes without BPB.
package fat

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"strings"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/chain"
)

var le = binary.LittleEndian

// fileSystem is one opened FAT.
type fileSystem struct {
	r    io.ReaderAt
	boot bootSector
	info filesystem.Info

	width       int64 // bits of an entry of the FAT: 12, 16, 32
	clusterSize int64 // bytes
	clusters    int64 // numbered from 2
	data        int64 // byte of cluster 2
	used        bitmap
	table       *chain.Cache // for single entries of the FATs
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads the whole
// FATs, and of a volume that was not unmounted all directories.
func Open(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	return filesystem.Opened(open(r, size))
}

func open(r io.ReaderAt, size int64) (*fileSystem, error) {
	info, err := Identify(r, size)
	if err != nil {
		return nil, err
	}
	boot, err := readBoot(r, size)
	if err != nil {
		return nil, err
	}
	f := &fileSystem{r: r, boot: boot, info: info, table: chain.NewCache(r)}
	if err := f.geometry(size); err != nil {
		return nil, err
	}
	if err := f.compareBackup(); err != nil {
		return nil, err
	}
	f.info.Version = fmt.Sprintf("FAT%d", f.width)
	f.used = newBitmap(f.clusters)
	if err := f.readTables(); err != nil {
		return nil, err
	}
	if f.info.State, err = f.cleanliness(); err != nil {
		return nil, err
	}
	if f.info.State != filesystem.Clean {
		if err := f.searchDirectories(); err != nil {
			return nil, err
		}
	}
	f.info.Used = f.data + f.used.count()*f.clusterSize
	return f, nil
}

// Info describes the file system.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// Allocated gives the extents in use.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		err := add(extent.Extent{Length: f.data})
		for first, end := range f.used.runs() {
			if err != nil {
				return err
			}
			err = add(extent.Extent{Offset: f.data + first*f.clusterSize, Length: (end - first) * f.clusterSize})
		}
		return err
	})
}

// Identify reads boot sector and label: what the file system calls itself,
// whether or not Open would take it.
func Identify(r io.ReaderAt, size int64) (filesystem.Info, error) {
	boot, err := readBoot(r, size)
	if err != nil {
		return filesystem.Info{}, err
	}
	info := filesystem.Info{Type: "vfat", BlockSize: boot.sector(), Size: boot.sectors() * boot.sector()}
	if n := boot.serial(); n != 0 {
		info.UUID = fmt.Sprintf("%04X-%04X", n>>16, n&0xFFFF)
	}
	if info.Label, err = rootLabel(r, size, boot); err != nil {
		return filesystem.Info{}, err
	}
	if l := boot.label(); info.Label == "" && l != "NO NAME" {
		info.Label = l
	}
	return info, nil
}

// readFull reads len(p) bytes at off.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	if err := filesystem.ReadFull(r, p, off); err != nil {
		return fmt.Errorf("fat: reading %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}

// formatError says what is wrong at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "fat", Offset: offset, What: fmt.Sprintf(format, args...)}
}

// text is a name of fixed length, without the spaces at its end.
func text(p []byte) string {
	s, _, _ := strings.Cut(string(p), "\x00")
	return strings.TrimRight(s, " ")
}
