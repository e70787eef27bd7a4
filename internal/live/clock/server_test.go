package clock

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"doppel.live/internal/live/clock/chrony"
)

// chrony says what we take for its time, ahead or behind by minutes and years,
// and that it does not know the time is no time.
func TestChrony(t *testing.T) {
	address := func(s chrony.Server) string { return "127.0.0.1:" + strconv.Itoa(s.Port) }
	for _, ahead := range []time.Duration{40 * time.Minute, -25 * time.Hour, 9 * 365 * 24 * time.Hour} {
		s := chrony.Start(t, chrony.Config{Ahead: ahead})
		a, err := Ask(t.Context(), []string{address(s)})
		if err != nil {
			t.Fatal(err)
		}
		exact := max(100*time.Millisecond, ahead.Abs()/1e8) // of what chronyc says
		if d := a.Offset - s.Ahead; d.Abs() > exact || (s.Ahead-ahead).Abs() > 10*time.Second {
			t.Errorf("chrony is ahead by %v, which was to be %v; our client says %v", s.Ahead, ahead, a.Offset)
		}
	}
	lost := chrony.Start(t, chrony.Config{Lost: true})
	if a, err := Ask(t.Context(), []string{address(lost)}); err == nil || !strings.Contains(err.Error(), "does not know the time itself") {
		t.Errorf("lost: %+v, %v", a, err)
	}
	right := chrony.Start(t, chrony.Config{Ahead: time.Hour})
	if a, err := Ask(t.Context(), []string{address(lost), address(right)}); err != nil || a.Server != address(right) {
		t.Errorf("the next one: %+v, %v", a, err)
	}
}

// A server is found at the port that the protocol has, in a network of its own.
func TestChronyPort(t *testing.T) {
	if os.Getenv("DOPPEL_TEST_NETWORK") == "" {
		if os.Geteuid() != 0 {
			t.Skip("needs root for a network of its own")
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestChronyPort$", "-test.v")
		cmd.Env = append(os.Environ(), "DOPPEL_TEST_NETWORK=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		if strings.Contains(string(out), "--- SKIP") {
			t.Skip(string(out))
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Skipf("needs ip (package iproute2): %v: %s", err, out)
	}
	s := chrony.Start(t, chrony.Config{Port: 123, Ahead: time.Hour})
	a, err := Ask(t.Context(), []string{"127.0.0.1"})
	if err != nil || (a.Offset-s.Ahead).Abs() > 100*time.Millisecond {
		t.Errorf("%+v, %v, want %v", a, err, s.Ahead)
	}
}
