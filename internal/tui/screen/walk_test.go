package screen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"doppel.live/internal/tui"
	"doppel.live/internal/tui/job"
	"doppel.live/internal/tui/line"
)

// crowded is a machine with more of everything, and longer names, than fit on
// any screen.
type crowded struct{}

const (
	longModel = "WDC WD20EZRX-00D8PB0 with a model name that a vendor made far too long"
	longName  = "an-image-whose-name-is-as-long-as-a-name-may-be-64-characters-ok"
	wideLabel = "日本語のとても長いラベル日本語のとても長いラベル"
	longURL   = "smb://DOMAIN;somebody@a-server-with-a-name.in-a-domain.example.org/share/folder/below/it"
	longText  = "/dev/disk/by-id/ata-WDC_WD20EZRX-00D8PB0: input/output error at byte 1234567890123 of partition 17, while the block bitmap of group 4711 was read; the kernel's log says more"
)

func several[T any](n int, make func(i int) T) (out []T) {
	for i := range n {
		out = append(out, make(i))
	}
	return out
}

type object = map[string]any

// answer is what a command of the crowded machine says.
func (crowded) answer(command string) any {
	volumes := several(40, func(i int) object {
		return object{"name": fmt.Sprintf("nvme10n1p%d", i+1), "path": fmt.Sprintf("/dev/nvme10n1p%d", i+1), "size": 999_999_999_999, "used": 888_888_888_888, "file_system": "linux_raid_member",
			"label": wideLabel, "method": []string{"blocks", "absent"}[i%2], "reason": longText, "state": "recovery", "in_use": []string{"mounted at /srv/a/very/long/mount/point"}}
	})
	plan := object{"image": longName, "place": "/images", "consent": "c0de", "confirm": object{"ask": "the last 4 characters of the serial number", "expect": "1"},
		"sources": []object{{"path": "/dev/nvme10n1", "model": longModel, "serial": "S5Y1NX0R123456K-AND-SO-ON-0001", "size": 999_999_999_999}},
		"target":  object{"path": "/dev/nvme10n1", "model": longModel, "serial": "S5Y1NX0R123456K-AND-SO-ON-0001", "size": 999_999_999_999, "contents": contents(40)},
		"steps": several(40, func(i int) object {
			return object{"volume": fmt.Sprintf("nvme10n1p%d", i+1), "file_system": "linux_raid_member", "method": "raw", "bytes": 1, "reason": longText}
		}),
		"warnings": []string{longText, longText}, "bytes": 9, "stored": 9, "spool": 9, "free": 9, "seconds": 9}
	switch {
	case strings.HasPrefix(command, "place status"):
		return object{"current": object{"spec": longURL, "path": "/images", "free": 888_888_888_888, "read_only": true}}
	case strings.HasPrefix(command, "place list"):
		return object{"places": several(40, func(i int) object {
			return object{"spec": fmt.Sprintf("/dev/nvme10n1p%d", i), "file_system": "linux_raid_member", "label": wideLabel, "size": 999_999_999_999, "free": 888_888_888_888,
				"model": longModel, "removable": true, "problem": []string{"", longText}[i%2]}
		})}
	case strings.HasPrefix(command, "place"):
		for _, reason := range []string{"denied", "unknown-host-key", "other-host-key", "no-route"} {
			if strings.Contains(command, "srv-"+reason) {
				return object{"reason": reason, "error": longText, "next": longText, "fingerprint": "SHA256:" + strings.Repeat("x", 43), "key_type": "ecdsa-sha2-nistp521"}
			}
		}
		return object{"ok": true, "free": 9, "read_only": true, "next": longText}
	case strings.HasPrefix(command, "network status"):
		return object{"cards": []object{}, "links": several(3, func(i int) object {
			return object{"device": fmt.Sprintf("enxaabbccddeef%d", i), "mac": "aa:bb:cc:dd:ee:f0", "kind": "device", "up": i%2 == 0, "cable": i%3 == 0, "addresses": []string{}}
		})}
	case strings.HasPrefix(command, "doppel disks"):
		return object{"disks": several(40, func(i int) object {
			parts := volumes
			if i > 0 {
				parts = nil
			}
			return object{"path": fmt.Sprintf("/dev/nvme1%dn1", i), "name": "nvme10n1", "model": longModel, "serial": "S5Y1NX0R123456K-AND-SO-ON-0001", "wwn": "eui.0025388b910a1b2c", "transport": "nvme",
				"size": 999_999_999_999, "contents": contents(min(i, 5)), "health": object{"state": "failing", "text": longText}, "in_use": []string{longText}, "warnings": []string{longText},
				"partitions": parts, "boot_medium": true, "removable": true, "read_only": true}
		})}
	case strings.HasPrefix(command, "doppel images --json"):
		return object{"images": several(40, func(i int) object {
			return object{"name": longName, "created": "2026-01-02T03:04:05Z", "complete": i != 39, "problem": []string{"", longText}[i/38], "stored": 999_999_999_999,
				"disks": []object{{"name": "sda", "model": longModel, "size": 999_999_999_999}}, "volumes": volumes[:[]int{40, 2}[min(i, 1)]]}
		})}
	case strings.Contains(command, "--plan"):
		return object{"event": "plan", "plan": plan}
	case strings.HasPrefix(command, "doppel verify"):
		return object{"event": "result", "status": 1, "text": longText, "next": longText, "report": object{"problems": []string{longText},
			"volumes": several(40, func(i int) object {
				return object{"name": wideLabel, "problems": []string{longText}, "notes": []string{longText}}
			})}}
	case strings.HasPrefix(command, "doppel"):
		return object{"event": "result", "ok": true, "text": longText, "next": longText}
	}
	return nil
}

