package initramfs

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// link is a symbolic link on the way to a file.
type link struct {
	path, target string // below the root; as the link says
	last         bool   // it stands for a file, not for a directory
}

// maxLinks bounds the links on the way to one file, as the kernel does.
const maxLinks = 40

// follow resolves name, a path in the tree sysroot, the way a program would
// whose root is sysroot. It returns the links passed and the real path.
func follow(sysroot, name string) (links []link, real string, err error) {
	rest := strings.Split(merged(name), "/")
	for len(rest) > 0 {
		p := path.Join(real, rest[0])
		rest = rest[1:]
		target, err := os.Readlink(filepath.Join(sysroot, p))
		if err != nil {
			if _, err := os.Lstat(filepath.Join(sysroot, p)); err != nil {
				return nil, "", err
			}
			real = p
			continue
		}
		if len(links) == maxLinks {
			return nil, "", fmt.Errorf("%s: too many links", name)
		}
		links = append(links, link{p, target, len(rest) == 0})
		if !path.IsAbs(target) {
			target = path.Join(real, target)
		}
		real, rest = "", append(strings.Split(merged(target), "/"), rest...)
	}
	return links, real, nil
}

// libraryDirs is where the loader looks for libraries after the program's own
// directories.
var libraryDirs = []string{"usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib"}

// closure puts programs with all that they need to run into an archive.
type closure struct {
	archive archive
	sysroot string
	seen    map[string]bool // real paths
}

// add puts the file name in, the links on the way to it, and what it needs.
func (c *closure) add(row, name string) error {
	links, real, err := follow(c.sysroot, name)
	if err != nil {
		return err
	}
	for _, l := range links {
		c.archive.addLink(row, l.path, l.target)
	}
	if c.seen[real] {
		return nil
	}
	c.seen[real] = true
	host := filepath.Join(c.sysroot, real)
	if err := c.archive.addHost(row, real, host); err != nil {
		return err
	}
	f, err := elf.Open(host)
	if err != nil {
		return c.script(real)
	}
	defer f.Close()
	if err := c.needs(f, real); err != nil {
		return fmt.Errorf("%s: %w", real, err)
	}
	return nil
}

// script sees to it that what interprets a script is there.
func (c *closure) script(real string) error {
	f, err := os.Open(filepath.Join(c.sysroot, real))
	if err != nil {
		return err
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadString('\n')
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	if !strings.HasPrefix(line, "#!") || len(words) == 0 {
		return fmt.Errorf("%s is neither an ELF file nor a script", real)
	}
	return c.add(libraryRow, words[0])
}

// libraryRow is what libraries count as in the report.
const libraryRow = "libraries"

// needs adds the loader and the libraries of an ELF file.
func (c *closure) needs(f *elf.File, real string) error {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return err
		}
		if err := c.add(libraryRow, string(bytes.TrimRight(name, "\x00"))); err != nil {
			return err
		}
	}
	wanted, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	opened, err := dlopens(f)
	if err != nil {
		return err
	}
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		values, err := f.DynString(tag)
		if err != nil {
			return err
		}
		for _, v := range values {
			for dir := range strings.SplitSeq(v, ":") {
				dir = strings.NewReplacer("$ORIGIN", "/"+path.Dir(real), "${ORIGIN}", "/"+path.Dir(real)).Replace(dir)
				dirs = append(dirs, merged(dir))
			}
		}
	}
	for _, lib := range append(wanted, opened...) {
		if err := c.library(lib, dirs); err != nil {
			return err
		}
	}
	return nil
}

// library adds a library by its name, looked for in dirs and then where all
// libraries are.
func (c *closure) library(name string, dirs []string) error {
	for _, dir := range append(dirs[:len(dirs):len(dirs)], libraryDirs...) {
		p := path.Join(dir, name)
		err := c.add(libraryRow, p)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if _, err := os.Lstat(filepath.Join(c.sysroot, p)); err == nil {
			return fmt.Errorf("%s is there, but something it needs is not: %w", p, err)
		}
	}
	return fmt.Errorf("library %s is in no package of the list: %w", name, fs.ErrNotExist)
}

// dlopens returns the libraries that an ELF file says it cannot do without
// though it opens them only at run time: the note .note.dlopen of systemd's
// ELF_DLOPEN_METADATA, type 0x407c0c0a, owner FDO, whose text is JSON.
func dlopens(f *elf.File) ([]string, error) {
	s := f.Section(".note.dlopen")
	if s == nil {
		return nil, nil
	}
	data, err := s.Data()
	if err != nil {
		return nil, err
	}
	return parseNotes(data, f.ByteOrder)
}

// parseNotes reads notes: the lengths of owner and text and a type, 4 bytes
// each, then owner and text, each filled up to a multiple of 4 bytes (elf(5)).
func parseNotes(data []byte, order binary.ByteOrder) ([]string, error) {
	var names []string
	for len(data) >= 12 {
		owner := round4(order, data[0:4])
		text := uint64(order.Uint32(data[4:8]))
		padded := round4(order, data[4:8])
		data = data[12:]
		if owner+padded > uint64(len(data)) {
			return nil, errors.New(".note.dlopen is cut short")
		}
		found, err := dlopenNames(bytes.TrimRight(data[owner:owner+text], "\x00"))
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
		data = data[owner+padded:]
	}
	return names, nil
}

// round4 reads a length and rounds it up to the note's alignment, 4 bytes.
func round4(order binary.ByteOrder, field []byte) uint64 {
	return (uint64(order.Uint32(field)) + 3) &^ 3
}

// dlopenNames returns the first name of each library that is required.
func dlopenNames(text []byte) ([]string, error) {
	var notes []struct {
		Priority string
		Soname   []string
	}
	if err := json.Unmarshal(text, &notes); err != nil {
		return nil, fmt.Errorf(".note.dlopen: %w", err)
	}
	var names []string
	for _, n := range notes {
		if n.Priority == "required" && len(n.Soname) > 0 {
			names = append(names, n.Soname[0])
		}
	}
	return names, nil
}
