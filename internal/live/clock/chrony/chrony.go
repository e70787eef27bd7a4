// Package chrony starts a time server of chrony's for tests, with a time of its
// own: chronyd as in chronyd(8), told by chronyc(1). It leaves the clock of the
// machine alone, and needs no root but for a port below 1024.
package chrony

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Config says what a server tells.
type Config struct {
	Ahead time.Duration // of this machine's clock; to about a second
	Lost  bool          // it does not know the time
	Port  int           // 0: a free one
}

// Server is a time server that runs on 127.0.0.1.
type Server struct {
	Port  int
	Ahead time.Duration // as chronyc says it
}

const conf = `port %d
cmdport 0
bindaddress 127.0.0.1
bindcmdaddress %[2]s/socket
pidfile %[2]s/pid
allow 127.0.0.1
manual
`

// Missing says why there is no chrony here, "" where there is.
func Missing() string {
	for _, name := range []string{"sbin/chronyd", "bin/chronyc"} {
		if out, err := command(name, "--version").CombinedOutput(); err != nil {
			return fmt.Sprintf("needs chrony (./build.sh test unpacks it): %v: %s", err, out)
		}
	}
	return ""
}

// Start starts a server, which ends with the test. Where there is no chrony the
// test is skipped.
func Start(t testing.TB, c Config) Server {
	t.Helper()
	if why := Missing(); why != "" {
		t.Skip(why)
	}
	dir, err := os.MkdirTemp("", "chrony") // for a socket, whose path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := Server{Port: c.Port}
	if s.Port == 0 {
		s.Port = freePort(t)
	}
	text := fmt.Sprintf(conf, s.Port, dir)
	if !c.Lost {
		text += "local stratum 8\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := command("sbin/chronyd", "-x", "-U", "-u", userName(), "-d", "-f", filepath.Join(dir, "conf"))
	var said limited
	daemon.Stdout, daemon.Stderr = &said, &said
	daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		daemon.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		daemon.Process.Kill()
		<-ended
	})
	s.Ahead = settime(t, filepath.Join(dir, "socket"), c, ended, &said)
	return s
}

// settime tells the server the time once it listens, and gives by how much it
// is ahead.
func settime(t testing.TB, socket string, c Config, ended <-chan struct{}, said *limited) time.Duration {
	t.Helper()
	order := []string{"-h", socket, "settime", time.Now().UTC().Add(c.Ahead).Format("Jan 02, 2006 15:04:05")}
	if c.Lost {
		order = []string{"-h", socket, "tracking"}
	}
	for {
		out, err := command("bin/chronyc", order...).CombinedOutput()
		if fast := regexp.MustCompile(`Clock was (\S+) seconds (fast|slow)`).FindSubmatch(out); fast != nil && err == nil {
			seconds, err := strconv.ParseFloat(string(fast[1]), 64)
			if err != nil {
				t.Fatal(err)
			}
			return time.Duration(-seconds * float64(time.Second))
		}
		if err == nil && c.Lost {
			return 0
		}
		select {
		case <-ended:
			t.Fatalf("chronyd ended: %s", said)
		case <-t.Context().Done():
			t.Fatalf("chronyc: %v: %s", err, out)
		case <-time.After(20 * time.Millisecond): // it makes its socket when it is ready; nothing announces that
		}
	}
}

// command is a program of chrony's: that of DOPPEL_CHRONY, a package unpacked
// for tests, since it wants to be the only such service where it is installed;
// else that of the machine.
func command(name string, args ...string) *exec.Cmd {
	path := filepath.Join("/usr", name)
	tree := os.Getenv("DOPPEL_CHRONY")
	if tree != "" {
		path = filepath.Join(tree, "usr", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	if tree != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+filepath.Join(tree, "usr/lib/x86_64-linux-gnu")+":"+filepath.Join(tree, "lib/x86_64-linux-gnu"))
	}
	return cmd
}

// userName names the user that the server goes on as.
func userName() string {
	out, err := exec.Command("id", "-un").Output()
	if err != nil {
		return "root"
	}
	return string(regexp.MustCompile(`^\S+`).Find(out))
}

func freePort(t testing.TB) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// limited keeps the beginning of what a program says.
type limited struct{ text []byte }

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if len(l.text) < 4096 {
		l.text = append(l.text, p...)
	}
	return len(p), nil
}

func (l *limited) String() string { return string(l.text) }
