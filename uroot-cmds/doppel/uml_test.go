package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// inside is set in the environment of the test binary that runs in user-mode
// Linux, a kernel as a plain process.
const inside = "DOPPEL_INSIDE_UML"

// TestUserModeLinux runs the tests below on a kernel with partitions, arrays,
// LVM and disks that can be unplugged.
func TestUserModeLinux(t *testing.T) {
	if os.Getenv(inside) != "" {
		t.Skip("this is the inside")
	}
	kernel, err := exec.LookPath("linux.uml")
	modules, _ := filepath.Glob("/usr/lib/uml/modules/*")
	if err != nil || len(modules) != 1 || os.Geteuid() != 0 {
		t.Skip("needs root and user-mode-linux")
	}
	dir := t.TempDir()
	tree := filepath.Join(dir, "lib/modules")
	if err := os.MkdirAll(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules[0], filepath.Join(tree, filepath.Base(modules[0]))); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	here, _ := os.Getwd()
	script := fmt.Sprintf(`#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/mnt HOME=/mnt %s=%s
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mount -t tmpfs run /run; mount -t tmpfs mnt /mnt
for m in raid1 dm-mod sd_mod; do modprobe -d %s $m; done
cd %s && %s -test.v -test.run '^TestInside' >%s/out 2>&1
echo "ended with $?" >>%s/out
poweroff -f
`, inside, dir, dir, here, self, dir, dir)
	if err := os.WriteFile(filepath.Join(dir, "init"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"mem=768M", "rootfstype=hostfs", "rw", "init=" + dir + "/init", "con=null", "con0=null,fd:1", "quiet"}
	for i := range 4 {
		file := filepath.Join(dir, fmt.Sprintf("disk%d", i))
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, 96*mib); err != nil {
			t.Fatal(err)
		}
		args = append(args, fmt.Sprintf("ubd%d=%s", i, file))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	said, err := exec.CommandContext(ctx, kernel, args...).CombinedOutput()
	out, _ := os.ReadFile(filepath.Join(dir, "out"))
	t.Logf("%s", out)
	if !bytes.HasSuffix(out, []byte("\nended with 0\n")) || bytes.Contains(out, []byte("--- SKIP")) {
		t.Errorf("the tests inside went wrong: %v\n%s", err, said)
	}
}

// insideLab is a lab in user-mode Linux; the image lab is that of its source.
func insideLab(t *testing.T) *lab {
	if os.Getenv(inside) == "" {
		t.Skip("runs in user-mode Linux")
	}
	l := newLab(t)
	l.expect(done, "is saved", "save", "source.img", "lab")
	return l
}

// ubda gets the image and partitions; ubdb takes one of them.
func TestInsidePartitions(t *testing.T) {
	l := insideLab(t)
	l.expect(refused, "disks would fit", "restore", "lab", "ubda", "--yes")
	l.expect(done, "is restored", "restore", "lab", "/dev/ubda", "--yes", "--verify")
	for _, p := range []string{"ubda1", "ubda2", "ubda3"} {
		if _, err := os.Stat("/sys/class/block/" + p); err != nil {
			t.Errorf("the kernel does not know %s after the restore", p)
		}
	}
	l.expect(done, "ubda2", "disks")
	l.expect(done, "is saved", "save", "label:root", "root")
	l.expect(done, "absent", "images", "show", "root")
	l.tool("label: dos\nsize=40MiB\n", "sfdisk", "--quiet", "/dev/ubdb")
	l.expect(done, "is restored", "restore", "root", "/dev/ubdb1", "--only", "ubda2", "--yes", "--verify")
	l.tool("", "e2fsck", "-fn", "/dev/ubdb1")
	l.expect(refused, "no partition 2", "restore", "root", "/dev/ubdb", "--yes", "--only", "ubda2")
	l.expect(done, "is saved", "save", "ubda1", "ubda3", "two")

	point := t.TempDir()
	l.tool("", "mount", "/dev/ubda2", point)
	defer exec.Command("umount", point).Run()
	l.expect(refused, "ubda2 is mounted at "+point, "save", "ubda", "x")
	l.expect(done, "is saved", "save", "ubda", "x", "--except", "ubda2")
	l.expect(refused, "ubda2 is mounted at "+point, "restore", "lab", "/dev/ubda", "--yes")
	l.expect(refused, "--except ubda2", "save", "ubda", "x", "--images", point)
	l.expect(done, "is saved", "save", "ubda", "y", "--images", point, "--except", "ubda2")
	l.expect(refused, "lies on it", "restore", point+"/y", "/dev/ubda", "--yes")
}

func TestInsideArraysLVMAndSwap(t *testing.T) {
	l := insideLab(t)
	quiet := "activation{udev_sync=0 udev_rules=0}"
	l.tool("", "mdadm", "--create", "/dev/md0", "--run", "--metadata=1.0", "--level=1", "--raid-devices=2", "/dev/ubdc", "/dev/ubdd")
	l.expect(refused, "the array md0", "restore", "lab", "/dev/ubdc", "--yes")
	l.tool("", "mdadm", "--stop", "/dev/md0")
	l.expect(done, "is restored", "restore", "lab", "/dev/ubdc", "--yes")
	if out, err := exec.Command("mdadm", "--examine", "/dev/ubdc").CombinedOutput(); err == nil && strings.Contains(string(out), "Array UUID") {
		t.Errorf("still a member of the array:\n%s", out)
	}
	l.tool("", "wipefs", "--all", "/dev/ubdd")
	l.tool("", "pvcreate", "-ff", "-y", "/dev/ubdd")
	l.tool("", "vgcreate", "--config", quiet, "vg", "/dev/ubdd")
	l.tool("", "lvcreate", "--config", quiet, "-Zn", "-Wn", "-L", "16M", "-n", "root", "vg")
	l.expect(refused, "LVM (vg-root)", "restore", "lab", "/dev/ubdd", "--yes")
	l.tool("", "vgchange", "--config", quiet, "-an", "vg")
	l.expect(done, "is restored", "restore", "lab", "/dev/ubdd", "--yes")
	if out := l.tool("", "pvs"); strings.Contains(out, "ubdd") {
		t.Errorf("still a physical volume:\n%s", out)
	}
	l.tool("", "swapon", "/dev/ubdd3")
	defer exec.Command("swapoff", "/dev/ubdd3").Run()
	l.expect(refused, "swapoff /dev/ubdd3", "restore", "lab", "/dev/ubdd", "--yes")
	l.expect(done, "is saved", "save", "ubdd", "x")
}

func TestInsideUnpluggedTarget(t *testing.T) {
	l := insideLab(t)
	if out, err := exec.Command("modprobe", "-d", os.Getenv(inside), "scsi_debug", "dev_size_mb=80", "sector_size=512").CombinedOutput(); err != nil {
		t.Fatalf("scsi_debug: %v %s", err, out)
	}
	for range 100 {
		if _, err := os.Stat("/dev/sda"); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.expect(done, "sda", "disks")
	l.on = func(line string) {
		if strings.Contains(line, `"event":"step"`) && strings.Contains(line, "source.img2") {
			if err := os.WriteFile("/sys/block/sda/device/delete", []byte("1"), 0); err != nil {
				t.Error(err)
			}
		}
	}
	status, out := l.doppel(context.Background(), "", "restore", "lab", "serial:2000", "--yes", "--json")
	l.on = nil
	if status != failed || !strings.Contains(out, "check its cable") {
		t.Errorf("exit status %d:\n%s", status, out)
	}
}
