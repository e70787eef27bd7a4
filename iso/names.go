package iso

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Limits of names, in the unit of each.
const (
	maxName        = 253  // bytes of a real name: Linux cuts longer ones
	maxTarget      = 1023 // bytes of a link target: xorriso reads no longer ones
	maxFileID      = 30   // ECMA-119 7.5.1: characters of file name and extension together
	maxExtension   = 10   // our own: longer "extensions" are cut, so that much of the name stays
	maxDirectoryID = 31   // ECMA-119 7.6.3
	maxJoliet      = 64   // Joliet: 128 bytes
)

// CheckVolumeID tells whether a label can stand in the volume identifier: 1 to
// 32 d-characters, A-Z 0-9 _ (ECMA-119 8.4.7, 7.4.1).
func CheckVolumeID(id string) error {
	if len(id) < 1 || len(id) > 32 {
		return fmt.Errorf("iso: volume identifier %q has %d characters, want 1 to 32", id, len(id))
	}
	if i := strings.IndexFunc(id, func(r rune) bool { return !isD(r) }); i >= 0 {
		return fmt.Errorf("iso: volume identifier %q: only A-Z, 0-9 and _ are allowed", id)
	}
	return nil
}

// isD tells d-characters, ECMA-119 7.4.1.
func isD(r rune) bool {
	return r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}

// An identifier is a name as one of the two trees shows it.
type identifier struct {
	name, extension []rune // all in the basic plane
	file            bool
}

// primary returns the identifier as bytes: NAME.EXTENSION;1 for files, with the
// dot even when there is no extension (ECMA-119 7.5.1).
func (id identifier) primary() []byte {
	if !id.file {
		return []byte(string(id.name))
	}
	return []byte(string(id.name) + "." + string(id.extension) + ";1")
}

// joliet returns the identifier in UCS-2, big endian.
func (id identifier) joliet() []byte {
	s := string(id.full())
	if id.file {
		s += ";1"
	}
	return ucs2(s)
}

func (id identifier) full() []rune {
	if len(id.extension) == 0 {
		return id.name
	}
	return slices.Concat(id.name, []rune{'.'}, id.extension)
}

// comparePrimary orders as ECMA-119 9.3 wants: names filled up with
// spaces, then extensions. A space is less than any d-character, so a
// name sorts before those that it begins.
func comparePrimary(a, b identifier) int {
	if c := slices.Compare(a.name, b.name); c != 0 {
		return c
	}
	return slices.Compare(a.extension, b.extension)
}

// compareJoliet orders by code value, as other writers of Joliet do.
func compareJoliet(a, b identifier) int {
	return slices.Compare(a.full(), b.full())
}

// A namer gives out identifiers that are unique within one directory.
type namer struct {
	used map[string]bool
	next map[string]int // number to try next, by the identifier wanted
}

func newNamer() *namer {
	return &namer{used: map[string]bool{}, next: map[string]int{}}
}

// primary makes an identifier of d-characters. For example
// "Ärger.tar.gz" becomes _RGER_TAR.GZ.
func (u *namer) primary(name string, file bool) identifier {
	clean := func(r rune) rune {
		if r = unicode.ToUpper(r); isD(r) {
			return r
		}
		return '_'
	}
	if !file {
		return u.take(identifier{name: mapRunes(name, clean)}, maxDirectoryID)
	}
	base, extension := split(name)
	return u.take(identifier{
		name:      mapRunes(base, clean),
		extension: cut(mapRunes(extension, clean), maxExtension),
		file:      true,
	}, maxFileID)
}

// joliet makes an identifier for Joliet, which allows all but a few characters.
func (u *namer) joliet(name string, file bool) identifier {
	clean := func(r rune) rune {
		if r < 0x20 || r > 0xFFFF || strings.ContainsRune(`*/:;?\`, r) {
			return '_'
		}
		return r
	}
	base, extension := name, ""
	if file {
		base, extension = split(name)
	}
	if extension == "" || len(extension) > maxExtension {
		return u.take(identifier{name: undot(cut(mapRunes(name, clean), maxJoliet)), file: file}, maxJoliet)
	}
	return u.take(identifier{
		name:      mapRunes(base, clean),
		extension: undot(mapRunes(extension, clean)),
		file:      true,
	}, maxJoliet-1) // the dot
}

// undot replaces dots and spaces at the end: Windows and Linux drop them.
func undot(r []rune) []rune {
	for i := len(r) - 1; i >= 0 && (r[i] == '.' || r[i] == ' '); i-- {
		r[i] = '_'
	}
	return r
}

// take shortens the name so that it and the extension have at most limit
// characters, and numbers it if it is taken: LONG_NAME, LONG_NAME_1, …
func (u *namer) take(id identifier, limit int) identifier {
	wanted := cut(id.name, limit-len(id.extension))
	id.name = wanted
	first := u.key(id)
	for u.used[u.key(id)] {
		u.next[first]++
		number := fmt.Appendf(nil, "_%d", u.next[first])
		id.name = append(cut(wanted, limit-len(id.extension)-len(number)), []rune(string(number))...)
	}
	u.used[u.key(id)] = true
	return id
}

// key is equal for identifiers that some reader would confuse.
func (u *namer) key(id identifier) string {
	return strings.ToLower(string(id.name) + "." + string(id.extension))
}

// split splits a name at its last dot, unless that is the first or last character.
func split(name string) (base, extension string) {
	if i := strings.LastIndexByte(name, '.'); i > 0 && i < len(name)-1 {
		return name[:i], name[i+1:]
	}
	return name, ""
}

func mapRunes(s string, f func(rune) rune) []rune { return []rune(strings.Map(f, s)) }

// cut returns a copy of at most n characters of r.
func cut(r []rune, n int) []rune { return slices.Clone(r[:min(len(r), n)]) }

// ucs2 encodes text for Joliet. Callers keep to the basic plane.
func ucs2(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}
