package line

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"doppel.live/internal/tui"
)

func items(texts ...string) (out []tui.Item) {
	for _, s := range texts {
		out = append(out, tui.Item{Cells: []string{s}})
	}
	return out
}

var page = tui.Page{Status: "Images: none", Title: "Which disk?", Help: "Any of them.", Body: []tui.Line{{Text: "It is only read."}},
	Head: []string{"Disk", "Model"}, Items: []tui.Item{
		{Cells: []string{"/dev/sda", "Quick \x1b[31m"}, Note: "GPT\x07"}, {Cells: []string{"/dev/sdb", ""}}, {Cells: []string{"Look again"}, Key: 'r'}}}

func TestChoose(t *testing.T) {
	many := page
	many.Many = true
	one := tui.Page{Title: "Done", Items: items("Continue")}
	for name, c := range map[string]struct {
		page  tui.Page
		typed string
		want  string
	}{
		"number":      {page, "2\n", "[1] <nil>"},
		"spaces, CR":  {page, "  1 \r\n", "[0] <nil>"},
		"letter":      {page, "r\n", "[2] <nil>"},
		"back":        {page, "<\n", "[] " + tui.ErrBack.Error()},
		"q":           {page, "q\n", "[] " + tui.ErrBack.Error()},
		"nonsense":    {page, "0\n9\n-1\n1 2\nx\n\n1\n", "[0] <nil>"},
		"help":        {page, "?\n2\n", "[1] <nil>"},
		"end":         {page, "", "[] " + tui.ErrClosed.Error()},
		"cut short":   {page, "2", "[1] <nil>"},
		"many":        {many, "\nr, 1\n", "[0 2] <nil>"},
		"many, twice": {many, "1 1,1\n", "[0] <nil>"},
		"all":         {many, "all\n", "[0 1 2] <nil>"},
		"many, wrong": {many, "1 9\n2\n", "[1] <nil>"},
		"one item":    {one, "\n", "[0] <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			got, err := New(strings.NewReader(c.typed), &out, nil, tui.English()).Choose(c.page)
			if s := fmt.Sprint(got, err); s != c.want {
				t.Errorf("got %s, want %s\n%s", s, c.want, out.String())
			}
			for _, r := range out.String() {
				if unicode.IsControl(r) && r != '\n' {
					t.Errorf("%U reached the terminal", r)
				}
			}
			if name == "help" && strings.Count(out.String(), "Any of them.") != 1 {
				t.Errorf("no help in\n%s", out.String())
			}
		})
	}
}

func TestPage(t *testing.T) {
	var out bytes.Buffer
	_, _ = New(strings.NewReader("1\n"), &out, nil, tui.English()).Choose(page)
	const want = `
Doppel - Images: none
== Which disk? ==
It is only read.
#  Disk        Model
1  /dev/sda    Quick ?[31m
     GPT?
2  /dev/sdb
r  Look again
number, < back, ? help: `
	if out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
}

func TestCountdown(t *testing.T) {
	p := page
	p.Wait, p.Start, p.Count = time.Second, 1, "off in %d seconds"
	nobody, _ := io.Pipe()
	for name, in := range map[string]io.Reader{"nobody": nobody, "no input": strings.NewReader("")} {
		var out bytes.Buffer
		if got, err := New(in, &out, nil, tui.English()).Choose(p); fmt.Sprint(got, err) != "[1] <nil>" || !strings.Contains(out.String(), "off in 1 seconds") {
			t.Errorf("%s: %v, %v\n%s", name, got, err, out.String())
		}
	}
	if got, err := New(strings.NewReader("\n3\n1\n"), io.Discard, nil, tui.English()).Choose(p); fmt.Sprint(got, err) != "[0] <nil>" {
		t.Errorf("stopped: %v, %v", got, err)
	}
}

func TestAsk(t *testing.T) {
	q := tui.Question{Page: page, Prompt: "Image", Text: "old", Check: func(s string) string {
		if s == "bad" {
			return "that is bad"
		}
		return ""
	}}
	for typed, want := range map[string]string{
		"new\n":      "new <nil>",
		"\n":         "old <nil>",
		"?\nq\n":     "q <nil>",
		"bad\nbe\n":  "be <nil>",
		"<\n":        " " + tui.ErrBack.Error(),
		"":           " " + tui.ErrClosed.Error(),
		" spaces \n": " spaces  <nil>",
	} {
		got, err := New(strings.NewReader(typed), io.Discard, nil, tui.English()).Ask(q)
		if s := fmt.Sprint(got, " ", err); s != want {
			t.Errorf("typing %q gives %q, want %q", typed, s, want)
		}
	}
}

