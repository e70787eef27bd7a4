package modules

import (
	"path"
	"slices"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"fs-xfs", "fs-xfs", true},
		{"fs-xfs", "fs_xfs", true},
		{"fs-xfs", "fs-xfs2", false},
		{"", "", true},
		{"*", "", true},
		{"?", "", false},
		{"pci:v00008086d0000100Esv*sd*bc*sc*i*", "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", true},
		{"pci:v00008086d0000100Esv*sd*bc*sc*i*", "pci:v00008086d0000100Fsv00001AF4sd00001100bc02sc00i00", false},
		{"pci:v*d*sv*sd*bc01sc08i02*", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", true},
		{"usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00", true},
		{"usb:v0BDAp8153d30[0-9]*", "usb:v0BDAp8153d3011dc", true},
		{"usb:v0BDAp8153d30[0-9]*", "usb:v0BDAp8153d30A1dc", false},
		{"[!a-c]x", "dx", true},
		{"[!a-c]x", "bx", false},
		{"[]]", "]", true},
		{"[abc", "[abc", true},
		{"[-a]", "-", true},
		{"[-a]", "_", false},
		{`a\*b`, "a*b", true},
		{`a\*b`, "axb", false},
		{"acpi*:PNP0C0A:*", "acpi:ACPI0001:PNP0C0A:", true},
		{"a*b*c", "axxbyyc", true},
		{"a*b*c", "axxbyy", false},
	}
	for _, test := range tests {
		if got := match(test.pattern, test.name); got != test.want {
			t.Errorf("match(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
}

// FuzzMatch compares with path.Match where both mean the same, and the table
// with trying every alias.
func FuzzMatch(f *testing.F) {
	f.Add("pci:v00008086d*sv?[0-9]*", "pci:v00008086d1sv22")
	f.Add("a*b*[c", "aabbc")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := match(pattern, name)
		table := new(aliasTable)
		table.add(pattern, "m")
		if found := slices.Contains(table.find(name), "m"); found != got {
			t.Errorf("the table says %v, match(%q, %q) %v", found, pattern, name, got)
		}
		if strings.ContainsAny(pattern, `[]\-_/`) || strings.ContainsAny(name, "-_/") || !ascii(pattern+name) {
			return
		}
		if want, err := path.Match(pattern, name); err == nil && want != got {
			t.Errorf("match(%q, %q) = %v", pattern, name, got)
		}
	})
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

func TestTableOrder(t *testing.T) {
	table := new(aliasTable)
	table.add("*", "last_tier")
	table.add("pci:v00008086d0000100E*", "exact")
	table.add("pci:v*", "any")
	table.add("pci:v00008086*", "exact")
	got := table.find("pci:v00008086d0000100Esv")
	if want := []string{"last_tier", "exact", "any"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
