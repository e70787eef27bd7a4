// Package engine moves records: from a source into an image, and from an image
// onto a target, as a plan says. It works at offsets of whole disks through
// io.ReaderAt and io.WriterAt; it does not know how an image is kept, and
// leaves opening and refusing devices to blockdev and plan.
package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/image"
)

// Target is a device opened for writing. blockdev.Target is one.
type Target interface {
	io.ReaderAt
	io.WriterAt
	Size() int64 // bytes
	Sync() error
	DropCache() error   // the next reads come from the medium
	ReReadTable() error // the kernel looks at the partition table again
}

var _ Target = (*blockdev.Target)(nil)

// Error is a failure with what the user can do next.
type Error struct {
	Err  error
	Next string
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func sourceError(name string, off int64, err error) error {
	return &Error{
		Err:  fmt.Errorf("%s cannot be read at byte %d: %w", name, off, err),
		Next: "look at the health of the disk with doppel disks and at its cable; doppel save --rescue saves what can be read of a failing disk; nothing was left in the image folder",
	}
}

// volumeError names the sector too: it is what programs that test and mend
// disks ask for.
func volumeError(d image.Disk, v image.Volume, bad *readError) error {
	at := v.Offset + bad.offset
	return sourceError(v.Name, bad.offset, fmt.Errorf("sector %d of %s: %w", at/max(d.SectorSize, 1), d.Name, bad.err))
}

// placeError is for what the place of the image did not take.
func placeError(what string, err error) error {
	if errors.Is(err, image.ErrMiscoded) {
		return &Error{
			Err:  fmt.Errorf("%s: %w", what, err),
			Next: "this computer's memory or processor is not reliable: test its memory, or save on another computer; where it is sound, save with --compress gzip, which other code packs, and report this",
		}
	}
	return &Error{
		Err:  fmt.Errorf("%s: %w", what, err),
		Next: "the place for images went away or is failing: check its cable or network and its health with doppel disks, then save again, or choose another place with --images",
	}
}

func targetError(what string, err error) error {
	next := "the target is not usable as it is: restore again"
	switch {
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO), errors.Is(err, unix.EIO), errors.Is(err, fs.ErrNotExist):
		next = "the target went away or is failing: check its cable and its health with doppel disks, then restore again; it holds no partition table that looks whole"
	case errors.Is(err, unix.ENOSPC):
		next = "the file system that holds the target file is full: make room, then restore again"
	}
	if _, ok := blockdev.IsRefusal(err); ok {
		return err
	}
	return &Error{Err: fmt.Errorf("target: %s: %w", what, err), Next: next}
}

func imageError(v string, err error) error {
	var known *Error
	if errors.As(err, &known) { // a source that is read as an image
		return err
	}
	if errors.Is(err, image.ErrDamaged) {
		return &Error{Err: fmt.Errorf("volume %s: %w", v, err), Next: "check the image with doppel verify, and take another image if there is one"}
	}
	return &Error{Err: fmt.Errorf("volume %s: %w", v, err), Next: "check that the place of the image can be read, then try again"}
}
