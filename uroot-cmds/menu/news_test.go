package main

import (
	"testing"

	"doppel.live/internal/tui"
)

func TestNews(t *testing.T) {
	for text, want := range map[string]tui.Line{
		"running: menu --run x\n":   {Tone: tui.Strong, Text: "An unattended job runs: menu --run x"},
		"done: image a: restored\n": {Tone: tui.Good, Text: "The unattended job is done: image a: restored"},
		"failed: no route\n":        {Tone: tui.Bad, Text: "The unattended job failed: no route"},
	} {
		if got := outcomeLines(text); len(got) != 1 || got[0].Text != want.Text || got[0].Tone != want.Tone {
			t.Errorf("%q: %+v", text, got)
		}
	}
	for _, text := range []string{"", "nonsense", "dancing: x"} {
		if got := outcomeLines(text); got != nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if got := sshLine("SHA256:x", []string{"10.0.0.2", "fd00::2"}); got.Text != "ssh root@10.0.0.2, root@fd00::2, host key SHA256:x" {
		t.Errorf("%+v", got)
	}
}
