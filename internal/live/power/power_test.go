package power

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// role is what a copy of the test plays, in an environment of its own.
const role = "DOPPEL_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "first process":
		os.Exit(firstProcess())
	case "poweroff":
		os.Exit(poweroff())
	}
	os.Exit(m.Run())
}

// A first process of its own ends all programs, the one that asked for it too,
// which still has to say that it was heard.
func TestAskedAndEnded(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for processes with numbers of their own")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for nothing is asked
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), role+"=first process")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// firstProcess starts poweroff, and when that asks for it sends what the first
// process of the live system sends to all. It gives the status of poweroff.
func firstProcess() int {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, Off.Signal())
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), role+"=poweroff")
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		<-asked
		err = cmd.Process.Signal(unix.SIGTERM)
	}
	if err == nil {
		err = cmd.Process.Signal(unix.SIGHUP)
	}
	if err == nil {
		hold.Close()
		err = cmd.Wait()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "poweroff:", err)
		return 1
	}
	return 0
}

// poweroff asks, and ends when it may.
func poweroff() int {
	if os.Getppid() != 1 { // nobody else's first process is asked
		return 9
	}
	status := Command(Off, "poweroff", nil, os.Stderr)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return status
}

func TestMounted(t *testing.T) {
	const text = `1 1 0:2 / / rw - rootfs none rw
20 1 0:19 / /proc rw - proc proc rw
30 1 8:17 / /images rw,noatime - ext4 /dev/sdb1 rw
31 30 0:33 / /images/my\040share rw master:1 shared:2 - nfs 10.0.0.1:/x rw
32 1 0:34 / /run rw - tmpfs tmpfs rw
broken line
`
	want := []string{"/images/my share", "/images"}
	if got := Mounted(text); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSignals(t *testing.T) {
	for _, a := range []Action{Off, Restart, Halt} {
		if got, ok := Requested(a.Signal()); !ok || got != a {
			t.Errorf("%v is asked for by a signal that means %v", a, got)
		}
	}
}
