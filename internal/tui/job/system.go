package job

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// maxLine is how much of one line is kept, bytes; the rest of it is dropped.
const maxLine = 16 << 20

// System runs commands on this machine.
type System struct {
	Terminal *os.File // for Attach
	Dir      string   // working directory; "" is the present one
	// Grace is how long a command has to end after it was asked to stop; then
	// it is killed. Zero is 30 seconds.
	Grace time.Duration
}

var _ Runner = (*System)(nil)

// Run implements Runner. The command gets a process group of its own, so that
// a Ctrl-C on the terminal does not reach it: whether it stops is for the
// person to decide.
func (s *System) Run(ctx context.Context, argv []string, line func(Line)) (Exit, error) {
	return s.Feed(ctx, argv, nil, line)
}

// Feed implements Runner.
func (s *System) Feed(ctx context.Context, argv []string, stdin []byte, line func(Line)) (Exit, error) {
	if len(argv) == 0 {
		return Exit{}, errors.New("no command")
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = s.Dir
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if cmd.WaitDelay = s.Grace; cmd.WaitDelay == 0 {
		cmd.WaitDelay = 30 * time.Second
	}
	stdout, stderr := &splitter{}, &splitter{}
	var mu sync.Mutex
	for w, isStderr := range map[*splitter]bool{stdout: false, stderr: true} {
		w.line = func(text []byte) {
			mu.Lock()
			defer mu.Unlock()
			line(Line{Text: text, Stderr: isStderr})
		}
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	stdout.end()
	stderr.end()
	if cmd.ProcessState == nil {
		return Exit{}, err
	}
	return exitOf(cmd.ProcessState), nil
}

func exitOf(p *os.ProcessState) Exit {
	e := Exit{Status: p.ExitCode()}
	if w, ok := p.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		e.Signal = w.Signal().String()
	}
	return e
}

// Attach implements Runner. Keys that raise signals are for the command.
func (s *System) Attach(argv []string) error {
	if len(argv) == 0 {
		return errors.New("no command")
	}
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt, syscall.SIGQUIT, syscall.SIGTSTP)
	defer signal.Stop(caught)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Terminal, s.Terminal, s.Terminal
	return cmd.Run()
}

// splitter is a writer that calls line with every whole line.
type splitter struct {
	line func([]byte)
	rest []byte
}

// Write implements io.Writer.
func (s *splitter) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			s.line(s.rest)
			s.rest = nil
		case len(s.rest) < maxLine:
			s.rest = append(s.rest, c)
		}
	}
	return len(p), nil
}

// end gives the line that had no end.
func (s *splitter) end() {
	if len(s.rest) > 0 {
		s.line(s.rest)
		s.rest = nil
	}
}

var _ io.Writer = (*splitter)(nil)

// Log is a file that takes everything that one job says.
type Log struct {
	f *os.File
	w *bufio.Writer
}

// NewLog makes the file; a Log that could not be made swallows everything.
func NewLog(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return &Log{}, err
	}
	return &Log{f: f, w: bufio.NewWriter(f)}, nil
}

// Print adds a line.
func (l *Log) Print(text []byte) {
	if l.w == nil {
		return
	}
	l.w.Write(text)
	l.w.WriteByte('\n')
	l.w.Flush()
}

// Close closes the file.
func (l *Log) Close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}
