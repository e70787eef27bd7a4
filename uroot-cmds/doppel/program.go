package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"doppel.live/internal/progress"
	"doppel.live/internal/store/remote"
)

// grace is how long a program of a job has to end after it was asked to.
const grace = 30 * time.Second

// program runs a program of a job, passes its events on and puts everything
// else that it says into the log. It gives the exit status, and the last line
// or why there was no start. When ctx ends the program is asked to end. What it
// leaves running in the background is not waited for.
func (r *jobRun) program(ctx context.Context, cmd *exec.Cmd) (status int, text string) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C reaches this process alone
	cmd.WaitDelay = 2 * time.Second
	var mu sync.Mutex
	var last string
	take := func(events bool) *splitter {
		return &splitter{line: func(line []byte) {
			mu.Lock()
			defer mu.Unlock()
			if line = bytes.TrimSpace(line); len(line) == 0 || events && r.event(line) {
				return
			}
			last = remote.Scrub(string(line), r.secrets...)
			r.output(last)
		}}
	}
	stdout, stderr := take(true), take(false)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		return failed, err.Error()
	}
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { stopWith(ctx, cmd.Process, ended) })
	err := cmd.Wait()
	close(ended)
	watch.Wait()
	stdout.end()
	stderr.end()
	switch code := cmd.ProcessState.ExitCode(); {
	case code == 0:
		return done, last
	case code > 0:
		return code, cmp.Or(last, err.Error())
	}
	return failed, err.Error() // a signal
}

// stopWith asks a process to end when ctx does, and then ends it.
func stopWith(ctx context.Context, p *os.Process, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
		_ = p.Signal(os.Interrupt)
	}
	select {
	case <-ended:
	case <-time.After(grace):
		_ = syscall.Kill(-p.Pid, syscall.SIGKILL) // with what holds its output open
	}
}

// longestLine bounds a line of a program, in bytes: a plan is the longest. The
// rest of a longer one is dropped.
const longestLine = 16 << 20

// splitter is a writer that calls line with every whole line.
type splitter struct {
	line func([]byte)
	rest []byte
}

// Write implements io.Writer.
func (s *splitter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		head, tail, whole := bytes.Cut(p, []byte("\n"))
		s.rest = append(s.rest, head[:min(len(head), longestLine-len(s.rest))]...)
		if !whole {
			return n, nil
		}
		s.end()
		p = tail
	}
}

// end gives the line that has no end.
func (s *splitter) end() {
	if len(s.rest) > 0 {
		s.line(s.rest)
		s.rest = nil
	}
}

// event passes an event of a step on. Its result is kept: the job has one of
// its own.
func (r *jobRun) event(line []byte) bool {
	var e progress.Event
	if line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Kind == "" {
		return false
	}
	if e.Kind == progress.Result {
		e.Text, e.Next = remote.Scrub(e.Text, r.secrets...), remote.Scrub(e.Next, r.secrets...)
		r.last = e
		return true
	}
	r.report(e)
	return true
}

// output takes a line that a program said.
func (c *console) output(text string) {
	c.mu.Lock()
	fmt.Fprintf(&c.log, "%s said: %s\n", time.Now().UTC().Format(time.RFC3339), printable(text))
	c.mu.Unlock()
	if c.json {
		c.line(c.err, text) // not among the events
		return
	}
	c.line(c.out, text)
}
