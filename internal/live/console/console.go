// Package console holds what a program needs to stand on a console of the live
// system: which consoles there are, a freshly opened terminal that leads to
// one, its size, and the virtual console's font and character set. It starts
// no programs and draws nothing.
package console

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Console is a terminal at which somebody may sit.
type Console struct {
	Name      string // tty1, ttyS0, hvc0: a name below /dev
	Preferred bool   // /dev/console leads here: the last console= of the command line
}

// Virtual tells whether c is one of the kernel's own screens.
func (c Console) Virtual() bool {
	rest, ok := strings.CutPrefix(c.Name, "tty")
	return ok && rest != "" && strings.Trim(rest, "0123456789") == ""
}

// Path is the device of c.
func (c Console) Path() string { return "/dev/" + c.Name }

// Parse reads /proc/consoles, whose lines look so:
//
//	ttyS0                -W- (EC   a)    4:64
//	tty0                 -WU (E    )     4:1
//
// tty0 is whichever screen is shown; it is given as tty1. Consoles that cannot
// be typed at (netconsole, pstore, …) are told apart by Open failing.
func Parse(text string) []Console {
	var out []Console
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.ContainsAny(fields[0], "/") {
			continue
		}
		c := Console{Name: fields[0]}
		if c.Name == "tty0" {
			c.Name = "tty1"
		}
		_, flags, _ := strings.Cut(line, "(")
		flags, _, _ = strings.Cut(flags, ")")
		c.Preferred = strings.Contains(flags, "C")
		out = append(out, c)
	}
	return out
}

// Choose gives the consoles for the menu, the primary one first: those named,
// or else all of the kernel's and the first screen, where there is one.
func Choose(kernel []Console, named []string, screen bool) []Console {
	var out []Console
	add := func(c Console) {
		for _, have := range out {
			if have.Name == c.Name {
				return
			}
		}
		out = append(out, c)
	}
	for _, n := range named {
		add(Console{Name: n})
	}
	if len(out) > 0 {
		return out
	}
	for _, c := range kernel {
		if c.Preferred {
			add(c)
		}
	}
	for _, c := range kernel {
		add(c)
	}
	if screen {
		add(Console{Name: "tty1"})
	}
	return out
}

// Open opens the console freshly, without waiting for a modem's carrier and
// without making it the caller's controlling terminal, and puts it back into
// the state that a shell expects. What a session leader had opened before is
// dead once that leader has ended, so nobody passes an old one on.
func (c Console) Open() (*os.File, error) {
	fd, err := unix.Open(c.Path(), unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("console %s: %w", c.Name, err)
	}
	if err := sane(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("console %s: %w", c.Name, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("console %s: %w", c.Name, err)
	}
	return os.NewFile(uintptr(fd), c.Path()), nil
}

// Session is how a program is started so that its standard input becomes the
// controlling terminal of a session of its own.
func Session() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
}

// sane sets line mode with echo, eight bits, no modem lines; the speed stays.
func sane(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag = unix.ICRNL | unix.IXON | unix.IUTF8
	t.Oflag = unix.OPOST | unix.ONLCR
	t.Cflag = t.Cflag&(unix.CBAUD|unix.CBAUDEX) | unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Lflag = unix.ISIG | unix.ICANON | unix.IEXTEN | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE
	t.Cc[unix.VINTR], t.Cc[unix.VQUIT], t.Cc[unix.VERASE], t.Cc[unix.VKILL] = 3, 28, 127, 21
	t.Cc[unix.VEOF], t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 4, 1, 0
	t.Cc[unix.VSTART], t.Cc[unix.VSTOP], t.Cc[unix.VSUSP] = 17, 19, 26
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