func contents(n int) string {
	return "GPT: " + strings.Join(several(n, func(i int) string { return fmt.Sprintf("ext4 %q", wideLabel) }), ", ")
}

func (c crowded) Feed(ctx context.Context, argv []string, _ []byte, line func(job.Line)) (job.Exit, error) {
	return c.Run(ctx, argv, line)
}

func (c crowded) Run(_ context.Context, argv []string, line func(job.Line)) (job.Exit, error) {
	a := c.answer(strings.Join(argv, " "))
	o, _ := a.(object)
	if o == nil {
		line(job.Line{Text: []byte(longText), Stderr: true})
		return job.Exit{Status: 1}, nil
	}
	if o["event"] == "result" {
		for _, e := range []object{{"event": "start", "total": 999_999_999_999}, {"event": "step", "text": longText, "volume": wideLabel, "step_total": 999_999_999_999},
			{"event": "warning", "text": strings.Repeat(longText+" ", 8)}, {"event": "warning", "text": longText}, {"event": "warning", "text": longText}, {"event": "warning", "text": longText},
			{"event": "progress", "done": 888_888_888_888, "step_done": 888_888_888_888, "rate": 999_999_999_999, "remaining": 999999}} {
			text, _ := json.Marshal(e)
			line(job.Line{Text: text})
		}
	}
	text, err := json.Marshal(o)
	line(job.Line{Text: text})
	if o["status"] == 1 {
		return job.Exit{Status: 1}, err
	}
	return job.Exit{}, err
}

func (crowded) Attach([]string) error { return nil }

// walker is a dialogue that goes down one path through the menu, keeps the page
// at its end, and hangs up there.
type walker struct {
	path []any // indexes of items, or texts
	end  any   // tui.Page or tui.Question
	work []seenWork
}

type seenWork struct {
	work tui.Work
	last tui.Progress
}

func (w *walker) step() (any, bool) {
	if len(w.path) == 0 {
		return nil, false
	}
	a := w.path[0]
	w.path = w.path[1:]
	return a, true
}

func (w *walker) Choose(p tui.Page) ([]int, error) {
	if a, ok := w.step(); ok {
		return []int{a.(int)}, nil
	}
	w.end = p
	return nil, tui.ErrClosed
}

func (w *walker) Ask(q tui.Question) (string, error) {
	if a, ok := w.step(); ok {
		return a.(string), nil
	}
	w.end = q
	return "", tui.ErrClosed
}

func (w *walker) Watch(work tui.Work) error {
	var last tui.Progress
	work.Run(context.Background(), func(p tui.Progress) { last = p })
	w.work = append(w.work, seenWork{work, last})
	return nil
}

func (w *walker) Lend(_ string, f func()) error { f(); return nil }

// typed are texts for questions: those that a question lets pass are tried.
var typed = []string{"1", "lab-x", longName, "srv-denied", "srv-unknown-host-key", "srv-other-host-key", "srv-no-route", "srv", "10.0.0.5/24", "nfs://srv/x", "2G", "10.0.0.1"}

// onward gives the answers to a page that lead to others.
func onward(end any) (out []any) {
	switch p := end.(type) {
	case tui.Page:
		for i, it := range p.Items {
			if n := len(p.Items); i < 2 || it.Key != 0 || i >= n-2 || n <= 16 {
				out = append(out, i)
			}
		}
	case tui.Question:
		for _, text := range typed {
			if p.Check == nil || p.Check(text) == "" {
				out = append(out, text)
			}
		}
		if p.Prompt != "Server" && len(out) > 2 {
			out = out[:2]
		}
	}
	return out
}

