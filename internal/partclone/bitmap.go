package partclone

import (
	"encoding/binary"
	"iter"
	"math/bits"

	"doppel.live/internal/extent"
)

// pieceSize is how many bytes of a Bitmap are kept, or left out, together.
const pieceSize = 64 << 10

// Bitmap is the blocks in use of a volume. Long stretches of equal bits cost
// next to nothing, so that a large and mostly empty volume has a small one.
type Bitmap struct {
	blocks int64
	all    bool     // every block is in use, and pieces is empty
	pieces [][]byte // nil: all zero
	full   []byte   // what all pieces share that are all ones
}

// Blocks is the number of blocks of the volume.
func (b *Bitmap) Blocks() int64 { return b.blocks }

// add adds one piece, of pieceSize bytes unless it is the last. It copies p.
func (b *Bitmap) add(p []byte) {
	switch uniform(p) {
	case 0x00:
		b.pieces = append(b.pieces, nil)
		return
	case 0xFF:
		if len(p) == pieceSize {
			if b.full == nil {
				b.full = append([]byte(nil), p...)
			}
			b.pieces = append(b.pieces, b.full)
			return
		}
	}
	piece := make([]byte, (len(p)+7)/8*8)
	copy(piece, p)
	b.pieces = append(b.pieces, piece)
}

// uniform is the byte that p consists of, or -1 when it has several.
func uniform(p []byte) int {
	for _, c := range p {
		if c != p[0] {
			return -1
		}
	}
	return int(p[0])
}

// find gives the first block from from on that is in use, or that is not;
// Blocks where there is none.
func (b *Bitmap) find(from int64, used bool) int64 {
	const pieceBlocks = pieceSize * 8
	if b.all && used {
		return min(from, b.blocks)
	} else if b.all {
		return b.blocks
	}
	for from < b.blocks {
		i := from / pieceBlocks
		piece := b.pieces[i]
		at := from % pieceBlocks / 64
		if piece == nil || b.isFull(piece) {
			if (piece != nil) == used {
				return from
			}
			from = (i + 1) * pieceBlocks
			continue
		}
		for shift := from % 64; at*8 < int64(len(piece)); at, shift = at+1, 0 {
			word := binary.LittleEndian.Uint64(piece[at*8:])
			if !used {
				word = ^word
			}
			if word = word >> shift << shift; word != 0 {
				return min(i*pieceBlocks+at*64+int64(bits.TrailingZeros64(word)), b.blocks)
			}
		}
		from = (i + 1) * pieceBlocks
	}
	return b.blocks
}

// Runs gives the runs of blocks in use from block first up to block end:
// number of the first, and how many.
func (b *Bitmap) Runs(first, end int64) iter.Seq2[int64, int64] {
	return func(yield func(int64, int64) bool) {
		for end = min(end, b.blocks); ; {
			first = b.find(first, true)
			if first >= end {
				return
			}
			behind := min(b.find(first, false), end)
			if !yield(first, behind-first) {
				return
			}
			first = behind
		}
	}
}

// count is the number of blocks in use.
func (b *Bitmap) count() (n int64) {
	if b.all {
		return b.blocks
	}
	for i, piece := range b.pieces {
		for at := 0; at < len(piece); at += 8 {
			word := binary.LittleEndian.Uint64(piece[at:])
			if over := (int64(i)*pieceSize+int64(at))*8 + 64 - b.blocks; over > 0 {
				word = word << min(over, 64) >> min(over, 64) // padding is no block
			}
			n += int64(bits.OnesCount64(word))
		}
	}
	return n
}

// PutBits writes the part of a stored bitmap that begins with block first into
// dst, which it fills: 8 blocks each byte. The extents of list are ascending,
// disjoint and of whole blocks.
//
// With blocks of 4096 bytes and the extent 4096+12288, the bitmap from block 0
// begins with 0b00001110.
func PutBits(dst []byte, first int64, list []extent.Extent, blockSize int64) {
	clear(dst)
	end := first + int64(len(dst))*8
	for _, e := range extent.From(list, first*blockSize) {
		if e.Offset >= end*blockSize {
			break
		}
		from := max(e.Offset/blockSize, first) - first
		to := min(e.End()/blockSize, end) - first
		for ; from < to && from%8 != 0; from++ {
			dst[from/8] |= 1 << (from % 8)
		}
		for ; from+8 <= to; from += 8 {
			dst[from/8] = 0xFF
		}
		for ; from < to; from++ {
			dst[from/8] |= 1 << (from % 8)
		}
	}
}

// isFull tells whether piece is the one that all full pieces share.
func (b *Bitmap) isFull(piece []byte) bool { return b.full != nil && &piece[0] == &b.full[0] }
