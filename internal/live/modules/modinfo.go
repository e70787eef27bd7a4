package modules

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ulikunitz/xz"
)

// Info is what a module says of itself in its .modinfo section: strings
// key=value, each ended by a zero byte (linux/module.h, MODULE_INFO).
type Info struct {
	Depends  []string // names of modules whose symbols it uses
	Aliases  []string // patterns of the devices and names that it serves
	Softdeps []string // "pre: a b post: c": loaded too, where they exist
	Weakdeps []string // modules that it may ask for later
	Firmware []string // names below /lib/firmware, sometimes with wildcards
}

// maxModule bounds how far a compressed module is unpacked, in bytes: the
// largest of a distribution's kernel are below 20 MB.
const maxModule = 256 << 20

// ReadInfo reads the .modinfo section of a module, an ELF file.
func ReadInfo(r io.ReaderAt) (Info, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	s := f.Section(".modinfo")
	if s == nil {
		return Info{}, fmt.Errorf("no .modinfo section")
	}
	data, err := s.Data()
	if err != nil {
		return Info{}, err
	}
	return parseInfo(data), nil
}

// parseInfo reads the content of a .modinfo section.
func parseInfo(data []byte) Info {
	var info Info
	for line := range bytes.SplitSeq(data, []byte{0}) {
		key, value, ok := strings.Cut(string(line), "=")
		if !ok || value == "" {
			continue
		}
		switch key {
		case "depends":
			for d := range strings.SplitSeq(value, ",") {
				info.Depends = append(info.Depends, underscored(d))
			}
		case "alias":
			info.Aliases = append(info.Aliases, value)
		case "softdep":
			info.Softdeps = append(info.Softdeps, value)
		case "weakdep":
			info.Weakdeps = append(info.Weakdeps, strings.Fields(value)...)
		case "firmware":
			info.Firmware = append(info.Firmware, value)
		}
	}
	return info
}

// readFile reads the info of the module in a file, .ko or .ko.xz.
func readFile(path string) (Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	if !strings.HasSuffix(path, ".xz") {
		return ReadInfo(f)
	}
	z, err := xz.NewReader(bufio.NewReaderSize(f, 64<<10)) // it reads single bytes
	if err != nil {
		return Info{}, err
	}
	data, err := io.ReadAll(io.LimitReader(z, maxModule))
	if err != nil {
		return Info{}, err
	}
	return ReadInfo(bytes.NewReader(data))
}

// softdep splits a soft dependency, "pre: a b post: c", into its names.
func softdep(value string) (pre, post []string) {
	into := &pre
	for _, w := range strings.Fields(value) {
		switch w {
		case "pre:":
			into = &pre
		case "post:":
			into = &post
		default:
			*into = append(*into, w)
		}
	}
	return pre, post
}
