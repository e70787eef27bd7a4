package partition

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSfdisk reads what `sfdisk --dump` printed of a disk of size bytes, as
// images of other programs keep it. Such a Table has no Sectors: it can be
// read and printed, not moved. Lines and fields that are not known are
// skipped.
func ParseSfdisk(dump string, size int64) (*Table, error) {
	t := &Table{Scheme: None, SectorSize: 512, DiskSize: size, entries: 128}
	var rows []string
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		if strings.Contains(line, "start=") {
			rows = append(rows, line)
		} else if name, value, ok := strings.Cut(line, ":"); ok {
			t.headerLine(name, strings.TrimSpace(value))
		}
	}
	switch {
	case t.Scheme == None:
		return nil, errors.New("partition: no label gpt or dos in the dump of sfdisk")
	case t.SectorSize < 512 || t.SectorSize > 1<<16:
		return nil, fmt.Errorf("partition: sectors of %d bytes in the dump of sfdisk", t.SectorSize)
	}
	for _, row := range rows {
		if err := t.row(row); err != nil {
			return nil, err
		}
	}
	t.check()
	return t, nil
}

// headerLine takes a line "name: value".
func (t *Table) headerLine(name, value string) {
	n, _ := strconv.ParseInt(value, 0, 64) // 0 where it is no number
	switch name {
	case "label":
		switch value {
		case "gpt":
			t.Scheme = GPT
		case "dos":
			t.Scheme = MBR
		}
	case "label-id":
		t.ID = value
	case "sector-size":
		t.SectorSize = n
	case "first-lba":
		t.firstUsable = n
	case "last-lba":
		t.lastUsable = n
	case "table-length":
		t.entries = n
	}
}

// row takes the line of one partition:
//
//	/dev/sda1 : start=        2048, size=      131072, type=83, bootable
func (t *Table) row(line string) error {
	device, rest, _ := strings.Cut(line, " :")
	if !strings.Contains(line, " :") {
		device, rest, _ = strings.Cut(line, ":")
	}
	digits := device[len(strings.TrimRight(device, "0123456789")):]
	number, err := strconv.Atoi(digits)
	if err != nil || number < 1 {
		return fmt.Errorf("partition: no number in the name %q of the dump of sfdisk", device)
	}
	f := fields(rest)
	start, err1 := strconv.ParseInt(f["start"], 10, 64)
	length, err2 := strconv.ParseInt(f["size"], 10, 64)
	if most := math.MaxInt64 / 4 / t.SectorSize; err1 != nil || err2 != nil || start < 0 || length < 0 || start > most || length > most {
		return fmt.Errorf("partition: partition %d of the dump of sfdisk has start %q and size %q", number, f["start"], f["size"])
	}
	if length == 0 {
		return nil // older programs print the unused entries of an MBR
	}
	p := Partition{Number: number, Start: start * t.SectorSize, Size: length * t.SectorSize, Name: f["name"]}
	kind := f["type"] + f["Id"] // Id: before util-linux 2.26
	if t.Scheme == GPT {
		p.Type, p.UUID, p.Attributes = strings.ToUpper(kind), strings.ToLower(f["uuid"]), bits(f["attrs"])
	} else {
		n, _ := strconv.ParseUint(kind, 16, 8)
		p.Type = fmt.Sprintf("%02x", n)
		p.Extended, p.Logical = n == 0x05 || n == 0x0F || n == 0x85, number > 4
		_, p.Bootable = f["bootable"]
		if id, err := strconv.ParseUint(strings.TrimPrefix(t.ID, "0x"), 16, 32); err == nil && id != 0 {
			p.UUID = fmt.Sprintf("%08x-%02x", id, number)
		}
	}
	t.Partitions = append(t.Partitions, p)
	return nil
}

// fields splits "name=value, name="quoted, value", word".
func fields(s string) map[string]string {
	out := map[string]string{}
	for s != "" {
		end := strings.IndexAny(s, `,"`)
		if end >= 0 && s[end] == '"' {
			if n := strings.IndexByte(s[end+1:], '"'); n >= 0 {
				end += 1 + n + 1
			} else {
				end = len(s)
			}
		} else if end < 0 {
			end = len(s)
		}
		name, value, _ := strings.Cut(strings.TrimSpace(s[:end]), "=")
		if name != "" {
			out[strings.TrimSpace(name)] = unquote(strings.Trim(strings.TrimSpace(value), `"`))
		}
		s = strings.TrimPrefix(s[end:], ",")
	}
	return out
}

// unquote reads \xNN.
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] == 'x' {
			if n, err := strconv.ParseUint(s[i+2:i+4], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// bits reads what attributes prints.
func bits(s string) (set uint64) {
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == ':' }) {
		switch word {
		case "RequiredPartition":
			set |= 1
		case "NoBlockIOProtocol":
			set |= 2
		case "LegacyBIOSBootable":
			set |= 4
		default:
			if n, err := strconv.Atoi(word); err == nil && n >= 0 && n < 64 {
				set |= 1 << n
			}
		}
	}
	return set
}
