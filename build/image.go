package main

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"doppel.live/build/debian"
	"doppel.live/initramfs"
	"doppel.live/iso"
)

// maxImage is what the image may hold: it should fit the smallest stick and
// download quickly. Bytes.
const maxImage = 100e6

//go:embed disc.txt
var discReadme []byte

// The results of a build, below out/.
const (
	imageFile  = "doppel.iso"
	stickFile  = "doppel-usb.img"
	hostFile   = "doppel"
	kernelFile = "vmlinuz"
	initrdFile = "initrd.img"
	lockFile   = "packages.lock"
	idFile     = "build-id"
)

// image builds everything: packages, then the initramfs, then the disc.
func (b *builder) image() error {
	var p *parts
	var id string
	err := step("lists", func() (err error) {
		p, id, err = b.plan()
		return err
	})
	if err != nil {
		return err
	}
	return b.build(p, id)
}

// plan chooses the packages and names the build.
func (b *builder) plan() (*parts, string, error) {
	p, err := b.choose()
	if err != nil {
		return nil, "", err
	}
	id, err := b.identity(p.all())
	return p, id, err
}

func (b *builder) build(p *parts, id string) error {
	// without its sums, what is in out/ counts as not built
	if err := os.Remove(filepath.Join(b.out, sumsFile)); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := step("host", b.host); err != nil {
		return err
	}
	var t *trees
	err := step("packages", func() (err error) {
		t, err = b.unpack(p)
		return err
	})
	if err != nil {
		return err
	}
	var report *initramfs.Report
	err = step("initramfs", func() (err error) {
		report, err = b.initramfs(t, id)
		return err
	})
	if err != nil {
		return err
	}
	var documents []named
	err = step("documents", func() (err error) {
		documents, err = b.documents(t, p.all(), id)
		return err
	})
	if err != nil {
		return err
	}
	var size int64
	err = step("disc", func() (err error) {
		size, err = b.disc(t, documents, id)
		return err
	})
	if err != nil {
		return err
	}
	var served []string
	err = step("netboot", func() (err error) {
		served, err = b.netboot(t, documents)
		return err
	})
	if err != nil {
		return err
	}
	err = step("stick", func() error {
		return stickImage(filepath.Join(b.out, stickFile), filepath.Join(b.out, imageFile))
	})
	if err != nil {
		return err
	}
	printSizes(os.Stderr, report, size)
	if size > maxImage {
		return fmt.Errorf("%s has %.1f MB, more than %.0f", imageFile, float64(size)/1e6, maxImage/1e6)
	}
	return b.finish(documents, id, served)
}

// documents are what tells about the contents, in doc/ of the disc and of the
// folder for servers: the packages, in a line each and as SPDX, and the texts
// of the licences.
func (b *builder) documents(t *trees, list []*debian.Package, id string) ([]named, error) {
	modules, err := b.modules()
	if err != nil {
		return nil, err
	}
	copyrights, err := t.copyrights(list)
	if err != nil {
		return nil, err
	}
	bill, err := b.bill(list, copyrights, modules, id)
	if err != nil {
		return nil, err
	}
	licences, err := b.licences(copyrights, modules)
	if err != nil {
		return nil, err
	}
	return []named{
		{"doc/" + billFile, bill},
		{"doc/packages.txt", lock(list)},
		{"doc/" + licencesFile, licences},
	}, nil
}

// finish writes what tells about the build, and sums of everything.
func (b *builder) finish(documents []named, id string, served []string) error {
	for _, f := range []named{{billFile, documents[0].data}, {lockFile, documents[1].data}, {idFile, []byte(id + "\n")}} {
		if err := os.WriteFile(filepath.Join(b.out, f.path), f.data, 0o644); err != nil {
			return err
		}
	}
	names := []string{imageFile, stickFile, hostFile, kernelFile, initrdFile, billFile, lockFile, idFile}
	return writeSums(b.out, append(names, served...)...)
}

// upToDate reports whether out/ holds a build of this name, whole.
func (b *builder) upToDate(id string) bool {
	old, err := os.ReadFile(filepath.Join(b.out, idFile))
	return err == nil && strings.TrimSpace(string(old)) == id && checkSums(b.out)
}

// initramfs writes out/initrd.img and puts the kernel beside it.
func (b *builder) initramfs(t *trees, id string) (*initramfs.Report, error) {
	kernel := filepath.Join(t.kernel, "boot", "vmlinuz-"+t.version)
	if err := copyFile(filepath.Join(b.out, kernelFile), kernel); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(b.out, initrdFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	report, err := initramfs.Write(f, initramfs.Options{
		Sysroot:       t.programs,
		KernelTree:    t.kernel,
		KernelVersion: t.version,
		Source:        b.source,
		Go:            b.goTool,
		Cache:         filepath.Join(b.cache, "initramfs"),
		BuildID:       id,
		Free:          b.free,
		Time:          b.time,
		Log:           log.Printf,
	})
	if err != nil {
		return nil, err
	}
	return report, f.Close()
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// disc writes out/doppel.iso and returns its size in bytes.
func (b *builder) disc(t *trees, documents []named, id string) (int64, error) {
	l, err := readLoaders(t.boot, id)
	if err != nil {
		return 0, err
	}
	serial, err := hex.DecodeString(id[:8])
	if err != nil {
		return 0, err
	}
	esp, err := makeESP(l.esp(id), binary.BigEndian.Uint32(serial), b.time)
	if err != nil {
		return 0, err
	}
	disc := iso.New(iso.Options{
		VolumeID:    "DOPPEL",
		VolumeSetID: "DOPPEL-" + id,
		Application: "DOPPEL",
		Time:        b.time,
		Boot:        &iso.Boot{Image: biosImage, MBR: l.mbr, ESP: iso.Bytes(esp), ESPSize: espSize},
	})
	for _, f := range slices.Concat(l.disc, l.efi, documents, []named{{"README.txt", discReadme}}) {
		if err := disc.AddBytes(f.path, f.data); err != nil {
			return 0, err
		}
	}
	for _, name := range []string{kernelFile, initrdFile} {
		if err := disc.AddFile("boot/"+name, filepath.Join(b.out, name)); err != nil {
			return 0, err
		}
	}
	return writeDisc(filepath.Join(b.out, imageFile), disc)
}

func writeDisc(name string, disc *iso.Builder) (int64, error) {
	layout, err := disc.Layout()
	if err != nil {
		return 0, err
	}
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := layout.WriteTo(f)
	if err != nil {
		return 0, err
	}
	return n, f.Close()
}

// printSizes shows what takes the space.
func printSizes(w io.Writer, r *initramfs.Report, disc int64) {
	const mb = 1e6
	fmt.Fprintf(w, "%-32s %6s %9s %12s\n", "in the initramfs", "files", "MB", "MB unpacked")
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%-32s %6d %9.2f %12.2f\n", row.Name, row.Files, float64(row.Bytes)/mb, float64(row.Unpacked)/mb)
	}
	fmt.Fprintf(w, "%-32s %6s %9.2f %12.2f\n", "initramfs", "", float64(r.Bytes)/mb, float64(r.Unpacked)/mb)
	fmt.Fprintf(w, "%-32s %6s %9.2f\n", "kernel, boot loaders, licences", "", float64(disc-r.Bytes)/mb)
	fmt.Fprintf(w, "%-32s %6s %9.2f\n", imageFile, "", float64(disc)/mb)
	if len(r.Missing) > 0 {
		fmt.Fprintf(w, "firmware that modules name and no package holds: %s\n", strings.Join(r.Missing, " "))
	}
}
