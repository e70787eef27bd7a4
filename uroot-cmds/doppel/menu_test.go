package main

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/tui"
)

var (
	usedOption  = regexp.MustCompile(`--[a-z][a-z-]*`)
	toldOption  = regexp.MustCompile(`(?m)^  (--[a-z][a-z-]*)( [A-Z]+)? `)
	toldDefault = regexp.MustCompile(`\(default: (\w+)`)
)

// menuJobs are the commands whose options the menu's expert mode shows.
var menuJobs = []string{"save", "restore", "clone", "verify", "convert"}

// The menu's expert mode shows every option of a command, or says that its own
// pages set it: an option that is added here and not there fails.
func TestMenuKnowsEveryOption(t *testing.T) {
	text := tui.English()
	for _, cmd := range commands() {
		if !slices.Contains(menuJobs, cmd.name) {
			continue
		}
		var shown []string
		for _, o := range text.Options(cmd.name) {
			shown = append(shown, o.Name)
			if o.Sentence == "" {
				t.Errorf("doppel %s: the menu has no sentence for %s", cmd.name, o.Name)
			}
		}
		own := tui.Own(cmd.name)
		var told []string
		for _, m := range toldOption.FindAllStringSubmatch(cmd.help, -1) {
			told = append(told, m[1])
		}
		for _, name := range append(usedOption.FindAllString(cmd.usage, -1), told...) {
			if !slices.Contains(shown, name) && !slices.Contains(own, name) {
				t.Errorf("doppel %s has %s, and the menu does not know it", cmd.name, name)
			}
		}
		for _, name := range shown {
			if !strings.Contains(cmd.usage, name) || !slices.Contains(told, name) {
				t.Errorf("the menu shows %s, which doppel %s does not tell of", name, cmd.name)
			}
			if slices.Contains(own, name) {
				t.Errorf("doppel %s: %s is shown and set by other pages too", cmd.name, name)
			}
		}
	}
}

// Every value that the menu offers is one that the command takes, what it
// calls the default is what the help says, and an option without a value has
// none there.
func TestMenuOffersWhatIsTaken(t *testing.T) {
	text := tui.English()
	typed := map[string][]string{"--split": {"none", "2M", "2000M", "4G", "1T"}, "--except": {"sda3,sda5"}, "--retries": {"0", "1000"}, "--disk": {"sda"}}
	for _, cmd := range commands() {
		for _, o := range text.Options(cmd.name) {
			line := regexp.MustCompile(`(?s)\n  ` + o.Name + `( [A-Z]+)? .*?(\n  --|$)`).FindStringSubmatch(cmd.help)
			if line == nil {
				t.Errorf("doppel %s does not tell of %s", cmd.name, o.Name)
				continue
			}
			toggle := slices.Equal(o.Choices, []string{"no", "yes"})
			if toggle != (line[1] == "") {
				t.Errorf("doppel %s: whether %s takes a value is told in two ways", cmd.name, o.Name)
			}
			if d := toldDefault.FindStringSubmatch(line[0]); d != nil && d[1] != o.Default && (d[1] != "none" || o.Default != "") {
				t.Errorf("doppel %s: the default of %s is %q, and the menu says %q", cmd.name, o.Name, d[1], o.Default)
			}
			values := append(slices.Clone(o.Choices), typed[o.Name]...)
			if len(values) == 0 {
				t.Errorf("no value to try for %s", o.Name)
			}
			for _, value := range values {
				if o.Check != nil && o.Check(value) != "" {
					t.Errorf("the menu does not take %s %s", o.Name, value)
				}
				words := []string{o.Name, value}
				if toggle {
					words = words[:1]
				}
				if o.Name == "--retries" {
					words = append(words, "--rescue")
				}
				args := append([]string{cmd.name, "/no/such/source", "/no/such/target/of"}, words...)
				c := &console{in: bufio.NewReader(strings.NewReader("")), out: io.Discard, err: io.Discard}
				if got := run(context.Background(), args, c); got == misused {
					t.Errorf("doppel %s does not take %s", cmd.name, strings.Join(words, " "))
				}
			}
		}
	}
}
