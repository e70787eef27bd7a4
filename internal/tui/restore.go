package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// restoring is what the flow of a restore, or of a clone, has gathered so far.
type restoring struct {
	image   summary
	source  *disk // of a clone; nil: an image is restored
	parts   []int // indexes of image.Volumes; nil: the whole image
	whole   bool
	targets []string // paths of disks
	plan    *jobPlan
	set     settings // of expert mode
}

// restore is the flow that writes an image to a disk.
func (m *Menu) restore() error {
	r := restoring{set: settings{}}
	return walk(
		m.needPlace,
		func() (err error) {
			r.image, err = m.chooseImage(m.Text.Restore, m.imageProblem)
			return err
		},
		func() error { return m.restoreWhat(&r) },
		func() error { return m.restoreParts(&r) },
		func() error { return m.chooseTargets(m.Text.Target, &r) },
		func() error { return m.restoreOptions(&r) },
		func() error { return m.restorePlan(&r, m.Text.RestorePlan) },
		func() error { return m.confirm(&r) },
		func() error { return m.run(m.restoreVerb(&r), m.restoreArgs(&r, "--consent", r.plan.Consent)) },
	)
}

// clone is the flow that copies a disk to others.
func (m *Menu) clone() error {
	r := restoring{set: settings{}}
	return walk(
		func() error {
			d, err := m.chooseDisk(m.Text.Clone)
			r.source = &d
			return err
		},
		func() error { return m.chooseTargets(m.Text.CloneTarget, &r) },
		func() error { return m.restoreOptions(&r) },
		func() error { return m.restorePlan(&r, m.Text.ClonePlan) },
		func() error { return m.confirm(&r) },
		func() error { return m.run(m.restoreVerb(&r), m.restoreArgs(&r, "--consent", r.plan.Consent)) },
	)
}

