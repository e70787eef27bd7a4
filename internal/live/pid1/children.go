package pid1

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// children starts programs and collects what has ended: those, and the orphans
// that every process of the machine leaves to the first one. Nothing else in
// this process may wait for a child.
type children struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
	closed  bool
}

var errEnding = errors.New("the machine is ending")

// program is what to start and where.
type program struct {
	argv []string
	env  []string // beyond the environment of this process
	tty  *os.File // standard input, output and error: a terminal, a log; nil: nothing
	attr *syscall.SysProcAttr
}

// start starts p. What it ended with comes through the channel, once.
func (c *children) start(p program) (<-chan syscall.WaitStatus, error) {
	path, err := exec.LookPath(p.argv[0])
	if err != nil {
		return nil, err
	}
	tty := p.tty
	if tty == nil {
		if tty, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
			return nil, err
		}
		defer tty.Close()
	}
	c.mu.Lock() // against collecting it before it is known
	defer c.mu.Unlock()
	if c.closed {
		return nil, errEnding
	}
	proc, err := os.StartProcess(path, p.argv, &os.ProcAttr{
		Env:   append(os.Environ(), p.env...),
		Files: []*os.File{tty, tty, tty},
		Sys:   p.attr,
	})
	if err != nil {
		return nil, err
	}
	if c.waiting == nil {
		c.waiting = map[int]chan syscall.WaitStatus{}
	}
	done := make(chan syscall.WaitStatus, 1)
	c.waiting[proc.Pid] = done
	return done, proc.Release()
}

// collect takes note of every process that has ended. It does not wait.
func (c *children) collect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if done := c.waiting[pid]; done != nil {
			done <- syscall.WaitStatus(status)
			delete(c.waiting, pid)
		}
	}
}

// stopStarting refuses further programs.
func (c *children) stopStarting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// ending tells whether nothing is started any more.
func (c *children) ending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// wait waits until no process is left, at most for limit.
func (c *children) wait(limit time.Duration) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		c.collect()
		var info unix.Siginfo
		if unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD {
			return true
		}
	}
	return false
}
