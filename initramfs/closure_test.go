package initramfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestClosureAgainstLdd compares with what the loader of this machine says.
func TestClosureAgainstLdd(t *testing.T) {
	tested := 0
	for _, program := range []string{"/usr/bin/bash", "/usr/bin/apt-get", "/usr/sbin/lvm", "/usr/bin/tmux"} {
		out, err := exec.Command("ldd", program).Output()
		if err != nil {
			continue
		}
		tested++
		want := map[string]bool{merged(program): true}
		for line := range strings.Lines(string(out)) {
			for _, word := range strings.Fields(line) {
				if real, err := filepath.EvalSymlinks(word); err == nil && filepath.IsAbs(word) {
					want[merged(real)] = true
				}
			}
		}
		a := make(archive)
		c := &closure{archive: a, sysroot: "/", seen: make(map[string]bool)}
		if err := c.add("program", program); err != nil {
			t.Errorf("%s: %v", program, err)
			continue
		}
		for p, e := range a {
			if e.mode&unix.S_IFMT == unix.S_IFREG && !want[p] {
				t.Errorf("%s: ldd does not name %s", program, p)
			}
			delete(want, p)
		}
		for p := range want {
			t.Errorf("%s: only ldd names %s", program, p)
		}
	}
	if tested == 0 {
		t.Skip("no ldd and program to compare with")
	}
}

func TestClosureMissing(t *testing.T) {
	root := t.TempDir()
	put(t, root, "usr/bin/script", "#!/bin/sh -e\n")
	put(t, root, "usr/bin/text", "hello\n")
	c := &closure{archive: make(archive), sysroot: root, seen: make(map[string]bool)}
	if err := c.add("x", "usr/bin/script"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("script without its shell: %v", err)
	}
	if err := c.add("x", "usr/bin/text"); err == nil {
		t.Error("a text counts as a program")
	}
	if err := c.library("libnone.so.1", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("library: %v", err)
	}
}

func TestFollow(t *testing.T) {
	root := t.TempDir()
	put(t, root, "usr/lib/real/file", "x")
	for from, to := range map[string]string{
		"usr/lib/dir": "real", "usr/lib/abs": "/usr/lib/dir/file", "usr/lib/up": "../../../../lib/abs", "usr/lib/loop": "loop",
	} {
		if err := os.Symlink(to, filepath.Join(root, from)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, path string
		links      []link
	}{
		{"plain", "usr/lib/real/file", nil},
		{"merged", "/lib/real/file", nil},
		{"directory", "usr/lib/dir/file", []link{{"usr/lib/dir", "real", false}}},
		{"absolute", "usr/lib/abs", []link{{"usr/lib/abs", "/usr/lib/dir/file", true}, {"usr/lib/dir", "real", false}}},
		{"not above the root", "lib/up", []link{{"usr/lib/up", "../../../../lib/abs", true},
			{"usr/lib/abs", "/usr/lib/dir/file", true}, {"usr/lib/dir", "real", false}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			links, real, err := follow(root, test.path)
			if err != nil || real != "usr/lib/real/file" || !slices.Equal(links, test.links) {
				t.Errorf("got %v, %s, %v", links, real, err)
			}
		})
	}
	if _, _, err := follow(root, "usr/lib/loop"); err == nil {
		t.Error("a loop is no error")
	}
	if _, _, err := follow(root, "usr/lib/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

// note returns one note as in .note.dlopen.
func note(text string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 4)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)+1))
	b = binary.LittleEndian.AppendUint32(b, 0x407c0c0a)
	b = append(b, "FDO\x00"+text+"\x00"...)
	return append(b, bytes.Repeat([]byte{0}, -len(b)&3)...)
}

func TestNotes(t *testing.T) {
	data := append(note(`[{"feature":"a","priority":"required","soname":["liba.so.2","liba.so.1"]}]`),
		note(`[{"priority":"suggested","soname":["libb.so"]},{"priority":"required","soname":["libc.so"]}]`)...)
	got, err := parseNotes(data, binary.LittleEndian)
	if want := []string{"liba.so.2", "libc.so"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := parseNotes(data[:len(data)-8], binary.LittleEndian); err == nil {
		t.Error("a note cut short is no error")
	}
}

func FuzzNotes(f *testing.F) {
	f.Add(note(`[{"priority":"required","soname":["a"]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		parseNotes(data, binary.LittleEndian)
	})
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	p := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
