package line

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/tui"
	"doppel.live/internal/tui/job"
)

// machine is a runner with a network and one disk for images.
type machine struct {
	ran []string // commands, with what they were fed
}

func (m *machine) Run(ctx context.Context, argv []string, line func(job.Line)) (job.Exit, error) {
	return m.Feed(ctx, argv, nil, line)
}

func (m *machine) Feed(_ context.Context, argv []string, stdin []byte, line func(job.Line)) (job.Exit, error) {
	for command, answer := range map[string]string{
		"place status": `{"current":{"spec":"/dev/sdb1","label":"KEEP","free":5}}`, "place list": `{"places":[{"spec":"/dev/sdb1"}]}`, "place use": `{"ok":true}`,
		"network status": `{"links":[{"device":"eth0","addresses":["10.0.0.5/24"]}]}`,
		"doppel images":  `{"images":[{"name":"lab","complete":true}]}`, "doppel verify": `{"event":"result","ok":true}`,
	} {
		if strings.HasPrefix(strings.Join(argv, " "), command) {
			line(job.Line{Text: []byte(answer)})
			if stdin != nil || command == "doppel verify" {
				m.ran = append(m.ran, strings.Join(argv, " ")+" < "+string(stdin))
			}
			return job.Exit{}, nil
		}
	}
	return job.Exit{Status: 1}, errors.New("no such command")
}

func (m *machine) Attach([]string) error { return nil }

// The menu line by line, as with --plain: the form of a server with its
// password, and expert mode.
func TestMenu(t *testing.T) {
	const secret = "pass word"
	typed := []string{"7", "w", "3", "nas", "4", "images", "5", "anna", "7", secret, "g", "1", // a share
		"11", "5", "1", "g", "1"} // expert mode, and a check
	var out bytes.Buffer
	d := New(strings.NewReader(strings.Join(typed, "\n")+"\n"), &out, nil, tui.English())
	hidden := 0
	d.Echo = func(on bool) {
		if !on {
			hidden++
		}
	}
	m := &machine{}
	menu := &tui.Menu{Dialogue: d, Runner: m, Text: tui.English(), Now: time.Now}
	if err := menu.Main(); !errors.Is(err, tui.ErrClosed) {
		t.Error(err)
	}
	want := []string{`place use smb://anna@nas/images --credentials - --json < {"password":"` + secret + `"}`, "doppel verify lab --json < "}
	if !slices.Equal(m.ran, want) {
		t.Errorf("ran %q\nwant %q\n%s", m.ran, want, out.String())
	}
	for _, text := range []string{"Images on a Windows or Samba share", "(typed)", "Options of verify", "Expert mode, Images:", "Checked: Done"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("nowhere stands %q in\n%s", text, out.String())
		}
	}
	if strings.Contains(out.String(), secret) || hidden != 1 {
		t.Errorf("the password was shown, or the echo of another text switched off: %s", fmt.Sprint(hidden))
	}
}
