// Menu is the imaging menu of the live system.
//
// Synopsis:
//
//	menu [--plain] [--run WORDS [--then menu|shell|reboot|poweroff|none]]
//
// Description:
//
//	Shows the menu on the terminal that it was started on: as a screen where
//	TERM names a terminal that can place characters, else as numbered prompts.
//	It does nothing by itself: it runs doppel, place, reboot and poweroff, all
//	of them found in PATH, and $SHELL (/bin/sh). Everything that happens gets a
//	short line in /var/log/doppel/menu.log, and every job a file of its own
//	beside it.
//
// Options:
//
//	--plain  numbered prompts whatever TERM says
//	--run    run doppel with these words first, without asking, and show how it
//	         goes; quotes work as in a shell
//	--then   what follows when that went well, after a countdown that any key
//	         stops; without it menu ends then, unless the job file that was run
//	         says what follows; with none it ends all the same, and leaves in
//	         /run/doppel/then what that file says. After a failure the page that
//	         says so stays until a key is pressed; what comes then is the menu,
//	         or without --then the end.
//
// Exit status: 0 done, 1 the job failed or the terminal went away, 2 usage.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gdamore/tcell/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"doppel.live/internal/live/place"
	"doppel.live/internal/tui"
	"doppel.live/internal/tui/job"
	"doppel.live/internal/tui/line"
	"doppel.live/internal/tui/screen"
)

const (
	logDir   = "/var/log/doppel"
	busyFile = "/run/doppel/job.lock"
	notes    = "/run/doppel/notes" // what init did not understand of the kernel's command line
	stick    = "/run/doppel/stick" // what there is to say of the stick that was started from
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// options are what stands on the command line.
type options struct {
	plain bool
	words string // of --run
	given bool   // --run is given
	then  tui.Then
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("menu", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.plain, "plain", false, "numbered prompts whatever TERM says")
	flags.StringVar(&o.words, "run", "", "run doppel with these `words` first")
	then := flags.String("then", "", "what follows when that went well: menu, shell, reboot or poweroff")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.then = tui.Then(*then)
	flags.Visit(func(f *flag.Flag) { o.given = o.given || f.Name == "run" })
	known := []tui.Then{tui.ThenEnd, tui.ThenMenu, tui.ThenShell, tui.ThenReboot, tui.ThenPowerOff, tui.ThenNone}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case !slices.Contains(known, o.then):
		return o, fmt.Errorf("--then %s: only menu, shell, reboot and poweroff are known", o.then)
	case o.then != tui.ThenEnd && !o.given:
		return o, errors.New("--then needs --run")
	}
	return o, nil
}

func run(args []string) int {
	o, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "menu:", err)
		return 2
	}
	// A terminal that goes away must not take a running job with it: the next
	// read or write notices.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)

	text := tui.English()
	menu := &tui.Menu{
		Runner: &job.System{Terminal: os.Stdin},
		Text:   text,
		Now:    time.Now,
		Shell:  []string{cmp.Or(os.Getenv("SHELL"), "/bin/sh")},
		LogDir: logDir,
		Busy:   &tui.Busy{Path: busyFile},

		GoingDown: time.Minute,
		PlaceNote: func() string {
			text, _ := os.ReadFile(stick)
			return strings.TrimSpace(string(text))
		},
		News:     news,
		KeepLogs: true,
		Outcome:  tellOutcome,
		Follows:  tellFollows,
	}
	if _, err := os.Stat(place.ToRAM); err == nil {
		menu.ToRAM = true
	}
	if text, err := os.ReadFile(notes); err == nil {
		menu.Notes = strings.TrimSpace(string(text))
	}
	for _, dir := range []string{logDir, filepath.Dir(busyFile)} {
		_ = os.MkdirAll(dir, 0o755) // without them there is no log, and no more harm
	}
	if f, err := os.OpenFile(filepath.Join(logDir, "menu.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err == nil {
		menu.Log = f
		defer f.Close()
	}
	if !o.plain {
		if d := newScreen(text); d != nil {
			menu.Dialogue = d
			status := 1
			_ = d.Run(func() error { status = o.flow(menu); return nil })
			return status
		}
	}
	interrupt, stop := interrupts()
	defer stop()
	plain := line.New(os.Stdin, os.Stdout, interrupt, text)
	plain.Echo = echo
	menu.Dialogue = plain
	return o.flow(menu)
}

// flow does what the command line asks for and gives the exit status.
func (o options) flow(m *tui.Menu) int {
	if o.given {
		ok, err := m.Run(o.words, o.then)
		if o.then == tui.ThenEnd || o.then == tui.ThenNone || err != nil {
			if ok {
				return 0
			}
			return 1
		}
	}
	_ = m.Main() // it ends only when the terminal or the machine goes away
	return 1
}

// newScreen makes a screen of the terminal, or nil where that cannot be.
func newScreen(text *tui.Text) *screen.Dialogue {
	name := os.Getenv("TERM")
	if name == "" || name == "dumb" || name == "unknown" ||
		!term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		return nil
	}
	giveSize()
	if strings.HasPrefix(name, "vt") && os.Getenv("LC_ALL")+os.Getenv("LC_CTYPE")+os.Getenv("LANG") == "" {
		// A terminal of that name draws lines with its second character set
		// and need not know UTF-8. Children shall not see this.
		os.Setenv("LC_ALL", "C")
		defer os.Unsetenv("LC_ALL")
	}
	s, err := tcell.NewTerminfoScreen()
	if err != nil {
		return nil
	}
	d, err := screen.New(s, os.Stdout, text)
	if err != nil {
		return nil
	}
	return d
}

// giveSize tells a terminal that does not know its size, as serial lines do
// not, that it has 80 columns and 24 rows: what every terminal has at least.
func giveSize() {
	size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ)
	if err == nil && (size.Row == 0 || size.Col == 0) {
		_ = unix.IoctlSetWinsize(int(os.Stdout.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80})
	}
}

// echo switches on or off that the terminal shows what is typed on it.
func echo(on bool) {
	fd := int(os.Stdin.Fd())
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return // no terminal, no echo
	}
	if state.Lflag &^= unix.ECHO; on {
		state.Lflag |= unix.ECHO
	}
	_ = unix.IoctlSetTermios(fd, unix.TCSETS, state)
}

// interrupts turns Ctrl-C into something that a dialogue can answer.
func interrupts() (<-chan struct{}, func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	out := make(chan struct{})
	go func() {
		for range signals {
			select {
			case out <- struct{}{}:
			case <-time.After(time.Second): // nobody is asked anything now
			}
		}
	}()
	return out, func() { signal.Stop(signals); close(signals) }
}
