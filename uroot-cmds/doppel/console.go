package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/progress"
	"doppel.live/internal/store/remote"
)

// console is where a command reads and writes: events as JSON lines, as a
// progress line on a terminal, or as one line for each step.
type console struct {
	in       *bufio.Reader
	out, err io.Writer
	asks     bool // somebody sits there who can answer
	terminal bool // out is a terminal
	json     bool
	logs     []string // folders for the logs of jobs, best first
	// spawn prepares a process of this program; nil is the usual way.
	spawn func(args []string) *exec.Cmd

	mu    sync.Mutex
	drawn int          // length of the progress line that stands there
	log   bytes.Buffer // what happened, with times
	job   *job         // nil before one has begun
}

func newConsole(in, out, err *os.File) *console {
	isTerminal := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	return &console{
		in: bufio.NewReader(in), out: out, err: err,
		asks: isTerminal(in) && isTerminal(out), terminal: isTerminal(out), logs: logPlaces(),
	}
}

// report takes the events of a job.
func (c *console) report(e progress.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Kind == progress.Start || e.Kind == progress.Step || e.Kind == progress.Warning || e.Kind == progress.Result {
		fmt.Fprintf(&c.log, "%s %s: %s\n", time.Now().UTC().Format(time.RFC3339), e.Kind, e.Text)
	}
	if c.json {
		_ = json.NewEncoder(c.out).Encode(e)
		return
	}
	switch e.Kind {
	case progress.Advance:
		c.draw(e)
	case progress.Step:
		c.line(c.out, e.Text)
	case progress.Warning:
		c.line(c.err, "Warning: "+e.Text)
	case progress.Start:
		c.line(c.out, e.Text)
	}
}

// draw replaces the progress line of a terminal.
func (c *console) draw(e progress.Event) {
	if !c.terminal {
		return
	}
	share := 100.0
	if e.Total > 0 {
		share = 100 * float64(e.Done) / float64(e.Total)
	}
	text := fmt.Sprintf("%-12s %5.1f %%  %s of %s  %s/s  %s left", e.Volume, share,
		blockdev.Bytes(e.Done), blockdev.Bytes(e.Total), blockdev.Bytes(int64(e.Rate)), clock(e.Remaining))
	fmt.Fprintf(c.out, "\r%s%s", text, strings.Repeat(" ", max(0, c.drawn-len(text))))
	c.drawn = len(text)
}

func (c *console) line(w io.Writer, text string) {
	if c.drawn > 0 {
		fmt.Fprintf(c.out, "\r%s\r", strings.Repeat(" ", c.drawn))
		c.drawn = 0
	}
	fmt.Fprintln(w, printable(text))
}

// printable shows what no terminal should get as dots: labels and names come
// from disks that anybody may have written.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, strings.ReplaceAll(text, "\n", "; ")) // errors that were joined
}

// say prints one line.
func (c *console) say(format string, args ...any) {
	c.line(c.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// clock writes seconds as minutes and seconds, or with hours.
func clock(seconds float64) string {
	s := int64(seconds + 0.5)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// result tells how the command ended: the last event, or lines for people.
func (c *console) result(status int, text, next string) {
	c.report(progress.Event{Kind: progress.Result, OK: status == done, Status: status, Text: text, Next: next})
	if c.json {
		return
	}
	if status == done {
		c.line(c.out, text)
		return
	}
	c.line(c.err, "doppel: "+text)
	if next != "" {
		c.line(c.err, "Next: "+next+".")
	}
}

// ask prints a question and reads one line, until ctx ends. Who ends the input
// has typed nothing.
func (c *console) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(c.out, question)
	type line struct {
		text string
		err  error
	}
	typed := make(chan line, 1)
	go func() { // nothing can end a read of a terminal: it may stay behind
		text, err := c.in.ReadString('\n')
		typed <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(c.out)
		return "", ctx.Err()
	case l := <-typed:
		if l.err == io.EOF {
			fmt.Fprintln(c.out)
			return "", nil
		}
		return strings.TrimSpace(l.text), l.err
	}
}

// askHidden prints a question and reads one line of the terminal without
// showing it, until ctx ends.
func (c *console) askHidden(ctx context.Context, question string) (remote.Secret, error) {
	fd := int(os.Stdin.Fd())
	before, err := term.GetState(fd)
	if err == nil {
		err = ctx.Err() // the read below would hide what is typed, and stay behind
	}
	if err != nil {
		return remote.Secret{}, err
	}
	fmt.Fprint(c.out, question)
	type line struct {
		text []byte
		err  error
	}
	typed := make(chan line, 1)
	go func() { // nothing can end a read of a terminal: it may stay behind
		text, err := term.ReadPassword(fd)
		typed <- line{text, err}
	}()
	defer fmt.Fprintln(c.out)
	select {
	case <-ctx.Done():
		return remote.Secret{}, errors.Join(ctx.Err(), term.Restore(fd, before))
	case l := <-typed:
		return remote.NewSecret(string(l.text)), l.err
	}
}

// note puts the warnings of a plan, which were shown, into the log of its job.
func (c *console) note(warnings []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range warnings {
		fmt.Fprintf(&c.log, "%s %s: %s\n", time.Now().UTC().Format(time.RFC3339), progress.Warning, w)
	}
}

// history is the log of the job so far.
func (c *console) history() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.log.Bytes())
}

// print writes a value as one JSON document.
func (c *console) print(v any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
