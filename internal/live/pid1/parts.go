package pid1

import (
	"os"

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

// network brings up what ip= says, in a process of its own.
func (m *machine) network() {
	out, err := os.OpenFile(logFolder+"/network.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		m.log.printf("network: %v", err)
	} else {
		defer out.Close()
	}
	for _, ip := range m.config.IP {
		done, err := m.children.start(program{argv: []string{"network", "up", "--ip", ip}, tty: out})
		if err != nil {
			m.log.printf("network: %v", err)
			return
		}
		if status := <-done; status.ExitStatus() != 0 {
			m.log.printf("network: ip=%s did not work: see %s/network.log", ip, logFolder)
		}
	}
}
