package sshd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// lab is a server, and a person with a key and OpenSSH's client.
type lab struct {
	t    *testing.T
	dir  string
	port string
	end  context.CancelFunc // of the server

	mu  sync.Mutex
	log []string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	for _, name := range []string{"ssh", "ssh-keygen", "script"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s (packages openssh-client, bsdutils)", name)
		}
	}
	l := &lab{t: t, dir: t.TempDir()}
	for _, who := range []string{"known", "stranger"} {
		l.tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", filepath.Join(l.dir, who))
	}
	public, err := os.ReadFile(filepath.Join(l.dir, "known.pub"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys(append([]byte("# one\n\n"), public...))
	if err != nil {
		t.Fatal(err)
	}
	host, err := NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Keys: keys, Host: host, Shell: []string{"sh", "-c", `echo "the menu on $TERM $(stty size)"; read x; echo "got $x $(stty size)"; exit 5`}, Log: func(f string, a ...any) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.log = append(l.log, fmt.Sprintf(f, a...))
	}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, l.port, _ = net.SplitHostPort(listener.Addr().String())
	known := "[127.0.0.1]:" + l.port + " " + string(ssh.MarshalAuthorizedKey(host.PublicKey()))
	if err := os.WriteFile(filepath.Join(l.dir, "hosts"), []byte(known), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	served := make(chan error)
	go func() { served <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *lab) tool(name string, args ...string) {
	l.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// client prepares OpenSSH's client.
func (l *lab) client(who string, args ...string) *exec.Cmd {
	all := append([]string{"-F", "none", "-p", l.port, "-i", filepath.Join(l.dir, who), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(l.dir, "hosts"), "-o", "StrictHostKeyChecking=yes"}, args...)
	cmd := exec.Command("ssh", all...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "SSH_AUTH_SOCK=")
	return cmd
}

func status(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestCommands(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		name, command, stdin string
		status               int
		stdout, stderr       string
	}{
		{"output and status", "echo out; echo err >&2; exit 3", "", 3, "out\n", "err\n"},
		{"input", "tr a-z A-Z", "hello\n", 0, "HELLO\n", ""},
		{"arguments are the shell's", `echo "a  b" '$HOME'`, "", 0, "a  b $HOME\n", ""},
		{"no terminal", "tty", "", 1, "not a tty\n", ""},
		{"much", "head -c 3000000 /dev/zero | tr '\\0' x | wc -c", "", 0, "3000000\n", ""},
		{"background", "sleep 30 & echo gone", "", 0, "gone\n", ""},
		{"signal", "kill -9 $$", "", 255, "", ""},
		{"absent", "no-such-program 2>/dev/null", "", 127, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := l.client("known", "root@127.0.0.1", tt.command)
			var out, errs bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(tt.stdin), &out, &errs
			err := cmd.Run()
			if status(err) != tt.status || out.String() != tt.stdout || tt.stderr != "" && errs.String() != tt.stderr {
				t.Errorf("status %d, %q, %q", status(err), out.String(), errs.String())
			}
		})
	}
}

func TestWhoMayComeIn(t *testing.T) {
	l := newLab(t)
	for name, args := range map[string][]string{
		"unknown key":  {"stranger", "root@127.0.0.1", "echo in"},
		"another user": {"known", "anna@127.0.0.1", "echo in"},
		"password":     {"known", "-o", "PubkeyAuthentication=no", "root@127.0.0.1", "echo in"},
		"forwarding":   {"known", "-W", "127.0.0.1:22", "root@127.0.0.1"},
		"subsystem":    {"known", "-s", "root@127.0.0.1", "magic"},
	} {
		out, err := l.client(args[0], args[1:]...).CombinedOutput()
		if status(err) == 0 || strings.Contains(string(out), "in\n") {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if log := strings.Join(l.log, "\n"); !strings.Contains(log, "sent away") || !strings.Contains(log, "came in with the key SHA256:") {
		t.Errorf("log: %s", log)
	}
}

// A person sits at a terminal, which changes its size: script gives the client
// one.
func TestTerminal(t *testing.T) {
	l := newLab(t)
	ssh := l.client("known", "-tt", "root@127.0.0.1")
	cmd := exec.Command("script", "-qefc", "stty rows 30 cols 100; "+strings.Join(quoted(ssh.Args), " "), "/dev/null")
	cmd.Env = ssh.Env
	cmd.Stdin = strings.NewReader("hello\n")
	out, err := cmd.CombinedOutput()
	if text := string(out); status(err) != 5 || !strings.Contains(text, "the menu on xterm 30 100") || !strings.Contains(text, "got hello 30 100") {
		t.Errorf("status %d: %s", status(err), text)
	}
}

// Files go both ways.
func TestFiles(t *testing.T) {
	l := newLab(t)
	if _, err := exec.LookPath("scp"); err != nil {
		t.Skip("no scp (package openssh-client)")
	}
	text := strings.Repeat("a line of a log\n", 100000)
	from, there, back := filepath.Join(l.dir, "from"), filepath.Join(l.dir, "there"), filepath.Join(l.dir, "back")
	if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, way := range [][]string{{from, "root@127.0.0.1:" + there}, {"root@127.0.0.1:" + there, back}} {
		args := l.client("known").Args[1:]
		for i, a := range args {
			if a == "-p" {
				args[i] = "-P"
			}
		}
		if out, err := exec.Command("scp", append(append([]string{"-s", "-q"}, args...), way...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if b, err := os.ReadFile(back); err != nil || string(b) != text {
		t.Errorf("%d bytes came back, %v", len(b), err)
	}
}

// quoted makes words that a shell gives back.
func quoted(words []string) []string {
	var out []string
	for _, w := range words {
		out = append(out, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return out
}

// Library and server alone: what a client can do that OpenSSH's does not.
func (l *lab) dial() *ssh.Client {
	l.t.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, "known"))
	if err != nil {
		l.t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(data)
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", "127.0.0.1:"+l.port, &ssh.ClientConfig{User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return c
}

func TestResizeAndSignal(t *testing.T) {
	l := newLab(t)
	s, err := l.dial().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, _ := s.StdinPipe()
	out, _ := s.StdoutPipe()
	if err := s.RequestPty("no/such terminal", 10, 20, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Shell(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	read := func(want string) {
		t.Helper()
		var text string
		for !strings.Contains(text, want) {
			n, err := out.Read(buf)
			if err != nil {
				t.Fatalf("%v after %q", err, text)
			}
			text += string(buf[:n])
		}
	}
	read("xterm-256color 10 20")
	if err := s.WindowChange(50, 150); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.SendRequest("is it done?", true, nil); ok || err != nil { // requests are answered in their order
		t.Fatal(ok, err)
	}
	in.Write([]byte("yes\n"))
	read("got yes 50 150")
	var exit *ssh.ExitError
	if err := s.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 5 {
		t.Error(err)
	}
	s, err = l.dial().NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("exec sleep 60"); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Error(err)
	}
}

// Where the server ends, what runs and ends too still tells how, and nobody
// comes in.
func TestEnding(t *testing.T) {
	l := newLab(t)
	cmd := l.client("known", "root@127.0.0.1", "echo ready; cat; echo over; exit 7")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	l.end()
	for {
		conn, err := net.Dial("tcp", "127.0.0.1:"+l.port)
		if err != nil {
			break // nobody listens: it is ending
		}
		conn.Close()
	}
	in.Close()
	rest, _ := io.ReadAll(said)
	if err := cmd.Wait(); status(err) != 7 || string(rest) != "over\n" {
		t.Errorf("status %d after %q", status(err), rest)
	}
}

// A program on a terminal learns that its person is gone; one without goes on.
func TestHangUp(t *testing.T) {
	// Under nohup no shell could be told: what is ignored stays so in children,
	// what is handled does not.
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	l := newLab(t)
	mark := filepath.Join(l.dir, "mark")
	for _, test := range []struct {
		onTerminal    bool
		waiting, want string
	}{
		// Who reads from the terminal may see its end before the kernel hangs up,
		// and what comes right before a "wait" of the shell does not end that.
		{true, "for i in $(seq 200); do sleep 0.1; done", "hup\n"},
		{false, "cat", "over\n"},
	} {
		c := l.dial()
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if test.onTerminal {
			if err := s.RequestPty("xterm", 24, 80, nil); err != nil {
				t.Fatal(err)
			}
		}
		out, _ := s.StdoutPipe()
		if err := s.Start("trap 'echo hup >>" + mark + "; exit' HUP; echo ready; " + test.waiting + "; echo over >>" + mark); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		c.Close()
		deadline := time.Now().Add(10 * time.Second)
		for {
			if b, _ := os.ReadFile(mark); string(b) == test.want {
				break
			}
			if time.Now().After(deadline) {
				b, _ := os.ReadFile(mark)
				t.Fatalf("terminal %v: the mark is %q", test.onTerminal, b)
			}
			time.Sleep(5 * time.Millisecond) // nothing announces what a process of nobody's does
		}
		os.Remove(mark)
	}
}

func TestParseKeys(t *testing.T) {
	host, err := NewHostKey()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(host.PublicKey())))
	for text, want := range map[string]string{
		key:                                "1",
		key + " anna@pc\n# x\n\n" + key:    "2",
		"":                                 "no public key in it",
		"# none":                           "no public key in it",
		"\nssh-ed25519 AAAA":               "line 2",
		`from="10.0.0.1" ` + key:           "options",
		`command="true",no-pty ` + key:     "options",
		"-----BEGIN OPENSSH PRIVATE KEY--": "line 1",
	} {
		keys, err := ParseKeys([]byte(text))
		got := fmt.Sprint(len(keys))
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%.30q: %s, want %s", text, got, want)
		}
	}
}

func FuzzSession(f *testing.F) {
	f.Add("xterm\x00", []byte{0, 0, 0, 5, 'x', 't', 'e', 'r', 'm', 0, 0, 0, 80, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		s := &session{server: &Server{}}
		s.terminal(payload)
		s.variable(payload)
		s.resize(payload)
		s.signal(payload)
		for _, e := range append(s.env, "TERM="+termName(name)) {
			if strings.ContainsAny(e, "\x00\n") {
				t.Errorf("environment %q", e)
			}
		}
	})
}
