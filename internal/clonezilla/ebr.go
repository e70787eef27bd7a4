package clonezilla

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"doppel.live/internal/image"
)

// Clonezilla keeps the first EBR of an extended partition and lets sfdisk make
// the chain of the others anew. So do we: where each EBR lies is known of the
// first two, and is for the rest as far before its partition as the first is.

// foreignEBRs adds the chain of EBRs of a disk with logical partitions.
func (d *directory) foreignEBRs(disk *image.Disk, table *sfdiskTable) error {
	var extended *sfdiskPartition
	var logical []sfdiskPartition
	for i, p := range table.partitions {
		number, _ := strconv.Atoi(trailingNumber.FindString(p.name))
		switch {
		case p.extended():
			extended = &table.partitions[i]
		case number > 4:
			logical = append(logical, p)
		}
	}
	if extended == nil {
		return nil
	}
	if disk.SectorSize != sector {
		return fmt.Errorf("%w: logical partitions in sectors of %d bytes", ErrNotYet, disk.SectorSize)
	}
	first := make([]byte, sector)
	if file := baseName(extended.name) + "-ebr"; d.has(file) { // images of chosen partitions may lack it
		data, err := d.readFile(file)
		if err != nil {
			return err
		}
		if copy(first, data) != sector {
			return fmt.Errorf("%w: %s has %d bytes", image.ErrDamaged, file, len(data))
		}
	}
	places, err := ebrPlaces(extended.start, logical, first)
	if err != nil {
		return err
	}
	for i, place := range places {
		data := make([]byte, sector)
		if i == 0 {
			copy(data[:446], first)
		}
		if i < len(logical) {
			p := logical[i]
			kind, _ := strconv.ParseUint(p.kind, 16, 8)
			putEntry(data[446:], byte(kind), p.bootable, place, p.start, p.size)
		}
		if i+1 < len(places) {
			p := logical[i+1]
			putEntry(data[462:], 5, false, extended.start, places[i+1], p.start+p.size-places[i+1])
		}
		data[510], data[511] = 0x55, 0xAA
		d.make(disk, "ebr", place*sector, data)
	}
	return nil
}

// ebrPlaces gives the sector of each EBR; of the first also where there is no
// logical partition.
func ebrPlaces(start int64, logical []sfdiskPartition, first []byte) ([]int64, error) {
	places := []int64{start}
	end := start + 1 // behind what came before
	for i, p := range logical {
		place := start
		if i > 0 {
			place = p.start - (logical[0].start - start)
			if link := start + int64(binary.LittleEndian.Uint32(first[462+8:])); i == 1 && link >= end && link < p.start {
				place = link
			}
			if place < end {
				place = end
			}
			places = append(places, place)
		}
		if place >= p.start || p.start+p.size-start > math.MaxUint32 {
			return nil, fmt.Errorf("%w: no room for the table of logical partition %s before it", ErrNotYet, p.name)
		}
		end = p.start + p.size
	}
	return places, nil
}

// putEntry writes an entry of an EBR: size sectors from sector start on,
// which the entry counts from base.
func putEntry(b []byte, kind byte, bootable bool, base, start, size int64) {
	if bootable {
		b[0] = 0x80
	}
	putCHS(b[1:], start)
	b[4] = kind
	putCHS(b[5:], start+size-1)
	binary.LittleEndian.PutUint32(b[8:], uint32(start-base))
	binary.LittleEndian.PutUint32(b[12:], uint32(size))
}

// putCHS writes the old-style address of a sector as sfdisk does: cylinders of
// 255 tracks of 63 sectors, and the last one that can be told for all behind it.
func putCHS(b []byte, lba int64) {
	const heads, sectors = 255, 63
	cylinder, head, sector := lba/(heads*sectors), lba/sectors%heads, lba%sectors+1
	if cylinder > 1023 {
		cylinder, head, sector = 1023, heads-1, sectors
	}
	b[0], b[1], b[2] = byte(head), byte(sector|cylinder>>8<<6), byte(cylinder)
}
