package ext

import "fmt"

const (
	inodeFlagExtents = 0x80000 // i_flags
	extentMagic      = 0xF30A
	maxRuns          = 1 << 18 // of the journal, which mke2fs lays in one
)

// journalRuns maps the blocks of the journal's inode, ascending.
func (f *fileSystem) journalRuns() ([]span, error) {
	number := int64(f.sb.journalInode())
	if number == 0 || number > f.sb.inodesPerGroup() {
		return nil, formatError(superOffset+0xE0, "the journal lies on another device")
	}
	d := make(descriptor, f.descSize)
	at := f.descBlock(0) * f.blockSize
	if err := readFull(f.r, d, at); err != nil {
		return nil, fmt.Errorf("ext: group descriptors at byte %d: %w", at, err)
	}
	if err := f.checkDescriptor(0, d, at); err != nil {
		return nil, err
	}
	inode := make([]byte, 128)
	at = int64(d.inodeTable())*f.blockSize + (number-1)*f.sb.inodeSize()
	if err := readFull(f.r, inode, at); err != nil {
		return nil, fmt.Errorf("ext: inode of the journal at byte %d: %w", at, err)
	}
	m := &mapping{f: f}
	var err error
	if le.Uint32(inode[0x20:])&inodeFlagExtents != 0 {
		err = m.extents(inode[0x28:0x64], at+0x28, 6)
	} else {
		err = m.pointers(inode[0x28:0x64], at+0x28)
	}
	return m.runs, err
}

// mapping collects the blocks of one inode.
type mapping struct {
	f    *fileSystem
	runs []span
	next int64 // logical block that comes next
	read int64 // blocks of the map itself, so that a loop ends
}

// add appends a run; holes are left out.
func (m *mapping) add(logical, physical, length, at int64) error {
	if logical < m.next || length <= 0 || length > m.f.blocks-logical || physical <= 0 || physical > m.f.blocks-length || len(m.runs) == maxRuns {
		return formatError(at, "the journal's blocks %d to %d at block %d", logical, logical+length-1, physical)
	}
	m.next = logical + length
	if n := len(m.runs); n > 0 && m.runs[n-1].logical+m.runs[n-1].length == logical && m.runs[n-1].physical+m.runs[n-1].length == physical {
		m.runs[n-1].length += length
		return nil
	}
	m.runs = append(m.runs, span{logical, physical, length})
	return nil
}

// block reads a block of the map.
func (m *mapping) block(n, at int64) ([]byte, error) {
	if n <= 0 || n >= m.f.blocks {
		return nil, formatError(at, "map of the journal at block %d", n)
	}
	if m.read++; m.read > maxRuns {
		return nil, formatError(at, "map of the journal without an end")
	}
	p := make([]byte, m.f.blockSize)
	if err := readFull(m.f.r, p, n*m.f.blockSize); err != nil {
		return nil, fmt.Errorf("ext: map of the journal at byte %d: %w", n*m.f.blockSize, err)
	}
	return p, nil
}

// extents reads a node of an extent tree that lies at byte at.
//
//	header  0  2  magic          leaf  0  4  logical    index  0  4  logical
//	        2  2  entries              4  2  length            4  4  block, lower half
//	        6  2  depth                6  2  upper half        8  2  upper half
//	                                   8  4  block
func (m *mapping) extents(p []byte, at int64, limit uint16) error {
	depth := le.Uint16(p[6:])
	if le.Uint16(p) != extentMagic || depth >= limit {
		return formatError(at, "extent tree of the journal")
	}
	for i := range int(le.Uint16(p[2:])) {
		off := 12 + 12*i
		if off+12 > len(p) {
			return formatError(at+2, "%d entries in a node of the journal's extent tree", le.Uint16(p[2:]))
		}
		e := p[off:]
		if depth == 0 {
			length := int64(le.Uint16(e[4:]))
			if length > 32768 {
				length -= 32768 // allocated and not yet written
			}
			start := int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))
			if err := m.add(int64(le.Uint32(e)), start, length, at+int64(off)); err != nil {
				return err
			}
			continue
		}
		n := int64(le.Uint16(e[8:]))<<32 | int64(le.Uint32(e[4:]))
		child, err := m.block(n, at+int64(off))
		if err != nil {
			return err
		}
		if err := m.extents(child, n*m.f.blockSize, depth); err != nil {
			return err
		}
	}
	return nil
}

// pointers reads the 15 pointers of an inode of ext2 and ext3: 12 blocks, then
// a map of them, a map of maps and a map of those.
func (m *mapping) pointers(p []byte, at int64) error {
	var logical int64
	for i := range 15 {
		n := int64(le.Uint32(p[4*i:]))
		if err := m.indirect(n, max(0, i-11), &logical, at+int64(4*i)); err != nil {
			return err
		}
	}
	return nil
}

// indirect adds block n, which is level maps away from the data.
func (m *mapping) indirect(n int64, level int, logical *int64, at int64) error {
	if n != 0 && *logical > m.f.blocks {
		return formatError(at, "map of the journal without an end")
	}
	if level == 0 {
		*logical++
		if n == 0 {
			return nil
		}
		return m.add(*logical-1, n, 1, at)
	}
	if n == 0 {
		skip := int64(1)
		for range level {
			skip *= m.f.blockSize / 4
		}
		*logical += skip
		return nil
	}
	p, err := m.block(n, at)
	if err != nil {
		return err
	}
	for off := 0; off < len(p); off += 4 {
		if err := m.indirect(int64(le.Uint32(p[off:])), level-1, logical, n*m.f.blockSize+int64(off)); err != nil {
			return err
		}
	}
	return nil
}
