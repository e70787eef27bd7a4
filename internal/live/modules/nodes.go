package modules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// node is one line of modules.devname: a device that can be there before its
// module is.
type node struct {
	name         string // below /dev: mapper/control
	mode         uint32 // S_IFCHR or S_IFBLK
	major, minor uint32
}

// parseNodes reads modules.devname: "dm_mod mapper/control c10:236".
func parseNodes(text string) []node {
	var nodes []node
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] == "#" || !filepath.IsLocal(f[1]) {
			continue
		}
		n := node{name: f[1], mode: unix.S_IFCHR}
		var kind byte
		if _, err := fmt.Sscanf(f[2], "%c%d:%d", &kind, &n.major, &n.minor); err != nil {
			continue
		}
		if kind == 'b' {
			n.mode = unix.S_IFBLK
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// MakeNodes makes the devices below dev, the machine's /dev, whose modules are
// loaded when somebody opens them: loop-control, mapper/control and the like.
// Those that are there stay.
func (l *Loader) MakeNodes(dev string) error {
	text, err := optional(filepath.Join(l.dir, "modules.devname"))
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range parseNodes(string(text)) {
		path := filepath.Join(dev, n.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			errs = append(errs, err)
			continue
		}
		err := unix.Mknod(path, n.mode|0o600, int(unix.Mkdev(n.major, n.minor)))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, fmt.Errorf("making %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}
