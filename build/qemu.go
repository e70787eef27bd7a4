package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"doppel.live/internal/vm/sample"
)

// spareDisk is the size of the disks beside the sample system, in bytes. The
// files are sparse.
const spareDisk = 8 << 30

// qemu starts the image in a virtual machine: a small sample system on the
// first disk, an empty file system for images on the second, nothing on the
// third. What is written to the first is forgotten, the other two are made
// anew each time: nothing can be spoiled.
func (b *builder) qemu() error {
	if _, err := b.ready(); err != nil {
		return err
	}
	disks, err := b.sampleDisks(filepath.Join(b.out, "qemu"))
	if err != nil {
		return err
	}
	cmd := exec.Command("qemu-system-x86_64", b.machine(disks)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// machine returns QEMU's arguments. Without a screen it takes the terminal.
func (b *builder) machine(disks []string) []string {
	args := append(accelerator(),
		"-machine", "q35", "-m", "1024", "-smp", "2",
		"-cdrom", filepath.Join(b.out, imageFile), "-boot", "order=d,menu=on",
		"-device", "virtio-rng-pci", "-nic", "user,model=virtio-net-pci")
	for i, disk := range disks {
		snapshot := "off"
		if i == 0 {
			snapshot = "on"
		}
		args = append(args,
			"-drive", fmt.Sprintf("id=d%d,if=none,format=raw,discard=unmap,snapshot=%s,file=%s", i, snapshot, disk),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=d%d,serial=SAMPLE-%04d", i, i+1))
	}
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		log.Print("no screen here: the menu comes on this terminal; Ctrl-A X ends the machine")
		args = append(args, "-nographic")
	}
	return args
}

// accelerator chooses KVM on real machines. In a virtual one that says it
// has KVM, QEMU may end or hang.
func accelerator() []string {
	flags, _ := os.ReadFile("/proc/cpuinfo")
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil || strings.Contains(string(flags), " hypervisor") {
		// cx16: that of QEMU's own processor is broken in some versions
		return []string{"-accel", "tcg", "-cpu", "max,la57=off,svm=off,cx16=off"}
	}
	kvm.Close()
	return []string{"-accel", "kvm", "-cpu", "host"}
}

// sampleDisks makes the disks and returns their files.
func (b *builder) sampleDisks(dir string) ([]string, error) {
	system, err := sample.Make(context.Background(), b.cache, b.mirror, func(s string) { log.Print(s) })
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	images, third := filepath.Join(dir, "images.img"), filepath.Join(dir, "empty.img")
	for _, name := range []string{images, third} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			return nil, err
		}
		if err := os.Truncate(name, spareDisk); err != nil {
			return nil, err
		}
	}
	return []string{system, images, third}, formatImages(images)
}

// formatImages puts one partition with an ext4 for images on a disk.
func formatImages(disk string) error {
	const start = 1 << 20 // bytes; as much is left at the end for the backup table
	table := exec.Command("/sbin/sfdisk", "--quiet", disk)
	table.Stdin = strings.NewReader("label: gpt\nstart=2048\n")
	format := exec.Command("/sbin/mke2fs", "-q", "-t", "ext4", "-L", "IMAGES",
		"-E", fmt.Sprintf("offset=%d", start), disk, fmt.Sprintf("%dK", (spareDisk-2*start)>>10))
	for _, cmd := range []*exec.Cmd{table, format} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", cmd.Path, err, out)
		}
	}
	return nil
}
