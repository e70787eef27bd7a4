package tui

import (
	"strings"
	"testing"
)

// In expert mode each job has a page with its options; what is changed there,
// and nothing else, stands on the command line of the plan and of the job.
func TestExpertSave(t *testing.T) {
	r := machine()
	const argv = "doppel save /dev/sda lab2 --except sda3,sda5 --compress max --split 2G"
	r.replies[argv+" --plan"] = reply{lines: []string{savePlan}}
	s := play(t, r, with([]move{{"What would", "Expert mode: off"}}, with(saveMoves[:4],
		move{"Options of save", "--compress"}, move{"Options of save", "max"}, // a choice of several
		move{"Options of save", "--split"}, move{"Options of save", "1K"}, move{"Options of save", "2G"},
		move{"Options of save", "--except"}, move{"Options of save", "-rf;"}, move{"Options of save", "sda3,sda5"},
		move{"Options of save", "Go on"}, move{"this is the plan", "<"},
		move{"Options of save", "Go on"}, move{"this is the plan", "Start"}, move{"Saved: Done", "Continue"},
		move{"What would", "Expert mode: on"})...)...)
	r.want(t, argv+" --json")
	s.holds("  "+argv+" --json", "problem: A size of at least 2M", "problem: Names of partitions", "--compress | default | default", "--compress | max | default")
	for _, page := range s.seen {
		if strings.Contains(page, "--retries") {
			t.Errorf("--retries is offered though no rescue was chosen:\n%s", page)
		}
	}
}

func TestExpertRestore(t *testing.T) {
	r := machine()
	const argv = "doppel restore lab /dev/sdb --keep-table --delta"
	r.replies[argv+" --plan"] = reply{lines: []string{restorePlan}}
	play(t, r, with([]move{{"What would", "Expert"}}, with(restoreMoves[:4],
		move{"Options of restore", "--delta"}, move{"Options of restore", "--verify"}, move{"Options of restore", "--keep-table"},
		move{"Options of restore", "--verify"}, // and off again
		move{"Options of restore", "Go on"}, move{"this is the plan", "Start"}, move{"are you sure", "1234"}, move{"Restored: Done", "Continue"})...)...)
	r.want(t, argv+" --consent c0ffee --json")
}

func TestExpertOthers(t *testing.T) {
	r := machine()
	r.replies["doppel clone /dev/sda /dev/sdb --except sda1 --plan"] = reply{lines: []string{clonePlan}}
	r.replies["doppel save --rescue /dev/sdb lab2 --retries 7 --plan"] = reply{lines: []string{rescuePlan}}
	r.replies["doppel save --rescue /dev/sdb lab2 --retries 7 --json"] = reply{lines: []string{resultOK}}
	r.replies["doppel clone /dev/sda /dev/sdb --except sda1 --consent"] = reply{lines: []string{resultOK}}
	r.replies["doppel convert"] = reply{lines: []string{resultOK}}
	play(t, r, move{"What would", "Expert"},
		move{"What would", "Clone"}, move{"shall be copied", "/dev/sda"}, move{"onto which disk", "/dev/sdb"}, move{"Options of clone", "--except"},
		move{"Options of clone", "sda1"}, move{"Options of clone", "Go on"}, move{"this is the plan", "Start"}, move{"are you sure", "1234"}, move{"Cloned: Done", "Continue"},
		move{"What would", "Rescue"}, move{"which disk fails", "FAILING"}, move{"be called", "lab2"}, move{"Options of save", "--retries"},
		move{"Options of save", "1001"}, move{"Options of save", "7"}, move{"Options of save", "Go on"}, move{"plan", "Start"}, move{"Saved: Done", "Continue"},
		move{"What would", "Check"}, move{"which image", "lab"}, move{"Options of verify", "<"}, move{"which image", "lab"}, move{"Options of verify", "Go on"}, move{"Checked", "Continue"},
		move{"What would", "Rename"}, move{"which one", "lab"}, move{"Image lab", "Make a raw"}, move{"Options of convert", "--verify"}, move{"Options of convert", "Go on"}, move{"Done", "Continue"},
		move{"which one", "lab"}, move{"Image lab", "Write it anew"}, move{"be called", "lab3"}, move{"Options of convert", "--compress"}, move{"Options of convert", "none"},
		move{"Options of convert", "Go on"}, move{"Done", "Continue"}, move{"which one", "<"})
	r.want(t, "doppel clone /dev/sda /dev/sdb --except sda1 --consent c10ne --json", "doppel save --rescue /dev/sdb lab2 --retries 7 --json",
		"doppel verify lab --json", "doppel convert lab /images/lab.raw --verify --json", "doppel convert lab lab3 --compress none --json")
}

// Beginners see none of it, and what is at its default is not on the line.
func TestBeginner(t *testing.T) {
	r := machine()
	r.replies["doppel save /dev/sda lab2 --plan"] = reply{lines: []string{savePlan}}
	s := play(t, r, with([]move{{"What would", "Expert mode: off"}, {"What would", "Expert mode: on"}},
		with(saveMoves, move{"Saved: Done", "Continue"})...)...)
	r.want(t, "doppel save /dev/sda lab2 --json")
	for _, page := range s.seen {
		if strings.Contains(page, "Options of") {
			t.Errorf("a beginner sees\n%s", page)
		}
	}
}

func TestExpertIsShown(t *testing.T) {
	m := menuOf(t, &script{t: t}, machine())
	m.look()
	if strings.Contains(m.status, "Expert") {
		t.Errorf("at first: %s", m.status)
	}
	_ = m.toggleExpert()
	if !strings.Contains(m.status, "Expert") || !strings.Contains(m.status, "99.0 MB") {
		t.Errorf("in expert mode: %s", m.status)
	}
	m.set(&place{Spec: "smb://LAB;anna@a-server-with-a-name.in-a-domain.example.org/share/folder", Free: 1, ReadOnly: true})
	if w := Width(m.status); w > statusWidth || !strings.HasSuffix(m.status, ", 1 bytes free, read only") {
		t.Errorf("%d cells: %s", w, m.status)
	}
}
