package modules

import (
	"slices"
	"strings"
)

// match reports whether name fits a module alias: * is any text, ? one byte,
// [abc], [a-f] and [!a-f] one of a set, and backslash takes the next byte
// literally. As in modprobe(8), dashes and underscores are the same, except
// inside brackets.
func match(pattern, name string) bool {
	star, back := -1, 0 // where to resume after the last *
	p, n := 0, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, back = p+1, n
			p++
			continue
		}
		if w, ok := matchOne(pattern[p:], name[n]); ok {
			p += w
			n++
			continue
		}
		if star < 0 {
			return false
		}
		back++
		p, n = star, back
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne reports whether the first element of pattern fits c, and how many
// bytes of the pattern that element takes.
func matchOne(pattern string, c byte) (width int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		if end := setEnd(pattern); end > 0 {
			return end + 1, inSet(pattern[1:end], c)
		}
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	}
	return 1, dash(pattern[0]) == dash(c)
}

// setEnd returns where the set that pattern begins with is closed, 0 when it
// is not. A ] directly after the opening belongs to the set.
func setEnd(pattern string) int {
	for i := 1; i < len(pattern); i++ {
		if pattern[i] == ']' && i > 1 && !(i == 2 && pattern[1] == '!') {
			return i
		}
	}
	return 0
}

// inSet reports whether c is in a set such as a-f0 or !0-9.
func inSet(set string, c byte) bool {
	negated := set[0] == '!'
	if negated {
		set = set[1:]
	}
	found := false
	for i := 0; i < len(set); i++ {
		low, high := set[i], set[i]
		if i+2 < len(set) && set[i+1] == '-' {
			high = set[i+2]
			i += 2
		}
		found = found || low <= c && c <= high
	}
	return found != negated
}

func dash(c byte) byte {
	if c == '-' {
		return '_'
	}
	return c
}

// tiers are the lengths, in bytes, of the literal beginnings that aliases are
// filed under. 13 holds bus and vendor of a PCI device, pci:v00008086.
var tiers = [...]int{13, 4, 0}

// An aliasTable finds the aliases that a name fits without trying them all.
type aliasTable struct {
	buckets [len(tiers)]map[string][]alias
	size    int
}

// alias is one line of modules.alias.
type alias struct {
	pattern, module string
	number          int // order in the file
}

// add files one more alias.
func (t *aliasTable) add(pattern, module string) {
	literal := pattern
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		literal = pattern[:i]
	}
	for i, length := range tiers {
		if len(literal) < length {
			continue
		}
		if t.buckets[i] == nil {
			t.buckets[i] = make(map[string][]alias)
		}
		key := underscored(literal[:length])
		t.buckets[i][key] = append(t.buckets[i][key], alias{pattern, module, t.size})
		t.size++
		return
	}
}

// find returns the modules whose aliases name fits, each once, in the order of
// the file.
func (t *aliasTable) find(name string) []string {
	var found []alias
	for i, length := range tiers {
		if len(name) < length {
			continue
		}
		for _, a := range t.buckets[i][underscored(name[:length])] {
			if match(a.pattern, name) {
				found = append(found, a)
			}
		}
	}
	slices.SortFunc(found, func(a, b alias) int { return a.number - b.number })
	var modules []string
	for _, a := range found {
		if !slices.Contains(modules, a.module) {
			modules = append(modules, a.module)
		}
	}
	return modules
}
