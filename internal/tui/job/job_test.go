package job

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"doppel.live/internal/progress"
)

func take(lines ...string) *State {
	s := &State{}
	for _, l := range lines {
		s.Take(Line{Text: []byte(l)})
	}
	return s
}

func TestTake(t *testing.T) {
	s := take(
		`{"event":"plan","plan":{"image":"lab"}}`,
		`{"event":"start","total":1000}`,
		`{"event":"step","text":"writing sda1","volume":"sda1","step_total":400}`,
		`{"event":"progress","done":100,"step_done":100,"rate":5.5,"remaining":9}`,
		`{"event":"warning","text":"not clean"}`,
		`not json`, `{"event":"dance"}`, `{}`, `[1]`, `{"event":`, ``,
		`{"event":"result","ok":true,"text":"done"}`,
	)
	want := &State{Step: "writing sda1", Volume: "sda1", StepDone: 100, StepTotal: 400, Done: 100, Total: 1000,
		Rate: 5.5, Remaining: 9, Warnings: []string{"not clean"}, Plan: json.RawMessage(`{"image":"lab"}`),
		Output: []string{"not json", `{"event":"dance"}`, "{}", "[1]", `{"event":`},
		Result: &progress.Event{Kind: progress.Result, OK: true, Text: "done"}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestTakeKeepsStderrApart(t *testing.T) {
	s := &State{}
	s.Take(Line{Text: []byte(`{"event":"result","ok":true}`), Stderr: true})
	if s.Result != nil || len(s.Output) != 1 {
		t.Errorf("a result on standard error was believed: %+v", s)
	}
}

func TestTakeForgets(t *testing.T) {
	s := &State{}
	for range 3000 {
		s.Take(Line{Text: []byte(strings.Repeat("x", 5000))})
		s.Take(Line{Text: []byte(`{"event":"warning","text":"` + strings.Repeat("y", 5000) + `"}`)})
	}
	if len(s.Output) > maxOutput || len(s.Warnings) > maxWarnings || len(s.Output[0]) > maxText || len(s.Warnings[0]) > maxText {
		t.Errorf("kept %d lines of output, %d warnings", len(s.Output), len(s.Warnings))
	}
}

func FuzzTake(f *testing.F) {
	f.Add([]byte(`{"event":"progress","done":-1,"total":9223372036854775807,"rate":1e308}`))
	f.Add([]byte(`{"event":"result","ok":true}` + "\n" + `{"event":"plan","plan":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &State{}
		for line := range strings.SplitSeq(string(data), "\n") {
			s.Take(Line{Text: []byte(line)})
		}
		if s.Done < 0 || s.StepDone < 0 || s.Total < 0 || s.StepTotal < 0 || !(s.Rate >= 0) || !(s.Remaining >= 0) {
			t.Errorf("negative numbers: %+v", s)
		}
	})
}

func TestOK(t *testing.T) {
	yes, no := &progress.Event{OK: true}, &progress.Event{}
	for name, c := range map[string]struct {
		o    Outcome
		want bool
	}{
		"result and status":    {Outcome{State: State{Result: yes}}, true},
		"no result":            {Outcome{}, false},
		"result says no":       {Outcome{State: State{Result: no}}, false},
		"status says no":       {Outcome{State: State{Result: yes}, Exit: Exit{Status: 1}}, false},
		"killed after result":  {Outcome{State: State{Result: yes}, Exit: Exit{Status: -1, Signal: "killed"}}, false},
		"could not be started": {Outcome{State: State{Result: yes}, Err: exec.ErrNotFound}, false},
	} {
		if got := c.o.OK(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSplit(t *testing.T) {
	for in, want := range map[string][]string{
		`restore lab-pc serial:S3Z9 --yes`: {"restore", "lab-pc", "serial:S3Z9", "--yes"},
		`  a  `:                            {"a"},
		``:                                 nil,
		`a "b c" 'd e' f\ g ""`:            {"a", "b c", "d e", "f g", ""},
		`a"b"'c'`:                          {"abc"},
		`"a\"b\$c\d" 'e\f'`:                {`a"b$c\d`, `e\f`},
		`$(reboot) ; | > *`:                {"$(reboot)", ";", "|", ">", "*"},
	} {
		if got, err := Split(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("Split(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`a "b`, `'`, `a\`} {
		if got, err := Split(in); err != ErrQuote {
			t.Errorf("Split(%q) = %q, %v", in, got, err)
		}
	}
}

// What Quote writes, a real shell and Split read the same way.
func TestQuote(t *testing.T) {
	argv := []string{"doppel", "a b", "", "it's", `"x"`, "$HOME", "`id`", "a\\b", "-n", "é*?", "~", "#", "x\ny"}
	got, err := Split(Quote(argv))
	if err != nil || !slices.Equal(got, argv) {
		t.Errorf("Split gives %q, %v", got, err)
	}
	out, err := exec.Command("sh", "-c", "printf '%s\\0' "+Quote(argv)).Output()
	if want := strings.Join(argv, "\x00") + "\x00"; err != nil || string(out) != want {
		t.Errorf("sh gives %q, %v", out, err)
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("a b", "c'd")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			return
		}
		got, err := Split(Quote([]string{a, b}))
		if err != nil || !slices.Equal(got, []string{a, b}) {
			t.Errorf("%q, %q becomes %q, %v", a, b, got, err)
		}
	})
}

func runShell(ctx context.Context, s *System, script string) (lines []string, e Exit, err error) {
	e, err = s.Run(ctx, []string{"sh", "-c", script}, func(l Line) {
		where := "out:"
		if l.Stderr {
			where = "err:"
		}
		lines = append(lines, where+string(l.Text))
	})
	slices.Sort(lines)
	return lines, e, err
}

func TestSystemRun(t *testing.T) {
	lines, e, err := runShell(t.Context(), &System{}, `echo one; echo two >&2; printf three; exit 3`)
	if want := []string{"err:two", "out:one", "out:three"}; !slices.Equal(lines, want) || e.Status != 3 || err != nil {
		t.Errorf("%q, %+v, %v", lines, e, err)
	}
	if _, e, err = runShell(t.Context(), &System{}, `kill -9 $$`); e.Signal != "killed" || e.Status != -1 || err != nil {
		t.Errorf("killed: %+v, %v", e, err)
	}
	if _, err = (&System{}).Run(t.Context(), []string{"/no/such/command"}, nil); err == nil {
		t.Error("no error for a command that is not there")
	}
}

// What a command is fed comes to its standard input, with an end; one that is
// not fed finds nothing there, and one that does not read it is no error.
func TestSystemFeed(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		stdin  []byte
		want   string
	}{
		"read":     {"cat; echo end", []byte("a\nb"), "a|bend"},
		"empty":    {"cat; echo end", []byte{}, "end"},
		"nothing":  {"cat; echo end", nil, "end"},
		"not read": {"echo end", bytes.Repeat([]byte("x"), 1<<20), "end"},
	} {
		var said []string
		e, err := (&System{}).Feed(t.Context(), []string{"sh", "-c", c.script}, c.stdin, func(l Line) { said = append(said, string(l.Text)) })
		if got := strings.Join(said, "|"); got != c.want || e.Status != 0 || err != nil {
			t.Errorf("%s: %q, %+v, %v", name, got, e, err)
		}
	}
}

// A command that is stopped may say its last words; one that does not listen
// is killed.
func TestSystemRunStops(t *testing.T) {
	for name, script := range map[string]string{
		"listens": `trap 'echo bye; exit 1' INT; echo ready; while :; do sleep 0.05; done`,
		"deaf":    `trap '' INT; echo ready; while :; do sleep 0.05; done`,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var said []string
			e, err := (&System{Grace: 500 * time.Millisecond}).Run(ctx, []string{"sh", "-c", script}, func(l Line) {
				said = append(said, string(l.Text))
				cancel()
			})
			if err != nil {
				t.Fatal(err)
			}
			if name == "listens" && (!slices.Equal(said, []string{"ready", "bye"}) || e.Status != 1) {
				t.Errorf("%q, %+v", said, e)
			}
			if name == "deaf" && e.Signal != "killed" {
				t.Errorf("%q, %+v", said, e)
			}
		})
	}
}

func TestSplitterCutsLongLines(t *testing.T) {
	var got []int
	s := &splitter{line: func(b []byte) { got = append(got, len(b)) }}
	chunk := []byte(strings.Repeat("x", 1<<20))
	for range 18 {
		s.Write(chunk)
	}
	s.Write([]byte("\nshort\nrest"))
	s.end()
	if want := []int{maxLine, 5, 4}; !slices.Equal(got, want) {
		t.Errorf("lines of %v bytes, want %v", got, want)
	}
}

func TestLog(t *testing.T) {
	if l, err := NewLog("/no/such/folder/x.log"); err == nil || l == nil {
		t.Error("no error")
	} else {
		l.Print([]byte("x"))
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
