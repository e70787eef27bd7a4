// Package line shows the menu as numbered prompts, line by line: for dumb
// terminals, pipes and speech. It draws no screens and reads no single keys.
package line

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"doppel.live/internal/tui"
)

// width is where lines are broken, cells.
const width = 78

// What can be typed at every prompt.
const (
	back = "<"
	help = "?"
)

// Dialogue is a menu of numbered prompts.
type Dialogue struct {
	// Every is the least time between two lines of progress; zero is 2 seconds.
	Every time.Duration
	// Echo switches on or off that the terminal shows what is typed; nil where
	// it cannot be switched.
	Echo func(on bool)

	out       io.Writer
	text      *tui.Text
	interrupt <-chan struct{}
	want      chan struct{} // asks for a line
	lines     chan string   // closed at the end of the input
	pending   bool          // a line was asked for and not taken
}

var _ tui.Dialogue = (*Dialogue)(nil)

// New makes a dialogue that reads from in and writes to out. What comes on
// interrupt, which may be nil, is a Ctrl-C. One goroutine stays behind in a
// read of in.
func New(in io.Reader, out io.Writer, interrupt <-chan struct{}, text *tui.Text) *Dialogue {
	d := &Dialogue{out: out, text: text, interrupt: interrupt, want: make(chan struct{}, 1), lines: make(chan string)}
	go func() {
		defer close(d.lines)
		r := bufio.NewReader(in)
		for range d.want { // only on demand: at other times the terminal is lent to others
			s, err := r.ReadString('\n')
			if s != "" {
				d.lines <- strings.TrimRight(s, "\r\n")
			}
			if err != nil {
				return
			}
		}
	}()
	return d
}

func (d *Dialogue) print(format string, args ...any) {
	fmt.Fprintf(d.out, format+"\n", args...)
}

// say prints a body.
func (d *Dialogue) say(body []tui.Line) {
	for _, l := range tui.Layout(body, width) {
		d.print("%s", l.Text)
	}
}

// read waits for a line; late tells that elapsed came first.
func (d *Dialogue) read(elapsed <-chan time.Time) (s string, late bool, err error) {
	if !d.pending {
		d.want <- struct{}{}
		d.pending = true
	}
	select {
	case s, ok := <-d.lines:
		if !ok {
			return "", false, tui.ErrClosed
		}
		d.pending = false
		return s, false, nil
	case <-d.interrupt:
		d.print("")
		return back, false, nil
	case <-elapsed:
		return "", true, nil
	}
}

// show prints the text and the list of a page.
func (d *Dialogue) show(p tui.Page) {
	d.print("")
	if p.Status != "" {
		d.print("%s - %s", d.text.Product, tui.Clean(p.Status))
	}
	d.print("== %s ==", tui.Clean(p.Title))
	d.say(p.Body)
	rows := [][]string{}
	if p.Head != nil {
		rows = append(rows, append([]string{"#"}, p.Heads()...))
	}
	for i, it := range p.Items {
		rows = append(rows, append([]string{name(p, i)}, it.Cells...))
	}
	for i, lines := range tui.Unfold(rows, width) {
		for _, s := range lines {
			d.print("%s", s)
		}
		if item := i - (len(rows) - len(p.Items)); item >= 0 && p.Items[item].Note != "" {
			d.say([]tui.Line{{Text: "     " + p.Items[item].Note}})
		}
	}
}

// name is what is typed to choose an item: its number, or its own letter.
func name(p tui.Page, i int) string {
	if key := p.Items[i].Key; key != 0 {
		return string(key)
	}
	return strconv.Itoa(i + 1)
}

// Choose implements tui.Dialogue.
func (d *Dialogue) Choose(p tui.Page) ([]int, error) {
	d.show(p)
	if p.Wait > 0 {
		if d.wait(p) {
			return []int{p.Start}, nil
		}
	}
	for {
		prompt := d.text.KeysPlain
		if p.Many {
			prompt = d.text.KeysPlainMany
		}
		fmt.Fprint(d.out, prompt)
		s, _, err := d.read(nil)
		if err != nil {
			return nil, err
		}
		switch s = strings.TrimSpace(s); s {
		case "":
			if len(p.Items) == 1 && !p.Many {
				return []int{0}, nil
			}
			continue
		case back, "q":
			return nil, tui.ErrBack
		case help:
			d.help(p)
			d.show(p)
			continue
		}
		if chosen, ok := pick(p, s); ok {
			return chosen, nil
		}
		d.print("%s", d.text.NotAnItem)
	}
}

