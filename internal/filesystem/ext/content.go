package ext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// content is the data of a regular file, as its map of blocks gives it.
type content struct {
	mu sync.Mutex // of blocks: io.ReaderAt is for several goroutines
	m  blockMap
}

// ReadAt reads the file: zeros from holes and from blocks that were not
// written.
func (c *content) ReadAt(p []byte, off int64) (int, error) {
	in := c.m.in
	p, end, err := cut(p, off, in.size())
	if err != nil {
		return 0, err
	}
	if in.has(inodeFlagEncrypted) {
		return 0, fmt.Errorf("ext: inode %d is encrypted: %w", in.number, filesystem.ErrContent)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.m.read(p, off); err != nil {
		return 0, fmt.Errorf("ext: inode %d: %w", in.number, err)
	}
	return len(p), end
}

// cut gives the part of p that lies in a file of size bytes, and io.EOF where
// that is less than p.
func cut(p []byte, off, size int64) (part []byte, end, err error) {
	switch {
	case off < 0:
		return nil, nil, fmt.Errorf("ext: read at byte %d", off)
	case off >= size:
		return nil, nil, io.EOF
	case int64(len(p)) > size-off:
		return p[:size-off], io.EOF, nil
	}
	return p, nil, nil
}

// read fills p from byte off of the file on.
func (m *blockMap) read(p []byte, off int64) error {
	size := m.in.f.blockSize
	m.empty = 0
	clear(p)
	last := (off + int64(len(p)) + size - 1) / size
	for from := off / size; from < last; {
		s, ok, err := m.next(from, last)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		from = s.logical + s.length
		if s.unwritten {
			continue
		}
		start, at := s.logical*size-off, s.physical*size // of the run in p and on the volume
		if start < 0 {
			start, at = 0, at-start
		}
		part := p[start:min(int64(len(p)), from*size-off)]
		if err := filesystem.ReadFull(m.in.f.r, part, at); err != nil {
			return fmt.Errorf("ext: %d bytes at byte %d: %w", len(part), at, err)
		}
	}
	return nil
}

var errStopped = errors.New("stopped by the caller")

// Runs gives where the blocks of the file lie, those behind its end too.
func (c *content) Runs() iter.Seq2[filesystem.Run, error] {
	in := c.m.in
	size := in.f.blockSize
	return func(yield func(filesystem.Run, error) bool) {
		err := (&blockMap{in: in}).each(func(s span) error {
			e := extent.Extent{Offset: s.physical * size, Length: s.length * size}
			if !yield(filesystem.Run{Offset: s.logical * size, Extent: e, Unwritten: s.unwritten}, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && err != errStopped {
			yield(filesystem.Run{}, fmt.Errorf("ext: inode %d: %w", in.number, err))
		}
	}
}

// inline is data that lies in its inode: up to 60 bytes in i_block, what
// follows in an extended attribute.
type inline struct {
	in    *inode
	first int // bytes in i_block
	rest  extent.Extent
}

// inline finds the data of an inode with inodeFlagInline, size bytes of it.
func (in *inode) inline() (*inline, error) {
	size := int(in.size())
	d := &inline{in: in, first: min(size, 60)}
	rest := size - d.first
	if rest == 0 {
		return d, nil
	}
	off, n, err := in.inlineAttribute()
	if err != nil {
		return nil, err
	}
	if n < rest {
		return nil, formatError(in.at+0x04, "%d bytes in the inode, and %d are there", size, 60+n)
	}
	d.rest = extent.Extent{Offset: int64(off), Length: int64(rest)}
	return d, nil
}

// inlineAttribute finds the value of the attribute "system.data" in the inode.
//
//	0  4  magic EA020000, and behind it entries up to one that begins with 0000
//	entry  0  1  length of the name      4   4  inode of the value, or 0
//	       1  1  7: "system."            8   4  bytes of the value
//	       2  2  offset of the value     16     name, without its prefix
//	             from the first entry
func (in *inode) inlineAttribute() (off, n int, err error) {
	start := in.extra() + 4
	if start > len(in.p) || len(in.p) <= 128 || le.Uint32(in.p[start-4:]) != 0xEA020000 {
		return 0, 0, formatError(in.at+int64(start)-4, "no attributes behind inline data")
	}
	p := in.p[start:]
	for at := 0; at+16 <= len(p) && le.Uint32(p[at:]) != 0; {
		e := p[at:]
		next := 16 + (int(e[0])+3)&^3
		if next > len(e) {
			break
		}
		if e[1] == 7 && string(e[16:16+int(e[0])]) == "data" {
			off, size := int64(le.Uint16(e[2:])), int64(le.Uint32(e[8:]))
			if le.Uint32(e[4:]) != 0 || off+size > int64(len(p)) {
				return 0, 0, formatError(in.at+int64(start+at), "inline data of %d bytes at %d", size, off)
			}
			return start + int(off), int(size), nil
		}
		at += next
	}
	return 0, 0, formatError(in.at+int64(start), "no attribute with inline data")
}

// bytes is all of the data.
func (d *inline) bytes() []byte {
	return append(bytes.Clone(d.in.block()[:d.first]), d.in.p[d.rest.Offset:d.rest.End()]...)
}

// ReadAt reads the data.
func (d *inline) ReadAt(p []byte, off int64) (int, error) {
	p, end, err := cut(p, off, d.in.size())
	if err != nil {
		return 0, err
	}
	if d.in.has(inodeFlagEncrypted) {
		return 0, fmt.Errorf("ext: inode %d is encrypted: %w", d.in.number, filesystem.ErrContent)
	}
	return copy(p, d.bytes()[off:]), end
}

// Runs gives the bytes of the inode that hold the data.
func (d *inline) Runs() iter.Seq2[filesystem.Run, error] {
	return func(yield func(filesystem.Run, error) bool) {
		run := filesystem.Run{Extent: extent.Extent{Offset: d.in.at + blockOff, Length: int64(d.first)}}
		if d.first > 0 && yield(run, nil) && d.rest.Length > 0 {
			yield(filesystem.Run{Offset: int64(d.first), Extent: extent.Extent{Offset: d.in.at + d.rest.Offset, Length: d.rest.Length}}, nil)
		}
	}
}

// metadata gives what describes the file: its inode, the block of its
// attributes, its map, and all blocks of what is no regular file. Inodes that
// hold large attributes are left out.
func (in *inode) metadata() iter.Seq2[extent.Extent, error] {
	f := in.f
	return func(yield func(extent.Extent, error) bool) {
		more := yield(extent.Extent{Offset: in.at, Length: int64(len(in.p))}, nil)
		give := func(block, n int64) {
			more = more && yield(extent.Extent{Offset: block * f.blockSize, Length: n * f.blockSize}, nil)
		}
		if n := in.attributeBlock(); n > 0 && n < f.blocks {
			give(n, 1)
		}
		if !in.mapped() || !more {
			return
		}
		m := &blockMap{in: in, seen: func(block int64) { give(block, 1) }}
		err := m.each(func(s span) error {
			if in.kind() != modeRegular {
				give(s.physical, s.length)
			}
			if !more {
				return errStopped
			}
			return nil
		})
		if err != nil && more {
			yield(extent.Extent{}, fmt.Errorf("ext: inode %d: %w", in.number, err))
		}
	}
}

// mapped says whether i_block is a map of blocks.
func (in *inode) mapped() bool {
	switch in.kind() {
	case modeRegular, modeDirectory:
		return !in.has(inodeFlagInline)
	case modeSymlink:
		return !in.has(inodeFlagInline) && !in.fastLink()
	}
	return false
}

// fastLink says whether the target of a symbolic link lies in i_block: it is
// short, and no block belongs to the inode but that of its attributes.
func (in *inode) fastLink() bool {
	return in.size() < 60 && !in.has(inodeFlagExtents) && (le.Uint32(in.p[0x1C:]) == 0 || in.attributeBlock() != 0 || in.f.sb.incompat()&incompatEAInode != 0)
}

// target is where a symbolic link leads; "" where that is encrypted.
func (in *inode) target() (string, error) {
	size := in.size()
	if in.has(inodeFlagEncrypted) {
		return "", nil
	}
	if in.has(inodeFlagInline) {
		d, err := in.inline()
		if err != nil {
			return "", err
		}
		return string(d.bytes()), nil
	}
	if in.fastLink() {
		return string(in.block()[:size]), nil
	}
	if size > min(in.f.blockSize, 4096) {
		return "", formatError(in.at+0x04, "a symbolic link of %d bytes", size)
	}
	p := make([]byte, size)
	if err := (&blockMap{in: in}).read(p, 0); err != nil {
		return "", err
	}
	return string(p), nil
}
