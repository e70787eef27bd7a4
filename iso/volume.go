package iso

import (
	"fmt"
	"strings"
)

// Types of volume descriptors, ECMA-119 8.1.1.
const (
	typeBoot          = 0
	typePrimary       = 1
	typeSupplementary = 2
	typeTerminator    = 255
)

const (
	firstDescriptor = 16 // sector, ECMA-119 6.7.1
	standardID      = "CD001"
	systemID        = "LINUX"
	volumeSetOffset = 190 // of the volume set identifier in its descriptor
	volumeSetLength = 128
)

// check tells whether the options can be written.
func (o Options) check() error {
	if err := CheckVolumeID(o.VolumeID); err != nil {
		return err
	}
	for _, text := range []string{o.VolumeSetID, o.Publisher, o.Preparer, o.Application} {
		if len(text) > volumeSetLength || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("iso: %q: want at most %d characters of printable ASCII", text, volumeSetLength)
		}
	}
	if o.SequenceNumber < 1 || o.SequenceNumber > o.SetSize || o.SetSize > 1<<16-1 {
		return fmt.Errorf("iso: disc %d of a set of %d", o.SequenceNumber, o.SetSize)
	}
	if err := checkTime(o.Time); err != nil {
		return fmt.Errorf("iso: volume: %w", err)
	}
	if o.Boot != nil {
		return o.Boot.check()
	}
	return nil
}

// descriptor encodes the primary volume descriptor (ECMA-119 8.4) or
// Joliet's supplementary one (8.5), which differ in the alphabet of their texts.
func (o Options) descriptor(h *hierarchy, total lba) []byte {
	kind, text := byte(typePrimary), asciiText
	var escapes [32]byte
	if h.joliet {
		kind, text = typeSupplementary, jolietText
		copy(escapes[:], "%/E") // UCS-2 level 3
	}
	b := append([]byte{kind}, standardID+"\x01\x00"...) // 0 type, 1 "CD001", 6 version, 7 flags
	b = text(b, systemID, 32)                           // 8
	b = text(b, o.VolumeID, 32)                         // 40
	b = append(b, make([]byte, 8)...)                   // 72
	b = both32(b, uint32(total))                        // 80 volume space size
	b = append(b, escapes[:]...)                        // 88
	b = both16(b, uint16(o.SetSize))                    // 120
	b = both16(b, uint16(o.SequenceNumber))             // 124
	b = both16(b, sectorSize)                           // 128
	b = both32(b, uint32(h.tableSize))                  // 132 path table size
	b = le.AppendUint32(b, uint32(h.tableL))            // 140 type L path table
	b = le.AppendUint32(b, 0)                           // 144 no second one
	b = be.AppendUint32(b, uint32(h.tableM))            // 148 type M path table
	b = be.AppendUint32(b, 0)                           // 152
	root := h.dirs[0].record([]byte{0})
	root.sequence = h.sequence
	b = append(b, root.encode()...)             // 156, 34 bytes
	b = text(b, o.VolumeSetID, volumeSetLength) // 190
	b = text(b, o.Publisher, 128)               // 318
	b = text(b, o.Preparer, 128)                // 446
	b = text(b, o.Application, 128)             // 574
	for range 3 {
		b = text(b, "", 37) // 702 copyright, 739 abstract, 776 bibliographic file
	}
	b = appendLongTime(b, o.Time)                    // 813 creation
	b = appendLongTime(b, o.Time)                    // 830 modification
	b = append(b, strings.Repeat("0", 16)+"\x00"...) // 847 expiration: none
	b = append(b, strings.Repeat("0", 16)+"\x00"...) // 864 effective: none
	return fill(append(b, 1))                        // 881 file structure version
}

// asciiText appends text filled up with spaces.
func asciiText(b []byte, s string, size int) []byte {
	return append(b, s+strings.Repeat(" ", size-len(s))...)
}

// jolietText appends text in UCS-2, cut to size bytes and filled up with spaces. An
// odd last byte is zero.
func jolietText(b []byte, s string, size int) []byte {
	n := size / 2
	s = s[:min(len(s), n)] // callers keep to ASCII
	b = append(b, ucs2(s+strings.Repeat(" ", n-len(s)))...)
	return append(b, make([]byte, size%2)...)
}

// bootRecord encodes the descriptor that leads to the boot catalogue, El Torito
// figure 7.
func bootRecord(catalogue lba) []byte {
	b := make([]byte, sectorSize)
	b[0] = typeBoot
	copy(b[1:], standardID+"\x01")
	copy(b[7:], "EL TORITO SPECIFICATION")
	le.PutUint32(b[71:], uint32(catalogue))
	return b
}

// terminator encodes the end of the descriptors, ECMA-119 8.3.
func terminator() []byte {
	b := make([]byte, sectorSize)
	b[0] = typeTerminator
	copy(b[1:], standardID+"\x01")
	return b
}
