package main

import (
	"os"
	"strings"
	"testing"
)

// The README shows every command's usage as the command itself prints it, and
// no command that is not there.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, cmd := range commands() {
		known[cmd.name] = true
		if !strings.Contains(string(text), "    "+cmd.usage+"\n") {
			t.Errorf("README.md lacks the usage line %q", cmd.usage)
		}
		var help strings.Builder
		explain(&help, cmd.name)
		for _, want := range []string{cmd.summary, "Usage: " + cmd.usage} {
			if !strings.Contains(help.String(), want) {
				t.Errorf("doppel %s --help lacks %q", cmd.name, want)
			}
		}
	}
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "    doppel "); ok && !known[strings.Fields(rest)[0]] {
			t.Errorf("README.md shows a command that does not exist: %q", line)
		}
	}
}
