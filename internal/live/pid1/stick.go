package pid1

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long the menu waits for the stick that the machine was started from, and
// how long its place for images is waited for behind the menu.
const (
	stickWait  = "30s" // for it to appear
	stickLate  = "10m"
	stickLimit = 60 * time.Second // for all of the work
	stickSoon  = 2 * time.Second  // a screen that stays empty longer needs a word
)

// noStick is the exit status of the command stick where none is there.
const noStick = 3

// firstDisc is the number from which on GRUB's disks of a BIOS are discs:
// drives 0xE0 and more, hd96.
const firstDisc = 0x60

// stick gives the stick that the machine was started from its partition for
// images, in a process of its own, so that the menu has a place for images when
// it comes. Nothing that goes wrong there keeps the menu from coming; a stick
// that shows up later is a place for images then.
func (m *machine) stick() {
	if m.config.ToRAM || !maybeStick(m.config.Medium) {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			m.log.printf("stick: %v", r)
		}
	}()
	done := m.growStick("--wait", stickWait, "--settle")
	limit := time.After(stickLimit)
	for soon := time.After(stickSoon); done != nil; soon = nil {
		select {
		case status := <-done:
			switch status.ExitStatus() {
			case 0:
			case noStick:
				m.growStick("--wait", stickLate)
			default:
				m.log.printf("the partition for images of the stick: see %s/stick.log", logFolder)
			}
			return
		case <-soon:
			m.log.always("looking for the stick and its place for images, then the menu comes")
		case <-limit:
			m.log.printf("the partition for images of the stick takes long: the menu comes without it")
			return
		}
	}
}

// growStick starts the command. The channel is nil where that cannot be.
func (m *machine) growStick(args ...string) <-chan syscall.WaitStatus {
	out, err := os.OpenFile(logFolder+"/stick.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		defer out.Close()
	}
	done, err := m.children.start(program{argv: append([]string{"stick", "grow"}, args...), tty: out})
	if err != nil {
		m.log.printf("stick: %v", err)
		return nil
	}
	return done
}

// maybeStick tells whether what GRUB calls its medium may be a stick: hd0 is a
// disk, cd0 and hd96 are discs.
func maybeStick(medium string) bool {
	digits, ok := strings.CutPrefix(medium, "hd")
	n, err := strconv.Atoi(digits)
	return ok && err == nil && n < firstDisc
}
