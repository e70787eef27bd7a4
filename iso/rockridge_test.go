package iso

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"time"
)

// TestFields compares system use fields with their description in RRIP,
// where readers are too lenient to tell.
func TestFields(t *testing.T) {
	stamp := "\x7d\x03\x04\x05\x06\x07\x00" // 2025-03-04 05:06:07 UTC
	tests := []struct {
		name, got, want string
	}{
		{"TF", string(times(testTime)), "TF\x1a\x01\x0e" + stamp + stamp + stamp},
		{"TF in another zone", string(times(testTime.In(time.FixedZone("", 3600)))), "TF\x1a\x01\x0e" + stamp + stamp + stamp},
		{"PX", string(attributes(fs.ModeSymlink|0o777, 1)), "PX\x24\x01" + "\xff\xa1\x00\x00\x00\x00\xa1\xff" + "\x01\x00\x00\x00\x00\x00\x00\x01" + strings.Repeat("\x00", 16)},
		{"SP", string(sharing()), "SP\x07\x01\xbe\xef\x00"},
		{"NM", string(join(names("boot"))), "NM\x09\x01\x00boot"},
		{"NM over one field", string(join(names(strings.Repeat("n", 251)))), "NM\xff\x01\x01" + strings.Repeat("n", 250) + "NM\x06\x01\x00n"},
		{"SL", string(join(link("/a/../b"))), "SL\x0f\x01\x00" + "\x08\x00" + "\x00\x01a" + "\x04\x00" + "\x00\x01b"},
		{"SL over one field", string(join(link(strings.Repeat("c", 249)))), "SL\xff\x01\x01\x01\xf8" + strings.Repeat("c", 248) + "SL\x08\x01\x00\x00\x01c"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s:\ngot  % x\nwant % x", tt.name, tt.got, tt.want)
		}
	}
}

// TestContinuationsStayInSectors fills continuation areas and follows each CE field.
func TestContinuationsStayInSectors(t *testing.T) {
	c := &continuation{start: 100}
	for n := range 60 {
		fields := [][]byte{attributes(0, 1), names(strings.Repeat("n", 200+n%50))[0]}
		ce := c.pack(fields, 100)[36:]
		sector, offset, length := le.Uint32(ce[4:]), le.Uint32(ce[12:]), le.Uint32(ce[20:])
		if string(ce[:4]) != "CE\x1c\x01" || offset+length > sectorSize {
			t.Fatalf("% x", ce)
		}
		area := c.data[(sector-100)*sectorSize+offset:][:length]
		if !bytes.Equal(area, fields[1]) {
			t.Fatalf("%d: another field at sector %d, byte %d", n, sector, offset)
		}
	}
}
