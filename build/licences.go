package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"doppel.live/build/debian"
	"github.com/klauspost/compress/zstd"
)

// licencesFile is what holds the texts of all licences.
const licencesFile = "licences.tar.zst"

// copyrights returns the copyright files of packages, by package. Those that
// share one with another package of the same source get that (Debian Policy
// 12.5 lets them have a link to its folder, which need not be among ours).
func (t *trees) copyrights(list []*debian.Package) (map[string]string, error) {
	files, sources := map[string]string{}, map[string]string{}
	for _, p := range list {
		for _, tree := range []string{t.boot, t.kernel, t.programs} {
			name := filepath.Join(tree, "usr/share/doc", p.Name, "copyright")
			// may be a link to another package's
			if real, err := filepath.EvalSymlinks(name); err == nil {
				source, _ := p.SourcePackage()
				files[p.Name], sources[source] = real, real
			}
		}
	}
	for _, p := range list {
		source, _ := p.SourcePackage()
		if files[p.Name] == "" {
			files[p.Name] = sources[source]
		}
		if files[p.Name] == "" {
			return nil, fmt.Errorf("%s: no copyright file", p.Name)
		}
	}
	return files, nil
}

// licences returns a tar.zst with the copyright file of every package and the
// licence files of every Go module and of Go itself.
func (b *builder) licences(copyrights map[string]string, modules []module) ([]byte, error) {
	files := map[string]string{} // name in the archive: file
	for name, file := range copyrights {
		files["debian/"+name] = file
	}
	for _, m := range modules {
		for _, file := range m.licences {
			name, err := filepath.Rel(m.dir, file)
			if err != nil {
				return nil, err
			}
			files["go/"+m.String()+"/"+filepath.ToSlash(name)] = file
		}
	}
	return archive(files, b.time)
}

// licenceFiles returns the files with licences in the folders of packages and
// above them, up to the folder of their module. Where there is none the file
// that tells about the module has to do.
func licenceFiles(module string, packages []string) ([]string, error) {
	folders := map[string]bool{}
	for _, dir := range packages {
		for ; !folders[dir] && (dir == module || strings.HasPrefix(dir, module+"/")); dir = filepath.Dir(dir) {
			folders[dir] = true
		}
	}
	var files []string
	for dir := range folders {
		found, err := startingWith(dir, "licence", "license", "copying", "notice", "patents")
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	if files == nil {
		return startingWith(module, "readme")
	}
	return files, nil
}

// startingWith returns the files of a folder whose names start with one of
// some words in any case, other than Go files.
func startingWith(dir string, words ...string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		starts := func(word string) bool { return strings.HasPrefix(name, word) }
		if e.Type().IsRegular() && !strings.HasSuffix(name, ".go") && slices.ContainsFunc(words, starts) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// archive packs files in the order of their names. Equal input gives equal
// bytes.
func archive(files map[string]string, t time.Time) ([]byte, error) {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	for _, name := range names {
		if err := add(w, name, files[name], t); err != nil {
			return nil, err
		}
	}
	for _, c := range []io.Closer{w, z} {
		if err := c.Close(); err != nil {
			return nil, err
		}
	}
	return packed.Bytes(), nil
}

func add(w *tar.Writer, name, file string, t time.Time) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("licences: %w", err)
	}
	header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: t, Format: tar.FormatPAX}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
