package modules

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// index is what the files in lib/modules/VERSION say. The aliases are read
// when first needed: modprobe runs for each of the kernel's own requests, and
// often these name a module.
type index struct {
	files    map[string]file     // by module name
	softdeps map[string][]string // by module name
	builtin  map[string]bool     // by module name

	aliases func() (*aliasTable, error)
}

// file is where a module is and what must be loaded before it.
type file struct {
	path    string   // below lib/modules/VERSION
	depends []string // paths, what comes first last
}

// readIndex reads the index in dir, lib/modules/VERSION.
func readIndex(dir string) (*index, error) {
	x := &index{
		files:    make(map[string]file),
		softdeps: make(map[string][]string),
		builtin:  make(map[string]bool),
		aliases: sync.OnceValues(func() (*aliasTable, error) {
			text, err := os.ReadFile(filepath.Join(dir, "modules.alias"))
			return parseAliases(string(text)), err
		}),
	}
	dep, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	x.parseDep(string(dep))
	softdeps, err := optional(filepath.Join(dir, "modules.softdep"))
	if err != nil {
		return nil, err
	}
	x.parseSoftdeps(string(softdeps))
	builtin, err := optional(filepath.Join(dir, "modules.builtin"))
	for line := range strings.FieldsSeq(string(builtin)) {
		x.builtin[name(line)] = true
	}
	return x, err
}

func (x *index) parseDep(text string) {
	for line := range strings.Lines(text) {
		path, depends, ok := strings.Cut(line, ":")
		if ok && !strings.HasPrefix(line, "#") {
			x.files[name(path)] = file{path, strings.Fields(depends)}
		}
	}
}

func (x *index) parseSoftdeps(text string) {
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "softdep ")
		if module, deps, found := strings.Cut(rest, " "); ok && found {
			module = underscored(module)
			x.softdeps[module] = append(x.softdeps[module], deps)
		}
	}
}

func parseAliases(text string) *aliasTable {
	t := new(aliasTable)
	for line := range strings.Lines(text) {
		// The pattern may hold spaces (dmi:), a module's name does not.
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "alias ")
		if i := strings.LastIndexByte(rest, ' '); ok && i > 0 {
			t.add(rest[:i], underscored(rest[i+1:]))
		}
	}
	return t
}

// resolve returns the names of the modules that a name or an alias means.
func (x *index) resolve(wanted string, allowed func(module string) bool) ([]string, error) {
	if n := underscored(wanted); x.files[n].path != "" || x.builtin[n] {
		return []string{n}, nil
	}
	table, err := x.aliases()
	if err != nil {
		return nil, err
	}
	found := table.find(wanted)
	if len(found) == 0 {
		return nil, ErrNotFound
	}
	return slices.DeleteFunc(found, func(m string) bool { return !allowed(m) }), nil
}

// order returns what must be loaded for module, in this order, itself
// included: soft dependencies and dependencies before it, and after it what
// its post softdeps name. Each of these brings its own.
func (x *index) order(module string, allowed func(module string) bool) []file {
	var order []file
	seen := make(map[string]bool)
	var visit func(n string)
	visitAll := func(names []string) {
		for _, n := range names {
			modules, _ := x.resolve(n, allowed) // a soft dependency need not exist
			for _, m := range modules {
				visit(m)
			}
		}
	}
	visit = func(n string) {
		f, ok := x.files[n]
		if !ok || seen[n] {
			return
		}
		seen[n] = true
		var pre, post []string
		for _, s := range x.softdeps[n] {
			before, after := softdep(s)
			pre, post = append(pre, before...), append(post, after...)
		}
		visitAll(pre)
		for _, d := range slices.Backward(f.depends) {
			visit(name(d))
		}
		order = append(order, f)
		visitAll(post)
	}
	visit(module)
	return order
}

// builtinAlias reports whether a driver that is built into the kernel serves
// wanted. modules.builtin.modinfo holds name.key=value, each ended by a zero
// byte.
func builtinAlias(dir, wanted string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "modules.builtin.modinfo"))
	if err != nil {
		return false
	}
	for entry := range bytes.SplitSeq(data, []byte{0}) {
		if _, pattern, ok := strings.Cut(string(entry), ".alias="); ok && match(pattern, wanted) {
			return true
		}
	}
	return false
}
