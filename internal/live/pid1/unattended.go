package pid1

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"doppel.live/internal/live/cmdline"
	"doppel.live/internal/live/power"
	"doppel.live/internal/store/remote"
)

// How long an unattended start waits for its devices.
const (
	placeWait  = "30s"           // for a disk with the images, by events
	serverWait = "90s"           // for a network and a server; some switches let nothing through in the first minute
	quietTime  = 2 * time.Second // usb-storage looks at a stick after one second
	settleTime = 30 * time.Second

	networkTime = 90 * time.Second // for cards, answers and the clock
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
	run := c.Run
	if c.Job != "" {
		run = []string{"run", c.Job}
	}
	if c.Images != "" {
		out = append(out, step{placeCommand(c), "the place of the images"})
	}
	if len(c.Preload) > 0 {
		out = append(out, step{append([]string{"preload"}, c.Preload...), "what was to be unpacked before the job"})
	}
	for _, argv := range c.Prerun {
		out = append(out, step{hook("before", run, argv), "a command before the job"})
	}
	if len(run) > 0 {
		argv := []string{"menu", "--run", cmdline.Quote(run)}
		switch { // the menu shows the result and does what follows, also what a job file says
		case len(c.Postrun) > 0:
			argv = append(argv, "--then", "none")
		case c.Then != "":
			argv = append(argv, "--then", c.Then)
		}
		out = append(out, step{argv, "the job"})
	}
	for _, argv := range c.Postrun {
		out = append(out, step{hook("after", run, argv), "a command after the job"})
	}
	return out
}

// hook runs a program of the administrator's.
func hook(when string, job, argv []string) []string {
	return append([]string{"hook", "--when", when, "--job", cmdline.Quote(job), "--"}, argv...)
}

// keepLog puts what the hooks said beside the images and on the stick.
func keepLog() []string { return []string{"doppel", "logs", "keep", logFolder + "/unattended.log"} }

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
	hooks := len(m.config.Prerun)+len(m.config.Postrun) > 0
	at, over, failed := -1, false, false
	return func(last *syscall.WaitStatus, say func(string)) []string {
		switch {
		case over: // the log is kept, or cannot be
			if failed {
				return nil
			}
			return m.afterwards(say)
		case at < 0:
			m.await()
		case last == nil || !last.Exited() || last.ExitStatus() != 0:
			text := fmt.Sprintf("%s did not end well (%s): %s\nNothing more is run and the machine stays on. Logs are in %s.",
				todo[at].what, ended(last), strings.Join(todo[at].argv, " "), logFolder)
			say(text)
			if !slices.Contains(todo[at].argv, "--run") { // the menu has said it better
				m.outcome("failed: " + text)
			}
			over, failed = true, true
			if hooks {
				return keepLog()
			}
			return nil
		}
		if at++; at < len(todo) {
			m.log.printf("run: %s", cmdline.Quote(todo[at].argv))
			m.outcome("running: " + cmdline.Quote(todo[at].argv))
			return todo[at].argv
		}
		if at > 0 && !slices.Contains(todo[at-1].argv, "--run") {
			m.outcome("done: " + cmdline.Quote(todo[at-1].argv))
		}
		if over = true; hooks {
			return keepLog()
		}
		return m.afterwards(say)
	}
}

// await lets the devices and the network settle that a job may need.
func (m *machine) await() {
	if (len(m.config.Run) > 0 || m.config.Job != "") && m.devices != nil {
		m.devices.settle(quietTime, settleTime)
	}
	if m.online == nil {
		return
	}
	select {
	case <-m.online:
	case <-time.After(networkTime):
		m.log.printf("the network is not up yet: the job does not wait longer for it")
	}
}

// outcome leaves how the unattended start stands where the menus of other
// consoles, and of those who come by ssh, find it.
func (m *machine) outcome(text string) {
	if err := os.WriteFile(outcomeFile, []byte(remote.Scrub(text, m.config.Secrets...)+"\n"), 0o644); err != nil {
		m.log.printf("%v", err)
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
