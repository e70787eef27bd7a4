package initramfs

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/u-root/gobusybox/src/pkg/bb"
	"github.com/u-root/gobusybox/src/pkg/bb/findpkg"
	"github.com/u-root/gobusybox/src/pkg/golang"
	"golang.org/x/sys/unix"
)

// goDebug gives the commands the defaults of the Go version in go.mod: built
// without a module, as gobusybox does, they would get those of Go 1.20.
const goDebug = "//go:debug default=go1.26\n"

// ours returns the names of our own commands.
func ours(source string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(source, "uroot-cmds/*/main.go"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names, nil
}

// CommandPackages returns the import paths of everything that is linked into
// the commands' one program: u-root's commands, our own, and the frame that
// gobusybox puts around them.
func CommandPackages(source string) ([]string, error) {
	packages, err := commandPackages(source)
	return append(packages, "github.com/u-root/gobusybox/src/pkg/bb/bbmain"), err
}

func commandPackages(source string) ([]string, error) {
	own, err := ours(source)
	if err != nil {
		return nil, err
	}
	var packages []string
	for _, c := range commandList {
		packages = append(packages, uroot+c)
	}
	for _, c := range own {
		packages = append(packages, "doppel.live/uroot-cmds/"+c)
	}
	return packages, nil
}

// addBusybox builds all commands as one program, /bbin/bb, in the directory
// tmp, and puts it into a with a link for each command.
func addBusybox(a archive, o Options, tmp string) error {
	packages, err := commandPackages(o.Source)
	if err != nil {
		return err
	}
	binary := filepath.Join(tmp, "bb")
	if err := buildBusybox(o, filepath.Join(tmp, "gopath"), binary, packages); err != nil {
		return err
	}
	if err := a.addHost("commands", "bbin/bb", binary); err != nil {
		return err
	}
	for _, p := range packages {
		a.addLink("commands", "bbin/"+path.Base(p), "bb")
	}
	return nil
}

// buildBusybox writes the sources of all packages, their mains renamed, below
// gopath, and compiles them. It calls go build itself, since gobusybox would
// compile everything anew each time and without inlining.
func buildBusybox(o Options, gopath, binary string, packages []string) error {
	env, err := goEnvironment(o)
	if err != nil {
		return err
	}
	err = bb.BuildBusybox(logger(o.Log), &bb.Opts{
		Env:          env,
		LookupEnv:    new(findpkg.Env), // nothing from GBB_PATH and UROOT_SOURCE
		GenSrcDir:    gopath,
		CommandPaths: packages,
		GenerateOnly: true,
	})
	if err != nil {
		return err
	}
	dir := filepath.Join(gopath, "src/bb.u-root.com/bb")
	if err := prepend(filepath.Join(dir, "main.go"), goDebug); err != nil {
		return err
	}
	build := env.Copy(golang.WithGO111MODULE("off"), golang.WithGOPATH(gopath), golang.WithMod(""))
	cmd := build.GoCmd("build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", binary, ".")
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "GOFLAGS=", "GOAMD64=v1", "GOEXPERIMENT=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling the commands: %w\n%s", err, out)
	}
	return nil
}

// goEnvironment asks the go command where its toolchain is: that of go.mod,
// and not that of this program, which knows none when built with -trimpath.
func goEnvironment(o Options) (*golang.Environ, error) {
	source, err := filepath.Abs(o.Source)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(o.Go, "env", "GOROOT", "GOPATH")
	cmd.Dir = source
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s env: %w", o.Go, err)
	}
	root, gopath, ok := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if !ok {
		return nil, fmt.Errorf("%s env: unexpected answer %q", o.Go, out)
	}
	return golang.Default(golang.DisableCGO(), golang.WithGOOS("linux"), golang.WithGOARCH("amd64"),
		golang.WithGOROOT(root), golang.WithGOPATH(gopath), golang.WithWorkingDir(source)), nil
}

// prepend puts text before what is in a file.
func prepend(name, text string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte("package main")) {
		return fmt.Errorf("%s is no main program", name)
	}
	return os.WriteFile(name, append([]byte(text), data...), 0o644)
}

// logger lets gobusybox tell what it does.
type logger func(format string, args ...any)

func (l logger) Printf(format string, args ...any) {
	if l != nil {
		l(format, args...)
	}
}

// addConsole puts the device in that the kernel opens for the first process.
func addConsole(a archive) {
	a.add(entry{path: "dev/console", mode: unix.S_IFCHR | 0o600, major: 5, minor: 1, row: filesRow})
}
