package licence

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: example

Files: *
Copyright: 2020 Somebody
License: GPL-2+

Files: lib/*
Copyright: 2021 Somebody
License: LGPL-2.1+ or BSD-3-clause, and Expat

Files: data/*
Copyright: none
License: public-domain
 Nobody claims
 .
 anything.

Files: m4/*
Copyright: 2001 FSF
License: GPL-3+ with Bison exception

Files: odd/*
Copyright: 2001 FSF
License: GPL-2 with house exception

License: GPL-2+
 See /usr/share/common-licenses/GPL-2.
`

func TestDebian(t *testing.T) {
	var refs []Named
	ref := func(n Named) string {
		refs = append(refs, n)
		return "LicenseRef-x"
	}
	got, ok := Debian(copyright, ref)
	const want = "(LGPL-2.1-or-later OR BSD-3-Clause) AND MIT AND GPL-2.0-or-later AND GPL-3.0-or-later WITH Bison-exception-2.2 AND LicenseRef-x"
	if !ok || got != want {
		t.Errorf("got  %s %v\nwant %s", got, ok, want)
	}
	if len(refs) != 2 || refs[0] != (Named{"public-domain", "Nobody claims\n\nanything."}) || refs[1] != (Named{"GPL-2 with house exception", ""}) {
		t.Errorf("others: %q", refs)
	}
	if got, ok := Debian("This package was debianized by somebody.\nLicense: GPL\n", ref); ok {
		t.Errorf("free text is %s", got)
	}
}

func TestAnd(t *testing.T) {
	for want, terms := range map[string][]string{
		"A":                           {"A"},
		"A OR B":                      {"A OR B"},
		"(A OR B) AND C":              {"A OR B", "C"},
		"((A AND B) OR C) AND D":      {"(A AND B) OR C", "D"},
		"(A OR B) AND (C OR D) AND E": {"(A OR B) AND (C OR D)", "E"},
	} {
		if got := And(terms); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestIdentifier(t *testing.T) {
	for name, want := range map[string]string{
		"GPL-2": "GPL-2.0-only", "GPL-2.0+": "GPL-2.0-or-later", "GPLv3+": "GPL-3.0-or-later", "LGPL-2.1": "LGPL-2.1-only",
		"lgpl-2.0-or-later": "LGPL-2.0-or-later", "GFDL-1.3+": "GFDL-1.3-or-later", "Expat": "MIT", "zlib": "Zlib",
		"GPL": "", "GPL-2.5": "", "BSD": "", "public-domain": "", "LGPL-1": "",
	} {
		if got, _ := identifier(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// Every name that can come out is one of SPDX: Debian's copy of the list is
// the judge.
func TestNamesAreThoseOfSPDX(t *testing.T) {
	var known, all []string
	for _, list := range []string{"spdx-license-ids", "spdx-exceptions"} {
		data, err := os.ReadFile("/usr/share/nodejs/" + list + "/index.json")
		if err != nil {
			t.Skipf("node-%s is not installed", list)
		}
		var names []string
		if err := json.Unmarshal(data, &names); err != nil {
			t.Fatal(err)
		}
		known = append(known, names...)
	}
	for _, id := range exceptions {
		all = append(all, id)
	}
	for _, id := range names {
		all = append(all, strings.Split(id, " OR ")...)
	}
	for id := range gnuVersions {
		all = append(all, id+"-only", id+"-or-later")
	}
	for _, s := range signs {
		all = append(all, s.id)
	}
	for _, id := range all {
		if !slices.Contains(known, id) {
			t.Errorf("%s is not on the licence list of SPDX", id)
		}
	}
}

func TestText(t *testing.T) {
	const mit = "Permission is hereby granted, free of charge, to any person\nobtaining a copy of this software … The above copyright notice and this\npermission notice shall be included in all copies"
	const bsd = "Redistribution and use in source and binary forms, with or without\nmodification … must retain the above copyright notice,"
	for _, test := range []struct{ name, text, want string }{
		{"MIT", mit, "MIT"},
		{"in a comment", strings.ReplaceAll("// "+mit, "\n", "\n// "), "MIT"},
		{"two clauses", bsd, "BSD-2-Clause"},
		{"three clauses", bsd + " may be used to endorse or promote products derived from this software", "BSD-3-Clause"},
		{"two texts", mit + "\n\n" + bsd, "BSD-2-Clause MIT"},
		{"Apache", "Apache License\n   Version 2.0, January 2004 … 3. Grant of Patent License.", "Apache-2.0"},
		{"something else", "Do what you like.", ""},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.Join(Text(test.text), " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Whatever the file says, what comes out is an expression with balanced
// brackets and without empty terms.
func FuzzDebian(f *testing.F) {
	f.Add(copyright)
	f.Add("Format: copyright-format\nFiles: *\nLicense: , or and with,\n")
	word := regexp.MustCompile(`^[A-Za-z0-9.-]+$`)
	f.Fuzz(func(t *testing.T, file string) {
		got, ok := Debian(file, func(Named) string { return "LicenseRef-x" })
		if !ok {
			return
		}
		if strings.Count(got, "(") != strings.Count(got, ")") {
			t.Errorf("brackets in %q", got)
		}
		term := true
		for _, w := range strings.Fields(strings.NewReplacer("(", "", ")", "").Replace(got)) {
			operator := w == "AND" || w == "OR" || w == "WITH"
			if operator == term || !word.MatchString(w) {
				t.Fatalf("%q is no expression", got)
			}
			term = !term
		}
		if term {
			t.Errorf("%q ends with an operator", got)
		}
	})
}
