package screen

import (
	"fmt"
	"math"
	"strings"

	"github.com/gdamore/tcell/v2"

	"doppel.live/internal/tui"
)

// work is the view of something that goes on.
type work struct {
	page     tui.Page
	stop     tui.Page
	text     *tui.Text
	progress tui.Progress
	cancel   func()
	views    func(...view) // what is to be shown from now on
}

func (v *work) typing(rune) bool { return false }

func (v *work) about() (tui.Page, string) {
	if len(v.stop.Items) == 0 {
		return v.page, v.text.KeysWait
	}
	return v.page, v.text.KeysWork
}

func (v *work) key(*tcell.EventKey) {}

// back asks whether to stop.
func (v *work) back() {
	if len(v.stop.Items) == 0 {
		v.cancel()
		return
	}
	question := newList(v.stop, v.text)
	v.views(v, &stopping{list: question, work: v})
}

// stopping is the question whether to stop, above the work that goes on.
type stopping struct {
	*list
	work *work
}

func (s *stopping) back() { s.work.views(s.work) }

func (s *stopping) key(e *tcell.EventKey) {
	s.list.key(e)
	select {
	case a := <-s.answer:
		if len(a.items) == 1 && a.items[0] == 1 {
			s.work.cancel()
		}
		s.work.views(s.work)
	default:
	}
}

func (v *work) draw(c canvas) {
	p := v.progress
	head := v.page
	head.Body = p.Body
	y := c.lines(textOf(head, c.w)) + 1
	label, right := 0, 0
	for _, b := range p.Bars {
		label, right = max(label, tui.Width(tui.Clean(b.Label))), max(right, tui.Width(b.Right))
	}
	label = min(label, c.w/4)
	for _, b := range p.Bars {
		x := c.put(0, y, tui.Cut(tui.Clean(b.Label), label), styleNormal)
		x = max(x, label) + 1
		bar(c, x, y, c.w-x-right-7, b.Fraction)
		c.put(c.w-right-5, y, fmt.Sprintf("%3d%%", int(b.Fraction*100)), toneStyle(tui.Strong))
		c.put(c.w-tui.Width(b.Right), y, b.Right, styleNormal)
		y += 2
	}
	c.inner(0, y, c.w, c.h-y).lines(tui.Layout(p.Foot, c.w))
}

// bar draws how much of something is done.
func bar(c canvas, x, y, width int, fraction float64) {
	if width < 3 {
		return
	}
	r := rulesFor(c.screen)
	n := int(math.Round(min(max(fraction, 0), 1) * float64(width)))
	x = c.put(x, y, strings.Repeat(r.full, n), styleDone)
	c.put(x, y, strings.Repeat(r.empty, width-n), styleDone)
}
