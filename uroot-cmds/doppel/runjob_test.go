package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"doppel.live/internal/progress"
)

// job writes a job file, in which DIR stands for the folder of the lab and
// REPORT for a program that writes what it finds in its environment to a file.
func (l *lab) job(text string) string {
	l.t.Helper()
	report := `["sh", "-c", "echo \"$0 $DOPPEL_JOB step=$DOPPEL_STEP/$DOPPEL_STEPS $DOPPEL_COMMAND $DOPPEL_IMAGE target=$DOPPEL_TARGET status=$DOPPEL_STATUS message=$DOPPEL_MESSAGE\" >>DIR/said", `
	text = strings.ReplaceAll(strings.ReplaceAll(text, "[REPORT ", report), "DIR", l.dir)
	name := l.path("night.json")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return name
}

// runs runs a job file in a process of its own and gives its last event.
func (l *lab) runs(file string) (status int, last progress.Event, out string) {
	l.t.Helper()
	cmd := l.process("run", file, "--json")
	data, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if json.Unmarshal([]byte(lines[len(lines)-1]), &last) != nil || last.Kind != progress.Result {
		l.t.Fatalf("the last line is no result: %s", data)
	}
	return exitStatus(l.t, err), last, string(data)
}

// What one night does: save, verify, restore, with programs around them.
func TestRunJob(t *testing.T) {
	l := newLab(t)
	file := l.job(`{
		"before": [[REPORT "begin"], ["echo", "hello from before"]],
		"steps": [
			{"command": "save", "image": "lab", "sources": ["DIR/source.img"], "after": [[REPORT "saved"]]},
			{"command": "verify", "image": "lab"},
			{"command": "restore", "image": "lab", "targets": ["DIR/target.img"], "verify": true, "before": [[REPORT "now"]]}
		],
		"after": [[REPORT "end"]], "then": "poweroff"}`)
	if out := l.expect(done, "3. restore image lab", "run", file, "--plan"); !strings.Contains(out, "doppel save --json --yes -- ") {
		t.Errorf("plan: %s", out)
	}
	status, last, out := l.runs(file)
	if status != done || !last.OK || last.Then != "poweroff" || !strings.Contains(last.Text, "night is done: 3 steps") {
		t.Fatalf("status %d, %+v\n%s", status, last, out)
	}
	l.restored()
	want := fmt.Sprintf("begin night step=/3   target= status=0 message=\n"+
		"saved night step=1/3 save lab target= status=0 message=\n"+
		"now night step=3/3 restore lab target=%[1]s/target.img status=0 message=\n"+
		"end night step=/3   target= status=0 message=\n", l.dir)
	if got := string(l.read("said")); got != want {
		t.Errorf("programs found\n%s\nwant\n%s", got, want)
	}
	log := l.expect(done, "-run-night.log", "logs")
	log = l.expect(done, "job night is done", "logs", "show", strings.TrimSpace(log))
	if !strings.Contains(log, "hello from before") || !strings.Contains(log, "step 3 of 3 is done: ") {
		t.Errorf("log: %s", log)
	}
	l.expect(done, "lab", "images")
	if out := l.expect(done, "", "images"); strings.Contains(out, logFolder) {
		t.Errorf("the folder of logs is listed as an image: %s", out)
	}
}

// A step that fails ends the job; what comes after runs and knows of it.
func TestRunJobFails(t *testing.T) {
	l := newLab(t)
	file := l.job(`{"name": "bad",
		"steps": [
			{"command": "restore", "image": "none", "targets": ["DIR/target.img"], "after": [[REPORT "tidy"], ["false"]]},
			{"command": "verify", "image": "none"}],
		"after": [[REPORT "end"]], "then": "poweroff"}`)
	status, last, out := l.runs(file)
	if status != failed || last.OK || last.Then != "" || !strings.Contains(last.Text, "job bad failed at step 1 of 2") || !strings.Contains(last.Next, "the log is ") {
		t.Errorf("status %d, %+v\n%s", status, last, out)
	}
	said := string(l.read("said"))
	if !strings.Contains(said, "tidy bad step=1/2 restore none") || !strings.Contains(said, "end bad step=/2   target= status=1 message=step 1 of 2, restore image none") ||
		strings.Count(said, "\n") != 2 {
		t.Errorf("programs found %s", said)
	}
	if !strings.Contains(out, "failed too") {
		t.Errorf("the program that failed behind it is not named: %s", out)
	}
}

