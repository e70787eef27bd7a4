package main

import (
	"os"
	"path/filepath"
	"time"

	"doppel.live/internal/progress"
)

// job is one save or restore with the folder that its log lies in.
type job struct {
	folder string // "" where none could be made
	meter  *progress.Meter
}

// newJob makes the folder of the job's log: /var/log/doppel for root,
// $XDG_STATE_HOME/doppel for others.
func (c *console) newJob(kind, name string) *job {
	j := &job{meter: &progress.Meter{Report: c.report}}
	folder := time.Now().UTC().Format("20060102-150405") + "-" + kind + "-" + filepath.Base(name)
	for _, base := range logPlaces() {
		path := filepath.Join(base, folder)
		if os.MkdirAll(path, 0o700) == nil {
			j.folder = path
			break
		}
	}
	c.job = j
	return j
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
