package rescue

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"doppel.live/internal/extent"
)

// Status is what became of a piece of a disk, as GNU ddrescue's manual has it
// ("Mapfile structure").
type Status byte

// The states.
const (
	NonTried   Status = '?'
	NonTrimmed Status = '*' // a large read failed somewhere in it
	NonScraped Status = '/' // its edges were found, the sectors between them were not tried
	Bad        Status = '-' // its sectors were tried one by one
	Finished   Status = '+'
)

func (s Status) known() bool { return strings.IndexByte("?*/-+", byte(s)) >= 0 }

// Map says of every byte of a disk what became of it.
type Map struct {
	size   int64
	blocks []block // ascending; each ends where the next begins; neighbours differ
	pos    int64   // where the last read was
	phase  Status  // what was being done; Finished: all of it
	pass   int
}

type block struct {
	offset int64
	status Status
}

// maxMap is the most bytes of a map file.
const maxMap = 64 << 20

// NewMap is the map of a disk of size bytes of which nothing was read.
func NewMap(size int64) *Map {
	m := &Map{size: size, phase: NonTried, pass: 1}
	if size > 0 {
		m.blocks = []block{{0, NonTried}}
	}
	return m
}

// index finds the block that off lies in.
func (m *Map) index(off int64) int {
	i, found := slices.BinarySearchFunc(m.blocks, off, func(b block, off int64) int {
		return int(min(1, max(-1, b.offset-off)))
	})
	if !found {
		i--
	}
	return i
}

// end is the first byte behind block i.
func (m *Map) end(i int) int64 {
	if i+1 < len(m.blocks) {
		return m.blocks[i+1].offset
	}
	return m.size
}

// At gives the status at a byte of the disk, and where that ends.
func (m *Map) At(off int64) (Status, int64) {
	i := m.index(off)
	return m.blocks[i].status, m.end(i)
}

// Set gives an extent of the disk a status.
func (m *Map) Set(e extent.Extent, s Status) {
	from, to := max(e.Offset, 0), min(e.End(), m.size)
	if from >= to {
		return
	}
	i, j := m.index(from), m.index(to-1)
	behind, last := m.end(j), m.blocks[j].status
	var put []block
	if m.blocks[i].offset < from {
		put = append(put, m.blocks[i])
	} else if i > 0 {
		i-- // to be joined with it, where the status is the same
		put = append(put, m.blocks[i])
	}
	put = append(put, block{from, s})
	if to < behind {
		put = append(put, block{to, last})
	} else if j+1 < len(m.blocks) {
		j++
		put = append(put, m.blocks[j])
	}
	put = slices.CompactFunc(put, func(a, b block) bool { return a.status == b.status })
	m.blocks = slices.Replace(m.blocks, i, j+1, put...)
}

// Extents gives the parts of an ascending list that have one of the states.
func (m *Map) Extents(list []extent.Extent, states ...Status) []extent.Extent {
	var out []extent.Extent
	for _, e := range list {
		end := min(e.End(), m.size)
		if e.Offset >= end {
			continue
		}
		for i := m.index(e.Offset); i < len(m.blocks) && m.blocks[i].offset < end; i++ {
			if slices.Contains(states, m.blocks[i].status) {
				from, to := max(e.Offset, m.blocks[i].offset), min(end, m.end(i))
				out = extent.Append(out, extent.Extent{Offset: from, Length: to - from})
			}
		}
	}
	return out
}

// Encode gives the map as a file that GNU ddrescue reads too.
func (m *Map) Encode(comment string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Mapfile. Created by %s\n", strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, comment))
	fmt.Fprintf(&b, "# current_pos  current_status  current_pass\n0x%08X     %c               %d\n#      pos        size  status\n", m.pos, m.phase, m.pass)
	for i, k := range m.blocks {
		fmt.Fprintf(&b, "0x%08X  0x%08X  %c\n", k.offset, m.end(i)-k.offset, k.status)
	}
	return b.Bytes()
}

// ParseMap decodes the map of a disk of size bytes, ours or GNU ddrescue's. A
// map that ends before the disk is taken as one of which the rest was not tried.
func ParseMap(data []byte, size int64) (*Map, error) {
	m := &Map{size: size, pass: 1}
	at, line, head := int64(0), 0, false
	for text := range bytes.Lines(data) {
		line++
		text, _, _ = bytes.Cut(text, []byte("#"))
		f := strings.Fields(string(text))
		if len(f) == 0 {
			continue
		}
		var err error
		if !head {
			err, head = m.parseHead(f), true
		} else {
			at, err = m.parseRow(f, at)
		}
		if err != nil {
			return nil, fmt.Errorf("map: line %d: %w", line, err)
		}
	}
	if !head {
		return nil, errors.New("map: it is empty")
	}
	if at < size {
		m.add(at, NonTried)
	}
	return m, nil
}

// add begins a block behind all others.
func (m *Map) add(off int64, s Status) {
	if n := len(m.blocks); n == 0 || m.blocks[n-1].status != s {
		m.blocks = append(m.blocks, block{off, s})
	}
}

func (m *Map) parseHead(f []string) error {
	var err error
	if len(f) < 2 || len(f) > 3 || len(f[1]) != 1 || strings.IndexByte("?*/-FG+", f[1][0]) < 0 {
		return errors.New("not the line of the present position and status")
	}
	if m.pos, err = strconv.ParseInt(f[0], 0, 64); err != nil || m.pos < 0 {
		return fmt.Errorf("position %q", f[0])
	}
	m.phase = Status(f[1][0])
	if len(f) == 3 {
		if m.pass, err = strconv.Atoi(f[2]); err != nil {
			return fmt.Errorf("pass %q", f[2])
		}
	}
	return nil
}

// parseRow adds a row that must begin at a byte, and gives where it ends.
func (m *Map) parseRow(f []string, at int64) (int64, error) {
	if len(f) != 3 || len(f[2]) != 1 || !Status(f[2][0]).known() {
		return at, errors.New("not a position, a size and a status")
	}
	pos, err1 := strconv.ParseInt(f[0], 0, 64)
	size, err2 := strconv.ParseInt(f[1], 0, 64)
	if err := errors.Join(err1, err2); err != nil {
		return at, err
	}
	if pos != at || size <= 0 || size > m.size-at {
		return at, fmt.Errorf("%d bytes at %d do not follow byte %d of %d", size, pos, at, m.size)
	}
	m.add(at, Status(f[2][0]))
	return at + size, nil
}
