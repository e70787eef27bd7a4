package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// licences returns a tar.zst with the copyright file of every package and the
// licence files of every Go module and of Go itself.
func (b *builder) licences(t *trees) ([]byte, error) {
	files := map[string]string{} // name in the archive: file
	for _, tree := range []string{t.boot, t.kernel, t.programs} {
		found, err := filepath.Glob(filepath.Join(tree, "usr/share/doc/*/copyright"))
		if err != nil {
			return nil, err
		}
		for _, name := range found {
			// may be a link to another package's
			if real, err := filepath.EvalSymlinks(name); err == nil {
				files["debian/"+filepath.Base(filepath.Dir(name))] = real
			}
		}
	}
	modules, err := b.modules()
	if err != nil {
		return nil, err
	}
	for module, dir := range modules {
		for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "NOTICE*", "PATENTS*"} {
			found, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				return nil, err
			}
			for _, name := range found {
				files["go/"+module+"/"+filepath.Base(name)] = name
			}
		}
	}
	return archive(files, b.time)
}

// modules returns the directories of the Go modules in the live system, by
// path and version, and that of Go.
func (b *builder) modules() (map[string]string, error) {
	// -e: the commands are programs and cannot be imported
	cmd := exec.Command(b.goTool, "list", "-e", "-deps", "-tags=tools",
		"-f={{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}} {{.Dir}}{{end}}{{end}}",
		"./initramfs", "./uroot-cmds/...")
	cmd.Dir = b.source
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	modules := map[string]string{"go": filepath.Dir(filepath.Dir(b.goTool))}
	for line := range strings.Lines(string(out)) {
		if module, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			modules[module] = dir
		}
	}
	return modules, nil
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
		return err
	}
	header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: t, Format: tar.FormatPAX}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
