// Command probe is the first process of a machine that tests the initramfs: it
// says on the console what it found, and switches the machine off.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"doppel.live/internal/live/modules"
	"golang.org/x/sys/unix"
)

func main() {
	defer unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	for _, m := range [][3]string{{"proc", "/proc", "proc"}, {"sys", "/sys", "sysfs"}, {"dev", "/dev", "devtmpfs"}} {
		say("mount "+m[1], unix.Mount(m[0], m[1], m[2], 0, ""))
	}
	os.Setenv("PATH", "/bbin:/usr/bin:/usr/sbin")
	_, err := os.Stat("/.complete")
	say("complete", err)
	say("links", dangling())
	say("request", os.WriteFile("/proc/sys/kernel/modprobe", []byte("/usr/sbin/modprobe"), 0o644))

	loader, err := modules.Open()
	say("open", err)
	if err != nil {
		return
	}
	start := time.Now()
	n, err := loader.Coldplug()
	fmt.Printf("PROBE coldplug: %d modules in %v, errors: %v\n", n, time.Since(start).Round(time.Millisecond), err)
	for _, m := range []string{"ext4", "fs-xfs", "btrfs", "ntfs3", "nvme", "xhci_pci", "dm-snapshot", "dm-thin-pool", "raid456", "bcachefs", "sd_mod", "loop", "nbd"} {
		say("load "+m, loader.Load(m))
	}
	start = time.Now()
	say("modprobe", command("modprobe", "-q", "--", "fs-vfat"))
	fmt.Printf("PROBE modprobe took %v\n", time.Since(start).Round(time.Millisecond))
	// The kernel asks for the file system by itself.
	err = unix.Mount("none", "/mnt", "f2fs", 0, "")
	if errors.Is(err, unix.ENODEV) {
		say("kernel's request", err)
	} else {
		say("kernel's request", nil)
	}
	for _, c := range os.Args[1:] {
		say("run "+c, command("sh", "-c", c))
	}
	free, _ := os.ReadFile("/proc/meminfo")
	fmt.Printf("PROBE %s\n", strings.Join(strings.Fields(string(free))[:9], " "))
	fmt.Println("PROBE end")
}

func say(what string, err error) {
	if err != nil {
		fmt.Printf("PROBE failed: %s: %v\n", what, err)
		return
	}
	fmt.Printf("PROBE ok: %s\n", what)
}

func command(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// dangling finds links that lead nowhere.
func dangling() error {
	var errs []error
	for _, dir := range []string{"/usr", "/bbin", "/etc"} {
		filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type() == fs.ModeSymlink {
				if _, err := os.Stat(p); err != nil {
					errs = append(errs, err)
				}
			}
			return err
		})
	}
	return errors.Join(errs...)
}
