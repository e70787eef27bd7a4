package keymap

import (
	"strings"
	"testing"
)

func TestLayouts(t *testing.T) {
	for name, l := range layouts() {
		for table, text := range map[string]string{"plain": l.plain, "shift": l.shift, "altgr": l.altgr} {
			if n := len([]rune(text)); n != len(codes()) {
				t.Errorf("%s %s: %d keys, want %d", name, table, n, len(codes()))
			}
		}
		all := l.plain + l.shift + l.altgr
		for r := rune('!'); r <= '~'; r++ {
			if !strings.ContainsRune(all, r) {
				t.Errorf("%s: %q cannot be typed", name, r)
			}
		}
		if len([]rune(l.plain)) == len(codes()) && strings.ContainsRune(l.plain+l.shift, ' ') {
			t.Errorf("%s: a key without a character", name)
		}
	}
}

func TestSymbols(t *testing.T) {
	for _, tt := range []struct {
		r      rune
		letter bool
		want   uint16
	}{
		{'a', true, 0x0b61}, {'1', false, 0x31}, {'ö', true, 0x0bf6}, {'€', false, 0x20ac ^ 0xf000}, {' ', false, 0x200},
	} {
		if got := symbol(tt.r, tt.letter); got != tt.want {
			t.Errorf("%q: %#x, want %#x", tt.r, got, tt.want)
		}
	}
}

func TestFind(t *testing.T) {
	for _, name := range []string{"de", "DE", "de-latin1-nodeadkeys", "gb", "fi", "fr_FR"} {
		if _, ok := find(name); !ok {
			t.Errorf("%s is not known", name)
		}
	}
	for _, name := range Names() {
		if _, ok := find(name); !ok {
			t.Errorf("%s is offered and not known", name)
		}
	}
	if _, ok := find("klingon"); ok {
		t.Error("klingon is known")
	}
}

func TestEntries(t *testing.T) {
	l, _ := find("de")
	want := map[entry]bool{{tablePlain, 44, 0x0b79}: true, {tableCtrl, 44, 0x19}: true, {tableShift, 3, '"'}: true, {tableAltGr, 16, '@'}: true}
	for _, e := range l.entries() {
		delete(want, e)
	}
	if len(want) > 0 {
		t.Errorf("missing: %+v", want)
	}
}
