package pid1

import (
	"fmt"
	"os"
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
	argv  []string
	shown []string // the program that is meant, where another one runs it
	what  string   // for the message when it ends badly
	job   bool     // the menu runs it, and says itself how it ended
}

// steps are the programs that the command line asks for, in order. Hooks are
// programs with arguments, never text for a shell.
func steps(c cmdline.Config) []step {
	var out []step
	run := c.Run
	if c.Job != "" {
		run = []string{"run", c.Job}
	}
	add := func(when, what string, argv []string) {
		out = append(out, step{argv: hook(when, run, argv), shown: argv, what: what})
	}
	if c.Images != "" {
		add("before", "the place of the images", placeCommand(c))
	}
	if len(c.Preload) > 0 {
		add("before", "what was to be unpacked before the job", append([]string{"preload"}, c.Preload...))
	}
	for _, argv := range c.Prerun {
		add("before", "a command before the job", argv)
	}
	if len(run) > 0 {
		argv := []string{"menu", "--run", cmdline.Quote(run)}
		switch { // the menu shows the result and does what follows, also what a job file says
		case len(c.Postrun) > 0:
			argv = append(argv, "--then", "none")
		case c.Then != "":
			argv = append(argv, "--then", c.Then)
		}
		out = append(out, step{argv, argv, "the job", true})
	}
	for _, argv := range c.Postrun {
		add("after", "a command after the job", argv)
	}
	return out
}

// hook runs a program so that what it says is on the screen and in hookLog.
func hook(when string, job, argv []string) []string {
	out := []string{"hook", "--when", when}
	if len(job) > 0 {
		out = append(out, "--job", cmdline.Quote(job))
	}
	return append(append(out, "--"), argv...)
}

// hookLog is the log of the programs before and after a job.
const hookLog = logFolder + "/unattended.log"

// keepLog puts what those said beside the images and on the stick.
func keepLog() []string { return []string{"doppel", "logs", "keep", hookLog} }

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
			over, failed = true, true
			m.failed(todo[at], last, say)
			if hooks || !todo[at].job {
				return keepLog()
			}
			return nil
		}
		if at++; at < len(todo) {
			m.log.printf("run: %s", cmdline.Quote(todo[at].shown))
			m.outcome("running: " + cmdline.Quote(todo[at].shown))
			return todo[at].argv
		}
		if at > 0 && !todo[at-1].job {
			m.outcome("done: " + cmdline.Quote(todo[at-1].shown))
		}
		if over = true; hooks {
			return keepLog()
		}
		return m.afterwards(say)
	}
}

// failed says that a step ended badly, and why, where the menu does not do it.
func (m *machine) failed(s step, last *syscall.WaitStatus, say func(string)) {
	text := fmt.Sprintf("%s did not end well (%s): %s", s.what, ended(last), cmdline.Quote(s.shown))
	if !s.job {
		if log, err := os.ReadFile(m.said); err == nil {
			text = strings.TrimSpace(text + "\n" + lastWords(string(log)))
		}
	}
	text += "\nNothing more is run and the machine stays on. Logs are in " + logFolder + "."
	say(text)
	if s.job {
		return
	}
	m.outcome("failed: " + text)
	if f, err := os.OpenFile(m.said, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
		fmt.Fprintf(f, "%s failed: %s\n", time.Now().UTC().Format(time.RFC3339), remote.Scrub(text, m.config.Secrets...))
		f.Close()
	}
}

// lastWords gives the last lines that the last program in a log of hooks said,
// or why it could not be started. Lines of the command hook itself begin with a
// time: one when a program begins, one when it ends.
func lastWords(log string) string {
	const most = 3
	var said []string
	runs := false
	for line := range strings.Lines(log) {
		line = strings.TrimRight(line, "\r\n")
		when, rest, _ := strings.Cut(line, " ")
		if _, err := time.Parse(time.RFC3339, when); err != nil {
			said = append(said, line)
			continue
		}
		_, note, _ := strings.Cut(rest, ": ")
		switch {
		case !runs:
			said = nil
		case !strings.HasPrefix(note, "exit status "):
			said = append(said, note)
		}
		runs = !runs
	}
	return strings.Join(said[max(0, len(said)-most):], "\n")
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
	text = strings.ReplaceAll(remote.Scrub(text, m.config.Secrets...), "\n", " ")
	if err := os.WriteFile(outcomeFile, []byte(text+"\n"), 0o644); err != nil {
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

// thenFile is where the menu leaves what a job file says of what follows, when
// programs come before that.
const thenFile = stateFolder + "/then"

// then is what follows: as the command line says, else as the job file does.
func (m *machine) then(file string) string {
	if m.config.Then != "" || m.config.Job == "" {
		return m.config.Then
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// afterwards does what follows, once the programs after a job, or those without
// one, have run. Without such programs the menu did it.
func (m *machine) afterwards(say func(string)) []string {
	c := m.config
	if len(c.Postrun) == 0 && (len(c.Prerun) == 0 || c.Job != "" || len(c.Run) > 0) {
		return nil
	}
	action := power.Off
	switch m.then(thenFile) {
	case cmdline.ThenShell:
		return shell()
	case cmdline.ThenReboot:
		action = power.Restart
	case cmdline.ThenPowerOff:
	default:
		return nil
	}
	if err := power.Ask(action); err != nil {
		say(err.Error())
	}
	return nil
}
