package qcow2

import (
	"fmt"
	"io"
)

// File is what a disk is written to: a new, empty file.
type File interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Writer makes a qcow2 file of version 3. The file begins with zeros, and is
// none, until Close. It holds only what was written and is not zeros. Its memory
// is 8 bytes for every 64 KiB that are held.
type Writer struct {
	f    File
	size int64
	l2   map[int64][]uint64 // by entry of L1: clusters of the file, 0 for none
	next int64              // cluster of the file that is free
}

const (
	cluster  = 1 << clusterBits
	perTable = cluster / 8
)

// Create starts a disk of size bytes.
func Create(f File, size int64) (*Writer, error) {
	if size <= 0 || size > maxL1/8*perTable*cluster {
		return nil, fmt.Errorf("qcow2: a disk of %d bytes", size)
	}
	w := &Writer{f: f, size: size, l2: map[int64][]uint64{}}
	w.next = 1 + clusters(8*w.l1Entries()) // header, L1
	return w, nil
}

func (w *Writer) l1Entries() int64 { return (w.size + perTable*cluster - 1) / (perTable * cluster) }

// clusters is how many clusters n bytes take.
func clusters(n int64) int64 { return (n + cluster - 1) / cluster }

// Size is the size of the disk in bytes.
func (w *Writer) Size() int64 { return w.size }

// Sync brings what was written to the medium. The file is none yet.
func (w *Writer) Sync() error { return w.f.Sync() }

// ReadAt reads back what was written.
func (w *Writer) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off > w.size {
		return 0, fmt.Errorf("qcow2: read at byte %d", off)
	}
	if rest := w.size - off; int64(len(p)) > rest {
		p, err = p[:rest], io.EOF
	}
	for n < len(p) {
		at := off + int64(n)
		part := p[n:min(len(p), n+int(cluster-at%cluster))]
		host := w.place(at / cluster)
		if host == 0 {
			clear(part)
		} else if m, err := w.f.ReadAt(part, host*cluster+at%cluster); err == io.EOF {
			clear(part[m:])
		} else if err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, err
}

// place is the cluster of the file that holds a cluster of the disk; 0: none.
func (w *Writer) place(c int64) int64 {
	table := w.l2[c/perTable]
	if table == nil {
		return 0
	}
	return int64(table[c%perTable])
}

// WriteAt writes to the disk.
func (w *Writer) WriteAt(p []byte, off int64) (n int, err error) {
	if off < 0 || int64(len(p)) > w.size-off {
		return 0, fmt.Errorf("qcow2: write of %d bytes at %d leaves the disk", len(p), off)
	}
	for n < len(p) {
		at := off + int64(n)
		part := p[n:min(len(p), n+int(cluster-at%cluster))]
		host := w.place(at / cluster)
		if host == 0 {
			if zero(part) {
				n += len(part)
				continue
			}
			host = w.allocate(at / cluster)
		}
		if _, err := w.f.WriteAt(part, host*cluster+at%cluster); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

func zero(p []byte) bool {
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}

// allocate takes the next cluster of the file. What of it is never written
// reads as zeros: the file is new.
func (w *Writer) allocate(c int64) int64 {
	table := w.l2[c/perTable]
	if table == nil {
		table = make([]uint64, perTable)
		w.l2[c/perTable] = table
	}
	host := w.next
	table[c%perTable] = uint64(host)
	w.next++
	return host
}

// Close writes the tables, and the header last. It does not close the file.
func (w *Writer) Close() error {
	l1 := make([]byte, 8*w.l1Entries())
	block := make([]byte, cluster)
	for i := range w.l1Entries() {
		table := w.l2[i]
		if table == nil {
			continue
		}
		for j, host := range table {
			v := uint64(0)
			if host != 0 {
				v = host*cluster | flagCopied
			}
			be.PutUint64(block[8*j:], v)
		}
		if _, err := w.f.WriteAt(block, w.next*cluster); err != nil {
			return err
		}
		be.PutUint64(l1[8*i:], uint64(w.next*cluster)|flagCopied)
		w.next++
	}
	if _, err := w.f.WriteAt(l1, cluster); err != nil {
		return err
	}
	table, tableClusters, err := w.counts()
	if err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	if _, err := w.f.WriteAt(w.header(table, tableClusters), 0); err != nil {
		return err
	}
	return w.f.Sync()
}

// counts writes the reference counts, 16 bits each: 1 for every cluster of the
// file, those of the counts and of their table among them.
func (w *Writer) counts() (table, tableClusters int64, err error) {
	const perBlock = cluster / 2
	blocks, tableClusters := int64(0), int64(0)
	for { // they count themselves
		total := w.next + blocks + tableClusters
		b := (total + perBlock - 1) / perBlock
		t := clusters(8 * b)
		if b == blocks && t == tableClusters {
			break
		}
		blocks, tableClusters = b, t
	}
	table = w.next
	entries := make([]byte, tableClusters*cluster)
	total := w.next + blocks + tableClusters
	for b := range blocks {
		host := table + tableClusters + b
		be.PutUint64(entries[8*b:], uint64(host*cluster))
		block := make([]byte, cluster)
		for i := range min(perBlock, total-b*perBlock) {
			be.PutUint16(block[2*i:], 1)
		}
		if _, err := w.f.WriteAt(block, host*cluster); err != nil {
			return 0, 0, err
		}
	}
	_, err = w.f.WriteAt(entries, table*cluster)
	return table, tableClusters, err
}

func (w *Writer) header(table, tableClusters int64) []byte {
	b := make([]byte, headerV3)
	copy(b, magic)
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], clusterBits)
	be.PutUint64(b[24:], uint64(w.size))
	be.PutUint32(b[36:], uint32(w.l1Entries()))
	be.PutUint64(b[40:], cluster)
	be.PutUint64(b[48:], uint64(table*cluster))
	be.PutUint32(b[56:], uint32(tableClusters))
	be.PutUint32(b[96:], 4) // 16 bits
	be.PutUint32(b[100:], headerV3)
	return b
}

// DropCache is for those who write to devices: a file of the machine's own
// memory has nothing to drop.
func (w *Writer) DropCache() error { return w.Sync() }

// ReReadTable is for those who write to devices: no kernel sees a table here.
func (w *Writer) ReReadTable() error { return nil }
