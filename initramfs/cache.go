package initramfs

import (
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
)

// cache is a directory of files that took long to make, named by what they
// were made from.
type cache string

// file returns the name of the file of this kind and key; create makes it
// when it is not there yet.
func (c cache) file(kind string, key []byte, create func(w io.Writer) error) (string, error) {
	name := filepath.Join(string(c), kind+"-"+hex.EncodeToString(key))
	if _, err := os.Stat(name); err == nil {
		return name, nil
	}
	f, err := os.CreateTemp(string(c), "new-")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := create(f); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return name, os.Rename(f.Name(), name)
}

// compressor names the version of the compressor that this program is built
// with: another one makes other bytes.
func compressor() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/klauspost/compress" {
			return d.Version
		}
	}
	return "unknown"
}
