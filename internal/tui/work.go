package tui

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"doppel.live/internal/tui/job"
)

// verb is a kind of job: what its pages are called.
type verb struct {
	work         PageText
	subject      string // in the title
	done, failed string // titles of the result
	text         string // of the result, where the job gives none
	stop         Page
}

// run runs a job with its progress on the screen and shows how it ended.
func (m *Menu) run(v verb, argv []string) error {
	o, err := m.work(v, argv)
	if err != nil {
		return err
	}
	title, body := m.result(v, o)
	return m.tell(title, m.Text.Result.Help, body)
}

// work runs a job with its progress on the screen.
func (m *Menu) work(v verb, argv []string) (*job.Outcome, error) {
	o := &job.Outcome{Argv: argv}
	free := m.Busy.hold()
	defer free()
	m.log("run %s", job.Quote(argv))
	title := v.work.Title
	if strings.Contains(title, "%") {
		title = fmt.Sprintf(title, v.subject)
	}
	work := Work{Page: Page{Status: m.status, Title: title, Help: v.work.Help}, Stop: v.stop}
	work.Stop.Status = m.status
	work.Run = func(ctx context.Context, report func(Progress)) {
		m.watch(ctx, o, report)
		m.keepLog(ctx, o)
	}
	err := m.Dialogue.Watch(work)
	m.logOutcome(o)
	return o, err
}

// watch runs the command of o and reports how far it is, at every event and
// every second.
func (m *Menu) watch(ctx context.Context, o *job.Outcome, report func(Progress)) {
	start := m.Now()
	log := m.open(o)
	defer log.Close()
	log.Print([]byte(job.Quote(o.Argv)))
	var mu sync.Mutex // guards o.State and report
	show := func() {
		report(m.progress(o, m.Now().Sub(start).Seconds(), ctx.Err() != nil))
	}
	show()
	tick := time.NewTicker(time.Second)
	ended := make(chan struct{})
	var ticker sync.WaitGroup
	ticker.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				mu.Lock()
				show()
				mu.Unlock()
			}
		}
	})
	exit, err := m.Runner.Run(ctx, o.Argv, func(l job.Line) {
		mu.Lock()
		defer mu.Unlock()
		log.Print(l.Text)
		o.Take(l)
		show()
	})
	tick.Stop()
	close(ended)
	ticker.Wait()
	o.Exit, o.Err, o.Stopped = exit, err, ctx.Err() != nil
	log.Print([]byte(m.ended(exit)))
}

// keepTime is how long a place for images may take to keep a log: doppel gives
// up before that and tells where it is all the same.
const keepTime = 75 * time.Second

// keepLog puts the log of a job that worked with images or disks beside the
// images. One of a job file keeps its own.
func (m *Menu) keepLog(ctx context.Context, o *job.Outcome) {
	if !m.KeepLogs || o.Log == "" || len(o.Argv) < 2 || !slices.Contains([]string{"save", "restore", "clone", "verify", "convert", "usb"}, o.Argv[1]) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	var said job.State
	_, err := m.Runner.Run(ctx, []string{"doppel", "logs", "keep", o.Log, "--json"}, said.Take)
	switch {
	case err != nil:
		m.log("log not kept: %v", err)
	case said.Result == nil || !said.Result.OK:
		m.log("log not kept: %s", strings.Join(said.Output, " "))
	default:
		o.Kept = said.Result.Text
	}
}

// open makes the file that takes what a job says.
func (m *Menu) open(o *job.Outcome) *job.Log {
	if m.LogDir == "" {
		return &job.Log{}
	}
	name := filepath.Base(o.Argv[0])
	if len(o.Argv) > 1 {
		name = o.Argv[1]
	}
	path := filepath.Join(m.LogDir, filepath.Base(name)+"-"+m.Now().UTC().Format("20060102-150405")+".log")
	log, err := job.NewLog(path)
	if err != nil {
		m.log("no log: %v", err)
		return log
	}
	o.Log = path
	return log
}

// shortLine is a text that fits into one line of a page on every screen.
const shortLine = 74

// progress puts the state of a job into words.
func (m *Menu) progress(o *job.Outcome, elapsed float64, stopping bool) Progress {
	t := m.Text
	step := or(o.Step, t.Working)
	if stopping {
		step = t.Stopping
	}
	step = Cut(Clean(step), 2*shortLine)
	p := Progress{Percent: -1, Body: []Line{{Tone: Strong, Text: step}}}
	times := []string{fmt.Sprintf(t.Elapsed, clock(elapsed))}
	if o.Rate > 0 {
		times = append(times, fmt.Sprintf(t.Rate, size(int64(min(o.Rate, 1e18)))))
	}
	if o.Remaining > 0 {
		times = append(times, fmt.Sprintf(t.Remaining, clock(o.Remaining)))
	}
	if o.Total > 0 {
		f := fraction(o.Done, o.Total)
		p.Percent = int(f * 100)
		p.Bars = append(p.Bars, Bar{t.BarAll, f, size(o.Done) + " / " + size(o.Total)})
	}
	if o.StepTotal > 0 {
		p.Bars = append(p.Bars, Bar{or(o.Volume, t.BarVolume), fraction(o.StepDone, o.StepTotal),
			size(o.StepDone) + " / " + size(o.StepTotal)})
	}
	p.Foot = append(p.Foot, Line{Text: strings.Join(times, ", ")}, Line{})
	for _, l := range m.notes(o, 2) { // the page of the result has them in full
		p.Foot = append(p.Foot, Line{Tone: l.Tone, Text: Cut(Clean(l.Text), shortLine)})
	}
	p.Foot = append(p.Foot, Line{Tone: Dim, Text: t.Command}, Line{Tone: Dim, Text: "  " + job.Quote(o.Argv)})
	p.Short = strings.Join(append([]string{step}, times...), ", ")
	if p.Percent >= 0 {
		p.Short = fmt.Sprintf("%3d %%  %s", p.Percent, p.Short)
	}
	return p
}

