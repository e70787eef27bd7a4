package tui

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"doppel.live/internal/tui/job"
)

// Option is an option of a doppel command as the page of expert mode shows it.
type Option struct {
	Name     string              // "--compress"
	Default  string              // "" is none; "no" and "yes" where it takes no value
	Choices  []string            // the values it takes; none: any text that Check lets pass
	Short    string              // what it does, in a few words
	Sentence string              // and in full
	Check    func(string) string // says what is wrong with a value, or ""; nil: nothing can be

	when string // "": always; else only for that kind of the command
}

// The kinds of save and convert that some options are for.
const (
	rescueKind = "rescue"
	imageKind  = "image"
	fileKind   = "file"
)

// takesNone tells whether an option has no value on a command line.
func (o Option) takesNone() bool { return slices.Equal(o.Choices, []string{"no", "yes"}) }

// Options gives the options of a command that a person chooses on the page of
// expert mode. Own gives the others. A test of doppel's compares both with
// what the command says of itself.
func (t *Text) Options(command string) []Option {
	e := &t.Expert
	toggle := []string{"no", "yes"}
	compress := Option{Name: "--compress", Default: "default", Choices: []string{"none", "fast", "default", "max", "gzip"}, Short: e.ShortCompress, Sentence: e.Compress}
	split := Option{Name: "--split", Short: e.ShortSplit, Sentence: e.Split, Check: t.checkSplit}
	except := Option{Name: "--except", Short: e.ShortExcept, Sentence: e.Except, Check: t.checkNames}
	verify := Option{Name: "--verify", Default: "no", Choices: toggle, Short: e.ShortVerify, Sentence: e.Verify}
	delta := Option{Name: "--delta", Default: "no", Choices: toggle, Short: e.ShortDelta, Sentence: e.Delta}
	switch command {
	case "save":
		retries := Option{Name: "--retries", Default: "1", Short: e.ShortRetries, Sentence: e.Retries, Check: t.checkRetries, when: rescueKind}
		return []Option{except, compress, split, retries}
	case "restore":
		return []Option{{Name: "--keep-table", Default: "no", Choices: toggle, Short: e.ShortKeepTable, Sentence: e.KeepTable}, verify, delta}
	case "clone":
		return []Option{except, verify, delta}
	case "convert":
		compress.when, split.when, verify.when = imageKind, imageKind, fileKind
		disk := Option{Name: "--disk", Short: e.ShortDisk, Sentence: e.Disk, Check: t.checkNames, when: fileKind}
		return []Option{disk, compress, split, verify}
	}
	return nil // verify has none
}

// Own gives the options of a command that the menu sets by its own pages, or
// never: the place for images and its credentials, the partitions, rescue,
// the plan, the consent, the form of what is printed.
func Own(command string) []string {
	own := []string{"--json"}
	if command != "clone" { // which needs no place
		own = append(own, "--images", "--credentials")
	}
	switch command {
	case "save":
		own = append(own, "--plan", "--yes", "--rescue", "--resume", "--finish")
	case "restore":
		own = append(own, "--plan", "--yes", "--consent", "--only")
	case "clone":
		own = append(own, "--plan", "--yes", "--consent")
	case "convert":
		own = append(own, "--format", "--yes")
	}
	return own
}

// settings are the options that were set for one job, by name. Those that are
// at their default are missing.
type settings map[string]string

// args gives them for a command line, in the order of the table.
func (s settings) args(options []Option) []string {
	var out []string
	for _, o := range options {
		value, set := s[o.Name]
		switch {
		case !set:
		case o.takesNone():
			out = append(out, o.Name)
		default:
			out = append(out, o.Name, value)
		}
	}
	return out
}

// options is the page of expert mode before a plan: every option of the
// command that this kind of it takes, and the command line that comes of it,
// which line gives.
func (m *Menu) options(set settings, command, kind string, line func() []string) error {
	t := m.Text
	if !m.expert {
		return errSkip
	}
	f := &form{head: t.Expert.Head, done: []Item{{Cells: []string{t.Expert.GoOn}, Note: t.Expert.GoOnNote, Key: 'g'}}}
	f.text = PageText{fmt.Sprintf(t.Expert.Options.Title, command), t.Expert.Options.Intro, t.Expert.Options.Help}
	var shown []Option
	for _, o := range t.Options(command) {
		if o.when != "" && o.when != kind {
			continue
		}
		value := o.Default
		if v, ok := set[o.Name]; ok {
			value = v
		}
		shown = append(shown, o)
		f.fields = append(f.fields, &field{name: o.Name, value: value, before: o.Default, note: o.Sentence, short: o.Short, choices: o.Choices, check: o.Check})
	}
	if len(shown) == 0 {
		f.head, f.text.Intro = nil, t.Expert.NoOptions
	}
	f.body = func() []Line {
		for i, each := range f.fields {
			if delete(set, each.name); each.value != "" && each.value != shown[i].Default {
				set[each.name] = each.value
			}
		}
		return []Line{{}, {Tone: Dim, Text: t.Command}, {Text: "  " + job.Quote(line())}}
	}
	_, err := m.fill(f)
	return err
}

// toggleExpert switches expert mode, until the menu ends.
func (m *Menu) toggleExpert() error {
	m.expert = !m.expert
	m.log("expert %v", m.expert)
	m.set(m.place)
	return nil
}

var (
	splitForm = regexp.MustCompile(`^(none|[2-9]M|[1-9][0-9]{1,5}M|[1-9][0-9]{0,5}[GT])$`) // 2M is the least
	nameForm  = regexp.MustCompile(`^/?[A-Za-z0-9][A-Za-z0-9._!/-]*(,/?[A-Za-z0-9][A-Za-z0-9._!/-]*)*$`)
)

func (t *Text) checkSplit(s string) string {
	if splitForm.MatchString(s) {
		return ""
	}
	return t.Expert.BadSplit
}

func (t *Text) checkNames(s string) string {
	if nameForm.MatchString(strings.ReplaceAll(s, " ", "")) {
		return ""
	}
	return t.Expert.BadNames
}

func (t *Text) checkRetries(s string) string {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n <= 1000 {
		return ""
	}
	return t.Expert.BadRetries
}
