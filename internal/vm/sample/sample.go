// Package sample makes the small Debian system that tests and the builder's
// qemu target save and restore: a GPT disk with a BIOS boot partition, an EFI
// system partition, an ext4 root and swap, which boots to a login prompt on
// its serial line under BIOS and UEFI. It needs root and debootstrap.
package sample

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The disk, in MiB. A sector is 512 bytes.
//
//	0      1          2      66       1126   1190 1192
//	| table | BIOS boot | ESP | ext4 root | swap |   |
const (
	biosStart, biosSize = 1, 1
	espStart, espSize   = 2, 64
	rootStart, rootSize = 66, 1060
	swapStart, swapSize = 1126, 64

	// Size is the size of the disk in bytes.
	Size = 1192 << 20
)

// Identity of what lies on the disk.
const (
	Hostname = "doppel-sample"
	RootUUID = "5c1e9a3c-6a0e-4d5a-9b7e-2f5d0f3b7a01"
	SwapUUID = "5c1e9a3c-6a0e-4d5a-9b7e-2f5d0f3b7a02"
	espID    = "D0991E01"
)

// RootOffset and RootSize say where the ext4 root lies on the disk, in bytes.
const (
	RootOffset = rootStart << 20
	RootSize   = rootSize << 20
)

const table = `label: gpt
label-id: 5C1E9A3C-6A0E-4D5A-9B7E-2F5D0F3B7A00
start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name="BIOS boot"
start=4096, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI system"
start=135168, size=2170880, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="root", attrs="GUID:63"
start=2306048, size=131072, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, name="swap"
`

// recipe is the key of a made disk in the cache: whoever changes the making
// gets another disk.
//
//go:embed sample.go system.go
var recipe embed.FS

var packages = []string{
	"systemd-sysv", "udev", "linux-image-cloud-amd64", "initramfs-tools", "zstd", "grub-pc-bin",
	"grub-efi-amd64-signed", "shim-signed", "grub2-common", "e2fsprogs", "kmod", "login", "passwd",
}

// Make gives the path of the sample disk, a raw file below cache, and makes it
// when it is not there: a minute or two. Mirror is the address of a Debian
// archive. Nobody may write to the file.
func Make(ctx context.Context, cache, mirror string, log func(string)) (string, error) {
	key, err := recipeKey()
	if err != nil {
		return "", err
	}
	disk := filepath.Join(cache, "sample-"+key+".img")
	if _, err := os.Stat(disk); err == nil {
		return disk, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("the sample system is made with debootstrap, which needs root")
	}
	if mirror == "" {
		return "", fmt.Errorf("no Debian mirror is known to make the sample system from")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(cache, "sample")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	b := &maker{ctx: ctx, dir: dir, root: filepath.Join(dir, "root"), disk: filepath.Join(dir, "disk.img")}
	log("sample system: debootstrap of Debian 13")
	if err := b.bootstrap(mirror); err != nil {
		return "", err
	}
	log("sample system: its disk")
	for _, step := range []func() error{b.configure, b.partition, b.rootFS, b.esp, b.swap, b.grubBIOS} {
		if err := step(); err != nil {
			return "", fmt.Errorf("sample system: %w", err)
		}
	}
	return disk, os.Rename(b.disk, disk)
}

func recipeKey() (string, error) {
	sum := sha256.New()
	for _, name := range []string{"sample.go", "system.go"} {
		text, err := recipe.ReadFile(name)
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6]), nil
}

type maker struct {
	ctx  context.Context
	dir  string
	root string // the tree of the system
	disk string // the disk in the making
}

// run runs a program to its end; its output is in the error.
func (b *maker) run(stdin string, argv ...string) error {
	cmd := exec.CommandContext(b.ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		text := out.String()
		return fmt.Errorf("%s: %w: %s", argv[0], err, text[max(0, len(text)-800):])
	}
	return nil
}

func (b *maker) bootstrap(mirror string) error {
	return b.run("", "debootstrap", "--variant=minbase", "--include="+strings.Join(packages, ","), "trixie", b.root, mirror)
}

func (b *maker) partition() error {
	if err := os.WriteFile(b.disk, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(b.disk, Size); err != nil {
		return err
	}
	return b.run(table, "sfdisk", "--quiet", b.disk)
}

// rootFS fills the file system without mounting it: mke2fs copies the tree.
func (b *maker) rootFS() error {
	return b.run("", "mke2fs", "-q", "-t", "ext4", "-L", "root", "-U", RootUUID, "-d", b.root,
		"-E", fmt.Sprintf("offset=%d,hash_seed=%s", RootOffset, RootUUID), b.disk, fmt.Sprintf("%dM", rootSize))
}

func (b *maker) swap() error {
	return b.part(swapStart, swapSize, func(file string) error {
		return b.run("", "mkswap", "--quiet", "-L", "swap", "-U", SwapUUID, file)
	})
}

// esp makes the EFI system partition with the signed chain on the path that
// every firmware tries.
func (b *maker) esp() error {
	files := map[string]string{
		"EFI/BOOT/BOOTX64.EFI": filepath.Join(b.root, "usr/lib/shim/shimx64.efi.signed"),
		"EFI/BOOT/grubx64.efi": filepath.Join(b.root, "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"),
		"EFI/BOOT/mmx64.efi":   filepath.Join(b.root, "usr/lib/shim/mmx64.efi.signed"),
		"EFI/debian/grub.cfg":  filepath.Join(b.dir, "esp.cfg"),
	}
	find := fmt.Sprintf("search --no-floppy --fs-uuid --set=root %s\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n", RootUUID)
	if err := os.WriteFile(files["EFI/debian/grub.cfg"], []byte(find), 0o644); err != nil {
		return err
	}
	return b.part(espStart, espSize, func(file string) error {
		if err := b.run("", "mformat", "-i", file, "-F", "-N", espID, "-v", "ESP", "::"); err != nil {
			return err
		}
		if err := b.run("", "mmd", "-i", file, "::EFI", "::EFI/BOOT", "::EFI/debian"); err != nil {
			return err
		}
		for to, from := range files {
			if err := b.run("", "mcopy", "-i", file, from, "::"+to); err != nil {
				return err
			}
		}
		return nil
	})
}

// part lets make fill a file of size MiB and copies it to its place on the disk.
func (b *maker) part(start, size int64, make func(file string) error) error {
	file := filepath.Join(b.dir, "part.img")
	defer os.Remove(file)
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(file, size<<20); err != nil {
		return err
	}
	if err := make(file); err != nil {
		return err
	}
	return b.run("", "dd", "if="+file, "of="+b.disk, "bs=1M", "conv=notrunc,sparse", fmt.Sprintf("seek=%d", start), "status=none")
}
