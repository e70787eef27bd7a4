package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/tui/job"
)

// move is one answer of a scripted person: on a page whose title holds page.
type move struct {
	page   string
	answer string // text of an item, several parted by commas; a text; "<" back; "stop"; "" wait till it passes
}

// script answers the pages of a flow, and closes the terminal at its end.
type script struct {
	t     *testing.T
	moves []move
	seen  []string // every page, as text
	shows []Progress
	lent  int
}

func (s *script) next(p Page, extra string) (string, error) {
	s.t.Helper()
	s.seen = append(s.seen, pageText(p)+extra)
	if len(s.moves) == 0 {
		return "", ErrClosed
	}
	m := s.moves[0]
	if !strings.Contains(p.Title, m.page) {
		s.t.Fatalf("page %q where %q was expected; so far:\n%s", p.Title, m.page, strings.Join(s.seen, "\n"))
	}
	s.moves = s.moves[1:]
	if m.answer == "<" {
		return "", ErrBack
	}
	return m.answer, nil
}

func pageText(p Page) string {
	text := "== " + p.Title + " ==\n"
	for _, l := range Layout(p.Body, 1000) {
		text += l.Text + "\n"
	}
	for _, it := range p.Items {
		text += "  " + strings.Join(it.Cells, " | ") + "  # " + it.Note + "\n"
	}
	return text
}

func (s *script) Choose(p Page) ([]int, error) {
	if p.Help == "" && !strings.Contains(p.Title, "Failed") {
		s.t.Errorf("page %q has no help", p.Title)
	}
	answer, err := s.next(p, "")
	if err != nil {
		return nil, err
	}
	if answer == "" && p.Wait > 0 {
		return []int{p.Start}, nil
	}
	var chosen []int
	for _, want := range strings.Split(answer, ",") {
		i := slices.IndexFunc(p.Items, func(it Item) bool { return strings.HasPrefix(it.Cells[0], want) })
		if i < 0 {
			s.t.Fatalf("no item %q on\n%s", want, s.seen[len(s.seen)-1])
		}
		chosen = append(chosen, i)
	}
	return chosen, nil
}

func (s *script) Ask(q Question) (string, error) {
	for {
		answer, err := s.next(q.Page, q.Prompt+": "+q.Text)
		if err != nil {
			return "", err
		}
		if answer == "" {
			answer = q.Text
		}
		if q.Check == nil || q.Check(answer) == "" {
			return answer, nil
		}
		s.seen = append(s.seen, "problem: "+q.Check(answer))
	}
}

func (s *script) Watch(w Work) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if len(w.Stop.Items) > 0 {
		s.seen = append(s.seen, "== "+w.Title+" ==")
		if len(s.moves) > 0 && s.moves[0].answer == "stop" && strings.Contains(w.Title, s.moves[0].page) {
			s.moves = s.moves[1:]
			cancel()
		}
	}
	w.Run(ctx, func(p Progress) { s.shows = append(s.shows, p) })
	return nil
}

func (s *script) Lend(hint string, f func()) error {
	s.lent++
	s.seen = append(s.seen, hint)
	f()
	return nil
}

// reply is what a command of the fake runner prints and how it ends.
type reply struct {
	lines []string
	exit  job.Exit
	err   error
}

// runner is a machine on which commands give prepared replies: the one whose
// name the command line begins with; the longest counts.
type runner struct {
	replies map[string]reply
	ran     []string
	fed     []string // the standard input of each
	then    map[string][]reply
}

func (r *runner) Run(ctx context.Context, argv []string, line func(job.Line)) (job.Exit, error) {
	return r.Feed(ctx, argv, nil, line)
}

func (r *runner) Feed(ctx context.Context, argv []string, stdin []byte, line func(job.Line)) (job.Exit, error) {
	command := strings.Join(argv, " ")
	r.ran = append(r.ran, command)
	r.fed = append(r.fed, string(stdin))
	best := ""
	for name := range r.replies {
		if strings.HasPrefix(command, name) && len(name) > len(best) {
			best = name
		}
	}
	if best == "" {
		return job.Exit{Status: 127}, fmt.Errorf("%s: no such command", argv[0])
	}
	got := r.replies[best]
	if more := r.then[best]; len(more) > 0 {
		r.replies[best], r.then[best] = more[0], more[1:]
	}
	for _, l := range got.lines {
		if text, isErr := strings.CutPrefix(l, "stderr:"); isErr {
			line(job.Line{Text: []byte(text), Stderr: true})
		} else {
			line(job.Line{Text: []byte(l)})
		}
	}
	if ctx.Err() != nil {
		return job.Exit{Status: 1}, nil
	}
	return got.exit, got.err
}

func (r *runner) Attach(argv []string) error {
	r.ran = append(r.ran, "attached: "+strings.Join(argv, " "))
	return nil
}

// jobs are the commands that ran, without those that only ask.
func (r *runner) jobs() []string {
	return slices.DeleteFunc(slices.Clone(r.ran), func(s string) bool {
		return strings.HasPrefix(s, "place list") || strings.HasPrefix(s, "network status") || strings.HasPrefix(s, "place status") ||
			strings.HasPrefix(s, "doppel disks") || s == "doppel images --json" || strings.Contains(s, "--plan")
	})
}

