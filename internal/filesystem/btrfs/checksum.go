package btrfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

const sumSize = 32 // bytes that a superblock and a node have for their checksum, at their start

// checksum says whether a superblock or a node carries its own checksum.
type checksum func(block []byte) bool

// checksumOf gives the checksum of a csum_type, nil for an unknown one.
func checksumOf(kind uint16) checksum {
	switch kind {
	case 0:
		castagnoli := crc32.MakeTable(crc32.Castagnoli)
		return func(p []byte) bool { return crc32.Checksum(p[sumSize:], castagnoli) == le.Uint32(p) }
	case 1:
		return func(p []byte) bool { return xxhash64(p[sumSize:]) == le.Uint64(p) }
	case 2:
		return func(p []byte) bool {
			sum := sha256.Sum256(p[sumSize:])
			return bytes.Equal(sum[:], p[:sumSize])
		}
	case 3:
		return func(p []byte) bool {
			sum := blake2b256(p[sumSize:])
			return bytes.Equal(sum[:], p[:sumSize])
		}
	}
	return nil
}

// The primes of XXH64.
const (
	prime1 = 0x9E3779B185EBCA87
	prime2 = 0xC2B2AE3D27D4EB4F
	prime3 = 0x165667B19E3779F9
	prime4 = 0x85EBCA77C2B2AE63
	prime5 = 0x27D4EB2F165667C5
)

// xxhash64 is XXH64 with seed 0, after "xxHash fast digest algorithm".
func xxhash64(p []byte) uint64 {
	var h uint64
	n := uint64(len(p))
	if len(p) >= 32 {
		prime := uint64(prime1) // a variable: these sums wrap
		lane := [4]uint64{prime + prime2, prime2, 0, -prime}
		for ; len(p) >= 32; p = p[32:] {
			for i := range lane {
				lane[i] = xxRound(lane[i], le.Uint64(p[8*i:]))
			}
		}
		for i, rotation := range []int{1, 7, 12, 18} {
			h += bits.RotateLeft64(lane[i], rotation)
		}
		for _, l := range lane {
			h = (h^xxRound(0, l))*prime1 + prime4
		}
	} else {
		h = prime5
	}
	h += n
	for ; len(p) >= 8; p = p[8:] {
		h = bits.RotateLeft64(h^xxRound(0, le.Uint64(p)), 27)*prime1 + prime4
	}
	if len(p) >= 4 {
		h = bits.RotateLeft64(h^uint64(le.Uint32(p))*prime1, 23)*prime2 + prime3
		p = p[4:]
	}
	for _, b := range p {
		h = bits.RotateLeft64(h^uint64(b)*prime5, 11) * prime1
	}
	h = (h ^ h>>33) * prime2
	h = (h ^ h>>29) * prime3
	return h ^ h>>32
}

func xxRound(lane, input uint64) uint64 {
	return bits.RotateLeft64(lane+input*prime2, 31) * prime1
}

// blake2b256 is BLAKE2b without a key, 32 bytes long: RFC 7693.
func blake2b256(p []byte) (sum [32]byte) {
	initial := blake2bInitial()
	h := initial
	h[0] ^= 0x01010000 ^ 32 // fan-out 1, depth 1, 32 bytes
	var done uint64
	for len(p) > 128 {
		done += 128
		blake2bBlock(&h, &initial, p[:128], done, 0)
		p = p[128:]
	}
	var last [128]byte
	done += uint64(copy(last[:], p))
	blake2bBlock(&h, &initial, last[:], done, ^uint64(0))
	for i, v := range h[:4] {
		binary.LittleEndian.PutUint64(sum[8*i:], v)
	}
	return sum
}

// blake2bInitial is the initialisation vector, that of SHA-512.
func blake2bInitial() [8]uint64 {
	return [8]uint64{
		0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
		0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
	}
}

// blake2bSigma is the order of the words of the message in each round.
var blake2bSigma = [10][16]byte{
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
}

// blake2bBlock is the compression function F: done bytes up to and with block.
func blake2bBlock(h, initial *[8]uint64, block []byte, done, last uint64) {
	var m, v [16]uint64
	for i := range m {
		m[i] = le.Uint64(block[8*i:])
	}
	copy(v[:8], h[:])
	copy(v[8:], initial[:])
	v[12] ^= done
	v[14] ^= last
	mix := func(a, b, c, d int, x, y uint64) {
		v[a] += v[b] + x
		v[d] = bits.RotateLeft64(v[d]^v[a], -32)
		v[c] += v[d]
		v[b] = bits.RotateLeft64(v[b]^v[c], -24)
		v[a] += v[b] + y
		v[d] = bits.RotateLeft64(v[d]^v[a], -16)
		v[c] += v[d]
		v[b] = bits.RotateLeft64(v[b]^v[c], -63)
	}
	for round := range 12 {
		s := &blake2bSigma[round%10]
		for i := range 4 { // the columns
			mix(i, 4+i, 8+i, 12+i, m[s[2*i]], m[s[2*i+1]])
		}
		for i := range 4 { // the diagonals
			mix(i, 4+(i+1)%4, 8+(i+2)%4, 12+(i+3)%4, m[s[8+2*i]], m[s[8+2*i+1]])
		}
	}
	for i := range h {
		h[i] ^= v[i] ^ v[8+i]
	}
}
