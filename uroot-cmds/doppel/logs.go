package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	livePlace "doppel.live/internal/live/place"
	"doppel.live/internal/progress"
	"doppel.live/internal/store"
	"doppel.live/internal/store/dir"
	"doppel.live/internal/store/remote"
)

const logsUsage = "doppel logs [list | show NAME | keep FILE...] [--images PLACE] [--credentials FILE] [--json]"

const logsHelp = `Shows the logs of jobs that were kept beside the images, below doppel-logs.

  list           all of them, the oldest first (default)
  show NAME      one of them
  keep FILE...   puts copies of files there, and on the stick that the live
                 system was started from, with a time in front of their names;
                 the menu does it after every job

Options:
  --images PLACE       where the images are (doppel help places)
  --credentials FILE   user and password for it; - is standard input
  --json               print one JSON document
`

// logFolder is the folder for logs in a place for images. It is no image.
const logFolder = "doppel-logs"

// maxLog is how much of a log is kept, in bytes; of a longer one the end is.
const maxLog = 8 << 20

func runLogs(ctx context.Context, c *console, args []string) error {
	set := flag.NewFlagSet("logs", flag.ContinueOnError)
	images := imagesFlag(set)
	rest, err := c.parse(set, "logs", args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		rest = []string{"list"}
	}
	switch action := rest[0]; {
	case action == "keep" && len(rest) > 1:
		return keepFiles(ctx, c, images, rest[1:])
	case action == "list" && len(rest) == 1, action == "show" && len(rest) == 2:
		p, err := images.open(ctx, c)
		if err != nil {
			return err
		}
		defer p.Close()
		if action == "show" {
			return showLog(c, p, rest[1])
		}
		return listLogs(c, p)
	}
	return misuse("logs takes list, show NAME or keep FILE...")
}

func listLogs(c *console, s store.Store) error {
	entries, err := s.List(logFolder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	names := []string{}
	for _, e := range entries {
		if e.Regular {
			names = append(names, e.Name)
		}
	}
	if c.json {
		return c.print(struct {
			Logs []string `json:"logs"`
		}{names})
	}
	for _, n := range names {
		c.say("%s", n)
	}
	return nil
}

func showLog(c *console, s store.Store, name string) error {
	data, err := store.ReadFile(s, path.Join(logFolder, path.Base(name)), maxLog)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		c.line(c.out, strings.TrimRight(line, "\n"))
	}
	return nil
}

// keepFiles keeps copies of files. What is hidden in them are the secrets of
// the present place.
func keepFiles(ctx context.Context, c *console, images *placeFlags, files []string) error {
	var kept []string
	var problems []error
	for _, file := range files {
		data, err := endOf(file)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		text := remote.Scrub(string(data), placeSecrets()...)
		where, err := keepLog(ctx, c, images, filepath.Base(file), []byte(text))
		kept, problems = append(kept, where...), append(problems, err)
	}
	err := errors.Join(problems...)
	if len(kept) == 0 {
		return fmt.Errorf("no log was kept: %w", err)
	}
	if err != nil {
		c.report(progress.Event{Kind: progress.Warning, Text: "not kept everywhere: " + err.Error()})
	}
	c.result(done, "kept in "+strings.Join(kept, ", "), "")
	return nil
}

// endOf reads a file, or the end of a long one.
func endOf(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, min(info.Size(), maxLog))
	n, err := f.ReadAt(data, info.Size()-int64(len(data)))
	if n == len(data) {
		err = nil
	}
	return data[:n], err
}

// placeSecrets are the credentials of the present place.
func placeSecrets() []remote.Secret {
	_, cred, err := record(livePlace.RecordFile)
	if err != nil {
		return nil
	}
	return cred.Secrets()
}

