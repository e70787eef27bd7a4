package clonezilla

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"doppel.live/internal/image"
	"doppel.live/internal/pack"
	"doppel.live/internal/partclone"
)

// packedAs is how frames of that level are packed.
func (l Level) packedAs() uint32 {
	switch l {
	case None:
		return packedNot
	case Gzip:
		return packedGzip
	}
	return packedZstd
}

// compressor appends to dst what src packs to.
type compressor func(dst, src []byte) ([]byte, error)

func newCompressor(l Level) compressor {
	switch l {
	case Gzip:
		return newGzip()
	case Fast:
		return packFrames(pack.Fast)
	case Max:
		return packFrames(pack.Max)
	}
	return packFrames(pack.Default)
}

func packFrames(l pack.Level) compressor {
	encoder := pack.NewEncoder(l)
	return func(dst, src []byte) ([]byte, error) { return encoder.Append(dst, src), nil }
}

// newGzip makes one member of gzip of each frame.
func newGzip() compressor {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	return func(dst, src []byte) ([]byte, error) {
		out.Reset()
		w.Reset(&out)
		_, err := w.Write(src)
		err = errors.Join(err, w.Close())
		return append(dst, out.Bytes()...), err
	}
}

// packer gives a worker that makes the stored form of frames.
func packer(level Level) func() (func(*job) error, error) {
	if level == None {
		return func() (func(*job) error, error) { return storeAsIs, nil }
	}
	return func() (func(*job) error, error) {
		unpack, err := newUnpacker(level.packedAs())
		if err != nil {
			return nil, err
		}
		return checked(newCompressor(level), unpack), nil
	}
}

// checked packs frames, and unpacks each again before it counts as saved.
func checked(compress compressor, unpack unpacker) func(*job) error {
	var again []byte
	return func(j *job) (err error) {
		seal(j)
		if j.packData, err = compress(slices.Grow(j.packData[:0], len(j.plainData)), j.plainData); err != nil {
			return err
		}
		label(j)
		if again, err = unpack(again[:0], j.packData, len(j.plainData)); err != nil {
			return fmt.Errorf("%w: %w", image.ErrMiscoded, err)
		}
		if !bytes.Equal(again, j.plainData) {
			return image.ErrMiscoded
		}
		return nil
	}
}

// seal adds the checksum of the blocks to the content of j where it has one.
func seal(j *job) {
	if j.sum {
		sum := partclone.Sum(j.plainData)
		j.plainData = append(j.plainData, sum[:]...)
	}
	j.plain = uint32(len(j.plainData))
}

func label(j *job) {
	j.stored = uint32(len(j.packData))
	j.frame.sum = blake3.Sum256(j.packData)
}

func storeAsIs(j *job) error {
	seal(j)
	j.packData = append(j.packData[:0], j.plainData...)
	label(j)
	return nil
}

// unpacker appends to dst what packed unpacks to, which must be size bytes.
type unpacker func(dst, packed []byte, size int) ([]byte, error)

func newUnpacker(how uint32) (unpacker, error) {
	if how == packedNot {
		return func(dst, packed []byte, size int) ([]byte, error) {
			if len(packed) != size {
				return nil, image.ErrDamaged
			}
			return append(dst, packed...), nil
		}, nil
	}
	if how == packedGzip {
		return newGunzip(), nil
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	return func(dst, packed []byte, size int) ([]byte, error) {
		if cap(dst)-len(dst) < size {
			dst = append(make([]byte, 0, len(dst)+size), dst...)
		}
		limit := len(dst) + size
		out, err := decoder.DecodeAll(packed, dst[:len(dst):limit])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", image.ErrDamaged, err)
		}
		if len(out) != limit {
			return nil, fmt.Errorf("%w: a frame unpacks to %d bytes, not %d", image.ErrDamaged, len(out)-len(dst), size)
		}
		return out, nil
	}, nil
}

// newGunzip unpacks frames that are one member of gzip each.
func newGunzip() unpacker {
	var r gzip.Reader
	return func(dst, packed []byte, size int) ([]byte, error) {
		in := bytes.NewReader(packed)
		if err := r.Reset(in); err != nil {
			return nil, fmt.Errorf("%w: %w", image.ErrDamaged, err)
		}
		r.Multistream(false)
		at := len(dst)
		dst = slices.Grow(dst, size)[:at+size]
		if _, err := io.ReadFull(&r, dst[at:]); err != nil {
			return nil, fmt.Errorf("%w: %w", image.ErrDamaged, err)
		}
		// The checksum is seen only at the end.
		if n, err := r.Read(make([]byte, 1)); n > 0 || err != io.EOF || in.Len() > 0 {
			return nil, fmt.Errorf("%w: a frame does not end behind %d bytes unpacked: %w", image.ErrDamaged, size, err)
		}
		return dst, nil
	}
}

// checkFrame unpacks the stored form of a frame and checks it in all the ways
// there are: its BLAKE3, its length and the checksum of its blocks. What it
// gives has no checksum at its end.
func (h framesHead) checkFrame(unpack unpacker, dst []byte, f frame, packed []byte) ([]byte, error) {
	if blake3.Sum256(packed) != f.sum {
		return nil, fmt.Errorf("%w: the frame at byte %d has another sum than when it was saved", image.ErrDamaged, f.offset)
	}
	if f.kind == kindSeek {
		return dst, nil
	}
	out, err := unpack(dst, packed, int(f.plain))
	if err != nil {
		return nil, fmt.Errorf("frame at byte %d: %w", f.offset, err)
	}
	if f.kind != kindData || h.sumSize() == 0 {
		return out, nil
	}
	blocks := out[len(dst) : len(out)-partclone.SumSize]
	if sum := partclone.Sum(blocks); !bytes.Equal(sum[:], out[len(out)-partclone.SumSize:]) {
		return nil, fmt.Errorf("%w: checksum of the blocks of the frame at byte %d", image.ErrDamaged, f.offset)
	}
	return out[:len(out)-partclone.SumSize], nil
}
