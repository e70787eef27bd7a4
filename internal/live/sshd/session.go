package sshd

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// session is one channel of a connection. Its fields belong to the goroutine
// that reads its requests, until the program runs.
type session struct {
	server  *Server
	channel ssh.Channel
	env     []string
	size    *unix.Winsize // of the terminal that was asked for; nil is none

	mu      sync.Mutex
	process *os.Process // nil before it runs and once it has ended
	master  *os.File    // of the terminal
}

// serve answers requests until the channel is closed.
func (s *session) serve(requests <-chan *ssh.Request) {
	var running sync.WaitGroup
	defer running.Wait()
	defer s.hangUp()
	started := false
	for r := range requests {
		ok := false
		switch r.Type {
		case "pty-req":
			ok = !started && s.terminal(r.Payload)
		case "env":
			ok = !started && s.variable(r.Payload)
		case "window-change":
			s.resize(r.Payload)
		case "signal":
			s.signal(r.Payload)
		case "subsystem":
			if ok = !started && s.subsystem(r.Payload); ok {
				started = true
				if r.WantReply {
					_ = r.Reply(true, nil)
				}
				running.Go(s.files)
				continue
			}
		case "shell", "exec":
			argv, good := s.command(r)
			if ok = good && !started; ok {
				started = true
				end := s.run(argv) // before the answer: signals may follow it at once
				if r.WantReply {
					_ = r.Reply(true, nil)
				}
				running.Go(end)
				continue
			}
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
	}
}

// subsystem tells whether the one that is asked for is known: sftp, which scp
// uses too.
func (s *session) subsystem(payload []byte) bool {
	var p struct{ Name string }
	return ssh.Unmarshal(payload, &p) == nil && p.Name == "sftp"
}

// files serves the files of the machine.
func (s *session) files() {
	defer s.channel.Close()
	s.server.log("run: sftp")
	server, err := sftp.NewServer(kept{s.channel})
	if err == nil {
		err = server.Serve()
		server.Close()
	}
	var status uint32
	if err != nil && err != io.EOF {
		s.server.log("sftp: %v", err)
		status = 1
	}
	_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
}

// kept is a channel that somebody else closes: how it ended is told on it.
type kept struct{ io.ReadWriter }

// Close implements io.Closer.
func (kept) Close() error { return nil }

// command is the program that a request asks for.
func (s *session) command(r *ssh.Request) (argv []string, ok bool) {
	if r.Type == "shell" {
		return s.server.Shell, true
	}
	var text struct{ Command string }
	if ssh.Unmarshal(r.Payload, &text) != nil || strings.Contains(text.Command, "\x00") {
		return nil, false
	}
	if _, err := os.Stat("/bin/sh"); err != nil {
		return []string{"gosh", "-c", text.Command}, true
	}
	return []string{"/bin/sh", "-c", text.Command}, true
}

// terminal takes note of a pty-req.
func (s *session) terminal(payload []byte) bool {
	var p struct {
		Term                       string
		Columns, Rows, Width, High uint32
		Modes                      string
	}
	if ssh.Unmarshal(payload, &p) != nil {
		return false
	}
	s.size = winsize(p.Columns, p.Rows)
	s.env = append(s.env, "TERM="+termName(p.Term))
	return true
}

// winsize makes a size that programs can draw in.
func winsize(columns, rows uint32) *unix.Winsize {
	if columns == 0 || rows == 0 {
		columns, rows = 80, 24
	}
	return &unix.Winsize{Row: uint16(min(rows, 1000)), Col: uint16(min(columns, 1000))}
}

// termName is the terminal's name where its description is here, else one that
// today's terminals are like.
func termName(name string) string {
	if name == "dumb" {
		return name
	}
	if regexp.MustCompile(`^[a-z][a-z0-9+.-]{1,40}$`).MatchString(name) {
		for _, dir := range []string{"/usr/share/terminfo", "/lib/terminfo", "/etc/terminfo"} {
			if _, err := os.Stat(filepath.Join(dir, name[:1], name)); err == nil {
				return name
			}
		}
	}
	return "xterm-256color"
}

// variable takes those of the environment that change no more than language
// and colours.
func (s *session) variable(payload []byte) bool {
	var p struct{ Name, Value string }
	if ssh.Unmarshal(payload, &p) != nil || len(p.Value) > 200 || strings.ContainsAny(p.Value, "\x00\n") {
		return false
	}
	if p.Name != "LANG" && p.Name != "COLORTERM" && !strings.HasPrefix(p.Name, "LC_") || strings.ContainsAny(p.Name, "=\x00") || len(s.env) > 40 {
		return false
	}
	s.env = append(s.env, p.Name+"="+p.Value)
	return true
}

func (s *session) resize(payload []byte) {
	var p struct{ Columns, Rows, Width, High uint32 }
	if ssh.Unmarshal(payload, &p) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master != nil {
		_ = control(s.master, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, winsize(p.Columns, p.Rows)) })
	}
}

