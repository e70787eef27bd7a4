package main

import (
	_ "embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

//go:embed grub.cfg
var grubConfig string

//go:embed esp.cfg
var espConfig string

// espGrubConfig is the grub.cfg beside the UEFI loader. GRUB looks there first
// on sticks, where the boot partition is another one than the disc's files.
func espGrubConfig(id string) []byte {
	return []byte(strings.ReplaceAll(espConfig, "@ID@", id))
}

// loaders are what starts the kernel.
type loaders struct {
	mbr  []byte  // GRUB's code for the first sector of sticks
	efi  []named // below EFI/BOOT, in the boot partition and on the disc
	disc []named // on the disc
}

// biosImage is what BIOSes load from the disc.
const biosImage = "boot/grub/i386-pc/eltorito.img"

// readLoaders takes the loaders out of their packages. The second shim file,
// fbx64.efi, is left out on purpose: with it shim would write boot entries into
// the machine's firmware.
func readLoaders(tree, id string) (*loaders, error) {
	l := &loaders{}
	var err error
	if l.mbr, err = os.ReadFile(filepath.Join(tree, "usr/lib/grub/i386-pc/boot_hybrid.img")); err != nil {
		return nil, err
	}
	l.efi, err = readNamed(tree, map[string]string{
		"EFI/BOOT/BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed",
		"EFI/BOOT/grubx64.efi": "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed",
		"EFI/BOOT/mmx64.efi":   "usr/lib/shim/mmx64.efi.signed",
	})
	if err != nil {
		return nil, err
	}
	l.disc, err = readNamed(tree, map[string]string{
		"boot/memtest.bin": "boot/memtest86+x64.bin",
		"boot/memtest.efi": "boot/memtest86+x64.efi",
	})
	if err != nil {
		return nil, err
	}
	bios, err := readRescue(filepath.Join(tree, "usr/lib/grub-rescue/grub-rescue-cdrom.iso"))
	if err != nil {
		return nil, err
	}
	l.disc = slices.Concat(l.disc, bios, []named{
		{"boot/grub/grub.cfg", []byte(grubConfig)},
		{".disk/id/" + id, nil},
		{".disk/info", []byte("Doppel " + id + "\n")},
	})
	return l, nil
}

// esp returns the files of the boot partition.
func (l *loaders) esp(id string) []named {
	return append(slices.Clone(l.efi), named{"EFI/BOOT/grub.cfg", espGrubConfig(id)})
}

// readNamed reads files of a tree, by the names that they get.
func readNamed(tree string, from map[string]string) ([]named, error) {
	var list []named
	for to, name := range from {
		data, err := os.ReadFile(filepath.Join(tree, name))
		if err != nil {
			return nil, err
		}
		list = append(list, named{to, data})
	}
	sortNamed(list)
	return list, nil
}

func sortNamed(list []named) {
	slices.SortFunc(list, func(a, b named) int { return strings.Compare(a.path, b.path) })
}

// readRescue takes GRUB for BIOS with its modules and font out of the rescue
// disc that Debian ships, since making one would need grub-mkimage.
func readRescue(name string) ([]named, error) {
	disc, err := file.OpenFromPath(name, true)
	if err != nil {
		return nil, err
	}
	defer disc.Close()
	info, err := disc.Stat()
	if err != nil {
		return nil, err
	}
	tree, err := iso9660.Read(disc, info.Size(), 0, 2048)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	list := []named{{path: "boot/grub/fonts/unicode.pf2"}}
	modules, err := tree.ReadDir(path.Dir(biosImage))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, m := range modules {
		list = append(list, named{path: path.Join(path.Dir(biosImage), m.Name())})
	}
	for i := range list {
		if list[i].data, err = fs.ReadFile(tree, list[i].path); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", name, list[i].path, err)
		}
	}
	sortNamed(list)
	if !slices.ContainsFunc(list, func(n named) bool { return n.path == biosImage }) {
		return nil, fmt.Errorf("%s: no %s in it", name, biosImage)
	}
	return list, nil
}
