package ntfs

import "strings"

// index reads the names in a directory.
type index struct {
	f      *fileSystem
	number int64 // record of the directory
	at     int64 // where that lies, for messages
	root   []byte
	size   int64 // bytes of a block
	blocks *stream
	bitmap *stream // which blocks are in use
	step   func(bytes int64) error
}

const indexName = "$I30" // of directories

// openIndex opens the index of a directory: the root in its record, and blocks
// where there are more names.
func (f *fileSystem) openIndex(number int64, rec record) (*index, error) {
	x := &index{f: f, number: number, at: rec.offset}
	root := &stream{f: f, what: "index of a directory"}
	if err := f.load(root, number, rec, attrIndexRoot, indexName); err != nil {
		return nil, err
	}
	if !root.resident || len(root.value) < 0x20 {
		return nil, formatError(rec.offset, "a root of %d bytes in the index of a directory", root.size)
	}
	x.root = root.value
	if x.root[0x1C]&1 == 0 { // 1: there is more than the root
		return x, nil
	}
	x.size = int64(le.Uint32(x.root[8:]))
	if !powerOfTwo(x.size, stride, 2<<20) {
		return nil, formatError(rec.offset, "blocks of %d bytes in the index of a directory", x.size)
	}
	x.blocks = &stream{f: f, what: "index of a directory"}
	if err := f.load(x.blocks, number, rec, attrIndexAllocation, indexName); err != nil {
		return nil, err
	}
	x.bitmap = &stream{f: f, what: "bitmap of the index of a directory"}
	return x, f.load(x.bitmap, number, rec, attrBitmap, indexName)
}

// entries calls name for each of the names, and bad for what cannot be read,
// until one of them returns false.
func (x *index) entries(name func(ref reference, name string) bool, bad func(error) bool) bool {
	if err := x.step(stride); err != nil {
		return bad(err)
	}
	if !x.block(x.root[0x10:], x.at, name, bad) {
		return false
	}
	if x.blocks == nil {
		return true
	}
	p, used := make([]byte, x.size), make([]byte, 1)
	for i := int64(0); i < x.bitmap.size*8; i++ {
		if i%8 == 0 {
			if err := x.bitmap.readAt(used, i/8); err != nil {
				return bad(err)
			}
		}
		if used[0]>>(i%8)&1 == 0 {
			continue
		}
		if (i+1)*x.size > x.blocks.initialized {
			return bad(formatError(x.at, "block %d of a directory is in use and not there", i))
		}
		if err := x.step(x.size); err != nil {
			return bad(err)
		}
		at, err := x.read(p, i)
		if err != nil {
			if !bad(err) {
				return false
			}
			continue
		}
		if !x.block(p[0x18:], at+0x18, name, bad) {
			return false
		}
	}
	return true
}

// read reads a block and undoes its fixups.
//
//	0x00  4  "INDX"                       0x10  8  its number, in clusters, or in
//	0x04  4  update sequence array                 512 bytes where these are longer
func (x *index) read(p []byte, i int64) (at int64, err error) {
	at, _ = x.blocks.offset(i * x.size)
	if err := x.blocks.readAt(p, i*x.size); err != nil {
		return at, err
	}
	if string(p[:4]) != "INDX" {
		return at, formatError(at, "block %d of a directory begins with %q", i, p[:4])
	}
	if err := undoFixups(p); err != nil {
		return at, formatError(at, "block %d of a directory: %v", i, err)
	}
	unit := x.f.boot.cluster
	if unit > x.size {
		unit = stride
	}
	if n := int64(le.Uint64(p[0x10:])); n != i*(x.size/unit) {
		return at, formatError(at+0x10, "block %d of a directory says that it is that of VCN %d", i, n)
	}
	return at, nil
}

// block reads the entries behind the header of an index that lies at byte at.
//
//	header  0x00  4  offset of the first entry   entry  0x00  8   record
//	        0x04  4  end of the entries                 0x08  2   length
//	                                                    0x0C  2   flags: 2 the last one
//	                                                    0x10  8   record of the directory
//	                                                    0x50  1   length of the name
//	                                                    0x51  1   2: for DOS, besides another
//	                                                    0x52      the name
func (x *index) block(p []byte, at int64, name func(ref reference, name string) bool, bad func(error) bool) bool {
	first, end := int64(le.Uint32(p)), int64(le.Uint32(p[4:]))
	if first < 0x10 || first > end || end > int64(len(p)) {
		return bad(formatError(at, "the entries of a directory from %d to %d of %d bytes", first, end, len(p)))
	}
	for off := first; ; {
		e := p[off:end]
		if len(e) < 0x10 {
			return bad(formatError(at+off, "the entries of a directory have no end"))
		}
		n := int(le.Uint16(e[8:]))
		if n < 0x10 || n > len(e) || n%8 != 0 {
			return bad(formatError(at+off, "an entry of %d bytes in a directory", n))
		}
		const last, dos = 2, 2
		if le.Uint16(e[0x0C:])&last != 0 {
			return true
		}
		if n < 0x52 || 0x52+2*int(e[0x50]) > n || reference(le.Uint64(e[0x10:])).number() != x.number {
			return bad(formatError(at+off, "an entry of %d bytes that is none of its directory", n))
		}
		ref := reference(le.Uint64(e))
		text := wideText(e[0x52:][:2*int(e[0x50])])
		self := ref.number() == x.number && text == "." // in the root
		switch {
		case e[0x51] == dos || self:
		case text == "" || text == "." || text == ".." || strings.ContainsAny(text, "/\x00"):
			if !bad(formatError(at+off, "a file named %q", text)) {
				return false
			}
		case !name(ref, text):
			return false
		}
		off += int64(n)
	}
}

// wideText is UTF-16 as UTF-8. Halves of pairs, which Windows allows in names,
// are encoded as if they were characters, so that names stay different.
func wideText(p []byte) string {
	var b strings.Builder
	for i := 0; i+1 < len(p); i += 2 {
		r := rune(le.Uint16(p[i:]))
		if r>>10 == 0xD800>>10 && i+3 < len(p) && le.Uint16(p[i+2:])>>10 == 0xDC00>>10 {
			r = 0x10000 + (r&0x3FF)<<10 + rune(le.Uint16(p[i+2:])&0x3FF)
			i += 2
		}
		if r>>11 == 0xD800>>11 {
			b.Write([]byte{0xE0 | byte(r>>12), 0x80 | byte(r>>6&0x3F), 0x80 | byte(r&0x3F)})
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
