// Package pid1 is the first process of the live system: it makes the machine
// ready, keeps a menu or a shell on every console, collects ended processes
// and ends the machine when it is asked to. It does no imaging itself, and
// whatever may go wrong in a disk or a network runs in a process of its own.
package pid1

import (
	"os"
	"os/signal"
	"runtime/debug"
	"time"

	"doppel.live/internal/live/cmdline"
	"doppel.live/internal/live/looking"
	"doppel.live/internal/live/place"
	"doppel.live/internal/live/power"
	"doppel.live/internal/live/uevent"
	"golang.org/x/sys/unix"
)

// machine is the running system. Its fields are set before the goroutines
// that read them start.
type machine struct {
	config   cmdline.Config
	log      *log
	said     string // the log of the programs before and after a job
	children children
	devices  *devices
	online   chan struct{} // closed when the network was brought up, or could not be; nil: nobody asked for it
}

// Run does all that the first process does. It never returns.
func Run() {
	m := &machine{log: newLog(), said: hookLog}
	m.prepare()
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGCHLD, unix.SIGINT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPWR,
		unix.SIGHUP, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU, unix.SIGWINCH)
	m.background("start", m.start)
	ending := false
	for s := range signals {
		m.children.collect()
		if action, ok := power.Requested(s); ok && !ending {
			ending = true
			go m.end(action)
		}
	}
}

// prepare mounts what every program expects. With doppel.init=stop it ends
// here, before that: the time it prints is what any init would need.
func (m *machine) prepare() {
	mountProc()
	line, err := os.ReadFile("/proc/cmdline")
	m.config = cmdline.Parse(string(line))
	m.log.secrets = m.config.Secrets
	if m.config.Stop {
		m.stop()
	}
	m.background("mounts", mountAll)
	environment()
	m.log.open()
	m.hide(string(line))
	if err != nil {
		m.log.printf("the kernel command line cannot be read: %v", err)
	}
	m.log.printf("init reached at %s", uptime())
	for _, n := range m.config.Notes {
		m.log.printf("not understood: %v", n)
	}
	if m.config.ToRAM {
		if err := os.WriteFile(place.ToRAM, nil, 0o644); err != nil {
			m.log.printf("to RAM: %v", err)
		}
	}
	writeNotes(m.config.Notes)
	if m.config.Hostname != "" {
		_ = unix.Sethostname([]byte(m.config.Hostname))
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		m.log.printf("Ctrl-Alt-Del restarts at once: %v", err)
	}
}

// stop says when init was reached and switches off.
func (m *machine) stop() {
	m.log.openNode()
	m.log.always("init reached at %s", uptime())
	for {
		_ = power.Now(power.Off)
		_ = power.Now(power.Halt)
		time.Sleep(time.Hour)
	}
}

// start brings up what needs time, in the order in which it is missed.
func (m *machine) start() {
	whole := complete()
	if !whole {
		m.cutShort() // and go on: its shell may need the driver of a keyboard
	}
	go m.background("random numbers", m.seed)
	listener, err := uevent.Listen()
	if err != nil {
		m.log.printf("devices that come later will not be noticed: %v", err)
	}
	m.devices = openDevices(m.log)
	if listener != nil {
		go m.background("device events", func() { m.devices.follow(listener) })
	}
	m.devices.screen()
	found, err := looking.Begin() // before any menu can ask for disks
	if err != nil {
		m.log.printf("drivers: %v", err)
	}
	go m.background("drivers", func() {
		defer found()
		m.devices.coldplug()
		m.firmwareVariables()
	})
	go m.background("loopback", m.loopback)
	if argv := networkCommand(m.config); argv != nil {
		m.online = make(chan struct{})
		go m.background("network", func() {
			defer close(m.online)
			m.network(argv)
		})
	}
	m.keyboard()
	go m.background("menu", func() { // signals are heard meanwhile
		if whole {
			m.stick()
		}
		// The keys may lie on the stick, which nobody may look at while it is
		// given its partition for images.
		if len(m.config.SSH) > 0 {
			go m.background("ssh", m.ssh)
		}
		if whole {
			m.consoles()
		}
	})
}

// end ends the programs, lets the disks go and ends the machine.
func (m *machine) end(a power.Action) {
	m.log.always("%s", a)
	m.children.stopStarting()
	_ = unix.Kill(-1, unix.SIGTERM)
	_ = unix.Kill(-1, unix.SIGHUP) // interactive shells heed this one only
	_ = unix.Kill(-1, unix.SIGCONT)
	if !m.children.wait(10 * time.Second) {
		_ = unix.Kill(-1, unix.SIGKILL)
		m.children.wait(5 * time.Second)
	}
	if err := power.Storage(60 * time.Second); err != nil {
		m.log.always("%v", err)
	}
	for {
		err := power.Now(a)
		m.log.always("%v", err)
		a = power.Halt
		time.Sleep(time.Second)
	}
}

// background runs one part; when it fails in an unforeseen way the rest goes
// on, since the kernel panics without its first process.
func (m *machine) background(name string, part func()) {
	defer func() {
		if r := recover(); r != nil {
			m.log.printf("%s: %v\n%s", name, r, debug.Stack())
		}
	}()
	part()
}
