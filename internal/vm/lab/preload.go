package lab

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/cpu"
)

//go:embed preload/xstate.c
var xstateSource []byte

// Environment is what user-mode Linux must be started with on this machine. On
// processors with AMX it needs help, which a C compiler makes: without one the
// test is skipped.
func Environment(t testing.TB) []string {
	t.Helper()
	env := os.Environ()
	if !cpu.X86.HasAMXTile {
		return env
	}
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc: user-mode Linux cannot be started as it is on a processor with AMX")
	}
	dir := t.TempDir()
	source, object := filepath.Join(dir, "xstate.c"), filepath.Join(dir, "xstate.so")
	if err := os.WriteFile(source, xstateSource, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-O2", "-Wall", "-o", object, source, "-ldl").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return append(env, "LD_PRELOAD="+object)
}
