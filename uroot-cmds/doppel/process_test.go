package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// argsVariable makes this test binary the doppel command: its arguments, with
// unit separators between them; logVariable is where logs go.
const (
	argsVariable = "DOPPEL_TEST_ARGS"
	logVariable  = "DOPPEL_TEST_LOG"
)

// TestProcess is the other process of the tests below.
func TestProcess(t *testing.T) {
	args := os.Getenv(argsVariable)
	if args == "" {
		t.Skip("only runs for other tests")
	}
	c := newConsole(os.Stdin, os.Stdout, os.Stderr)
	c.logs = []string{os.Getenv(logVariable)}
	c.spawn = again
	os.Exit(start(strings.Split(args, "\x1f"), c))
}

// again prepares another process of the tests.
func again(args []string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), argsVariable+"="+strings.Join(args, "\x1f"))
	return cmd
}

// process prepares a doppel of its own.
func (l *lab) process(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), argsVariable+"="+strings.Join(args, "\x1f"), logVariable+"="+l.path("log"), "DOPPEL_IMAGES="+l.path("images"))
	return cmd
}

// exitStatus is 0, or what the process ended with.
func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

// Who reads the events goes away at the first of them.
func TestJobOutlivesItsReader(t *testing.T) {
	l := newLab(t)
	for _, args := range [][]string{
		{"save", l.path("source.img"), "lab", "--json"},
		{"restore", "lab", l.path("target.img"), "--yes", "--json"},
	} {
		cmd := l.process(args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		bufio.NewReaderSize(out, 16).ReadByte()
		out.Close()
		if status := exitStatus(t, cmd.Wait()); status != done {
			t.Errorf("%s: exit status %d", args[0], status)
		}
	}
	l.restored()
}

// A signal ends a question too; so does the end of the input.
func TestQuestionEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	defer w.Close()
	asked := &lines{on: func(string) { cancel() }}
	c := &console{in: bufio.NewReader(r), out: asked, err: asked, asks: true}
	if _, err := c.ask(ctx, "Sure? "); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c = &console{in: bufio.NewReader(strings.NewReader("YES")), out: io.Discard}
	if text, err := c.ask(context.Background(), "Sure? "); text != "" || err != nil {
		t.Errorf("half a line at the end of the input: %q, %v", text, err)
	}
}

// nohup starts a program with SIGHUP ignored: closing the terminal must not
// cancel it then.
func TestNohup(t *testing.T) {
	l := newLab(t)
	l.random("long.img", 256*mib, 0, 256*mib) // the job must not be done before the signal comes
	for _, nohup := range []bool{true, false} {
		cmd := l.process("save", l.path("long.img"), "lab", "--json")
		if nohup {
			cmd.Args, cmd.Path = append([]string{"nohup"}, cmd.Args...), l.find("nohup")
		} else { // whatever this test itself was started by
			cmd.Args, cmd.Path = append([]string{"env", "--default-signal=HUP"}, cmd.Args...), l.find("env")
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		r.ReadString('\n')
		cmd.Process.Signal(unix.SIGHUP)
		rest, _ := io.ReadAll(r)
		if status := exitStatus(t, cmd.Wait()); (status == done) != nohup {
			t.Errorf("nohup %v: exit status %d: %s", nohup, status, rest)
		}
		os.RemoveAll(l.path("images/lab"))
	}
}

// A save that is killed leaves what is not an image, and its source protected
// only until somebody looks at the disks.
func TestKilledSave(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	l := newLab(t)
	l.random("long.img", 192*mib, 0, 192*mib)
	out, err := exec.Command("losetup", "--find", "--show", l.path("long.img")).Output()
	if err != nil {
		t.Skip("needs loop devices: ", err)
	}
	device := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "-d", device).Run()
	state := func(want string) {
		t.Helper()
		if got := strings.TrimSpace(l.tool("", "blockdev", "--getro", device)); got != want {
			t.Errorf("%s: read-only %s, want %s", device, got, want)
		}
	}
	cmd := l.process("save", device, "lab", "--json")
	events, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewScanner(events); r.Scan() && !strings.Contains(r.Text(), `"step"`); {
	}
	state("1")
	cmd.Process.Kill()
	cmd.Wait()
	state("1")
	l.expect(done, "never finished", "images")
	state("0")
	l.expect(failed, "never finished", "restore", "lab", "target.img", "--yes")
	l.expect(done, "is removed", "images", "remove", "lab", "--yes")
	if left, _ := os.ReadDir(l.path("images")); len(left) > 0 {
		t.Errorf("what is left cannot be removed: %v", left)
	}
}