// wait counts the seconds of a page down and tells whether they passed.
func (d *Dialogue) wait(p tui.Page) bool {
	left := int(p.Wait / time.Second)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ; left > 0; left-- {
		d.print(p.Count, left)
		switch _, late, err := d.read(tick.C); {
		case err != nil: // nobody is there to stop it
			<-tick.C
		case !late:
			return false
		}
	}
	return true
}

// pick reads the names of items; a list of several may be parted by spaces or
// commas, and "all" is all.
func pick(p tui.Page, s string) ([]int, bool) {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })
	if !p.Many && len(words) != 1 || len(words) == 0 {
		return nil, false
	}
	var chosen []int
	for _, w := range words {
		i := slices.IndexFunc(slices.Collect(names(p)), func(n string) bool { return n == w })
		switch {
		case p.Many && w == "all":
			for i := range p.Items {
				chosen = append(chosen, i)
			}
		case i < 0:
			return nil, false
		default:
			chosen = append(chosen, i)
		}
	}
	slices.Sort(chosen)
	return slices.Compact(chosen), true
}

func names(p tui.Page) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range p.Items {
			if !yield(name(p, i)) {
				return
			}
		}
	}
}

func (d *Dialogue) help(p tui.Page) {
	d.print("")
	d.print(d.text.HelpTitle, tui.Clean(p.Title))
	d.say([]tui.Line{{Text: p.Help}})
}

// Ask implements tui.Dialogue.
func (d *Dialogue) Ask(q tui.Question) (string, error) {
	q.Items = nil
	d.show(q.Page)
	if q.Hidden {
		q.Text = ""
	}
	for {
		s, err := d.typed(q)
		if err != nil {
			return "", err
		}
		switch strings.TrimSpace(s) {
		case back:
			return "", tui.ErrBack
		case help:
			d.help(q.Page)
			continue
		case "":
			s = q.Text
		}
		if q.Check != nil {
			if problem := q.Check(s); problem != "" {
				d.print("%s", tui.Clean(problem))
				continue
			}
		}
		return s, nil
	}
}

// typed prompts for a text and gives the line that is typed.
func (d *Dialogue) typed(q tui.Question) (string, error) {
	if !q.Hidden {
		fmt.Fprintf(d.out, d.text.KeysPlainText, q.Prompt, tui.Clean(q.Text))
		s, _, err := d.read(nil)
		return s, err
	}
	if d.Echo != nil {
		d.Echo(false)
		defer d.Echo(true)
	}
	fmt.Fprintf(d.out, d.text.KeysPlainHidden, q.Prompt)
	s, _, err := d.read(nil)
	d.print("") // the end of the line was not shown either
	return s, err
}

// Watch implements tui.Dialogue.
func (d *Dialogue) Watch(w tui.Work) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reports := make(chan tui.Progress, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, func(p tui.Progress) {
			select { // the newest is enough
			case <-reports:
			default:
			}
			reports <- p
		})
	}()
	if len(w.Stop.Items) > 0 {
		d.print("\n== %s ==", tui.Clean(w.Title))
	}
	return d.follow(w, done, reports, cancel)
}

// follow prints the progress until done.
func (d *Dialogue) follow(w tui.Work, done <-chan struct{}, reports <-chan tui.Progress, cancel func()) error {
	every := d.Every
	if every == 0 {
		every = 2 * time.Second
	}
	var last time.Time
	var said, step string
	var lost error
	for {
		select {
		case <-done:
			return lost
		case p := <-reports:
			now := ""
			if len(p.Body) > 0 {
				now = p.Body[0].Text
			}
			s := tui.Cut(tui.Clean(p.Short), width)
			if s != said && (now != step || time.Since(last) >= every) {
				d.print("%s", s)
				said, step, last = s, now, time.Now()
			}
		case <-d.interrupt:
			if lost == nil {
				lost = d.stop(w.Stop, cancel)
			}
		}
	}
}

// stop asks whether to stop the work, if it wants to be asked for.
func (d *Dialogue) stop(p tui.Page, cancel func()) error {
	if len(p.Items) == 0 {
		cancel()
		return nil
	}
	chosen, err := d.Choose(p)
	if err == tui.ErrClosed {
		return err
	}
	if err == nil && len(chosen) == 1 && chosen[0] == 1 {
		cancel()
	}
	return nil
}

// Lend implements tui.Dialogue.
func (d *Dialogue) Lend(hint string, f func()) error {
	d.print("\n%s", hint)
	f()
	return nil
}
