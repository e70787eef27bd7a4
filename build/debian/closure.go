package debian

import (
	"fmt"
	"slices"
	"strings"
)

// Closure returns the wanted packages with the libraries that they depend on,
// by name. Other dependencies are left out: programs, services and whatever
// else belongs to an installed system. What of the libraries is needed shows
// only in the programs' own headers.
func (a *Archive) Closure(wanted []string) ([]*Package, error) {
	chosen := map[string]*Package{}
	var missing []string
	for _, name := range wanted {
		p := a.packages[name]
		if p == nil {
			missing = append(missing, name)
			continue
		}
		a.choose(p, chosen)
	}
	if missing != nil {
		return nil, fmt.Errorf("not in the package lists: %s", strings.Join(missing, " "))
	}
	list := make([]*Package, 0, len(chosen))
	for _, p := range chosen {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *Package) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (a *Archive) choose(p *Package, chosen map[string]*Package) {
	if chosen[p.Name] != nil {
		return
	}
	chosen[p.Name] = p
	for _, alternatives := range p.Depends {
		if d := a.first(alternatives); d != nil && d.library() {
			a.choose(d, chosen)
		}
	}
}

// first returns the first alternative that exists, as a package or provided
// by one.
func (a *Archive) first(alternatives []string) *Package {
	for _, name := range alternatives {
		if p := a.packages[name]; p != nil {
			return p
		}
		if providers := a.providers[name]; providers != nil {
			return a.packages[providers[0]]
		}
	}
	return nil
}

// library reports whether a package holds shared libraries and is not the
// run-time of a language or a module for logins.
func (p *Package) library() bool {
	for _, prefix := range []string{"libpython", "libruby", "libperl", "libpam-"} {
		if strings.HasPrefix(p.Name, prefix) {
			return false
		}
	}
	return p.Section == "libs" || strings.HasPrefix(p.Name, "lib")
}
