package engine

import (
	"bytes"
	"io"

	"doppel.live/internal/filesystem/probe"
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

// ReadAt reads what is held, with zeros between: enough to see what the volume
// will be recognised by.
func (v *volumeEdges) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for _, h := range v.held {
		at := h.Offset - v.start - off // of the data, in p
		from, to := max(at, 0), min(at+int64(len(h.Data)), int64(len(p)))
		if from < to {
			copy(p[from:to], h.Data[from-at:])
		}
	}
	if n := max(v.size-off, 0); n < int64(len(p)) {
		return int(n), io.EOF
	}
	return len(p), nil
}

// crown takes the bytes that programs recognise the volume by out of what is
// held, and leaves zeros in their place.
func (v *volumeEdges) crown() (crown []held, err error) {
	found, err := probe.Signatures(v, v.size)
	if err != nil {
		return nil, err
	}
	var places [][]byte
	for _, s := range found {
		for _, h := range v.held {
			from := max(v.start+s.Offset, h.Offset)
			to := min(v.start+s.Offset+s.Length, h.Offset+int64(len(h.Data)))
			if from < to {
				place := h.Data[from-h.Offset : to-h.Offset]
				places = append(places, place)
				crown = append(crown, held{from, bytes.Clone(place)})
			}
		}
	}
	for _, p := range places {
		clear(p)
	}
	return crown, nil
}
