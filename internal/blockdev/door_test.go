package blockdev

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Folders whose code opens files for writing that are never devices, and why.
var otherWriters = map[string]string{
	"build":                         "the builder's own output",
	"initramfs":                     "the builder's own output",
	"iso":                           "the builder's own output",
	"internal/vm":                   "disks of test machines",
	"internal/filesystem/fstest":    "volumes of tests, in files",
	"internal/live":                 "consoles, /proc and /sys of the live system",
	"internal/tui":                  "the terminal and the logs of jobs",
	"uroot-cmds/menu":               "the terminal it runs on",
	"uroot-cmds/network":            "its state below /run",
	"uroot-cmds/stick:note":         "its note below /run",
	"uroot-cmds/hook:run":           "the log of hooks",
	"uroot-cmds/sshd:serve":         "its state below /run",
	"internal/store/sftp:record":    "the file of known keys of servers",
	"internal/store/storetest":      "a server for tests",
	"internal/rescue:save":          "the copy of a map in the folder of a job's log",
	"uroot-cmds/doppel:end":         "the log of a job",
	"uroot-cmds/doppel:holdMachine": "the lock of the live system below /run",
	"uroot-cmds/doppel:credentials": "a file of mode 0600 below /run",
	"uroot-cmds/doppel:createFile":  "a new file, which nothing of that name may stand in the way of",
}

// There is one door to a device for writing, OpenTarget, and a narrow one to the
// stick that the machine was started from, OpenOwnMedium. This test finds calls
// that open anything for writing: outside this package only in folders that
// never see a device, and in this package only in openWritable (of both doors), openDirect (what that opened), keep and openRecord.
func TestNoSecondDoorForWriting(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if e.IsDir() && (e.Name() == "out" || e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".") && rel != ".") {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for _, f := range writingFunctions(t, path, nil) {
			if folder := filepath.Dir(rel); !allowedWriter(folder, f) {
				t.Errorf("%s: %s opens for writing: devices are opened by blockdev.OpenTarget only", rel, f)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func allowedWriter(folder, function string) bool {
	if folder == "internal/blockdev" {
		return slices.Contains([]string{"openWritable", "openDirect", "keep", "openRecord"}, function)
	}
	if otherWriters[folder+":"+function] != "" {
		return true
	}
	for ; folder != "."; folder = filepath.Dir(folder) {
		if otherWriters[folder] != "" {
			return true
		}
	}
	return false
}

// openers are functions that open a path, by package.
var openers = map[string][]string{
	"os":      {"OpenFile", "Create", "WriteFile", "CreateTemp"},
	"unix":    {"Open", "Openat", "Openat2", "Creat"},
	"syscall": {"Open", "Openat", "Creat"},
}

// writingFunctions gives the functions of a file that open something in a way
// that is not plainly for reading.
func writingFunctions(t *testing.T, path string, src any) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range file.Decls {
		name := "a package variable"
		if f, ok := d.(*ast.FuncDecl); ok {
			name = f.Name.Name
		}
		ast.Inspect(d, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && opensForWriting(call) && !slices.Contains(found, name) {
				found = append(found, name)
			}
			return true
		})
	}
	return found
}

// opensForWriting says whether a call opens a path with flags other than those
// of reading. Flags that are not written out count as writing.
func opensForWriting(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok || !slices.Contains(openers[pkg.Name], sel.Sel.Name) {
		return false
	}
	flags := 1
	switch sel.Sel.Name {
	case "Openat":
		flags = 2
	case "OpenFile", "Open":
	default:
		return true
	}
	if len(call.Args) <= flags {
		return true
	}
	reading := true
	ast.Inspect(call.Args[flags], func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !slices.Contains([]string{
			"os", "unix", "syscall", "O_RDONLY", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_PATH", "O_EXCL", "O_DIRECT", "O_NOCTTY",
		}, id.Name) {
			reading = false
		}
		return true
	})
	return !reading
}

func TestTheDoorTestSeesDoors(t *testing.T) {
	for call, want := range map[string]bool{
		`os.OpenFile(p, os.O_RDWR, 0)`:                   true,
		`os.OpenFile(p, os.O_RDONLY|os.O_WRONLY, 0)`:     true,
		`os.OpenFile(p, flags, 0)`:                       true,
		`os.OpenFile(p, os.O_RDONLY|unix.O_NONBLOCK, 0)`: false,
		`unix.Open(p, unix.O_RDWR|unix.O_EXCL, 0)`:       true,
		`unix.Openat(d, p, unix.O_PATH, 0)`:              false,
		`os.Create(p)`:                                   true,
		`os.Open(p)`:                                     false,
	} {
		got := writingFunctions(t, "x.go", "package x\nfunc f() { "+call+" }")
		if (len(got) == 1) != want {
			t.Errorf("%s: %v", call, got)
		}
	}
}
