package qcow2

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"doppel.live/internal/extent"
)

// Reader is a disk in a qcow2 file. It may be used by several goroutines.
type Reader struct {
	r       io.ReaderAt
	length  int64 // of the file
	header  header
	cluster int64 // bytes
	l1      []uint64
	decoder *zstd.Decoder

	mu     sync.Mutex
	tables map[int64][]uint64 // L2 tables by their entry of L1, a few
	packed int64              // cluster of the disk that unpacked holds; -1: none
	plain  []byte             // its content
}

// keptTables is how many L2 tables are kept: of clusters of 64 KiB each stands
// for 512 MiB.
const keptTables = 16

// Open opens a file of length bytes.
func Open(r io.ReaderAt, length int64) (*Reader, error) {
	h, err := parseHeader(r, length)
	if err != nil {
		return nil, err
	}
	q := &Reader{r: r, length: length, header: h, cluster: 1 << h.clusterBits, tables: map[int64][]uint64{}, packed: -1}
	if q.l1, err = q.table(int64(h.l1Offset), int64(h.l1Entries)); err != nil {
		return nil, fmt.Errorf("qcow2: L1 table: %w", err)
	}
	if h.packing == packedZstd {
		if q.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20)); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// Size is the size of the disk in bytes.
func (q *Reader) Size() int64 { return int64(q.header.size) }

// table reads n entries.
func (q *Reader) table(off, n int64) ([]uint64, error) {
	raw := make([]byte, 8*n)
	if m, err := q.r.ReadAt(raw, off); m < len(raw) {
		return nil, cut(err)
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = be.Uint64(raw[8*i:])
	}
	return out, nil
}

func cut(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// entry gives the L2 entry of a cluster of the disk; 0 where there is none. The
// lock is held.
func (q *Reader) entry(cluster int64) (uint64, error) {
	perTable := q.cluster / 8
	i := cluster / perTable
	table, ok := q.tables[i]
	if !ok {
		off := int64(q.l1[i] & offsetMask)
		if off == 0 {
			return 0, nil
		}
		if off%q.cluster != 0 || off > q.length-q.cluster {
			return 0, fmt.Errorf("qcow2: entry %d of the L1 table leads to byte %d of %d", i, off, q.length)
		}
		var err error
		if table, err = q.table(off, perTable); err != nil {
			return 0, fmt.Errorf("qcow2: L2 table at byte %d: %w", off, err)
		}
		if len(q.tables) >= keptTables {
			clear(q.tables)
		}
		q.tables[i] = table
	}
	return table[cluster%perTable], nil
}

// ReadAt reads from the disk: zeros where the file holds nothing.
func (q *Reader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("qcow2: read at byte %d", off)
	}
	if off >= q.Size() {
		return 0, io.EOF
	}
	if rest := q.Size() - off; int64(len(p)) > rest {
		p, err = p[:rest], io.EOF
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for n < len(p) {
		at := off + int64(n)
		part := p[n:min(len(p), n+int(q.cluster-at%q.cluster))]
		if err := q.readCluster(part, at); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, err
}

// readCluster reads a piece of one cluster.
func (q *Reader) readCluster(p []byte, off int64) error {
	number, place := off/q.cluster, off%q.cluster
	e, err := q.entry(number)
	if err != nil {
		return err
	}
	if e&flagPacked != 0 {
		if err := q.unpack(number, e); err != nil {
			return err
		}
		copy(p, q.plain[place:])
		return nil
	}
	host := int64(e & offsetMask)
	if host == 0 || e&flagZero != 0 && q.header.version > 2 {
		clear(p)
		return nil
	}
	if host%q.cluster != 0 || host >= q.length {
		return fmt.Errorf("qcow2: cluster %d lies at byte %d of %d", number, host, q.length)
	}
	m, err := q.r.ReadAt(p, host+place)
	if m < len(p) && err == io.EOF { // the last cluster of a file may be cut: the rest is zeros
		clear(p[m:])
		return nil
	}
	if m < len(p) {
		return fmt.Errorf("qcow2: cluster %d at byte %d: %w", number, host, cut(err))
	}
	return nil
}

// unpack decodes a compressed cluster, of which the entry gives the first byte
// and how many more sectors than that one's it touches.
func (q *Reader) unpack(number int64, e uint64) error {
	if q.packed == number {
		return nil
	}
	q.packed = -1
	shift := 62 - (q.header.clusterBits - 8)
	host := int64(e & (1<<shift - 1))
	more := int64(e &^ (flagCopied | flagPacked) >> shift)
	length := min((more+1)*sectorLength-host%sectorLength, q.length-host)
	if length <= 0 || length > 2*q.cluster+sectorLength {
		return fmt.Errorf("qcow2: compressed cluster %d of %d bytes at byte %d", number, length, host)
	}
	raw := make([]byte, length)
	if m, err := q.r.ReadAt(raw, host); m < len(raw) {
		return fmt.Errorf("qcow2: compressed cluster %d at byte %d: %w", number, host, cut(err))
	}
	if q.plain == nil {
		q.plain = make([]byte, q.cluster)
	}
	if err := q.decode(raw); err != nil {
		return fmt.Errorf("qcow2: compressed cluster %d at byte %d: %w", number, host, err)
	}
	q.packed = number
	return nil
}

func (q *Reader) decode(raw []byte) error {
	if q.header.packing == packedDeflate {
		d := flate.NewReader(bytes.NewReader(raw))
		defer d.Close()
		_, err := io.ReadFull(d, q.plain)
		return err
	}
	// What follows the frame belongs to its neighbours in the sector.
	d := bytes.NewReader(raw)
	if err := q.decoder.Reset(d); err != nil {
		return err
	}
	_, err := io.ReadFull(q.decoder, q.plain)
	return err
}

// Stored gives the extents of the disk that the file holds something for,
// ascending, whole clusters; everything else reads as zeros.
func (q *Reader) Stored() ([]extent.Extent, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []extent.Extent
	perTable := q.cluster / 8
	seen := map[uint64]bool{} // tables: each belongs to one entry, so the work ends with the file
	for i := range q.l1 {
		table := q.l1[i] & offsetMask
		if table == 0 {
			continue
		}
		if seen[table] {
			return nil, fmt.Errorf("qcow2: two entries of the L1 table lead to byte %d", table)
		}
		seen[table] = true
		for c := int64(i) * perTable; c < int64(i+1)*perTable && c*q.cluster < q.Size(); c++ {
			e, err := q.entry(c)
			if err != nil {
				return nil, err
			}
			empty := e&flagPacked == 0 && (e&offsetMask == 0 || e&flagZero != 0 && q.header.version > 2)
			if !empty {
				list = extent.Append(list, extent.Extent{Offset: c * q.cluster, Length: min(q.cluster, q.Size()-c*q.cluster)})
			}
		}
	}
	return list, nil
}
