package screen

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"doppel.live/internal/tui"
)

var update = flag.Bool("update", false, "write the pages under testdata anew")

// terminal is a dialogue on a screen in memory.
type terminal struct {
	t   *testing.T
	sim tcell.SimulationScreen
	d   *Dialogue
	tty bytes.Buffer
	end chan error
}

// open starts flow on a screen of that size.
func open(t *testing.T, w, h int, flow func(d *Dialogue) error) *terminal {
	t.Helper()
	term := &terminal{t: t, sim: tcell.NewSimulationScreen("UTF-8"), end: make(chan error, 1)}
	d, err := New(&sized{term.sim, w, h}, &term.tty, tui.English())
	if err != nil {
		t.Fatal(err)
	}
	term.d = d
	go func() { term.end <- d.Run(func() error { return flow(d) }) }()
	return term
}

// sized is a simulated screen that has its size from the start.
type sized struct {
	tcell.SimulationScreen
	w, h int
}

func (s *sized) Init() error {
	err := s.SimulationScreen.Init()
	s.SetSize(s.w, s.h)
	return err
}

// text is what stands on the screen, and fails where characters overlap.
func (term *terminal) text() string {
	cells, w, h := term.sim.GetContents()
	var b strings.Builder
	for y := range h {
		var row strings.Builder
		for x := 0; x < w; x++ {
			r := cells[y*w+x].Runes
			if len(r) == 0 {
				row.WriteByte(' ')
				continue
			}
			row.WriteString(string(r))
			if tui.Width(string(r)) == 2 {
				x++
			}
		}
		b.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
	return b.String()
}

// until waits for a text on the screen and gives all of it.
func (term *terminal) until(want string) string {
	term.t.Helper()
	var text string
	for range 400 {
		_ = term.d.do(func() { text = term.text() })
		if strings.Contains(text, want) {
			return text
		}
		time.Sleep(5 * time.Millisecond)
	}
	term.t.Fatalf("%q does not come; the screen is\n%s", want, text)
	return ""
}

// press presses keys: letters, or names in angle brackets.
func (term *terminal) press(keys ...any) {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			for _, r := range k {
				term.sim.InjectKey(tcell.KeyRune, r, tcell.ModNone)
			}
		case tcell.Key:
			term.sim.InjectKey(k, 0, tcell.ModNone)
		}
	}
}

// done waits until flow has ended.
func (term *terminal) done() error {
	term.t.Helper()
	select {
	case err := <-term.end:
		return err
	case <-time.After(5 * time.Second):
		term.t.Fatalf("the flow does not end; the screen is\n%s", term.text())
		return nil
	}
}

// golden compares a screen with the one that is kept.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("page %s is\n%sand should be (go test -update writes it anew)\n%s", name, got, want)
	}
}

func items(texts ...string) (out []tui.Item) {
	for _, s := range texts {
		out = append(out, tui.Item{Cells: strings.Split(s, "|")})
	}
	return out
}

var mainPage = tui.Page{Status: "Images: /dev/sdb1 KEEP, 1.3 TB free", Title: "What would you like to do?", Root: true, Help: "Choose.",
	Items: items("Save a disk or partitions", "Restore an image", "Check an image")}

var diskPage = tui.Page{Title: "Restore: onto which disk?", Help: "Any disk.", Body: []tui.Line{{Text: "What is on it now will be overwritten."}},
	Head: []string{"Disk", "Model", "Serial", "Size", "Contents"},
	Items: []tui.Item{
		{Cells: []string{"/dev/sda", "A model with a name that has no end", "..12345678", "500.1 GB", "GPT: \x1b[2Jevil"}, Note: "GPT: \x1b[2Jevil"},
		{Cells: []string{"/dev/nvme0n1", "日本のディスク", "", "2.0 TB", "empty"}},
		{Cells: []string{"Look again"}, Key: 'r'},
	}}

func longPlan() tui.Page {
	p := tui.Page{Title: "Restore: this is the plan", Help: "Look closely.", Items: items("Start", "Back")}
	p.Body = []tui.Line{{Tone: tui.Warn, Text: "What is on the target now will be lost."}, {}}
	for i := range 40 {
		p.Body = append(p.Body, tui.Line{Cells: []string{fmt.Sprintf("sda%d", i+1), "ext4", "used blocks", "1.0 GB"}})
	}
	return p
}

func progressAt(fraction float64) tui.Progress {
	return tui.Progress{Body: []tui.Line{{Tone: tui.Strong, Text: "Writing sda1"}}, Percent: int(fraction * 100),
		Bars: []tui.Bar{{Label: "All", Fraction: fraction, Right: "40.0 GB / 81.5 GB"}, {Label: "sda1", Fraction: 1, Right: "5.0 MB / 5.0 MB"}},
		Foot: []tui.Line{{Text: "0:10 so far, 120.0 MB/s, 5:00 left"}, {}, {Tone: tui.Warn, Text: "- not clean"}}}
}

