package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The same sources and packages give the same bytes in another folder, with
// nothing but the downloads kept. The first image is that of ./build.sh.
func TestSameInputsSameBytes(t *testing.T) {
	first, cache := os.Getenv("DOPPEL_ISO"), os.Getenv("DOPPEL_CACHE")
	if os.Getenv("DOPPEL_SOAK") == "" || first == "" {
		t.Skip("builds the whole image: run ./build.sh soak")
	}
	source, second, fresh := filepath.Dir(filepath.Dir(first)), t.TempDir(), t.TempDir()
	for _, name := range inputs() {
		if out, err := exec.Command("cp", "-r", filepath.Join(source, name), second).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, name := range []string{"apt", "debs"} {
		if err := os.Symlink(filepath.Join(cache, name), filepath.Join(fresh, name)); err != nil {
			t.Fatal(err)
		}
	}
	epoch, err := buildTime(source)
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "run", "./build", "--cache", fresh, "--offline", "image")
	build.Dir = second
	build.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch.Unix()),
		"CGO_ENABLED=0", "TMPDIR="+t.TempDir(), "GOCACHE="+t.TempDir())
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{idFile, lockFile, billFile, hostFile, initrdFile, imageFile, netbootDir + "/" + sumsFile} {
		one, err := sum(filepath.Join(source, "out", name))
		if err != nil {
			t.Fatal(err)
		}
		if two, err := sum(filepath.Join(second, "out", name)); err != nil || one != two {
			t.Errorf("%s differs: %s, then %s %v", name, one, two, err)
		}
	}
}

// The name of a build follows what is in it, and not what only tests read.
func TestIdentity(t *testing.T) {
	b := &builder{source: t.TempDir()}
	files := map[string]string{"go.mod": "module x", "go.sum": "", "build/main.go": "1",
		"initramfs/a.go": "", "internal/a.go": "", "iso/a.go": "", "uroot-cmds/a.go": ""}
	put := func(name, text string) {
		name = filepath.Join(b.source, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	identity := func() string {
		id, err := b.identity(nil)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for name, text := range files {
		put(name, text)
	}
	first := identity()
	put("build/main_test.go", "2")
	put("iso/testdata/x", "2")
	put("internal/FORMAT.md", "2")
	if identity() != first {
		t.Error("files of tests change the name")
	}
	put("iso/a.go", "2")
	second := identity()
	b.free = true
	if second == first || identity() == second {
		t.Error("a change of the source or of an option does not change the name")
	}
}

func TestSums(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if checkSums(dir) {
		t.Error("a folder without sums counts as built")
	}
	if err := writeSums(dir, "a", "b"); err != nil {
		t.Fatal(err)
	}
	check := exec.Command(tool(t, "sha256sum"), "--check", "--strict", sumsFile)
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil || !checkSums(dir) {
		t.Errorf("sums are not right: %v %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "b"), []byte("c"), 0o644); err != nil {
		t.Fatal(err)
	}
	if checkSums(dir) {
		t.Error("a changed file was not noticed")
	}
}
