package fat

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"doppel.live/internal/filesystem/fstest"
)

func TestMoment(t *testing.T) {
	tests := []struct {
		date, clock uint16
		fine        byte
		want        string // local
	}{
		{0, 0, 0, "0001-01-01T00:00:00"},
		{1<<5 | 1, 0, 0, "1980-01-01T00:00:00"},
		{46<<9 | 11<<5 | 27, 20<<11 | 39<<5 | 29, 0, "2026-11-27T20:39:58"},
		{46<<9 | 11<<5 | 27, 20<<11 | 39<<5 | 29, 101, "2026-11-27T20:39:59.01"},
		{46<<9 | 11<<5 | 27, 20<<11 | 39<<5 | 29, 255, "2026-11-27T20:39:59.99"},
		{46<<9 | 13<<5 | 27, 0, 0, "0001-01-01T00:00:00"},
		{127<<9 | 12<<5 | 31, 0, 0, "2107-12-31T00:00:00"},
	}
	for _, tt := range tests {
		if got := moment(tt.date, tt.clock, tt.fine).Format("2006-01-02T15:04:05.99"); got != tt.want {
			t.Errorf("%#x %#x %d: %s, want %s", tt.date, tt.clock, tt.fine, got, tt.want)
		}
	}
}

// short makes the entry of a file without content.
func short(name string, attributes, lower byte) []byte {
	e := make([]byte, entrySize)
	copy(e, "           ")
	copy(e, name)
	e[11], e[12] = attributes, lower
	return e
}

// long makes the entries of a long name and the one behind them.
func long(name string, e []byte) (entries []byte) {
	units := append(utf16.Encode([]rune(name)), 0)
	for len(units)%13 != 0 {
		units = append(units, 0xFFFF)
	}
	parts := len(units) / 13
	if parts > 1 && units[13*(parts-1)] == 0 {
		parts-- // a name of whole parts has no end
	}
	for i := parts; i > 0; i-- {
		p := make([]byte, entrySize)
		p[0], p[11], p[13] = byte(i), 0x0F, dirEntry(e).checksum()
		if i == parts {
			p[0] |= 0x40
		}
		for k, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
			le.PutUint16(p[at:], units[13*(i-1)+k])
		}
		entries = append(entries, p...)
	}
	return append(entries, e...)
}

// change changes a byte of a copy.
func change(p []byte, at int, value byte) []byte {
	p = bytes.Clone(p)
	p[at] = value
	return p
}

// handmade gives entries of a root directory, and what they are called; "" what
// is not listed, "!" an error.
func handmade() map[string]struct {
	entries []byte
	want    string
} {
	a := short("ABCDEF  TXT", 0x20, 0)
	three := long("a name of three whole parts, 39 letters", a)
	return map[string]struct {
		entries []byte
		want    string
	}{
		"plain":                  {a, "ABCDEF.TXT"},
		"lower base":             {short("ABCDEF  TXT", 0x20, 0x08), "abcdef.TXT"},
		"lower extension":        {short("ABCDEF  TXT", 0x20, 0x10), "ABCDEF.txt"},
		"lower":                  {short("ABCDEFGHTXT", 0x20, 0x18), "abcdefgh.txt"},
		"no extension":           {short("ABCDEFGH   ", 0x20, 0x18), "abcdefgh"},
		"space inside":           {short("A B     C D", 0x20, 0), "A B.C D"},
		"code page":              {short("\x9A\x8E\x99\x80\xEE\xFD  \xE1", 0x20, 0), "ÜÄÖÇε².ß"},
		"code page, lower":       {short("\x9A\x8E\x99\x80    ", 0x20, 0x08), "üäöç"},
		"E5":                     {short("\x05BC        ", 0x20, 0), "σBC"},
		"long":                   {three, "a name of three whole parts, 39 letters"},
		"long of whole parts":    {long("13 characters", a), "13 characters"},
		"long, beyond the BMP":   {long("𝄞 漢", a), "𝄞 漢"},
		"deleted":                {change(a, 0, 0xE5), ""},
		"label":                  {short("LABEL      ", 0x08, 0), ""},
		"device attribute":       {short("DEVICE     ", 0x60, 0), "DEVICE"},
		"orphan, then a file":    {slices.Concat(three[:96], short("OTHER      ", 0x20, 0)), "OTHER"},
		"a part is missing":      {slices.Concat(three[:32], three[64:]), "ABCDEF.TXT"},
		"the first is missing":   {three[32:], "ABCDEF.TXT"},
		"a part is deleted":      {change(three, 32, 0xE5), "ABCDEF.TXT"},
		"a part of another":      {change(three, 32+13, 1), "ABCDEF.TXT"},
		"two beginnings":         {slices.Concat(three[:32], three), "a name of three whole parts, 39 letters"},
		"orphan before a label":  {slices.Concat(three[:96], short("LABEL      ", 0x08, 0), a), "ABCDEF.TXT"},
		"slash in the long name": {long("../../etc/passwd", a), "ABCDEF.TXT"},
		"long name of dots":      {long("..", a), "ABCDEF.TXT"},
		"slash":                  {short("A/B        ", 0x20, 0), "!"},
		"no name":                {short("           ", 0x20, 0), "!"},
		"end":                    {append(make([]byte, 32), a...), ""},
	}
}

// TestNames lists entries made by hand, and by mtools too where it can: it does
// not know characters beyond the BMP, takes any long name, ends names at a
// space, and has lower case for ASCII only.
func TestNames(t *testing.T) {
	base := fstest.Load(t, makeVolume(t, 300, "-F 12 -s 1"))
	root := bootSector(base).table(2)
	clear(base[root : root+224*32])
	rc := filepath.Join(t.TempDir(), "mtoolsrc")
	if err := os.WriteFile(rc, []byte("default_codepage=437\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range handmade() {
		p := bytes.Clone(base)
		copy(p[root:], tt.entries)
		want := []string{}
		if tt.want != "" {
			want = append(want, tt.want)
		}
		if name != "end" {
			copy(p[root+int64(len(tt.entries)):], short("BEHIND     ", 0x20, 0))
			want = append(want, "BEHIND")
		}
		if got := rootNames(t, p); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if tt.want == "!" || slices.Contains([]string{"space inside", "code page, lower", "long, beyond the BMP"}, name) || strings.Contains(string(tt.entries), "LABEL") || strings.Contains(name, "long name") {
			continue
		}
		path := fstest.Volume(t, 0)
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		mtools := []string{}
		for line := range strings.Lines(run(t, "env", "MTOOLSRC="+rc, "mdir", "-a", "-b", "-i", path)) {
			mtools = append(mtools, strings.TrimPrefix(strings.TrimSpace(line), "::/"))
		}
		if !slices.Equal(mtools, want) {
			t.Errorf("%s: mtools says %q, want %q", name, mtools, want)
		}
	}
}

// rootNames are the names in a root directory, "!" for an error.
func rootNames(t *testing.T, p []byte) []string {
	t.Helper()
	opened, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for f, err := range opened.Files() {
		switch {
		case err != nil:
			got = append(got, "!")
		case f.Path != ".":
			got = append(got, f.Path)
		}
	}
	return got
}
