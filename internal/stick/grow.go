package stick

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"doppel.live/internal/filesystem/exfat/format"
	"doppel.live/internal/partition"
)

// Device is a disk that may be written to: blockdev.OwnMedium, blockdev.Target.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Grow does what the survey of a disk found, and leaves a table with the images
// partition and with identifiers of its own. random gives those. Nothing that
// holds data is written over.
func Grow(d Device, s *Survey, random io.Reader) error {
	if !s.Stick || s.Doubt != "" {
		return errors.New("nothing can be done here")
	}
	if s.Do == Nothing || s.Do == Use {
		return nil
	}
	if s.Do == Make {
		note := marker{making, s.Images.Start, s.Images.Length}
		if err := put(d, note.encode(), MarkerOffset); err != nil {
			return err
		}
		if err := makeImages(d, s.Images, random); err != nil {
			return err
		}
	}
	mbr, err := read(d, 0, sector)
	if err != nil {
		return err
	}
	if err := writeTable(d, s.size, mbr, s.partitions(s.table.Partitions[:2]), random); err != nil {
		return err
	}
	return put(d, marker{state: grown}.encode(), MarkerOffset)
}

// put writes and waits until it is on the medium.
func put(d Device, b []byte, off int64) error {
	if _, err := d.WriteAt(b, off); err != nil {
		return err
	}
	return d.Sync()
}

// makeImages makes the file system of the images partition.
func makeImages(d Device, im Images, random io.Reader) error {
	var serial [4]byte
	if _, err := io.ReadFull(random, serial[:]); err != nil {
		return err
	}
	return format.Write(io.NewOffsetWriter(d, im.Start), im.Length, format.Options{
		Label: Label, Serial: binary.LittleEndian.Uint32(serial[:]), Offset: im.Start, Sync: d.Sync,
	})
}

// partitions are those of the image, the ones that are kept, and the new one.
func (s *Survey) partitions(image []partition.Partition) []partition.Partition {
	list := slices.Concat(image, s.keep)
	for _, p := range s.keep {
		if p.Number == s.Images.Number {
			return list
		}
	}
	return append(list, s.Images.partition())
}

func (im Images) partition() partition.Partition {
	p := partition.Partition{Number: im.Number, Start: im.Start, Size: im.Length, Type: basicData, Name: Label}
	switch im.FileSystem {
	case "ext2", "ext3", "ext4", "xfs", "btrfs":
		p.Type = linuxData
	}
	return p
}

// writeTable writes a table with new identifiers: the backup copy first, the
// MBR last.
func writeTable(d Device, size int64, mbr []byte, list []partition.Partition, random io.Reader) error {
	t := table{size: size}
	var err error
	if t.disk, err = newGUID(random); err != nil {
		return err
	}
	for _, p := range list {
		if p.Number < 3 || p.UUID == "" { // of the image: the same on all its copies
			if p.UUID, err = newGUID(random); err != nil {
				return err
			}
		}
		t.partitions = append(t.partitions, p)
	}
	primary, backup, err := t.encode()
	if err != nil {
		return err
	}
	var id [4]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return err
	}
	for _, w := range []struct {
		data []byte
		off  int64
	}{
		{backup, size - int64(len(backup))},
		{primary, sector},
		{protect(mbr, size, le.Uint32(id[:])|1), 0},
	} {
		if err := put(d, w.data, w.off); err != nil {
			return fmt.Errorf("partition table: %w", err)
		}
	}
	return nil
}
