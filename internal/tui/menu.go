package tui

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"doppel.live/internal/tui/job"
)

// Menu is the imaging menu. All fields but Busy, Log and LogDir are needed.
type Menu struct {
	Dialogue Dialogue
	Runner   job.Runner
	Text     *Text
	Now      func() time.Time
	Shell    []string      // command of the shell
	Log      io.Writer     // takes one short line for everything that happens
	LogDir   string        // takes one file for every job
	Busy     *Busy         // tells whether a job runs in another menu
	Notes    string        // of the start, shown on the main page
	ToRAM    bool          // the medium that was started from is left alone
	News     func() []Line // what else is to be known there now; nil is nothing
	// KeepLogs puts the log of each job beside the images too.
	KeepLogs bool
	// Outcome is told how a job ended that nobody attends, before its page is
	// shown; nil tells nobody.
	Outcome func(ok bool, text string)
	// Follows is told what a job file says of what follows, "" for nothing,
	// where the boot runs programs before that (ThenNone); nil is told nothing.
	Follows func(Then)
	// PlaceNote gives what there is to say on the page of places; nil: nothing.
	PlaceNote func() string
	// GoingDown is how long reboot and poweroff may take after they said that
	// they do their work.
	GoingDown time.Duration

	status string // for the head of the screen
	place  *place // for images, nil when none is chosen
	expert bool   // every option of a job is asked for

	at      int                // the item of the main page that is pointed to at first
	servers map[string]*server // what was typed last, by scheme
}

// Main shows the main page and what is chosen there, until the terminal goes
// away or the machine goes down.
func (m *Menu) Main() error {
	t := m.Text
	for {
		m.look()
		page := Page{Title: t.Main.Title, Help: t.Main.Help, Root: true}
		if m.Notes != "" {
			page.Body = []Line{{Tone: Warn, Text: m.Notes}}
		}
		if m.News != nil {
			page.Body = append(page.Body, m.News()...)
		}
		if m.ToRAM {
			page.Body = append(page.Body, Line{Tone: Good, Text: t.TakeOut})
		}
		expert := t.Expert.Off
		if m.expert {
			expert = t.Expert.On
		}
		actions := []func() error{m.save, m.rescue, m.restore, m.clone, m.check, m.images, m.places, m.network, m.disks, m.usb, m.toggleExpert, m.shell, m.reboot, m.powerOff}
		for i, text := range []string{t.ItemSave, t.ItemRescue, t.ItemRestore, t.ItemClone, t.ItemCheck, t.ItemImages, t.ItemPlace, t.ItemNetwork, t.ItemDisks, t.USB.Item, expert, t.ItemShell, t.ItemReboot, t.ItemPowerOff} {
			page.Items = append(page.Items, Item{Cells: []string{text}, Note: t.MainNotes[i]})
		}
		page.Start, m.at = m.at, 0
		m.log("page main")
		chosen, err := m.choose(page)
		if errors.Is(err, ErrBack) {
			continue
		}
		if err == nil {
			err = actions[chosen]()
			if page.Items[chosen].Cells[0] == expert {
				m.at = chosen // where it can be switched back
			}
		}
		if err != nil && !errors.Is(err, ErrBack) {
			return err
		}
	}
}

// log writes a line that a test or a person can find.
func (m *Menu) log(format string, args ...any) {
	if m.Log != nil {
		fmt.Fprintf(m.Log, "menu: %s\n", Clean(fmt.Sprintf(format, args...)))
	}
}

// look asks where images are and how much room is there. Where there is no
// answer, because somebody did not want to wait, the last one stays.
func (m *Menu) look() {
	var status placeStatus
	if err := m.query(&status, "place", "status", "--json"); err != nil {
		m.log("place status: %v", err)
		if m.status != "" {
			return
		}
	}
	m.set(status.Current)
}

