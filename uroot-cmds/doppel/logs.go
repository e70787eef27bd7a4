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

	"doppel.live/internal/live/fetch"
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

Those on the stick, where the place for images is another: --images LABEL=IMAGES
(or the label of the file system that was on the stick before). What failed
before there was a place is on the stick alone.

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

// keepLog puts a log on the stick that was started from, where there is one,
// and into the place for images, and says where it lies now.
func keepLog(ctx context.Context, c *console, images *placeFlags, name string, data []byte) (kept []string, err error) {
	stick := func(func(string) error) error { return nil }
	if live() {
		stick = livePlace.Live().Stick
	}
	return keepBoth(ctx, c, images, stick, logName(name, time.Now()), data)
}

// keepBoth is keepLog with a stick, which calls visit with its folder if it is
// there. The place comes last: it may be what failed, and not answer.
func keepBoth(ctx context.Context, c *console, images *placeFlags, stick func(visit func(root string) error) error, name string, data []byte) (kept []string, err error) {
	var folder os.FileInfo
	err = stick(func(root string) error {
		if err := keepIn(root, name, data); err != nil {
			return err
		}
		kept = append(kept, "the stick that was started from: "+path.Join(logFolder, name))
		folder, _ = os.Stat(root)
		return nil
	})
	at, placeErr := within(ctx, keepTime, func(ctx context.Context) (keptAt, error) {
		return putInto(ctx, c, images, folder, name, data)
	})
	switch {
	case at.again:
		kept = []string{at.name}
	case at.name != "":
		kept = append(kept, at.name)
	}
	return kept, errors.Join(err, placeErr)
}

// keepIn keeps a log below a folder of this machine.
func keepIn(root, name string, data []byte) error {
	s, err := dir.Open(root)
	if err != nil {
		return err
	}
	defer s.Close()
	return putLog(s, name, data)
}

// keepTime is how long a place that may be what failed is waited for.
const keepTime = time.Minute

// within waits for do, but not longer than limit: what asks a server that is
// gone cannot always be told to stop, and ends with this process.
func within[T any](ctx context.Context, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := do(ctx)
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, errors.New("the place for images does not answer")
	}
}

// keptAt is a log in the place for images.
type keptAt struct {
	name  string
	again bool // it was there already, since the place is the stick that was started from
}

// putInto writes a log into the place for images, unless that is the folder
// which has it.
func putInto(ctx context.Context, c *console, images *placeFlags, has os.FileInfo, name string, data []byte) (keptAt, error) {
	p, err := images.open(ctx, c)
	if err != nil {
		return keptAt{}, err
	}
	defer p.Close()
	if err := chosen(p.folder); err != nil {
		return keptAt{}, err
	}
	at := keptAt{name: p.join(logFolder, name)}
	if d, ok := p.Store.(*dir.Dir); ok && has != nil {
		if folder, err := os.Stat(d.Path()); err == nil && os.SameFile(folder, has) {
			at.again = true
			return at, nil
		}
	}
	if err := putLog(p, name, data); err != nil {
		return keptAt{}, err
	}
	return at, nil
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
	r.keepAs(ctx, name, string(e.Kind), e.Text)
}

// keepUnread keeps why a job file could not be read.
func (r *jobRun) keepUnread(ctx context.Context, text string, why error) {
	name := "run"
	if ref, err := fetch.Parse(text); err == nil {
		name += "-" + strings.TrimSuffix(ref.Name(), ".json")
	}
	r.keepAs(ctx, name, "failed", why.Error())
}

// keepAs keeps all that was said so far, and a last line.
func (r *jobRun) keepAs(ctx context.Context, name, kind, last string) {
	secrets := append(placeSecrets(), r.secrets...)
	text := fmt.Sprintf("%s%s %s: %s\n", r.history(), time.Now().UTC().Format(time.RFC3339), kind, last)
	kept, err := keepLog(ctx, r.console, &r.place, name, []byte(remote.Scrub(text, secrets...)))
	if len(kept) > 0 {
		r.report(progress.Event{Kind: progress.Step, Text: "the log is kept in " + strings.Join(kept, ", ")})
	}
	if err != nil {
		r.report(progress.Event{Kind: progress.Warning, Text: "the log is not kept everywhere: " + remote.Scrub(err.Error(), r.secrets...)})
	}
}