// like tells pages apart that are worth a look of their own.
func like(end any) string {
	p, ok := end.(tui.Page)
	if q, isQuestion := end.(tui.Question); isQuestion {
		p, ok = q.Page, true
		p.Items = []tui.Item{{Cells: []string{q.Prompt}}}
	}
	if !ok {
		return ""
	}
	text := fmt.Sprint(p.Title, p.Many, len(p.Body))
	for _, it := range p.Items {
		text += "|" + it.Cells[0]
		if len(it.Cells) == 2 && strings.HasPrefix(it.Cells[1], "srv") {
			text += it.Cells[1]
		}
	}
	return text
}

// everyPage walks through the menu until no page is new.
func everyPage(t *testing.T) (pages []any, works []seenWork) {
	t.Helper()
	seen, jobs := map[string]bool{}, map[string]bool{}
	for queue := [][]any{{}}; len(queue) > 0; queue = queue[1:] {
		w := &walker{path: queue[0]}
		m := &tui.Menu{Dialogue: w, Runner: crowded{}, Text: tui.English(), Shell: []string{"sh"}, Notes: longText,
			Now: func() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC) }}
		if err := m.Main(); !errors.Is(err, tui.ErrClosed) {
			t.Fatalf("path %v: %v", queue[0], err)
		}
		for _, s := range w.work {
			if len(s.work.Stop.Items) > 0 && !jobs[s.work.Title] {
				jobs[s.work.Title] = true
				works = append(works, s)
			}
		}
		if k := like(w.end); !seen[k] {
			seen[k] = true
			pages = append(pages, w.end)
			for _, a := range onward(w.end) {
				queue = append(queue, append(slices.Clone(queue[0]), a))
			}
		}
		if len(pages) > 600 {
			t.Fatal("the walk has no end")
		}
	}
	return pages, works
}

// bare takes away all that breaking a text into lines changes.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \n│─┌┐└┘", r) {
			return -1
		}
		return r
	}, tui.Clean(strings.ReplaceAll(s, "\n", " ")))
}

// reader looks at one page on one size of screen.
type reader struct {
	t    *testing.T
	term *terminal
	name string
	room int // cells of a line of text
}

func (r *reader) screen() string {
	r.term.d.repaint()
	return r.term.text()
}

// holds fails unless a text stands whole on one of the screens.
func (r *reader) holds(what, text string, screens ...string) {
	r.t.Helper()
	if text = bare(text); tui.Width(text) > 2*r.room { // more than a note can hold
		text = string([]rune(text)[:r.room/2])
	}
	for _, s := range screens {
		if strings.Contains(s, text) {
			return
		}
	}
	r.t.Errorf("%s: the %s is cut: %q is not on\n%s", r.name, what, text, r.screen())
}

// text looks at what stands above and below every page, and at its help.
func (r *reader) frame(p tui.Page, keys string) {
	s := bare(r.screen())
	r.holds("title", p.Title, s)
	r.holds("status", p.Status, s)
	r.holds("foot", keys, s)
	f := r.term.d.frame
	f.help = true
	var all []string
	for f.scroll = 0; ; f.scroll += 8 {
		k := f.scroll
		if all = append(all, bare(r.screen())); f.scroll != k || f.scroll == 0 && !strings.Contains(p.Help, "\n") && len(p.Help) < 500 {
			break
		}
	}
	for _, l := range tui.Layout([]tui.Line{{Text: p.Help}}, r.room) {
		r.holds("help", l.Text, all...)
	}
	f.help, f.scroll = false, 0
}

func (r *reader) list(v *list, items bool) {
	_, keys := v.about()
	r.frame(v.page, keys)
	var all []string
	for k := 0; ; k = v.scroll + max(v.seenBody-1, 1) {
		v.scroll = k
		if all = append(all, bare(r.screen())); v.scroll != k || v.lines <= v.seenBody {
			break
		}
	}
	joined := strings.Join(all, "")
	for _, l := range textOf(v.page, r.room) {
		r.holds("text", l.Text, joined)
	}
	for i, it := range v.page.Items {
		if !items || i > 1 && i < len(v.page.Items)-7 {
			continue
		}
		v.at = i
		shown := r.screen()
		s := bare(shown)
		for _, cell := range it.Cells {
			r.holds("cell", cell, s)
		}
		r.holds("note", it.Note, s)
		if !strings.Contains(shown, "> ") {
			r.t.Errorf("%s: item %d cannot be seen:\n%s", r.name, i, shown)
		}
	}
	if v.page.Many {
		v.hint = v.text.NoneMarked
		r.holds("hint", v.hint, bare(r.screen()))
	}
}

