// Command probe is the first process of a machine that tests the initramfs: it
// says on the console what it found, runs the command lines that are its
// arguments, and switches the machine off.
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
	load()
	for _, c := range os.Args[1:] {
		say("run "+c, command("sh", "-c", c))
	}
	free, _ := os.ReadFile("/proc/meminfo")
	fmt.Printf("PROBE %s\n", strings.Join(strings.Fields(string(free))[:9], " "))
	fmt.Println("PROBE end")
}

// load has modules loaded in all the ways there are.
func load() {
	start := time.Now()
	loader, err := modules.Open()
	say("open", err)
	if err != nil {
		return
	}
	took("index", start)
	start = time.Now()
	n, err := loader.Coldplug()
	took(fmt.Sprintf("coldplug of %d modules (%v)", n, err), start)
	say("nodes", loader.MakeNodes("/dev"))
	for _, m := range []string{"ext4", "fs-xfs", "btrfs", "ntfs3", "dm-snapshot", "dm-thin-pool", "raid456", "loop", "nbd"} {
		say("load "+m, loader.Load(m))
	}
	start = time.Now()
	say("modprobe", command("modprobe", "-q", "--", "fs-vfat"))
	took("modprobe", start)
	// The kernel asks for the file system by itself; there is nothing to mount.
	err = unix.Mount("none", "/mnt", "f2fs", 0, "")
	if !errors.Is(err, unix.ENODEV) {
		err = nil
	}
	say("kernel's request", err)
	say("NVMe disk", disks("nvme*", 1))
	say("AHCI, SCSI and USB disk", disks("sd*", 3))
	_, err = os.Stat("/sys/class/net/eth0")
	say("network card", err)
}

// disks waits for so many disks: drivers look for theirs in the background.
func disks(pattern string, wanted int) error {
	var found []string
	for range 300 {
		found, _ = filepath.Glob("/sys/block/" + pattern)
		if len(found) >= wanted {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("only %v came", found)
}

func say(what string, err error) {
	if err != nil {
		fmt.Printf("PROBE failed: %s: %v\n", what, err)
		return
	}
	fmt.Printf("PROBE ok: %s\n", what)
}

func took(what string, since time.Time) {
	fmt.Printf("PROBE %s took %v\n", what, time.Since(since).Round(time.Millisecond))
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
