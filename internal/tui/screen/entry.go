package screen

import (
	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"doppel.live/internal/tui"
)

// entry is the view of a question: a text and a field to type in.
type entry struct {
	question tui.Question
	text     *tui.Text
	field    *tview.InputField
	problem  string
	scroll   int // the first line of the text that is seen
	seen     int // lines of the text seen, when drawn last
	answer   chan answer
}

// maxTyped is the longest text that can be typed, runes.
const maxTyped = 200

func newEntry(q tui.Question, text *tui.Text) *entry {
	field := tview.NewInputField().SetText(tui.Clean(q.Text)).SetFieldStyle(styleInput)
	field.SetAcceptanceFunc(tview.InputFieldMaxLength(maxTyped))
	field.SetBackgroundColor(tcell.ColorBlack)
	if q.Hidden {
		field.SetText("").SetMaskCharacter('*')
	}
	field.Focus(func(tview.Primitive) {})
	return &entry{question: q, text: text, field: field, answer: make(chan answer, 1)}
}

// typing implements view: a question mark asks for help while nothing is
// typed, but a password may begin with one.
func (v *entry) typing(r rune) bool {
	return r != '?' || v.field.GetText() != "" || v.question.Hidden
}

func (v *entry) about() (tui.Page, string) { return v.question.Page, v.text.KeysText }

func (v *entry) back() { v.reply(answer{err: tui.ErrBack}) }

func (v *entry) reply(a answer) {
	select {
	case v.answer <- a:
	default:
	}
}

func (v *entry) key(e *tcell.EventKey) {
	v.problem = ""
	switch e.Key() {
	case tcell.KeyPgUp:
		v.scroll -= max(v.seen-1, 1)
		return
	case tcell.KeyPgDn:
		v.scroll += max(v.seen-1, 1)
		return
	}
	if e.Key() != tcell.KeyEnter {
		v.field.InputHandler()(e, func(tview.Primitive) {})
		return
	}
	typed := v.field.GetText()
	if v.question.Check != nil {
		v.problem = v.question.Check(typed)
	}
	if v.problem == "" {
		v.reply(answer{text: typed})
	}
}

func (v *entry) draw(c canvas) {
	body := textOf(v.question.Page, c.w)
	problem := tui.Layout([]tui.Line{{Tone: tui.Bad, Text: v.problem}}, c.w)
	v.seen = max(min(len(body), c.h-4-len(problem)), 0) // the field comes first
	v.scroll = max(min(v.scroll, len(body)-v.seen), 0)
	y := c.inner(0, 0, c.w, v.seen).lines(body[v.scroll : v.scroll+v.seen])
	if len(body) > v.seen && y < c.h {
		c.put(0, y, v.text.More, toneStyle(tui.Dim))
	}
	y++
	x := c.put(0, y, v.question.Prompt+": ", toneStyle(tui.Strong))
	v.field.SetRect(c.x+x, c.y+y, max(min(c.w-x, 64), 1), 1)
	v.field.Draw(c.screen)
	c.inner(0, y+2, c.w, c.h-y-2).lines(problem)
}
