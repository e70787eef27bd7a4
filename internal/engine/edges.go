package engine

import (
	"bytes"

	"doppel.live/internal/partition"
)

// edge is how much at each end of a volume is written last. It covers what
// programs know a file system by: the superblocks of ext (byte 1024), XFS (0)
// and btrfs (65536), the boot sectors of NTFS and FAT with their copies, and
// what arrays and ZFS keep at the end.
const edge = 1 << 20

// volumeEdges keeps the data of both ends of a volume until the rest of it is
// written.
type volumeEdges struct {
	start, size int64  // of the volume on the target, bytes
	held        []held // in the order of the volume
}

// held is data with its place on the target.
type held struct {
	Offset int64
	Data   []byte
}

// hold keeps what of data, which belongs at offset off of the target, lies at
// an end of the volume, and gives the rest with its place.
func (v *volumeEdges) hold(data []byte, off int64) (middle []byte, at int64) {
	head := v.start + min(edge, v.size)
	tail := max(head, v.start+v.size-edge)
	if n := min(head-off, int64(len(data))); n > 0 {
		v.keep(data[:n], off)
		data, off = data[n:], off+n
	}
	n := min(max(0, tail-off), int64(len(data)))
	if n < int64(len(data)) {
		v.keep(data[n:], off+n)
	}
	return data[:n], off
}

func (v *volumeEdges) keep(data []byte, off int64) {
	v.held = append(v.held, held{off, bytes.Clone(data)})
}

// keep is data for offset off as it must be on the target: with the sectors of
// the target's own table in it that the plan keeps. The first partition of a
// slice begins with the disklabel that tells where the others are.
func (w *writing) keep(data []byte, off int64) []byte {
	return overlay(data, off, w.Plan.Keep, func(to, kept []byte) { copy(to, kept) })
}

// blank is data of a volume without the sectors of the new table that lie in
// it: those are written last, or the target would look whole too soon.
func (w *writing) blank(data []byte, off int64) []byte {
	return overlay(data, off, w.Plan.Table, func(to, _ []byte) { clear(to) })
}

// overlay changes a copy of data, which is at offset off, where it shares bytes
// with sectors.
func overlay(data []byte, off int64, sectors []partition.Sector, change func(to, sector []byte)) []byte {
	fresh := false
	for _, s := range sectors {
		from, to := max(off, s.Offset), min(off+int64(len(data)), s.Offset+int64(len(s.Data)))
		if from >= to {
			continue
		}
		if !fresh {
			data, fresh = bytes.Clone(data), true
		}
		change(data[from-off:to-off], s.Data[from-s.Offset:to-s.Offset])
	}
	return data
}
