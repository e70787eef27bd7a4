// Command preload unpacks archives of the administrator's below /opt, before an
// unattended job; ocs_preload= on the kernel command line asks for it:
//
//	preload FILE...
//
// FILE is /path, boot:PATH on the medium that was started from, LABEL=NAME:PATH,
// http://… or https://…, with #sha256=HEX behind it where one content is meant:
// a tar archive, plain or compressed by gzip, xz or zstd. Any other file is put
// there as it is, ready to be run. Nothing of it is run here: doppel.prerun= and
// job files name what is. Exit status: 0 done, 1 failed, 2 usage.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"doppel.live/internal/live/fetch"
	"doppel.live/internal/live/place"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const (
	folder    = "/opt"
	maxFile   = 256 << 20   // bytes of an archive: it is in memory twice
	maxUnpack = 512 << 20   // bytes of what is in it
	arrival   = time.Minute // for a stick or disk, and for a server that does not answer yet
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprintln(stderr, "usage: preload FILE...")
		return 2
	}
	for _, text := range args {
		if err := load(text, stderr); err != nil {
			fmt.Fprintf(stderr, "preload: %s: %v\n", text, err)
			return 1
		}
	}
	return 0
}

func load(text string, stderr io.Writer) error {
	ref, err := fetch.Parse(text)
	if err != nil {
		return err
	}
	if ref.Open() {
		fmt.Fprintf(stderr, "preload: %s comes by http: anybody on the way can change it; use https, or pin it with #sha256=\n", text)
	}
	ctx := context.Background()
	if !ref.NeedsNetwork() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, arrival)
		defer cancel()
	}
	data, err := fetch.System{Files: place.Live().ReadFile, Patience: arrival}.Read(ctx, ref, maxFile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return unpack(root, ref.Name(), data)
}

// unpack puts a file, or what is in it, below root and nowhere else.
func unpack(root *os.Root, name string, data []byte) error {
	plain, err := decompress(data)
	if err != nil {
		return err
	}
	const magic = 257 // of a tar archive, "ustar" in its first header
	if !bytes.HasPrefix(plain[min(len(plain), magic):], []byte("ustar")) {
		return root.WriteFile(name, data, 0o755)
	}
	archive := tar.NewReader(bytes.NewReader(plain))
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = entry(root, h, archive)
		}
		if err != nil {
			return err
		}
	}
}

// decompress gives what a compressed file holds, and other files as they are.
func decompress(data []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		r, err = gzip.NewReader(bytes.NewReader(data))
	case bytes.HasPrefix(data, []byte("\xfd7zXZ\x00")):
		r, err = xz.NewReader(bytes.NewReader(data))
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderMaxMemory(maxUnpack))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		r = d
	default:
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(r, maxUnpack+1))
	if err == nil && len(out) > maxUnpack {
		err = fmt.Errorf("it holds more than %d bytes", maxUnpack)
	}
	return out, err
}

// entry writes one entry of an archive. What is no folder, file or link is
// left out.
func entry(root *os.Root, h *tar.Header, data io.Reader) error {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	if name == "" {
		return nil
	}
	mode := h.FileInfo().Mode().Perm()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, mode|0o700)
	case tar.TypeSymlink:
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, data)
		return errors.Join(err, f.Close())
	}
	return nil
}
