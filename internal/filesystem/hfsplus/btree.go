package hfsplus

import (
	"math/bits"
	"unicode/utf16"
)

// node is a node of a B-tree.
//
//	0   4  fLink, the next node of its kind    14  …  the records
//	8   1  kind: 1 header, 0xFF leaf           …   2  offsets of the records, the first
//	10  2  numRecords                                 one at the very end
//
// The header, node 0, has as its first record
//
//	14+10  4  firstLeafNode
//	14+18  2  nodeSize
type node []byte

const (
	nodeHead   = 14 // bytes
	kindHeader = 1
	kindLeaf   = 0xFF
)

func (n node) next() int64  { return int64(be.Uint32(n)) } // fLink
func (n node) kind() int    { return int(n[8]) }
func (n node) records() int { return int(be.Uint16(n[10:])) }

// record gives the bytes from a record on, nil where it is none.
func (n node) record(i int) []byte {
	at := len(n) - 2*(i+1)
	if at < nodeHead {
		return nil
	}
	off := int(be.Uint16(n[at:]))
	if off < nodeHead || off > at {
		return nil
	}
	return n[off:at]
}

// leaves walks over the leaves of a B-tree, in their order, until visit says
// that it has seen enough.
func (f *fork) leaves(visit func(n node, where int64) (enough bool, err error)) error {
	if f.size < 512 {
		return formatError(f.v.base+headerOffset, "%s: %d bytes for a B-tree", f.name, f.size)
	}
	head := make(node, 512)
	if err := f.read(head, 0); err != nil {
		return err
	}
	size := int64(be.Uint16(head[nodeHead+18:]))
	if head.kind() != kindHeader || size < 512 || bits.OnesCount64(uint64(size)) != 1 || size > f.size {
		return formatError(f.where(0), "%s: no header of a B-tree, nodes of %d bytes", f.name, size)
	}
	n := make(node, size)
	at := int64(be.Uint32(head[nodeHead+10:]))
	for left := f.size / size; at != 0; left-- {
		if left == 0 || at >= f.size/size {
			return formatError(f.where(0), "%s: leaf %d of %d nodes, or a ring of leaves", f.name, at, f.size/size)
		}
		if err := f.read(n, at*size); err != nil {
			return err
		}
		if n.kind() != kindLeaf {
			return formatError(f.where(at*size)+8, "%s: node %d is no leaf", f.name, at)
		}
		if enough, err := visit(n, f.where(at*size)); enough || err != nil {
			return err
		}
		at = n.next()
	}
	return nil
}

// where is the byte of the volume where byte off of the fork lies.
func (f *fork) where(off int64) (at int64) {
	_ = f.each(make([]byte, 1), off, func(_ []byte, found int64) error {
		at = f.v.base + found
		return nil
	})
	return at
}

// overflow adds the extents of a special file that are in the extents file,
// until it has want blocks. Records are ordered by file, then by block.
//
//	0  2  keyLength, 10      8   4   startBlock, of the fork
//	2  1  forkType, 0: data  12  64  8 × startBlock, blockCount
//	4  4  fileID
func (f *fork) overflow(file *fork, id uint32, want int64) error {
	return f.leaves(func(n node, where int64) (bool, error) {
		for i := range n.records() {
			r := n.record(i)
			if len(r) < 76 || be.Uint16(r) != 10 {
				return false, formatError(where, "extents file: record %d of a leaf", i)
			}
			switch found := be.Uint32(r[4:]); {
			case found > id:
				return true, nil
			case found < id || r[2] != 0:
				continue
			}
			if got := int64(be.Uint32(r[8:])); got != file.blocks() {
				return false, formatError(where, "extents file: %s goes on at its block %d, known are %d", file.name, got, file.blocks())
			}
			if err := file.add(r[12:76], where); err != nil || file.blocks() >= want {
				return true, err
			}
		}
		return false, nil
	})
}

// label reads the name of the root folder: the key of the first record of the
// catalog.
//
//	0  2  keyLength     6  2  length of the name, in characters of UTF-16
//	2  4  parentID, 1   8  …  the name
func label(v *volume, h header) (name string, err error) {
	if v.blocks == 0 {
		v.blocks = h.blocks()
	}
	extents, err := v.openFork(h, "extents file", 192, extentsFileID, nil)
	if err != nil {
		return "", err
	}
	catalog, err := v.openFork(h, "catalog file", 272, catalogFileID, extents)
	if err != nil {
		return "", err
	}
	err = catalog.leaves(func(n node, where int64) (bool, error) {
		r := n.record(0)
		if len(r) < 8 || be.Uint32(r[2:]) != 1 || len(r) < 8+2*int(be.Uint16(r[6:])) {
			return false, formatError(where, "catalog file: no name of the volume")
		}
		var units []uint16
		for p := r[8 : 8+2*int(be.Uint16(r[6:]))]; len(p) >= 2 && be.Uint16(p) != 0; p = p[2:] {
			units = append(units, be.Uint16(p))
		}
		name = string(utf16.Decode(units))
		return true, nil
	})
	return name, err
}