// What is typed for a secret is not shown: neither by the terminal nor by us.
func TestAskHidden(t *testing.T) {
	var out bytes.Buffer
	var echo []bool
	d := New(strings.NewReader("?\n hush \n"), &out, nil, tui.English())
	d.Echo = func(on bool) {
		echo = append(echo, on)
		if on && strings.HasSuffix(out.String(), ": ") {
			t.Error("the cursor stays behind the prompt")
		}
	}
	got, err := d.Ask(tui.Question{Page: page, Prompt: "Password", Text: "old", Hidden: true})
	if got != " hush " || err != nil || strings.Contains(out.String(), "hush") || strings.Contains(out.String(), "old") {
		t.Errorf("%q, %v\n%s", got, err, out.String())
	}
	if fmt.Sprint(echo) != "[false true false true]" {
		t.Errorf("echo %v", echo)
	}
	d = New(strings.NewReader("\n"), &out, nil, tui.English())
	if got, err := d.Ask(tui.Question{Page: page, Text: "old", Hidden: true}); got != "" || err != nil {
		t.Errorf("Enter alone gives %q, %v", got, err)
	}
}

func progressAt(percent int) tui.Progress {
	return tui.Progress{Body: []tui.Line{{Text: "Writing"}}, Percent: percent, Short: fmt.Sprintf("%d %%  Writing \x1b[2J", percent)}
}

func TestWatch(t *testing.T) {
	var out bytes.Buffer
	d := New(strings.NewReader(""), &out, nil, tui.English())
	d.Every = time.Nanosecond
	err := d.Watch(tui.Work{Page: page, Stop: tui.Page{Items: items("no", "yes")}, Run: func(ctx context.Context, report func(tui.Progress)) {
		for i := range 100 {
			report(progressAt(i))
			time.Sleep(time.Millisecond)
		}
	}})
	if n := strings.Count(out.String(), "Writing"); err != nil || n < 10 || n > 100 || strings.ContainsRune(out.String(), '\x1b') {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// Ctrl-C asks; what is answered decides.
func TestWatchInterrupted(t *testing.T) {
	for typed, want := range map[string]bool{"1\n": false, "2\n": true, "<\n": false, "": false} {
		interrupt := make(chan struct{})
		d := New(strings.NewReader(typed), io.Discard, interrupt, tui.English())
		var stopped bool
		err := d.Watch(tui.Work{Page: page, Stop: tui.Page{Title: "Stop?", Items: items("Go on", "Stop")}, Run: func(ctx context.Context, _ func(tui.Progress)) {
			interrupt <- struct{}{}
			select {
			case <-ctx.Done():
				stopped = true
			case <-time.After(200 * time.Millisecond):
			}
		}})
		if stopped != want || typed != "" && err != nil || typed == "" && !errors.Is(err, tui.ErrClosed) {
			t.Errorf("typing %q: stopped %v, %v", typed, stopped, err)
		}
	}
}

func TestInterruptGoesBack(t *testing.T) {
	nobody, _ := io.Pipe()
	interrupt := make(chan struct{}, 1)
	interrupt <- struct{}{}
	if _, err := New(nobody, io.Discard, interrupt, tui.English()).Choose(page); !errors.Is(err, tui.ErrBack) {
		t.Error(err)
	}
}

// While the terminal is lent nothing is read from it.
func TestLend(t *testing.T) {
	in := &counting{r: strings.NewReader("1\n2\n")}
	d := New(in, io.Discard, nil, tui.English())
	if err := d.Lend("type exit", func() { time.Sleep(20 * time.Millisecond) }); err != nil || in.reads() != 0 {
		t.Errorf("%v, %d reads", err, in.reads())
	}
}

type counting struct {
	mu sync.Mutex
	n  int
	r  io.Reader
}

func (c *counting) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.r.Read(p)
}

func (c *counting) reads() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
