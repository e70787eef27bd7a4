package sample

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// configure turns the bootstrapped tree into a system of its own, and puts
// some hundred files of all sizes into /srv to compare after a restore.
func (b *maker) configure() error {
	kernel, err := filepath.Glob(filepath.Join(b.root, "boot/vmlinuz-*"))
	if err != nil || len(kernel) != 1 {
		return fmt.Errorf("one kernel expected in /boot, found %d", len(kernel))
	}
	version := filepath.Base(kernel[0])[len("vmlinuz-"):]
	grub := fmt.Sprintf(`serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=1
menuentry "Debian" {
	search --no-floppy --fs-uuid --set=root %[1]s
	linux /boot/vmlinuz-%[2]s root=UUID=%[1]s ro console=tty0 console=ttyS0,115200 no_timer_check systemd.mask=systemd-networkd-wait-online.service
	initrd /boot/initrd.img-%[2]s
}
`, RootUUID, version)
	fstab := fmt.Sprintf("UUID=%s / ext4 errors=remount-ro 0 1\nUUID=%s none swap sw 0 0\n", RootUUID, SwapUUID)
	files := map[string]string{
		"boot/grub/grub.cfg": grub,
		"etc/fstab":          fstab,
		"etc/hostname":       Hostname + "\n",
		"etc/machine-id":     "5c1e9a3c6a0e4d5a9b7e2f5d0f3b7a04\n",
	}
	for name, text := range files {
		path := filepath.Join(b.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, junk := range []string{"var/cache/apt/archives", "var/lib/apt/lists", "usr/share/locale", "usr/share/doc", "usr/share/man"} {
		if err := os.RemoveAll(filepath.Join(b.root, junk)); err != nil {
			return err
		}
	}
	if err := b.run("root:doppel\n", "chroot", b.root, "chpasswd"); err != nil {
		return err
	}
	return b.fill()
}

func (b *maker) fill() error {
	dir := filepath.Join(b.root, "srv/files")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	random := rand.New(rand.NewChaCha8([32]byte{1}))
	for i := range 200 {
		data := make([]byte, random.IntN(1<<(6+i%13)))
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%03d", i)), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// grubBIOS makes GRUB's core with the system's own grub-mkimage and puts it in
// place as grub-install would: the core into the BIOS boot partition, its own
// address into it (u64 of sectors at 0x1f4 of its first sector), and the boot
// sector with the address of the core (u64 at 0x5c) before the table.
func (b *maker) grubBIOS() error {
	err := b.run("", "chroot", b.root, "grub-mkimage", "-O", "i386-pc", "-o", "/core.img", "-p", "(,gpt3)/boot/grub",
		"biosdisk", "part_gpt", "ext2", "normal", "linux", "search_fs_uuid", "search", "serial", "terminal", "configfile", "echo", "gzio")
	if err != nil {
		return err
	}
	core, err := os.ReadFile(filepath.Join(b.root, "core.img"))
	if err != nil {
		return err
	}
	boot, err := os.ReadFile(filepath.Join(b.root, "usr/lib/grub/i386-pc/boot.img"))
	if err != nil {
		return err
	}
	if len(core) < 1024 || len(core) > biosSize<<20 || len(boot) != 512 {
		return fmt.Errorf("GRUB's core of %d bytes and boot sector of %d do not fit", len(core), len(boot))
	}
	const sector = biosStart << 20 / 512
	binary.LittleEndian.PutUint64(core[0x1f4:], sector+1)
	binary.LittleEndian.PutUint64(boot[0x5c:], sector)
	disk, err := os.OpenFile(b.disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer disk.Close()
	if _, err := disk.WriteAt(core, biosStart<<20); err != nil {
		return err
	}
	if _, err := disk.WriteAt(boot[:440], 0); err != nil {
		return err
	}
	return disk.Close()
}
