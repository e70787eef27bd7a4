package modules

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// A Module is one file of a module tree.
type Module struct {
	Path string // below lib/modules/VERSION: kernel/fs/xfs/xfs.ko.xz
	Size int64  // bytes, as stored
	Info Info
}

// Name returns the module's name as the kernel writes it, with underscores.
func (m *Module) Name() string { return name(m.Path) }

// A Tree is the modules of one kernel, and what they say of themselves.
type Tree struct {
	Modules []*Module // in the order of modules.order, then by path

	// Builtin holds the lines of modules.builtin, BuiltinInfo the bytes of
	// modules.builtin.modinfo: what is not a module but can be asked for.
	Builtin     []string
	BuiltinInfo []byte
}

// Scan reads the module tree in dir, a kernel's lib/modules/VERSION, on all
// processors: a distribution's kernel takes half a minute, so callers keep the
// result.
func Scan(dir string) (*Tree, error) {
	t, err := list(dir)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(t.Modules))
	next := make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				m := t.Modules[i]
				var err error
				if m.Info, err = readFile(filepath.Join(dir, m.Path)); err != nil {
					errs[i] = fmt.Errorf("%s: %w", m.Path, err)
				}
			}
		})
	}
	for i := range t.Modules {
		next <- i
	}
	close(next)
	wg.Wait()
	return t, errors.Join(errs...)
}

// list finds the modules in dir without opening them.
func list(dir string) (*Tree, error) {
	t := new(Tree)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !(strings.HasSuffix(p, ".ko") || strings.HasSuffix(p, ".ko.xz")) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		t.Modules = append(t.Modules, &Module{Path: rel, Size: info.Size()})
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(t.Modules) == 0 {
		return nil, fmt.Errorf("%s holds no modules", dir)
	}
	order, err := optional(filepath.Join(dir, "modules.order"))
	if err != nil {
		return nil, err
	}
	t.sort(order)
	builtin, err := optional(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	t.Builtin = strings.Fields(string(builtin))
	t.BuiltinInfo, err = optional(filepath.Join(dir, "modules.builtin.modinfo"))
	return t, err
}

// optional reads a file that need not exist.
func optional(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// sort puts the modules in the order that the kernel's build gave them: where
// two serve a device, the first is preferred.
func (t *Tree) sort(order []byte) {
	place := make(map[string]int)
	for line := range bytes.Lines(order) {
		p := strings.TrimSuffix(strings.TrimSpace(string(line)), ".o")
		place[strings.TrimSuffix(p, ".ko")] = len(place) + 1
	}
	at := func(m *Module) int {
		if n := place[m.Path[:strings.LastIndex(m.Path, ".ko")]]; n > 0 {
			return n
		}
		return len(place) + 1
	}
	slices.SortFunc(t.Modules, func(a, b *Module) int {
		if d := at(a) - at(b); d != 0 {
			return d
		}
		return strings.Compare(a.Path, b.Path)
	})
}

// Subset returns a tree of only the modules that keep says yes to.
func (t *Tree) Subset(keep func(*Module) bool) *Tree {
	s := &Tree{Builtin: t.Builtin, BuiltinInfo: t.BuiltinInfo}
	for _, m := range t.Modules {
		if keep(m) {
			s.Modules = append(s.Modules, m)
		}
	}
	return s
}

// names returns the tree's modules by name.
func (t *Tree) names() map[string]*Module {
	byName := make(map[string]*Module, len(t.Modules))
	for _, m := range t.Modules {
		byName[m.Name()] = m
	}
	return byName
}

// aliases returns the table of all aliases.
func (t *Tree) aliases() *aliasTable {
	table := new(aliasTable)
	for _, m := range t.Modules {
		for _, a := range m.Info.Aliases {
			table.add(a, m.Name())
		}
	}
	return table
}

// Close returns the modules of t that those chosen need: what they depend on,
// and the soft and weak dependencies that exist, and what these need in turn.
// A module that depends on one that is missing is an error: the kernel would
// refuse it.
func (t *Tree) Close(chosen []*Module) (map[*Module]bool, error) {
	byName, aliases := t.names(), t.aliases()
	closed := make(map[*Module]bool)
	var errs []error
	queue := slices.Clone(chosen)
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		if closed[m] {
			continue
		}
		closed[m] = true
		for _, d := range m.Info.Depends {
			if byName[d] == nil {
				errs = append(errs, fmt.Errorf("%s depends on module %s, which is not there", m.Path, d))
				continue
			}
			queue = append(queue, byName[d])
		}
		for _, s := range m.Info.soft() {
			if byName[underscored(s)] != nil {
				queue = append(queue, byName[underscored(s)])
				continue
			}
			for _, n := range aliases.find(s) {
				queue = append(queue, byName[n])
			}
		}
	}
	return closed, errors.Join(errs...)
}

// soft returns all names that are wanted beside the module but not needed.
func (i Info) soft() []string {
	soft := slices.Clone(i.Weakdeps)
	for _, s := range i.Softdeps {
		pre, post := softdep(s)
		soft = append(append(soft, pre...), post...)
	}
	return soft
}
