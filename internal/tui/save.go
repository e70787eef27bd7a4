package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// saving is what the save flow has gathered so far.
type saving struct {
	disk  disk
	whole bool
	parts []int // indexes of disk.Partitions
	name  string
	taken map[string]bool // names of the images there are

	rescue bool // the disk fails
	resume bool // a save or rescue to name was begun
	finish bool // the disk of a rescue to name is gone

	set settings // of expert mode
}

// save is the flow that makes an image.
func (m *Menu) save() error {
	s := saving{set: settings{}}
	return walk(
		m.needPlace,
		func() (err error) {
			s.disk, err = m.chooseDisk(m.Text.Save)
			return err
		},
		func() error { return m.goOn(&s) },
		func() error { return m.saveWhat(&s) },
		func() error { return m.saveParts(&s) },
		func() error { return m.saveName(&s) },
		func() error { return m.saveOptions(&s) },
		func() error { return m.savePlan(&s) },
		func() error { return m.run(m.saveVerb(s.name), m.saveArgs(&s)) },
	)
}

// chooseDisk shows the disks of the machine until one is chosen.
func (m *Menu) chooseDisk(text PageText) (disk, error) {
	for {
		var list diskList
		if err := m.ask(&list, "doppel", "disks", "--json"); err != nil {
			return disk{}, err
		}
		page := m.diskPage(text, list)
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

// diskPage is a page with all disks.
func (m *Menu) diskPage(text PageText, list diskList) Page {
	t := m.Text
	page := Page{Title: text.Title, Body: paragraph(text.Intro), Help: text.Help, Head: t.HeadDisks}
	for _, d := range list.Disks {
		page.Items = append(page.Items, Item{Note: m.diskNote(d),
			Cells: []string{d.Path, or(d.Model, t.NoModel), tail(d.Serial), size(d.Size), or(d.Contents, t.EmptyDisk)}})
	}
	if len(list.Disks) == 0 {
		page.Head, page.Body = nil, []Line{{Tone: Warn, Text: t.NoDisks}}
	}
	return page
}

// diskNote says what the table has no column for.
func (m *Menu) diskNote(d disk) string {
	t := m.Text
	notes := []string{or(d.Contents, t.EmptyDisk)}
	if serial := Clean(d.Serial); serial != tail(serial) { // the table shows its end
		notes = append(notes, fmt.Sprintf(t.SerialNote, serial))
	}
	if d.BootMedium {
		notes = append(notes, t.BootMedium)
	}
	if d.ReadOnly {
		notes = append(notes, t.ReadOnly)
	}
	if d.Removable {
		notes = append(notes, t.Removable)
	}
	if d.Health.State == "failing" {
		notes = append(notes, t.HealthFailing)
	}
	return strings.Join(append(notes, d.InUse...), "; ")
}

func (m *Menu) saveWhat(s *saving) error {
	t := m.Text
	s.parts = nil
	if s.whole = len(s.disk.Partitions) == 0; s.whole {
		return errSkip
	}
	chosen, err := m.choose(Page{
		Title: fmt.Sprintf(t.Parts.Title, s.disk.Path),
		Body:  []Line{{Text: m.describe(s.disk.Path, s.disk.Model, s.disk.Serial, s.disk.Size)}},
		Help:  t.Parts.Help,
		Items: []Item{{Cells: []string{t.ItemWholeDisk}}, {Cells: []string{t.ItemParts}}},
	})
	s.whole = chosen == 0
	return err
}

func (m *Menu) saveParts(s *saving) error {
	t := m.Text
	if s.whole {
		return errSkip
	}
	page := Page{Title: fmt.Sprintf(t.Parts.Title, s.disk.Path), Body: paragraph(t.Parts.Intro),
		Help: t.Parts.Help, Head: t.HeadParts, Many: true, Marked: s.parts, Status: m.status}
	for _, p := range s.disk.Partitions {
		page.Items = append(page.Items, Item{Note: m.partNote(p),
			Cells: []string{p.Name, size(p.Size), size(p.Used), p.FileSystem, or(p.Label, p.TableLabel)}})
	}
	chosen, err := m.Dialogue.Choose(page)
	if err == nil {
		s.parts = chosen
	}
	return err
}

func (m *Menu) partNote(p partition) string {
	notes := append([]string(nil), p.InUse...)
	if state := m.Text.States[p.State]; state != "" {
		notes = append(notes, state)
	}
	if p.Reason != "" {
		notes = append(notes, p.Reason)
	}
	return strings.Join(notes, "; ")
}

func (m *Menu) saveName(s *saving) error {
	t := m.Text
	if s.resume {
		return errSkip
	}
	var list imageList
	if err := m.query(&list, "doppel", "images", "--json"); errors.Is(err, ErrBack) || errors.Is(err, ErrClosed) {
		return err
	}
	s.taken = map[string]bool{}
	for _, im := range list.Images {
		s.taken[im.Name] = true
	}
	if s.name == "" {
		s.name = suggest(s.disk, m.Now(), s.taken)
	}
	name, err := m.Dialogue.Ask(Question{
		Page:   Page{Status: m.status, Title: t.Name.Title, Body: paragraph(t.Name.Intro), Help: t.Name.Help},
		Prompt: t.PlanImage, Text: s.name,
		Check: func(name string) string { return m.checkName(name, s.taken) },
	})
	if err == nil {
		s.name = strings.TrimSpace(name)
	}
	return err
}

// suggest makes a name for an image: samsung-ssd-870-2026-01-31.
func suggest(d disk, now time.Time, taken map[string]bool) string {
	var b strings.Builder
	for _, r := range strings.ToLower(or(d.Model, d.Name)) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 32 {
			break
		}
	}
	base := strings.Trim(or(b.String(), "disk"), "-") + "-" + now.Format(time.DateOnly)
	name := base
	for i := 2; taken[name] && i < 1000; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	return name
}

// checkName says what is wrong with the name of a new image.
func (m *Menu) checkName(name string, taken map[string]bool) string {
	t := m.Text
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return t.NameEmpty
	case !goodName(name):
		return t.NameBad
	case utf8.RuneCountInString(name) > 64:
		return t.NameLong
	case taken[name]:
		return t.NameTaken
	}
	return ""
}