// notes lists the last warnings of a job, at most n of them.
func (m *Menu) notes(o *job.Outcome, n int) []Line {
	if len(o.Warnings) == 0 {
		return nil
	}
	out := []Line{{Tone: Warn, Text: m.Text.Warnings}}
	for _, w := range o.Warnings[max(len(o.Warnings)-n, 0):] {
		out = append(out, Line{Tone: Warn, Text: "- " + w})
	}
	if more := len(o.Warnings) - n; more > 0 {
		out = append(out, Line{Tone: Warn, Text: fmt.Sprintf(m.Text.MoreWarnings, more)})
	}
	return append(out, Line{})
}

// result puts the end of a job into a title and a text.
func (m *Menu) result(v verb, o *job.Outcome) (string, []Line) {
	t := m.Text
	title := v.failed
	switch {
	case o.OK():
		title = v.done
	case o.Damaged():
		title = fmt.Sprintf(t.DamagedDone, v.done)
	}
	body := append(m.verdict(v, o), Line{})
	body = append(body, m.found(o)...)
	body = append(body, m.notes(o, 20)...)
	if !o.OK() {
		body = append(body, said(t, o)...)
	}
	body = append(body, Line{Tone: Dim, Text: t.Command}, Line{Text: "  " + job.Quote(o.Argv)})
	if o.Log != "" {
		body = append(body, Line{Tone: Dim, Text: fmt.Sprintf(t.LogAt, o.Log)})
	}
	if o.Kept != "" {
		body = append(body, Line{Tone: Dim, Text: o.Kept})
	}
	return title, body
}

// found lists what a check found of each volume, and why one cannot be restored.
func (m *Menu) found(o *job.Outcome) []Line {
	t := m.Text
	var r checkReport
	if len(o.Report) == 0 || json.Unmarshal(o.Report, &r) != nil || len(r.Volumes)+len(r.Problems) == 0 {
		return nil
	}
	var out []Line
	for _, p := range r.Problems {
		out = append(out, Line{Tone: Bad, Text: p})
	}
	for _, v := range r.Volumes {
		line := Line{Tone: Good, Text: v.Name + ": " + t.VolumeGood}
		if !v.Restorable {
			line = Line{Tone: Bad, Text: v.Name + ": " + t.VolumeBad}
		} else if v.Method == "absent" {
			line = Line{Text: v.Name + ": " + t.VolumeAbsent}
		}
		out = append(out, line)
		for _, p := range v.Problems {
			out = append(out, Line{Tone: Bad, Text: "- " + p})
		}
		for _, n := range v.Notes {
			out = append(out, Line{Tone: Warn, Text: "- " + n})
		}
	}
	return append(out, Line{})
}

// verdict says in plain words how a job ended, and what to do next.
func (m *Menu) verdict(v verb, o *job.Outcome) []Line {
	t := m.Text
	tone, next := Bad, ""
	var text string
	if o.Result != nil {
		text, next = o.Result.Text, o.Result.Next
	}
	switch {
	case o.OK():
		tone, text = Good, or(text, v.text)
	case o.Err != nil:
		text = fmt.Sprintf(t.NoStart, o.Err)
	case o.Stopped:
		text, next = stoppedText(t, text), or(next, t.StoppedHow)
	case o.Damaged():
		tone, text = Warn, or(text, m.ended(o.Exit))
	case o.Result == nil:
		text = m.ended(o.Exit) + " " + t.NoResult
	case o.Result.OK: // and yet it ended with another status
		text = m.ended(o.Exit)
	default:
		text = or(text, m.ended(o.Exit))
	}
	body := []Line{{Tone: tone, Text: text}}
	if next != "" {
		body = append(body, Line{Text: fmt.Sprintf(t.Next, next)})
	}
	return body
}

// stoppedText says that somebody stopped the job, and what the job says of that
// beyond that it was cancelled.
func stoppedText(t *Text, text string) string {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "cancelled"), ": ")
	if text == "" {
		return t.Stopped
	}
	return strings.TrimSuffix(t.Stopped, ".") + ": " + text
}

// said lists the last lines that a failed job printed beside its events.
func said(t *Text, o *job.Outcome) []Line {
	const last = 8
	if len(o.Output) == 0 {
		return nil
	}
	out := []Line{{Tone: Dim, Text: t.Output}}
	for _, s := range o.Output[max(len(o.Output)-last, 0):] {
		out = append(out, Line{Text: "  " + s})
	}
	return append(out, Line{})
}

func (m *Menu) logOutcome(o *job.Outcome) {
	how := "failed"
	switch {
	case o.OK():
		how = "done"
	case o.Damaged():
		how = "damaged"
	case o.Stopped:
		how = "stopped"
	}
	text := m.ended(o.Exit)
	if o.Err != nil {
		text = o.Err.Error()
	} else if o.Result != nil && o.Result.Text != "" {
		text = o.Result.Text
	}
	m.log("result %s: %s", how, text)
}
