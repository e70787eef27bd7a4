package initramfs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"doppel.live/internal/live/modules"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// firmwarePackage is one line of the list of packages with firmware. Which of
// their files are packed, the chosen modules say.
type firmwarePackage struct {
	name string
	free bool // in main; otherwise in non-free-firmware
}

var firmwarePackages = []firmwarePackage{
	{"firmware-ast", false},
	{"firmware-bnx2", false},
	{"firmware-bnx2x", false},
	{"firmware-cavium", false},
	{"firmware-intel-misc", false},
	{"firmware-linux-free", true},
	{"firmware-misc-nonfree", false},
	{"firmware-myricom", false},
	{"firmware-netronome", false},
	{"firmware-netxen", false},
	{"firmware-qlogic", false},
	{"firmware-realtek", false},
}

// freeFirmware are the directories and files of firmware-linux-free, for when
// a tree holds the other packages as well.
var freeFirmware = []string{
	"cis/*",
	"isci/*",
	"keyspan_pda/*",
}

// addFirmware puts the firmware that the modules name into a, each file
// compressed, since the kernel unpacks it when a driver asks for it, and
// returns the names that are nowhere.
func addFirmware(a archive, tree *modules.Tree, o Options, c cache) (missing []string, err error) {
	base := filepath.Join(o.Sysroot, "usr/lib/firmware")
	for _, name := range firmwareNames(tree) {
		found, err := filepath.Glob(filepath.Join(base, name))
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(p string) bool {
			rel, err := filepath.Rel(base, p)
			return err != nil || o.Free && !isFree(rel)
		})
		if len(found) == 0 {
			missing = append(missing, name)
		}
		for _, p := range found {
			rel, err := filepath.Rel(o.Sysroot, p)
			if err != nil {
				return nil, err
			}
			if err := addFirmwareFile(a, o.Sysroot, rel, c); err != nil {
				return nil, err
			}
		}
	}
	return missing, nil
}

// firmwareNames returns what the modules name, sorted, each once.
func firmwareNames(tree *modules.Tree) []string {
	var names []string
	for _, m := range tree.Modules {
		names = append(names, m.Info.Firmware...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func isFree(name string) bool {
	return slices.ContainsFunc(freeFirmware, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// addFirmwareFile packs one file, and the links on the way to it, as .zst.
func addFirmwareFile(a archive, sysroot, name string, c cache) error {
	links, real, err := follow(sysroot, name)
	if err != nil {
		return err
	}
	for _, l := range links {
		// A link to a directory keeps its name, one to a file gets the suffix.
		if l.last {
			a.addLink(firmwareRow, l.path+".zst", l.target+".zst")
		} else {
			a.addLink(firmwareRow, l.path, l.target)
		}
	}
	data, err := os.ReadFile(filepath.Join(sysroot, real))
	if err != nil {
		return err
	}
	key := sha256.Sum256(append([]byte(compressor()+"\x00"), data...))
	packed, err := c.file("firmware", key[:], func(w io.Writer) error {
		return compressFile(w, data)
	})
	if err != nil {
		return err
	}
	info, err := os.Stat(packed)
	if err != nil {
		return err
	}
	a.add(entry{path: merged(real + ".zst"), mode: unix.S_IFREG | 0o644, host: packed, size: info.Size(), row: firmwareRow})
	return nil
}

// compressFile writes one zstd frame that holds its size, which the kernel's
// firmware loader asks for.
func compressFile(w io.Writer, data []byte) error {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, bytes.NewReader(z.EncodeAll(data, nil)))
	return err
}

// addLicences packs the texts that firmware may only be handed on with.
func addLicences(a archive, o Options) error {
	for _, p := range firmwarePackages {
		if o.Free && !p.free {
			continue
		}
		name := "usr/share/doc/" + p.name + "/copyright"
		if err := a.addHost(licenceRow, name, filepath.Join(o.Sysroot, name)); err != nil {
			return fmt.Errorf("package %s: %w", p.name, err)
		}
	}
	return nil
}
