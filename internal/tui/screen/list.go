package screen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gdamore/tcell/v2"

	"doppel.live/internal/tui"
)

// list is the view of a page: its text, and below it what can be chosen.
type list struct {
	page   tui.Page
	text   *tui.Text
	answer chan answer

	at       int // the item pointed to
	first    int // the first item that is seen
	scroll   int // the first line of the text that is seen
	marked   map[int]bool
	left     int    // seconds of the countdown, 0: none
	hint     string // what went wrong
	seen     int    // items seen, when drawn last
	seenBody int    // lines of the text seen, when drawn last
	lines    int    // of the text, when drawn last
	cut      [][]string
}

func newList(p tui.Page, text *tui.Text) *list {
	v := &list{page: p, text: text, answer: make(chan answer, 1), marked: map[int]bool{}, seen: len(p.Items)}
	v.at = max(min(p.Start, len(p.Items)-1), 0)
	for _, i := range p.Marked {
		v.marked[i] = true
	}
	return v
}

func (v *list) reply(a answer) {
	select {
	case v.answer <- a:
	default: // it has been answered already
	}
}

func (v *list) typing(rune) bool { return false }

func (v *list) about() (tui.Page, string) {
	switch {
	case v.page.Root:
		return v.page, v.text.KeysMain
	case v.page.Many:
		return v.page, v.text.KeysMany
	}
	return v.page, v.text.KeysList
}

func (v *list) back() {
	if v.left > 0 {
		v.left = 0
	} else if !v.page.Root {
		v.reply(answer{err: tui.ErrBack})
	}
}

// second is called every second of a countdown.
func (v *list) second() {
	if v.left == 0 {
		return
	}
	if v.left--; v.left == 0 {
		v.reply(answer{items: []int{v.page.Start}})
	}
}

func (v *list) key(e *tcell.EventKey) {
	v.hint = ""
	if v.left > 0 {
		v.left = 0
		return
	}
	up, down := e.Key() == tcell.KeyUp || e.Key() == tcell.KeyBacktab, e.Key() == tcell.KeyDown || e.Key() == tcell.KeyTab
	switch {
	case len(v.page.Items) < 2 && up:
		v.scroll--
	case len(v.page.Items) < 2 && down:
		v.scroll++
	case up:
		v.at--
	case down:
		v.at++
	case e.Key() == tcell.KeyPgUp:
		v.turn(-1)
	case e.Key() == tcell.KeyPgDn:
		v.turn(1)
	case e.Key() == tcell.KeyHome:
		v.at, v.scroll = 0, 0
	case e.Key() == tcell.KeyEnd:
		v.at, v.scroll = len(v.page.Items)-1, v.lines
	case e.Key() == tcell.KeyEnter:
		v.enter()
	case e.Key() == tcell.KeyRune:
		v.letter(e.Rune())
	}
	v.at = max(min(v.at, len(v.page.Items)-1), 0)
}

// turn goes a page on: of the text while there is more of it, else of the list.
func (v *list) turn(direction int) {
	if v.lines > v.seenBody {
		v.scroll += direction * max(v.seenBody-1, 1)
		return
	}
	v.at += direction * max(v.seen-1, 1)
}

func (v *list) enter() {
	if !v.page.Many {
		v.reply(answer{items: []int{v.at}})
		return
	}
	var marked []int
	for i := range v.page.Items {
		if v.marked[i] {
			marked = append(marked, i)
		}
	}
	if len(marked) == 0 {
		v.hint = v.text.NoneMarked
		return
	}
	v.reply(answer{items: marked})
}

func (v *list) letter(r rune) {
	i := -1
	if r == ' ' {
		i = v.at
	} else if k := slices.Index(v.keys(), r); k >= 0 {
		i = v.first + k
	} else {
		i = slices.IndexFunc(v.page.Items, func(it tui.Item) bool { return it.Key == r })
	}
	switch {
	case i < 0 || i >= len(v.page.Items):
	case v.page.Many:
		v.at = i
		v.marked[i] = !v.marked[i]
	case r != ' ':
		v.at = i
		v.reply(answer{items: []int{i}})
	}
}

// keys are the characters of the items that are seen.
func (v *list) keys() []rune {
	end := min(v.first+v.seen, len(v.page.Items))
	return tui.Keys(v.page.Items[v.first:end], v.page.Items...)
}

// textOf is the text of a page, with its title where the frame has too little
// room for that.
func textOf(p tui.Page, width int) []tui.Line {
	body := p.Body
	if tui.Width(tui.Clean(p.Title)) > width-titleRoom {
		body = append([]tui.Line{{Tone: tui.Strong, Text: p.Title}}, body...)
	}
	return tui.Layout(body, width)
}

// titleRoom is how much narrower a title must be than the text below it.
const titleRoom = 2

