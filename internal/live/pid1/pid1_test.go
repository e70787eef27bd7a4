package pid1

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"doppel.live/internal/live/cmdline"
	"doppel.live/internal/live/console"
	"doppel.live/internal/store/remote"
	"golang.org/x/sys/unix"

	"fmt"
)

// collecting collects children as the first process does, until the test ends.
func collecting(t *testing.T, c *children) {
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				c.collect()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
}

func TestChildren(t *testing.T) {
	c := &children{}
	collecting(t, c)
	for _, tt := range []struct {
		script string
		want   string
	}{
		{"exit 0", "exit status 0"},
		{"exit 3", "exit status 3"},
		{"kill -9 $$", "signal: killed"},
	} {
		done, err := c.start(program{argv: []string{"sh", "-c", tt.script}})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case s := <-done:
			if got := ended(&s); got != tt.want {
				t.Errorf("%s: %s", tt.script, got)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: never collected", tt.script)
		}
	}
	if _, err := c.start(program{argv: []string{"no-such-program"}}); err == nil {
		t.Error("started what is not there")
	}
}

// TestOrphans leaves a grandchild behind, which must be waited for and
// collected too.
func TestOrphans(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Skip(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	c := &children{}
	collecting(t, c)
	done, err := c.start(program{argv: []string{"sh", "-c", "sleep 0.3 & exit 0"}})
	if err != nil {
		t.Fatal(err)
	}
	<-done
	if c.wait(50 * time.Millisecond) {
		t.Error("the orphan was not waited for")
	}
	if !c.wait(5 * time.Second) {
		t.Error("the orphan was not collected")
	}
	c.stopStarting()
	if _, err := c.start(program{argv: []string{"true"}}); err != errEnding {
		t.Errorf("started at the end: %v", err)
	}
}

// TestRunOn sees a program sit on a terminal of its own.
func TestRunOn(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer master.Close()
	_ = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("pts/%d", n)
	m := &machine{log: newLog()}
	collecting(t, &m.children)
	for range 2 { // the second finds the terminal as the first found it
		status, err := m.runOn(&seat{Console: console.Console{Name: name}},
			[]string{"sh", "-c", "echo $TERM $(stty size) $(tty); echo seen >/dev/tty; stty raw -echo; exit 4"})
		if err != nil || status.ExitStatus() != 4 {
			t.Fatalf("%v, %v", status, err)
		}
		buf := make([]byte, 1000)
		var got string
		for !strings.Contains(got, "seen") {
			n, err := master.Read(buf)
			if err != nil {
				t.Fatalf("%v after %q", err, got)
			}
			got += string(buf[:n])
		}
		if want := "vt220 24 80 /dev/" + name + "\r\nseen"; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSteps(t *testing.T) {
	words := func(c cmdline.Config) string {
		var all []string
		for _, s := range steps(c) {
			all = append(all, cmdline.Quote(s.argv))
		}
		return strings.Join(all, " | ")
	}
	run := []string{"restore", "lab pc", "serial:X"}
	for _, tt := range []struct {
		name   string
		config cmdline.Config
		want   string
	}{
		{"attended", cmdline.Config{Then: "poweroff"}, ""},
		{"job", cmdline.Config{Run: run, Then: "poweroff"}, `menu --run 'restore '\''lab pc'\'' serial:X' --then poweroff`},
		{"place only", cmdline.Config{Images: "LABEL=X"}, "hook --when before -- place use LABEL=X --wait 30s"},
		{"with credentials", cmdline.Config{Images: "smb://a@b/c", Credentials: "boot:c.json", Password: remote.NewSecret("hush")},
			"hook --when before -- place use smb://a@b/c --wait 90s --credentials boot:c.json"},
		{"with a password", cmdline.Parse("doppel.images=smb://a:hush@b/c"), "hook --when before -- place use smb://a@b/c --wait 90s --credentials /run/doppel/credentials.json"},
		{"all", cmdline.Config{Images: "boot", Preload: []string{"x", "y"}, Prerun: [][]string{{"a"}, {"b", "c d"}}, Run: run, Postrun: [][]string{{"e"}}, Then: "reboot"},
			`hook --when before --job 'restore '\''lab pc'\'' serial:X' -- place use boot --wait 30s | ` +
				`hook --when before --job 'restore '\''lab pc'\'' serial:X' -- preload x y | hook --when before --job 'restore '\''lab pc'\'' serial:X' -- a | ` +
				`hook --when before --job 'restore '\''lab pc'\'' serial:X' -- b 'c d' | menu --run 'restore '\''lab pc'\'' serial:X' --then none | ` +
				`hook --when after --job 'restore '\''lab pc'\'' serial:X' -- e`},
		{"job file", cmdline.Config{Job: "boot:jobs/a.json"}, "menu --run 'run boot:jobs/a.json'"},
		{"job file with an end", cmdline.Config{Job: "boot:jobs/a.json", Then: "menu"}, "menu --run 'run boot:jobs/a.json' --then menu"},
	} {
		if got := words(tt.config); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// TestFailedStep: nothing is run after a step that ended badly, why stands on
// the screen and in the log, and that is kept.
func TestFailedStep(t *testing.T) {
	log := filepath.Join(t.TempDir(), "unattended.log")
	if err := os.WriteFile(log, []byte("2026-01-02T03:04:05Z before: place use boot\nplace: nothing is plugged in\n2026-01-02T03:04:06Z before: exit status 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &machine{log: newLog(), said: log, config: cmdline.Config{Images: "boot", Run: []string{"verify", "x"}, Then: "poweroff"}}
	var said []string
	say := func(s string) { said = append(said, s) }
	next := m.unattended()
	if argv := next(nil, say); !slices.Contains(argv, "place") {
		t.Fatalf("first %q", argv)
	}
	failed := syscall.WaitStatus(1 << 8)
	if argv := next(&failed, say); !slices.Contains(argv, "keep") {
		t.Errorf("after a failure %q is run", argv)
	}
	if len(said) != 1 || !strings.HasPrefix(said[0], "the place of the images did not end well (exit status 1): place use boot --wait 30s\nplace: nothing is plugged in\n") ||
		!strings.Contains(said[0], "stays on") {
		t.Errorf("said %q", said)
	}
	if text, err := os.ReadFile(log); err != nil || !strings.HasSuffix(string(text), "stays on. Logs are in /var/log/doppel.\n") {
		t.Errorf("logged %s, %v", text, err)
	}
	if argv := next(&failed, say); argv != nil {
		t.Errorf("once the log is kept %q is run", argv)
	}

	next, good := m.unattended(), syscall.WaitStatus(0)
	next(nil, say)
	if argv := next(&good, say); !slices.Contains(argv, "--then") {
		t.Errorf("second %q", argv)
	}
	if argv := next(&good, say); argv != nil {
		t.Errorf("after the last %q is run", argv)
	}
	next = m.unattended()
	next(nil, say)
	next(&good, say)
	if argv := next(&failed, say); argv != nil { // it keeps its log itself
		t.Errorf("after a job that failed %q is run", argv)
	}
	if (&machine{}).unattended() != nil {
		t.Error("an attended start has a script")
	}
}

func TestLastWords(t *testing.T) {
	const at = "2026-01-02T03:04:05Z before: "
	for name, tt := range map[string]struct{ log, want string }{
		"nothing":        {"", ""},
		"silent":         {at + "a\nout of a\n" + at + "exit status 0\n" + at + "b\n" + at + "exit status 1\n", ""},
		"the last alone": {at + "a\nout of a\n" + at + "exit status 0\n" + at + "b\nout of b\n" + at + "exit status 1\n", "out of b"},
		"its end":        {at + "a\n1\n2\n3\n4\n" + at + "exit status 1\n", "2\n3\n4"},
		"not started":    {at + "a\n" + at + "exec: a: not found\n", "exec: a: not found"},
		"killed":         {at + "a\nhalf a wo", "half a wo"},
	} {
		if got := lastWords(tt.log); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// What a job file says of what follows holds after the programs of
// doppel.postrun=, unless the command line says something else.
func TestThen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "then")
	if err := os.WriteFile(file, []byte("reboot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config cmdline.Config
		file   string
		want   string
	}{
		"as the file says":     {cmdline.Config{Job: "boot:a.json"}, file, "reboot"},
		"the line says":        {cmdline.Config{Job: "boot:a.json", Then: "menu"}, file, "menu"},
		"a file without it":    {cmdline.Config{Job: "boot:a.json"}, file + "-none", ""},
		"no job file was run":  {cmdline.Config{Run: []string{"verify", "x"}}, file, ""},
		"the line, no file":    {cmdline.Config{Then: "poweroff"}, file + "-none", "poweroff"},
		"nobody says anything": {cmdline.Config{}, file + "-none", ""},
	} {
		if got := (&machine{config: tt.config}).then(tt.file); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	good := syscall.WaitStatus(0)
	for name, tt := range map[string]struct {
		config cmdline.Config
		shell  bool
	}{
		"after a program behind the job":  {cmdline.Config{Run: []string{"verify", "x"}, Postrun: [][]string{{"a"}}}, true},
		"after programs without a job":    {cmdline.Config{Prerun: [][]string{{"a"}}}, true},
		"before the job: the menu did it": {cmdline.Config{Run: []string{"verify", "x"}, Prerun: [][]string{{"a"}}}, false},
		"a place alone is no work":        {cmdline.Config{Images: "LABEL=X"}, false},
	} {
		tt.config.Then = cmdline.ThenShell
		m := &machine{log: newLog(), config: tt.config}
		next, argv := m.unattended(), []string(nil)
		argv = next(nil, func(string) {})
		for range steps(tt.config) {
			argv = next(&good, func(string) {})
		}
		if slices.Contains(argv, "keep") {
			argv = next(&good, func(string) {})
		}
		if slices.Equal(argv, shell()) != tt.shell {
			t.Errorf("%s: then %q", name, argv)
		}
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "credentials.json")
	if err := writeCredentials(file, remote.NewSecret(`h"u sh`)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, _ := f.Stat(); info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", info.Mode())
	}
	if c, err := remote.ReadCredentials(f); err != nil || c.Password.Reveal() != `h"u sh` {
		t.Errorf("%v", err)
	}
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	l := &log{file: out, kmsg: out, secrets: cmdline.Parse("ocs_repository=smb://a:h%20ush@b/c").Secrets}
	l.printf("mount smb://a:h%%20ush@b/c with %q", "h ush")
	if text, _ := os.ReadFile(out.Name()); strings.Contains(string(text), "ush") || !strings.Contains(string(text), "mount smb") {
		t.Errorf("logged: %s", text)
	}
}

// The log of hooks is kept whatever became of them.
func TestHooksLogIsKept(t *testing.T) {
	good, bad := syscall.WaitStatus(0), syscall.WaitStatus(1<<8)
	for name, tt := range map[string]struct {
		last *syscall.WaitStatus // of each program
		then []string            // what follows when the log is kept
	}{"well": {&good, shell()}, "badly": {&bad, nil}} {
		m := &machine{log: newLog(), config: cmdline.Config{Prerun: [][]string{{"a"}}, Postrun: [][]string{{"b"}}, Then: cmdline.ThenShell}}
		next := m.unattended()
		say := func(string) {}
		if argv := next(nil, say); argv[0] != "hook" {
			t.Fatalf("%s: first %q", name, argv)
		}
		argv := next(tt.last, say)
		if tt.last == &good && argv[0] == "hook" {
			argv = next(&good, say)
		}
		if !slices.Contains(argv, "keep") {
			t.Errorf("%s: the log is not kept, but %q run", name, argv)
		}
		if argv := next(&bad, say); !slices.Equal(argv, tt.then) {
			t.Errorf("%s: then %q, want %q", name, argv, tt.then)
		}
	}
}

func TestNetworkCommand(t *testing.T) {
	for want, configs := range map[string][]cmdline.Config{
		"":              {{}, {Job: "boot:a.json"}},
		"network start": {{IP: []string{"dhcp"}}, {Links: []cmdline.Param{{Key: "bond"}}, Job: "http://x/y"}},
		"network up":    {{Job: "https://x/y"}, {SSH: []string{"k"}}, {Preload: []string{"http://x/y"}}},
	} {
		for _, c := range configs {
			if got := strings.Join(networkCommand(c), " "); got != want {
				t.Errorf("%+v: %q, want %q", c, got, want)
			}
		}
	}
}

func TestLogLine(t *testing.T) {
	for record, want := range map[string]string{
		"6,339,5140900,-;NET: Registered\n SUBSYSTEM=x\n": "[    5.140900] NET: Registered\n",
		"6,339,5140900,c;a;b\n":                           "[    5.140900] a;b\n",
		"nonsense":                                        "",
		"6;x":                                             "",
		"6,1,x,-;y\n":                                     "[    0.000000] y\n",
	} {
		if got := logLine(record); got != want {
			t.Errorf("%q: %q", record, got)
		}
	}
}

func TestDisplay(t *testing.T) {
	for modalias, want := range map[string]bool{
		"pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00": true,
		"pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00": false,
	} {
		if display(modalias) != want {
			t.Errorf("%s: %v", modalias, !want)
		}
	}
}

func TestMaybeStick(t *testing.T) {
	for medium, want := range map[string]bool{"hd0": true, "hd1": true, "cd0": false, "hd96": false, "": false, "hd": false, "tftp": false, "hd0,gpt2": false} {
		if maybeStick(medium) != want {
			t.Errorf("%q: %v", medium, !want)
		}
	}
}
