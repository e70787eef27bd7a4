package clonezilla

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"math"

	"doppel.live/internal/clonezilla/unpack"
	"doppel.live/internal/image"
)

// absent says why a volume cannot be restored that is not damaged.
func (v *verifier) absent(volume image.Volume, r *VolumeReport) {
	if volume.Method != image.Absent {
		return
	}
	reason := cmp.Or(volume.Reason, "it was left out when the image was saved")
	lost := volume.Reason == lostReason
	v.result.Changed = v.result.Changed || lost
	if lost || volume.File != "" || volume.Index < 0 || v.told.reason(volume.Name) != "" {
		r.Problems = append(r.Problems, reason)
		return
	}
	r.Notes = append(r.Notes, reason)
}

// held reads a stream that cannot be restored yet, for what its sums say.
func (v *verifier) held(volume image.Volume, r *VolumeReport) error {
	name, _ := parseImageFile(volume.File)
	f := &forward{directory: v.directory, volume: volume}
	f.volume.Method, f.volume.Size = image.Blocks, cmp.Or(volume.Size, math.MaxInt64/8)
	if err := v.countParts(f); err != nil {
		return err
	}
	in, err := f.unpack()
	if errors.Is(err, ErrNotYet) {
		r.Notes = append(r.Notes, "its stream was not read; only the sums of its files were checked")
		v.advance(v.partsSize(f))
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	blocks := bufio.NewReader(in)
	if magic, _ := blocks.Peek(len(partcloneMagic)); string(magic) == partcloneMagic && name.kind != "dd" {
		return v.records(f, &forwardRecords{ctx: v.ctx, saved: f}, r)
	}
	if r.Bytes, err = io.Copy(io.Discard, contextReader{v.ctx, blocks}); err != nil {
		return unpack.Damaged(err)
	}
	r.Notes = append(r.Notes, "its stream has no checksum that is known here")
	v.advance(v.partsSize(f))
	return nil
}

// partcloneMagic is how every stream of partclone begins.
const partcloneMagic = "partclone-image"

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// countParts notes that the files of a stream are counted with their volume.
func (v *verifier) countParts(s *forward) error {
	parts, err := v.parts(s.volume.File)
	for _, part := range parts {
		v.counted[part] = true
	}
	return err
}

// partsSize is the length in bytes of the files of a stream.
func (v *verifier) partsSize(s *forward) (size int64) {
	parts, _ := v.parts(s.volume.File)
	for _, part := range parts {
		size += v.entries[part].Size
	}
	return size
}

// stream reads a foreign volume to its end; its checksums are checked on the way.
func (v *verifier) stream(s *forward, r *VolumeReport) error {
	if err := v.countParts(s); err != nil {
		return err
	}
	return v.records(s, &forwardRecords{ctx: v.ctx, saved: s}, r)
}

func (v *verifier) records(s *forward, records *forwardRecords, r *VolumeReport) error {
	rest := v.partsSize(s) // stored bytes that were not counted yet
	s.read.Store(0)        // its header was read before
	for {
		rec, err := records.ReadRecord()
		n := min(s.read.Swap(0), rest)
		if err == io.EOF {
			n = rest
		}
		if rest -= n; n > 0 {
			v.advance(n)
		}
		if err == io.EOF {
			r.Notes = append(r.Notes, records.weakness()...)
			return nil
		}
		if err != nil {
			return err
		}
		r.Bytes += int64(len(rec.Data))
	}
}

// weakness says what the stream's own checksums do not protect.
func (r *forwardRecords) weakness() []string {
	text := "it has no checksum of its bytes"
	if r.blocks != nil {
		text = r.blocks.Header.Weakness()
	}
	if text == "" {
		return nil
	}
	return []string{text}
}
