// Package debian reads Debian's package lists, chooses packages with the
// libraries they depend on, and fetches and unpacks them through apt and
// dpkg-deb. It does not install anything, and does not check signatures: apt
// does, for the lists and through them for every package.
package debian

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Package is one version of a binary package, as its stanza in a Packages list
// says (Debian Policy 5.3).
type Package struct {
	Name, Version string
	Architecture  string
	Source        string // source package, with "(version)" where it differs; empty: Name
	Section       string // "libs", "non-free-firmware/kernel"
	Filename      string // below the mirror
	SHA256        string // hex
	Size          int64  // bytes of the .deb

	Depends  [][]string // Pre-Depends and Depends: each one of several names
	Provides []string
}

// String returns what a lock file says of the package.
func (p *Package) String() string { return p.Name + "=" + p.Version + "=" + p.SHA256 }

// SourcePackage returns name and version of what the package was built from.
func (p *Package) SourcePackage() (name, version string) {
	name, version, found := strings.Cut(p.Source, " ")
	if version = strings.Trim(version, "()"); !found {
		version = p.Version
	}
	if name == "" {
		name = p.Name
	}
	return name, version
}

// File returns the name that apt gives to the downloaded package.
func (p *Package) File() string {
	return p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + "_" + p.Architecture + ".deb"
}

// Archive is the newest version of every package of some lists.
type Archive struct {
	packages  map[string]*Package
	providers map[string][]string // virtual package: names, sorted
}

// NewArchive returns an Archive without packages.
func NewArchive() *Archive {
	return &Archive{packages: map[string]*Package{}, providers: map[string][]string{}}
}

// Package returns the newest version of a package, or nil.
func (a *Archive) Package(name string) *Package { return a.packages[name] }

// Read adds the packages of a list.
func (a *Archive) Read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20) // some Provides are long
	p := &Package{}
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			a.add(p)
			p = &Package{}
			continue
		}
		if err := p.set(line); err != nil {
			return fmt.Errorf("package list: %s: %w", p.Name, err)
		}
	}
	a.add(p)
	return lines.Err()
}

// add keeps a package if it is the newest of its name.
func (a *Archive) add(p *Package) {
	if p.Name == "" {
		return
	}
	if old := a.packages[p.Name]; old != nil && Compare(old.Version, p.Version) >= 0 {
		return
	}
	a.packages[p.Name] = p
	for _, v := range p.Provides {
		if !slices.Contains(a.providers[v], p.Name) {
			a.providers[v] = append(a.providers[v], p.Name)
			slices.Sort(a.providers[v])
		}
	}
}

// set takes a line of a stanza. Lines that continue a field belong to fields
// that are not kept.
func (p *Package) set(line string) error {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch field {
	case "Package":
		p.Name = value
	case "Version":
		p.Version = value
	case "Architecture":
		p.Architecture = value
	case "Source":
		p.Source = value
	case "Section":
		p.Section = value
	case "Filename":
		p.Filename = value
	case "SHA256":
		p.SHA256 = value
	case "Size":
		size, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("size %q", value)
		}
		p.Size = size
	case "Depends", "Pre-Depends":
		p.Depends = append(p.Depends, relations(value)...)
	case "Provides":
		for _, r := range relations(value) {
			p.Provides = append(p.Provides, r...)
		}
	}
	return nil
}

// relations returns the names in "a (>= 1), b:any | c [amd64]": [[a] [b c]].
func relations(value string) [][]string {
	var all [][]string
	for relation := range strings.SplitSeq(value, ",") {
		var names []string
		for alternative := range strings.SplitSeq(relation, "|") {
			name := strings.TrimSpace(alternative)
			if i := strings.IndexAny(name, " (:["); i >= 0 {
				name = name[:i]
			}
			if name != "" {
				names = append(names, name)
			}
		}
		if names != nil {
			all = append(all, names)
		}
	}
	return all
}