// keepLog puts a log into the place for images and on the stick that was
// started from, where there is one, and says where it lies now. The place may
// be what failed: then the stick alone has it.
func keepLog(ctx context.Context, c *console, images *placeFlags, name string, data []byte) (kept []string, err error) {
	name = logName(name, time.Now())
	where, folder, err := putInto(ctx, c, images, name, data)
	if err == nil {
		kept = append(kept, where)
	}
	if !live() {
		return kept, err
	}
	stickErr := livePlace.Live().Stick(func(root string) error {
		if sameFolder(root, folder) {
			return nil
		}
		s, err := dir.Open(root)
		if err != nil {
			return err
		}
		defer s.Close()
		if err := putLog(s, name, data); err != nil {
			return err
		}
		kept = append(kept, "the stick that was started from: "+path.Join(logFolder, name))
		return nil
	})
	return kept, errors.Join(err, stickErr)
}

// keepTime is how long a place that may be what failed is waited for.
const keepTime = time.Minute

// putInto writes a log into the place for images, and gives its name there and
// the folder of the place, if it is one.
func putInto(ctx context.Context, c *console, images *placeFlags, name string, data []byte) (where, folder string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	p, err := images.open(ctx, c)
	if err != nil {
		return "", "", err
	}
	defer p.Close()
	if err := chosen(p.folder); err != nil {
		return "", "", err
	}
	return p.join(logFolder, name), p.folder, putLog(p, name, data)
}

// chosen tells whether there is a place at a folder: in the live system
// /images is there without one, in memory.
func chosen(folder string) error {
	if !live() || folder != livePlace.Dir {
		return nil
	}
	now, err := livePlace.Live().Status()
	if err == nil && now == nil {
		err = errors.New("no place for images is chosen")
	}
	return err
}

// logName is the name under which a log is kept: it begins with a time, that
// of the job where the file says it, such as save-20260102-150405.log.
func logName(name string, now time.Time) string {
	base := strings.TrimSuffix(name, ".log")
	if stamp := base[:min(len(base), len(logTime))]; isTime(stamp) {
		return base + ".log"
	}
	if at := len(base) - len(logTime); at > 0 && base[at-1] == '-' && isTime(base[at:]) {
		return base[at:] + "-" + base[:at-1] + ".log"
	}
	return now.UTC().Format(logTime) + "-" + base + ".log"
}

// logTime is the time at the beginning of the names of logs.
const logTime = "20060102-150405"

func isTime(text string) bool {
	_, err := time.Parse(logTime, text)
	return err == nil
}

func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// putLog writes a log; no older one is lost.
func putLog(s store.Store, name string, data []byte) error {
	if s.ReadOnly() {
		return store.ErrReadOnly
	}
	if err := s.MakeFolder(logFolder); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := s.List(logFolder)
	if err != nil {
		return err
	}
	base := strings.TrimSuffix(name, ".log")
	for n := 2; slices.ContainsFunc(entries, func(e store.Entry) bool { return e.Name == name }); n++ {
		name = fmt.Sprintf("%s-%d.log", base, n)
	}
	return store.WriteFile(s, path.Join(logFolder, name), data, 0o644)
}

// keep keeps the log of a job that ended with e.
func (r *jobRun) keep(ctx context.Context, e progress.Event) {
	name := "run"
	if r.folder != "" {
		name = filepath.Base(r.folder)
	}
	text := fmt.Sprintf("%s%s %s: %s\n", r.history(), time.Now().UTC().Format(time.RFC3339), e.Kind, e.Text)
	kept, err := keepLog(ctx, r.console, &r.place, name, []byte(remote.Scrub(text, append(placeSecrets(), r.secrets...)...)))
	if len(kept) > 0 {
		r.report(progress.Event{Kind: progress.Step, Text: "the log is kept in " + strings.Join(kept, ", ")})
	}
	if err != nil {
		r.report(progress.Event{Kind: progress.Warning, Text: "the log is not kept everywhere: " + remote.Scrub(err.Error(), r.secrets...)})
	}
}
