package ntfs

import (
	"cmp"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"doppel.live/internal/extent"
)

// node is a file as its attributes in one or several MFT records describe it.
type node struct {
	f        *fileSystem
	number   int64
	base     record
	standard []byte // $STANDARD_INFORMATION, 0x24 bytes at least; nil where there is none
	names    uint32 // but those for DOS
	streams  []*data
	reparse  *data // $REPARSE_POINT
	kind     fs.FileMode
	link     bool   // symbolic link or junction
	target   string // of it
}

// node gathers the attributes of a file whose base record is rec. It takes the
// records that it follows an attribute list to from budget.
func (f *fileSystem) node(number int64, rec record, budget *int64) (*node, error) {
	n := &node{f: f, number: number, base: rec}
	var failed error
	err := f.eachAttribute(number, rec, budget, func(a attribute, holder record) bool {
		failed = n.add(a, holder)
		return failed == nil
	})
	if err = cmp.Or(err, failed); err != nil {
		return nil, err
	}
	if n.reparse != nil {
		if err := n.reparse.complete(); err != nil {
			return nil, err
		}
	}
	for _, d := range n.streams {
		if err := d.complete(); err != nil {
			return nil, err
		}
	}
	return n, n.follow()
}

// add takes an attribute of one of the records.
func (n *node) add(a attribute, holder record) error {
	switch a.kind() {
	case attrStandardInformation:
		if !a.nonResident() && len(a.value()) >= 0x24 {
			n.standard = a.value()
		}
	case attrFileName:
		const dos = 2
		if !a.nonResident() && len(a.value()) >= 0x42 && a.value()[0x41] != dos {
			n.names++
		}
	case attrReparsePoint:
		if n.reparse == nil {
			n.reparse = &data{f: n.f, file: n.number, kind: attrReparsePoint}
		}
		return n.reparse.add(a, holder)
	case attrData:
		name := a.name()
		i := slices.IndexFunc(n.streams, func(d *data) bool { return d.name == name })
		if i < 0 {
			i = len(n.streams)
			n.streams = append(n.streams, &data{f: n.f, file: n.number, kind: attrData, name: name})
		}
		return n.streams[i].add(a, holder)
	}
	return nil
}

// eachAttribute calls do for the attributes of a file in all its records until
// it returns false.
func (f *fileSystem) eachAttribute(number int64, rec record, budget *int64, do func(a attribute, holder record) bool) error {
	more := true
	visit := func(holder record) error {
		return holder.attributes(func(a attribute) bool {
			more = do(a, holder)
			return more
		})
	}
	if err := visit(rec); err != nil || !more {
		return err
	}
	list, err := rec.find(attrAttributeList, "")
	if err != nil || list == nil {
		return err
	}
	p, err := f.attributeList("file", list, rec)
	if err != nil {
		return err
	}
	seen := map[reference]bool{}
	for len(p) >= 0x1A && more {
		n := int(le.Uint16(p[4:]))
		if n < 0x1A || n > len(p) {
			return formatError(rec.offset, "entry of %d bytes in an attribute list", n)
		}
		ref := reference(le.Uint64(p[0x10:]))
		p = p[n:]
		if ref.number() == number || seen[ref] {
			continue
		}
		seen[ref] = true
		if *budget--; *budget < 0 {
			return formatError(rec.offset, "attribute lists lead to more records than there are")
		}
		holder, err := f.holder("file", number, rec, ref)
		if err != nil {
			return err
		}
		if err := visit(holder); err != nil {
			return err
		}
	}
	return nil
}

// metadata gives what describes the file: its records, and the clusters of all
// attributes but $DATA.
func (n *node) metadata() iter.Seq2[extent.Extent, error] {
	return func(yield func(extent.Extent, error) bool) {
		f, more := n.f, true
		give := func(e extent.Extent) { more = more && yield(e, nil) }
		last := int64(-1)
		var failed error
		budget := int64(maxList)
		err := f.eachAttribute(n.number, n.base, &budget, func(a attribute, holder record) bool {
			if holder.offset != last {
				last = holder.offset
				for _, e := range f.recordExtents(holder.number, 0, f.boot.record) {
					give(e)
				}
			}
			if !a.nonResident() || a.kind() == attrData {
				return more
			}
			runs, err := f.runs(a)
			if err != nil {
				failed = formatError(holder.offset, "attribute %#x: %v", a.kind(), err)
				return false
			}
			for _, r := range runs {
				if r.lcn != sparse {
					give(extent.Extent{Offset: r.lcn * f.boot.cluster, Length: r.length * f.boot.cluster})
				}
			}
			return more
		})
		if err = cmp.Or(err, failed); err != nil && more {
			yield(extent.Extent{}, fmt.Errorf("MFT record %d: %w", n.number, err))
		}
	}
}

// recordExtents is where n bytes of an MFT record lie, from byte at of it on:
// in several places where a cluster is smaller and $MFT is in pieces.
func (f *fileSystem) recordExtents(number, at, n int64) (list []extent.Extent) {
	for n > 0 {
		off, here := f.mft.offset(number*f.boot.record + at)
		if here = min(here, n); here <= 0 {
			return list
		}
		list = extent.Append(list, extent.Extent{Offset: off, Length: here})
		at, n = at+here, n-here
	}
	return list
}
