// Package terminal runs programs for tests on a terminal of their own: a
// pseudo-terminal (pts(4)) that is their standard input and output and the
// terminal of their session, so that Ctrl-C is a signal and a hidden prompt has
// something to hide on. It shows what came out line by line as it came; a
// screen that is drawn is for package vm to look at.
package terminal

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limit is how long anything that is waited for may take.
const limit = time.Minute

// Terminal is a terminal with a program on it.
type Terminal struct {
	t             testing.TB
	cmd           *exec.Cmd
	master, slave *os.File
	ended         chan error

	mu   sync.Mutex
	said bytes.Buffer
	seen int           // bytes of said that See has passed
	more chan struct{} // closed when said grows
}

// Start starts a program on a terminal. It is killed when the test ends.
func Start(t testing.TB, cmd *exec.Cmd) *Terminal {
	t.Helper()
	c := &Terminal{t: t, cmd: cmd, ended: make(chan error, 1), more: make(chan struct{})}
	c.open()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.slave, c.slave, c.slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go c.read(read)
	waited := make(chan struct{})
	go func() {
		c.ended <- cmd.Wait()
		close(waited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-waited
		c.slave.Close() // ends the read
		<-read
		c.master.Close()
	})
	return c
}

// open makes the terminal.
func (c *Terminal) open() {
	c.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		c.t.Skip("no pseudo-terminals: ", err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	c.master, c.slave = master, slave
}

func (c *Terminal) read(done chan<- struct{}) {
	defer close(done)
	buf := make([]byte, 4096)
	for {
		n, err := c.master.Read(buf)
		c.mu.Lock()
		c.said.Write(buf[:n])
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Said is all that the terminal has shown.
func (c *Terminal) Said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}

// See waits until the terminal shows the expression, behind what it has seen
// before, and gives what it found.
func (c *Terminal) See(expr string) []string {
	c.t.Helper()
	re := regexp.MustCompile(expr)
	end := time.After(limit)
	for {
		c.mu.Lock()
		text, more := c.said.Bytes()[c.seen:], c.more
		at := re.FindSubmatchIndex(text)
		var found []string
		if at != nil {
			for _, each := range re.FindSubmatch(text) {
				found = append(found, string(each))
			}
			c.seen += at[1]
		}
		c.mu.Unlock()
		if at != nil {
			return found
		}
		select {
		case <-more:
		case <-end:
			c.t.Fatalf("%q does not come; the terminal shows:\n%s", expr, c.Said())
		}
	}
}

// Type types a text: \r is Enter, \x03 Ctrl-C.
func (c *Terminal) Type(text string) {
	c.t.Helper()
	if _, err := c.master.WriteString(text); err != nil {
		c.t.Fatal(err)
	}
}

// Echo tells whether the terminal shows what is typed.
func (c *Terminal) Echo() bool {
	c.t.Helper()
	state, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	if err != nil {
		c.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// Await waits until what is typed is shown, or is not.
func (c *Terminal) Await(echo bool) {
	c.t.Helper()
	for end := time.Now().Add(limit); c.Echo() != echo; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("the terminal's echo does not become %v; it shows:\n%s", echo, c.Said())
		}
	}
}

// Wait waits for the end of the program and gives its exit status.
func (c *Terminal) Wait() int {
	c.t.Helper()
	select {
	case <-c.ended:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		c.t.Fatalf("the program does not end; the terminal shows:\n%s", c.Said())
	}
	return -1
}
