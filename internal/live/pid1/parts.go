package pid1

import (
	"os"
	"strings"
	"time"

	"doppel.live/internal/live/cmdline"
	"doppel.live/internal/live/console"
	"doppel.live/internal/live/keymap"
	"github.com/u-root/u-root/pkg/libinit"
	"golang.org/x/sys/unix"
)

// seed waits once until the kernel has random numbers, so that no program
// spins for them. Go's own reads of randomness would wait the same way.
func (m *machine) seed() {
	var b [1]byte
	for {
		if _, err := unix.Getrandom(b[:], 0); err != unix.EINTR {
			break
		}
	}
	m.log.printf("random numbers at %s", uptime())
}

// loopback makes 127.0.0.1 work.
func (m *machine) loopback() { libinit.NetInit() }

// keyboard sets the keyboard map that was asked for.
func (m *machine) keyboard() {
	if m.config.Keymap == "" {
		return
	}
	f, err := console.Console{Name: "tty1"}.Open()
	if err != nil {
		return // no screen, no keyboard
	}
	defer f.Close()
	if err := keymap.Load(f, m.config.Keymap); err != nil {
		m.log.printf("%v", err)
	}
}

// networkCommand is the command that brings the network up, where ip= and the
// like say how, or where something is needed from a server; else nil.
func networkCommand(c cmdline.Config) []string {
	if len(c.IP)+len(c.Links) > 0 {
		return []string{"network", "start"}
	}
	remote := len(c.SSH) > 0
	for _, name := range append([]string{c.Job}, c.Preload...) {
		remote = remote || strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
	}
	if remote {
		return []string{"network", "up"}
	}
	return nil
}

// network brings the network up in a process of its own.
func (m *machine) network(argv []string) {
	m.logged("network", argv)
}

// logged runs a program whose output goes to a file below logFolder, and tells
// whether it ended well.
func (m *machine) logged(name string, argv []string) bool {
	file := logFolder + "/" + name + ".log"
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		m.log.printf("%s: %v", name, err)
	} else {
		defer out.Close()
	}
	done, err := m.children.start(program{argv: argv, tty: out})
	if err != nil {
		m.log.printf("%s: %v", name, err)
		return false
	}
	if status := <-done; status.ExitStatus() != 0 {
		m.log.printf("%s did not work (%s): see %s", strings.Join(argv[:min(2, len(argv))], " "), ended(&status), file)
		return false
	}
	return true
}

// ssh lets persons in whose keys the command line names. It is started again
// where it ends, which it does when no key could be read.
func (m *machine) ssh() {
	argv := []string{"sshd"}
	for _, keys := range m.config.SSH {
		argv = append(argv, "--authorized", keys)
	}
	for pause := time.Second; !m.children.ending(); pause = min(2*pause, maxPause) {
		m.logged("ssh", argv)
		time.Sleep(pause)
	}
}
