package iso

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// TestStructure checks by the letter of ECMA-119 what readers overlook: path
// tables of both byte orders, order of records and tables, numbers of discs.
func TestStructure(t *testing.T) {
	o := bootOptions()
	o.SetSize, o.SequenceNumber = 300, 258
	var b bytes.Buffer
	if _, err := build(t, o, sampleEntries()).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	for name, sector := range map[string]int{"primary": 16, "Joliet": 18} {
		t.Run(name, func(t *testing.T) {
			c := checker{T: t, disc: b.Bytes(), joliet: sector == 18}
			c.descriptor(c.disc[sector*sectorSize:])
		})
	}
}

type checker struct {
	*testing.T
	disc   []byte
	joliet bool
}

// A pathEntry is a row of a path table.
type pathEntry struct {
	id            string
	start, parent int
}

func (c checker) both32(b []byte) int {
	c.Helper()
	if le.Uint32(b) != be.Uint32(b[4:]) {
		c.Fatalf("% x is not in both byte orders", b[:8])
	}
	return int(le.Uint32(b))
}

func (c checker) descriptor(d []byte) {
	size := c.both32(d[132:])
	l := c.table(c.disc[int(le.Uint32(d[140:]))*sectorSize:][:size], le)
	m := c.table(c.disc[int(be.Uint32(d[148:]))*sectorSize:][:size], be)
	if fmt.Sprint(l) != fmt.Sprint(m) {
		c.Error("the two path tables differ")
	}
	if root := c.both32(d[156+2:]); len(l) == 0 || root != l[0].start {
		c.Fatalf("root at %d, in the path table %v", root, l)
	}
	directories := 1
	for i, e := range l {
		if i > 1 {
			if before := l[i-1]; before.parent > e.parent || before.parent == e.parent && before.id >= e.id {
				c.Errorf("path table: %q of %d before %q of %d", before.id, before.parent, e.id, e.parent)
			}
		}
		directories += c.directory(e.start, l[e.parent-1].start)
	}
	if directories != len(l) {
		c.Errorf("%d directories, %d in the path table", directories, len(l))
	}
}

func (c checker) table(b []byte, order binary.ByteOrder) (list []pathEntry) {
	for len(b) > 0 {
		n := int(b[0])
		list = append(list, pathEntry{string(b[8 : 8+n]), int(order.Uint32(b[2:])), int(order.Uint16(b[6:]))})
		b = b[8+n+n%2:]
	}
	return list
}

// directory checks the directory at a sector and returns how many it has below it.
func (c checker) directory(start, parent int) (below int) {
	b := c.disc[start*sectorSize:]
	b = b[:c.both32(b[10:])]
	last, number := "", 0
	for at := 0; at < len(b); {
		n := int(b[at])
		if n == 0 {
			at = (at/sectorSize + 1) * sectorSize
			continue
		}
		r := b[at : at+n]
		at += n
		id := string(r[33 : 33+int(r[32])])
		number++
		if s := le.Uint16(r[28:]); s != 258 || be.Uint16(r[30:]) != s {
			c.Errorf("%q: disc % x", id, r[28:32])
		}
		switch {
		case number == 1 && (id != "\x00" || c.both32(r[2:]) != start),
			number == 2 && (id != "\x01" || c.both32(r[2:]) != parent):
			c.Errorf("record %d of the directory at %d: %q leads to %d", number, start, id, c.both32(r[2:]))
		case number <= 2:
			continue
		case r[25]&flagDirectory != 0:
			below++
		}
		if key := c.key(id); key <= last {
			c.Errorf("%q is not in order", id)
		} else {
			last = key
		}
	}
	return below
}

// key returns what sorts like an identifier: name and extension filled up
// with spaces, ECMA-119 9.3; in Joliet the code values.
func (c checker) key(id string) string {
	if c.joliet {
		return strings.TrimSuffix(id, "\x00;\x001")
	}
	name, extension, _ := strings.Cut(strings.TrimSuffix(id, ";1"), ".")
	return fmt.Sprintf("%-31s%-31s", name, extension)
}

// TestIsoinfoPathTable lets isoinfo show the path table.
func TestIsoinfoPathTable(t *testing.T) {
	entries := []Entry{{Path: "b/c", Mode: fs.ModeDir}, {Path: "a", Mode: fs.ModeDir}}
	out := run(t, "isoinfo", "-p", "-i", writeFile(t, build(t, Options{VolumeID: "PATHS"}, entries)))
	words := strings.Join(strings.Fields(out), " ")
	// Sector 18 (hexadecimal, as all here) holds the continuation area of the root.
	if want := "1: 1 17 2: 1 19 A 3: 1 1a B 4: 3 1b C"; !strings.Contains(words, want) {
		t.Errorf("want %s in\n%s", want, out)
	}
}
