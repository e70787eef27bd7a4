package screen

import (
	"fmt"
	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"doppel.live/internal/tui"
)

// view is what stands in the frame: one page.
type view interface {
	// draw draws the page within c.
	draw(c canvas)
	// key takes a key; back asks for the page before.
	key(e *tcell.EventKey)
	back()
	typing(r rune) bool // the page takes this character as text
	about() (p tui.Page, keys string)
}

// frame is the whole screen: a head, a foot and a box with the last of the
// views between them.
type frame struct {
	*tview.Box
	text   *tui.Text
	screen tcell.Screen
	views  []view
	help   bool // help covers the view
	scroll int  // first line of help that is seen
}

// The largest box. On bigger screens it stands in the middle: long lines are
// hard to read.
const (
	maxWidth  = 100
	maxHeight = 32
)

func (f *frame) top() view {
	if len(f.views) == 0 {
		return nil
	}
	return f.views[len(f.views)-1]
}

// shows tells whether v is what is seen.
func (f *frame) shows(v view) bool { return f.top() == v }

// Draw implements tview.Primitive.
func (f *frame) Draw(s tcell.Screen) {
	x, y, w, h := f.GetRect()
	c := canvas{s, x, y, w, h}
	for row := range h {
		c.fill(row, styleNormal)
	}
	v := f.top()
	if v == nil || h < 4 || w < 8 {
		return
	}
	page, keys := v.about()
	c.inner(0, 0, w, 1).fill(0, styleBar)
	left := c.put(1, 0, f.text.Product, styleBar)
	status := tui.Cut(tui.Clean(page.Status), w-left-4)
	c.put(w-1-tui.Width(status), 0, status, styleBar)
	c.fill(h-1, styleBar)
	c.put(1, h-1, tui.Cut(keys, w-2), styleBar)

	bw, bh := min(w, maxWidth), min(h-2, maxHeight)
	b := c.inner((w-bw)/2, 1+(h-2-bh)/2, bw, bh)
	title := page.Title
	if f.help {
		title = fmt.Sprintf(f.text.HelpTitle, page.Title)
	}
	b.box(title)
	inside := b.inner(2, 1, bw-4, bh-2)
	if inside.h > 12 { // room enough for some air
		inside = inside.inner(0, 1, inside.w, inside.h-1)
	}
	if f.help {
		f.drawHelp(inside, page)
		return
	}
	v.draw(inside)
}

func (f *frame) drawHelp(c canvas, p tui.Page) {
	lines := tui.Layout([]tui.Line{{}, {Text: p.Help}}, c.w)
	f.scroll = max(min(f.scroll, len(lines)-(c.h-2)), 0)
	c.inner(0, 0, c.w, c.h-2).lines(lines[f.scroll:])
	c.put(0, c.h-1, f.text.HelpEnd, toneStyle(tui.Dim))
}

// InputHandler implements tview.Primitive.
func (f *frame) InputHandler() func(*tcell.EventKey, func(tview.Primitive)) {
	return func(e *tcell.EventKey, _ func(tview.Primitive)) { f.key(e) }
}

func (f *frame) key(e *tcell.EventKey) {
	v := f.top()
	if v == nil {
		return
	}
	page, _ := v.about()
	letter := e.Key() == tcell.KeyRune && !v.typing(e.Rune())
	switch {
	case e.Key() == tcell.KeyCtrlL:
		f.screen.Sync()
	case f.help:
		f.helpKey(e)
	case page.Help != "" && (e.Key() == tcell.KeyF1 || letter && e.Rune() == '?'):
		f.help, f.scroll = true, 0
		f.screen.HideCursor()
	case e.Key() == tcell.KeyEscape, e.Key() == tcell.KeyCtrlC, letter && e.Rune() == 'q':
		v.back()
	default:
		v.key(e)
	}
}

func (f *frame) helpKey(e *tcell.EventKey) {
	switch e.Key() {
	case tcell.KeyDown, tcell.KeyPgDn:
		f.scroll++
	case tcell.KeyUp, tcell.KeyPgUp:
		f.scroll = max(f.scroll-1, 0)
	default:
		f.help = false
	}
}
