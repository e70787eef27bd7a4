package progress

import (
	"sync"
	"time"
)

// How often a meter reports, and how quickly its rate follows a change.
const (
	interval = 200 * time.Millisecond
	halfLife = 4 * time.Second
)

// Meter counts the bytes of a job and reports them now and then, with a
// smoothed rate and the time that remains. Its methods may be called from
// several goroutines; the events come one at a time.
type Meter struct {
	Report Func
	Now    func() time.Time // nil: time.Now

	mu       sync.Mutex
	done     int64
	total    int64
	step     Event
	rate     float64 // bytes per second
	last     time.Time
	lastDone int64
}

// Start begins the job of total bytes.
func (m *Meter) Start(text string, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total, m.last = total, m.now()
	m.Report.Report(Event{Kind: Start, Text: text, Total: total})
}

// Step begins a step of the job, with the bytes that it will take.
func (m *Meter) Step(text, volume string, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.step = Event{Text: text, Volume: volume, StepTotal: total}
	m.Report.Report(Event{Kind: Step, Text: text, Volume: volume, StepTotal: total, Done: m.done, Total: m.total})
}

// Add counts n bytes as done.
func (m *Meter) Add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.step.StepDone += n
	now := m.now()
	if now.Sub(m.last) < interval && m.done < m.total {
		return
	}
	m.measure(now)
	e := Event{
		Kind: Advance, Volume: m.step.Volume, StepDone: m.step.StepDone, StepTotal: m.step.StepTotal,
		Done: m.done, Total: m.total, Rate: m.rate,
	}
	if m.rate > 0 && m.total > m.done {
		e.Remaining = float64(m.total-m.done) / m.rate
	}
	m.Report.Report(e)
}

// measure moves the rate towards that of the time since the last event: half
// the way in one halfLife.
func (m *Meter) measure(now time.Time) {
	elapsed := now.Sub(m.last)
	if elapsed <= 0 {
		return
	}
	current := float64(m.done-m.lastDone) / elapsed.Seconds()
	if m.rate == 0 {
		m.rate = current
	} else {
		weight := min(1, elapsed.Seconds()/halfLife.Seconds()/1.44)
		m.rate += (current - m.rate) * weight
	}
	m.last, m.lastDone = now, m.done
}

// Warn reports something that the user must know and that does not end the job.
func (m *Meter) Warn(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Report.Report(Event{Kind: Warning, Text: text, Volume: m.step.Volume})
}

// Done is how many bytes were counted.
func (m *Meter) Done() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done
}

func (m *Meter) now() time.Time {
	if m.Now != nil {
		return m.Now()
	}
	return time.Now()
}
