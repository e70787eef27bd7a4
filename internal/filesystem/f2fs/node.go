package f2fs

// node is a block of the main area that describes a file: an inode, a list of
// blocks, or a list of nodes. All end in a footer of 24 bytes:
//
//	0   4  number of this node
//	4   4  number of the inode
//	8   4  flags; above the lower 3 bits the place in the file's tree
//	12  8  version of the checkpoint before it
//	20  4  the next block of the chain
type node []byte

const nodeFooter = 24

func (n node) footer() []byte  { return n[len(n)-nodeFooter:] }
func (n node) number() uint32  { return le.Uint32(n.footer()) }
func (n node) inode() uint32   { return le.Uint32(n.footer()[4:]) }
func (n node) place() int64    { return int64(le.Uint32(n.footer()[8:]) >> 3) }
func (n node) version() uint64 { return le.Uint64(n.footer()[12:]) }
func (n node) next() int64     { return int64(le.Uint32(n.footer()[20:])) }

const (
	placeOfXattr = 1<<29 - 1 // a node of extended attributes

	newBlock        = 0xFFFFFFFF // reserved, not placed
	compressedBlock = 0xFFFFFFFE // begins a compressed cluster

	inlineXattr  = 0x1
	inlineData   = 0x2
	inlineDentry = 0x4
	extraAttr    = 0x20
)

// addresses gives the part of the node that holds addresses of blocks, of 4
// bytes each; it is empty in nodes that name none.
func (n node) addresses(flexibleXattr bool) []byte {
	if n.number() == n.inode() {
		return n.inodeAddresses(flexibleXattr)
	}
	per := int64(len(n)-nodeFooter) / 4 // addresses, or numbers of nodes, in a node
	place := n.place()
	switch {
	case place == placeOfXattr, place == 3, place == 4+per, place == 5+2*per:
		return nil
	case place >= 6+2*per && (place-6-2*per)%(per+1) == 0:
		return nil
	}
	return n[:len(n)-nodeFooter]
}

// inodeAddresses are those of an inode.
//
//	0    2  type and permissions
//	3    1  what lies in the inode itself
//	360  …  additional attributes: their size at 360, at 362 that of the
//	        extended attributes in units of 4; then the addresses, then the
//	        extended attributes, then 5 numbers of nodes
func (n node) inodeAddresses(flexibleXattr bool) []byte {
	const start = 360
	end := len(n) - nodeFooter - 5*4
	inline := n[3]
	if t := le.Uint16(n) & 0xF000; t != 0x8000 && t != 0x4000 && t != 0xA000 || inline&(inlineData|inlineDentry) != 0 {
		return nil // devices, and what lies in its inode
	}
	from, xattr := start, 0
	if inline&extraAttr != 0 {
		from += int(le.Uint16(n[start:])) &^ 3
	}
	switch {
	case flexibleXattr && inline&extraAttr != 0:
		xattr = 4 * int(le.Uint16(n[start+2:]))
	case inline&inlineXattr != 0:
		xattr = 4 * 50
	}
	if from > end-xattr {
		return nil
	}
	return n[from : end-xattr]
}

// flexibleXattr says whether inodes name the size of their extended attributes.
func (f *fileSystem) flexibleXattr() bool { return f.sb.features()&featureFlexInline != 0 }

// followNodes marks the nodes that were written behind a checkpoint by fsync,
// and the blocks that they name. They form a chain from the next free block of
// the segment of warm nodes; each carries the checkpoint's version, in its
// lower half at least. It gives the length of the chain.
func (f *fileSystem) followNodes(c checkpoint) (int64, error) {
	const warm = 1
	at := f.area.main + c.nodeSegment(warm)*segmentBlocks + c.nodeOffset(warm)
	n := node(make([]byte, f.block))
	length := int64(0)
	seen := marks{}
	for f.area.holds(at) && seen.set(at-f.area.main) {
		if err := f.readBlock(n, at); err != nil {
			return 0, err
		}
		if uint32(n.version()) != uint32(c.version()) {
			break
		}
		length++
		f.recovered.set(at - f.area.main)
		for p := n.addresses(f.flexibleXattr()); len(p) > 0; p = p[4:] {
			if named := int64(le.Uint32(p)); f.area.holds(named) {
				f.recovered.set(named - f.area.main)
			}
		}
		at = n.next()
	}
	return length, nil
}
