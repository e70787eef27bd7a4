// Package chain reads what lies in chains of clusters: a table names for each
// cluster the one that follows it, as in FAT and exFAT. It knows neither
// format's table, boot sector or directories, and it writes nothing.
//
// Chains come from a disk and may meet themselves, lead nowhere, or be shorter
// than what should lie in them: all of it ends and is said.
package chain

import (
	"fmt"
	"io"

	"doppel.live/internal/filesystem"
)

// Volume is where clusters lie.
type Volume struct {
	Reader   io.ReaderAt
	Format   string // "fat", "exfat": names the format in errors
	Data     int64  // byte where cluster 2, the first one, begins
	Cluster  int64  // bytes of a cluster
	Clusters int64  // how many there are
	// Next gives the cluster that the table names behind one, 0 at the end
	// of a chain. Anything but a cluster of the volume is an error. It is
	// called by several readers at the same time.
	Next func(cluster int64) (int64, error)
	// Entry gives the byte of the volume where the table has the entry of a
	// cluster.
	Entry func(cluster int64) int64
}

// wrong is an error about the byte of the volume.
func (v *Volume) wrong(at int64, format string, args ...any) error {
	return &filesystem.FormatError{Format: v.Format, Offset: at, What: fmt.Sprintf(format, args...)}
}

// Valid says whether there is a cluster of that number.
func (v *Volume) Valid(cluster int64) bool { return cluster >= 2 && cluster < v.Clusters+2 }

// Offset is the byte where a cluster begins.
func (v *Volume) Offset(cluster int64) int64 { return v.Data + (cluster-2)*v.Cluster }

// Count is how many clusters size bytes take.
func (v *Volume) Count(size int64) int64 { return size/v.Cluster + min(1, size%v.Cluster) }

// Measure counts the clusters of the chain that begins at first, up to limit.
// With an error n are those in front of the damage: where the chain meets
// itself, each cluster counts once. (It is Brent's way to find a cycle: in time
// of three times its clusters, without memory.)
func (v *Volume) Measure(first, limit int64) (n int64, err error) {
	if !v.Valid(first) {
		return 0, fmt.Errorf("a chain from cluster %d of %d", first, v.Clusters)
	}
	mark, hare := first, first
	power, lap := int64(1), int64(0)
	for n = 1; n < limit; n++ {
		next, err := v.Next(hare)
		if err != nil || next == 0 {
			return n, err
		}
		hare = next
		if lap++; hare == mark {
			return v.untilCycle(first, lap)
		}
		if lap == power {
			mark, power, lap = hare, 2*power, 0
		}
	}
	return n, nil
}

// untilCycle counts the clusters of a chain that ends in a cycle of lap.
func (v *Volume) untilCycle(first, lap int64) (n int64, err error) {
	ahead, behind := first, first
	for range lap {
		if ahead, err = v.Next(ahead); err != nil {
			return 0, err
		}
	}
	for n = lap; ahead != behind && n <= v.Clusters; n++ {
		if ahead, err = v.Next(ahead); err != nil {
			return 0, err
		}
		if behind, err = v.Next(behind); err != nil {
			return 0, err
		}
	}
	return n, v.wrong(v.Entry(behind), "its chain meets itself at cluster %d", behind)
}