func TestRunJobPrograms(t *testing.T) {
	l := newLab(t)
	for name, text := range map[string]string{
		"before": `{"before": [["sh", "-c", "echo no network >&2; exit 7"], [REPORT "never"]], "steps": [{"command": "verify", "image": "x"}], "after": [[REPORT "end"]]}`,
		"absent": `{"before": [["no-such-program"]], "steps": [{"command": "verify", "image": "x"}], "after": [[REPORT "end"]]}`,
	} {
		t.Run(name, func(t *testing.T) {
			os.Remove(l.path("said"))
			status, last, out := l.runs(l.job(text))
			if status != failed || strings.Contains(out, "step 1 of 1") {
				t.Errorf("status %d: %s", status, out)
			}
			if name == "before" && !strings.Contains(last.Text, "no network") {
				t.Errorf("%+v", last)
			}
			if said := string(l.read("said")); !strings.HasPrefix(said, "end ") {
				t.Errorf("programs: %s", said)
			}
		})
	}
	// One that fails at the end fails the job, and a child that it leaves
	// behind does not hold it up.
	l.expect(done, "", "save", l.path("source.img"), "lab")
	status, last, _ := l.runs(l.job(`{"steps": [{"command": "verify", "image": "lab"}], "after": [["sh", "-c", "sleep 60 & exit 3"]]}`))
	if status != failed || !strings.Contains(last.Text, "after (sh)") {
		t.Errorf("status %d, %+v", status, last)
	}
}

func TestRunJobRefuses(t *testing.T) {
	l := newLab(t)
	l.expect(misused, "line 1: steps[0].targets: rule", "run", l.job(`{"steps": [{"command": "restore", "image": "x", "targets": ["rule:size>much"]}]}`))
	l.expect(misused, "colour: no such field", "run", l.job(`{"colour": 1}`))
	l.expect(failed, "no such file", "run", filepath.Join(l.dir, "none.json"))
	l.expect(failed, "live system", "run", "boot:job.json")
	l.expect(misused, "64 hexadecimal", "run", "http://localhost/x#sha256=1")
	l.expect(misused, "one job file", "run")
	l.expect(done, "rule:CONDITIONS", "help", "job")
	l.expect(misused, "logs takes", "logs", "burn")
}

