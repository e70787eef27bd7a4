package initramfs

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"doppel.live/internal/live/modules"
)

// matches reports whether a module's path below lib/modules/VERSION fits a
// pattern of the list.
func matches(pattern, modulePath string) bool {
	p, ok := strings.CutPrefix(modulePath, "kernel/")
	if !ok {
		return false
	}
	if strings.HasSuffix(pattern, "/") {
		return strings.HasPrefix(p, pattern)
	}
	found, err := path.Match(pattern, p[:strings.LastIndex(p, ".ko")])
	return err == nil && found
}

// needed is the class of modules that no line of the list names.
const needed = "what these depend on"

// choose returns a tree of the modules of the list and all that they need, and
// the class of each. A line that fits no module is an error: the kernel's
// package has changed, and a driver would be missed silently.
func choose(all *modules.Tree) (*modules.Tree, map[*modules.Module]string, error) {
	class := make(map[*modules.Module]string)
	var chosen []*modules.Module
	var errs []error
	for _, line := range moduleList {
		found := false
		for _, m := range all.Modules {
			if !matches(line.pattern, m.Path) {
				continue
			}
			found = true
			if class[m] == "" && !excepted(m.Path) {
				class[m] = line.class
				chosen = append(chosen, m)
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("modules of class %s: nothing fits %s", line.class, line.pattern))
		}
	}
	closed, err := all.Close(chosen)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, nil, err
	}
	for m := range closed {
		if class[m] == "" {
			class[m] = needed
		}
	}
	return all.Subset(func(m *modules.Module) bool { return closed[m] }), class, nil
}

func excepted(modulePath string) bool {
	for _, pattern := range moduleExceptions {
		if matches(pattern, modulePath) {
			return true
		}
	}
	return false
}

// moduleTree finds lib/modules/VERSION below tree; version may be empty where
// there is only one.
func moduleTree(tree, version string) (dir string, err error) {
	if version == "" {
		version = "*"
	}
	for _, lib := range []string{"usr/lib/modules", "lib/modules"} {
		found, err := filepath.Glob(filepath.Join(tree, lib, version))
		if err != nil {
			return "", err
		}
		if len(found) > 1 {
			return "", fmt.Errorf("%s/%s holds %d kernels' modules: name one", tree, lib, len(found))
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("no kernel modules %s below %s", version, tree)
}

// scan reads what the modules in dir say of themselves. That unpacks all of
// them, so the result is kept in the cache, under the names, sizes and times
// of the files.
func scan(dir string, c cache) (*modules.Tree, error) {
	hash := sha256.New()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(hash, strings.TrimPrefix(p, dir), info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		return nil, err
	}
	name, err := c.file("modules-1", hash.Sum(nil), func(w io.Writer) error {
		tree, err := modules.Scan(dir)
		if err != nil {
			return err
		}
		return json.NewEncoder(w).Encode(tree)
	})
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	tree := new(modules.Tree)
	return tree, json.Unmarshal(data, tree)
}
