package tui

import (
	"fmt"
	"strings"
)

// restoring is what the restore flow has gathered so far.
type restoring struct {
	image  summary
	parts  []int // indexes of image.Volumes; nil: the whole image
	whole  bool
	target string // path of a disk, or of a partition
	plan   *jobPlan
}

// restore is the flow that writes an image to a disk.
func (m *Menu) restore() error {
	var r restoring
	return walk(
		m.needPlace,
		func() (err error) {
			r.image, err = m.chooseImage(m.Text.Restore)
			return err
		},
		func() error { return m.restoreWhat(&r) },
		func() error { return m.restoreParts(&r) },
		func() error { return m.restoreTarget(&r) },
		func() error { return m.restorePlan(&r) },
		func() error { return m.confirm(&r) },
		func() error {
			return m.run(m.restoreVerb(r.image.Name), m.restoreArgs(&r, "--consent", r.plan.Consent))
		},
	)
}

// chooseImage shows the images of the place until a usable one is chosen.
func (m *Menu) chooseImage(text PageText) (summary, error) {
	t := m.Text
	for {
		var list imageList
		if err := m.ask(&list, "doppel", "images", "--json"); err != nil {
			return summary{}, err
		}
		page := Page{Title: text.Title, Body: paragraph(text.Intro), Help: text.Help, Head: t.HeadImages}
		for _, im := range list.Images {
			page.Items = append(page.Items, m.imageItem(im))
		}
		if len(list.Images) == 0 {
			page.Head, page.Body = nil, []Line{{Tone: Warn, Text: t.NoImages}}
		}
		page.Items = append(page.Items, m.again())
		chosen, err := m.choose(page)
		if err != nil {
			return summary{}, err
		}
		if chosen == len(list.Images) {
			continue
		}
		im := list.Images[chosen]
		problem := m.imageProblem(im)
		if problem == "" {
			return im, nil
		}
		if err := m.tell(im.Name, text.Help, []Line{{Tone: Bad, Text: problem}}); err != nil {
			return summary{}, err
		}
	}
}

func (m *Menu) imageItem(im summary) Item {
	it := Item{Cells: []string{im.Name, strings.Replace(Cut(im.Created, 16+len(cutMark)), "T", " ", 1), "", "", size(im.Stored)}}
	if len(im.Created) >= 16 {
		it.Cells[1] = strings.Replace(im.Created[:16], "T", " ", 1)
	}
	if len(im.Disks) > 0 {
		it.Cells[2], it.Cells[3] = or(im.Disks[0].Model, im.Disks[0].Name), size(im.Disks[0].Size)
	}
	var names []string
	for _, v := range im.Volumes {
		names = append(names, strings.TrimSpace(v.Name+" "+v.FileSystem))
	}
	it.Note = strings.Join(names, ", ")
	if problem := m.imageProblem(im); problem != "" {
		it.Note, it.Tone = problem, Warn
	}
	return it
}

// imageProblem says why an image cannot be used, "" when it can.
func (m *Menu) imageProblem(im summary) string {
	switch {
	case im.Problem != "":
		return im.Problem
	case !im.Complete:
		return m.Text.Unfinished
	case im.Name == "" || strings.HasPrefix(im.Name, "-"):
		return m.Text.NameBad
	}
	return ""
}

func (m *Menu) restoreWhat(r *restoring) error {
	t := m.Text
	r.parts = nil
	if r.whole = len(r.image.Volumes) < 2; r.whole {
		return errSkip
	}
	chosen, err := m.choose(Page{Title: fmt.Sprintf(t.RestoreParts.Title, r.image.Name), Help: t.RestoreParts.Help,
		Items: []Item{{Cells: []string{t.ItemWholeImage}}, {Cells: []string{t.ItemParts}}}})
	r.whole = chosen == 0
	return err
}

func (m *Menu) restoreParts(r *restoring) error {
	t := m.Text
	if r.whole {
		return errSkip
	}
	page := Page{Title: fmt.Sprintf(t.RestoreParts.Title, r.image.Name), Body: paragraph(t.RestoreParts.Intro), Status: m.status,
		Help: t.RestoreParts.Help, Head: t.HeadVolumes, Many: true, Marked: r.parts}
	for _, v := range r.image.Volumes {
		page.Items = append(page.Items, Item{Note: m.method(v.Method),
			Cells: []string{v.Name, or(v.FileSystem, "?"), v.Label, size(v.Size), size(v.Used)}})
	}
	chosen, err := m.Dialogue.Choose(page)
	if err == nil {
		r.parts = chosen
	}
	return err
}

