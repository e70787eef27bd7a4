package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
)

// espSize leaves FAT16 enough clusters and the loaders some room to grow, in
// bytes. El Torito counts a boot image in 16 bits: below 32 MiB.
const espSize = 8 << 20

// named is a file with its contents, for an image.
type named struct {
	path string // "EFI/BOOT/BOOTX64.EFI"
	data []byte
}

// makeESP makes an EFI system partition. Equal input gives equal bytes.
func makeESP(files []named, serial uint32, t time.Time) ([]byte, error) {
	dir, err := os.MkdirTemp("", "doppel-esp-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "esp.img")
	if err := writeESP(name, files); err != nil {
		return nil, fmt.Errorf("boot partition: %w", err)
	}
	image, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	fat{image}.settle(serial, t)
	return image, nil
}

func writeESP(name string, files []named) error {
	disk, err := file.CreateFromPath(name, espSize)
	if err != nil {
		return err
	}
	defer disk.Close()
	fs, err := fat16.Create(disk, espSize, 0, 512, "DOPPEL", true)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := fs.Mkdir("/" + path.Dir(f.path)); err != nil {
			return err
		}
		w, err := fs.OpenFile("/"+f.path, os.O_CREATE|os.O_RDWR)
		if err != nil {
			return err
		}
		if _, err := w.Write(f.data); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

// fat is a FAT16 file system that was just made. Offsets are those of
// Microsoft's FAT specification 1.03.
type fat struct{ image []byte }

func (f fat) u16(offset int) int { return int(binary.LittleEndian.Uint16(f.image[offset:])) }

func (f fat) sectorSize() int  { return f.u16(0x0b) }
func (f fat) clusterSize() int { return int(f.image[0x0d]) * f.sectorSize() }
func (f fat) firstFAT() int    { return f.u16(0x0e) * f.sectorSize() }
func (f fat) fats() int        { return int(f.image[0x10]) }
func (f fat) rootEntries() int { return f.u16(0x11) }
func (f fat) fatSize() int     { return f.u16(0x16) * f.sectorSize() }
func (f fat) root() int        { return f.firstFAT() + f.fats()*f.fatSize() }

// cluster returns the offset of a cluster; the first has the number 2.
func (f fat) cluster(n int) int {
	return f.root() + f.rootEntries()*entrySize + (n-2)*f.clusterSize()
}

const (
	entrySize     = 32
	longName      = 0x0f // attributes of a part of a long name
	attrDirectory = 0x10
)

// settle makes the file system the same at every build: a serial number, the
// same time in every directory entry. It also gives back the one cluster
// that the library marks as used without using it.
func (f fat) settle(serial uint32, t time.Time) {
	binary.LittleEndian.PutUint32(f.image[0x27:], serial)
	for i := range f.fats() {
		at := f.firstFAT() + i*f.fatSize()
		if !f.used(2) {
			binary.LittleEndian.PutUint16(f.image[at+2*2:], 0)
		}
	}
	f.stamp(f.root(), f.rootEntries(), t)
}

// used reports whether an entry of the root directory starts at a cluster.
func (f fat) used(cluster int) bool {
	for i := range f.rootEntries() {
		at := f.root() + i*entrySize
		if f.image[at] != 0 && f.image[at+11] != longName && f.u16(at+26) == cluster {
			return true
		}
	}
	return false
}

// stamp sets the times of a directory's entries and of what lies below. Our
// directories have few entries: one cluster each.
func (f fat) stamp(directory, entries int, t time.Time) {
	date := uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day())
	clock := uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
	for i := range entries {
		e := f.image[directory+i*entrySize:][:entrySize]
		if e[0] == 0 {
			return
		}
		if e[11] == longName {
			continue
		}
		e[13] = 0 // tenths of a second
		binary.LittleEndian.PutUint16(e[14:], clock)
		binary.LittleEndian.PutUint16(e[16:], date)
		binary.LittleEndian.PutUint16(e[18:], date)
		binary.LittleEndian.PutUint16(e[22:], clock)
		binary.LittleEndian.PutUint16(e[24:], date)
		if e[11]&attrDirectory != 0 && e[0] != '.' {
			f.stamp(f.cluster(int(binary.LittleEndian.Uint16(e[26:]))), f.clusterSize()/entrySize, t)
		}
	}
}
