package f2fs

import (
	"io"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// scattered gives a volume of 100 MiB from a short input, which holds what the
// reader looks at and no more: see pieces. The last block of a checkpoint pack
// is its first one, and all blocks of the main area are the same few.
type scattered struct{ r io.ReaderAt }

const inMain = 4 // blocks of the input that stand for the main area

// pieces are the bytes of the volume that an input holds, in its order: at
// most one starts in a block for each use.
var pieces = []struct{ at, n int64 }{
	{1024, superSize}, {4096 + 1024, superSize},
	{512 * 4096, 320}, {512*4096 + 4092, 4}, // a checkpoint
	{513 * 4096, 1024}, {513*4096 + 3584, 512}, {514*4096 + 3584, 512}, {515*4096 + 3584, 512}, // its journals
	{1024 * 4096, 320}, {1024*4096 + 4092, 4},
	{1025 * 4096, 1024}, {1025*4096 + 3584, 512}, {1026*4096 + 3584, 512}, {1027*4096 + 3584, 512},
	{1536 * 4096, 20 * entrySize}, {2048 * 4096, 20 * entrySize}, // SIT
	{2560 * 4096, 100 * natEntry}, {3072 * 4096, 100 * natEntry}, // NAT
	{4096 * 4096, inMain * 4096},
}

// same is the block that stands for a block.
func same(block int64) int64 {
	switch {
	case block > 4096:
		return 4096 + (block-4096)%inMain
	case block == 517, block == 519, block == 1029, block == 1031: // of 6 blocks, of 8
		return block &^ 511
	}
	return block
}

func (s scattered) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for done := int64(0); done < int64(len(p)); {
		in := (off + done) % 4096
		n := min(int64(len(p))-done, 4096-in)
		start, input := same((off+done)/4096)*4096+in, int64(0)
		for _, piece := range pieces {
			from, to := max(start, piece.at), min(start+n, piece.at+piece.n)
			if from < to {
				if _, err := s.r.ReadAt(p[done+from-start:done+to-start], input+from-piece.at); err != nil {
					return 0, err
				}
			}
			input += piece.n
		}
		done += n
	}
	return len(p), nil
}

// gather makes the input that stands for a volume; its nodes are the blocks
// from a byte on.
func gather(p []byte, nodes int64) []byte {
	var input []byte
	for _, piece := range pieces[:len(pieces)-1] {
		input = append(input, p[piece.at:piece.at+piece.n]...)
	}
	return append(input, p[nodes:nodes+inMain*4096]...)
}

// resealed writes the checksums of both checkpoints anew: inputs with wrong
// ones show nothing.
func resealed(p []byte) []byte {
	input := int64(0)
	for i, piece := range pieces {
		if piece.n == 320 && int64(len(p)) >= input+324 {
			c := checkpoint{p: make([]byte, 4096), block: 4096}
			copy(c.p, p[input:input+320])
			copy(c.p[4092:], p[input+320:])
			switch at := c.checksumOffset(); at {
			case 4092:
				le.PutUint32(p[input+320:], crc(superMagic, c.p[:at]))
			case bitmapOffset:
				le.PutUint32(p[input+at:], crc(crc(superMagic, c.p[:at]), c.p[at+4:]))
			}
		}
		input += pieces[i].n
	}
	return p
}

func FuzzOpen(f *testing.F) {
	opener := func(r io.ReaderAt, size int64) (filesystem.FileSystem, error) { return Open(scattered{r}, size) }
	for _, args := range []string{"", "-i", "-O extra_attr,inode_checksum,sb_checksum"} {
		p, fs := volume(f, args)
		input := gather(p, (fs.area.main+fs.views[0].cp.nodeSegment(0)*segmentBlocks)*4096)
		opened, err := opener(fstest.Padded(input), 100<<20)
		if err != nil || opened.Info().Used < fs.info.Used {
			f.Fatalf("%q: the seed is not the volume: %v", args, err)
		}
		valid, flags := uint32(2*superSize+16), uint32(2*superSize+132)
		if fs.views[0].cp.at == 1024 {
			valid, flags = valid+324+2560, flags+324+2560
		}
		f.Add(input, uint32(0), []byte{})
		f.Add(input, valid, []byte{0xFF, 0xFF}) // as if blocks were reserved
		f.Add(input, flags, []byte{0})          // as if mounted
	}
	f.Fuzz(func(t *testing.T, p []byte, off uint32, change []byte) {
		fstest.Hostile(t, opener, resealed(fstest.Change(p, off, change)), 100<<20)
	})
}
