package inventory

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"doppel.live/internal/blockdev"
)

// The machine of the tests:
//
//	sda 500 GB SATA, in use      nvme0n1 1 TB, empty    nvme1n1 2 TB, data
//	sdb 32 GB USB, the medium    sdc 64 GB USB stick    sr is no disk
func ruleDisks() ([]blockdev.Disk, func(blockdev.Disk) string) {
	disks := []blockdev.Disk{
		{Path: "/dev/sda", Transport: "sata", Model: "WDC WD5000", Serial: "WD-1", Size: 500107862016, InUse: []string{"sda1 is mounted"}},
		{Path: "/dev/sdb", Transport: "usb", Model: "Stick", Size: 32e9, Removable: true, BootMedium: true},
		{Path: "/dev/sdc", Transport: "usb", Model: "Stick", Serial: "U2", Size: 64e9, Removable: true},
		{Path: "/dev/nvme0n1", Transport: "nvme", Model: "Samsung SSD 970 PRO 1TB", Serial: "S3Z9", Size: 1024209543168},
		{Path: "/dev/nvme1n1", Transport: "nvme", Model: "Samsung SSD 980 2TB", Serial: "S4Z8", Size: 2000398934016},
		{Path: "/dev/loop0", Transport: "loop", Size: 300e9},
		{Path: "/dev/sdd", Transport: "sata", Size: 300e9, ReadOnly: true},
	}
	return disks, func(d blockdev.Disk) string {
		if d.Path == "/dev/nvme0n1" {
			return "empty"
		}
		return "GPT table, one partition"
	}
}

func TestRule(t *testing.T) {
	disks, contents := ruleDisks()
	for _, tt := range []struct{ rule, want string }{ // a path, or what the error says
		{"size>=1.5T", "/dev/nvme1n1"},
		{"bus=nvme,empty=yes", "/dev/nvme0n1"},
		{"bus=nvme,empty=no", "/dev/nvme1n1"},
		{"size>=200G,size<=600G", "/dev/sda"},
		{"size>=500G,size<900GiB", "/dev/sda"},
		{"bus=usb", "/dev/sdc"},
		{"removable=yes", "/dev/sdc"},
		{"model=samsung*2TB", "/dev/nvme1n1"},
		{"serial=s3?9", "/dev/nvme0n1"},
		{"model!=Samsung*,removable=no", "/dev/sda"},
		{"size=64000000000", "/dev/sdc"},
		{"size!=64G,used=no,bus!=nvme", "no disk meets"},
		{"size>=200G", "3 disks meet"},
		{"bus=nvme", "exactly one"},
		{"size>=9T", "no disk meets"},
		{"used=yes", "/dev/sda"},
		{"", "no condition"},
		{"size>=200G,", "no condition"},
		{"size~200G", "no condition"},
		{"size>=many", "no size"},
		{"size>=-1", "no size"},
		{"size>=9999999P", "no size"},
		{"size=NaN", "no size"},
		{"bus>=nvme", "takes only"},
		{"bus=floppy", "none of sata"},
		{"empty=maybe", "yes or no"},
		{"colour=red", "none of size"},
		{"model=", "no value"},
	} {
		r, err := ParseRule(tt.rule)
		var got string
		if err == nil {
			got, err = r.Find(disks, contents)
		}
		if err != nil {
			got = err.Error()
		}
		if (err == nil) != strings.HasPrefix(tt.want, "/") || !strings.Contains(got, tt.want) {
			t.Errorf("%q: %s, want %s", tt.rule, got, tt.want)
		}
	}
}

func TestLookupRule(t *testing.T) {
	if path, err := Lookup("rule:size>=900000T"); err == nil || !strings.Contains(err.Error(), "no disk meets") {
		t.Errorf("%s, %v", path, err)
	}
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 30 || !utf8.ValidString(pattern+text) {
			return
		}
		judge := "(?s)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$"
		re, err := regexp.Compile(judge)
		if err != nil {
			return
		}
		if got := glob(pattern, text); got != re.MatchString(text) {
			t.Errorf("glob(%q, %q) = %v", pattern, text, got)
		}
	})
}

func FuzzParseRule(f *testing.F) {
	f.Add("size>=200G,bus=nvme,model=a*")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if err == nil && len(r.conditions) == 0 {
			t.Errorf("%q meets every disk", text)
		}
	})
}
