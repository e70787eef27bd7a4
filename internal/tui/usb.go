package tui

import (
	"fmt"
	"strings"
)

// usbText is what the flow of a new stick says.
type usbText struct {
	Item, Note               string // on the main page
	Target, What, Plan, Work PageText
	Copies                   PageText
	ItemOnly, ItemCopies     string
	Sure, Done, Failed, Text string
}

func (t *Text) englishUSB() {
	t.USB = usbText{
		Item:   "Make a Doppel stick",
		Note:   "Writes this system to a stick, with a place for images on it.",
		Target: PageText{"Stick: which disk shall become one?", "What is on it now will be overwritten.", "The stick gets this system and, behind it, a place for images that takes the rest of it. A stick that is one already keeps its images. Compare model, serial number and size with the label on the stick."},
		What:   PageText{"Stick: with images?", "", "Images of the present place can be copied onto the stick. They can be copied later, too."},
		Copies: PageText{"Stick: which images shall be copied?", "Mark what shall be on the stick.", "The images are copied once the stick is written. They must fit on it."},
		Plan:   PageText{"Stick: this is the plan", "", "Look closely: this is the disk that will be overwritten, and what is on it now. Nothing has been written yet. \"new\" means that a place for images is made, \"kept\" that the one that is there stays as it is, with what lies in it."},
		Work:   PageText{"Writing a stick to %s", "", "The system is written, read back and compared, then the images are copied. If you stop now, the stick will not start; it can be written again from the beginning."},

		ItemOnly: "Only this system", ItemCopies: "Copy images onto it, too",
		Sure: "Stick: are you sure?", Done: "Stick: Done", Failed: "Stick: Failed", Text: "The stick is written.",
	}
}

// sticking is what the flow has gathered so far.
type sticking struct {
	disk   disk
	copies bool
	images []string
	plan   *jobPlan
}

// usb is the flow that makes another stick.
func (m *Menu) usb() error {
	var s sticking
	return walk(
		func() (err error) {
			s.disk, err = m.chooseDisk(m.Text.USB.Target)
			return err
		},
		func() error { return m.usbWhat(&s) },
		func() error { return m.usbCopies(&s) },
		func() error { return m.usbPlan(&s) },
		func() error { return m.usbConfirm(&s) },
		func() error { return m.run(m.usbVerb(&s), m.usbArgs(&s, "--consent", s.plan.Consent)) },
	)
}

// usbWhat asks whether images shall be copied, if there may be any.
func (m *Menu) usbWhat(s *sticking) error {
	t := m.Text
	if s.copies = false; m.place == nil {
		return errSkip
	}
	chosen, err := m.choose(Page{Title: t.USB.What.Title, Help: t.USB.What.Help,
		Items: []Item{{Cells: []string{t.USB.ItemOnly}}, {Cells: []string{t.USB.ItemCopies}}}})
	s.copies = chosen == 1
	return err
}

func (m *Menu) usbCopies(s *sticking) error {
	t := m.Text
	if s.images = nil; !s.copies {
		return errSkip
	}
	var list imageList
	if err := m.ask(&list, "doppel", "images", "--json"); err != nil {
		return err
	}
	page := Page{Title: t.USB.Copies.Title, Body: paragraph(t.USB.Copies.Intro), Status: m.status, Help: t.USB.Copies.Help, Head: t.HeadImages, Many: true}
	var names []string
	for _, im := range list.Images {
		if m.imageProblem(im) == "" {
			page.Items, names = append(page.Items, m.imageItem(im)), append(names, im.Name)
		}
	}
	if len(names) == 0 {
		return back(m.tell(t.USB.Copies.Title, t.USB.Copies.Help, []Line{{Tone: Warn, Text: t.NoImages}}))
	}
	chosen, err := m.Dialogue.Choose(page)
	for _, i := range chosen {
		s.images = append(s.images, names[i])
	}
	return err
}

func (m *Menu) usbArgs(s *sticking, more ...string) []string {
	argv := []string{"doppel", "usb", s.disk.Path}
	if len(s.images) > 0 {
		argv = append(argv, "--copy", strings.Join(s.images, ","))
	}
	return append(append(argv, more...), "--json")
}

// usbPlan shows the stick, what is on it and what will be written.
func (m *Menu) usbPlan(s *sticking) (err error) {
	t := m.Text
	if s.plan, err = m.plan(m.usbVerb(s), m.usbArgs(s, "--plan")); err != nil {
		return err
	}
	body := append(m.target(s.plan.Target), Line{Cells: []string{t.PlanImage, s.plan.Image}}, Line{Cells: []string{t.PlanBytes, size(s.plan.Bytes)}})
	if err := m.agree(t.USB.Plan, body, s.plan); err != nil {
		return err
	}
	if s.plan.Consent == "" || s.plan.Confirm.Expect == "" {
		return back(m.tell(t.USB.Failed, t.USB.Plan.Help, []Line{{Tone: Bad, Text: t.NoConsent}, {Text: t.NothingWritten}}))
	}
	return nil
}

// usbConfirm wants the text typed that stands for this stick and no other.
func (m *Menu) usbConfirm(s *sticking) error {
	t := m.Text
	body := append(m.target(s.plan.Target), Line{}, Line{Tone: Warn, Text: t.PlanErase},
		Line{Text: fmt.Sprintf(t.AskSerialOf, s.plan.Confirm.Ask)})
	typed, err := m.Dialogue.Ask(Question{
		Page:   Page{Status: m.status, Title: t.USB.Sure, Body: body, Help: t.Confirm.Help},
		Prompt: t.Confirmation,
	})
	if err != nil {
		return err
	}
	if strings.TrimSpace(typed) == s.plan.Confirm.Expect {
		return nil
	}
	m.log("wrong confirmation, nothing written")
	return back(m.tell(t.USB.Failed, t.Confirm.Help, []Line{{Tone: Bad, Text: t.WrongText}}))
}

func (m *Menu) usbVerb(s *sticking) verb {
	t := m.Text
	return verb{work: t.USB.Work, subject: s.disk.Path, done: t.USB.Done, failed: t.USB.Failed, text: t.USB.Text, stop: m.stopPage(t.USB.Work)}
}
