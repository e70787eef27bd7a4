package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// images is the flow that renames, removes and converts images.
func (m *Menu) images() error {
	var im summary
	return walk(
		m.needPlace,
		func() (err error) {
			im, err = m.chooseImage(m.Text.Images, m.nameProblem)
			return err
		},
		func() error { return m.imageActions(im) },
	)
}

// nameProblem says why nothing can be done with an image, "" when something can:
// it need not be complete.
func (m *Menu) nameProblem(im summary) string {
	// A name that begins with a hyphen would be taken for an option.
	if im.Name == "" || strings.HasPrefix(im.Name, "-") {
		return m.Text.NameBad
	}
	return ""
}

// imageActions shows one image and what can be done with it.
func (m *Menu) imageActions(im summary) error {
	t := m.Text
	page := Page{Title: fmt.Sprintf(t.Image.Title, im.Name), Help: t.Image.Help}
	actions := []func(summary) error{m.removeImage}
	names := []string{t.ItemRemove}
	if problem := m.imageProblem(im); problem != "" {
		page.Body = append(page.Body, Line{Tone: Bad, Text: problem})
	} else {
		actions = []func(summary) error{m.checkImage, m.renameImage, m.removeImage, m.convertAnew}
		names = []string{t.ItemCheckIt, t.ItemRename, t.ItemRemove, t.ItemAnew}
		if m.place == nil || strings.HasPrefix(or(m.place.Path, "/"), "/") { // else no file can lie beside it
			actions = append(actions, m.convertRaw, m.convertQcow2)
			names = append(names, t.ItemRaw, t.ItemQcow2)
		}
	}
	if len(im.Volumes) > 0 {
		page.Body = append(page.Body, Line{Tone: Strong, Cells: t.HeadVolumes})
	}
	var notes []Line // below the table, which they would cut in two
	for _, v := range im.Volumes {
		page.Body = append(page.Body, Line{Cells: []string{v.Name, or(v.FileSystem, "?"), v.Label, size(v.Size), size(max(v.Used, 0))}})
		if v.Method == "absent" && v.Reason != "" {
			notes = append(notes, Line{Tone: Warn, Text: "- " + v.Name + ": " + v.Reason})
		}
	}
	page.Body = append(page.Body, notes...)
	for _, name := range names {
		page.Items = append(page.Items, Item{Cells: []string{name}})
	}
	chosen, err := m.choose(page)
	if err != nil {
		return err
	}
	if err := actions[chosen](im); err != nil {
		return err
	}
	return ErrBack // to the list, which may be another now
}

func (m *Menu) checkImage(im summary) error {
	return m.runWith("verify", "", m.checkVerb(im.Name), "doppel", "verify", im.Name)
}

// runWith runs a command that needs no plan, in expert mode with the options
// that are chosen before.
func (m *Menu) runWith(command, kind string, v verb, argv ...string) error {
	set := settings{}
	line := func() []string { return slices.Concat(argv, set.args(m.Text.Options(command)), []string{"--json"}) }
	if err := m.options(set, command, kind, line); err != nil && !errors.Is(err, errSkip) {
		return err
	}
	return m.run(v, line())
}

func (m *Menu) imageVerb(work PageText, image string) verb {
	t := m.Text
	return verb{work: work, subject: image, done: t.OtherDone, failed: t.OtherFailed, text: t.OtherText, stop: m.stopPage(work)}
}

// askImageName asks for the name of a new image.
func (m *Menu) askImageName(title, offered string) (string, error) {
	t := m.Text
	var list imageList
	if err := m.query(&list, "doppel", "images", "--json"); errors.Is(err, ErrBack) || errors.Is(err, ErrClosed) {
		return "", err
	}
	taken := map[string]bool{}
	for _, im := range list.Images {
		taken[im.Name] = true
	}
	name, err := m.Dialogue.Ask(Question{
		Page:   Page{Status: m.status, Title: title, Body: paragraph(t.Name.Intro), Help: t.Name.Help},
		Prompt: t.PlanImage, Text: offered,
		Check: func(name string) string { return m.checkName(name, taken) },
	})
	return strings.TrimSpace(name), err
}

func (m *Menu) renameImage(im summary) error {
	name, err := m.askImageName(fmt.Sprintf(m.Text.Rename, im.Name), im.Name+"-2")
	if err != nil {
		return err
	}
	return m.run(m.imageVerb(m.Text.ImageWork, im.Name), []string{"doppel", "images", "rename", im.Name, name, "--json"})
}

// removeImage wants the image's name typed: what is removed is lost.
func (m *Menu) removeImage(im summary) error {
	t := m.Text
	typed, err := m.Dialogue.Ask(Question{
		Page:   Page{Status: m.status, Title: fmt.Sprintf(t.Remove.Title, im.Name), Body: []Line{{Tone: Warn, Text: t.Remove.Intro}}, Help: t.Remove.Help},
		Prompt: t.Confirmation,
	})
	if err != nil {
		return err
	}
	if strings.TrimSpace(typed) != im.Name {
		return m.tell(t.OtherFailed, t.Remove.Help, []Line{{Tone: Bad, Text: t.NotRemoved}})
	}
	return m.run(m.imageVerb(t.ImageWork, im.Name), []string{"doppel", "images", "remove", im.Name, "--yes", "--json"})
}

// convert makes a file beside the images, or an image.
func (m *Menu) convert(im summary, kind, dest string) error {
	return m.runWith("convert", kind, m.imageVerb(m.Text.ConvertWork, im.Name), "doppel", "convert", im.Name, dest)
}

func (m *Menu) convertRaw(im summary) error { return m.convert(im, fileKind, m.beside(im.Name+".raw")) }
func (m *Menu) convertQcow2(im summary) error {
	return m.convert(im, fileKind, m.beside(im.Name+".qcow2"))
}

// beside is the path of a file in the place for images.
func (m *Menu) beside(name string) string {
	path := "/images"
	if m.place != nil {
		path = or(m.place.Path, path)
	}
	return path + "/" + name
}

func (m *Menu) convertAnew(im summary) error {
	name, err := m.askImageName(fmt.Sprintf(m.Text.Anew, im.Name), im.Name+"-2")
	if err != nil {
		return err
	}
	return m.convert(im, imageKind, name)
}
