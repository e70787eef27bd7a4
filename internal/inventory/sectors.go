package inventory

import (
	"fmt"
	"io"

	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/partition"
)

// counted says in one sentence that the table counts in sectors of another
// size, as on a copy of a disk of 4096-byte sectors in a file, or behind an
// enclosure that shows other sectors than the disk has: partitions would be
// taken from where they are not. "" is no doubt. A GPT says so by where it
// lies; of an MBR it is believed when nothing is recognised on any partition,
// and something is with sectors of the other size.
func (c *Contents) counted(r io.ReaderAt, size int64) string {
	if s := c.Table.Scheme; s != partition.GPT && s != partition.MBR || c.Table.Scheme == partition.GPT && c.Doubt == "" {
		return ""
	}
	for _, v := range c.Volumes {
		if c.Table.Scheme == partition.MBR && (v.Problem != nil || v.Probe.Info.Type != "" || len(v.Probe.Ambiguous) > 0) {
			return ""
		}
	}
	for _, sector := range []int64{512, 4096} {
		if sector == c.Table.SectorSize || size%sector != 0 {
			continue
		}
		other, err := partition.Read(r, size, sector)
		if err != nil || other.Scheme != c.Table.Scheme || other.Conflict() != "" || other.Scheme == partition.MBR && !holds(r, other) {
			continue
		}
		return fmt.Sprintf("its partition table counts in sectors of %d bytes, and its sectors have %d here: of a file, losetup --find --show --sector-size %d FILE makes a device that is read right; a disk in an enclosure, connect without it",
			sector, c.Table.SectorSize, sector)
	}
	return ""
}

// holds says whether anything is recognised on a partition of a table.
func holds(r io.ReaderAt, t *partition.Table) bool {
	for _, p := range t.Partitions {
		if !p.Volume() {
			continue
		}
		found, err := probe.Probe(io.NewSectionReader(r, p.Start, p.Size), p.Size)
		if err == nil && (found.Info.Type != "" || len(found.Ambiguous) > 0) {
			return true
		}
	}
	return false
}
