package tui

import (
	"errors"
	"fmt"
	"strings"

	"doppel.live/internal/store/remote"
)

// needPlace asks for the place of images unless there is one.
func (m *Menu) needPlace() error {
	if m.place != nil {
		return errSkip
	}
	return m.places()
}

// places is the page that chooses where images are.
func (m *Menu) places() error {
	for {
		list, chosen, err := m.choosePlace()
		local := len(list)
		switch {
		case err != nil:
			return err
		case chosen < local:
			err = m.use(&list[chosen])
		case chosen < local+len(m.serverItems()):
			err = m.serverPlace(chosen - local)
		default:
			continue // look again
		}
		if !errors.Is(err, ErrBack) {
			return err
		}
	}
}

// choosePlace shows the places of this machine, with serverItems behind them,
// and gives the item that was chosen.
func (m *Menu) choosePlace() ([]place, int, error) {
	t := m.Text
	var list placeList
	if err := m.ask(&list, "place", "list", "--json"); err != nil {
		return nil, 0, err
	}
	page := Page{Title: t.Place.Title, Body: paragraph(t.Place.Intro), Help: t.Place.Help, Head: t.HeadPlaces}
	for i, p := range list.Places {
		it := Item{Note: m.placeNote(p),
			Cells: []string{or(p.Path, p.Spec), or(p.FileSystem, "?"), p.Label, extent(p.Size), free(p.Free), p.Model}}
		if p.Problem != "" {
			it.Tone = Dim
		}
		if p.Current {
			page.Start = i
		}
		page.Items = append(page.Items, it)
	}
	if len(list.Places) == 0 {
		page.Head, page.Body = nil, []Line{{Tone: Warn, Text: t.NoPlaces}}
	}
	if m.place != nil && remote.Is(m.place.Spec) {
		page.Body = append(page.Body, Line{Text: fmt.Sprintf(t.Net.Now, m.placeName(m.place))})
	}
	page.Body = append(page.Body, m.placeNotes()...)
	page.Items = append(append(page.Items, m.serverItems()...), m.again())
	chosen, err := m.choose(page)
	return list.Places, chosen, err
}

// placeName is what a person calls a place: its device, unless it is the
// medium that the machine was started from.
func (m *Menu) placeName(p *place) string {
	if p.Spec == "boot" {
		return m.Text.BootPlace
	}
	if l, _, err := remote.Parse(p.Spec); err == nil && remote.Is(p.Spec) {
		l.HostKey = "" // nobody wants to read that
		return l.String()
	}
	return strings.TrimSpace(p.Spec + " " + p.Label)
}

// placeNotes is what the start has to say of places.
func (m *Menu) placeNotes() []Line {
	if m.PlaceNote == nil || m.PlaceNote() == "" {
		return nil
	}
	return []Line{{Tone: Warn, Text: m.PlaceNote()}}
}

// extent is how large a place is, "" where nobody knows, as of a server.
func extent(n int64) string {
	if n == 0 {
		return ""
	}
	return size(n)
}

// free is the room of a place, "" while it is not known.
func free(n int64) string {
	if n < 0 {
		return ""
	}
	return size(n)
}

func (m *Menu) placeNote(p place) string {
	t := m.Text
	var notes []string
	if p.Problem != "" {
		notes = append(notes, p.Problem)
	}
	if p.Current {
		notes = append(notes, t.Current)
	}
	if p.BootMedium {
		notes = append(notes, t.BootMedium)
	}
	if p.Removable {
		notes = append(notes, t.Removable)
	}
	return strings.Join(notes, "; ")
}

// use takes a place for images. It gives ErrBack when that did not work and
// the person has read why.
func (m *Menu) use(p *place) error {
	t := m.Text
	if p.Problem != "" {
		return back(m.tell(t.PlaceFailed, t.Place.Help, []Line{{Tone: Bad, Text: p.Problem}}))
	}
	if p.Current && remote.Is(p.Spec) { // its credentials are not known here
		return m.using(p, placeAnswer{OK: true, Path: p.Path, Free: p.Free, ReadOnly: p.ReadOnly})
	}
	var a placeAnswer
	if err := m.ask(&a, "place", "use", p.Spec, "--json"); err != nil {
		return err
	}
	if !a.OK {
		m.look()
		m.log("place refused: %s", a.Error)
		body := []Line{{Tone: Bad, Text: or(a.Error, t.NoAnswer)}}
		if a.Next != "" {
			body = append(body, Line{Text: fmt.Sprintf(t.Next, a.Next)})
		}
		return back(m.tell(t.PlaceFailed, t.Place.Help, body))
	}
	return m.using(p, a)
}

// using says that a place is used now.
func (m *Menu) using(p *place, a placeAnswer) error {
	t := m.Text
	m.look()
	if m.place == nil || m.place.Spec != p.Spec { // there was no answer
		now := *p
		now.Free, now.ReadOnly, now.Path = a.Free, a.ReadOnly, a.Path
		m.set(&now)
	}
	m.log("place %s", p.Spec)
	body := []Line{{Tone: Good, Text: fmt.Sprintf(t.PlaceSet, m.placeName(p))}}
	if a.ReadOnly {
		body[0] = Line{Tone: Warn, Text: fmt.Sprintf(t.PlaceSetRO, m.placeName(p))}
	} else if a.Reason == remote.Full {
		body = append(body, Line{Tone: Warn, Text: t.Net.Reasons[remote.Full]})
	}
	if a.Next != "" { // why, and what helps
		body = append(body, Line{Text: fmt.Sprintf(t.Next, a.Next)})
	}
	return m.tell(t.Place.Title, t.Place.Help, body)
}
