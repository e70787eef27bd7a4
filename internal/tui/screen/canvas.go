package screen

import (
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"
	"github.com/rivo/uniseg"

	"doppel.live/internal/tui"
)

// canvas is a rectangle of the screen. What is put on it is cleaned, and cut
// at its edges.
type canvas struct {
	screen     tcell.Screen
	x, y, w, h int
}

// inner is the part of c that begins at x, y and is w wide and h high.
func (c canvas) inner(x, y, w, h int) canvas {
	x, y = max(x, 0), max(y, 0)
	return canvas{c.screen, c.x + x, c.y + y, max(min(w, c.w-x), 0), max(min(h, c.h-y), 0)}
}

// put writes a text and gives the column after it.
func (c canvas) put(x, y int, text string, style tcell.Style) int {
	if y < 0 || y >= c.h || x < 0 {
		return x
	}
	for _, r := range tui.Clean(text) {
		w := 1
		if r >= utf8.RuneSelf {
			w = uniseg.StringWidth(string(r))
		}
		if w < 1 {
			continue
		}
		if x+w > c.w {
			break
		}
		c.screen.SetContent(c.x+x, c.y+y, r, nil, style)
		x += w
	}
	return x
}

// fill paints a row.
func (c canvas) fill(y int, style tcell.Style) {
	for x := 0; x < c.w; x++ {
		c.put(x, y, " ", style)
	}
}

// lines writes lines from the top and gives the row below them.
func (c canvas) lines(lines []tui.Line) int {
	for y, l := range lines {
		c.put(0, y, l.Text, toneStyle(l.Tone))
	}
	return len(lines)
}

// rules are the characters of lines and bars.
type rules struct {
	horizontal, vertical string
	corners              [4]string // top left, top right, bottom left, bottom right
	full, empty          string
}

// rulesFor gives rules that the terminal has. Line drawing by a second
// character set is not used: tcell 2.13 sends the padding of VT220 entries
// literally.
func rulesFor(s tcell.Screen) rules {
	if s.CharacterSet() != "UTF-8" {
		return rules{"-", "|", [4]string{"+", "+", "+", "+"}, "#", "."}
	}
	b := tview.Borders
	return rules{string(b.Horizontal), string(b.Vertical),
		[4]string{string(b.TopLeft), string(b.TopRight), string(b.BottomLeft), string(b.BottomRight)}, "█", "░"}
}

// box draws a frame of single lines with a title.
func (c canvas) box(title string) {
	if c.w < 2 || c.h < 2 {
		return
	}
	r := rulesFor(c.screen)
	for x := 1; x < c.w-1; x++ {
		c.put(x, 0, r.horizontal, styleBorder)
		c.put(x, c.h-1, r.horizontal, styleBorder)
	}
	for y := 1; y < c.h-1; y++ {
		c.put(0, y, r.vertical, styleBorder)
		c.put(c.w-1, y, r.vertical, styleBorder)
	}
	for i, corner := range r.corners {
		c.put(i%2*(c.w-1), i/2*(c.h-1), corner, styleBorder)
	}
	title = tui.Cut(tui.Clean(title), c.w-6)
	if title != "" {
		c.put(2, 0, " "+title+" ", styleTitle)
	}
}

// The styles use the eight colours that every console has; bold makes them
// bright there. Without colours the dark-on-bright ones come out reversed.
var (
	styleNormal = tcell.StyleDefault.Foreground(tcell.ColorSilver).Background(tcell.ColorBlack)
	styleBar    = tcell.StyleDefault.Foreground(tcell.ColorBlack).Background(tcell.ColorSilver)
	styleBorder = styleNormal.Foreground(tcell.ColorTeal)
	styleTitle  = styleNormal.Bold(true)
	stylePick   = tcell.StyleDefault.Foreground(tcell.ColorBlack).Background(tcell.ColorTeal)
	styleInput  = tcell.StyleDefault.Foreground(tcell.ColorSilver).Background(tcell.ColorNavy)
	styleDone   = styleNormal.Foreground(tcell.ColorTeal)
)

func toneStyle(t tui.Tone) tcell.Style {
	switch t {
	case tui.Dim:
		return styleNormal.Foreground(tcell.ColorTeal)
	case tui.Strong:
		return styleNormal.Bold(true)
	case tui.Good:
		return styleNormal.Foreground(tcell.ColorGreen).Bold(true)
	case tui.Warn:
		return styleNormal.Foreground(tcell.ColorOlive).Bold(true)
	case tui.Bad:
		return styleNormal.Foreground(tcell.ColorMaroon).Bold(true)
	}
	return styleNormal
}
