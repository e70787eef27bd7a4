package licence

import (
	"slices"
	"strings"
)

// signs are sentences by which the text of a licence is known, most special
// first. All must be there, and none of without.
var signs = []struct {
	id      string
	all     []string
	without []string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0", "grant of patent license"}, nil},
	{"MPL-2.0", []string{"mozilla public license version 2.0", "covered software"}, nil},
	{"LGPL-3.0-only", []string{"gnu lesser general public license", "version 3, 29 june 2007"}, nil},
	{"AGPL-3.0-only", []string{"gnu affero general public license", "version 3, 19 november 2007"}, nil},
	{"GPL-3.0-only", []string{"gnu general public license", "version 3, 29 june 2007"}, []string{"gnu lesser general public license version 3", "affero general public license version 3, 19"}},
	{"GPL-2.0-only", []string{"gnu general public license", "version 2, june 1991"}, nil},
	{"CC0-1.0", []string{"cc0 1.0 universal"}, nil},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}, nil},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "retain the above copyright notice", "endorse or promote products derived from this software"}, []string{"all advertising materials"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms", "retain the above copyright notice"}, []string{"endorse or promote", "all advertising materials"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"}, nil},
	{"ISC", []string{"permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted"}, nil},
	{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy", "the above copyright notice and this permission notice shall be included"}, nil},
}

// Text names the licences whose text a file holds, sorted; none where none is
// known. A file may hold several.
func Text(file string) []string {
	text := strings.ToLower(strings.Join(strings.Fields(file), " "))
	text = strings.NewReplacer("“", `"`, "”", `"`, "* ", "", "// ", "", "# ", "").Replace(text)
	var found []string
	for _, s := range signs {
		has := func(sign string) bool { return strings.Contains(text, sign) }
		if all(s.all, has) && !slices.ContainsFunc(s.without, has) && !slices.Contains(found, s.id) {
			found = append(found, s.id)
		}
	}
	slices.Sort(found)
	return found
}

func all(list []string, f func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !f(s) })
}
