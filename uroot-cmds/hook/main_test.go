package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--when", "before", "--job", "restore a b", "--", "sh", "-c", `echo "$DOPPEL_WHEN/$DOPPEL_JOB/$DOPPEL_STATUS"; exit 3`}, 3, "before/restore a b/0\n"},
		{[]string{"--when", "after", "--", "echo", "a  b", "$HOME", "--when"}, 0, "a  b $HOME --when\n"},
		{[]string{"--when", "after", "--", "sh", "-c", "kill -9 $$"}, 137, ""},
		{[]string{"--when", "after", "--", "no-such-program"}, 127, "no-such-program"},
		{[]string{"--when", "after", "--", "sh", "-c", "sleep 60 & exit 4"}, 4, ""},
		{[]string{"--when", "now", "--", "true"}, 2, "usage"},
		{[]string{"--when", "after"}, 2, "usage"},
	} {
		var out bytes.Buffer
		if got := run(tt.args, nil, &out, &out, log); got != tt.status || !strings.Contains(out.String(), tt.says) {
			t.Errorf("%q: status %d, %q", tt.args, got, out.String())
		}
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before: sh -c echo", "\nbefore/restore a b/0\n", "before: exit status 3", "after: exit status 137"} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the log lacks %q:\n%s", want, data)
		}
	}
}
