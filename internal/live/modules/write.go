package modules

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A File is one text of the index, to be written beside the modules.
type File struct {
	Name string
	Data []byte
}

// Index returns the files that depmod would write for t.
func (t *Tree) Index() []File {
	files := []File{
		{"modules.dep", t.depText()},
		{"modules.alias", t.aliasText()},
		{"modules.softdep", t.softdepText()},
		{"modules.devname", t.devnameText()},
		{"modules.builtin", []byte(strings.Join(append(slices.Clone(t.Builtin), ""), "\n"))},
	}
	if len(t.BuiltinInfo) > 0 {
		files = append(files, File{"modules.builtin.modinfo", t.BuiltinInfo})
	}
	return files
}

// depText writes a line for each module: its path, a colon, and the paths of
// all it depends on, the last one to be loaded first.
func (t *Tree) depText() []byte {
	byName := t.names()
	var b bytes.Buffer
	for _, m := range t.Modules {
		b.WriteString(m.Path + ":")
		for _, d := range slices.Backward(loadOrder(m, byName)) {
			b.WriteString(" " + d.Path)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// loadOrder returns all that m depends on, what comes first first.
func loadOrder(m *Module, byName map[string]*Module) []*Module {
	var order []*Module
	seen := map[*Module]bool{m: true}
	var visit func(*Module)
	visit = func(m *Module) {
		for _, name := range m.Info.Depends {
			d := byName[name]
			if d == nil || seen[d] {
				continue
			}
			seen[d] = true
			visit(d)
			order = append(order, d)
		}
	}
	visit(m)
	return order
}

func (t *Tree) aliasText() []byte {
	b := bytes.NewBufferString("# Aliases extracted from modules themselves.\n")
	for _, m := range t.Modules {
		for _, a := range m.Info.Aliases {
			fmt.Fprintf(b, "alias %s %s\n", a, m.Name())
		}
	}
	return b.Bytes()
}

func (t *Tree) softdepText() []byte {
	b := bytes.NewBufferString("# Soft dependencies extracted from modules themselves.\n")
	for _, m := range t.Modules {
		for _, s := range m.Info.Softdeps {
			fmt.Fprintf(b, "softdep %s %s\n", m.Name(), s)
		}
	}
	return b.Bytes()
}

// deviceNumber is the alias of a module that makes a device node with a fixed
// number: char-major-10-237.
var deviceNumber = regexp.MustCompile(`^(char|block)-major-(\d+)-(\d+)$`)

// devnameText lists the device nodes that can be made before their module is
// loaded, so that opening one loads it: "loop loop-control c10:237".
func (t *Tree) devnameText() []byte {
	b := bytes.NewBufferString("# Device nodes to trigger on-demand module loading.\n")
	for _, m := range t.Modules {
		var node, number string
		for _, a := range m.Info.Aliases {
			if n, ok := strings.CutPrefix(a, "devname:"); ok {
				node = n
			}
			if f := deviceNumber.FindStringSubmatch(a); f != nil {
				number = fmt.Sprintf("%c%s:%s", f[1][0], f[2], f[3])
			}
		}
		if node != "" && number != "" {
			fmt.Fprintf(b, "%s %s %s\n", m.Name(), node, number)
		}
	}
	return b.Bytes()
}
