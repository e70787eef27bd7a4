package iso

import (
	"io/fs"
	"strings"
	"time"
)

// System use fields, SUSP 1.12 section 4: two letters, length, version 1, data.
// A field has at most 255 bytes.
const (
	maxField  = 255
	ceLength  = 28 // SUSP 5.1: bytes of a CE field
	nmMax     = maxField - 5
	slMax     = maxField - 5
	flagMore  = 1 // NM, SL and components of SL: continues in the next
	slCurrent = 2 // RRIP 4.1.3.1: component "."
	slParent  = 4 // component ".."
	slRoot    = 8 // component "/"
)

func field(signature string, data []byte) []byte {
	return append([]byte{signature[0], signature[1], byte(4 + len(data)), 1}, data...)
}

// sharing is the SP field that begins the first record of the root, SUSP 5.3.
func sharing() []byte { return field("SP", []byte{0xBE, 0xEF, 0}) }

// extensions is the ER field that announces Rock Ridge, SUSP 5.5; the three
// texts are those of RRIP 4.3.
func extensions() []byte {
	const (
		id     = "RRIP_1991A"
		text   = "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
		source = "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION."
	)
	data := []byte{byte(len(id)), byte(len(text)), byte(len(source)), 1}
	return field("ER", append(data, id+text+source...))
}

// attributes is the PX field: mode, links, owner and group, RRIP 4.1.1.
func attributes(mode fs.FileMode, links int) []byte {
	b := both32(nil, posixMode(mode))
	b = both32(b, uint32(links))
	b = both32(b, 0)
	return field("PX", both32(b, 0))
}

// posixMode is st_mode of a mode.
func posixMode(mode fs.FileMode) uint32 {
	m := uint32(mode.Perm())
	switch mode.Type() {
	case fs.ModeDir:
		m |= 0o040000
	case fs.ModeSymlink:
		m |= 0o120000
	default:
		m |= 0o100000
	}
	for bit, value := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if mode&bit != 0 {
			m |= value
		}
	}
	return m
}

// times is the TF field: modification, access and attribute change, RRIP 4.1.6.
func times(t time.Time) []byte {
	const modify, access, attribute = 1 << 1, 1 << 2, 1 << 3
	b := []byte{modify | access | attribute}
	for range 3 {
		b = appendTime(b, t)
	}
	return field("TF", b)
}

// names is the real name in one or two NM fields, RRIP 4.1.4.
func names(name string) (fields [][]byte) {
	for len(name) > nmMax {
		fields = append(fields, field("NM", append([]byte{flagMore}, name[:nmMax]...)))
		name = name[nmMax:]
	}
	return append(fields, field("NM", append([]byte{0}, name...)))
}

// link is the target of a symbolic link in SL fields, RRIP 4.1.3. Doubled
// and trailing slashes are lost: the format has no place for them.
func link(target string) (fields [][]byte) {
	var parts []byte
	flush := func(flags byte) {
		fields = append(fields, field("SL", append([]byte{flags}, parts...)))
		parts = nil
	}
	put := func(flags byte, content string) {
		if len(parts)+2+len(content) > slMax {
			flush(flagMore)
		}
		parts = append(append(parts, flags, byte(len(content))), content...)
	}
	if strings.HasPrefix(target, "/") {
		put(slRoot, "")
	}
	for c := range strings.SplitSeq(target, "/") {
		switch c {
		case "":
		case ".":
			put(slCurrent, "")
		case "..":
			put(slParent, "")
		default:
			for len(c) > slMax-2 {
				put(flagMore, c[:slMax-2])
				c = c[slMax-2:]
			}
			put(0, c)
		}
	}
	flush(0)
	return fields
}

// A continuation collects the fields of one directory that do not fit into
// their records. No area crosses a sector: Linux would refuse it.
type continuation struct {
	start lba // of the first sector
	data  []byte
}

// pack returns the fields in at most room bytes; what does not fit goes into
// the continuation, and a CE field leads there.
func (c *continuation) pack(fields [][]byte, room int) []byte {
	if length(fields) <= room {
		return join(fields)
	}
	n, used := 0, 0
	for used+len(fields[n])+ceLength <= room {
		used += len(fields[n])
		n++
	}
	return append(join(fields[:n]), c.add(fields[n:])...)
}

// add puts fields into the continuation and returns the CE field that leads
// there. maxName and maxTarget keep them within one sector: 265 bytes of NM
// and at most 1,600 of SL, when each letter is a component.
func (c *continuation) add(fields [][]byte) []byte {
	area := join(fields)
	if used := len(c.data) % sectorSize; used+len(area) > sectorSize {
		c.data = fill(c.data)
	}
	offset := len(c.data)
	c.data = append(c.data, area...)

	b := both32(nil, uint32(c.start)+uint32(offset/sectorSize))
	b = both32(b, uint32(offset%sectorSize))
	return field("CE", both32(b, uint32(len(area))))
}

func length(fields [][]byte) (n int) {
	for _, f := range fields {
		n += len(f)
	}
	return n
}

func join(fields [][]byte) (b []byte) {
	for _, f := range fields {
		b = append(b, f...)
	}
	return b
}