// Each page, on the sizes that consoles and serial lines have, and on sizes
// that nobody should have.
func TestPages(t *testing.T) {
	many := diskPage
	many.Many, many.Marked = true, []int{1}
	question := tui.Question{Page: tui.Page{Title: "Restore: are you sure?", Help: "Type it.",
		Body: []tui.Line{{Cells: []string{"Serial", "ABC1234"}}, {}, {Text: "Type the last 4 characters of the serial number."}}}, Prompt: "Confirm"}
	pages := map[string]view{
		"main":     newList(mainPage, tui.English()),
		"disks":    newList(diskPage, tui.English()),
		"many":     newList(many, tui.English()),
		"plan":     newList(longPlan(), tui.English()),
		"question": newEntry(question, tui.English()),
		"work":     &work{page: tui.Page{Title: "Restoring lab"}, stop: stopPage, text: tui.English(), progress: progressAt(0.5)},
	}
	sizes := [][2]int{{80, 25}, {80, 24}, {40, 12}, {20, 6}, {7, 3}, {1, 1}, {200, 60}}
	for name, v := range pages {
		for _, size := range sizes {
			s := tcell.NewSimulationScreen("UTF-8")
			term := &terminal{t: t, sim: s}
			d, err := New(&sized{s, size[0], size[1]}, &term.tty, tui.English())
			if err != nil {
				t.Fatal(err)
			}
			d.frame.views = []view{v}
			d.repaint()
			text := term.text()
			if strings.ContainsRune(text, '\x1b') {
				t.Errorf("%s at %v holds an escape", name, size)
			}
			if size == [2]int{80, 25} {
				golden(t, name, text)
			}
			if lines := strings.Split(text, "\n"); size[1] >= 12 && !strings.HasPrefix(lines[size[1]-1], " ") {
				t.Errorf("%s at %v has no foot:\n%s", name, size, text)
			}
		}
	}
}

func TestCanvasStaysInside(t *testing.T) {
	s := tcell.NewSimulationScreen("UTF-8")
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	s.SetSize(20, 5)
	c := canvas{s, 5, 1, 10, 3}
	for y := -2; y < 8; y++ {
		c.put(0, y, "日本語日本語日本語", styleNormal)
		c.put(-3, y, "xxxxxxxxxxxxxxxxxxxx", styleNormal)
		c.put(9, y, "語", styleNormal)
	}
	c.inner(8, 2, 50, 50).box("title")
	s.Show()
	cells, w, _ := s.GetContents()
	for i, cell := range cells {
		x, y := i%w, i/w
		outside := x < 5 || x >= 15 || y < 1 || y >= 4
		if r := cell.Runes; outside && len(r) > 0 && r[0] != ' ' {
			t.Errorf("%q at %d,%d", r, x, y)
		}
	}
}

