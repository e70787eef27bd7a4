// Package keymap holds keyboard maps for the screens of the live system: those
// that a rescue shell needs, small and without dead keys. It does not touch
// serial lines, whose keyboard is somewhere else.
package keymap

import (
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/sys/unix"
)

// layout says what the 48 keys of codes() give, in rows from the top left: the
// digit row, two rows of letters, and the row from the key beside the left
// shift. A space stands for nothing special. The number of characters is
// always 13, 12, 12, 11.
type layout struct {
	plain, shift, altgr string
}

// codes are the kernel's keycodes of those keys (linux/input-event-codes.h):
// KEY_GRAVE KEY_1 … KEY_EQUAL; KEY_Q … KEY_RIGHTBRACE; KEY_A … KEY_APOSTROPHE
// KEY_BACKSLASH; KEY_102ND KEY_Z … KEY_SLASH.
func codes() []byte {
	return []byte{
		41, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
		30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 43,
		86, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53,
	}
}

// Tables and types of linux/keyboard.h.
const (
	tablePlain = 0
	tableShift = 1 << 0 // KG_SHIFT
	tableAltGr = 1 << 1 // KG_ALTGR
	tableCtrl  = 1 << 2 // KG_CTRL
	tableAlt   = 1 << 3 // KG_ALT
	typeLatin  = 0x00   // KT_LATIN
	typeMeta   = 0x08   // KT_META
	typeLetter = 0x0b   // KT_LETTER: Caps Lock turns it
	noSymbol   = 0x0200 // K_HOLE: K(KT_SPEC, 0)
	kdSetKey   = 0x4B47 // KDSKBENT
)

// entry is struct kbentry: one key in one table.
type entry struct {
	table, index uint8
	value        uint16
}

// Load gives all screens the keyboard map of that name, through the screen
// console, which must be in UTF-8 mode already or will be.
func Load(console *os.File, name string) error {
	l, ok := find(name)
	if !ok {
		return fmt.Errorf("keyboard %s is not known; known are %s", name, strings.Join(Names(), " "))
	}
	const kdSetKbMode, kUnicode = 0x4B45, 3
	if err := unix.IoctlSetInt(int(console.Fd()), kdSetKbMode, kUnicode); err != nil {
		return fmt.Errorf("keyboard %s: %w", name, err)
	}
	for _, e := range l.entries() {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, console.Fd(), kdSetKey, uintptr(unsafe.Pointer(&e))); errno != 0 {
			return fmt.Errorf("keyboard %s: key %d: %w", name, e.index, errno)
		}
	}
	return nil
}

// find takes de, de-latin1, de_DE, gb: the part before a dash or underscore
// counts, as variants differ in dead keys only.
func find(name string) (layout, bool) {
	name, _, _ = strings.Cut(strings.ToLower(name), "-")
	name, _, _ = strings.Cut(name, "_")
	if other := alias(name); other != "" {
		name = other
	}
	l, ok := layouts()[name]
	return l, ok
}

// entries are all the keys of l.
func (l layout) entries() []entry {
	var out []entry
	plain, shift, altgr := []rune(l.plain), []rune(l.shift), []rune(l.altgr)
	for i, code := range codes() {
		letter := unicode.IsLetter(plain[i]) && unicode.ToUpper(plain[i]) == shift[i]
		out = append(out, entry{tablePlain, code, symbol(plain[i], letter)}, entry{tableShift, code, symbol(shift[i], letter)},
			entry{tableAltGr, code, symbol(altgr[i], false)})
		if plain[i] >= 'a' && plain[i] <= 'z' {
			out = append(out, entry{tableCtrl, code, uint16(plain[i] & 0x1f)})
		}
		if plain[i] > ' ' && plain[i] < utf8.RuneSelf {
			out = append(out, entry{tableAlt, code, typeMeta<<8 | uint16(plain[i])})
		}
	}
	return out
}

// symbol is the kernel's number for a character: type and Latin-1 code, or,
// above that, the code point with the highest four bits turned.
func symbol(r rune, letter bool) uint16 {
	switch {
	case r == ' ':
		return noSymbol
	case r > 0xff:
		return uint16(r) ^ 0xf000
	case letter:
		return typeLetter<<8 | uint16(r)
	}
	return typeLatin<<8 | uint16(r)
}
