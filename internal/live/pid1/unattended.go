package pid1

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"doppel.live/internal/live/cmdline"
	"doppel.live/internal/live/power"
)

// How long an unattended start waits for its devices.
const (
	placeWait  = "30s"           // for the place of the images, its network and its server
	quietTime  = 2 * time.Second // usb-storage looks at a stick after one second
	settleTime = 30 * time.Second
)

// step is one program of an unattended start.
type step struct {
	argv []string
	what string // for the message when it ends badly
}

// steps are the programs that the command line asks for, in order. Hooks are
// programs with arguments, never text for a shell.
func steps(c cmdline.Config) []step {
	var out []step
	if c.Images != "" {
		out = append(out, step{placeCommand(c), "the place of the images"})
	}
	for _, argv := range c.Prerun {
		out = append(out, step{argv, "a command before the job"})
	}
	if len(c.Run) > 0 {
		argv := []string{"menu", "--run", cmdline.Quote(c.Run)}
		if len(c.Postrun) == 0 && c.Then != "" {
			argv = append(argv, "--then", c.Then) // the menu shows the result and does it
		}
		out = append(out, step{argv, "the job"})
	}
	for _, argv := range c.Postrun {
		out = append(out, step{argv, "a command after the job"})
	}
	return out
}

// unattended is the script for the primary console, or nil. A step that ends
// badly ends the script: the machine stays on, with the menu.
func (m *machine) unattended() script {
	todo := steps(m.config)
	if len(todo) == 0 && m.config.Then == cmdline.ThenShell {
		return once(shell())
	}
	if len(todo) == 0 {
		return nil
	}
	at := -1
	return func(last *syscall.WaitStatus, say func(string)) []string {
		if at < 0 {
			if len(m.config.Run) > 0 && m.devices != nil {
				m.devices.settle(quietTime, settleTime)
			}
		} else if last == nil || !last.Exited() || last.ExitStatus() != 0 {
			say(fmt.Sprintf("%s did not end well (%s): %s\nNothing more is run and the machine stays on.",
				todo[at].what, ended(last), strings.Join(todo[at].argv, " ")))
			return nil
		}
		if at++; at < len(todo) {
			m.log.printf("run: %s", cmdline.Quote(todo[at].argv))
			return todo[at].argv
		}
		return m.afterwards(say)
	}
}

// once is the script of one program, however it ends.
func once(argv []string) script {
	return func(*syscall.WaitStatus, func(string)) []string {
		next := argv
		argv = nil
		return next
	}
}

// afterwards does what doppel.then says after the commands that follow a job.
func (m *machine) afterwards(say func(string)) []string {
	if len(m.config.Postrun) == 0 {
		return nil
	}
	switch m.config.Then {
	case cmdline.ThenPowerOff, cmdline.ThenReboot:
		action := power.Off
		if m.config.Then == cmdline.ThenReboot {
			action = power.Restart
		}
		if err := power.Ask(action); err != nil {
			say(err.Error())
		}
	case cmdline.ThenShell:
		return shell()
	}
	return nil
}
