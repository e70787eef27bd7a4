package acceptance

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// A machine with every kind of disk and with no keyboard but one on USB,
// started from a CD by the entry "to RAM":
//
//	ide.1 AHCI · NVMe · virtio · SCSI · USB · SD card
//
// All disks show up, the keyboard works, and the CD can be taken out.
func TestHardware(t *testing.T) {
	l := openLab(t)
	t.Parallel()
	config := vm.Config{CD: l.iso, Memory: least, USBKeyboard: true}
	for _, bus := range []string{"ahci", "nvme", "virtio", "scsi", "usb", "sd"} {
		disk := vm.Disk{Path: empty(t, bus, 64<<20), Bus: bus, Serial: "ON-" + strings.ToUpper(bus)}
		if bus == "sd" {
			disk.Serial = "" // the card has one of its own
		}
		config.Disks = append(config.Disks, disk)
	}
	const down = "\x0e" // Ctrl-N
	c := startEntry(t, config, 8*time.Minute, 150*time.Second, "Imaging menu, to RAM: take the medium out", down+"\r")
	c.see("The whole system is in memory: the medium can be taken out.")

	c.choose("Shell")
	c.see(`doppel:.*#`)
	mark := c.Mark()
	c.key("doppel disks --json; place list --json; echo all-\"\"listed\r")
	said, err := c.WaitLog(c.ctx, mark, `(?s)(.*)all-listed`)
	if err != nil {
		c.fail(err)
	}
	for _, want := range []string{"ON-AHCI", "ON-NVME", "ON-VIRTIO", "ON-SCSI", "ON-USB", "mmcblk0"} {
		if !strings.Contains(said[1], want) {
			t.Errorf("%s is not among the disks", want)
		}
	}
	_, places, ok := strings.Cut(said[1], `"places":`)
	if !ok || strings.Contains(places, `"boot_medium":true`) {
		t.Error("the boot medium is a place")
	}
	if t.Failed() {
		t.Log(said[1])
	}
	c.key("exit\r")
	c.see(menu)
	c.typeOnScreen("echo by-usb >/dev/ttyS0\n", "by-usb")
	if _, err := c.QMP("eject", map[string]any{"id": "cdrom"}); err != nil { // refused where the guest holds the tray
		t.Error(err)
	}
	c.key("\x0c") // Ctrl-L: what was typed went over the menu
	c.see(menu)
	c.choose("Disks and their health")
	c.see("NVME")
}

// typeOnScreen types a command for the shell on the second console, on the
// machine's keyboard, until the serial line says what it must. A busy machine
// may lose keys.
func (c *console) typeOnScreen(command, says string) {
	c.t.Helper()
	mark := c.Mark()
	for range 4 {
		if err := c.Keys("alt-f2"); err != nil {
			c.t.Fatal(err)
		}
		c.typeKeys("\n" + command)
		ctx, cancel := context.WithTimeout(c.ctx, 30*time.Second)
		_, err := c.WaitLog(ctx, mark, says)
		cancel()
		if err == nil {
			return
		}
	}
	c.fail(fmt.Errorf("%s was not typed", command))
}

// typeKeys presses the keys of a text on a keyboard with the layout us.
func (c *console) typeKeys(text string) {
	c.t.Helper()
	names := map[rune]string{' ': "spc", '\n': "ret", '-': "minus", '/': "slash", '>': "shift-dot"}
	for _, r := range text {
		name := names[r]
		switch {
		case name != "":
		case 'A' <= r && r <= 'Z':
			name = "shift-" + strings.ToLower(string(r))
		default:
			name = string(r)
		}
		if err := c.Keys(name); err != nil {
			c.t.Fatal(err)
		}
	}
}

// The menu needs less memory than the README says. What it needs is found out
// by trying, and told.
func TestLeastMemory(t *testing.T) {
	l := openLab(t)
	if os.Getenv("DOPPEL_SOAK") == "" {
		t.Skip("starts a machine many times: run ./build.sh soak")
	}
	for _, firmware := range []vm.Firmware{vm.BIOS, vm.UEFI} {
		t.Run(firmware.String(), func(t *testing.T) {
			t.Parallel()
			enough := 0
			for _, memory := range []int{512, 448, 384, 320, 256} {
				c := start(t, vm.Config{Firmware: firmware, OVMF: l.ovmf, CD: l.iso, Memory: memory}, 4*time.Minute)
				_, err := c.WaitScreen(c.ctx, menu)
				c.Close()
				if err != nil {
					t.Logf("%d MiB: no menu", memory)
					break
				}
				enough = memory
			}
			t.Logf("the least memory with which the menu comes: %d MiB", enough)
			if enough == 0 {
				t.Error("not even 512 MiB are enough")
			}
		})
	}
}
