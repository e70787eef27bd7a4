package partition

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
)

// appleEntry is one block of an Apple partition map. Numbers are big-endian.
//
//	offset  length
//	0       2       "PM"
//	4       4       pmMapBlkCnt: blocks of the map
//	8       4       pmPyPartStart: first block
//	12      4       pmPartBlkCnt: number of blocks
//	16      32      pmPartName, to the first 0
//	48      32      pmParType, to the first 0
type appleEntry []byte

func (e appleEntry) good() bool    { return e[0] == 'P' && e[1] == 'M' }
func (e appleEntry) blocks() int64 { return int64(binary.BigEndian.Uint32(e[4:])) }
func (e appleEntry) start() int64  { return int64(binary.BigEndian.Uint32(e[8:])) }
func (e appleEntry) length() int64 { return int64(binary.BigEndian.Uint32(e[12:])) }
func (e appleEntry) name() string  { return cString(e[16:48]) }
func (e appleEntry) kind() string  { return cString(e[48:80]) }
func (e appleEntry) isMap() bool   { return strings.EqualFold(e.kind(), "Apple_partition_map") }
func (e appleEntry) isFree() bool  { return strings.EqualFold(e.kind(), "Apple_Free") }
func (e appleEntry) isDriver() bool {
	return hasPrefix(e.kind(), "Apple_Driver", "Apple_FWDriver", "Apple_Patches")
}

const (
	appleHead     = 80      // bytes of a block that are looked at
	maxAppleMap   = 256     // entries; the kernel takes no more either
	maxAppleKept  = 1 << 20 // bytes of a map or driver partition that is kept with the table
	maxDrivers    = 16      // drivers that are; any more are volumes
	appleMapBlock = 512     // of maps that do not go by their device's block size
)

func cString(p []byte) string {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return strings.ToValidUTF8(string(p), "?")
}

func hasPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if len(s) >= len(p) && strings.EqualFold(s[:len(p)], p) {
			return true
		}
	}
	return false
}

// readApple reads an Apple partition map, if there is one. Block 0 is the
// driver descriptor record: "ER", then the size of a block in 2 bytes, in
// which the map counts; block 1 is the first of the map.
func (t *Table) readApple(r io.ReaderAt, first []byte) error {
	size := int64(binary.BigEndian.Uint16(first[2:]))
	device := first[0] == 'E' && first[1] == 'R'
	if !device || size < 512 || size > 4096 || size&(size-1) != 0 {
		size = appleMapBlock
	}
	e, err := t.appleEntry(r, 1, size)
	if err == nil && e == nil && device && size != appleMapBlock {
		if e, err = t.appleEntry(r, 1, appleMapBlock); e != nil {
			t.contradict("the Apple partition map is not in the blocks of %d bytes that its device record names", size)
		}
	}
	switch {
	case err != nil || e == nil || !device && !e.isMap():
		return err
	case !device:
		t.contradict("Apple partition map without a device record in block 0")
	case e.blocks() < 1 || e.blocks() > maxAppleMap:
		t.contradict("Apple partition map of %d blocks", e.blocks())
	}
	t.Scheme = APM
	if t.conflict != "" {
		return nil
	}
	return t.readAppleMap(r, size, e.blocks())
}

// appleEntry reads block i of the map; nil where there is none.
func (t *Table) appleEntry(r io.ReaderAt, i, size int64) (appleEntry, error) {
	if (i+1)*size > t.DiskSize {
		return nil, nil
	}
	p, err := t.read(r, i*size, appleHead)
	if err != nil || !appleEntry(p).good() {
		return nil, err
	}
	return p, nil
}

// readAppleMap reads a map of n blocks, keeps them with all of the partition
// that the map itself is, and keeps the drivers.
func (t *Table) readAppleMap(r io.ReaderAt, size, n int64) error {
	end := (1 + n) * size
	var drivers []Partition
	for i := int64(1); i <= n; i++ {
		e, err := t.appleEntry(r, i, size)
		if err != nil {
			return err
		}
		if e == nil {
			t.contradict("no entry in block %d of the Apple partition map", i)
			return nil
		}
		p := Partition{Number: int(i), Start: e.start() * size, Size: e.length() * size, Type: e.kind(), Name: e.name(), Free: e.isFree()}
		small := p.Size <= maxAppleKept && p.End() <= t.DiskSize
		switch {
		case p.Size == 0:
			continue
		case e.isMap() && small && p.Start == size:
			p.Kept = true
			end = max(end, p.End())
		case e.isDriver() && small && len(drivers) < maxDrivers:
			p.Kept = true
			drivers = append(drivers, p)
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t.keepApple(r, max(size, t.SectorSize), end, drivers)
}

// keepApple keeps block 0, the map up to end, and the drivers behind it.
func (t *Table) keepApple(r io.ReaderAt, device, end int64, drivers []Partition) error {
	end = min((end+t.SectorSize-1)/t.SectorSize*t.SectorSize, t.DiskSize/t.SectorSize*t.SectorSize)
	keep := func(name string, from, to int64) error {
		if from >= to {
			return nil
		}
		data, err := t.read(r, from, to-from)
		if err == nil {
			t.keep(name, from, data)
		}
		return err
	}
	if err := keep(AreaAppleDevice, 0, min(device, end)); err != nil {
		return err
	}
	if err := keep(AreaAppleMap, device, end); err != nil {
		return err
	}
	for _, p := range drivers {
		if p.Start < end {
			t.contradict("partition %d covers sectors of the partition table", p.Number)
			continue
		}
		if err := keep(AreaAppleDriver, p.Start, p.End()); err != nil {
			return err
		}
	}
	return nil
}
