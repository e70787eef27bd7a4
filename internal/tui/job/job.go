// Package job runs the commands of the menu and keeps account of what they
// say: the events of a job, its warnings, its result. It knows nothing of
// pages, and it never decides what to run.
package job

import (
	"bytes"
	"context"
	"encoding/json"
	"math"

	"doppel.live/internal/progress"
)

// Line is one line that a command printed, without its end.
type Line struct {
	Text   []byte
	Stderr bool
}

// Exit is how a command ended.
type Exit struct {
	Status int    // exit status; -1 when it was killed
	Signal string // that killed it
}

// Runner runs commands.
type Runner interface {
	// Run runs a command without a terminal and calls line with every line it
	// prints, from one goroutine at a time. When ctx ends the command is asked
	// to stop. The error says why it could not be started.
	Run(ctx context.Context, argv []string, line func(Line)) (Exit, error)
	// Feed is Run for a command that reads its standard input, and gets stdin
	// there: the way for secrets, which no command line may hold.
	Feed(ctx context.Context, argv []string, stdin []byte, line func(Line)) (Exit, error)
	// Attach runs a command on the terminal.
	Attach(argv []string) error
}

// What is kept of the warnings and of other output.
const (
	maxWarnings = 500
	maxOutput   = 100
	maxText     = 2000 // bytes of one of them
)

// State is what a job has said so far.
type State struct {
	Step      string // what it is doing, one sentence
	Volume    string // and with which volume
	StepDone  int64  // bytes
	StepTotal int64  // bytes, 0 unknown
	Done      int64  // bytes
	Total     int64  // bytes, 0 unknown
	Rate      float64
	Remaining float64 // seconds, 0 unknown
	Warnings  []string
	Output    []string // the last lines that were not events
	Plan      json.RawMessage
	Report    json.RawMessage // of the result
	Result    *progress.Event
}

// Take accounts for a line. Lines that are not events are kept as output.
func (s *State) Take(l Line) {
	e, plan, report, ok := parse(l.Text)
	if !ok || l.Stderr {
		s.output(l.Text)
		return
	}
	switch e.Kind {
	case progress.Plan:
		s.Plan = plan
	case progress.Start:
		s.Total = max(e.Total, 0)
	case progress.Step:
		s.Step, s.Volume = e.Text, e.Volume
		s.StepDone, s.StepTotal = 0, max(e.StepTotal, 0)
	case progress.Advance:
		s.advance(e)
	case progress.Warning:
		if len(s.Warnings) < maxWarnings {
			s.Warnings = append(s.Warnings, shorten(e.Text))
		}
	case progress.Result:
		s.Result, s.Report = &e, report
	default:
		s.output(l.Text)
	}
}

func (s *State) advance(e progress.Event) {
	s.Done = max(e.Done, 0)
	if e.Total > 0 {
		s.Total = e.Total
	}
	s.StepDone = max(e.StepDone, 0)
	if e.StepTotal > 0 {
		s.StepTotal = e.StepTotal
	}
	if e.Volume != "" {
		s.Volume = e.Volume
	}
	if e.Text != "" {
		s.Step = e.Text
	}
	s.Rate, s.Remaining = math.Max(e.Rate, 0), math.Max(e.Remaining, 0)
}

func (s *State) output(text []byte) {
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return
	}
	if s.Output = append(s.Output, shorten(string(text))); len(s.Output) > maxOutput {
		s.Output = append([]string(nil), s.Output[len(s.Output)-maxOutput:]...)
	}
}

func shorten(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

// parse reads one line as an event.
func parse(line []byte) (e progress.Event, plan, report json.RawMessage, ok bool) {
	if line = bytes.TrimSpace(line); len(line) == 0 || line[0] != '{' {
		return e, nil, nil, false
	}
	var v struct {
		progress.Event
		Plan   json.RawMessage `json:"plan"` // these stand before those of Event
		Report json.RawMessage `json:"report"`
	}
	if json.Unmarshal(line, &v) != nil || v.Kind == "" {
		return e, nil, nil, false
	}
	return v.Event, v.Plan, v.Report, true
}

// Outcome is a job that has ended.
type Outcome struct {
	State
	Argv    []string
	Exit    Exit
	Err     error  // it could not be started
	Stopped bool   // the person stopped it
	Log     string // file with all it said, "" none
	Kept    string // where else that is, a sentence; "" nowhere
}

// OK tells whether the job did all that it was asked for. What a job says of
// itself counts only together with its exit status: one without the other is a
// job that went wrong.
func (o *Outcome) OK() bool {
	return o.Err == nil && o.Exit.Status == 0 && o.Result != nil && o.Result.OK
}

// Damaged tells whether it did so except for what could not be read.
func (o *Outcome) Damaged() bool {
	return o.Err == nil && o.Exit.Status == 4 && o.Result != nil
}
