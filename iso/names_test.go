package iso

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestPrimaryNames(t *testing.T) {
	tests := []struct {
		name, want string
		file       bool
	}{
		{"vmlinuz", "VMLINUZ.;1", true},
		{"grub.cfg", "GRUB.CFG;1", true},
		{"Ärger.tar.gz", "_RGER_TAR.GZ;1", true},
		{".disk", "_DISK.;1", true},
		{"trailing.", "TRAILING_.;1", true},
		{"i386-pc", "I386_PC", false},
		{"linux-6.12", "LINUX_6_12", false},
		{strings.Repeat("x", 40), strings.Repeat("X", 31), false},
		{strings.Repeat("x", 40) + ".zst", strings.Repeat("X", 27) + ".ZST;1", true},
		{"a." + strings.Repeat("e", 20), "A.EEEEEEEEEE;1", true},
	}
	for _, tt := range tests {
		if got := newNamer().primary(tt.name, tt.file); string(got.primary()) != tt.want {
			t.Errorf("%q: %s, want %s", tt.name, got.primary(), tt.want)
		}
	}
}

func TestJolietNames(t *testing.T) {
	tests := []struct {
		name, want string
		file       bool
	}{
		{"Grüße.txt", "Grüße.txt;1", true},
		{"日本", "日本", false},
		{"😀.png", "_.png;1", true},
		{`a*b?c:d;e\f`, "a_b_c_d_e_f;1", true},
		{"dots..", "dots__", false},
		{"a. ", "a._;1", true},
		{"a.b ", "a.b_;1", true},
		{strings.Repeat("x", 70) + ".zst", strings.Repeat("x", 60) + ".zst;1", true},
		{strings.Repeat("x", 63) + ". more", strings.Repeat("x", 63) + "_", false},
	}
	for _, tt := range tests {
		if got := newNamer().joliet(tt.name, tt.file); decode(got.joliet()) != tt.want {
			t.Errorf("%q: %s, want %s", tt.name, decode(got.joliet()), tt.want)
		}
	}
}

func decode(b []byte) string {
	var u []uint16
	for i := 0; i+1 < len(b); i += 2 {
		u = append(u, be.Uint16(b[i:]))
	}
	return string(utf16.Decode(u))
}

func TestNumbersOfEqualNames(t *testing.T) {
	u := newNamer()
	for _, want := range []string{"A_B.TXT;1", "A_B_1.TXT;1", "A_B_2.TXT;1"} {
		if got := u.primary("a b.txt", true).primary(); string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// FuzzNames gives out names for lines of text: always unique, within the
// limits and of the right characters.
func FuzzNames(f *testing.F) {
	f.Add(strings.Join(awkwardNames, "\n"), true)
	f.Add("AB\nAB.\nab\nA B\nA_B\nA_B_1", false)
	f.Fuzz(func(t *testing.T, text string, file bool) {
		primary, joliet := newNamer(), newNamer()
		seen := map[string]bool{}
		for name := range strings.SplitSeq(text, "\n") {
			p, j := primary.primary(name, file), joliet.joliet(name, file)
			if name == "" {
				continue
			}
			pid, jid := string(p.primary()), strings.ToLower(decode(j.joliet()))
			if seen["p"+pid] || seen["j"+jid] {
				t.Fatalf("%q: %s or %s is taken", name, pid, jid)
			}
			seen["p"+pid], seen["j"+jid] = true, true
			if len(p.name)+len(p.extension) > maxDirectoryID || file && len(p.name)+len(p.extension) > maxFileID || len(p.name) == 0 {
				t.Fatalf("%q: %s is too long", name, pid)
			}
			if len(j.full()) > maxJoliet || len(j.joliet()) > 2*maxJoliet+4 || strings.HasSuffix(strings.TrimSuffix(jid, ";1"), ".") {
				t.Fatalf("%q: %s is not for Joliet", name, jid)
			}
			if bytes.ContainsFunc([]byte(pid), func(r rune) bool { return !isD(r) && r != '.' && r != ';' }) {
				t.Fatalf("%q: %s has other characters", name, pid)
			}
		}
	})
}
