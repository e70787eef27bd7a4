package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/image"
)

const (
	sealEdge    = 1 << 20   // bytes read at both ends of a volume
	sealStamps  = 256 << 20 // most bytes read of what a file system calls its stamps
	sealSamples = 256       // places looked at in a volume that is not understood
	sealSample  = 4096      // bytes of each
)

// Seal gives a text for each volume of the origin, by Volume.Index, that is
// another one where the disk's tables, the volume's superblock, its allocation
// or what else a mount for writing changes is not as it was. It cannot see
// every write to a volume that is saved raw: of those it looks at samples.
func Seal(d image.Disk, o *Origin) (map[int]string, error) {
	tables := blake3.New()
	for _, a := range o.Areas {
		tables.Write(a)
	}
	out := map[int]string{}
	for i, v := range d.Volumes {
		if v.Method != image.Blocks && v.Method != image.Raw {
			continue
		}
		h := blake3.New()
		h.Write(tables.Sum(nil))
		for _, e := range sealed(v, o) {
			if err := hashExtent(h, io.NewSectionReader(o.Reader, v.Offset, v.Size), e); err != nil {
				return nil, sourceError(v.Name, v.Offset+e.Offset, err)
			}
		}
		for _, e := range o.Allocated[i] {
			_ = binary.Write(h, binary.LittleEndian, [2]int64{e.Offset, e.Length})
		}
		out[v.Index] = hex.EncodeToString(h.Sum(nil))
	}
	return out, nil
}

// sealed lists what is read of a volume: both ends, and what its file system
// says that a mount for writing changes; else samples.
func sealed(v image.Volume, o *Origin) []extent.Extent {
	list := []extent.Extent{{Length: min(sealEdge, v.Size)}, {Offset: max(0, v.Size-sealEdge), Length: min(sealEdge, v.Size)}}
	if v.Method == image.Raw {
		for n := range int64(sealSamples) {
			at := v.Size / sealSamples * n
			list = append(list, extent.Extent{Offset: at, Length: min(sealSample, v.Size-at)})
		}
		return list
	}
	found, err := probe.Probe(io.NewSectionReader(o.Reader, v.Offset, v.Size), v.Size)
	stamped, ok := found.FileSystem.(filesystem.Stamped)
	if err != nil || !ok {
		return list
	}
	var sum int64
	for _, e := range stamped.Stamps() {
		e.Length = min(e.Length, sealStamps-sum)
		if e.Offset < 0 || e.Length <= 0 || e.Length > v.Size-e.Offset {
			break
		}
		sum += e.Length
		list = append(list, e)
	}
	return list
}

func hashExtent(h io.Writer, r io.ReaderAt, e extent.Extent) error {
	n, err := io.Copy(h, io.NewSectionReader(r, e.Offset, e.Length))
	if err == nil && n < e.Length {
		err = fmt.Errorf("%d of %d bytes: %w", n, e.Length, errEnded)
	}
	return err
}
