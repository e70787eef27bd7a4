package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Machine is one running QEMU. Its methods may be called from one goroutine.
type Machine struct {
	cmd    *exec.Cmd
	dir    string // sockets, variable store
	qmp    *qmp
	serial net.Conn
	stderr *tail
	exited chan struct{}

	plugged map[string]bool // by ID, what came by Plug

	mu     sync.Mutex
	log    []byte  // everything the serial line said
	screen *Screen // the same, as a terminal shows it
	news   chan struct{}
}

// Start runs QEMU with c. The machine ends with Close, or by itself.
func Start(ctx context.Context, c Config) (*Machine, error) {
	dir, err := os.MkdirTemp("", "vm")
	if err != nil {
		return nil, err
	}
	m := &Machine{dir: dir, plugged: map[string]bool{}, exited: make(chan struct{}), news: make(chan struct{}, 1), screen: NewScreen(80, 25), stderr: new(tail)}
	args, err := c.args(dir)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	m.cmd = exec.Command("qemu-system-x86_64", args...)
	m.cmd.Stderr = m.stderr
	if err := m.run(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := m.connect(ctx); err != nil {
		m.Close()
		return nil, fmt.Errorf("qemu: %w: %s", err, m.stderr)
	}
	return m, nil
}

// run starts QEMU so that it ends with this process, however that ends: the
// kernel watches the thread that started it, which is kept for that.
func (m *Machine) run() error {
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := m.cmd.Start()
		started <- err
		if err == nil {
			m.cmd.Wait()
			close(m.exited)
		}
	}()
	return <-started
}

// connect reaches the serial line and QMP, then lets the processors run: the
// machine starts stopped, so that no byte of its output is lost.
func (m *Machine) connect(ctx context.Context) error {
	var err error
	if m.serial, err = m.dial(ctx, "serial"); err != nil {
		return err
	}
	go m.readSerial()
	conn, err := m.dial(ctx, "qmp")
	if err != nil {
		return err
	}
	if m.qmp, err = newQMP(conn); err != nil {
		return err
	}
	_, err = m.QMP("cont", nil)
	return err
}

func (m *Machine) dial(ctx context.Context, name string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := net.Dial("unix", filepath.Join(m.dir, name))
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-m.exited:
			return nil, errors.New("ended at once")
		case <-time.After(20 * time.Millisecond): // QEMU makes its sockets when it is ready; nothing announces them
		}
	}
}

func (m *Machine) readSerial() {
	buf := make([]byte, 4096)
	for {
		n, err := m.serial.Read(buf)
		m.mu.Lock()
		m.log = append(m.log, buf[:n]...)
		m.screen.Write(buf[:n])
		answer := m.screen.Answers()
		m.mu.Unlock()
		if len(answer) > 0 {
			m.serial.Write(answer)
		}
		select {
		case m.news <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Log is everything that the serial line has said so far.
func (m *Machine) Log() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.log)
}

// Screen is what a terminal on the serial line shows now.
func (m *Machine) Screen() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.screen.String()
}

// Mark is a place in the log, for WaitLog.
func (m *Machine) Mark() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.log)
}

// WaitLog waits until the log behind mark matches the expression, and gives
// the match with its groups.
func (m *Machine) WaitLog(ctx context.Context, mark int, expr string) ([]string, error) {
	re := regexp.MustCompile(expr)
	var found []string
	var panicked bool
	err := m.wait(ctx, func() bool {
		text := string(m.log[min(mark, len(m.log)):])
		found = re.FindStringSubmatch(text)
		panicked = found == nil && strings.Contains(text, "end Kernel panic")
		return found != nil || panicked
	})
	if panicked {
		err = errors.New("the kernel panicked")
	}
	if err != nil {
		return nil, fmt.Errorf("%q not seen on the serial line: %w; the last of it:\n%s", expr, err, lastLines(m.Log(), 30))
	}
	return found, nil
}

// WaitScreen waits until the serial terminal shows a match of the expression.
func (m *Machine) WaitScreen(ctx context.Context, expr string) ([]string, error) {
	re := regexp.MustCompile(expr)
	var found []string
	err := m.wait(ctx, func() bool {
		found = re.FindStringSubmatch(m.screen.String())
		return found != nil
	})
	if err != nil {
		return nil, fmt.Errorf("%q not on the screen: %w; the screen:\n%s", expr, err, m.Screen())
	}
	return found, nil
}

// wait calls done, with the lock held, after every piece of output.
func (m *Machine) wait(ctx context.Context, done func() bool) error {
	for {
		m.mu.Lock()
		ok := done()
		m.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.news:
		case <-m.exited:
			m.mu.Lock()
			ok := done()
			m.mu.Unlock()
			if ok {
				return nil
			}
			return fmt.Errorf("the machine ended: %s", m.stderr)
		}
	}
}

// Type sends text to the serial line.
func (m *Machine) Type(text string) error {
	_, err := io.WriteString(m.serial, text)
	return err
}

// WaitExit waits until the machine has switched itself off.
func (m *Machine) WaitExit(ctx context.Context) error {
	select {
	case <-m.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the machine still runs: %w; the last of its serial line:\n%s", ctx.Err(), lastLines(m.Log(), 30))
	}
}

// Close ends the machine by its own process and removes its files.
func (m *Machine) Close() error {
	select {
	case <-m.exited:
	default:
		m.cmd.Process.Kill()
		<-m.exited
	}
	if m.serial != nil {
		m.serial.Close()
	}
	if m.qmp != nil {
		m.qmp.conn.Close()
	}
	return os.RemoveAll(m.dir)
}

func lastLines(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// tail keeps the last kilobytes of what a process said.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	t.buf = t.buf[max(0, len(t.buf)-4096):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