func TestChoose(t *testing.T) {
	for name, c := range map[string]struct {
		page tui.Page
		keys []any
		want string
	}{
		"digit":         {diskPage, []any{"2"}, "[1] <nil>"},
		"own letter":    {diskPage, []any{"r"}, "[2] <nil>"},
		"enter":         {diskPage, []any{tcell.KeyDown, tcell.KeyEnter}, "[1] <nil>"},
		"tab, back tab": {diskPage, []any{tcell.KeyTab, tcell.KeyTab, tcell.KeyBacktab, tcell.KeyEnter}, "[1] <nil>"},
		"ends":          {diskPage, []any{tcell.KeyEnd, tcell.KeyDown, tcell.KeyDown, tcell.KeyEnter}, "[2] <nil>"},
		"start":         {diskPage, []any{tcell.KeyUp, tcell.KeyEnter}, "[0] <nil>"},
		"escape":        {diskPage, []any{tcell.KeyEscape}, "[] " + tui.ErrBack.Error()},
		"ctrl-c":        {diskPage, []any{tcell.KeyCtrlC}, "[] " + tui.ErrBack.Error()},
		"q":             {diskPage, []any{"q"}, "[] " + tui.ErrBack.Error()},
		"main stays":    {mainPage, []any{tcell.KeyEscape, "q", tcell.KeyCtrlC, tcell.KeyEscape, "3"}, "[2] <nil>"},
		"no such key":   {mainPage, []any{"9", "x", "0", tcell.KeyF5, " ", "1"}, "[0] <nil>"},
		"help":          {mainPage, []any{tcell.KeyF1, "2", "?", "2", "?", tcell.KeyEscape, "3"}, "[2] <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			term := open(t, 80, 25, func(d *Dialogue) error {
				chosen, err := d.Choose(c.page)
				got = fmt.Sprint(chosen, err)
				return nil
			})
			term.until(c.page.Title)
			term.press(c.keys...)
			if err := term.done(); err != nil || got != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestChooseMany(t *testing.T) {
	page := diskPage
	page.Many = true
	var got []int
	term := open(t, 80, 24, func(d *Dialogue) (err error) {
		got, err = d.Choose(page)
		return err
	})
	term.until(page.Title)
	term.press(tcell.KeyEnter)
	term.until("Nothing is marked yet")
	term.press("12", " ", tcell.KeyDown, " ")
	term.until("[x] Look again")
	term.press(tcell.KeyEnter)
	if err := term.done(); err != nil || fmt.Sprint(got) != "[0 2]" {
		t.Errorf("%v, %v", got, err)
	}
}

// Of a long list those entries that are seen have keys, and only those.
func TestLongList(t *testing.T) {
	page := tui.Page{Title: "Which?", Help: "x"}
	for i := range 100 {
		page.Items = append(page.Items, tui.Item{Cells: []string{fmt.Sprintf("image-%02d", i)}})
	}
	var got []int
	term := open(t, 80, 24, func(d *Dialogue) (err error) {
		got, err = d.Choose(page)
		return err
	})
	if text := term.until("1  image-00"); strings.Contains(text, "image-30") {
		t.Fatal("it is not long enough")
	}
	for range 4 {
		term.press(tcell.KeyPgDn)
	}
	text := term.until("image-72")
	first := strings.Index(text, "1  image-")
	term.press("1")
	if err := term.done(); err != nil || fmt.Sprintf("image-%02d", got[0]) != text[first+3:first+11] {
		t.Errorf("chose %v, %v from\n%s", got, err, text)
	}
}

// A text that is longer than the screen can be read to its end.
func TestLongText(t *testing.T) {
	term := open(t, 80, 24, func(d *Dialogue) error {
		_, err := d.Choose(longPlan())
		return err
	})
	text := term.until("sda1 ")
	if strings.Contains(text, "sda40") || !strings.Contains(text, "PgDn") || !strings.Contains(text, "Start") {
		t.Errorf("first page\n%s", text)
	}
	term.press(tcell.KeyPgDn, tcell.KeyPgDn, tcell.KeyPgDn, tcell.KeyPgDn)
	term.until("sda40")
	term.press("2")
	if err := term.done(); err != nil {
		t.Error(err)
	}
}

func TestCountdown(t *testing.T) {
	page := mainPage
	page.Wait, page.Count, page.Root = 2*time.Second, "off in %d seconds", false
	var got []int
	choose := func(d *Dialogue) (err error) {
		got, err = d.Choose(page)
		return err
	}
	term := open(t, 80, 24, choose)
	term.until("off in 2 seconds")
	term.until("off in 1 seconds")
	if err := term.done(); err != nil || fmt.Sprint(got) != "[0]" {
		t.Errorf("%v, %v", got, err)
	}
	term = open(t, 80, 24, choose)
	term.until("off in 2 seconds")
	term.press("2") // any key stops it, and does nothing else
	time.Sleep(50 * time.Millisecond)
	if text := term.until("What would"); strings.Contains(text, "off in") {
		t.Errorf("it still counts\n%s", text)
	}
	time.Sleep(2500 * time.Millisecond)
	term.press("3")
	if err := term.done(); err != nil || fmt.Sprint(got) != "[2]" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAsk(t *testing.T) {
	q := tui.Question{Page: tui.Page{Title: "Name?", Help: "A name."}, Prompt: "Image", Text: "old"}
	q.Check = func(s string) string {
		if strings.Contains(s, "!") {
			return "no exclamation marks"
		}
		return ""
	}
	var got string
	term := open(t, 80, 24, func(d *Dialogue) (err error) {
		got, err = d.Ask(q)
		return err
	})
	term.until("Image: old")
	term.press("er1!q?", tcell.KeyEnter)
	term.until("no exclamation marks")
	term.press(tcell.KeyCtrlU, "?")
	term.until("Help: Name?")
	term.press("x", "quick-2?", tcell.KeyBackspace2, tcell.KeyEnter)
	if err := term.done(); err != nil || got != "quick-2" {
		t.Errorf("%q, %v", got, err)
	}
	for _, key := range []tcell.Key{tcell.KeyEscape, tcell.KeyCtrlC} {
		term = open(t, 80, 24, func(d *Dialogue) error { _, err := d.Ask(q); return err })
		term.until("Image: old")
		term.press(key)
		if err := term.done(); !errors.Is(err, tui.ErrBack) {
			t.Error(err)
		}
	}
}

// What is typed for a secret is not shown, and every character counts.
func TestAskHidden(t *testing.T) {
	var got string
	term := open(t, 80, 24, func(d *Dialogue) (err error) {
		got, err = d.Ask(tui.Question{Page: tui.Page{Title: "Log in", Help: "x"}, Prompt: "Password", Text: "old", Hidden: true})
		return err
	})
	if text := term.until("Password: "); strings.Contains(text, "old") {
		t.Errorf("what was there is shown\n%s", text)
	}
	term.press("?q hush")
	if text := term.until("Password: *******"); strings.Contains(text, "hush") {
		t.Errorf("it is shown\n%s", text)
	}
	term.press(tcell.KeyEnter)
	if err := term.done(); err != nil || got != "?q hush" {
		t.Errorf("%q, %v", got, err)
	}
}

var stopPage = tui.Page{Title: "Stop the job?", Help: "x", Items: items("Go on", "Stop the job")}

func TestWatch(t *testing.T) {
	step := make(chan float64)
	stopped := false
	term := open(t, 80, 24, func(d *Dialogue) error {
		return d.Watch(tui.Work{Page: tui.Page{Title: "Saving lab", Help: "It saves."}, Stop: stopPage,
			Run: func(ctx context.Context, report func(tui.Progress)) {
				for {
					select {
					case f := <-step:
						report(progressAt(f))
					case <-ctx.Done():
						stopped = true
						return
					}
				}
			}})
	})
	term.until("Saving lab")
	step <- 0.25
	term.until(" 25%")
	term.press("?")
	term.until("It saves.")
	step <- 0.5
	term.press("x")
	term.until(" 50%")
	for _, answer := range []any{"1", tcell.KeyEscape, "q", tcell.KeyEnter} { // all of them go on
		term.press(tcell.KeyEscape)
		term.until("Stop the job?")
		step <- 0.75
		term.press(answer)
		term.until(" 75%")
	}
	term.press(tcell.KeyCtrlC)
	term.until("Stop the job?")
	term.press("2")
	if err := term.done(); err != nil || !stopped {
		t.Error(err, stopped)
	}
}

// Work that ends while the question is open takes the question with it.
func TestWatchEndsUnderQuestion(t *testing.T) {
	end := make(chan struct{})
	term := open(t, 80, 24, func(d *Dialogue) error {
		err := d.Watch(tui.Work{Page: tui.Page{Title: "Saving"}, Stop: stopPage, Run: func(context.Context, func(tui.Progress)) { <-end }})
		if err != nil {
			return err
		}
		_, err = d.Choose(mainPage)
		return err
	})
	term.until("Saving")
	term.press(tcell.KeyEscape)
	term.until("Stop the job?")
	close(end)
	term.until("What would")
	term.press("1")
	if err := term.done(); err != nil {
		t.Error(err)
	}
}

// A terminal that goes away ends every page, but no work.
func TestClosed(t *testing.T) {
	for name, show := range map[string]func(*Dialogue) error{
		"list":  func(d *Dialogue) error { _, err := d.Choose(mainPage); return err },
		"entry": func(d *Dialogue) error { _, err := d.Ask(tui.Question{Page: mainPage}); return err },
		"work": func(d *Dialogue) error {
			finished := false
			err := d.Watch(tui.Work{Page: mainPage, Stop: stopPage, Run: func(ctx context.Context, report func(tui.Progress)) {
				for range 20 {
					report(progressAt(0.5))
					time.Sleep(10 * time.Millisecond)
				}
				finished = ctx.Err() == nil
			}})
			if !finished {
				return errors.New("the work was not finished")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			term := open(t, 80, 24, show)
			term.until("What would")
			_ = term.sim.PostEvent(tcell.NewEventError(errors.New("input/output error")))
			if err := term.done(); !errors.Is(err, tui.ErrClosed) {
				t.Error(err)
			}
		})
	}
}

func TestLend(t *testing.T) {
	lent, back, goOn := false, make(chan struct{}), make(chan struct{})
	term := open(t, 80, 24, func(d *Dialogue) error {
		if _, err := d.Choose(mainPage); err != nil {
			return err
		}
		err := d.Lend("type exit", func() { lent = true })
		close(back)
		if <-goOn; err == nil {
			_, err = d.Choose(mainPage)
		}
		return err
	})
	term.until("What would")
	term.press("1")
	<-back
	if text := term.text(); strings.Contains(text, "What would") {
		t.Errorf("a page that nobody can answer any more is on the screen:\n%s", text)
	}
	close(goOn)
	term.until("What would")
	term.press("1")
	if err := term.done(); err != nil || !lent || !strings.Contains(term.tty.String(), "type exit") {
		t.Errorf("%v, %v, %q", err, lent, term.tty.String())
	}
}
