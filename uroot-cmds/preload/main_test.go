package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tar makes archives of a folder with a program, a link out of it and a file
// behind that link.
func TestUnpack(t *testing.T) {
	from := t.TempDir()
	os.MkdirAll(filepath.Join(from, "tools/bin"), 0o755)
	if err := os.WriteFile(filepath.Join(from, "tools/bin/run"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("bin/run", filepath.Join(from, "tools/run")); err != nil {
		t.Fatal(err)
	}
	for flag, program := range map[string]string{"-c": "tar", "-cz": "gzip", "-cJ": "xz", "-c --zstd": "zstd"} {
		t.Run(program, func(t *testing.T) {
			if _, err := exec.LookPath(program); err != nil {
				t.Skip("no ", program)
			}
			data, err := exec.Command("tar", append(strings.Fields(flag), "-C", from, "tools")...).Output()
			if err != nil {
				t.Skip(err)
			}
			to := t.TempDir()
			root, err := os.OpenRoot(to)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			for range 2 { // again is no error
				if err := unpack(root, "x.tar", data); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(filepath.Join(to, "tools/run"))
			if info, statErr := os.Stat(filepath.Join(to, "tools/bin/run")); err != nil || string(b) != "#!/bin/sh\n" || statErr != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

func TestUnpackStaysInside(t *testing.T) {
	base := t.TempDir()
	to := filepath.Join(base, "opt")
	os.Mkdir(to, 0o755)
	os.Symlink(base, filepath.Join(to, "out"))
	root, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	from := t.TempDir()
	os.MkdirAll(filepath.Join(from, "out"), 0o755)
	if err := os.WriteFile(filepath.Join(from, "out/file"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	data, err := exec.Command("tar", "-c", "-C", from, "out/file").Output()
	if err != nil {
		t.Skip(err)
	}
	if err := unpack(root, "x", data); err == nil {
		t.Error("a link led out of the folder")
	}
	data, err = exec.Command("tar", "-c", "-P", "-C", from, "--transform", "s,out,../../up,", "out/file").Output()
	if err != nil {
		t.Skip(err)
	}
	if err := unpack(root, "x", data); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(to, "up/file")); err != nil {
		t.Error(err)
	}
	if found, _ := filepath.Glob(filepath.Join(base, "*")); len(found) != 1 {
		t.Errorf("outside there is %q", found)
	}
}

func TestNoArchive(t *testing.T) {
	to := t.TempDir()
	root, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := unpack(root, "script", []byte("#!/bin/sh\n")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(to, "script")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	var out bytes.Buffer
	if run(nil, &out) != 2 {
		t.Error("nothing to load is no error")
	}
}
