package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/progress"
)

// job is one save or restore with the folder that its log lies in.
type job struct {
	folder string   // "" where none could be made
	lock   *os.File // tells the live system that a job runs, while it is open; nil elsewhere
	meter  *progress.Meter
}

// newJob makes the folder of the job's log: /var/log/doppel for root,
// $XDG_STATE_HOME/doppel for others.
func (c *console) newJob(kind, name string) *job {
	j := &job{meter: &progress.Meter{Report: c.report}}
	folder := time.Now().UTC().Format("20060102-150405") + "-" + kind + "-" + filepath.Base(name)
	for _, base := range c.logs {
		if j.folder = makeFolder(base, folder); j.folder != "" {
			break
		}
	}
	j.lock = holdMachine("/run/doppel/job.lock")
	c.job = j
	return j
}

// holdMachine keeps, as the menu does, the live system from being switched off
// from another console, and its clock from being set, while a job runs.
func holdMachine(name string) *os.File {
	if !live() {
		return nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil // it protects from haste, not from harm
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	return f
}

// makeFolder makes a new folder below base, with a number behind its name where
// that is taken: no job writes over what another one kept. It is "" where none
// can be made.
func makeFolder(base, name string) string {
	if os.MkdirAll(base, 0o700) != nil {
		return ""
	}
	for n := 1; n < 100; n++ {
		path := filepath.Join(base, name)
		if n > 1 {
			path = fmt.Sprintf("%s-%d", path, n)
		}
		if err := os.Mkdir(path, 0o700); err == nil {
			return path
		} else if !errors.Is(err, fs.ErrExist) {
			return ""
		}
	}
	return ""
}

func logPlaces() []string {
	var places []string
	if os.Geteuid() == 0 {
		places = append(places, "/var/log/doppel")
	}
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return append(places, filepath.Join(state, "doppel"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, ".local/state/doppel"))
	}
	return places
}

// end writes the log of the job, if there is one, into its folder.
func (c *console) end() {
	if c.job != nil && c.job.folder != "" {
		// A log that cannot be written does not change what was done.
		_ = os.WriteFile(filepath.Join(c.job.folder, "log"), c.history(), 0o600)
	}
}
