package pid1

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"doppel.live/internal/live/console"
	"doppel.live/internal/store/remote"
	"golang.org/x/sys/unix"
)

const noctty = unix.O_NOCTTY

// answerTime is how long a terminal on a serial line has to tell its size.
const answerTime = 250 * time.Millisecond

// screens are the virtual consoles in use: menu, shell, log, shell.
func screens() []string { return []string{"tty1", "tty2", "tty3", "tty4"} }

// script gives one program after another for a console. It is called with
// what the last one ended with, the first time with nil, and gives nil when it
// has no more.
type script func(last *syscall.WaitStatus, say func(string)) []string

// consoles puts something on each console and lowers the kernel's voice, so
// that its messages do not scribble over the menu.
func (m *machine) consoles() {
	_, err := os.Stat("/dev/tty1")
	screen := err == nil
	text, _ := os.ReadFile("/proc/consoles")
	menus := console.Choose(console.Parse(string(text)), m.config.Consoles, screen)
	m.log.always("menu started at %s", uptime())
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("3\n"), 0)
	for i, c := range menus {
		var first script
		if i == 0 {
			first = m.unattended()
		}
		go m.background("console "+c.Name, func() { m.keep(c, first, []string{"menu"}) })
	}
	if !screen {
		return
	}
	for _, name := range screens()[1:] {
		c := console.Console{Name: name}
		if slices.ContainsFunc(menus, func(m console.Console) bool { return m.Name == name }) {
			continue
		}
		if name == "tty3" {
			go m.background("log on "+name, func() { m.logScreen(c) })
			continue
		}
		go m.background("console "+name, func() { m.keep(c, nil, shell()) })
	}
}

// shell is what talks to a person who wants a command line.
func shell() []string {
	if _, err := os.Stat("/bin/sh"); err == nil {
		return []string{"/bin/sh"} // -i is implied on a terminal
	}
	return []string{"gosh"}
}

// Between two starts of a program that ends at once.
const (
	shortRun = 5 * time.Second
	minPause = 100 * time.Millisecond
	maxPause = 30 * time.Second
)

// keep runs the programs of first and then usual, again and again. Where usual
// is missing there is a shell. It returns when the console cannot be used.
func (m *machine) keep(c console.Console, first script, usual []string) {
	pause := minPause
	var last *syscall.WaitStatus
	seat := seat{Console: c, wait: answerTime}
	for {
		argv := usual
		if first != nil {
			if argv = first(last, func(s string) { m.say(c, s) }); argv == nil {
				first, argv = nil, usual
			}
		}
		begin := time.Now()
		status, err := m.runOn(&seat, argv)
		if m.children.ending() {
			return
		}
		last = status
		switch {
		case errors.Is(err, errEnding):
			return
		case errors.Is(err, errNoConsole):
			m.log.printf("nothing runs on %s: %v", c.Name, err)
			return
		case err != nil:
			m.log.printf("%s on %s: %v", argv[0], c.Name, err)
			if errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "not found") {
				usual = shell()
			}
			failed := syscall.WaitStatus(127 << 8)
			last = &failed
		case first != nil:
			continue
		}
		if time.Since(begin) >= shortRun || (status != nil && status.ExitStatus() == 0) {
			pause = minPause
		} else {
			pause = min(2*pause, maxPause)
			m.say(c, fmt.Sprintf("%s ended unexpectedly (%s) and is started again.", argv[0], ended(last)))
		}
		time.Sleep(pause)
	}
}

var errNoConsole = errors.New("no usable console")

// seat is a console with what was learnt of its terminal.
type seat struct {
	console.Console
	wait time.Duration // how long it is given to answer; 0 once it did not
}

// runOn runs one program on a freshly opened console until it ends.
func (m *machine) runOn(c *seat, argv []string) (*syscall.WaitStatus, error) {
	f, env, err := c.ready()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoConsole, err)
	}
	done, err := m.children.start(program{argv: argv, env: env, tty: f, attr: console.Session()})
	f.Close()
	if err != nil {
		return nil, err
	}
	status := <-done
	return &status, nil
}

// ready opens the console and makes it fit to work at.
func (c *seat) ready() (*os.File, []string, error) {
	f, err := c.Open()
	if err != nil {
		return nil, nil, err
	}
	if c.Virtual() {
		if err = console.PrepareScreen(f); err == nil {
			_, _ = console.FitFont(f) // the small one can be read as well
		}
	}
	answered := false
	if err == nil {
		answered, err = console.FitSize(c.Console, f, c.wait)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	if !answered {
		c.wait = 0
	}
	return f, []string{"TERM=" + terminal(c.Console, answered)}, nil
}

// terminal names the kind of terminal: what answers on a serial line is a
// window of today, what stays silent may be anything.
func terminal(c console.Console, answered bool) string {
	switch {
	case c.Virtual():
		return "linux"
	case answered:
		return "xterm"
	}
	return "vt220"
}

// say writes a line to a console.
func (m *machine) say(c console.Console, text string) {
	text = remote.Scrub(text, m.config.Secrets...)
	m.log.printf("%s: %s", c.Name, text)
	if f, err := os.OpenFile(c.Path(), os.O_WRONLY|noctty, 0); err == nil {
		fmt.Fprintf(f, "\r\n%s\r\n", strings.ReplaceAll(text, "\n", "\r\n"))
		f.Close()
	}
}

// ended says in words what a program ended with.
func ended(s *syscall.WaitStatus) string {
	switch {
	case s == nil:
		return "it could not be started"
	case s.Signaled():
		return "signal: " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// logScreen shows the kernel's log, with ours in it.
func (m *machine) logScreen(c console.Console) {
	f, _, err := (&seat{Console: c}).ready()
	if err != nil {
		return
	}
	defer f.Close()
	if err := showKernelLog(f, m.config.Secrets); err != nil {
		m.log.printf("log on %s: %v", c.Name, err)
	}
}

// cutShort says on every console that the system is not whole and leaves a
// shell there.
func (m *machine) cutShort() {
	m.log.always("%s", cutShortText())
	text, _ := os.ReadFile("/proc/consoles")
	_, err := os.Stat("/dev/tty1")
	for _, c := range console.Choose(console.Parse(string(text)), nil, err == nil) {
		notice := func(last *syscall.WaitStatus, say func(string)) []string {
			if last == nil {
				say(cutShortText())
				return shell()
			}
			return nil
		}
		go m.background("console "+c.Name, func() { m.keep(c, notice, shell()) })
	}
}
