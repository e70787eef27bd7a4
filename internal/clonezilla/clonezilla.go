// Package clonezilla writes and reads image directories in Clonezilla's
// layout: partclone streams in compressed frames, with the text files that
// Clonezilla restores by and the doppel.json that says what those lose. It
// sees no device, and does not know what a file system is.
//
// FORMAT.md describes what is not Clonezilla's own.
package clonezilla

import (
	"errors"
	"fmt"
	"time"

	"doppel.live/internal/clonezilla/unpack"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
)

// Level says how hard to compress.
type Level string

// The levels. The zero value is Default.
const (
	None    Level = "none"
	Fast    Level = "fast"
	Default Level = "default"
	Max     Level = "max"
	Gzip    Level = "gzip" // for the oldest readers
)

// Known tells whether there is such a level.
func (l Level) Known() bool { return l == None || l == Fast || l == Default || l == Max || l == Gzip }

// Options say how an image is written.
type Options struct {
	Level   Level
	Workers int    // goroutines that compress; 0: one for each processor
	Split   int64  // most bytes of a file that holds a volume; 0: as long as it gets
	Command string // the command line, for people, kept in the image
	// Files are more files for the image, by name, which nobody needs for a
	// restore: what a rescue leaves.
	Files map[string][]byte
	// Seals are texts by Volume.Index that are other ones where the source was
	// written to. With them a save that is given up leaves what volumes are
	// complete, for Resume; without them nothing.
	Seals map[int]string
	// Tables are the partition tables by index in Manifest.Disks. A disk
	// without one has none.
	Tables map[int]*partition.Table
}

// The errors that callers act on, beside those of package store.
var (
	ErrExists     = errors.New("an image of this name is there already")
	ErrIncomplete = errors.New("image is not complete: its saving was never finished")
	ErrBegun      = fmt.Errorf("%w; doppel save --resume goes on with it", ErrIncomplete)
	ErrRescue     = errors.New("a rescue that is not finished: doppel save --rescue --resume goes on with it")
	ErrForward    = errors.New("volume can only be read from its start to its end")
	ErrNotYet     = unpack.ErrNotYet
	ErrNoImage    = errors.New("not an image")
	ErrBadName    = errors.New("not a name for an image")
)

// Summary is one image of a place, as a list shows it.
type Summary struct {
	Name      string          `json:"name"`
	Created   time.Time       `json:"created"`
	Tool      string          `json:"tool"`
	WholeDisk bool            `json:"whole_disk"`
	Disks     []SummaryDisk   `json:"disks"`
	Volumes   []SummaryVolume `json:"volumes"`
	Stored    int64           `json:"stored"` // bytes of all its files
	Complete  bool            `json:"complete"`
	Begun     bool            `json:"begun"`   // incomplete, and a save can go on with it
	Damaged   int64           `json:"damaged"` // bytes of the source that could not be read
	Problem   string          `json:"problem"` // why it is incomplete or cannot be read; "" where nothing is wrong
}

// SummaryDisk is one disk of a Summary.
type SummaryDisk struct {
	Name   string `json:"name"`
	Model  string `json:"model"`
	Serial string `json:"serial"`
	Size   int64  `json:"size"` // bytes
}

// SummaryVolume is one volume of a Summary.
type SummaryVolume struct {
	Name       string       `json:"name"`
	FileSystem string       `json:"file_system"`
	Label      string       `json:"label"`
	Size       int64        `json:"size"` // bytes
	Used       int64        `json:"used"` // bytes that the image holds; -1 unknown
	Method     image.Method `json:"method"`
	Reason     string       `json:"reason"` // why it is raw or absent
}

// Report is what Verify found.
type Report struct {
	Image      string         `json:"image"`
	Restorable bool           `json:"restorable"` // every volume, table and list is as it was saved, and can be restored
	Changed    bool           `json:"changed"`    // something is not as it was saved
	Volumes    []VolumeReport `json:"volumes"`
	Problems   []string       `json:"problems"` // of what belongs to no volume
	Warnings   []string       `json:"warnings"` // what could not be checked, and why
	Bytes      int64          `json:"bytes"`    // stored bytes that were read
	Damaged    int64          `json:"damaged"`  // bytes of the source that could not be read when it was saved
}

// VolumeReport is what Verify found of one volume.
type VolumeReport struct {
	Name       string       `json:"name"`
	Restorable bool         `json:"restorable"`
	Method     image.Method `json:"method"`
	Frames     int64        `json:"frames"` // that were read
	Bytes      int64        `json:"bytes"`  // of the volume, unpacked and checked
	Problems   []string     `json:"problems"`
	Notes      []string     `json:"notes"` // what its checksums do not protect; that it was left out
}