// set takes a place for images, nil for none, into the head of the screen.
func (m *Menu) set(p *place) {
	t := m.Text
	m.place, m.status = p, t.StatusNone
	if p != nil {
		rest := ""
		if p.Free >= 0 {
			rest = fmt.Sprintf(t.StatusFree, size(p.Free))
		}
		if p.ReadOnly {
			rest += t.StatusRO
		}
		if p.Problem != "" {
			rest += ", " + Cut(Clean(p.Problem), 30)
		}
		name := Clean(m.placeName(p))
		room := statusWidth - Width(rest) - Width(fmt.Sprintf(t.StatusPlace, ""))
		if m.expert {
			room -= Width(fmt.Sprintf(t.Expert.Status, ""))
		}
		m.status = fmt.Sprintf(t.StatusPlace, Cut(name, max(room, 16))) + rest
	}
	if m.expert {
		m.status = fmt.Sprintf(t.Expert.Status, m.status)
	}
}

// statusWidth is the room for a status in the head of a screen of 80 columns.
const statusWidth = 66

// choose shows a page that wants one item.
func (m *Menu) choose(p Page) (int, error) {
	p.Status = m.status
	return choose(m.Dialogue, p)
}

// tell shows a text until it is read.
func (m *Menu) tell(title, help string, body []Line) error {
	_, err := m.choose(Page{Title: title, Body: body, Help: help,
		Items: []Item{{Cells: []string{m.Text.Continue}}}})
	if errors.Is(err, ErrBack) {
		return nil
	}
	return err
}

// query runs a command that answers with one JSON value. Where it gives no
// such value the error holds what it said instead.
func (m *Menu) query(v any, argv ...string) error { return m.feed(v, nil, argv...) }

// feed is query for a command that reads stdin.
func (m *Menu) feed(v any, stdin []byte, argv ...string) error {
	var stdout, stderr bytes.Buffer
	var state job.State
	var exit job.Exit
	var err error
	stopped := false
	work := Work{Page: Page{Title: m.Text.Wait, Status: m.status}}
	work.Run = func(ctx context.Context, _ func(Progress)) {
		exit, err = m.Runner.Feed(ctx, argv, stdin, func(l job.Line) {
			state.Take(l)
			w := &stdout
			if l.Stderr {
				w = &stderr
			}
			w.Write(l.Text)
			w.WriteByte('\n')
		})
		stopped = ctx.Err() != nil
	}
	if err := m.Dialogue.Watch(work); err != nil {
		return err
	}
	if stopped {
		return ErrBack
	}
	if err != nil {
		return fmt.Errorf(m.Text.NoStart, err)
	}
	if r := state.Result; r != nil && !r.OK { // it gives a reason in place of an answer
		text := or(r.Text, m.ended(exit))
		if r.Next != "" {
			text += "\n" + fmt.Sprintf(m.Text.Next, r.Next)
		}
		return errors.New(text)
	}
	if json.Unmarshal(stdout.Bytes(), v) == nil {
		return nil
	}
	said := strings.TrimSpace(stderr.String() + stdout.String())
	if said == "" {
		said = m.Text.NoAnswer
	}
	return fmt.Errorf("%s\n%s", said, m.ended(exit))
}

// ask is query for pages that cannot go on without the answer: it shows what
// went wrong, and then gives ErrBack.
func (m *Menu) ask(v any, argv ...string) error {
	err := m.query(v, argv...)
	if err == nil || errors.Is(err, ErrBack) || errors.Is(err, ErrClosed) {
		return err
	}
	m.log("no answer: %s", job.Quote(argv))
	body := []Line{{Tone: Bad, Text: err.Error()}, {}, {Tone: Dim, Text: m.Text.Command}, {Text: "  " + job.Quote(argv)}}
	if err := m.tell(m.Text.OtherFailed, m.Text.Result.Help, body); err != nil {
		return err
	}
	return ErrBack
}

// ended says how a command ended.
func (m *Menu) ended(e job.Exit) string {
	if e.Signal != "" {
		return fmt.Sprintf(m.Text.Killed, e.Signal)
	}
	return fmt.Sprintf(m.Text.Ended, e.Status)
}

// again is the item at the end of lists of what can be plugged in.
func (m *Menu) again() Item {
	return Item{Cells: []string{m.Text.Again}, Key: 'r', Tone: Dim}
}

// paragraph is a body of one text, or none.
func paragraph(text string) []Line {
	if text == "" {
		return nil
	}
	return []Line{{Text: text}}
}

// or gives s unless it is empty.
func or(s, instead string) string {
	if strings.TrimSpace(s) == "" {
		return instead
	}
	return s
}
