package acceptance

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// least is the memory that the README says is enough, in MiB.
const least = 768

// Every way to start the image reaches the menu, on the serial terminal and on
// the graphical console. From a CD a stick is made of a disk.
func TestBoots(t *testing.T) {
	l := openLab(t)
	for _, test := range []struct {
		name     string
		firmware vm.Firmware
		stick    bool // written to a USB stick as it is, not burned
	}{
		{"BIOS from CD", vm.BIOS, false},
		{"BIOS from stick", vm.BIOS, true},
		{"UEFI from CD", vm.UEFI, false},
		{"UEFI from stick", vm.UEFI, true},
		{"Secure Boot from CD", vm.SecureBoot, false},
		{"Secure Boot from stick", vm.SecureBoot, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := vm.Config{Firmware: test.firmware, OVMF: l.ovmf, NIC: true, Memory: least}
			if test.stick {
				config.Disks = []vm.Disk{{Path: l.iso, Bus: "usb", Serial: "STICK-0001", Snapshot: true, Boot: true}}
			} else {
				config.CD = l.iso
			}
			disk := empty(t, "disk.img", 1<<30)
			config.Disks = append(config.Disks, vm.Disk{Path: disk, Bus: "ahci", Serial: "EMPTY-0001"})
			c := startToMenu(t, config, 8*time.Minute)
			c.choose("Disks and their health")
			c.see(`PTY-0001`)
			c.key("q")
			c.see(menu)
			picture := filepath.Join(t.TempDir(), "menu.png")
			if dir := os.Getenv("DOPPEL_SCREENSHOTS"); dir != "" {
				picture = filepath.Join(dir, filepath.Base(t.Name())+".png")
			}
			if err := c.Screenshot(picture); err != nil {
				t.Fatal(err)
			}
			if test.firmware == vm.BIOS && !test.stick {
				began := time.Now()
				c.inShell("doppel usb serial:EMPTY-0001 --yes", "is a Doppel stick: written")
				t.Logf("a stick after %.0f s", time.Since(began).Seconds())
				c.powerOff()
				judgeStick(t, disk)
			}
			if test.firmware == vm.SecureBoot {
				c.choose("Shell")
				c.see(`doppel:.*#`)
				c.key("dmesg | grep -i 'secure boot'; cat /sys/kernel/security/lockdown\r")
				c.see(`Secure boot enabled`)
				c.see(`\[integrity\]`)
			}
		})
	}
}

// The menu stands on the screen within twice the time that the same kernel and
// initramfs need to reach an init that only says so and stops. Both are
// counted from the kernel's first line, as somebody at the console would.
func TestTimeToMenu(t *testing.T) {
	l := openLab(t)
	boot := func(name, parameter string, wait func(*console)) float64 {
		c := start(t, vm.Config{
			Kernel: l.kernel, Initrd: l.initrd, NIC: true, Append: commandLine + parameter,
			Disks: []vm.Disk{
				{Path: empty(t, "a.img", 1<<30), Bus: "ahci", Serial: "A"},
				{Path: empty(t, "b.img", 1<<30), Bus: "nvme", Serial: "B"},
				{Path: empty(t, "c.img", 1<<30), Bus: "usb", Serial: "C"},
			},
		}, 4*time.Minute)
		defer c.Close()
		c.hear(`Linux version`)
		began := time.Now()
		wait(c)
		seconds := time.Since(began).Seconds()
		t.Logf("%s: %.1f s after the kernel's first line", name, seconds)
		return seconds
	}
	bare := boot("init that only stops", " doppel.init=stop", func(c *console) { c.hear(`doppel: init reached at [0-9.]+`) })
	full := boot("menu on the screen", "", func(c *console) { c.see(menu) })
	if full > 2*bare {
		t.Errorf("the menu takes %.1f times as long as reaching init", full/bare)
	}
}
