package ntfs

import (
	"fmt"
	"io"
	"slices"

	"doppel.live/internal/filesystem"
)

// run is a piece of a stream: clusters one after the other.
type run struct {
	vcn    int64 // first cluster, counted from the start of the stream
	lcn    int64 // first cluster, counted from the start of the volume; sparse where there is none
	length int64 // clusters
}

const sparse = -1

// runs decodes the runlist of an attribute that is not resident. Each run is a
// byte that says how long the two numbers behind it are, the length of the run
// and the distance of its first cluster from that of the run before; without a
// second number the run is sparse.
//
//	21 18 34 56  00   →  0x18 clusters from 0x5634 on
func (f *fileSystem) runs(a attribute) ([]run, error) {
	var list []run
	vcn, lcn := a.lowestVCN(), int64(0)
	p := a[le.Uint16(a[0x20:]):]
	bad := func(what string, args ...any) error { return fmt.Errorf("runlist: "+what, args...) }
	if vcn < 0 || vcn > maxVCN || a.highestVCN() < vcn-1 || a.highestVCN() > maxVCN {
		return nil, bad("VCN %d to %d", vcn, a.highestVCN())
	}
	for {
		if len(p) == 0 {
			return nil, bad("no end")
		}
		n, m := int(p[0]&0x0F), int(p[0]>>4)
		if p[0] == 0 {
			break
		}
		if n < 1 || n > 8 || m > 8 || len(p) < 1+n+m {
			return nil, bad("a run that begins with %#x", p[0])
		}
		length := signed(p[1 : 1+n])
		if length <= 0 || length > maxVCN-vcn {
			return nil, bad("a run of %d clusters", length)
		}
		r := run{vcn, sparse, length}
		if m > 0 {
			lcn += signed(p[1+n : 1+n+m])
			if r.lcn = lcn; lcn < 0 || lcn > f.boot.clusters || length > f.boot.clusters-lcn {
				return nil, bad("%d clusters from %d on, of %d", length, lcn, f.boot.clusters)
			}
		}
		list = append(list, r)
		vcn += length
		p = p[1+n+m:]
	}
	if vcn != a.highestVCN()+1 {
		return nil, bad("clusters up to VCN %d, not %d", vcn-1, a.highestVCN())
	}
	return list, nil
}

const maxVCN = 1 << 53 // of streams of 2⁶² bytes in clusters of 512

// signed is a little-endian number of up to 8 bytes.
func signed(p []byte) int64 {
	var n uint64
	for i, b := range p {
		n |= uint64(b) << (8 * i)
	}
	shift := 64 - 8*len(p)
	return int64(n<<shift) >> shift
}

// stream is the content of one attribute, all its pieces together.
type stream struct {
	f           *fileSystem
	what        string
	found       bool // its first piece
	resident    bool
	value       []byte // where it is resident
	runs        []run  // ascending by vcn, without gaps
	next        int64  // vcn behind the last run
	size        int64  // bytes
	initialized int64  // bytes that were written; what follows reads as zeros
}

// openStream opens an attribute of an MFT record in use.
func (f *fileSystem) openStream(what string, number int64, kind uint32, name string) (*stream, error) {
	rec, err := f.readRecord(number)
	if err != nil {
		return nil, err
	}
	s := &stream{f: f, what: what}
	return s, f.load(s, number, rec, kind, name)
}

// load fills s with an attribute of the record of that number. The pieces are
// added one after the other, since those of $MFT are needed to find the next.
func (f *fileSystem) load(s *stream, number int64, rec record, kind uint32, name string) error {
	list, err := rec.find(attrAttributeList, "")
	if err != nil {
		return err
	}
	if list == nil {
		a, err := rec.find(kind, name)
		if err != nil {
			return err
		}
		if a == nil {
			return formatError(rec.offset, "%s: attribute %#x is not there", s.what, kind)
		}
		if err := s.add(a, rec); err != nil {
			return err
		}
		return s.complete(rec)
	}
	// The first piece of $MFT is needed to read any other record.
	if a, err := rec.find(kind, name); err != nil {
		return err
	} else if a != nil && (!a.nonResident() || a.lowestVCN() == 0) {
		if err := s.add(a, rec); err != nil {
			return err
		}
	}
	entries, err := f.attributeList(s.what, list, rec)
	if err != nil {
		return err
	}
	if err := f.loadPieces(s, number, rec, entries, kind, name); err != nil {
		return err
	}
	return s.complete(rec)
}

