package partclone

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/xxh3"
)

// digest is the checksum of the blocks of a stream, fed in pieces.
type digest interface {
	add(data []byte)
	stored(dst []byte) []byte // appends the checksum as it stands in the stream
	reset()
}

// newDigest gives the digest that a stream of header h has; nil where it has none.
func newDigest(h Header) digest {
	switch {
	case h.V1:
		return &firstBytes{blockSize: h.BlockSize}
	case h.Checksum == ChecksumCRC32:
		return new(crcDigest)
	case h.Checksum == ChecksumXXH64:
		return xxh64Digest{xxhash.New()}
	case h.Checksum == ChecksumXXH128:
		return xxh128Digest{xxh3.New()}
	}
	return nil
}

type crcDigest uint32

func (d *crcDigest) add(b []byte) { *d = crcDigest(crc32.Update(uint32(*d), crc32.IEEETable, b)) }
func (d *crcDigest) reset()       { *d = 0 }

func (d *crcDigest) stored(dst []byte) []byte {
	sum := StoredSum(uint32(*d))
	return append(dst, sum[:]...)
}

type xxh64Digest struct{ h *xxhash.Digest }

func (d xxh64Digest) add(b []byte) { _, _ = d.h.Write(b) }
func (d xxh64Digest) reset()       { d.h.Reset() }

func (d xxh64Digest) stored(dst []byte) []byte {
	return binary.LittleEndian.AppendUint64(dst, d.h.Sum64())
}

type xxh128Digest struct{ h *xxh3.Hasher }

func (d xxh128Digest) add(b []byte) { _, _ = d.h.Write(b) }
func (d xxh128Digest) reset()       { d.h.Reset() }

// stored is not in XXH's own order: the low half comes first.
func (d xxh128Digest) stored(dst []byte) []byte {
	sum := d.h.Sum128()
	dst = binary.LittleEndian.AppendUint64(dst, sum.Lo)
	return binary.LittleEndian.AppendUint64(dst, sum.Hi)
}

// firstBytes is the checksum of version 1: a CRC-32 that runs on over the whole
// stream, and for each block takes its first byte as many times as the block
// has bytes. It says nothing of the other bytes.
type firstBytes struct {
	crc       crcDigest
	blockSize int64
	inBlock   int64 // bytes of the present block that were seen
	repeated  []byte
}

func (d *firstBytes) reset()                   { d.crc.reset() }
func (d *firstBytes) stored(dst []byte) []byte { return d.crc.stored(dst) }

func (d *firstBytes) add(b []byte) {
	for len(b) > 0 {
		if d.inBlock == 0 {
			d.repeat(b[0])
		}
		n := min(int64(len(b)), d.blockSize-d.inBlock)
		d.inBlock = (d.inBlock + n) % d.blockSize
		b = b[n:]
	}
}

func (d *firstBytes) repeat(c byte) {
	if d.repeated == nil {
		d.repeated = make([]byte, min(d.blockSize, 64<<10))
	}
	for i := range d.repeated {
		d.repeated[i] = c
	}
	for left := d.blockSize; left > 0; {
		n := min(left, int64(len(d.repeated)))
		d.crc.add(d.repeated[:n])
		left -= n
	}
}
