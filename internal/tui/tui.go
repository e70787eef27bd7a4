// Package tui is the imaging menu: its pages, its texts and the order in which
// they follow each other. It does not draw (package screen does that for
// terminals, package line for everything else) and it does no imaging: it runs
// the same commands that a person would type, and reads their events.
package tui

import (
	"context"
	"errors"
	"time"
)

// What a Dialogue answers instead of a choice.
var (
	ErrBack   = errors.New("back to the page before")
	ErrClosed = errors.New("terminal is gone")
)

// Dialogue is how the menu talks with a person. Its methods are called from
// one goroutine. Every text may hold anything that was read from a disk: the
// implementation passes it through Clean before it reaches a terminal.
type Dialogue interface {
	// Choose shows a page and gives the indexes of the items chosen: exactly
	// one unless Page.Many.
	Choose(Page) ([]int, error)
	// Ask shows a page and gives the text that was typed.
	Ask(Question) (string, error)
	// Watch shows Work.Run working until it returns. It gives ErrClosed when
	// the terminal went away meanwhile, and then too only after Run returned.
	Watch(Work) error
	// Lend takes the menu off the terminal, writes hint there and runs f.
	Lend(hint string, f func()) error
}

// Tone says how a line is meant, which decides its colour.
type Tone int

// The tones.
const (
	Plain Tone = iota
	Dim
	Strong
	Good
	Warn
	Bad
)

// Line is a paragraph, or a row of a table when Cells is set; rows that follow
// each other are one table.
type Line struct {
	Tone  Tone
	Text  string
	Cells []string
}

// Page is a text with a list to choose from.
type Page struct {
	Status string // of the machine, for the head of the screen
	Title  string
	Body   []Line
	Head   []string // names of the columns of Items, if any
	Items  []Item
	Many   bool          // any number of items, at least one
	Marked []int         // Many: those marked at first
	Start  int           // the item pointed to at first
	Root   bool          // there is no page before
	Wait   time.Duration // then item Start is chosen, unless a key is pressed before; 0 waits for ever
	Count  string        // with %d, the seconds left of Wait
	Help   string
}

// Item is one entry of a list.
type Item struct {
	Cells []string
	Note  string // one sentence more about it
	Tone  Tone
	Key   rune // that chooses it; 0 takes the next of 1 to 9 and a to z
}

// Question is a page that wants a text.
type Question struct {
	Page
	Prompt string
	Text   string // offered at first; never with Hidden
	Hidden bool   // what is typed shall not be seen
	// Check gives a sentence that says what is wrong with a text, or "".
	Check func(string) string
}

// Work is something that takes its time.
type Work struct {
	Page
	// Stop is the page that asks whether to stop the work: its second item
	// stops, everything else goes on. Without items it stops without asking.
	Stop Page
	Run  func(ctx context.Context, report func(Progress))
}

// Progress is how far Work has come, ready to be shown.
type Progress struct {
	Body    []Line
	Bars    []Bar
	Foot    []Line
	Short   string // all of it in one line
	Percent int    // 0 to 100, -1 unknown
}

// Bar is one bar of a Progress.
type Bar struct {
	Label    string
	Fraction float64 // 0 to 1
	Right    string
}

// choose is Choose for pages that want exactly one item.
func choose(d Dialogue, p Page) (int, error) {
	got, err := d.Choose(p)
	if err != nil {
		return 0, err
	}
	if len(got) != 1 || got[0] < 0 || got[0] >= len(p.Items) {
		return 0, ErrBack
	}
	return got[0], nil
}

// skip is what a step gives that had nothing to ask: the walk goes on in its
// direction.
var errSkip = errors.New("nothing to ask")

// walk goes through the steps of a flow. A step that gives ErrBack leads to the
// step before, the first one out of the flow.
func walk(steps ...func() error) error {
	direction := 1
	for i := 0; i < len(steps); i += direction {
		if i < 0 {
			return ErrBack
		}
		switch err := steps[i](); {
		case err == nil:
			direction = 1
		case errors.Is(err, ErrBack):
			direction = -1
		case !errors.Is(err, errSkip):
			return err
		}
	}
	return nil
}
