package partition

import (
	"fmt"
	"strconv"
	"strings"
)

// SfdiskDump is what `sfdisk --dump device` prints. It is "" where there is no
// table, and for BSD and APM, which it does not know. The partitions of
// disklabels are not in it: of those it names the slice.
func (t *Table) SfdiskDump(device string) string {
	var b strings.Builder
	switch t.Scheme {
	case GPT:
		fmt.Fprintf(&b, "label: gpt\nlabel-id: %s\ndevice: %s\nunit: sectors\nfirst-lba: %d\nlast-lba: %d\n",
			t.ID, device, t.firstUsable, t.lastUsable)
		if n := t.entries; n != 128 {
			fmt.Fprintf(&b, "table-length: %d\n", n)
		}
	case MBR:
		fmt.Fprintf(&b, "label: dos\nlabel-id: %s\ndevice: %s\nunit: sectors\n", t.ID, device)
	default:
		return ""
	}
	fmt.Fprintf(&b, "sector-size: %d\n", t.SectorSize)
	if len(t.Partitions) > 0 {
		b.WriteByte('\n')
	}
	for _, p := range t.Partitions {
		if p.Parent != 0 {
			continue
		}
		fmt.Fprintf(&b, "%s : start=%12d, size=%12d, type=", t.PartitionName(device, p.Number), p.Start/t.SectorSize, p.Size/t.SectorSize)
		if t.Scheme == GPT {
			b.WriteString(gptColumns(p))
		} else {
			b.WriteString(mbrColumns(p))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func mbrColumns(p Partition) string {
	s := strings.TrimPrefix(p.Type, "0")
	if p.Bootable {
		s += ", bootable"
	}
	return s
}

func gptColumns(p Partition) string {
	s := p.Type + ", uuid=" + strings.ToUpper(p.UUID)
	if p.Name != "" {
		s += `, name="` + quote(p.Name) + `"`
	}
	if p.Attributes != 0 {
		s += `, attrs="` + attributes(p.Attributes) + `"`
	}
	return s
}

// quote writes as \xNN what sfdisk in the C locale does not print as it is:
// quotes, backslashes, dollar signs, back quotes, and every byte that is not
// printable ASCII.
func quote(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '$' || c == '`' || c < ' ' || c >= 0x7F:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// attributes lists the bits that are set: the first three by name, those from
// 48, which belong to the partition's type, by number, the others not at all.
//
//	bits 0, 2, 60, 63  →  RequiredPartition LegacyBIOSBootable GUID:60,63
func attributes(bits uint64) string {
	var words []string
	for i, name := range []string{"RequiredPartition", "NoBlockIOProtocol", "LegacyBIOSBootable"} {
		if bits>>i&1 != 0 {
			words = append(words, name)
		}
	}
	var numbers []string
	for i := 48; i < 64; i++ {
		if bits>>i&1 != 0 {
			numbers = append(numbers, strconv.Itoa(i))
		}
	}
	if numbers != nil {
		words = append(words, "GUID:"+strings.Join(numbers, ","))
	}
	return strings.Join(words, " ")
}
