package tui

import "testing"

// What a stopped job says is told without saying twice that it was stopped.
func TestStoppedText(t *testing.T) {
	for said, want := range map[string]string{
		"": "You stopped the job.", "cancelled": "You stopped the job.",
		"cancelled: image lab is not saved yet": "You stopped the job: image lab is not saved yet",
		"no room":                               "You stopped the job: no room",
	} {
		if got := stoppedText(English(), said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}