const (
	resultOK   = `{"event":"result","ok":true,"text":"lab is complete"}`
	resultFail = `{"event":"result","ok":false,"status":1,"text":"sda2: input/output error at 4096","next":"try another cable"}`
	savePlan   = `{"event":"plan","plan":{"image":"lab","place":"/images","sources":[{"path":"/dev/sda","model":"Quick","serial":"XYZS3Z9","size":1000000000}],` +
		`"steps":[{"volume":"sda1","file_system":"ext4","method":"blocks","bytes":5000000},{"volume":"sda2","file_system":"xfs","method":"raw","bytes":9000000,"reason":"nobody reads xfs yet"}],` +
		`"bytes":14000000,"free":99000000}}`
	restorePlan = `{"event":"plan","plan":{"image":"lab","target":{"path":"/dev/sdb","model":"Slow","serial":"ABC1234","size":2000000000,"contents":"GPT: ntfs \"Holidays\""},` +
		`"consent":"c0ffee","confirm":{"ask":"the last 4 characters of the serial number","expect":"1234"},"steps":[{"volume":"sda1","method":"blocks","bytes":5}],"bytes":5}}`
)

// machine has two disks, an image and a place for images.
func machine() *runner {
	return &runner{replies: map[string]reply{
		"place status": {lines: []string{`{"current":{"spec":"/dev/sdc1","label":"KEEP","free":99000000}}`}},
		"place list": {lines: []string{`{"places":[{"spec":"/dev/sdc1","file_system":"ext4","label":"KEEP","size":100000000,"free":-1},`,
			`{"spec":"/dev/sda1","problem":"it is on the disk of this machine"}]}`}},
		"place use": {lines: []string{`{"ok":true,"spec":"/dev/sdc1","path":"/images","free":99000000}`}},
		"doppel disks": {lines: []string{`{"disks":[{"path":"/dev/sda","name":"sda","model":"Quick","serial":"XYZS3Z9","size":1000000000,"contents":"GPT","health":{"state":"good","text":"31 degrees"},` +
			`"partitions":[{"name":"sda1","path":"/dev/sda1","size":5,"used":3,"file_system":"ext4","label":"root"},{"name":"sda2","path":"/dev/sda2","size":9,"used":-1,"file_system":"xfs","reason":"nobody reads xfs yet"}]},` +
			`{"path":"/dev/sdb","name":"sdb","model":"","serial":"","size":2000000000,"health":{"state":"failing","text":"12 bad sectors"}}]}`}},
		"doppel images": {lines: []string{`{"images":[{"name":"lab","created":"2026-01-02T03:04:05Z","complete":true,"disks":[{"name":"sda"}],"volumes":[{"name":"sda1","file_system":"ext4"},{"name":"sda2"}]},` +
			`{"name":"half","complete":false},{"name":"-rf","complete":true}]}`}},
		"doppel save":                           {lines: []string{`{"event":"start","total":14000000}`, `{"event":"warning","text":"sda2 was not clean"}`, resultOK}},
		"doppel save /dev/sda lab --plan":       {lines: []string{savePlan}},
		"doppel restore":                        {lines: []string{`{"event":"start","total":5}`, resultOK}},
		"doppel restore lab /dev/sdb --plan":    {lines: []string{restorePlan}},
		"doppel verify":                         {lines: []string{resultOK}},
		"doppel restore lab /dev/sdb --only":    {lines: []string{restorePlan}},
		"doppel restore lab /dev/sdb --consent": {lines: []string{resultOK}},
		"poweroff":                              {}, "reboot": {},
	}}
}

// play runs the menu against a script and gives all that was seen.
func play(t *testing.T, r *runner, moves ...move) *script {
	t.Helper()
	s := &script{t: t, moves: moves}
	if err := menuOf(t, s, r).Main(); !errors.Is(err, ErrClosed) {
		t.Errorf("the menu ended with %v", err)
	}
	if len(s.moves) > 0 {
		t.Errorf("pages that did not come: %v; seen:\n%s", s.moves, strings.Join(s.seen, "\n"))
	}
	return s
}

func menuOf(t *testing.T, d Dialogue, r *runner) *Menu {
	return &Menu{Dialogue: d, Runner: r, Text: English(), LogDir: t.TempDir(), Shell: []string{"/bin/sh"},
		Now: func() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC) }}
}

// holds fails unless the pages seen hold all of these texts.
func (s *script) holds(texts ...string) {
	s.t.Helper()
	all := strings.Join(s.seen, "\n")
	for _, text := range texts {
		if !strings.Contains(all, text) {
			s.t.Errorf("nowhere stands %q:\n%s", text, all)
		}
	}
}

func (r *runner) want(t *testing.T, jobs ...string) {
	t.Helper()
	if got := r.jobs(); !slices.Equal(got, jobs) {
		t.Errorf("these commands ran: %q\nand these should have: %q", got, jobs)
	}
}

var (
	saveMoves = []move{{"What would", "Save"}, {"which disk", "/dev/sda"}, {"which partitions", "The whole disk"},
		{"be called", "lab2"}, {"this is the plan", "Start"}}
	restoreMoves = []move{{"What would", "Restore"}, {"which image", "lab"}, {"which parts", "The whole image"},
		{"which disk", "/dev/sdb"}, {"this is the plan", "Start"}, {"are you sure", "1234"}}
)

func with(moves []move, more ...move) []move { return append(slices.Clone(moves), more...) }
