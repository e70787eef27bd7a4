package licence

import (
	"regexp"
	"strings"
)

// names are those of Debian's copyright format, section 7.1, and others that
// are usual, in lower case. What means several texts ("BSD", "public-domain")
// is not here.
var names = map[string]string{
	"0bsd":                 "0BSD",
	"apache-2":             "Apache-2.0",
	"apache-2.0":           "Apache-2.0",
	"artistic":             "Artistic-1.0",
	"artistic-2.0":         "Artistic-2.0",
	"boost-1.0":            "BSL-1.0",
	"bsl-1.0":              "BSL-1.0",
	"bsd-1-clause":         "BSD-1-Clause",
	"bsd-2-clause":         "BSD-2-Clause",
	"bsd-3-clause":         "BSD-3-Clause",
	"bsd-4-clause":         "BSD-4-Clause",
	"bsd-4-clause-uc":      "BSD-4-Clause-UC",
	"cc0":                  "CC0-1.0",
	"cc0-1.0":              "CC0-1.0",
	"cc-by-3.0":            "CC-BY-3.0",
	"cc-by-4.0":            "CC-BY-4.0",
	"cc-by-sa-3.0":         "CC-BY-SA-3.0",
	"cc-by-sa-4.0":         "CC-BY-SA-4.0",
	"curl":                 "curl",
	"expat":                "MIT",
	"gpl-2+-or-x11":        "GPL-2.0-or-later OR X11",
	"fsfap":                "FSFAP",
	"fsful":                "FSFUL",
	"fsfullr":              "FSFULLR",
	"gfdl-niv-1.3":         "GFDL-1.3-no-invariants-only",
	"gfdl-niv-1.3+":        "GFDL-1.3-no-invariants-or-later",
	"gfdl-1.3-niv":         "GFDL-1.3-no-invariants-only",
	"isc":                  "ISC",
	"mit":                  "MIT",
	"mpl-1.1":              "MPL-1.1",
	"mpl-2.0":              "MPL-2.0",
	"ofl-1.1":              "OFL-1.1",
	"openssl":              "OpenSSL",
	"psf-2":                "PSF-2.0",
	"unicode-dfs-2016":     "Unicode-DFS-2016",
	"unlicense":            "Unlicense",
	"x11":                  "X11",
	"zlib":                 "Zlib",
	"bsd-2-clause-freebsd": "BSD-2-Clause",
	"bsd-2-clause-netbsd":  "BSD-2-Clause",
}

// exceptions stand behind "with".
var exceptions = map[string]string{
	"libtool exception":            "Libtool-exception",
	"bison exception":              "Bison-exception-2.2",
	"font exception":               "Font-exception-2.0",
	"classpath exception":          "Classpath-exception-2.0",
	"gcc exception":                "GCC-exception-3.1",
	"linux-syscall-note":           "Linux-syscall-note",
	"linux syscall note":           "Linux-syscall-note",
	"linux-syscall-exception":      "Linux-syscall-note",
	"linux syscall exception":      "Linux-syscall-note",
	"syscall-note exception":       "Linux-syscall-note",
	"autoconf-2.0~archive":         "Autoconf-exception-2.0",
	"libtool-exception":            "Libtool-exception",
	"bison-exception":              "Bison-exception-2.2",
	"gcc-exception-3.1":            "GCC-exception-3.1",
	"gcc runtime exception":        "GCC-exception-3.1",
	"linux-syscall-note-exception": "Linux-syscall-note",
}

// gnu is a licence of the GNU project with its version: GPL-2+, LGPL-2.1,
// GPL-3.0-or-later, GFDL-1.2+.
var gnu = regexp.MustCompile(`^(a?gpl|lgpl|gfdl)-?v?([1-3])(\.[0-3])?(?:\.0)?(\+|-only|-or-later)?$`)

// identifier gives the SPDX name of one licence.
func identifier(name string) (string, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	if id, ok := names[name]; ok {
		return id, true
	}
	m := gnu.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	version := m[2] + m[3]
	if m[3] == "" {
		version += ".0"
	}
	id := strings.ToUpper(m[1]) + "-" + version
	if !gnuVersions[id] {
		return "", false
	}
	if m[4] == "+" || m[4] == "-or-later" {
		return id + "-or-later", true
	}
	return id + "-only", true
}

var gnuVersions = map[string]bool{
	"GPL-1.0": true, "GPL-2.0": true, "GPL-3.0": true, "LGPL-2.0": true, "LGPL-2.1": true, "LGPL-3.0": true,
	"AGPL-1.0": true, "AGPL-3.0": true, "GFDL-1.1": true, "GFDL-1.2": true, "GFDL-1.3": true,
}