func (m *Menu) restoreTarget(r *restoring) error {
	d, err := m.chooseDisk(m.Text.Target)
	r.target = d.Path
	return err
}

func (m *Menu) restoreArgs(r *restoring, more ...string) []string {
	argv := []string{"doppel", "restore", r.image.Name, r.target}
	var only []string
	for _, i := range r.parts {
		only = append(only, r.image.Volumes[i].Name)
	}
	if len(only) > 0 {
		argv = append(argv, "--only", strings.Join(only, ","))
	}
	return append(append(argv, more...), "--json")
}

// restorePlan shows the target, what is on it and what will be written.
func (m *Menu) restorePlan(r *restoring) (err error) {
	t := m.Text
	v := m.restoreVerb(r.image.Name)
	if r.plan, err = m.plan(v, m.restoreArgs(r, "--plan")); err != nil {
		return err
	}
	p := r.plan
	body := append(m.target(p.Target),
		Line{Cells: []string{t.PlanImage, or(p.Image, r.image.Name)}},
		Line{Cells: []string{t.PlanBytes, size(p.Bytes)}})
	if err := m.agree(t.RestorePlan, body, p); err != nil {
		return err
	}
	if p.Consent == "" || p.Confirm.Expect == "" {
		return back(m.tell(t.RestoredFailed, t.RestorePlan.Help, []Line{{Tone: Bad, Text: t.NoConsent}, {Text: t.NothingWritten}}))
	}
	return nil
}

// target describes the disk that will be overwritten.
func (m *Menu) target(d planDevice) []Line {
	t := m.Text
	return []Line{
		{Tone: Strong, Cells: []string{t.PlanTarget, d.Path + "  " + size(d.Size)}},
		{Tone: Strong, Cells: []string{t.HeadDisks[1], or(d.Model, t.NoModel)}},
		{Tone: Strong, Cells: []string{t.HeadDisks[2], or(d.Serial, t.NoSerial)}},
		{Tone: Warn, Cells: []string{t.PlanNow, or(d.Contents, t.EmptyDisk)}},
	}
}

// confirm wants the text typed that stands for this target and no other.
func (m *Menu) confirm(r *restoring) error {
	t := m.Text
	body := append(m.target(r.plan.Target), Line{}, Line{Tone: Warn, Text: t.PlanErase},
		Line{Text: fmt.Sprintf(t.AskSerialOf, r.plan.Confirm.Ask)})
	typed, err := m.Dialogue.Ask(Question{
		Page:   Page{Status: m.status, Title: t.Confirm.Title, Body: body, Help: t.Confirm.Help},
		Prompt: t.Confirmation,
	})
	if err != nil {
		return err
	}
	if strings.TrimSpace(typed) == r.plan.Confirm.Expect {
		return nil
	}
	m.log("wrong confirmation, nothing written")
	return back(m.tell(t.RestoredFailed, t.Confirm.Help, []Line{{Tone: Bad, Text: t.WrongText}}))
}

func (m *Menu) restoreVerb(image string) verb {
	t := m.Text
	return verb{work: t.RestoreWork, subject: image, done: t.RestoredDone, failed: t.RestoredFailed, text: t.RestoredText, stop: m.stopPage()}
}

// check is the flow that reads a whole image.
func (m *Menu) check() error {
	t := m.Text
	var im summary
	return walk(
		m.needPlace,
		func() (err error) {
			im, err = m.chooseImage(t.Check)
			return err
		},
		func() error { return m.run(m.checkVerb(im.Name), []string{"doppel", "verify", im.Name, "--json"}) },
	)
}

func (m *Menu) checkVerb(image string) verb {
	t := m.Text
	return verb{work: t.CheckWork, subject: image, done: t.CheckedDone, failed: t.CheckedFailed, text: t.CheckedText, stop: m.stopPage()}
}
