package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"doppel.live/build/debian"
	"doppel.live/initramfs"
)

// bootPackages hold the boot loaders: shim and GRUB, signed, for UEFI; GRUB's
// prebuilt parts for BIOS; iPXE for the network; the memory test.
func bootPackages() []string {
	return []string{
		"grub-efi-amd64-signed",
		"grub-pc-bin",
		"grub-rescue-pc",
		"ipxe",
		"memtest86+",
		"shim-helpers-amd64-signed",
		"shim-signed",
	}
}

// kernelPackage depends on the newest kernel's own package.
const kernelPackage = "linux-image-amd64"

// parts are the packages of the live system.
type parts struct {
	boot, kernel, programs []*debian.Package
}

// all returns every package, by name.
func (p *parts) all() []*debian.Package {
	list := slices.Concat(p.boot, p.kernel, p.programs)
	slices.SortFunc(list, func(a, b *debian.Package) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// lists reads the package lists, once.
func (b *builder) lists() (err error) {
	if b.archive == nil {
		b.archive, err = b.apt.Lists()
	}
	return err
}

// choose picks the newest packages out of the lists.
func (b *builder) choose() (*parts, error) {
	if err := b.lists(); err != nil {
		return nil, err
	}
	p := &parts{}
	kernel, err := b.kernel()
	if err != nil {
		return nil, err
	}
	p.kernel = []*debian.Package{kernel}
	if p.boot, err = b.exactly(bootPackages()...); err != nil {
		return nil, err
	}
	p.programs, err = b.archive.Closure(initramfs.Packages(b.free))
	return p, err
}

// kernel returns the package that the kernel's meta package depends on; its
// name changes with every update.
func (b *builder) kernel() (*debian.Package, error) {
	meta := b.archive.Package(kernelPackage)
	if meta == nil {
		return nil, fmt.Errorf("%s is not in the package lists", kernelPackage)
	}
	for _, d := range meta.Depends {
		if p := b.archive.Package(d[0]); p != nil && strings.HasPrefix(p.Name, "linux-image-") {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%s %s depends on no kernel", meta.Name, meta.Version)
}

// exactly returns packages without what they depend on.
func (b *builder) exactly(names ...string) ([]*debian.Package, error) {
	var list []*debian.Package
	for _, name := range names {
		p := b.archive.Package(name)
		if p == nil {
			return nil, fmt.Errorf("%s is not in the package lists", name)
		}
		list = append(list, p)
	}
	return list, nil
}

// trees are the directories with the parts, unpacked.
type trees struct {
	boot, kernel, programs string
	version                string // of the kernel
}

func (b *builder) unpack(p *parts) (*trees, error) {
	t := &trees{}
	var err error
	if t.boot, err = b.tree("boot", p.boot); err != nil {
		return nil, err
	}
	if t.kernel, err = b.tree("kernel", p.kernel); err != nil {
		return nil, err
	}
	if t.programs, err = b.tree("programs", p.programs); err != nil {
		return nil, err
	}
	kernels, err := filepath.Glob(filepath.Join(t.kernel, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return nil, fmt.Errorf("%s: %d kernels in it, want 1", p.kernel[0].Name, len(kernels))
	}
	t.version = strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	return t, nil
}

// lock lists the packages that went into the image.
func lock(list []*debian.Package) []byte {
	var text strings.Builder
	for _, p := range list {
		fmt.Fprintln(&text, p)
	}
	return []byte(text.String())
}