func (r *reader) entry(v *entry) {
	r.frame(v.question.Page, v.text.KeysText)
	if v.question.Check != nil {
		v.problem = v.question.Check("/-\x00")
	}
	s := bare(r.screen())
	v.scroll = 1000
	s += bare(r.screen())
	for _, l := range v.question.Body {
		if l.Cells == nil {
			r.holds("text", l.Text, s)
		}
		for _, cell := range l.Cells {
			r.holds("text", cell, s)
		}
	}
	r.holds("prompt", v.question.Prompt, s)
	r.holds("problem", v.problem, s)
}

func (r *reader) work(v *work) {
	r.frame(v.page, v.text.KeysWork)
	s := bare(r.screen())
	for _, l := range append(slices.Clone(v.progress.Body), v.progress.Foot...) {
		r.holds("progress", l.Text, s)
	}
	for _, b := range v.progress.Bars {
		r.holds("bar", b.Right, s)
	}
}

// Every page that the menu has, on a machine with more and longer names than
// any screen holds: nothing is cut of which the rest stands nowhere, on a text
// console, on a serial line, and on a screen of 1024x768.
func TestNothingIsCut(t *testing.T) {
	pages, works := everyPage(t)
	t.Run("lines", func(t *testing.T) { inLines(t, pages) })
	t.Logf("%d pages, %d kinds of work", len(pages), len(works))
	for _, size := range [][2]int{{80, 25}, {80, 24}, {128, 48}} {
		s := tcell.NewSimulationScreen("UTF-8")
		term := &terminal{t: t, sim: s}
		d, err := New(&sized{s, size[0], size[1]}, io.Discard, tui.English())
		if err != nil {
			t.Fatal(err)
		}
		term.d = d
		items := size[1] != 25 // is the same as with 24 rows
		look := func(title string, v view) *reader {
			d.frame.views = []view{v}
			return &reader{t, term, fmt.Sprintf("%q at %v", title, size), min(size[0], maxWidth) - 4}
		}
		for _, p := range pages {
			switch p := p.(type) {
			case tui.Page:
				v := newList(p, tui.English())
				look(p.Title, v).list(v, items)
			case tui.Question:
				v := newEntry(p, tui.English())
				look(p.Title, v).entry(v)
			}
		}
		for _, each := range works {
			v := &work{page: each.work.Page, stop: each.work.Stop, text: tui.English(), progress: each.last}
			look(v.page.Title, v).work(v)
			stop := newList(v.stop, tui.English())
			look(v.stop.Title, stop).list(stop, items)
		}
	}
}

// inLines looks at the same on a terminal of which we know nothing: line by
// line, none wider than 80 cells.
func inLines(t *testing.T, pages []any) {
	for _, p := range pages {
		var out strings.Builder
		d := line.New(strings.NewReader("?\n<\n"), &out, nil, tui.English())
		page, texts := tui.Page{}, []string(nil)
		switch p := p.(type) {
		case tui.Page:
			page = p
			_, _ = d.Choose(p)
		case tui.Question:
			page, texts = p.Page, []string{p.Prompt}
			_, _ = d.Ask(p)
		}
		texts = append(texts, page.Title, page.Status, page.Help)
		for _, l := range page.Body {
			texts = append(texts, l.Text)
			for _, cell := range l.Cells {
				if tui.Width(tui.Clean(cell)) < 30 { // else it goes on below, among others
					texts = append(texts, cell)
				}
			}
		}
		for _, it := range page.Items {
			texts = append(texts, it.Note)
			if len(it.Cells) == 1 {
				texts = append(texts, it.Cells[0])
			}
		}
		said := bare(out.String())
		for l := range strings.Lines(out.String()) {
			if tui.Width(strings.TrimRight(l, "\n")) > 80 && !strings.HasPrefix(l, "== ") && !strings.HasPrefix(l, "Doppel - ") && !strings.HasPrefix(l, "Help: ") && !strings.HasPrefix(l, "Image [") {
				t.Errorf("%q: a line of %d cells: %s", page.Title, tui.Width(l), l)
			}
		}
		for _, text := range texts {
			if r := bare(text); !strings.Contains(said, r) && !strings.Contains(text, "/") {
				t.Errorf("%q: %q is not in\n%s", page.Title, text, out.String())
			}
		}
	}
}
