package progress

import (
	"math"
	"testing"
	"time"
)

// A job at 100 MB/s that slows down to 50 MB/s half way.
func TestMeterSmoothsRateAndCountsDown(t *testing.T) {
	now := time.Unix(0, 0)
	var events []Event
	m := &Meter{Report: func(e Event) { events = append(events, e) }, Now: func() time.Time { return now }}
	const total, piece = 2000 << 20, 10 << 20
	m.Start("job", total)
	m.Step("copy sda1", "sda1", total)
	for done := 0; done < total; done += piece {
		wait := 100 * time.Millisecond
		if done >= total/2 {
			wait *= 2
		}
		now = now.Add(wait)
		m.Add(piece)
	}
	last := events[len(events)-1]
	if last.Kind != Advance || last.Done != total || last.StepDone != total || last.Remaining != 0 || last.Volume != "sda1" {
		t.Errorf("last event: %+v", last)
	}
	if rate := float64(50 << 20); math.Abs(last.Rate-rate) > rate/10 {
		t.Errorf("rate at the end: %f", last.Rate)
	}
	var previous int64
	for i, e := range events[2:] {
		if e.Done <= previous {
			t.Errorf("event %d goes back from %d to %d", i, previous, e.Done)
		}
		previous = e.Done
	}
	if n := len(events); n < 60 || n > 160 {
		t.Errorf("%d events in 30 seconds", n)
	}
	half := events[len(events)/4]
	if want := float64(total-half.Done) / half.Rate; math.Abs(half.Remaining-want) > 0.01 {
		t.Errorf("remaining: %f, want %f", half.Remaining, want)
	}
}

func TestMeterWithoutListener(t *testing.T) {
	var m Meter
	m.Start("job", 0)
	m.Add(5)
	m.Warn("something")
	if m.Done() != 5 {
		t.Error(m.Done())
	}
}