// goodName tells whether a name can be a folder on every file system and a
// word of a command line.
func goodName(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune(".-_", r)) {
			return false
		}
	}
	return name != ""
}

func (m *Menu) saveArgs(s *saving, more ...string) []string {
	argv := []string{"doppel", "save"}
	if s.rescue {
		argv = append(argv, "--rescue")
	}
	if s.finish {
		return slices.Concat(argv, []string{"--finish", s.name}, more, []string{"--json"})
	}
	if s.resume {
		argv = append(argv, "--resume")
	}
	if s.whole {
		argv = append(argv, s.disk.Path)
	}
	for _, i := range s.parts {
		argv = append(argv, s.disk.Partitions[i].Path)
	}
	argv = append(argv, s.name)
	return slices.Concat(argv, s.set.args(m.Text.Options("save")), more, []string{"--json"})
}

func (m *Menu) saveOptions(s *saving) error {
	kind := ""
	if s.rescue {
		kind = rescueKind
	}
	return m.options(s.set, "save", kind, func() []string { return m.saveArgs(s) })
}

// savePlan shows what will be saved, and where to.
func (m *Menu) savePlan(s *saving) error {
	t := m.Text
	p, err := m.plan(m.verbOfSaving(s), m.saveArgs(s, "--plan"))
	if err != nil {
		return err
	}
	var body []Line
	for _, d := range p.Sources {
		body = append(body, Line{Cells: []string{t.PlanSource, m.describe(d.Path, d.Model, d.Serial, d.Size)}})
	}
	body = append(body,
		Line{Cells: []string{t.PlanImage, or(p.Image, s.name)}},
		Line{Cells: []string{t.PlanPlace, m.where(p.Place)}},
		Line{Cells: []string{t.PlanBytes, size(p.Bytes)}})
	if p.Stored > 0 {
		body = append(body, Line{Cells: []string{t.PlanStored, size(p.Stored)}})
	}
	if p.Spool > 0 {
		body = append(body, Line{Cells: []string{t.PlanSpool, size(p.Spool)}})
	}
	body = append(body, Line{Cells: []string{t.PlanFree, size(p.Free)}})
	if s.rescue {
		return m.agree(t.RescuePlan, body, p)
	}
	return m.agree(t.SavePlan, body, p)
}

// where names the place of a plan: its device and its folder.
func (m *Menu) where(path string) string {
	if m.place == nil || path == m.place.Spec || path == m.placeName(m.place) {
		return path
	}
	return fmt.Sprintf(m.Text.PlanPlaceOf, m.placeName(m.place), path)
}

func (m *Menu) saveVerb(image string) verb {
	t := m.Text
	return verb{work: t.SaveWork, subject: image, done: t.SavedDone, failed: t.SavedFailed, text: t.SavedText, stop: m.stopPage(t.SaveWork)}
}

// stopPage asks whether to stop a job, and says what becomes of it then.
func (m *Menu) stopPage(work PageText) Page {
	t := m.Text
	return Page{Title: t.Stop.Title, Body: paragraph(t.Stop.Intro + " " + work.Help), Help: t.Stop.Help,
		Items: []Item{{Cells: []string{t.ItemGoOn}}, {Cells: []string{t.ItemStop}}}}
}

// describe names a device by all that stands on its label.
func (m *Menu) describe(path, model, serial string, bytes int64) string {
	t := m.Text
	return strings.Join([]string{path, or(model, t.NoModel), or(serial, t.NoSerial), size(bytes)}, ", ")
}
