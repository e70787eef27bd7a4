package f2fs

// natEntry is the size of an entry of the node address table:
//
//	0  1  version
//	1  4  number of the inode
//	5  4  block
const natEntry = 9

// natBlock is the block that holds a part of the NAT in force: its two copies
// alternate by segments.
func (f *fileSystem) natBlock(v view, i int64) int64 {
	at := f.area.nat + i/segmentBlocks*2*segmentBlocks + i%segmentBlocks
	if bit(v.nat, i) {
		at += segmentBlocks
	}
	return at
}

// placed visits the blocks of all nodes, with the byte at which each is named.
// Nodes 1 and 2 stand for the file system itself and have no block.
func (f *fileSystem) placed(v view, visit func(block, at int64) error) error {
	journal := map[int64]int64{}
	for p := v.nodes; len(p) > 0; p = p[natJournalMax:] {
		journal[int64(le.Uint32(p))] = int64(le.Uint32(p[9:]))
	}
	p := make([]byte, f.block)
	per := f.block / natEntry
	for i := range f.area.natBlocks {
		number := f.natBlock(v, i)
		if err := f.readBlock(p, number); err != nil {
			return err
		}
		for j := range per {
			id, block := i*per+j, int64(le.Uint32(p[j*natEntry+5:]))
			if newer, ok := journal[id]; ok {
				block = newer
			}
			if block == 0 || block == newBlock || id <= 2 {
				continue
			}
			if err := visit(block, number*f.block+j*natEntry); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkNodes reads all nodes: a block that one names must be valid by the SIT.
func (f *fileSystem) checkNodes(v view) error {
	named := marks{}
	n := node(make([]byte, f.block))
	err := f.placed(v, func(block, at int64) error {
		if !f.area.holds(block) {
			return formatError(at, "a node in block %d, outside the main area", block)
		}
		if !named.set(block - f.area.main) {
			return formatError(at, "two nodes in block %d", block)
		}
		if err := f.readBlock(n, block); err != nil {
			return err
		}
		for p := n.addresses(f.flexibleXattr()); len(p) > 0; p = p[4:] {
			switch named32 := int64(le.Uint32(p)); {
			case named32 == 0, named32 == newBlock, named32 == compressedBlock:
			case !f.area.holds(named32):
				return formatError(block*f.block, "a node names block %d, outside the main area", named32)
			default:
				named.set(named32 - f.area.main)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f.segments(v, func(segment int64, e entry, at int64) error {
		bitmap := named[segment]
		if bitmap == nil {
			return nil
		}
		for i, b := range e.bitmap() {
			if bitmap[i]&^b != 0 {
				return formatError(at, "segment %d: blocks of files are not valid by its bitmap", segment)
			}
		}
		return nil
	})
}