// chooseImage shows the images of the place until one without a problem is chosen.
func (m *Menu) chooseImage(text PageText, problem func(summary) string) (summary, error) {
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
		what := problem(im)
		if what == "" {
			return im, nil
		}
		if err := m.tell(im.Name, text.Help, []Line{{Tone: Bad, Text: what}}); err != nil {
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

// chooseTargets shows the disks until one is chosen, or several at once.
func (m *Menu) chooseTargets(text PageText, r *restoring) error {
	for {
		var list diskList
		if err := m.ask(&list, "doppel", "disks", "--json"); err != nil {
			return err
		}
		page := m.diskPage(text, list)
		if len(list.Disks) > 1 {
			page.Items = append(page.Items, Item{Cells: []string{m.Text.ItemSeveral}, Key: 's', Tone: Dim})
		}
		page.Items = append(page.Items, m.again())
		chosen, err := m.choose(page)
		switch {
		case err != nil:
			return err
		case chosen < len(list.Disks):
			r.targets = []string{list.Disks[chosen].Path}
			return nil
		case chosen == len(page.Items)-1:
			continue
		}
		if err := m.severalTargets(text, list, r); !errors.Is(err, ErrBack) {
			return err
		}
	}
}

func (m *Menu) severalTargets(text PageText, list diskList, r *restoring) error {
	page := m.diskPage(text, list)
	page.Many, page.Status = true, m.status
	chosen, err := m.Dialogue.Choose(page)
	r.targets = nil
	for _, i := range chosen {
		r.targets = append(r.targets, list.Disks[i].Path)
	}
	return err
}

// command is the doppel command of a flow.
func (r *restoring) command() string {
	if r.source != nil {
		return "clone"
	}
	return "restore"
}

func (m *Menu) restoreOptions(r *restoring) error {
	return m.options(r.set, r.command(), "", func() []string { return m.restoreArgs(r) })
}

func (m *Menu) restoreArgs(r *restoring, more ...string) []string {
	set := r.set.args(m.Text.Options(r.command()))
	if r.source != nil {
		return slices.Concat([]string{"doppel", "clone", r.source.Path}, r.targets, set, more, []string{"--json"})
	}
	argv := append([]string{"doppel", "restore", r.image.Name}, r.targets...)
	var only []string
	for _, i := range r.parts {
		only = append(only, r.image.Volumes[i].Name)
	}
	if len(only) > 0 {
		argv = append(argv, "--only", strings.Join(only, ","))
	}
	return slices.Concat(argv, set, more, []string{"--json"})
}

// restorePlan shows the targets, what is on them and what will be written.
func (m *Menu) restorePlan(r *restoring, text PageText) (err error) {
	t := m.Text
	if r.plan, err = m.plan(m.restoreVerb(r), m.restoreArgs(r, "--plan")); err != nil {
		return err
	}
	p := r.plan
	var body []Line
	for _, each := range p.each() {
		body = append(body, m.target(each.Target)...)
	}
	if r.source != nil {
		body = append(body, Line{Cells: []string{t.PlanSource, r.source.Path + "  " + or(r.source.Model, t.NoModel) + "  " + size(r.source.Size)}})
	} else {
		body = append(body, Line{Cells: []string{t.PlanImage, or(p.Image, r.image.Name)}})
	}
	body = append(body, Line{Cells: []string{t.PlanBytes, size(p.Bytes)}})
	if p.Steps == nil {
		p.Steps = p.each()[0].Steps
	}
	if err := m.agree(text, body, p); err != nil {
		return err
	}
	for _, each := range p.each() {
		if p.Consent == "" || each.Confirm.Expect == "" {
			return back(m.tell(m.restoreVerb(r).failed, text.Help, []Line{{Tone: Bad, Text: t.NoConsent}, {Text: t.NothingWritten}}))
		}
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

// confirm wants the text typed that stands for a target and no other, for each.
func (m *Menu) confirm(r *restoring) error {
	for _, p := range r.plan.each() {
		if err := m.confirmTarget(r, p); err != nil {
			return err
		}
	}
	return nil
}

func (m *Menu) confirmTarget(r *restoring, p *jobPlan) error {
	t := m.Text
	body := append(m.target(p.Target), Line{}, Line{Tone: Warn, Text: t.PlanErase},
		Line{Text: fmt.Sprintf(t.AskSerialOf, p.Confirm.Ask)})
	title := t.Confirm.Title
	if r.source != nil {
		title = t.CloneConfirm
	}
	typed, err := m.Dialogue.Ask(Question{
		Page:   Page{Status: m.status, Title: title, Body: body, Help: t.Confirm.Help},
		Prompt: t.Confirmation,
	})
	if err != nil {
		return err
	}
	if strings.TrimSpace(typed) == p.Confirm.Expect {
		return nil
	}
	m.log("wrong confirmation, nothing written")
	return back(m.tell(m.restoreVerb(r).failed, t.Confirm.Help, []Line{{Tone: Bad, Text: t.WrongText}}))
}

func (m *Menu) restoreVerb(r *restoring) verb {
	t := m.Text
	if r.source != nil {
		return verb{work: t.CloneWork, subject: r.source.Path, done: t.ClonedDone, failed: t.ClonedFailed, text: t.ClonedText, stop: m.stopPage(t.CloneWork)}
	}
	return verb{work: t.RestoreWork, subject: r.image.Name, done: t.RestoredDone, failed: t.RestoredFailed, text: t.RestoredText, stop: m.stopPage(t.RestoreWork)}
}

// check is the flow that reads a whole image.
func (m *Menu) check() error {
	t := m.Text
	var im summary
	return walk(
		m.needPlace,
		func() (err error) {
			im, err = m.chooseImage(t.Check, m.imageProblem)
			return err
		},
		func() error { return m.checkImage(im) },
	)
}

func (m *Menu) checkVerb(image string) verb {
	t := m.Text
	return verb{work: t.CheckWork, subject: image, done: t.CheckedDone, failed: t.CheckedFailed, text: t.CheckedText, stop: m.stopPage(t.CheckWork)}
}
