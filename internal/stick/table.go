package stick

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf16"

	"doppel.live/internal/partition"
)

// Types of partitions, as partition.Partition has them.
const (
	basicData = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
	linuxData = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
)

const (
	entrySize = 128
	entries   = 128
	arraySize = entries * entrySize
	firstLBA  = 2 + arraySize/sector // the first that a partition may have
)

// lastUsable is the first byte behind what partitions may have.
func lastUsable(size int64) int64 { return size - arraySize - sector }

// room is where the images partition ends: at a whole MiB.
func room(size int64) int64 { return lastUsable(size) / mib * mib }

// table is a GPT as it will be written.
type table struct {
	size       int64 // of the disk, whole sectors
	disk       string
	partitions []partition.Partition
}

// encode gives both copies: the primary one, which lies at LBA 1, and the
// backup one, which ends the disk.
func (t table) encode() (primary, backup []byte, err error) {
	array := make([]byte, arraySize)
	for _, p := range t.partitions {
		if p.Number < 1 || p.Number > entries || p.Start < firstLBA*sector || p.End() > lastUsable(t.size) || p.Size < sector {
			return nil, nil, fmt.Errorf("partition %d (bytes %d to %d) does not fit on the disk", p.Number, p.Start, p.End())
		}
		e := array[(p.Number-1)*entrySize:]
		if err := putEntry(e, p); err != nil {
			return nil, nil, err
		}
	}
	last := t.size/sector - 1
	head, err := t.header(1, last, 2, array)
	if err != nil {
		return nil, nil, err
	}
	tail, err := t.header(last, 1, last-arraySize/sector, array)
	return append(head, array...), append(array, tail...), err
}

// putEntry encodes one entry: type, GUID, first and last LBA, attributes, name
// (offsets 0, 16, 32, 40, 48, 56).
func putEntry(e []byte, p partition.Partition) error {
	for at, text := range map[int]string{0: p.Type, 16: p.UUID} {
		g, err := parseGUID(text)
		if err != nil {
			return err
		}
		copy(e[at:], g)
	}
	le.PutUint64(e[32:], uint64(p.Start/sector))
	le.PutUint64(e[40:], uint64(p.End()/sector-1))
	le.PutUint64(e[48:], p.Attributes)
	units := utf16.Encode([]rune(p.Name))
	for i, u := range units[:min(len(units), 36)] {
		le.PutUint16(e[56+2*i:], u)
	}
	return nil
}

// header encodes the header at LBA my.
func (t table) header(my, other, array int64, list []byte) ([]byte, error) {
	id, err := parseGUID(t.disk)
	if err != nil {
		return nil, err
	}
	b := make([]byte, sector)
	copy(b, "EFI PART\x00\x00\x01\x00")
	le.PutUint32(b[12:], 92)
	le.PutUint64(b[24:], uint64(my))
	le.PutUint64(b[32:], uint64(other))
	le.PutUint64(b[40:], firstLBA)
	le.PutUint64(b[48:], uint64(lastUsable(t.size)/sector-1))
	copy(b[56:], id)
	le.PutUint64(b[72:], uint64(array))
	le.PutUint32(b[80:], entries)
	le.PutUint32(b[84:], entrySize)
	le.PutUint32(b[88:], crc32.ChecksumIEEE(list))
	le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:92]))
	return b, nil
}

// protect gives the MBR of a disk of that many bytes: code and the active entry
// of no type stay, the protective one covers the disk, the disk identifier is new.
func protect(mbr []byte, size int64, id uint32) []byte {
	b := bytes.Clone(mbr)
	le.PutUint32(b[440:], id)
	for at := 446; at < 510; at += 16 {
		if b[at+4] == 0xEE {
			le.PutUint32(b[at+12:], uint32(min(size/sector-1, math.MaxUint32)))
		}
	}
	return b
}

// parseGUID gives a GUID as EFI stores it: the first three fields little-endian.
func parseGUID(text string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		return nil, fmt.Errorf("%q is no GUID", text)
	}
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return b, nil
}

// newGUID makes a GUID of random bytes (RFC 9562, version 4).
func newGUID(random io.Reader) (string, error) {
	b := make([]byte, 16)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])), nil
}

// withoutPrimary is a disk whose first GPT cannot be read, so that the backup
// at its very end is what package partition finds.
type withoutPrimary struct{ io.ReaderAt }

func (r withoutPrimary) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	if off < firstLBA*sector {
		hidden := make([]byte, firstLBA*sector)
		copy(hidden, protective())
		copy(p[:n], hidden[off:])
	}
	return n, err
}

// protective is an MBR with nothing but a protective entry.
func protective() []byte {
	b := make([]byte, sector)
	copy(b[446:], []byte{0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF})
	b[510], b[511] = 0x55, 0xAA
	return b
}

// backupTable gives the partitions of the GPT whose backup ends the disk: what
// the disk had before an image was written over its beginning.
func backupTable(r io.ReaderAt, size int64) []partition.Partition {
	t, err := partition.Read(withoutPrimary{r}, size, sector)
	if err != nil || t.Scheme != partition.GPT {
		return nil
	}
	return t.Partitions
}
