// Package screen shows the menu on a terminal that can place characters: the
// console, a serial line, a terminal window. It draws what it is told to, and
// decides nothing.
package screen

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"doppel.live/internal/tui"
)

// Dialogue is a menu on a screen.
type Dialogue struct {
	app    *tview.Application
	screen tcell.Screen
	tty    io.Writer
	text   *tui.Text
	frame  *frame
	closed chan struct{} // when the terminal is gone, or Run has ended
}

var _ tui.Dialogue = (*Dialogue)(nil)

// initialised is a screen that was initialised before tview gets it, which
// would not look at the error.
type initialised struct{ tcell.Screen }

func (initialised) Init() error { return nil }

// New makes a dialogue on a screen that is not initialised yet. What is said
// while the screen is lent to others goes to tty.
func New(s tcell.Screen, tty io.Writer, text *tui.Text) (*Dialogue, error) {
	if err := s.Init(); err != nil {
		return nil, err
	}
	d := &Dialogue{screen: s, tty: tty, text: text, closed: make(chan struct{})}
	d.frame = &frame{Box: tview.NewBox(), text: text, screen: s}
	d.app = tview.NewApplication().SetScreen(initialised{s}).SetRoot(d.frame, true)
	d.app.SetInputCapture(func(e *tcell.EventKey) *tcell.EventKey {
		if e.Key() == tcell.KeyCtrlC { // a copy, so that it does not end the application
			return tcell.NewEventKey(tcell.KeyCtrlC, 0, tcell.ModNone)
		}
		return e
	})
	return d, nil
}

// Run shows the screen while flow runs, which calls the other methods. It
// returns when both have ended.
func (d *Dialogue) Run(flow func() error) error {
	result := make(chan error, 1)
	go func() {
		result <- flow()
		_ = d.do(func() { d.app.Stop() }) // unless it has ended already
	}()
	err := d.app.Run()
	close(d.closed)
	if flowErr := <-result; flowErr != nil {
		return flowErr
	}
	return err
}

// do runs f where the screen may be touched.
func (d *Dialogue) do(f func()) error {
	done := make(chan struct{})
	go func() { // stays behind when the screen is gone
		d.app.QueueUpdate(f)
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-d.closed:
		return tui.ErrClosed
	}
}

// show puts views on the screen instead of those that are there. All of the
// screen is sent, so that what a terminal lost or others wrote is repaired,
// and a page arrives in one piece.
func (d *Dialogue) show(views ...view) error {
	return d.do(func() {
		d.frame.views, d.frame.help = views, false
		d.repaint()
	})
}

func (d *Dialogue) repaint() {
	w, h := d.screen.Size()
	d.frame.SetRect(0, 0, w, h)
	d.screen.Clear()
	d.screen.HideCursor()
	d.frame.Draw(d.screen)
	d.screen.Sync()
}

// answer is what comes back from a view.
type answer struct {
	items []int
	text  string
	err   error
}

// wait gives the answer of a view that is shown.
func (d *Dialogue) wait(c <-chan answer) answer {
	select {
	case a := <-c:
		return a
	case <-d.closed:
		return answer{err: tui.ErrClosed}
	}
}

// Choose implements tui.Dialogue.
func (d *Dialogue) Choose(p tui.Page) ([]int, error) {
	v := newList(p, d.text)
	if p.Wait > 0 {
		stop := d.count(v)
		defer stop()
	}
	if err := d.show(v); err != nil {
		return nil, err
	}
	a := d.wait(v.answer)
	return a.items, a.err
}

// count counts the seconds of a page down.
func (d *Dialogue) count(v *list) (stop func()) {
	v.left = int(v.page.Wait / time.Second)
	tick := time.NewTicker(time.Second)
	end := make(chan struct{})
	go func() {
		for {
			select {
			case <-tick.C:
				if d.do(func() { v.second(); d.app.ForceDraw() }) != nil {
					return
				}
			case <-end:
				return
			}
		}
	}()
	return func() { tick.Stop(); close(end) }
}

// Ask implements tui.Dialogue.
func (d *Dialogue) Ask(q tui.Question) (string, error) {
	v := newEntry(q, d.text)
	if err := d.show(v); err != nil {
		return "", err
	}
	a := d.wait(v.answer)
	return a.text, a.err
}

// patience is how long work goes on before it gets a page of its own.
const patience = 400 * time.Millisecond

// Watch implements tui.Dialogue.
func (d *Dialogue) Watch(w tui.Work) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	v := &work{page: w.Page, stop: w.Stop, cancel: cancel, text: d.text}
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, func(p tui.Progress) {
			_ = d.do(func() { // when the screen is gone the work goes on
				if v.progress = p; d.frame.shows(v) {
					d.app.ForceDraw()
				}
			})
		})
	}()
	if len(w.Stop.Items) == 0 {
		select {
		case <-done:
			return d.lost()
		case <-time.After(patience):
		}
	}
	v.views = func(views ...view) {
		d.frame.views = views
		d.repaint()
	}
	_ = d.show(v)
	<-done
	return d.lost()
}

// lost gives ErrClosed when the terminal is gone.
func (d *Dialogue) lost() error {
	select {
	case <-d.closed:
		return tui.ErrClosed
	default:
		return nil
	}
}

// Lend implements tui.Dialogue. What was shown before has been answered: it does
// not come back, as whoever sees a page presses keys, which it would not hear.
func (d *Dialogue) Lend(hint string, f func()) error {
	var failed error
	err := d.do(func() {
		if failed = d.screen.Suspend(); failed != nil {
			return
		}
		fmt.Fprintf(d.tty, "\r\n%s\r\n", hint)
		f()
		d.frame.views, d.frame.help = nil, false
		if failed = d.screen.Resume(); failed == nil {
			d.repaint()
		}
	})
	if err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("%w: %w", tui.ErrClosed, failed)
	}
	return nil
}