// maxList is how long an attribute list can be, in bytes.
const maxList = 256 << 10

// attributeList reads the value of an attribute list.
func (f *fileSystem) attributeList(what string, a attribute, rec record) ([]byte, error) {
	s := &stream{f: f, what: "attribute list of " + what}
	if err := s.add(a, rec); err != nil {
		return nil, err
	}
	if err := s.complete(rec); err != nil {
		return nil, err
	}
	if s.size > maxList {
		return nil, formatError(rec.offset, "%s has %d bytes", s.what, s.size)
	}
	p := make([]byte, s.size)
	return p, s.readAt(p, 0)
}

// loadPieces adds the pieces of an attribute that a list names.
//
//	0x00  4  type              0x08  8  lowest VCN
//	0x04  2  length            0x10  8  record that holds it
//	0x06  1  length of name    0x18  2  its number in that record
//	0x07  1  offset of name
func (f *fileSystem) loadPieces(s *stream, number int64, rec record, p []byte, kind uint32, name string) error {
	for len(p) > 0 {
		if len(p) < 0x1A {
			break // padding
		}
		n := int(le.Uint16(p[4:]))
		if n < 0x1A || n > len(p) || p[6] > 0 && int(p[7])+2*int(p[6]) > n {
			return formatError(rec.offset, "%s: entry of %d bytes in its attribute list", s.what, n)
		}
		e := p[:n]
		p = p[n:]
		entryName := "" // its offset means nothing where it is empty
		if e[6] > 0 {
			entryName = utf16String(e[e[7]:][:2*int(e[6])])
		}
		vcn := int64(le.Uint64(e[8:]))
		if le.Uint32(e) != kind || entryName != name || vcn < s.next || s.resident {
			continue // another attribute, or a piece that is there already
		}
		holder, err := f.holder(s.what, number, rec, reference(le.Uint64(e[0x10:])))
		if err != nil {
			return err
		}
		if err := s.addPiece(holder, kind, name, vcn); err != nil {
			return err
		}
	}
	if !s.resident && !s.found {
		return formatError(rec.offset, "%s: attribute %#x is not there", s.what, kind)
	}
	return nil
}

// holder reads the record that holds a piece of an attribute of the record
// base, which has that number; it may be the same.
func (f *fileSystem) holder(what string, number int64, base record, ref reference) (record, error) {
	if ref.number() == number {
		return base, nil
	}
	rec, err := f.readRecord(ref.number())
	if err == nil && (rec.sequence() != ref.sequence() || rec.base().number() != number) {
		err = formatError(rec.offset, "%s: its attribute list names this MFT record of another file", what)
	}
	return rec, err
}

// addPiece adds the piece that begins at vcn.
func (s *stream) addPiece(holder record, kind uint32, name string, vcn int64) error {
	var piece attribute
	err := holder.attributes(func(a attribute) bool {
		if a.kind() == kind && a.name() == name && (!a.nonResident() || a.lowestVCN() == vcn) {
			piece = a
		}
		return piece == nil
	})
	if err != nil {
		return err
	}
	if piece == nil {
		return formatError(holder.offset, "%s: the piece from VCN %d on is not there", s.what, vcn)
	}
	return s.add(piece, holder)
}

