package acceptance

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"doppel.live/internal/vm"
)

// back is what leads to the page before, wherever that is asked.
const back = "\x03"

// home goes back to the main page.
func (c *console) home() {
	c.t.Helper()
	for range 40 {
		if strings.Contains(c.Screen(), "What would you like to do?") {
			return
		}
		c.key(back)
		time.Sleep(700 * time.Millisecond) // a page has no other sign that it is done drawing
	}
	c.fail(fmt.Errorf("no way back to the main page; the screen:\n%s", c.Screen()))
}

// says waits until the screen shows a text, broken into lines anywhere; … is
// any text between two others.
func (c *console) says(text string) {
	c.t.Helper()
	parts := strings.Split(text, "…")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(regexp.QuoteMeta(p), " ", `[\s│|]+`)
	}
	c.seeWithin(time.Minute, strings.Join(parts, "(?s:.*)"))
}

// pick presses the key before a row that holds the text, on the page of that title.
func (c *console) pick(title, row string) {
	c.t.Helper()
	found := c.see(regexp.QuoteMeta(title) + `(?s:.*)\n[^\w\n]*([0-9a-z])  [^\n]*\b` + regexp.QuoteMeta(row) + `\b`)
	c.key(found[1])
}

// lookFor looks again until the page of that title shows the text: what was
// plugged in a moment ago may be on its way.
func (c *console) lookFor(title, text string) {
	c.t.Helper()
	const foot = `(?s:.*)Look again(?s:.*): back ` // the page is drawn to its end
	c.see(regexp.QuoteMeta(title) + foot)
	wait := 500 * time.Millisecond
	for range 10 {
		ctx, cancel := context.WithTimeout(c.ctx, wait)
		_, err := c.WaitScreen(ctx, regexp.QuoteMeta(title)+`(?s:.*)`+regexp.QuoteMeta(text)+foot)
		cancel()
		if err == nil {
			return
		}
		c.key("r")
		wait = 6 * time.Second // a second key would be waiting when the page comes
	}
	c.fail(fmt.Errorf("%q not listed; the screen:\n%s", text, c.Screen()))
}

// usePlace chooses where images are, from the main page and back to it.
func (c *console) usePlace(label, answer string) {
	c.t.Helper()
	c.choose("Choose where images are")
	c.lookFor("Where are the images", label)
	c.pick("Where are the images", label)
	c.says(answer)
	c.home()
}

// planSave goes to the plan of a save of GOODSRC.
func (c *console) planSave(name string) {
	c.t.Helper()
	c.choose("Save a disk or partitions")
	c.lookFor("Save: which disk", "GOODSRC")
	c.pick("Save: which disk", "GOODSRC")
	c.choose("The whole disk")
	c.see("what shall the image be called")
	c.key("\x15" + name + "\r")
	c.see("Save: this is the plan")
}

func (c *console) planRestore(image, serial string) {
	c.t.Helper()
	c.choose("Restore an image")
	c.pick("Restore: which image", image)
	c.lookFor("Restore: onto which disk", serial)
	c.pick("Restore: onto which disk", serial)
	c.see("Restore: this is the plan")
}

// restore starts a restore with all that it asks for.
func (c *console) restore(image, serial, confirm string) {
	c.t.Helper()
	c.planRestore(image, serial)
	c.choose("Start")
	c.see("last 4 characters of the serial number")
	c.key(confirm + "\r")
}

// underWay waits until the job has done some of its work.
func (c *console) underWay() {
	c.t.Helper()
	c.seeWithin(3*time.Minute, `All [^\n]*[^\d]([1-9]|[1-9]\d)% `)
}

// result waits for the end of a job.
func (c *console) result(title, text string) {
	c.t.Helper()
	c.seeWithin(4*time.Minute, `: (Done|Failed)\b`)
	c.seeWithin(time.Second, title)
	c.says(text)
}

func (c *console) shell(command string) {
	c.t.Helper()
	c.choose("Shell")
	c.see(`doppel:.*#`)
	c.key(command + "\r")
	c.leaveShell()
}

// inShell runs a command in the shell until it says the expression.
func (c *console) inShell(command, says string) {
	c.t.Helper()
	c.choose("Shell")
	c.see(`doppel:.*#`)
	c.key(command + "\r")
	c.seeWithin(4*time.Minute, says)
	c.leaveShell()
}

// leaveShell goes back from the shell to the menu.
func (c *console) leaveShell() {
	c.t.Helper()
	c.key("exit\r")
	// The menu draws its last page again before it takes keys: it does so when
	// it answers one.
	for range 60 {
		time.Sleep(time.Second)
		if strings.Contains(c.Screen(), "Help: What would") {
			c.key("\r")
			c.see(`─ What would|- What would`)
			return
		}
		c.key("?")
	}
	c.fail(fmt.Errorf("no way back from the shell; the screen:\n%s", c.Screen()))
}

func (c *console) plug(d vm.Disk) {
	c.t.Helper()
	if err := c.Plug(d); err != nil {
		c.t.Fatal(err)
	}
}

// unplug takes a disk away and lets go of its file.
func (c *console) unplug(d vm.Disk) {
	c.t.Helper()
	if err := c.Unplug(d.ID); err != nil {
		c.t.Fatal(err)
	}
}
