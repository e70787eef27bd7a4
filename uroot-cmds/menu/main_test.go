package main

import (
	"io"
	"testing"

	"doppel.live/internal/tui"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want options
		ok   bool
	}{
		"nothing":      {nil, options{}, true},
		"plain":        {[]string{"--plain"}, options{plain: true}, true},
		"job":          {[]string{"--run", "restore a b --yes", "--then", "poweroff"}, options{words: "restore a b --yes", given: true, then: tui.ThenPowerOff}, true},
		"empty job":    {[]string{"--run", ""}, options{given: true}, true},
		"then alone":   {[]string{"--then", "reboot"}, options{}, false},
		"unknown then": {[]string{"--run", "x", "--then", "explode"}, options{}, false},
		"argument":     {[]string{"save"}, options{}, false},
		"unknown flag": {[]string{"--fast"}, options{}, false},
	} {
		got, err := parse(c.args, io.Discard)
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
