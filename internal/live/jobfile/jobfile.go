// Package jobfile holds the files that say what the live system, or any Linux,
// does without a person: where images are, what is saved, restored, cloned and
// verified, which programs run before and after, and what follows. The form is
// JSON, described by docs/job.schema.json.
//
// Reading is strict: what is not known here is an error that names the field
// and its line, since a misspelt "verify" must not be a restore without one.
// It runs nothing, and it takes no secrets: a job names the file that has them.
package jobfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"doppel.live/internal/store/remote"
)

// MaxSize bounds a job file, in bytes.
const MaxSize = 256 << 10

// Job is a job file.
type Job struct {
	Name        string     // for logs and hooks; "" where the file gives none
	Images      string     // the place for images, as place use takes it; "" is the present one
	Credentials string     // where the credentials of that place are, a reference; "" is none
	Before      [][]string // programs before the first step
	Steps       []Step     // one at least
	After       [][]string // programs behind the last step, also where one failed
	Then        string     // poweroff, reboot, shell, menu; "" is not said
}

// The commands that a step can be.
const (
	Save    = "save"
	Restore = "restore"
	Clone   = "clone"
	Verify  = "verify"
)

// Step is one command of doppel. Its fields are the options of that command.
type Step struct {
	Command  string
	Image    string   // save, restore, verify
	Sources  []string // save; clone has one
	Targets  []string // restore, clone
	Except   []string // save, clone
	Only     []string // restore
	Compress string   // save
	Split    string   // save
	Rescue   bool     // save
	Resume   bool     // save
	Retries  *int     // save; nil is the command's default
	Keep     bool     // restore: keep_table
	Verify   bool     // restore, clone
	Delta    bool     // restore, clone
	Before   [][]string
	After    [][]string // also where the step failed
}

// Args are the arguments of doppel for a step that nobody attends.
func (s Step) Args() []string {
	args := []string{s.Command, "--json"}
	if s.Command != Verify {
		args = append(args, "--yes")
	}
	for _, o := range []struct {
		name, value string
	}{
		{"except", strings.Join(s.Except, ",")}, {"only", strings.Join(s.Only, ",")}, {"compress", s.Compress}, {"split", s.Split},
	} {
		if o.value != "" {
			args = append(args, "--"+o.name+"="+o.value)
		}
	}
	for _, o := range []struct {
		name string
		on   bool
	}{
		{"rescue", s.Rescue}, {"resume", s.Resume}, {"keep-table", s.Keep}, {"verify", s.Verify}, {"delta", s.Delta},
	} {
		if o.on {
			args = append(args, "--"+o.name)
		}
	}
	if s.Retries != nil {
		args = append(args, "--retries="+strconv.Itoa(*s.Retries))
	}
	return append(args, s.Operands()...)
}

// Operands are what the command works on, behind "--": no name is taken for an
// option.
func (s Step) Operands() []string {
	switch s.Command {
	case Save:
		return slices.Concat([]string{"--"}, s.Sources, []string{s.Image})
	case Restore:
		return slices.Concat([]string{"--", s.Image}, s.Targets)
	case Clone:
		return slices.Concat([]string{"--"}, s.Sources, s.Targets)
	}
	return []string{"--", s.Image}
}

// String says in a few words what a step does.
func (s Step) String() string {
	switch s.Command {
	case Save:
		return fmt.Sprintf("save %s to image %s", strings.Join(s.Sources, ", "), s.Image)
	case Restore:
		return fmt.Sprintf("restore image %s to %s", s.Image, strings.Join(s.Targets, ", "))
	case Clone:
		return fmt.Sprintf("clone %s to %s", strings.Join(s.Sources, ", "), strings.Join(s.Targets, ", "))
	}
	return "verify image " + s.Image
}

// allowed are the fields of each command, beside command, before and after;
// those with ! must be there.
var allowed = map[string]string{
	Save:    "image! sources! except compress split rescue resume retries",
	Restore: "image! targets! only keep_table verify delta",
	Clone:   "source! targets! except verify delta",
	Verify:  "image!",
}

// kernelName makes a bare kernel name of its path below /dev: a job must not
// get round the guard of such names by writing them longer.
func kernelName(spec string) string {
	if name, ok := strings.CutPrefix(spec, "/dev/"); ok && !strings.Contains(name, "/") {
		return name
	}
	return spec
}

// checkImages refuses a place that tells a password: job files are copied,
// served and printed.
func checkImages(spec string) error {
	if !remote.Is(spec) {
		return nil
	}
	_, secret, err := remote.Parse(spec)
	if err == nil && !secret.Empty() {
		err = fmt.Errorf("there is a password in it: put it into a credentials file and name that in \"credentials\"")
	}
	return err
}
