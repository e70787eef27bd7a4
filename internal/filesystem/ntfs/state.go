package ntfs

import (
	"bytes"
	"strings"

	"doppel.live/internal/filesystem"
)

// The flags of $Volume that mean that Windows wants to run chkdsk.
const (
	flagDirty  = 0x0001
	flagChkdsk = 0x4000
)

// state is how the volume was left, the gravest first.
func (f *fileSystem) state(flags uint16) (filesystem.State, error) {
	sleeping, err := f.hibernated()
	if err != nil {
		return filesystem.Unknown, err
	}
	clean, err := f.logClean()
	switch {
	case err != nil:
		return filesystem.Unknown, err
	case sleeping:
		return filesystem.Hibernated, nil
	case !clean:
		return filesystem.Recovery, nil
	case flags&(flagDirty|flagChkdsk) != 0:
		return filesystem.Dirty, nil
	}
	return filesystem.Clean, nil
}

// maxPage is the largest page of $LogFile, in bytes.
const maxPage = 64 << 10

// logClean says whether $LogFile holds nothing to replay: it is empty, which is
// all ones, or the newer of its two restart pages says so. The second one lies
// a page behind the first.
//
// What cannot be read is not clean.
func (f *fileSystem) logClean() (bool, error) {
	s, err := f.openStream("$LogFile", recordLogFile, attrData, "")
	if err != nil {
		return false, err
	}
	head := make([]byte, min(s.size, 2*maxPage))
	if err := s.readAt(head, 0); err != nil {
		return false, err
	}
	if len(head) == 0 || len(bytes.TrimLeft(head, "\xFF")) == 0 {
		return true, nil
	}
	var newest restart
	for _, at := range []int{0, 512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		page, ok := parseRestart(head, at)
		switch {
		case !ok:
		case !newest.found, page.lsn > newest.lsn:
			newest = page
		case page.lsn == newest.lsn:
			newest.clean = newest.clean && page.clean
		}
	}
	return newest.found && newest.clean, nil
}

// restart is what matters of a restart page of $LogFile.
//
//	page  0x00  4  "RSTR"                  area  0x00  8  newest LSN
//	      0x04  4  update sequence array         0x0C  2  first client in use, FFFF: none
//	      0x10  4  size of a page                0x0E  2  flags: 2 the volume is clean
//	      0x18  2  offset of the area
type restart struct {
	found bool
	lsn   uint64
	clean bool
}

func parseRestart(log []byte, at int) (restart, bool) {
	if at+stride > len(log) || string(log[at:at+4]) != "RSTR" {
		return restart{}, false
	}
	size := int64(le.Uint32(log[at+0x10:]))
	if !powerOfTwo(size, stride, maxPage) || size > int64(len(log)-at) || at != 0 && int64(at) != size {
		return restart{}, false
	}
	page := bytes.Clone(log[at : at+int(size)])
	if undoFixups(page) != nil {
		return restart{}, false
	}
	off := int(le.Uint16(page[0x18:]))
	if off < 0x1E || off+0x10 > len(page) {
		return restart{}, false
	}
	area := page[off:]
	return restart{true, le.Uint64(area), le.Uint16(area[0x0C:]) == 0xFFFF || le.Uint16(area[0x0E:])&2 != 0}, true
}

// hibernated says whether hiberfil.sys in the root directory holds a system
// that sleeps. Windows writes such a file when it hibernates and, with fast
// startup, whenever it is shut down; when it wakes it puts another word or
// zeros at its beginning.
func (f *fileSystem) hibernated() (bool, error) {
	ref, err := f.lookUp("hiberfil.sys")
	if err != nil || ref == 0 {
		return false, err
	}
	s, err := f.openStream("hiberfil.sys", ref.number(), attrData, "")
	if err != nil {
		return false, err
	}
	var head [4]byte
	if s.size < int64(len(head)) {
		return false, nil
	}
	if err := s.readAt(head[:], 0); err != nil {
		return false, err
	}
	switch string(head[:]) {
	case "hibr", "HIBR", "rstr", "RSTR": // sleeps; was about to wake
		return true, nil
	}
	return false, nil
}

// lookUp finds a file of the root directory, 0 where there is none. It looks
// at all entries, in the order in which they lie.
func (f *fileSystem) lookUp(name string) (reference, error) {
	const index = "$I30"
	rec, err := f.readRecord(recordRoot)
	if err != nil {
		return 0, err
	}
	root := &stream{f: f, what: "index of the root directory"}
	if err := f.load(root, recordRoot, rec, attrIndexRoot, index); err != nil {
		return 0, err
	}
	if !root.resident || len(root.value) < 0x20 {
		return 0, formatError(rec.offset, "%s: a root of %d bytes", root.what, root.size)
	}
	if ref := f.search(root.value[0x10:], name); ref != 0 || root.value[0x1C]&1 == 0 { // 1: there is more than the root
		return ref, nil
	}
	size := int64(le.Uint32(root.value[8:]))
	if !powerOfTwo(size, stride, 2<<20) {
		return 0, formatError(rec.offset, "%s: blocks of %d bytes", root.what, size)
	}
	blocks := &stream{f: f, what: "index of the root directory"}
	if err := f.load(blocks, recordRoot, rec, attrIndexAllocation, index); err != nil {
		return 0, err
	}
	block := make([]byte, size)
	for at := int64(0); at+size <= blocks.initialized; at += size {
		if err := blocks.readAt(block, at); err != nil {
			return 0, err
		}
		if string(block[:4]) != "INDX" || undoFixups(block) != nil {
			continue // never written, or no longer in use
		}
		if ref := f.search(block[0x18:], name); ref != 0 {
			return ref, nil
		}
	}
	return 0, nil
}

// search looks for a file in the entries behind an index header. Blocks that
// are no longer in use have entries too: the record must agree.
//
//	header  0x00  4  offset of the first entry   entry  0x00  8   record
//	        0x04  4  end of the entries                 0x08  2   length
//	        0x0C  1  1: has blocks below                0x0A  2   length of the $FILE_NAME
//	                                                    0x0C  2   flags: 2 the last one
//	                                                    0x50  1   length of the name
//	                                                    0x52      the name
func (f *fileSystem) search(p []byte, name string) reference {
	first, end := int64(le.Uint32(p)), int64(le.Uint32(p[4:]))
	if first > end || end > int64(len(p)) {
		return 0
	}
	for p = p[first:end]; len(p) >= 0x10; {
		n := int(le.Uint16(p[8:]))
		if n < 0x10 || n > len(p) || le.Uint16(p[0x0C:])&2 != 0 {
			return 0
		}
		if n >= 0x52 && int(p[0x50])*2 <= n-0x52 && strings.EqualFold(utf16String(p[0x52:][:2*int(p[0x50])]), name) {
			ref := reference(le.Uint64(p))
			if rec, err := f.readRecord(ref.number()); err == nil && rec.sequence() == ref.sequence() {
				return ref
			}
		}
		p = p[n:]
	}
	return 0
}
