package tui

import (
	"errors"
	"slices"
	"strings"
)

// field is one line of a form: something with a value that can be changed.
type field struct {
	name    string
	value   string
	before  string              // the default, where the form shows one
	short   string              // the same in a few words, where the form shows that
	note    string              // one sentence
	choices []string            // the values it can have; none: any text
	labels  []string            // what choices are called; none: as they are
	hidden  bool                // a secret
	check   func(string) string // says what is wrong with a text, or ""
}

// shown is what stands for the value of a field on the screen.
func (f *field) shown(t *Text) string {
	switch i := slices.Index(f.choices, f.value); {
	case i >= 0 && i < len(f.labels):
		return f.labels[i]
	case f.value == "":
		return t.Form.Nothing
	case f.hidden:
		return t.Form.Typed
	}
	return f.value
}

// form is a page with fields. What can be done with them stands above them,
// so that Enter alone goes on where nothing is to be changed.
type form struct {
	text   PageText
	body   func() []Line // drawn anew after each change; nil is none
	head   []string
	fields []*field
	done   []Item // what can be done with the filled form
	ready  func() string
	at     int // the item pointed to
}

// fill shows a form until one of its done items is chosen, and gives that.
// What cannot be done yet is refused by ready with a sentence.
func (m *Menu) fill(f *form) (int, error) {
	problem := ""
	for {
		page := Page{Title: f.text.Title, Body: paragraph(f.text.Intro), Help: f.text.Help, Head: f.head, Start: f.at}
		if f.body != nil {
			page.Body = append(page.Body, f.body()...)
		}
		if problem != "" {
			page.Body = append(page.Body, Line{Tone: Bad, Text: problem})
		}
		page.Items = slices.Clone(f.done)
		for _, each := range f.fields {
			it := Item{Cells: []string{each.name, each.shown(m.Text)}, Note: each.note}
			if len(f.head) > 2 {
				it.Cells = append(it.Cells, or(each.before, m.Text.Form.Nothing), each.short)
			}
			page.Items = append(page.Items, it)
		}
		chosen, err := m.choose(page)
		if err != nil {
			return 0, err
		}
		f.at, problem = chosen, ""
		if chosen < len(f.done) {
			if f.ready != nil {
				problem = f.ready()
			}
			if problem == "" {
				return chosen, nil
			}
			continue
		}
		if err := m.change(f, f.fields[chosen-len(f.done)]); err != nil && !errors.Is(err, ErrBack) {
			return 0, err
		}
	}
}

// change lets a person change one field: of two values the other is taken, of
// more one is chosen, a text is typed.
func (m *Menu) change(f *form, each *field) error {
	if n := len(each.choices); n > 0 {
		now := max(slices.Index(each.choices, each.value), 0)
		if n == 2 {
			each.value = each.choices[1-now]
			return nil
		}
		page := Page{Title: f.text.Title, Body: []Line{{Tone: Strong, Text: each.name}, {Text: each.note}}, Help: f.text.Help, Start: now}
		for i, c := range each.choices {
			if i < len(each.labels) {
				c = each.labels[i]
			}
			page.Items = append(page.Items, Item{Cells: []string{c}})
		}
		chosen, err := m.choose(page)
		if err == nil {
			each.value = each.choices[chosen]
		}
		return err
	}
	if err := m.askField(f.text, each); err != nil {
		return err
	}
	if f.at+1 < len(f.done)+len(f.fields) { // texts are typed one after the other
		f.at++
	} else {
		f.at = 0
	}
	return nil
}

// askField asks for the text of one field. A single hyphen makes it empty.
func (m *Menu) askField(text PageText, each *field) error {
	t := m.Text
	q := Question{Page: Page{Status: m.status, Title: text.Title, Help: text.Help, Body: paragraph(each.note)},
		Prompt: each.name, Text: each.value, Hidden: each.hidden, Check: func(s string) string {
			if s = typedText(s, each.hidden); each.check == nil || s == "" {
				return ""
			}
			return each.check(s)
		}}
	hint := t.Form.Empty
	if each.hidden {
		q.Text, hint = "", t.Form.EmptyHidden
	}
	q.Body = append(q.Body, Line{}, Line{Tone: Dim, Text: hint})
	typed, err := m.Dialogue.Ask(q)
	if err == nil {
		each.value = typedText(typed, each.hidden)
	}
	return err
}

// typedText is what a typed text means: in a secret every character counts.
func typedText(s string, hidden bool) string {
	if hidden {
		return s
	}
	if s = strings.TrimSpace(s); s == "-" {
		return ""
	}
	return s
}
