// Package ownstick gives the stick that the live system was started from its
// images partition, and mounts it as the place for images. What may be done to
// a stick is decided by package stick; a plain image is left alone. It knows
// no other disks.
package ownstick

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/live/looking"
	"doppel.live/internal/live/place"
	"doppel.live/internal/live/uevent"
	"doppel.live/internal/stick"
	"doppel.live/internal/store/remote"
)

// NoteFile takes what the user should know of the stick, in the live system.
const NoteFile = "/run/doppel/stick"

// Place says where images are, and makes a partition that place; a
// place.System does.
type Place interface {
	Status() (*place.Place, error)
	Use(ctx context.Context, spec string, cred remote.Credentials) (place.Chosen, error)
}

// Options say how far Grow goes.
type Options struct {
	Wait   time.Duration   // how long the medium may need to appear
	Settle bool            // do not wait on when nothing more appears
	Insist bool            // bytes that nobody recognises are not wanted any more
	Place  Place           // mounts the partition
	Disks  blockdev.System // the zero value is the running machine
}

// Outcome is what Grow found and did.
type Outcome struct {
	Disk      string       `json:"disk"`      // "" none: no stick of this build is here, or only the plain image
	Partition string       `json:"partition"` // its images partition, where the kernel has it
	Images    stick.Images `json:"images"`
	Made      bool         `json:"made"`    // the file system is new
	Changed   bool         `json:"changed"` // the partition table was written
	Mounted   bool         `json:"mounted"` // it is the place for images now
	Text      string       `json:"text"`    // what the user should know; "" nothing
	Next      string       `json:"next"`    // what they can do
}

// Grow looks for the stick, makes or finds its images partition, and mounts it
// unless there is a place for images already.
func Grow(ctx context.Context, o Options) (Outcome, error) {
	var media []string
	o.await(ctx, func() bool {
		media = o.Disks.BootMedia()
		return len(media) > 0
	})
	if len(media) == 0 {
		return Outcome{}, nil
	}
	out, err := o.grow(media)
	if err != nil || out.Partition == "" {
		return out, err
	}
	return out, out.mount(ctx, o.Place)
}

// grow does the work on the one medium of this build.
func (o Options) grow(media []string) (Outcome, error) {
	path, s, err := o.find(media)
	if err != nil || path == "" {
		return Outcome{}, err
	}
	out := Outcome{Disk: path}
	if len(media) > 1 {
		out.Text = "there are several media of this build: it is not known which one the machine was started from"
		out.Next = "to have the images partition of a stick as the place for images, choose it there"
		return out, nil
	}
	if o.Insist {
		s.Insist()
	}
	if s.Doubt != "" {
		out.Text, out.Next = path+": "+s.Doubt, s.Next
		return out, nil
	}
	out.Images, out.Made = s.Images, s.Do == stick.Make
	if s.Do != stick.Use {
		if err := o.change(path, s); err != nil {
			return out, err
		}
		out.Changed = true
	}
	name := o.Disks.Partitions(filepath.Base(path))[s.Images.Number]
	if name == "" {
		out.Text, out.Next = path+": the kernel does not see its images partition yet", "start the machine again"
		return out, nil
	}
	out.Partition = filepath.Join(filepath.Dir(path), name)
	return out, nil
}

// find gives the first of the media that was written from the stick image, ""
// where none was.
func (o Options) find(media []string) (string, *stick.Survey, error) {
	for _, path := range media {
		s, err := o.look(path)
		if err != nil {
			return "", nil, err
		}
		if s.Stick {
			return path, s, nil
		}
	}
	return "", nil, nil
}

func (o Options) look(path string) (*stick.Survey, error) {
	d, err := o.Disks.Disk(path)
	if err != nil {
		return nil, err
	}
	f, err := blockdev.OpenToLook(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return stick.Look(f, d.Size)
}

// change opens the stick, looks whether it is still what was seen, and writes.
func (o Options) change(path string, seen *stick.Survey) error {
	m, err := o.Disks.OpenOwnMedium(path, stick.Marked)
	if err != nil {
		return err
	}
	defer m.Close()
	now, err := stick.Look(m, m.Disk().Size)
	if err != nil {
		return err
	}
	if o.Insist {
		now.Insist()
	}
	if now.Doubt != "" || now.Do != seen.Do || now.Images != seen.Images || now.Build != seen.Build {
		return fmt.Errorf("%s: it changed while it was looked at", path)
	}
	if err := stick.Grow(m, now, rand.Reader); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return m.ReReadTable()
}

// mount makes the partition the place for images, unless there is one.
func (out *Outcome) mount(ctx context.Context, s Place) error {
	if now, err := s.Status(); err != nil || now != nil {
		return err
	}
	chosen, err := s.Use(ctx, out.Partition, remote.Credentials{})
	if e := new(place.Error); errors.As(err, &e) {
		out.Text, out.Next = e.What, e.Next
		return nil
	}
	if err != nil {
		return err
	}
	if out.Mounted = true; chosen.ReadOnly {
		out.Text = chosen.Advice
	}
	return nil
}

// quiet is how long nothing new may come, once the drivers of what was there
// are loaded, until it has settled: sticks show their disk after a second.
const quiet = 3 * time.Second

// await waits until found, at most as long as the options say.
func (o Options) await(ctx context.Context, found func() bool) {
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	events := make(chan struct{}, 1)
	if l, err := uevent.Listen(); err == nil {
		defer l.Close()
		go l.Announce("block", events)
	}
	settled := make(chan struct{})
	if o.Settle {
		go func() {
			looking.Wait(ctx, time.Minute)
			close(settled)
		}()
	}
	var over <-chan time.Time
	for !found() {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case <-settled:
			settled, over = nil, time.After(quiet)
		case <-events:
			if over != nil {
				over = time.After(quiet)
			}
		}
	}
}
