package tui

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// disks is the page with all disks; each has a page of its own.
func (m *Menu) disks() error {
	t := m.Text
	for {
		var list diskList
		if err := m.ask(&list, "doppel", "disks", "--json"); err != nil {
			return err
		}
		page := Page{Title: t.Disks.Title, Body: paragraph(t.Disks.Intro), Help: t.Disks.Help, Head: t.HeadHealth}
		for _, d := range list.Disks {
			text, tone := m.health(d.Health)
			page.Items = append(page.Items, Item{Tone: tone, Note: m.diskNote(d),
				Cells: []string{d.Path, or(d.Model, t.NoModel), tail(d.Serial), size(d.Size), text}})
		}
		if len(list.Disks) == 0 {
			page.Head, page.Body = nil, []Line{{Tone: Warn, Text: t.NoDisks}}
		}
		page.Items = append(page.Items, m.again())
		chosen, err := m.choose(page)
		if err != nil {
			return err
		}
		if chosen < len(list.Disks) {
			if err := m.disk(list.Disks[chosen]); err != nil && !errors.Is(err, ErrBack) {
				return err
			}
		}
	}
}

func (m *Menu) health(h health) (string, Tone) {
	t := m.Text
	switch h.State {
	case "good":
		return t.HealthGood, Plain
	case "failing":
		return t.HealthFailing, Bad
	}
	return t.HealthUnknown, Plain
}

// disk is the page of one disk.
func (m *Menu) disk(d disk) error {
	t := m.Text
	text, tone := m.health(d.Health)
	if d.Health.Text != "" {
		text += ": " + d.Health.Text
	}
	if tone == Plain && d.Health.State == "good" {
		tone = Good
	}
	row := func(name, value string) Line { return Line{Cells: []string{name, value}} }
	body := []Line{
		row(t.HeadDisks[1], or(d.Model, t.NoModel)),
		row(t.HeadDisks[2], or(d.Serial, t.NoSerial)),
		row(t.HeadDisks[3], fmt.Sprintf(t.Sectors, size(d.Size), strconv.FormatInt(d.Size, 10), d.Sector, d.Physical)),
		row(t.Connection, strings.Trim(d.Transport+", "+or(d.WWN, "-"), ", -")),
		row(t.HeadDisks[4], or(d.Contents, t.EmptyDisk)),
		{Tone: tone, Cells: []string{t.HeadHealth[4], text}},
	}
	for _, s := range d.InUse {
		body = append(body, row(t.InUse, s))
	}
	for _, w := range d.Warnings {
		body = append(body, Line{Tone: Warn, Text: w})
	}
	body = append(body, Line{})
	if len(d.Partitions) > 0 {
		body = append(body, Line{Tone: Strong, Cells: t.HeadParts})
	}
	var notes []Line
	for _, p := range d.Partitions {
		body = append(body, Line{Cells: []string{p.Name, size(p.Size), size(p.Used), or(p.FileSystem, "?"), or(p.Label, p.TableLabel)}})
		if note := m.partNote(p); note != "" {
			notes = append(notes, Line{Tone: Dim, Text: "- " + p.Name + ": " + note})
		}
	}
	return m.tell(fmt.Sprintf(t.Disk.Title, d.Path), t.Disk.Help, append(body, notes...))
}
