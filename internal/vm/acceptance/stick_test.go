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

// A stick with doppel-usb.img has a place for images when the menu comes. It
// starts again in another way with what was kept there, and makes another
// stick with an image copied onto it. What is written over the first one again
// finds its images, and the other one starts by itself.
//
//	the stick, 2 GiB    another stick, empty at first: sda and sdb in any order
func TestStick(t *testing.T) {
	l := openLab(t)
	t.Parallel()
	disk, other := empty(t, "stick.img", 2<<30), empty(t, "other.img", 1<<30)
	l.written(t, disk)
	c := l.boots(t, vm.BIOS, vm.Disk{Path: disk, Serial: "STICK-0001"})
	c.inShell("echo of the first start > /images/kept.txt; dd if=/dev/urandom of=/tmp/disk bs=1M count=3; doppel save /tmp/disk lab --yes", "lab is saved")
	c.powerOff()
	first := judgeStick(t, disk)

	c = l.boots(t, vm.SecureBoot, vm.Disk{Path: disk, Serial: "STICK-0001"}, vm.Disk{Path: other, Serial: "OTHER-0002"})
	target := second(c.see(place)[1])
	c.keeps()
	c.choose("Make a Doppel stick")
	c.choose(target)
	c.choose("Copy images onto it")
	c.see("Stick: which images")
	c.choose("lab")
	c.key("\r")
	c.see("Stick: this is the plan")
	c.choose("Start")
	c.see("last 4 characters")
	c.key("0002\r")
	c.seeWithin(4*time.Minute, "Stick: (Done|Failed)")
	c.see("Stick: Done")
	c.says("copied: lab")
	c.toMain()
	c.choose("Shell")
	c.see(`doppel:.*#`)
	c.key("doppel logs; doppel logs show $(doppel logs) | tail -n 1\r") // it was kept, on exFAT
	c.see(`\d{8}-\d{6}-usb\.log\s+The command ended with status 0`)
	c.leaveShell()
	c.powerOff()
	if again := judgeStick(t, disk); again != first {
		t.Errorf("the second start changed the identifier of the disk from %s to %s", first, again)
	}

	l.written(t, disk)
	t.Run("written again", func(t *testing.T) {
		t.Parallel()
		c := l.boots(t, vm.BIOS, vm.Disk{Path: disk, Serial: "STICK-0001"})
		c.keeps()
		c.powerOff()
		if second := judgeStick(t, disk); second == first {
			t.Errorf("two sticks of one build have the identifier %s", first)
		}
	})
	t.Run("the other one", func(t *testing.T) {
		t.Parallel()
		c := l.boots(t, vm.SecureBoot, vm.Disk{Path: other, Serial: "OTHER-0002"})
		c.inShell("doppel verify lab", "can be restored")
		c.powerOff()
		if third := judgeStick(t, other); third == first {
			t.Errorf("two sticks of one build have the identifier %s", first)
		}
	})
}

// place is the head of a menu that has the partition of the stick for images.
const place = `Images: (/dev/sd[ab])3 IMAGES, .*free`

// second is the other one of two USB disks, which may have either name.
func second(first string) string {
	if first == "/dev/sda" {
		return "/dev/sdb"
	}
	return "/dev/sda"
}

// boots starts a machine from the first of some sticks, to the menu with its
// place for images.
func (l lab) boots(t *testing.T, firmware vm.Firmware, sticks ...vm.Disk) *console {
	t.Helper()
	sticks[0].Boot = true
	for i := range sticks {
		sticks[i].Bus = "usb"
	}
	began := time.Now()
	c := startToMenu(t, vm.Config{Firmware: firmware, OVMF: l.ovmf, Disks: sticks}, 8*time.Minute)
	for range 5 {
		if regexp.MustCompile(place).MatchString(c.Screen()) {
			break
		}
		// On a machine with too much to do the stick comes later than the menu,
		// which notices on its way back to the main page.
		t.Log("the menu came without the place")
		c.choose("Disks and their health")
		c.see(`STICK-|OTHER-`)
		c.key("q")
		c.see(menu)
	}
	c.see(place)
	t.Logf("%v: the menu with its place after %.0f s", firmware, time.Since(began).Seconds())
	return c
}

// keeps looks for what the first start left in the place for images.
func (c *console) keeps() {
	c.t.Helper()
	c.inShell("cat /images/kept.txt; grep images /proc/mounts", `of the first start\s+/dev/sd[ab]3 /images exfat rw`)
}
