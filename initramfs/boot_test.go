package initramfs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// bootPrograms are run in the machine: they need their libraries, and some of
// them a shell, a terminal's description or the kernel's help.
var bootPrograms = []string{
	"mke2fs -V", "e2fsck -V", "mkfs.xfs -V", "ntfsresize --version", "btrfs version", "lvm version", "cryptsetup --version",
	"mdadm --version", "smartctl --version", "nvme version", "xorriso -version", "parted --version", "sgdisk --version",
	"sfdisk --version", "efibootmgr --version", "nano --version", "loadkeys -V", "dmsetup version", "modprobe -D dm-snapshot",
	"bb ls /dev/mapper/control", "ls /usr/share/doc/firmware-realtek",
}

// TestBoot boots what the builder packed, with a first process that looks at
// it: the tree is whole, drivers find an NVMe, an AHCI, a SCSI and a USB disk,
// file systems load by name and by the kernel's request, programs start.
func TestBoot(t *testing.T) {
	kernel, initrd := os.Getenv("DOPPEL_KERNEL"), os.Getenv("DOPPEL_INITRD")
	if kernel == "" || initrd == "" || testing.Short() {
		t.Skip("no kernel and initramfs: DOPPEL_KERNEL and DOPPEL_INITRD are not set")
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("no QEMU (package qemu-system-x86)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	var disks []vm.Disk
	for _, bus := range []string{"nvme", "ahci", "scsi", "usb"} {
		disk := filepath.Join(t.TempDir(), bus)
		if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		disks = append(disks, vm.Disk{Path: disk, Bus: bus, Serial: bus})
	}
	m, err := vm.Start(ctx, vm.Config{
		Kernel: kernel, Initrd: withProbe(t, initrd), Disks: disks, NIC: true,
		Append: `console=ttyS0 rootfstype=ramfs no_timer_check rdinit=/probe -- "` + strings.Join(bootPrograms, `" "`) + `"`,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.WaitLog(ctx, 0, "PROBE end"); err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	passed := 0
	for line := range strings.Lines(m.Log()) {
		line = strings.TrimSpace(line)
		switch {
		case strings.Contains(line, "PROBE failed"), strings.Contains(line, "Initramfs unpacking failed"):
			t.Error(line)
		case strings.Contains(line, "PROBE ok"):
			passed++
		case strings.Contains(line, "PROBE"):
			t.Log(line)
		}
	}
	if passed < len(bootPrograms)+18 {
		t.Errorf("only %d checks passed", passed)
	}
}

// withProbe returns a copy of an initramfs with one more segment, the command
// in testdata/probe.
func withProbe(t *testing.T, initrd string) string {
	dir := t.TempDir()
	probe := filepath.Join(dir, "probe")
	build := exec.Command("go", "build", "-o", probe, "./testdata/probe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(initrd)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "initrd")
	f, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(append(data, make([]byte, -len(data)&3)...)); err != nil {
		t.Fatal(err)
	}
	a := make(archive)
	if err := a.addHost("probe", "probe", probe); err != nil {
		t.Fatal(err)
	}
	if err := a.write(f, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	return copied
}
