package tui

import (
	"strings"
	"testing"

	"doppel.live/internal/tui/job"
)

const (
	rescuePlan    = `{"event":"plan","plan":{"image":"lab2","place":"/images","rescue":true,"steps":[{"volume":"sdb","method":"raw","bytes":14000000,"reason":"its partition table cannot be read"}],"bytes":14000000,"stored":9000000,"spool":14500000,"free":99000000}}`
	rescueDamaged = `{"event":"result","status":4,"text":"image lab2 is saved in /images with damage: 2 files are damaged","next":"look at them"}`
)

// The failing disk is listed first; what was saved with damage is never called
// saved without that word.
func TestRescue(t *testing.T) {
	r := machine()
	r.replies["doppel save --rescue /dev/sdb lab2 --plan"] = reply{lines: []string{rescuePlan}}
	r.replies["doppel save --rescue /dev/sdb lab2 --json"] = reply{lines: []string{rescueDamaged}, exit: job.Exit{Status: 4}}
	s := play(t, r, move{"What would", "Rescue"}, move{"which disk fails", "FAILING"}, move{"be called", "lab2"}, move{"plan", "Start"},
		move{"Saved: Done with damage", "Continue"})
	r.want(t, "doppel save --rescue /dev/sdb lab2 --json")
	s.holds("12 bad sectors", "14.5 MB", "its partition table cannot be read", "2 files are damaged", "Next: look at them")
	for _, page := range s.seen {
		if i, j := strings.Index(page, "FAILING |"), strings.Index(page, "good |"); i >= 0 && j >= 0 && i > j {
			t.Errorf("the failing disk is not the first:\n%s", page)
		}
	}
}

func TestRescueGoesOn(t *testing.T) {
	r := machine()
	r.replies["doppel images"] = reply{lines: []string{`{"images":[{"name":"lab2.rescue","created":"2026-01-02T03:04:05Z","complete":false},{"name":"lab","complete":true}]}`}}
	r.replies["doppel save --rescue --resume /dev/sda lab2 --plan"] = reply{lines: []string{rescuePlan}}
	r.replies["doppel save --rescue --resume /dev/sda lab2 --json"] = reply{lines: []string{resultOK}}
	play(t, r, move{"What would", "Rescue"}, move{"which disk fails", "good"}, move{"new, or go on", "Go on with lab2"},
		move{"which partitions", "The whole disk"}, move{"plan", "<"}, move{"which partitions", "The whole disk"}, move{"plan", "Start"},
		move{"Saved: Done", "Continue"})
	r.want(t, "doppel save --rescue --resume /dev/sda lab2 --json")
}

// A rescue whose disk is gone is finished without it.
func TestRescueFinishes(t *testing.T) {
	r := machine()
	r.replies["doppel images"] = reply{lines: []string{`{"images":[{"name":"lab2.rescue","created":"2026-01-02T03:04:05Z","complete":false},{"name":"lab","complete":true}]}`}}
	r.replies["doppel save --rescue --finish lab2 --plan"] = reply{lines: []string{rescuePlan}}
	r.replies["doppel save --rescue --finish lab2 --json"] = reply{lines: []string{rescueDamaged}, exit: job.Exit{Status: 4}}
	s := play(t, r, move{"What would", "Rescue"}, move{"which disk fails", "Finish lab2"}, move{"plan", "<"}, move{"which disk fails", "Finish lab2"},
		move{"plan", "Start"}, move{"Saved: Done with damage", "Continue"})
	r.want(t, "doppel save --rescue --finish lab2 --json")
	s.holds("What was read is kept")
}

// A save that was interrupted can be gone on with; other images that are not
// complete are not offered.
func TestSaveGoesOn(t *testing.T) {
	r := machine()
	r.replies["doppel images"] = reply{lines: []string{`{"images":[{"name":"lab2","created":"2026-01-02T03:04:05Z","begun":true},{"name":"cut"},{"name":"x.rescue"},{"name":"lab","complete":true}]}`}}
	r.replies["doppel save --resume /dev/sda lab2 --plan"] = reply{lines: []string{rescuePlan}}
	r.replies["doppel save --resume /dev/sda lab2 --json"] = reply{lines: []string{resultOK}}
	s := play(t, r, move{"What would", "Save"}, move{"which disk", "/dev/sda"}, move{"new, or go on", "Go on with lab2"},
		move{"which partitions", "The whole disk"}, move{"plan", "Start"}, move{"Saved: Done", "Continue"})
	r.want(t, "doppel save --resume /dev/sda lab2 --json")
	for _, page := range s.seen {
		if strings.Contains(page, "go on with cut") || strings.Contains(page, "Go on with x") {
			t.Errorf("offers what it cannot go on with:\n%s", page)
		}
	}
}
