package clonezilla

import (
	"context"

	"doppel.live/internal/image"
	"doppel.live/internal/progress"
	"doppel.live/internal/store"
)

// Create starts an image named m.Name in s. m describes it fully; Create keeps
// a copy, in which it fills in the names of files. A folder of that name must
// not exist. Volumes of method Blocks and Raw must be written before Commit.
func Create(s store.Store, m *image.Manifest, o Options) (image.Writer, error) {
	return nil, ErrNotYet
}

// Open opens an image. One that was never finished is ErrIncomplete.
func Open(s store.Store, name string) (image.Image, error) { return nil, ErrNotYet }

// List gives the images of a place by name, unfinished ones and those of real
// Clonezilla included; folders that hold something else are left out.
func List(s store.Store) ([]Summary, error) { return nil, ErrNotYet }

// Verify reads every byte of an image and checks every checksum. What is wrong
// with the image stands in the Report; the error is for what kept Verify from
// looking. It reports Start, Step, Advance and Warning events.
func Verify(ctx context.Context, s store.Store, name string, report progress.Func) (Report, error) {
	return Report{}, ErrNotYet
}

// CheckName tells whether an image can be saved under that name: letters and
// digits of any script, and ._-+@, not beginning with one of those.
func CheckName(name string) error { return nil }
