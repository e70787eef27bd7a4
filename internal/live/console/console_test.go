package console

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const procConsoles = `ttyS0                -W- (EC   a)    4:64
tty0                 -WU (E  p  )     4:1
pstore-1             -W- (E  p )
hvc0                 -W- (E  p  )  229:0
`

func TestParse(t *testing.T) {
	want := []Console{{"ttyS0", true}, {"tty1", false}, {"pstore-1", false}, {"hvc0", false}}
	if got := Parse(procConsoles); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestChoose(t *testing.T) {
	kernel := Parse("tty0 -WU (E  p  ) 4:1\nttyS0 -W- (EC  a) 4:64\n")
	for _, tt := range []struct {
		name   string
		kernel []Console
		named  []string
		screen bool
		want   string
	}{
		{"the last console= first", kernel, nil, true, "ttyS0 tty1"},
		{"serial only, with a screen", kernel[1:], nil, true, "ttyS0 tty1"},
		{"serial only", kernel[1:], nil, false, "ttyS0"},
		{"named", kernel, []string{"hvc0", "tty1", "hvc0"}, true, "hvc0 tty1"},
		{"nothing known", nil, nil, true, "tty1"},
	} {
		var names []string
		for _, c := range Choose(tt.kernel, tt.named, tt.screen) {
			names = append(names, c.Name)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestVirtual(t *testing.T) {
	for name, want := range map[string]bool{"tty1": true, "tty12": true, "ttyS0": false, "tty": false, "hvc0": false, "ttyAMA0": false} {
		if got := (Console{Name: name}).Virtual(); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// pty gives both ends of a pseudo terminal that stands for a serial line.
func pty(t *testing.T) (terminal *os.File, line Console) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo terminals: ", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return master, Console{Name: fmt.Sprintf("pts/%d", n)}
}

func TestFitSize(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answer   string // what the terminal sends when it is asked
		answered bool
		want     Size
	}{
		{"answers", "\x1b[50;132R", true, Size{50, 132}},
		{"somebody types meanwhile", "a\x1b[50;132Rb\r", true, Size{50, 132}},
		{"silent", "", false, Size{24, 80}},
		{"nonsense", "\x1b[1;2R", true, Size{24, 80}},
		{"types only", "\x1b[A", false, Size{24, 80}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			terminal, c := pty(t)
			f, err := c.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			asked := make(chan string, 1)
			go func() {
				buf := make([]byte, 100)
				n, _ := terminal.Read(buf)
				asked <- string(buf[:n])
				terminal.WriteString(tt.answer)
			}()
			answered, err := FitSize(c, f, 200*time.Millisecond)
			if err != nil || answered != tt.answered {
				t.Errorf("answered %v, %v", answered, err)
			}
			if q := <-asked; !strings.Contains(q, "\x1b[6n") {
				t.Errorf("asked %q", q)
			}
			w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
			if err != nil || int(w.Row) != tt.want.Rows || int(w.Col) != tt.want.Cols {
				t.Errorf("size %v %v, want %v", w, err, tt.want)
			}
		})
	}
}

// TestTypedAhead sees what was typed while the terminal was asked arrive
// afterwards.
func TestTypedAhead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("putting input back needs root")
	}
	terminal, c := pty(t)
	f, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	go func() {
		terminal.Read(make([]byte, 100))
		terminal.WriteString("ab\x1b[50;132Rc\r")
	}()
	if answered, err := FitSize(c, f, time.Second); err != nil || !answered {
		t.Fatal(answered, err)
	}
	if got := readWithin(int(f.Fd()), time.Second); string(got) != "abc\n" {
		t.Errorf("got %q", got)
	}
}

func TestOpenIsSane(t *testing.T) {
	_, c := pty(t)
	f, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	broken, _ := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	broken.Lflag, broken.Oflag = 0, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, broken); err != nil {
		t.Fatal(err)
	}
	again, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	now, _ := unix.IoctlGetTermios(int(again.Fd()), unix.TCGETS)
	if now.Lflag&unix.ECHO == 0 || now.Oflag&unix.ONLCR == 0 || now.Lflag&unix.ICANON == 0 {
		t.Errorf("after a broken program: %+v", now)
	}
	if _, err := (Console{Name: "no-such-console"}).Open(); err == nil {
		t.Error("opened what is not there")
	}
}

func FuzzCursorReport(f *testing.F) {
	f.Add([]byte("a\x1b[24;80Rb"))
	f.Add([]byte("\x1b[\x1b[1;1R"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, ok := cursorReport(b)
		if ok && (s.Rows <= 0 || s.Cols <= 0 || len(rest) > len(b)-6) {
			t.Errorf("%q: %v, rest %q", b, s, rest)
		}
		if !ok && len(rest) != len(b) {
			t.Errorf("%q: lost input, rest %q", b, rest)
		}
	})
}
