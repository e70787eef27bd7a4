package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// netbootDir is the folder for TFTP and HTTP servers, below out/.
const netbootDir = "netboot"

//go:embed netboot/README.txt
var netbootReadme []byte

//go:embed netboot/boot.ipxe
var ipxeMenu []byte

//go:embed netboot/dnsmasq.conf
var dnsmasqConfig []byte

//go:embed netboot/dnsmasq-proxy.conf
var dnsmasqProxyConfig []byte

// netGrubConfig is the boot menu for a GRUB that came over the network: with
// everything in the server's root folder, and without a medium.
func netGrubConfig() []byte {
	return []byte(strings.NewReplacer("set folder=/boot\n", "set folder=\n", "set medium=y\n", "set medium=n\n").Replace(grubConfig))
}

// netbootFiles are the files of the folder that are not hard links: loaders
// from the packages in tree, and ours.
func netbootFiles(tree string, documents []named) ([]named, error) {
	list, err := readNamed(tree, map[string]string{
		"shimx64.efi":   "usr/lib/shim/shimx64.efi.signed",
		"grubx64.efi":   "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed", // the name that shim asks for
		"mmx64.efi":     "usr/lib/shim/mmx64.efi.signed",
		"undionly.kpxe": "usr/lib/ipxe/undionly.kpxe",
		"snponly.efi":   "usr/lib/ipxe/snponly.efi",
		"memtest.bin":   "boot/memtest86+x64.bin",
		"memtest.efi":   "boot/memtest86+x64.efi",
	})
	return slices.Concat(list, documents, []named{
		{"README.txt", netbootReadme},
		{"boot.ipxe", ipxeMenu},
		{"dnsmasq.conf", dnsmasqConfig},
		{"dnsmasq-proxy.conf", dnsmasqProxyConfig},
		{"grub/grub.cfg", netGrubConfig()},
	}), err
}

// netboot makes out/netboot and returns the names of its files, below out/.
func (b *builder) netboot(t *trees, documents []named) ([]string, error) {
	dir := filepath.Join(b.out, netbootDir)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	files, err := netbootFiles(t.boot, documents)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		name := filepath.Join(dir, f.path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(name, f.data, 0o644); err != nil {
			return nil, err
		}
		names = append(names, f.path)
	}
	for _, name := range []string{kernelFile, initrdFile, imageFile} {
		if err := link(filepath.Join(dir, name), filepath.Join(b.out, name)); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if err := writeSums(dir, names...); err != nil {
		return nil, err
	}
	names = append(names, sumsFile)
	for i, name := range names {
		names[i] = netbootDir + "/" + name
	}
	return names, nil
}

// link gives a file a second name, or copies it where that cannot be.
func link(to, from string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	return copyFile(to, from)
}