// add appends the piece that a is.
func (s *stream) add(a attribute, rec record) error {
	if !a.nonResident() {
		s.resident, s.value = true, a.value()
		s.size = int64(len(s.value))
		s.initialized = s.size
		return nil
	}
	if a.flags() != 0 {
		return formatError(rec.offset, "%s is compressed, encrypted or sparse", s.what)
	}
	list, err := s.f.runs(a)
	if err != nil {
		return formatError(rec.offset, "%s: %v", s.what, err)
	}
	switch {
	case a.lowestVCN() != s.next, s.next > 0 && len(list) == 0:
		return formatError(rec.offset, "%s: piece of VCN %d to %d, wanted is %d", s.what, a.lowestVCN(), a.highestVCN(), s.next)
	case slices.ContainsFunc(list, func(r run) bool { return r.lcn == sparse }):
		return formatError(rec.offset, "%s has holes", s.what)
	}
	if s.next == 0 {
		s.found = true
		s.size, s.initialized = int64(le.Uint64(a[0x30:])), int64(le.Uint64(a[0x38:]))
	}
	s.runs = append(s.runs, list...)
	if s.next = a.highestVCN() + 1; s.next > s.f.boot.clusters {
		return formatError(rec.offset, "%s has more clusters than the volume", s.what)
	}
	return nil
}

// complete says whether the sizes fit what was found.
func (s *stream) complete(rec record) error {
	if s.size < 0 || s.initialized < 0 || s.initialized > s.size || !s.resident && s.size > s.next*s.f.boot.cluster {
		return formatError(rec.offset, "%s: %d bytes, %d of them written, in %d clusters", s.what, s.size, s.initialized, s.next)
	}
	return nil
}

// offset gives the place of byte at of the stream, and how many bytes follow
// it there.
func (s *stream) offset(at int64) (off, n int64) {
	cluster := s.f.boot.cluster
	i, _ := slices.BinarySearchFunc(s.runs, at/cluster, func(r run, vcn int64) int {
		if r.vcn+r.length <= vcn {
			return -1
		}
		return 1
	})
	if i == len(s.runs) {
		return 0, 0
	}
	r := s.runs[i]
	in := at - r.vcn*cluster
	return r.lcn*cluster + in, r.length*cluster - in
}

// readAt fills p from byte at of the stream on. What was never written is
// zero.
func (s *stream) readAt(p []byte, at int64) error {
	if at < 0 || at > s.size || int64(len(p)) > s.size-at {
		return fmt.Errorf("ntfs: %s: %d bytes at %d of %d: %w", s.what, len(p), at, s.size, io.ErrUnexpectedEOF)
	}
	if s.resident {
		copy(p, s.value[at:])
		return nil
	}
	if written := max(0, min(int64(len(p)), s.initialized-at)); written < int64(len(p)) {
		clear(p[written:])
		p = p[:written]
	}
	for len(p) > 0 {
		off, n := s.offset(at)
		if n = min(n, int64(len(p))); n <= 0 {
			return fmt.Errorf("ntfs: %s: byte %d has no cluster", s.what, at)
		}
		if err := filesystem.ReadFull(s.f.r, p[:n], off); err != nil {
			return fmt.Errorf("ntfs: %s at byte %d: %w", s.what, off, err)
		}
		p, at = p[n:], at+n
	}
	return nil
}

// readRecord reads an MFT record that must be in use.
func (f *fileSystem) readRecord(number int64) (record, error) {
	size := f.boot.record
	if number < 0 || number >= f.mft.initialized/size || number >= f.mft.next*f.boot.cluster/size {
		return record{}, formatError(f.boot.mft*f.boot.cluster, "MFT record %d is named and not there", number)
	}
	p := make([]byte, size)
	off, _ := f.mft.offset(number * size)
	for done := int64(0); done < size; { // a record may be longer than a cluster
		at, n := f.mft.offset(number*size + done)
		n = min(n, size-done)
		if n <= 0 {
			return record{}, formatError(off, "MFT record %d is cut", number)
		}
		if err := filesystem.ReadFull(f.r, p[done:done+n], at); err != nil {
			return record{}, fmt.Errorf("ntfs: MFT record %d at byte %d: %w", number, at, err)
		}
		done += n
	}
	rec, err := parseRecord(p, off)
	rec.number = number
	if err == nil && !rec.inUse() {
		err = formatError(off, "MFT record %d is not in use", number)
	}
	return rec, err
}
