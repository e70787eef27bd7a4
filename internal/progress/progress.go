// Package progress holds the events that workers report. The same events are
// the lines that every command prints under --json. Workers never print.
package progress

// Kind names an event.
type Kind string

// The kinds of event, in the order in which a job gives them.
const (
	Plan    Kind = "plan"     // once, before anything is written: Event.Plan
	Start   Kind = "start"    // once: Total is the bytes of the whole job
	Step    Kind = "step"     // a step begins: Text, Volume, StepTotal
	Advance Kind = "progress" // now and then: Done, Total, Rate, Remaining
	Warning Kind = "warning"  // Text says what and what it means
	Result  Kind = "result"   // once, last: OK, Status, Text, Next
)

// Event is one thing that happened in a job.
type Event struct {
	Kind      Kind    `json:"event"`
	Text      string  `json:"text,omitempty"`       // one sentence for a person
	Volume    string  `json:"volume,omitempty"`     // name of the volume concerned, such as sda2
	StepDone  int64   `json:"step_done,omitempty"`  // bytes of this step
	StepTotal int64   `json:"step_total,omitempty"` // bytes of this step
	Done      int64   `json:"done,omitempty"`       // bytes of the whole job
	Total     int64   `json:"total,omitempty"`      // bytes of the whole job
	Rate      float64 `json:"rate,omitempty"`       // bytes per second, smoothed
	Remaining float64 `json:"remaining,omitempty"`  // seconds; 0 while unknown
	Plan      any     `json:"plan,omitempty"`
	Report    any     `json:"report,omitempty"` // Result of verify: what was found, volume by volume
	OK        bool    `json:"ok,omitempty"`     // Result: the job did all that it was asked for
	Status    int     `json:"status,omitempty"` // Result: exit status of the command
	Next      string  `json:"next,omitempty"`   // Result: what the user can do next
	Then      string  `json:"then,omitempty"`   // Result of run: what the job file wants to follow
}

// Func receives events. It may be nil. It is called from one goroutine at a time.
type Func func(Event)

// Report calls f with e unless f is nil.
func (f Func) Report(e Event) {
	if f != nil {
		f(e)
	}
}