// signals are those of RFC 4254, section 6.10.
var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP, "ILL": syscall.SIGILL,
	"INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV,
	"TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

func (s *session) signal(payload []byte) {
	var p struct{ Name string }
	if ssh.Unmarshal(payload, &p) != nil || signals[p.Name] == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		_ = syscall.Kill(-s.process.Pid, signals[p.Name])
	}
}

// hangUp takes the terminal away from a program: the kernel tells it so. One
// without a terminal goes on: its output ends, and half a job helps nobody.
func (s *session) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.master != nil {
		s.master.Close()
	}
}

// run starts the program and gives what waits for it and tells how it ended.
func (s *session) run(argv []string) (end func()) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	if home, err := os.UserHomeDir(); err == nil {
		cmd.Dir = home
	}
	s.server.log("run: %s", strings.Join(argv, " "))
	start := s.onPipes
	if s.size != nil {
		start = s.onTerminal
	}
	wait, err := start(cmd)
	return func() {
		defer s.channel.Close()
		if err != nil {
			fmt.Fprintf(s.channel.Stderr(), "%v\r\n", err)
			_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{127}))
			return
		}
		wait()
		s.tell(cmd.ProcessState)
	}
}

// tell sends what the program ended with.
func (s *session) tell(p *os.ProcessState) {
	w, _ := p.Sys().(syscall.WaitStatus)
	if !w.Signaled() {
		_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(p.ExitCode())}))
		return
	}
	name := fmt.Sprintf("%d@doppel.live", w.Signal())
	for n, sig := range signals {
		if sig == w.Signal() {
			name = n
		}
	}
	_, _ = s.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Name          string
		Core          bool
		Message, Lang string
	}{name, w.CoreDump(), "", ""}))
}

// begin starts the program and makes it known to signals.
func (s *session) begin(cmd *exec.Cmd, master *os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process, s.master = cmd.Process, master
	return nil
}

// over waits for the program; from then on nobody sends it signals. Its status
// is in cmd.
func (s *session) over(cmd *exec.Cmd) {
	_ = cmd.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.master = nil, nil
}

// onPipes starts a program without a terminal. What it leaves in the background
// with its output does not hold the session for long.
func (s *session) onPipes(cmd *exec.Cmd) (wait func(), err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stdout, cmd.Stderr = s.channel, s.channel.Stderr()
	cmd.WaitDelay = 2 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := s.begin(cmd, nil); err != nil {
		return nil, err
	}
	go func() { // it ends with the channel at the latest
		_, _ = io.Copy(stdin, s.channel)
		stdin.Close()
	}()
	return func() { s.over(cmd) }, nil
}

// onTerminal starts a program on a terminal of its own.
func (s *session) onTerminal(cmd *exec.Cmd) (wait func(), err error) {
	master, slave, err := openTerminal(s.size)
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err = s.begin(cmd, master)
	slave.Close()
	if err != nil {
		master.Close()
		return nil, err
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(s.channel, master) // until nobody has the terminal open
	}()
	go func() { _, _ = io.Copy(master, s.channel) }() // it ends with the channel at the latest
	return func() {
		s.over(cmd)
		select { // the last of what it said
		case <-shown:
		case <-time.After(2 * time.Second):
		}
		master.Close()
	}, nil
}

// openTerminal makes a pseudo-terminal (pts(4)).
func openTerminal(size *unix.Winsize) (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	var number int
	err = control(master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		if number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err != nil {
			return err
		}
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size)
	})
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

// control works on the descriptor of f and leaves it as it is: File.Fd would
// make its reads ones that Close cannot end.
func control(f *os.File, work func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = work(int(fd)) }); err != nil {
		return err
	}
	return inner
}
