package tui

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// cutMark ends a text that was cut. Console fonts of 256 characters have no
// ellipsis.
const cutMark = ".."

// Clean makes a text safe for a terminal: no control characters, no invisible
// or direction-changing ones, nothing whose width terminals disagree about.
// Line ends and tabs become spaces; what cannot be shown becomes a question
// mark. Each rune of the result stands for itself.
func Clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
		return s // most are
	}
	return strings.Map(cleanRune, strings.ToValidUTF8(s, "?"))
}

func cleanRune(r rune) rune {
	switch {
	case r >= ' ' && r < 0x7f:
		return r
	case r == '\n' || r == '\r' || r == '\t' || unicode.Is(unicode.Zs, r):
		return ' '
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Mc, unicode.Cf):
		return -1
	case r >= 0x1100 && r <= 0x11ff, r >= 0xa960 && r <= 0xa97f, r >= 0xd7b0 && r <= 0xd7ff,
		r > 0xffff, !unicode.IsGraphic(r):
		return '?' // parts of Hangul syllables, pictures, controls
	case unicode.Is(unicode.Lm, r) && uniseg.StringWidth(string(r)) == 0:
		return -1
	}
	return r
}

// Width is the number of terminal cells of a text that Clean gave.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	if r < utf8.RuneSelf {
		return 1
	}
	return max(uniseg.StringWidth(string(r)), 0)
}

// Cut shortens a text to width cells, with a mark where something is missing.
func Cut(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	if width <= len(cutMark) {
		return strings.Repeat(".", max(width, 0))
	}
	n := 0
	for i, r := range s {
		n += runeWidth(r)
		if n > width-len(cutMark) {
			return strings.TrimRight(s[:i], " ") + cutMark
		}
	}
	return s
}

// pad cuts or fills a text to exactly width cells.
func pad(s string, width int) string {
	s = Cut(s, width)
	return s + strings.Repeat(" ", max(width-Width(s), 0))
}

// tail is the end of a serial number, enough to tell disks apart.
func tail(s string) string {
	const keep, most = 8, 12
	r := []rune(Clean(s))
	if len(r) <= most {
		return string(r)
	}
	return cutMark + string(r[len(r)-keep:])
}

// wrap breaks a text at spaces into lines of at most width cells. Lines after
// the first are set in as far as the first one's text is.
func wrap(s string, width int) []string {
	width = max(width, 1)
	indent := len(s) - len(strings.TrimLeft(s, " "))
	if strings.HasPrefix(s[indent:], "- ") {
		indent += 2
	}
	if indent > width/2 {
		indent = 0
	}
	var out []string
	line := s[:len(s)-len(strings.TrimLeft(s, " "))]
	fresh := true // line holds no word yet
	for _, word := range strings.Fields(s) {
		if !fresh && Width(line)+1+Width(word) > width {
			out = append(out, line)
			line, fresh = strings.Repeat(" ", indent), true
		}
		if !fresh {
			line += " "
		}
		line, fresh = line+word, false
		for Width(line) > width {
			var head string
			head, line = split(line, width)
			out = append(out, head)
			line = strings.Repeat(" ", indent) + line
		}
	}
	return append(out, line)
}

// split cuts a text after at most width cells, but after one rune at least.
func split(s string, width int) (head, rest string) {
	n := 0
	for i, r := range s {
		n += runeWidth(r)
		if n > width && i > 0 {
			return s[:i], s[i:]
		}
	}
	return s, ""
}
