package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"doppel.live/internal/progress"
	"doppel.live/internal/tui/job"
)

// Then is what follows a job that was given on the boot command line.
type Then string

// What can follow.
const (
	ThenEnd      Then = ""     // the menu program ends, unless a job file says what follows
	ThenNone     Then = "none" // the menu program ends; what a job file says is left to who started it
	ThenMenu     Then = "menu"
	ThenShell    Then = "shell"
	ThenReboot   Then = "reboot"
	ThenPowerOff Then = "poweroff"
)

// countdown is how long a person has to stop what follows a job.
const countdown = 10 * time.Second

// Run runs one doppel command without asking, and then does what follows. It
// tells whether the command did its work; after a failure nothing follows but
// the page that says so.
func (m *Menu) Run(words string, then Then) (bool, error) {
	m.look()
	argv, err := job.Split(words)
	if err == nil && len(argv) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		m.log("result failed: %v", err)
		return false, m.tell(m.Text.OtherFailed, m.Text.Unattended.Help, []Line{{Tone: Bad, Text: fmt.Sprintf(m.Text.BadWords, err)}})
	}
	v := m.verbOf(argv)
	argv = append([]string{"doppel"}, argv...)
	if !slices.Contains(argv, "--json") {
		argv = append(argv, "--json")
	}
	o, err := m.work(v, argv)
	if err != nil {
		return o.OK(), err
	}
	if (argv[1] == "disks" || argv[1] == "images") && o.Result == nil && o.Exit.Status == 0 {
		o.Result = &progress.Event{OK: true} // they are asked, not told: an answer is no event
	}
	if o.Result != nil {
		switch file := fileThen(o.Result.Then); {
		case then == ThenEnd:
			then = file
		case then == ThenNone && m.Follows != nil:
			m.Follows(file)
		}
	}
	m.tellOutcome(o)
	title, body := m.result(v, o)
	if !o.OK() {
		return false, m.tell(title, m.Text.Result.Help, body)
	}
	return true, m.follow(then, title, body)
}

// tellOutcome says how a job ended, in one line.
func (m *Menu) tellOutcome(o *job.Outcome) {
	if m.Outcome == nil {
		return
	}
	text := m.ended(o.Exit)
	switch {
	case o.Err != nil:
		text = o.Err.Error()
	case o.Result != nil && o.Result.Text != "":
		text = o.Result.Text
	}
	if o.Log != "" {
		text += " " + fmt.Sprintf(m.Text.LogAt, o.Log)
	}
	m.Outcome(o.OK(), text)
}

// fileThen is what a job file says of what follows.
func fileThen(text string) Then {
	switch t := Then(text); t {
	case ThenMenu, ThenShell, ThenReboot, ThenPowerOff:
		return t
	}
	return ThenEnd
}

// verbOf names the pages of a job by its command.
func (m *Menu) verbOf(argv []string) verb {
	t := m.Text
	subject := strings.Join(argv[1:min(len(argv), 2)], "")
	switch argv[0] {
	case "save":
		return m.verbOfSaving(&saving{name: lastWord(argv), rescue: slices.Contains(argv, "--rescue")})
	case "restore":
		return m.restoreVerb(&restoring{image: summary{Name: subject}})
	case "clone":
		return m.restoreVerb(&restoring{source: &disk{Path: subject}})
	case "verify":
		return m.checkVerb(subject)
	case "run":
		return verb{work: t.Run, subject: subject, done: t.OtherDone, failed: t.OtherFailed, text: t.OtherText, stop: m.stopPage(t.Stop)}
	}
	return verb{work: t.Run, subject: argv[0], done: t.OtherDone, failed: t.OtherFailed, text: t.OtherText, stop: m.stopPage(t.Stop)}
}

// lastWord is the last argument that is not an option: the image of a save.
func lastWord(argv []string) string {
	for i := len(argv) - 1; i > 0; i-- {
		if !strings.HasPrefix(argv[i], "-") {
			return argv[i]
		}
	}
	return ""
}

// follow shows the result of a job and does what follows it, after a countdown
// where that ends the work at this machine.
func (m *Menu) follow(then Then, title string, body []Line) error {
	t := m.Text
	item, count := t.Continue, t.CountdownEnd
	switch then {
	case ThenPowerOff:
		item, count = t.ItemPowerOff, t.CountdownOff
	case ThenReboot:
		item, count = t.ItemReboot, t.CountdownBoot
	case ThenShell:
		if err := m.tell(title, t.Result.Help, body); err != nil {
			return err
		}
		return m.shell()
	case ThenMenu:
		return m.tell(title, t.Result.Help, body)
	}
	page := Page{Title: title, Body: body, Help: t.Result.Help, Count: count, Items: []Item{{Cells: []string{item}}}}
	ends := then == ThenEnd || then == ThenNone
	if !ends {
		page.Items = append(page.Items, Item{Cells: []string{t.ItemStay}})
	}
	page.Wait = countdown
	chosen, err := m.choose(page)
	if errors.Is(err, ErrBack) || err == nil && chosen != 0 {
		return nil
	}
	if err != nil || ends {
		return err
	}
	return m.goDown(string(then))
}
