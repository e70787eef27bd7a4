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
		func() error { return m.chooseFailing(&s) },
		unless(&s.finish, func() error { return m.goOn(&s) }),
		unless(&s.finish, func() error { return m.saveWhat(&s) }),
		unless(&s.finish, func() error { return m.saveParts(&s) }),
		unless(&s.finish, func() error { return m.saveName(&s) }),
		unless(&s.finish, func() error { return m.saveOptions(&s) }),
		func() error { return m.savePlan(&s) },
		func() error { return m.run(m.verbOfSaving(&s), m.saveArgs(&s)) },
	)
}

// unless is a page that is left out where that is so.
func unless(so *bool, page func() error) func() error {
	return func() error {
		if *so {
			return errSkip
		}
		return page()
	}
}

// chooseFailing shows the disks with their health, those that fail first,
// until one is chosen; or a rescue whose disk is gone.
func (m *Menu) chooseFailing(s *saving) error {
	t := m.Text
	for {
		var list diskList
		if err := m.ask(&list, "doppel", "disks", "--json"); err != nil {
			return err
		}
		begun, err := m.begun(s)
		if err != nil {
			return err
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
		for _, im := range begun {
			page.Items = append(page.Items, Item{Cells: []string{fmt.Sprintf(t.ItemFinish, im.Name)}, Note: t.FinishNote})
		}
		page.Items = append(page.Items, m.again())
		chosen, err := m.choose(page)
		if err != nil {
			return err
		}
		s.finish = false
		switch gone := chosen - len(list.Disks); {
		case gone < 0:
			s.disk = list.Disks[chosen]
			return nil
		case gone < len(begun):
			s.finish, s.name = true, begun[gone].Name
			return nil
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
	begun, err := m.begun(s)
	if err != nil {
		return err
	}
	s.resume = false
	text, fresh := t.SaveGoOn, t.ItemNewSave
	if s.rescue {
		text, fresh = t.RescueGoOn, t.ItemNewRescue
	}
	page := Page{Title: text.Title, Body: paragraph(text.Intro), Help: text.Help, Items: []Item{{Cells: []string{fresh}}}}
	for _, im := range begun {
		page.Items = append(page.Items, Item{Cells: []string{fmt.Sprintf(t.ItemGoOnWith, im.Name)}, Note: im.Created})
	}
	if len(begun) == 0 {
		return errSkip
	}
	chosen, err := m.choose(page)
	if err == nil {
		s.name = ""
		if s.resume = chosen > 0; s.resume {
			s.name = begun[chosen-1].Name
		}
	}
	return err
}

// begun gives the saves, or the rescues, that were begun and interrupted, by
// the names of their images.
func (m *Menu) begun(s *saving) (begun []summary, err error) {
	var list imageList
	if err := m.query(&list, "doppel", "images", "--json"); errors.Is(err, ErrBack) || errors.Is(err, ErrClosed) {
		return nil, err
	}
	for _, im := range list.Images {
		name, rescue := strings.CutSuffix(im.Name, rescueSuffix)
		if s.rescue && rescue && !im.Complete || !s.rescue && im.Begun {
			im.Name = name
			begun = append(begun, im)
		}
	}
	return begun, nil
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
