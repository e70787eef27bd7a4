package modules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrNotFound says that no module has a name or alias.
var ErrNotFound = errors.New("no module of this name")

// A Loader loads modules of one tree into the running kernel. Its methods may
// be called from several goroutines.
type Loader struct {
	dir     string // lib/modules/VERSION
	sys     string // where sysfs is mounted
	index   *index
	barred  map[string]bool     // not loaded for an alias
	options map[string][]string // parameters from the kernel command line, by module

	insert func(path, params string) error // finit_module

	mu      sync.Mutex
	pending map[string]*attempt // by path, being loaded now
}

// attempt is one module on its way into the kernel.
type attempt struct {
	done chan struct{} // closed when err is set
	err  error
}

// Open returns a Loader for the running kernel's modules, those of
// /lib/modules/VERSION. It obeys the kernel command line: modprobe.blacklist=a,b
// and parameters written module.parameter=value.
func Open() (*Loader, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	cmdline, err := optional("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	return open(filepath.Join("/lib/modules", unix.ByteSliceToString(u.Release[:])), string(cmdline))
}

func open(dir, cmdline string) (*Loader, error) {
	x, err := readIndex(dir)
	if err != nil {
		return nil, err
	}
	l := &Loader{
		dir:     dir,
		sys:     "/sys",
		index:   x,
		barred:  make(map[string]bool),
		options: make(map[string][]string),
		insert:  finit,
		pending: make(map[string]*attempt),
	}
	for _, m := range blacklist {
		l.barred[m] = true
	}
	for _, word := range fields(cmdline) {
		key, value, _ := strings.Cut(word, "=")
		module, param, ok := strings.Cut(underscored(key), ".")
		switch {
		case key == "modprobe.blacklist":
			for m := range strings.SplitSeq(value, ",") {
				l.barred[underscored(m)] = true
			}
		case ok:
			l.options[module] = append(l.options[module], param+word[len(key):])
		}
	}
	return l, nil
}

// fields splits a kernel command line into words; double quotes keep spaces
// together, as in loop.note="a b".
func fields(cmdline string) []string {
	quoted := false
	return strings.FieldsFunc(strings.TrimSpace(cmdline), func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
}

// allowed reports whether a module may be loaded for an alias.
func (l *Loader) allowed(module string) bool { return !l.barred[module] }

// Load loads the module that name means, and before it what it depends on. A
// name is a module's name, or an alias such as pci:v00008086d… or fs-xfs, for
// which all modules that serve it are loaded, save those on the blacklist.
// Modules that are loaded already or built in are no error; a name that
// nothing serves is ErrNotFound. The parameters are those of the module named.
func (l *Loader) Load(name string, params ...string) error {
	modules, err := l.resolve(name)
	if err != nil {
		return err
	}
	loaded := 0
	var errs []error
	for _, m := range modules {
		if err := l.loadModule(m, params); err != nil {
			errs = append(errs, err)
			continue
		}
		loaded++
	}
	if loaded > 0 {
		return nil // as with several drivers for one cipher: one is enough
	}
	return errors.Join(errs...)
}

func (l *Loader) resolve(name string) ([]string, error) {
	modules, err := l.index.resolve(name, l.allowed)
	if errors.Is(err, ErrNotFound) && builtinAlias(l.dir, name) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return modules, nil
}

// Plan returns the files that Load would load for name, in this order, those
// that are loaded already included.
func (l *Loader) Plan(name string) ([]string, error) {
	modules, err := l.resolve(name)
	if err != nil {
		return nil, err
	}
	var paths []string
	seen := make(map[string]bool)
	for _, m := range modules {
		for _, f := range l.index.order(m, l.allowed) {
			if !seen[f.path] {
				seen[f.path] = true
				paths = append(paths, filepath.Join(l.dir, f.path))
			}
		}
	}
	return paths, nil
}

// loadModule loads one module and what it needs. A soft dependency that cannot
// be loaded is only told of when the module itself fails.
func (l *Loader) loadModule(module string, params []string) error {
	var causes []error
	for _, f := range l.index.order(module, l.allowed) {
		n := name(f.path)
		options := l.options[n]
		if n == module {
			options = append(options[:len(options):len(options)], params...)
		}
		err := l.once(f.path, strings.Join(options, " "))
		if err != nil {
			err = fmt.Errorf("module %s: %w", n, err)
		}
		if n == module {
			if err != nil {
				return errors.Join(append([]error{err}, causes...)...)
			}
		} else if err != nil {
			causes = append(causes, err)
		}
	}
	return nil
}

// once loads one file, unless it is loaded; who comes while it is being loaded
// waits for the same result. It waits for no other file, so that modules that
// name each other in softdeps cannot block.
func (l *Loader) once(path, params string) error {
	if l.live(name(path)) {
		return nil
	}
	l.mu.Lock()
	if a := l.pending[path]; a != nil {
		l.mu.Unlock()
		<-a.done
		return a.err
	}
	a := &attempt{done: make(chan struct{})}
	l.pending[path] = a
	l.mu.Unlock()

	a.err = l.insert(filepath.Join(l.dir, path), params)
	close(a.done)
	l.mu.Lock()
	delete(l.pending, path)
	l.mu.Unlock()
	return a.err
}

// live reports whether the kernel has the module.
func (l *Loader) live(module string) bool {
	state, err := os.ReadFile(filepath.Join(l.sys, "module", module, "initstate"))
	return err == nil && strings.TrimSpace(string(state)) == "live"
}

// finit gives the file of a module to the kernel, which unpacks .ko.xz itself.
func finit(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if strings.HasSuffix(path, ".xz") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	err = unix.FinitModule(int(f.Fd()), params, flags)
	switch {
	case err == nil || errors.Is(err, unix.EEXIST):
		return nil
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w (an unknown symbol or parameter; dmesg names it)", err)
	case errors.Is(err, unix.EKEYREJECTED):
		return fmt.Errorf("%w (its signature is missing or wrong)", err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w (its hardware is not in this machine)", err)
	}
	return err
}

// Remove takes a module out of the kernel; one that is in use stays and is an
// error.
func (l *Loader) Remove(name string) error {
	modules, err := l.resolve(name)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range modules {
		if err := unix.DeleteModule(m, unix.O_NONBLOCK); err != nil {
			errs = append(errs, fmt.Errorf("module %s: %w", m, err))
		}
	}
	return errors.Join(errs...)
}
