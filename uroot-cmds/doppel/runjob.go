package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"doppel.live/internal/inventory"
	"doppel.live/internal/live/fetch"
	"doppel.live/internal/live/jobfile"
	livePlace "doppel.live/internal/live/place"
	"doppel.live/internal/progress"
	"doppel.live/internal/store/remote"
)

const runUsage = "doppel run JOBFILE [--images PLACE] [--credentials FILE] [--plan] [--json]"

const runJobHelp = `Does what a job file says, without asking: saves, restores, clones and verifies,
with programs before and after. doppel help job describes the file.

JOBFILE is a path, boot:PATH on the medium that the live system was started
from, LABEL=NAME:PATH or UUID=ID:PATH on a disk or stick, or an URL of http or
https.
#sha256=HEX behind it takes only the file with that sum.

The first step that fails ends the job, with the exit status of that step; the
programs named in "after" are run all the same. A log is kept in the folder of
the job's log, in the place for images below doppel-logs, and on the stick that
the live system was started from.

Options:
  --images PLACE       where the images are, instead of what the file says
  --credentials FILE   the credentials of that place, instead of those
  --plan               read the file, print what would be run, and stop
  --json               print events, one JSON document a line
`

// jobRun is a job file being run.
type jobRun struct {
	*console
	job     jobfile.Job
	began   time.Time
	place   placeFlags // where images are, for the steps; empty where they find it themselves
	secrets []remote.Secret
	folder  string         // of the log; "" where there is none
	status  int            // exit status so far
	last    progress.Event // the result of the last step
	failed  string         // what failed: a step or a program, in words
	step    int            // the present one, from 1; 0 is none
	targets string         // of the present step, found
	forget  []func()       // what is to be done at the end in any case
}

func runJob(ctx context.Context, c *console, args []string) error {
	set := flag.NewFlagSet("run", flag.ContinueOnError)
	images := set.String("images", "", "")
	credentials := set.String("credentials", "", "")
	only := set.Bool("plan", false, "")
	rest, err := c.parse(set, "run", args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return misuse("run takes one job file")
	}
	r := &jobRun{console: c, began: time.Now()}
	if r.job, err = readJob(ctx, c, rest[0]); err != nil {
		if live() { // nobody may be there to see it
			r.keepUnread(ctx, rest[0], err)
		}
		return err
	}
	if *images != "" {
		r.job.Images, r.job.Credentials = *images, ""
	}
	if *credentials != "" {
		r.job.Credentials = *credentials
	}
	if *only {
		r.show()
		return nil
	}
	r.folder = c.newJob("run", r.job.Name).folder
	defer func() {
		for _, forget := range r.forget {
			forget()
		}
	}()
	if err := r.usePlace(ctx); err != nil {
		r.fail(failed, "the place for images", err.Error())
	} else {
		r.run(ctx)
	}
	return r.end(ctx)
}

// readJob fetches and reads a job file.
func readJob(ctx context.Context, c *console, text string) (jobfile.Job, error) {
	ref, err := fetch.Parse(text)
	if err != nil {
		return jobfile.Job{}, misuse("%v", err)
	}
	if ref.Open() {
		c.report(progress.Event{Kind: progress.Warning, Text: "the job file comes by http: anybody on the way can change it; use https, or pin it with #sha256="})
	}
	data, err := read(ctx, ref, jobfile.MaxSize)
	if err != nil {
		return jobfile.Job{}, fmt.Errorf("job file %s: %w", ref.Name(), err)
	}
	job, err := jobfile.Parse(data)
	if err != nil {
		return job, misuse("job file %s: %v", ref.Name(), err)
	}
	if job.Name == "" {
		job.Name = strings.TrimSuffix(ref.Name(), ".json")
	}
	return job, nil
}

// arrival is how long a stick, a disk or a server with a file on it may be on
// its way.
const arrival = 30 * time.Second

// read reads what a reference names.
func read(ctx context.Context, ref fetch.Reference, limit int64) ([]byte, error) {
	var s fetch.System
	if live() {
		s.Files, s.Patience = livePlace.Live().ReadFile, arrival
	}
	if ref.URL == "" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, arrival)
		defer cancel()
	}
	return s.Read(ctx, ref, limit)
}

// live tells whether this is the live system.
func live() bool {
	_, err := os.Stat("/bbin/place")
	return err == nil
}

// show prints what would be run.
func (r *jobRun) show() {
	if r.json {
		r.report(progress.Event{Kind: progress.Plan, Plan: r.job})
		return
	}
	where := r.job.Images
	if where == "" {
		where = "the place in use"
	}
	r.say("Job %s, images: %s", r.job.Name, where)
	for _, argv := range r.job.Before {
		r.say("before: %s", strings.Join(argv, " "))
	}
	for i, s := range r.job.Steps {
		r.say("%d. %s", i+1, s)
		r.say("   doppel %s", strings.Join(s.Args(), " "))
	}
	for _, argv := range r.job.After {
		r.say("after: %s", strings.Join(argv, " "))
	}
	if r.job.Then != "" {
		r.say("then: %s", r.job.Then)
	}
}

// run runs the programs and steps of the job.
func (r *jobRun) run(ctx context.Context) {
	if r.programs(ctx, "before", r.job.Before) {
		for i, s := range r.job.Steps {
			r.step, r.targets = i+1, found(s.Targets)
			ok := r.programs(ctx, "before", s.Before)
			if ok {
				r.one(ctx, s)
			}
			r.programs(ctx, "after", s.After)
			if r.status != done {
				break
			}
		}
		r.step = 0
	}
	r.programs(ctx, "after", r.job.After)
}

