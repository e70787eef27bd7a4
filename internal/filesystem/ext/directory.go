package ext

import (
	"bytes"
	"fmt"
	"strings"

	"doppel.live/internal/filesystem"
)

// directory reads the names in a directory. Its entries are
//
//	0  4  inode, 0: the entry is free     7  1  type; the upper half of the length
//	4  2  length of the entry                   of the name without filetype
//	6  1  length of the name              8     name
//
// The blocks of a tree of hashes look like blocks without names to who does not
// know of it, and are skipped in the same way.
type directory struct {
	in  *inode
	m   blockMap
	buf []byte
}

const (
	fakeEntry = 12 // bytes of the one that holds a checksum at the end of a block
	hashRoot  = 24 // bytes of "." and ".." before what the root of a tree of hashes holds
)

// entries calls name for each of the names, but for "." and "..", and bad for
// what cannot be read, until one of them returns false. It takes a step before
// each block, which may refuse.
func (d *directory) entries(step func() error, name func(name []byte, number int64) bool, bad func(error) bool) bool {
	in := d.in
	if in.has(inodeFlagInline) {
		return d.inline(step, name, bad)
	}
	size := in.f.blockSize
	blocks := (in.size() + size - 1) / size
	d.buf = make([]byte, size)
	for from := int64(0); from < blocks; {
		s, ok, err := d.m.next(from, blocks)
		if err != nil {
			return bad(err)
		}
		if (!ok || s.logical > from || s.unwritten) && !bad(formatError(in.at+blockOff, "a hole from block %d of the directory on", from)) {
			return false
		}
		if !ok {
			return true
		}
		for ; s.length > 0 && s.logical < blocks; s.logical, s.physical, s.length = s.logical+1, s.physical+1, s.length-1 {
			if err := step(); err != nil {
				return bad(err)
			}
			at := s.physical * size
			if err := filesystem.ReadFull(in.f.r, d.buf, at); err != nil {
				err = fmt.Errorf("ext: directory at byte %d: %w", at, err)
				if !bad(err) {
					return false
				}
				continue
			}
			if err := d.checkBlock(d.buf, at, s.logical); err != nil {
				if !bad(err) {
					return false
				}
				continue
			}
			if !d.block(d.buf, at, name, bad) {
				return false
			}
		}
		from = s.logical
	}
	return true
}

// inline reads a directory that lies in its inode: behind the number of its
// parent, and in an attribute.
func (d *directory) inline(step func() error, name func(name []byte, number int64) bool, bad func(error) bool) bool {
	if err := step(); err != nil {
		return bad(err)
	}
	data, err := d.in.inline()
	if err != nil {
		return bad(err)
	}
	if data.first < 4 {
		return bad(formatError(d.in.at+0x04, "a directory of %d bytes", data.first))
	}
	at := d.in.at
	return d.block(d.in.block()[4:data.first], at+blockOff+4, name, bad) &&
		d.block(d.in.p[data.rest.Offset:data.rest.End()], at+data.rest.Offset, name, bad)
}

// block reads the entries of a block, or of less, that lies at byte at.
func (d *directory) block(p []byte, at int64, name func(name []byte, number int64) bool, bad func(error) bool) bool {
	fileType := d.in.f.sb.incompat()&incompatFileType != 0
	for off := 0; off+8 <= len(p); {
		e := p[off:]
		n, length := entryLength(e, d.in.f.blockSize), int(e[6])
		if !fileType {
			length = int(le.Uint16(e[6:]))
		}
		if n < 8 || n%4 != 0 || n > len(e) || 8+length > n {
			return bad(formatError(at+int64(off), "an entry of %d bytes with a name of %d", n, length))
		}
		off += n
		number := int64(le.Uint32(e))
		text := e[8 : 8+length]
		if number == 0 || string(text) == "." || string(text) == ".." {
			continue
		}
		if length == 0 || !d.in.has(inodeFlagEncrypted) && bytes.ContainsAny(text, "/\x00") {
			if !bad(formatError(at+int64(off-n), "a file named %q", text)) {
				return false
			}
			continue
		}
		if !name(text, number) {
			return false
		}
	}
	return true
}

// entryLength is the length of an entry. Where blocks are longer than a number
// of 16 bits says, its lowest bits, which are free, have the upper ones.
func entryLength(e []byte, blockSize int64) int {
	n := int(le.Uint16(e[4:]))
	if blockSize < 65536 {
		return n
	}
	if n == 0 || n == 65535 {
		return int(blockSize)
	}
	return n&^3 | n&3<<16
}

// checkBlock verifies the checksum of block n of the directory: that of the
// names, or that of a node of the tree of hashes.
//
//	names  an entry at the end: inode 0, length 12, type DE, and the checksum
//	node   0  2  room for entries, 2  2  entries, of 8 bytes, this one among
//	       them; behind the room 4 bytes and the checksum
func (d *directory) checkBlock(p []byte, at, n int64) error {
	f := d.in.f
	if f.sb.roCompat()&roCompatMetadataCsum == 0 {
		return nil
	}
	seed := d.in.checksumSeed()
	start := -1
	switch {
	case !d.in.has(inodeFlagIndex):
	case n == 0:
		start = hashRoot + int(p[hashRoot+5])
	case le.Uint32(p) == 0 && entryLength(p, f.blockSize) == len(p):
		start = 8
	}
	if start < 0 {
		tail := p[len(p)-fakeEntry:]
		if le.Uint32(tail) != 0 || le.Uint32(tail[4:]) != 0xDE00<<16|fakeEntry || f.crc32c(seed, p[:len(p)-fakeEntry]) != le.Uint32(tail[8:]) {
			return formatError(at+int64(len(p))-4, "wrong checksum of block %d of the directory", n)
		}
		return nil
	}
	room, used := int(le.Uint16(p[start:])), int(le.Uint16(p[start+2:]))
	tail := start + 8*room
	if used > room || tail+8 > len(p) {
		return formatError(at+int64(start), "%d entries of %d in the tree of the directory's hashes", used, room)
	}
	sum := f.crc32c(f.crc32c(seed, p[:start+8*used]), p[tail:tail+4])
	if f.crc32c(sum, make([]byte, 4)) != le.Uint32(p[tail+4:]) {
		return formatError(at+int64(tail)+4, "wrong checksum of block %d of the directory", n)
	}
	return nil
}

// escaped shows an encrypted name: letters and digits as they are, other bytes
// as \x2F.
func escaped(name []byte) string {
	var b strings.Builder
	for _, c := range name {
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02X`, c)
		}
	}
	return b.String()
}
