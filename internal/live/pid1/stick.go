package pid1

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// How long the menu waits for the stick that the machine was started from: the
// program itself for the stick to appear, and this process for the program.
const (
	stickWait  = "20s"
	stickLimit = 60 * time.Second
	stickSoon  = 2 * time.Second // a screen that stays empty longer needs a word
)

// firstDisc is the number from which on GRUB's disks of a BIOS are discs:
// drives 0xE0 and more, hd96.
const firstDisc = 0x60

// stick gives the stick that the machine was started from its partition for
// images, in a process of its own, so that the menu has a place for images when
// it comes. Nothing that goes wrong there keeps the menu from coming.
func (m *machine) stick() {
	if !maybeStick(m.config.Medium) {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			m.log.printf("stick: %v", r)
		}
	}()
	out, err := os.OpenFile(logFolder+"/stick.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		defer out.Close()
	}
	done, err := m.children.start(program{argv: []string{"stick", "grow", "--wait", stickWait}, tty: out})
	if err != nil {
		m.log.printf("stick: %v", err)
		return
	}
	limit := time.After(stickLimit)
	for soon := time.After(stickSoon); ; soon = nil {
		select {
		case status := <-done:
			if status.ExitStatus() != 0 {
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

// maybeStick tells whether what GRUB calls its medium may be a stick: hd0 is a
// disk, cd0 and hd96 are discs.
func maybeStick(medium string) bool {
	digits, ok := strings.CutPrefix(medium, "hd")
	n, err := strconv.Atoi(digits)
	return ok && err == nil && n < firstDisc
}