// one runs one step as a process of its own: when it breaks, the programs that
// come after a job still run.
func (r *jobRun) one(ctx context.Context, s jobfile.Step) {
	r.report(progress.Event{Kind: progress.Step, Text: fmt.Sprintf("step %d of %d: %s", r.step, len(r.job.Steps), s)})
	args := []string{s.Args()[0]}
	if r.place.spec != "" && s.Command != jobfile.Clone {
		args = append(args, "--images="+r.place.spec)
	}
	if r.place.credentials != "" && s.Command != jobfile.Clone {
		args = append(args, "--credentials="+r.place.credentials)
	}
	r.last = progress.Event{}
	status, said := r.program(ctx, r.self(append(args, s.Args()[1:]...)))
	text := r.last.Text
	if text == "" {
		text = said
	}
	switch {
	case ctx.Err() != nil:
		r.fail(failed, s.String(), "cancelled")
	case status != done:
		r.fail(status, s.String(), text)
	case !r.last.OK: // it said nothing, or that it did not work
		r.fail(failed, s.String(), "it ended without a result: "+text)
	default:
		r.report(progress.Event{Kind: progress.Step, Text: fmt.Sprintf("step %d of %d is done: %s", r.step, len(r.job.Steps), text)})
	}
}

// self prepares this program with other arguments.
func (r *jobRun) self(args []string) *exec.Cmd {
	if r.spawn != nil {
		return r.spawn(args)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "doppel" // in the live system many commands are one program
	return cmd
}

// report hides the secrets of the job in what is told of it.
func (r *jobRun) report(e progress.Event) {
	e.Text, e.Next = remote.Scrub(e.Text, r.secrets...), remote.Scrub(e.Next, r.secrets...)
	r.console.report(e)
}

// fail keeps the first thing that failed.
func (r *jobRun) fail(status int, what, text string) {
	if r.status != done {
		r.report(progress.Event{Kind: progress.Warning, Text: what + " failed too: " + text})
		return
	}
	r.status, r.failed = status, what+": "+text
	if r.step > 0 {
		r.failed = fmt.Sprintf("step %d of %d, %s", r.step, len(r.job.Steps), r.failed)
	}
}

// programs runs programs of the administrator's in order. Those before a step
// end it when one fails; those after run all.
func (r *jobRun) programs(ctx context.Context, when string, list [][]string) bool {
	for _, argv := range list {
		r.report(progress.Event{Kind: progress.Step, Text: when + ": " + strings.Join(argv, " ")})
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), r.environment()...)
		end := ctx
		if when == "after" { // they tidy up, whatever ended the job
			var cancel context.CancelFunc
			end, cancel = context.WithCancel(context.WithoutCancel(ctx))
			defer cancel()
		}
		if status, text := r.program(end, cmd); status != done {
			r.fail(failed, when+" ("+argv[0]+")", text)
			if when == "before" {
				return false
			}
		}
	}
	return true
}

// environment tells programs what the job is about.
func (r *jobRun) environment() []string {
	env := []string{
		"DOPPEL_JOB=" + r.job.Name, "DOPPEL_STATUS=" + strconv.Itoa(r.status), "DOPPEL_MESSAGE=" + remote.Scrub(r.failed, r.secrets...),
		"DOPPEL_LOG=" + r.folder, "DOPPEL_STEPS=" + strconv.Itoa(len(r.job.Steps)),
	}
	if r.step == 0 {
		return env
	}
	s := r.job.Steps[r.step-1]
	return append(env, "DOPPEL_STEP="+strconv.Itoa(r.step), "DOPPEL_COMMAND="+s.Command, "DOPPEL_IMAGE="+s.Image,
		"DOPPEL_SOURCE="+strings.Join(s.Sources, " "), "DOPPEL_TARGET="+r.targets)
}

// found gives the paths of targets, as far as they are found.
func found(specs []string) string {
	var out []string
	for _, spec := range specs {
		if path, err := inventory.Lookup(spec); err == nil {
			spec = path
		}
		out = append(out, spec)
	}
	return strings.Join(out, " ")
}

// end keeps the log and tells how the job ended.
func (r *jobRun) end(ctx context.Context) error {
	e := progress.Event{Kind: progress.Result, OK: true, Report: r.last.Report, Then: r.job.Then,
		Text: fmt.Sprintf("job %s is done: %d steps in %s", r.job.Name, len(r.job.Steps), clock(time.Since(r.began).Seconds()))}
	if r.status != done {
		next := r.last.Next
		if r.folder != "" {
			next = strings.TrimPrefix(next+"; ", "; ") + "the log is " + filepath.Join(r.folder, "log")
		}
		e = progress.Event{Kind: progress.Result, Status: r.status, Report: r.last.Report, Next: next,
			Text: remote.Scrub("job "+r.job.Name+" failed at "+r.failed, r.secrets...)}
	}
	r.keep(ctx, e)
	if r.json {
		r.report(e)
	} else {
		r.result(e.Status, e.Text, remote.Scrub(e.Next, r.secrets...))
	}
	if e.Status != done {
		return errStatus(e.Status)
	}
	return nil
}
