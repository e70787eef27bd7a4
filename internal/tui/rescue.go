package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// rescueSuffix is how the folder of a rescue ends that is not finished.
const rescueSuffix = ".rescue"

// rescue is the flow that saves what can be read of a failing disk.
func (m *Menu) rescue() error {
	s := saving{rescue: true, set: settings{}}
	return walk(
		m.needPlace,
		func() (err error) {
			s.disk, err = m.chooseFailing()
			return err
		},
		func() error { return m.goOn(&s) },
		func() error { return m.saveWhat(&s) },
		func() error { return m.saveParts(&s) },
		func() error { return m.saveName(&s) },
		func() error { return m.saveOptions(&s) },
		func() error { return m.savePlan(&s) },
		func() error { return m.run(m.verbOfSaving(&s), m.saveArgs(&s)) },
	)
}

// chooseFailing shows the disks with their health, those that fail first,
// until one is chosen.
func (m *Menu) chooseFailing() (disk, error) {
	t := m.Text
	for {
		var list diskList
		if err := m.ask(&list, "doppel", "disks", "--json"); err != nil {
			return disk{}, err
		}
		slices.SortStableFunc(list.Disks, func(a, b disk) int { return rank(a) - rank(b) })
		page := Page{Title: t.Rescue.Title, Body: paragraph(t.Rescue.Intro), Help: t.Rescue.Help, Head: t.HeadRescue}
		for _, d := range list.Disks {
			text, tone := m.health(d.Health)
			note := m.diskNote(d)
			if d.Health.Text != "" {
				note = d.Health.Text + "; " + note
			}
			page.Items = append(page.Items, Item{Tone: tone, Note: note,
				Cells: []string{text, d.Path, or(d.Model, t.NoModel), tail(d.Serial), size(d.Size)}})
		}
		if len(list.Disks) == 0 {
			page.Head, page.Body = nil, []Line{{Tone: Warn, Text: t.NoDisks}}
		}
		page.Items = append(page.Items, m.again())
		chosen, err := m.choose(page)
		if err != nil {
			return disk{}, err
		}
		if chosen < len(list.Disks) {
			return list.Disks[chosen], nil
		}
	}
}

// rank puts failing disks first.
func rank(d disk) int {
	if d.Health.State == "failing" {
		return 0
	}
	return 1
}

// goOn asks whether to go on with a save or a rescue that was begun and
// interrupted, if there is any.
func (m *Menu) goOn(s *saving) error {
	t := m.Text
	var list imageList
	if err := m.query(&list, "doppel", "images", "--json"); errors.Is(err, ErrBack) || errors.Is(err, ErrClosed) {
		return err
	}
	s.resume = false
	text, fresh := t.SaveGoOn, t.ItemNewSave
	if s.rescue {
		text, fresh = t.RescueGoOn, t.ItemNewRescue
	}
	page := Page{Title: text.Title, Body: paragraph(text.Intro), Help: text.Help, Items: []Item{{Cells: []string{fresh}}}}
	var begun []string
	for _, im := range list.Images {
		name, rescue := strings.CutSuffix(im.Name, rescueSuffix)
		if s.rescue && rescue && !im.Complete || !s.rescue && im.Begun {
			begun = append(begun, name)
			page.Items = append(page.Items, Item{Cells: []string{fmt.Sprintf(t.ItemGoOnWith, name)}, Note: im.Created})
		}
	}
	if len(begun) == 0 {
		return errSkip
	}
	chosen, err := m.choose(page)
	if err == nil {
		s.name = ""
		if s.resume = chosen > 0; s.resume {
			s.name = begun[chosen-1]
		}
	}
	return err
}

// verbOfSaving names the pages of a save or a rescue.
func (m *Menu) verbOfSaving(s *saving) verb {
	v := m.saveVerb(s.name)
	if s.rescue {
		v.work = m.Text.RescueWork
		v.stop.Body = paragraph(m.Text.Stop.Intro + " " + m.Text.RescueStop)
	}
	return v
}
