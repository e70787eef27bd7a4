// Package doppel_test holds the rules of the whole tree: which package may see
// which, and that every package says what it is.
package doppel_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "doppel.live/"

// picture is the order of the packages: a package sees only packages in lower
// lines. A name stands for everything below it that is not named itself.
const picture = `
build
uroot-cmds
initramfs iso internal/vm/acceptance
internal/vm/sample
internal/vm internal/vm/lab internal/bench
internal/tui internal/live
internal/live/place
internal/live/modules internal/live/uevent internal/live/console internal/live/network internal/live/cmdline
internal/engine internal/clonezilla internal/stick
internal/plan
internal/inventory
internal/filesystem/probe internal/partclone internal/qcow2
internal/filesystem/ext internal/filesystem/xfs internal/filesystem/btrfs internal/filesystem/exfat internal/filesystem/fat internal/filesystem/ntfs internal/filesystem/f2fs internal/filesystem/hfsplus internal/filesystem/apfs internal/filesystem/ufs internal/partition internal/blockdev internal/store/open
internal/store/dir internal/store/memory internal/store/sftp internal/store/http internal/store/storetest internal/rescue
internal/filesystem internal/image internal/store internal/store/remote internal/store/ahead
internal/record
internal/extent internal/progress internal/version internal/pack
`

// ranks gives the line of each name of the picture, counted from below.
func ranks() map[string]int {
	lines := strings.Split(strings.TrimSpace(picture), "\n")
	rank := map[string]int{}
	for i, line := range lines {
		for _, name := range strings.Fields(line) {
			rank[name] = len(lines) - i
		}
	}
	return rank
}

// place finds the name of the picture that stands for a directory.
func place(rank map[string]int, dir string) (string, bool) {
	for name := dir; name != "."; name = path.Dir(name) {
		if _, ok := rank[name]; ok {
			return name, true
		}
	}
	return "", false
}

// packages parses the Go files below the module's root, by directory.
func packages(t *testing.T, mode parser.Mode, visit func(dir string, file *ast.File, fset *token.FileSet)) {
	t.Helper()
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "out" || entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".") && name != ".") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || name == "layers_test.go" {
			return nil
		}
		file, err := parser.ParseFile(fset, name, nil, mode)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(filepath.Dir(name)), file, fset)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestLayers(t *testing.T) {
	rank := ranks()
	seen := 0
	packages(t, parser.ImportsOnly, func(dir string, file *ast.File, fset *token.FileSet) {
		from, ok := place(rank, dir)
		if !ok {
			t.Errorf("%s has no place in the picture", dir)
			return
		}
		if strings.HasSuffix(fset.Position(file.Pos()).Filename, "_test.go") {
			return // a test may use what it likes as a judge
		}
		for _, spec := range file.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			target, ours := strings.CutPrefix(target, module)
			if !ours {
				continue
			}
			seen++
			to, ok := place(rank, target)
			if ok && to != from && rank[to] >= rank[from] {
				t.Errorf("%s: %s (line %d) sees %s (line %d)", fset.Position(spec.Pos()), from, rank[from], to, rank[to])
			}
		}
	})
	if seen == 0 {
		t.Error("no import of our own was found: the test looks at the wrong place")
	}
}

func TestPackageComments(t *testing.T) {
	comment := map[string]string{}
	packages(t, parser.PackageClauseOnly|parser.ParseComments, func(dir string, file *ast.File, fset *token.FileSet) {
		if strings.HasSuffix(fset.Position(file.Pos()).Filename, "_test.go") {
			return
		}
		comment[dir] += file.Doc.Text()
		if name := file.Name.Name; name == "main" && strings.HasPrefix(dir, "internal/") {
			t.Errorf("%s: a main package below internal", dir)
		}
	})
	for dir, text := range comment {
		if len(strings.Fields(text)) < 8 {
			t.Errorf("%s: the package comment says %q: say what it holds, then what it does not do", dir, text)
		}
	}
}

// Every command runs the initialisation of every package (they are linked into
// one program), so none may have any.
func TestNoInitialisation(t *testing.T) {
	packages(t, parser.SkipObjectResolution, func(dir string, file *ast.File, fset *token.FileSet) {
		if !strings.HasPrefix(dir, "internal/") || strings.HasPrefix(dir, "internal/vm") {
			return
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: func init", fset.Position(f.Pos()))
			}
		}
		for _, spec := range file.Imports {
			if spec.Path.Value == `"C"` || slices.Contains([]string{`"text/template"`, `"html/template"`}, spec.Path.Value) {
				t.Errorf("%s: %s is not for packages of the live system", fset.Position(spec.Pos()), spec.Path.Value)
			}
		}
	})
}
