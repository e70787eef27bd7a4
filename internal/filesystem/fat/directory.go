package fat

import (
	"io"

	"doppel.live/internal/filesystem/chain"
)

// entrySize is that of an entry of a directory, in bytes.
//
//	0   11  name; byte 0: 0 free from here on, E5 deleted
//	11  1   attributes: 8 label, 10 directory, 0F part of a long name
//	20  2   first cluster, high half (FAT32)
//	26  2   first cluster, low half
const entrySize = 32

type dirEntry []byte

func (e dirEntry) free() bool      { return e[0] == 0 || e[0] == 0xE5 }
func (e dirEntry) longName() bool  { return e[11]&0x3F == 0x0F }
func (e dirEntry) isLabel() bool   { return !e.free() && !e.longName() && e[11]&0x18 == 0x08 }
func (e dirEntry) directory() bool { return e[11]&0x10 != 0 }

func (e dirEntry) cluster(width int64) int64 {
	c := int64(le.Uint16(e[26:]))
	if width == 32 {
		c |= int64(le.Uint16(e[20:])&0x0FFF) << 16
	}
	return c
}

const maxRootBytes = 4 << 20 // of a root directory of FAT32 searched for the label

// rootLabel is the label in the root directory, "" where there is none. What
// lies outside of the volume ends the search.
func rootLabel(r io.ReaderAt, size int64, b bootSector) (string, error) {
	f := &fileSystem{r: r, table: chain.NewCache(r), boot: b, width: 32, clusterSize: b.cluster() * b.sector(), data: b.dataStart() * b.sector()}
	f.clusters = (b.sectors() - b.dataStart()) / b.cluster()
	if !b.fat32() {
		at := b.table(b.fats())
		n := b.rootEntries() * entrySize
		if at > size-n {
			return "", nil
		}
		label, _, err := f.labelIn(at, n)
		return label, err
	}
	if b.flags()&0x80 != 0 && int64(b.flags()&0xF) >= b.fats() {
		return "", nil
	}
	table, _ := f.active()
	cluster := b.rootCluster()
	for n := int64(0); n < maxRootBytes && f.valid(cluster); n += f.clusterSize {
		at := f.data + (cluster-2)*f.clusterSize
		if at > size-f.clusterSize || b.table(table)+4*cluster > size-4 {
			break
		}
		label, found, err := f.labelIn(at, f.clusterSize)
		if found || err != nil {
			return label, err
		}
		if cluster, err = f.next(cluster); err != nil {
			return "", err
		}
	}
	return "", nil
}

// labelIn searches n bytes of a directory; found is true at its end too.
func (f *fileSystem) labelIn(at, n int64) (label string, found bool, err error) {
	p := make([]byte, n)
	if err := readFull(f.r, p, at); err != nil {
		return "", false, err
	}
	for ; len(p) >= entrySize; p = p[entrySize:] {
		switch e := dirEntry(p); {
		case e[0] == 0:
			return "", true, nil
		case e.isLabel():
			return text(e[:11]), true, nil
		}
	}
	return "", false, nil
}

// searchDirectories marks the first cluster of every file and directory, and
// the clusters of all directories. Chains end where they meet themselves. As
// in Linux a directory is searched behind its first free entry.
func (f *fileSystem) searchDirectories() error {
	seen := newBitmap(f.clusters)
	var queue []int64 // first clusters of directories
	if f.width == 32 {
		queue = append(queue, f.boot.rootCluster())
	} else {
		p := make([]byte, f.boot.rootEntries()*entrySize)
		if err := readFull(f.r, p, f.boot.table(f.boot.fats())); err != nil {
			return err
		}
		queue = f.markEntries(p, seen, queue)
	}
	p := make([]byte, f.clusterSize)
	for len(queue) > 0 {
		cluster := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for f.valid(cluster) && !seen.has(cluster) {
			seen.set(cluster)
			f.used.set(cluster)
			if err := readFull(f.r, p, f.data+(cluster-2)*f.clusterSize); err != nil {
				return err
			}
			queue = f.markEntries(p, seen, queue)
			var err error
			if cluster, err = f.next(cluster); err != nil {
				return err
			}
		}
	}
	return nil
}

// markEntries marks the first clusters that entries name, and appends those of
// directories not yet seen.
func (f *fileSystem) markEntries(p []byte, seen bitmap, queue []int64) []int64 {
	for ; len(p) >= entrySize; p = p[entrySize:] {
		e := dirEntry(p)
		first := e.cluster(f.width)
		if e.free() || e.longName() || !f.valid(first) {
			continue
		}
		f.used.set(first)
		if e.directory() && !seen.has(first) {
			queue = append(queue, first)
		}
	}
	return queue
}