func TestKeepLogs(t *testing.T) {
	l := newLab(t)
	file := l.path("save-20260102-150405.log")
	if err := os.WriteFile(file, []byte("all went well\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.expect(done, "not kept everywhere", "logs", "keep", file, l.path("absent"))
	l.expect(done, "kept in", "logs", "keep", file)
	if list := l.expect(done, "", "logs"); list != "20260102-150405-save-2.log\n20260102-150405-save.log\n" {
		t.Errorf("logs %s", list)
	}
	l.expect(done, "all went well", "logs", "show", "20260102-150405-save-2.log")
	l.expect(failed, "no log was kept", "logs", "keep", l.path("absent"))
	for name, want := range map[string]string{"20260102-150405-run-x": "20260102-150405-run-x.log", "x.log": "20260304-050607-x.log", "": "20260304-050607-.log"} {
		if got := logName(name, time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
}

// A log is kept on the stick and in the place for images, once where they are
// the same, and on the stick alone where the place fails or does not answer.
func TestKeepOnStick(t *testing.T) {
	const name = "20260102-150405-run-x.log"
	broken := errors.New("the stick is broken")
	for what, tt := range map[string]struct {
		stick, place string // below the lab; "" is none
		broken       error
		kept         []string // beginnings, in order
		err          string
	}{
		"both":          {"stick", "images", nil, []string{"the stick that was started from: doppel-logs/", "DIR/images/doppel-logs/"}, ""},
		"one":           {"images", "images", nil, []string{"DIR/images/doppel-logs/"}, ""},
		"no place":      {"stick", "none", nil, []string{"the stick that was started from: "}, "no folder for images"},
		"no stick":      {"", "images", nil, []string{"DIR/images/doppel-logs/"}, ""},
		"broken stick":  {"", "images", broken, []string{"DIR/images/doppel-logs/"}, "the stick is broken"},
		"neither works": {"", "none", broken, nil, "the stick is broken"},
	} {
		t.Run(what, func(t *testing.T) {
			l := newLab(t)
			if err := os.MkdirAll(l.path("stick"), 0o755); err != nil {
				t.Fatal(err)
			}
			stick := func(visit func(string) error) error {
				if tt.stick == "" {
					return tt.broken
				}
				return visit(l.path(tt.stick))
			}
			c := &console{out: io.Discard, err: io.Discard}
			kept, err := keepBoth(t.Context(), c, &placeFlags{spec: l.path(tt.place)}, stick, name, []byte("it failed\n"))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("%v, want %q", err, tt.err)
			}
			if len(kept) != len(tt.kept) {
				t.Fatalf("kept in %q, want %q", kept, tt.kept)
			}
			for i, want := range tt.kept {
				if !strings.HasPrefix(kept[i], strings.ReplaceAll(want, "DIR", l.dir)) {
					t.Errorf("kept in %q, want %q", kept[i], want)
				}
			}
			for _, folder := range []string{tt.stick, tt.place} {
				if folder == "" || folder == "none" {
					continue
				}
				if files, err := filepath.Glob(l.path(folder + "/doppel-logs/*")); err != nil || len(files) != 1 || string(l.read(folder+"/doppel-logs/"+name)) != "it failed\n" {
					t.Errorf("%s has %q, %v", folder, files, err)
				}
			}
		})
	}
}

// A place that does not answer is not waited for for ever.
func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		_, err := within(t.Context(), keepTime, func(context.Context) (int, error) {
			<-release // as a file system of a server that is gone: no context ends that
			return 1, nil
		})
		if err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%v", err)
		}
		close(release)
		if n, err := within(t.Context(), keepTime, func(context.Context) (int, error) { return 2, nil }); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// The password of the place stands in no event, no log and no environment,
// whoever says it; the file that the steps get is gone afterwards.
func TestRunJobHidesSecrets(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", l.path("source.img"), "lab")
	if err := os.WriteFile(l.path("nas.json"), []byte(`{"user": "anna", "password": "hush-hush"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	file := l.job(`{"images": "DIR/images", "credentials": "DIR/nas.json",
		"before": [["cat", "DIR/nas.json"], ["sh", "-c", "echo never hush-hush >&2"]],
		"steps": [{"command": "verify", "image": "lab"}],
		"after": [["sh", "-c", "env >DIR/env; ls /run/doppel-credentials-* >DIR/files 2>/dev/null; exit 0"], ["sh", "-c", "echo hush-hush; exit 3"]]}`)
	cmd := l.process("run", file, "--json")
	out, err := cmd.CombinedOutput()
	if status := exitStatus(t, err); status != failed || !strings.Contains(string(out), "never (hidden)") {
		t.Errorf("status %d: %s", status, out)
	}
	log := l.expect(done, "", "logs", "show", strings.TrimSpace(l.expect(done, "run-night", "logs")))
	own, err := filepath.Glob(l.path("log/*-run-night/log"))
	if err != nil || len(own) != 1 {
		t.Fatalf("%q, %v", own, err)
	}
	first, err := os.ReadFile(own[0])
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"events": string(out), "kept log": log, "log": string(first), "environment": string(l.read("env"))} {
		if strings.Contains(text, "hush") {
			t.Errorf("the %s tell the password: %s", name, text)
		}
	}
	for name := range strings.FieldsSeq(string(l.read("files"))) {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}
