package acceptance

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/stick"
	"doppel.live/internal/vm"
)

// written makes a disk of size bytes with the stick image at its beginning, as
// dd would.
func (l lab) written(t *testing.T, disk string) {
	t.Helper()
	in, err := os.Open(filepath.Join(filepath.Dir(l.iso), "doppel-usb.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}

// judgeStick lets sgdisk and fsck.exfat judge a stick, and gives the identifier
// of the disk.
func judgeStick(t *testing.T, disk string) string {
	t.Helper()
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s, err := stick.Look(f, info.Size())
	if err != nil || s.Do != stick.Use {
		t.Fatalf("%s: %+v, %v", disk, s, err)
	}
	table := run(t, "sgdisk", "-v", "-p", disk)
	if !strings.Contains(table, "No problems found") {
		t.Errorf("sgdisk: %s", table)
	}
	part := filepath.Join(t.TempDir(), "images")
	run(t, "dd", "if="+disk, "of="+part, "bs=1M", "conv=sparse", "skip=256", "status=none", "count="+mebibytes(s.Images.Length))
	if err := os.Truncate(part, s.Images.Length); err != nil {
		t.Fatal(err)
	}
	run(t, "fsck.exfat", "-n", part)
	return regexp.MustCompile(`\(GUID\): (\S+)`).FindStringSubmatch(table)[1]
}

func mebibytes(n int64) string { return strconv.FormatInt(n>>20, 10) }

// A stick with doppel-usb.img has a place for images when the menu comes. The
// image written over it again, started in another way, finds what was kept
// there; and it makes another stick. The plain image is left as it is.
//
//	sda  the stick, 2 GiB    sdb  another stick, empty
func TestStick(t *testing.T) {
	l := openLab(t)
	t.Parallel()
	disk, other := empty(t, "stick.img", 2<<30), empty(t, "other.img", 1<<30)
	l.written(t, disk)
	config := vm.Config{OVMF: l.ovmf, CPUs: 2, Disks: []vm.Disk{{Path: disk, Bus: "usb", Serial: "STICK-0001", Boot: true}}}
	c := startToMenu(t, config, 8*time.Minute)
	c.see(`Images: /dev/sda3 IMAGES, .*free`)
	c.shell("echo of the first start > /images/kept.txt")
	c.powerOff()
	first := judgeStick(t, disk)

	l.written(t, disk)
	config.Firmware = vm.SecureBoot
	config.Disks = append(config.Disks, vm.Disk{Path: other, Bus: "usb", Serial: "OTHER-0002"})
	c = startToMenu(t, config, 8*time.Minute)
	c.see(`Images: /dev/sda3 IMAGES, .*free`)
	c.choose("Shell")
	c.see(`doppel:.*#`)
	c.key("cat /images/kept.txt; grep images /proc/mounts\r")
	c.see(`of the first start\s+/dev/sda3 /images exfat rw`)
	c.leaveShell()
	c.choose("Make a Doppel stick")
	c.choose("/dev/sdb")
	c.see("OTHER-0002")
	c.choose("Start")
	c.see("last 4 characters")
	c.key("0002\r")
	c.seeWithin(4*time.Minute, "(Stick: Done|Failed)")
	c.see("Stick: Done")
	c.toMain()
	c.powerOff()
	second, third := judgeStick(t, disk), judgeStick(t, other)
	if first == second || second == third || first == third {
		t.Errorf("sticks of one build have the identifiers %s, %s, %s", first, second, third)
	}
}