// draw implements view. From the top: text, countdown, head of the table,
// items, and a note on the one pointed to.
func (v *list) draw(c canvas) {
	v.cut = v.cutCells(c.w)
	body := textOf(v.page, c.w)
	if len(body) > 0 {
		body = append(body, tui.Line{})
	}
	v.lines = len(body)
	fixed, note := 0, v.noteLines(c.w)
	if v.page.Head != nil {
		fixed++
	}
	if v.left > 0 {
		fixed += 2
	}
	if c.h < 8 {
		note = 0
	}
	fixed += note
	n := len(v.page.Items)
	v.seen = max(min(n, c.h-fixed-len(body)), min(n, (c.h-fixed)/3), min(n, 1))
	v.seenBody = max(min(len(body), c.h-fixed-v.seen), 0)
	v.scroll = max(min(v.scroll, len(body)-v.seenBody), 0)
	c.inner(0, 0, c.w, v.seenBody).lines(body[v.scroll:])
	y := v.seenBody
	if more := v.lines > v.seenBody && y > 0; more {
		c.inner(0, y-1, c.w, 1).fill(0, styleNormal)
		c.put(0, y-1, v.text.More, toneStyle(tui.Dim))
	}
	if v.left > 0 {
		c.put(0, y, fmt.Sprintf(v.page.Count, v.left), toneStyle(tui.Warn))
		y += 2
	}
	v.items(c, y)
	if note > 0 {
		v.note(c.inner(0, c.h-note, c.w, note))
	}
}

// rows are those of the table, the names of its columns first if it has any.
func (v *list) rows() [][]string {
	var rows [][]string
	if v.page.Head != nil {
		rows = append(rows, v.page.Heads())
	}
	for _, it := range v.page.Items {
		rows = append(rows, it.Cells)
	}
	return rows
}

const left = 5 // "> 1  "

// mark is the room for "[x] ".
func (v *list) mark() int {
	if v.page.Many {
		return 4
	}
	return 0
}

// cutCells gives what the table does not show in full of each item.
func (v *list) cutCells(width int) [][]string {
	cut := tui.CutCells(v.rows(), width-left-v.mark())
	if v.page.Head != nil {
		cut = cut[1:]
	}
	return cut
}

// noteOf is the note on an item. What the table cuts stands there in full.
func (v *list) noteOf(i, width int) []tui.Line {
	note := v.page.Items[i].Note
	for _, cell := range slices.Backward(v.cut[i]) {
		if !strings.Contains(tui.Clean(note), cell) {
			note = strings.TrimSuffix(cell+"; "+note, "; ")
		}
	}
	if note == "" {
		return nil
	}
	lines := tui.Layout([]tui.Line{{Text: note}}, width)
	if len(lines) > maxNote {
		lines = lines[:maxNote]
		lines[maxNote-1].Text = tui.Cut(lines[maxNote-1].Text+strings.Repeat(".", width), width)
	}
	return lines
}

// maxNote is the most lines of a note.
const maxNote = 5

// items draws the table.
func (v *list) items(c canvas, y int) {
	mark := v.mark()
	v.first = max(min(v.first, v.at, len(v.page.Items)-v.seen), v.at-v.seen+1, 0)
	table := tui.Columns(v.rows(), c.w-left-mark)
	if v.page.Head != nil {
		c.put(left+mark, y, table[0], toneStyle(tui.Dim))
		table = table[1:]
		y++
	}
	keys := v.keys()
	for i := v.first; i < min(v.first+v.seen, len(table)); i++ {
		v.item(c.inner(0, y, c.w, 1), i, keys[i-v.first], table[i])
		y++
	}
}

func (v *list) item(c canvas, i int, key rune, text string) {
	style, point := toneStyle(v.page.Items[i].Tone), " "
	keyStyle := style.Bold(true)
	if i == v.at {
		style, keyStyle, point = stylePick, stylePick, ">"
		c.fill(0, style)
	}
	c.put(0, 0, point, style)
	if key != 0 {
		c.put(2, 0, string(key), keyStyle)
	}
	x := 5
	if v.page.Many {
		mark := "[ ]"
		if v.marked[i] {
			mark = "[x]"
		}
		x = c.put(x, 0, mark+" ", style)
	}
	c.put(x, 0, text, style)
}

// noteLines is the room that the notes of the items need: the same for all, so
// that nothing jumps.
func (v *list) noteLines(width int) int {
	n := 0
	for i := range v.page.Items {
		n = max(n, len(v.noteOf(i, width)))
	}
	if n > 0 || v.page.Many {
		n = max(n, 1) + 1
	}
	return n
}

// note draws the note on the item pointed to, or what went wrong, below a rule.
func (v *list) note(c canvas) {
	c.put(0, 0, strings.Repeat(rulesFor(c.screen).horizontal, c.w), styleBorder)
	if v.hint != "" {
		c.put(0, 1, v.hint, toneStyle(tui.Warn))
		return
	}
	if v.at < len(v.page.Items) {
		c.inner(0, 1, c.w, c.h-1).lines(v.noteOf(v.at, c.w))
	}
}
