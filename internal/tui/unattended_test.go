package tui

import (
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/tui/job"
)

// What a job file says of what follows holds unless the boot says something.
func TestRunJobFile(t *testing.T) {
	good := reply{lines: []string{`{"event":"step","text":"step 1 of 1"}`, `{"event":"result","ok":true,"text":"job night is done","then":"poweroff"}`}}
	bad := reply{lines: []string{`{"event":"result","status":1,"text":"job night failed at step 1","then":"poweroff"}`}, exit: job.Exit{Status: 1}}
	const run = "doppel run boot:night.json --json"
	for name, tt := range map[string]struct {
		then    Then
		reply   reply
		moves   []move
		jobs    []string
		outcome string
		follows string
	}{
		"as the file says": {ThenEnd, good, []move{{"Done", ""}}, []string{run, "poweroff"}, "true job night is done", ""},
		"the boot says":    {ThenMenu, good, []move{{"Done", "Continue"}}, []string{run}, "true job night is done", ""},
		"commands follow":  {ThenNone, good, []move{{"Done", ""}}, []string{run}, "true job night is done", "[poweroff]"},
		"nothing follows":  {ThenNone, reply{lines: []string{`{"event":"result","ok":true,"text":"job night is done"}`}}, []move{{"Done", ""}}, []string{run}, "true job night is done", "[]"},
		"failed: stays on": {ThenEnd, bad, []move{{"Failed", "Continue"}}, []string{run}, "false job night failed at step 1", ""},
		"an end not known": {ThenEnd, reply{lines: []string{`{"event":"result","ok":true,"then":"explode"}`}}, []move{{"Done", ""}}, []string{run}, "true ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := machine()
			r.replies = map[string]reply{"place status": r.replies["place status"], "doppel run": tt.reply, "poweroff": {}}
			s := &script{t: t, moves: tt.moves}
			m := menuOf(t, s, r)
			var outcome, follows string
			m.Follows = func(then Then) { follows = "[" + string(then) + "]" }
			m.Outcome = func(ok bool, text string) { outcome = map[bool]string{true: "true ", false: "false "}[ok] + text }
			if _, err := m.Run("run boot:night.json", tt.then); err != nil || len(s.moves) > 0 {
				t.Errorf("%v; not seen: %v", err, s.moves)
			}
			if got := r.jobs(); !slices.Equal(got, tt.jobs) {
				t.Errorf("ran %q, want %q", got, tt.jobs)
			}
			if !strings.HasPrefix(outcome, tt.outcome) || follows != tt.follows {
				t.Errorf("outcome %q, want %q; follows %q, want %q", outcome, tt.outcome, follows, tt.follows)
			}
		})
	}
}

// The log of a job is put beside the images, and the page says so.
func TestKeepLog(t *testing.T) {
	r := machine()
	r.replies["doppel logs keep"] = reply{lines: []string{`{"event":"result","ok":true,"text":"kept in /images/doppel-logs/x.log"}`}}
	s := &script{t: t, moves: []move{{"Checked", ""}}}
	m := menuOf(t, s, r)
	m.KeepLogs = true
	if ok, err := m.Run("verify lab", ThenEnd); !ok || err != nil {
		t.Error(ok, err)
	}
	got := r.jobs()
	if len(got) != 2 || !strings.HasPrefix(got[1], "doppel logs keep "+m.LogDir+"/verify-2026") {
		t.Errorf("ran %q", got)
	}
	s.holds("kept in /images/doppel-logs/x.log")
	m.Dialogue = &script{t: t, moves: []move{{"Done", ""}}}
	if _, err := m.Run("disks", ThenEnd); err != nil || len(r.jobs()) != 2 {
		t.Errorf("a question was kept: %v, %q", err, r.jobs())
	}
}

func TestNews(t *testing.T) {
	r := machine()
	s := &script{t: t, moves: []move{{"What would", "Shell"}}}
	m := menuOf(t, s, r)
	n := 0
	m.News = func() []Line { n++; return []Line{{Text: "news " + strings.Repeat("x", n)}} }
	_ = m.Main()
	s.holds("news x", "news xx")
}
