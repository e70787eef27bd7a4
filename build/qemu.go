package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// emptyDisk is the size of the disks that a newcomer may restore to. Sparse.
const emptyDisk = 8 << 30 // bytes

// qemu starts the image in a virtual machine, with a small sample system on
// the first disk and two empty ones beside it. The disks are made anew each
// time, so that nothing can be spoiled.
func (b *builder) qemu() error {
	env, err := b.ready()
	if err != nil {
		return err
	}
	if err := setEnvironment(env); err != nil {
		return err
	}
	dir := filepath.Join(b.out, "qemu")
	disks, err := b.sampleDisks(dir)
	if err != nil {
		return err
	}
	args := []string{
		"-accel", "kvm", "-accel", "tcg", "-cpu", "max,la57=off", "-machine", "q35",
		"-m", "1024", "-smp", "2",
		"-cdrom", filepath.Join(b.out, imageFile), "-boot", "d",
		"-device", "virtio-rng-pci", "-nic", "user,model=virtio-net-pci",
	}
	for i, disk := range disks {
		args = append(args,
			"-drive", fmt.Sprintf("file=%s,format=raw,if=none,id=d%d,discard=unmap", disk, i),
			"-device", fmt.Sprintf("ide-hd,drive=d%d,bus=ide.%d,serial=SAMPLE-%04d,model=Sample-%d", i, i+2, i+1, i+1))
	}
	if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		args = append(args, "-nographic")
	}
	fmt.Fprintln(os.Stderr, "disk 1 holds a sample system, disks 2 and 3 are empty; on the serial console Ctrl-A X ends it")
	cmd := exec.Command("qemu-system-x86_64", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

// sampleDisks makes the disks and returns their files.
func (b *builder) sampleDisks(dir string) ([]string, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var disks []string
	for _, name := range []string{"sample.img", "second.img", "third.img"} {
		disk := filepath.Join(dir, name)
		if err := os.WriteFile(disk, nil, 0o644); err != nil {
			return nil, err
		}
		if err := os.Truncate(disk, emptyDisk); err != nil {
			return nil, err
		}
		disks = append(disks, disk)
	}
	return disks, nil
}
