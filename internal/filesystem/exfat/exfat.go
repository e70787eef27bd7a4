// Package exfat finds the clusters in use of an exFAT by its allocation
// bitmap, and reads files. It repairs nothing.
//
// Everything before the cluster heap counts as in use: main and backup boot
// regions, the FAT, the gaps between them. Sectors of 512 to 4096 bytes. The
// checksum of the boot region is verified, and that the bitmap has its own
// clusters, those of the up-case table and of the root directory in use.
//
// Only a volume that was unmounted has a bitmap that can be trusted. Of any
// other one, and of one with errors, all directories are searched: in use is
// what the bitmap has, and what files have by directories and FAT. Bad clusters
// are in use by the bitmap and stay so: only the FAT could tell them, and its
// entries mean nothing for a file without a chain.
//
// Files are named by entry sets whose checksum fits. Times without an offset of
// UTC are taken as those of this machine. Not supported: TexFAT, which has two
// FATs and two bitmaps; access control lists and other entries of vendors.
//
// The layout is that of Microsoft's "exFAT file system specification".
package exfat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/chain"
)

var le = binary.LittleEndian

// fileSystem is one opened exFAT.
type fileSystem struct {
	r    io.ReaderAt
	boot bootSector
	info filesystem.Info

	bitmap []extent.Extent // the allocation bitmap, in its order; in whole clusters
	inUse  []extent.Extent // clusters, not bytes: those that the bitmap must have in use, ascending
	table  *chain.Cache    // for single entries of the FAT

	reached clusterSet // by directories; nil where the bitmap is enough
}

var _ filesystem.Opener = Open

// Open opens the file system on a volume of size bytes. It reads the root
// directory and the whole bitmap, which Allocated reads once more; of a volume
// that was not unmounted all directories.
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
	if err := boot.supported(size); err != nil {
		return nil, err
	}
	if err := f.verifyBoot(); err != nil {
		return nil, err
	}
	if err := f.readRoot(); err != nil {
		return nil, err
	}
	if f.info.State != filesystem.Clean {
		if err := f.search(); err != nil {
			return nil, err
		}
	}
	f.info.Used, err = extent.Sum(f.Allocated())
	return f, err
}

// Info describes the file system.
func (f *fileSystem) Info() filesystem.Info { return f.info }

// Allocated gives the extents in use.
func (f *fileSystem) Allocated() iter.Seq2[extent.Extent, error] {
	return extent.Joined(func(add func(extent.Extent) error) error {
		if err := add(extent.Extent{Length: f.boot.heap()}); err != nil {
			return err
		}
		return f.scanBitmap(add)
	})
}

// Identify reads boot sector and label: what the file system calls itself,
// whether or not Open would take it. A root directory that cannot be followed
// has no label.
func Identify(r io.ReaderAt, size int64) (filesystem.Info, error) {
	boot, err := readBoot(r, size)
	if err != nil {
		return filesystem.Info{}, err
	}
	info := filesystem.Info{Type: "exfat", BlockSize: boot.sector(), State: filesystem.Clean}
	if n := boot.sectors(); n < 1<<62>>boot.sectorShift() {
		info.Size = int64(n) * boot.sector()
	}
	if boot.flags()&(flagDirty|flagMediaFailure) != 0 {
		info.State = filesystem.Dirty
	}
	info.UUID = fmt.Sprintf("%04X-%04X", boot.serial()>>16, boot.serial()&0xFFFF)
	f := &fileSystem{r: r, boot: boot, table: chain.NewCache(r)}
	err = f.entries(size, func(e dirEntry) bool {
		if e.kind() == kindLabel {
			info.Label = e.label()
		}
		return e.kind() != kindLabel
	})
	if bad := new(filesystem.FormatError); err != nil && !errors.As(err, &bad) {
		return filesystem.Info{}, err
	}
	return info, nil
}

// readFull reads len(p) bytes at off.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	if err := filesystem.ReadFull(r, p, off); err != nil {
		return fmt.Errorf("exfat: reading %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}

// formatError says what is wrong at a byte of the volume.
func formatError(offset int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: "exfat", Offset: offset, What: fmt.Sprintf(format, args...)}
}
