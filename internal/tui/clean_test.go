package tui

import (
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Samsung SSD 870":       "Samsung SSD 870",
		"\x1b[31mred\x1b]0;x\a": "?[31mred?]0;x?",
		"a\tb\r\nc\x00\x7f\x9b": "a b  c???",
		"Données Büro":          "Données Büro",
		"x\u202egpj.exe":        "xgpj.exe", // turns the direction of writing
		"e\u0301a\u200bb":       "eab",      // accents by themselves, no-width space
		"日本":                    "日本",       // two cells each
		"\xff\xfe":              "?",        // not UTF-8
		"\U0001f600 \u1100":     "? ?",      // widths that nobody agrees on
		"a\u00a0b\u2028c\u0085": "a b?c?",   // odd spaces and line ends
		"[red]not a colour[-]":  "[red]not a colour[-]",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[2J\u202e\u009b日本", 5)
	f.Fuzz(func(t *testing.T, s string, width int) {
		c := Clean(s)
		if !utf8.ValidString(c) || Clean(c) != c {
			t.Fatalf("%q becomes %q, and then %q", s, c, Clean(c))
		}
		for _, r := range c {
			if unicode.IsControl(r) || r == 0x1b || unicode.Is(unicode.Cf, r) || runeWidth(r) < 1 || runeWidth(r) > 2 {
				t.Fatalf("%q holds %U, %d cells", c, r, runeWidth(r))
			}
		}
		width = min(max(width, 0), 200)
		if w := Width(Cut(c, width)); w > width {
			t.Errorf("cut to %d cells it has %d", width, w)
		}
		if w := Width(pad(c, width)); w > width || w < width-1 {
			t.Errorf("padded to %d cells it has %d", width, w)
		}
		for _, l := range Layout([]Line{{Text: s}, {Cells: []string{s, "x", s}}}, max(width, 10)) {
			if Width(l.Text) > max(width, 10) {
				t.Errorf("a line of %d cells: %q", Width(l.Text), l.Text)
			}
		}
	})
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{{"abcdef", 6, "abcdef"}, {"abcdef", 5, "abc.."}, {"abc def", 6, "abc.."}, {"abcdef", 2, ".."}, {"abcdef", 1, "."}, {"abcdef", 0, ""}, {"abc", -1, ""}, {"日本語", 5, "日.."}} {
		if got := Cut(c.in, c.width); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.in, c.width, got, c.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for in, want := range map[string][]string{
		"":                         {""},
		"one two three":            {"one two", "three"},
		"  one two three":          {"  one two", "  three"},
		"- one two three":          {"- one two", "  three"},
		"abcdefghijklmnopqrstuvwx": {"abcdefghij", "klmnopqrst", "uvwx"},
		"  abcdefghijkl":           {"  abcdefgh", "  ijkl"},
	} {
		if got := wrap(in, 10); !reflect.DeepEqual(got, want) {
			t.Errorf("wrap(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestColumns(t *testing.T) {
	rows := [][]string{{"Disk", "Model", "", "Size"}, {"/dev/sda", "A very long model name", "", "500 GB"}, {"x"}}
	want := []string{
		"Disk      Model          Size",
		"/dev/sda  A very long..  500 GB",
		"x",
	}
	if got := Columns(rows, 31); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if got := Columns(nil, 10); len(got) != 0 {
		t.Errorf("no rows give %q", got)
	}
}

func TestKeys(t *testing.T) {
	items := make([]Item, 40)
	items[3].Key = 'r'
	keys := Keys(items)
	seen := map[rune]bool{'q': true}
	for i, k := range keys {
		if k != 0 && seen[k] {
			t.Errorf("item %d: %c is taken", i, k)
		}
		seen[k] = true
	}
	if string(keys[:12]) != "123r456789ab" {
		t.Errorf("keys %q", string(keys))
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{-1: "?", 0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 999_949: "999.9 kB",
		999_950: "1.0 MB", 500107862016: "500.1 GB", 1 << 62: "4.6 EB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0:00", 59.6: "1:00", 3725: "1:02:05", -1: "?", 1e300: "?"} {
		if got := clock(s); got != want {
			t.Errorf("clock(%v) = %q, want %q", s, got, want)
		}
	}
	if fraction(3, 0) != 0 || fraction(-1, 5) != 0 || fraction(9, 5) != 1 || fraction(1, 4) != 0.25 {
		t.Error("fractions")
	}
}

// Every text is there, and made of characters that every console font has.
func TestText(t *testing.T) {
	var walk func(name string, v reflect.Value)
	walk = func(name string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(name+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(name, v.Index(i))
			}
		case reflect.Map:
			for i := v.MapRange(); i.Next(); {
				walk(name, i.Value())
			}
		case reflect.String:
			mayBeEmpty := strings.HasSuffix(name, ".Intro") || strings.HasSuffix(name, ".Help") || name == "Text.Result.Title"
			if v.String() == "" && !mayBeEmpty {
				t.Errorf("%s is empty", name)
			}
			for _, r := range v.String() {
				if r > 0x7e || r < ' ' && r != '\n' {
					t.Errorf("%s holds %U", name, r)
				}
			}
		}
	}
	walk("Text", reflect.ValueOf(*English()))
}
