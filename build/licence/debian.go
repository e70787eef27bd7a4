package licence

import (
	"regexp"
	"slices"
	"strings"
)

// Named is a licence that SPDX has no name for, or whose name is not sure.
type Named struct {
	Name string // as the copyright file calls it
	Text string // "" where the file has none
}

// Debian reads a copyright file and gives the names of the licences in it as
// an SPDX expression. Others are called by ref, which is given the name and
// returns a LicenseRef. ok is false where the file is free text.
func Debian(file string, ref func(Named) string) (expression string, ok bool) {
	stanzas := parse(file)
	if len(stanzas) == 0 || !strings.Contains(stanzas[0]["format"], "copyright-format") {
		return "", false
	}
	texts := map[string]string{}
	var lines []string
	for _, s := range stanzas {
		name, text, _ := strings.Cut(s["license"], "\n")
		name = strings.Join(strings.Fields(name), " ")
		if name == "" {
			continue
		}
		if text = unindent(text); text != "" && texts[name] == "" {
			texts[name] = text
		}
		if s["files"] != "" || s["format"] != "" {
			lines = append(lines, name)
		}
	}
	r := reader{texts: texts, ref: ref}
	var terms []string
	for _, l := range lines {
		term := r.expression(l)
		if strings.Contains(term, " OR ") {
			terms = append(terms, term)
		} else if term != "" {
			terms = append(terms, strings.Split(term, " AND ")...)
		}
	}
	slices.Sort(terms)
	terms = slices.Compact(terms)
	return And(terms), len(terms) > 0
}

// And joins expressions that all hold.
func And(terms []string) string {
	if len(terms) == 1 {
		return terms[0]
	}
	list := slices.Clone(terms)
	for i, t := range list {
		if openOr(t) {
			list[i] = "(" + t + ")"
		}
	}
	return strings.Join(list, " AND ")
}

// openOr reports whether an OR stands outside of brackets.
func openOr(expression string) bool {
	depth := 0
	for i, c := range expression {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 && strings.HasPrefix(expression[i:], " OR ") {
			return true
		}
	}
	return false
}

// stanza holds fields by their names in lower case; lines of a value are kept.
type stanza map[string]string

// parse reads a file in the control format (Debian Policy 5.1).
func parse(file string) (all []stanza) {
	var s stanza
	field := ""
	for line := range strings.Lines(strings.TrimPrefix(file, "\ufeff")) {
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case line == "":
			s, field = nil, ""
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if s != nil && field != "" {
				s[field] += "\n" + line
			}
		default:
			name, value, found := strings.Cut(line, ":")
			if !found {
				field = ""
				continue
			}
			if s == nil {
				s = stanza{}
				all = append(all, s)
			}
			field = strings.ToLower(name)
			s[field] = strings.TrimSpace(value)
		}
	}
	return all
}

// unindent takes the marks of the format off a text: one space before every
// line, a dot for an empty one.
func unindent(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimRight(line, "\n"), " ")
		if strings.TrimSpace(line) == "." {
			line = ""
		}
		lines = append(lines, line)
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// reader turns one short name, or several with and/or between them, into SPDX.
type reader struct {
	texts map[string]string
	ref   func(Named) string
}

var (
	weakAnd = regexp.MustCompile(`(?i),\s+and\s+`)
	weakOr  = regexp.MustCompile(`(?i),\s+or\s+`)
	comma   = regexp.MustCompile(`\s*,\s*`)
	or      = regexp.MustCompile(`(?i)\s+(?:or|and/or)\s+|\s*\|\s*`)
	and     = regexp.MustCompile(`(?i)\s+and\s+|\s*&\s*`)
	with    = regexp.MustCompile(`(?i)\s+with\s+`)
)

// expression follows the copyright format: and binds closer than or, a comma
// looser than both.
func (r reader) expression(s string) string {
	if id, known := identifier(s); known {
		return id
	}
	for _, level := range []struct {
		split *regexp.Regexp
		word  string
	}{{weakAnd, "AND"}, {weakOr, "OR"}, {comma, "AND"}, {or, "OR"}, {and, "AND"}} {
		parts := level.split.Split(s, -1)
		if len(parts) == 1 {
			continue
		}
		var terms []string
		for _, p := range parts {
			term := r.expression(p)
			if term == "" || slices.Contains(terms, term) {
				continue
			}
			terms = append(terms, term)
		}
		if level.word == "AND" || len(terms) == 1 {
			return And(terms)
		}
		for i, t := range terms {
			if strings.Contains(t, " AND ") {
				terms[i] = "(" + t + ")"
			}
		}
		return strings.Join(terms, " OR ")
	}
	return r.term(strings.TrimSpace(s))
}

// term is one licence, perhaps with an exception.
func (r reader) term(s string) string {
	if s == "" {
		return ""
	}
	if parts := with.Split(s, 2); len(parts) == 2 {
		id, known := identifier(parts[0])
		if exception, ok := exceptions[strings.ToLower(strings.Join(strings.Fields(parts[1]), " "))]; ok && known {
			return id + " WITH " + exception
		}
	}
	return r.ref(Named{s, r.texts[s]})
}
