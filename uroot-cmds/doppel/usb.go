package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/engine"
	"doppel.live/internal/image"
	"doppel.live/internal/plan"
	"doppel.live/internal/stick"
	"doppel.live/internal/store/dir"
)

const usbUsage = "doppel usb DEVICE [--image FILE] [--copy IMAGES] [--images PLACE] [--credentials FILE] [--fresh] [--plan] [--consent CODE | --yes] [--json]"

const usbHelp = `Writes a Doppel stick to DEVICE: the image that the live system was started
from, or that of --image, and behind it a partition for images (exFAT, label
IMAGES) that takes the rest of the stick. What was written is read back and
compared. Everything that was on DEVICE is lost, but for the images partition of
a stick that has one already: that is kept.

It shows what the target is and holds, and asks for the last characters of its
serial number before it writes. The partition table is written last: a stick
that was interrupted does not look whole. Each stick gets disk and partition
identifiers of its own.

DEVICE is a path, a kernel name (sdb), or serial:, wwn:, uuid:, partuuid: or
label: with a value.

Options:
  --image FILE     doppel-usb.img or doppel.iso, or a disc or stick with one of
                   them (default in the live system: what it was started from)
  --copy IMAGES    copy these images onto the stick, such as office-pc,lab; the
                   kernel must be able to mount exFAT
  --images PLACE   where they are; doppel help places says how a place is named
                   (default: $DOPPEL_IMAGES, or the place chosen in the live
                   system, or /images)
  --credentials FILE
                   what the server of the place asks for
  --fresh          make a new images partition in place of one that is there:
                   the images in it are lost
  --plan           print what would be done, and stop
  --consent CODE   agree to exactly what --plan showed, by the code it printed
  --yes            agree without being asked; a refusal stays a refusal
  --json           print events, one JSON document a line
`

// stickJob writes one stick.
type stickJob struct {
	targets
	from    string // path of the image or of the medium
	fresh   bool
	copies  list
	place   *place // that copies lie in; nil: nothing is copied
	bytes   int64  // of the copies
	written *stick.Source
	survey  *stick.Survey
}

func runUSB(ctx context.Context, c *console, args []string) error {
	set := flag.NewFlagSet("usb", flag.ContinueOnError)
	j := &stickJob{}
	images := imagesFlag(set)
	set.StringVar(&j.from, "image", "", "")
	set.BoolVar(&j.fresh, "fresh", false, "")
	set.Var(&j.copies, "copy", "")
	set.BoolVar(&j.flags.plan, "plan", false, "")
	set.BoolVar(&j.flags.yes, "yes", false, "")
	set.StringVar(&j.flags.consent, "consent", "", "")
	rest, err := c.parse(set, "usb", args)
	if err == nil && len(rest) != 1 {
		err = misuse("usb takes one device")
	}
	if err == nil {
		err = j.flags.check()
	}
	if err != nil {
		return err
	}
	source, err := j.open()
	if err != nil {
		return err
	}
	defer source.Close()
	if len(j.copies) > 0 {
		if j.place, err = images.open(ctx, c); err != nil {
			return err
		}
		defer j.place.Close()
	}
	if err := j.look(rest[0]); err != nil {
		return err
	}
	if err := j.show(c); err != nil || j.flags.plan {
		return err
	}
	if err := j.agree(ctx, c, "usb"); err != nil {
		return err
	}
	return j.run(ctx, c)
}

// open opens the image that is written.
func (j *stickJob) open() (*blockdev.Source, error) {
	if j.from == "" {
		media := blockdev.System{}.BootMedia()
		if len(media) == 0 {
			return nil, errors.New("there is no medium here that the machine was started from: name an image with --image doppel-usb.img")
		}
		j.from = media[0]
	}
	f, err := blockdev.OpenSource(j.from)
	if err != nil {
		return nil, err
	}
	if j.written, err = stick.NewSource(f, f.Size()); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", j.from, err)
	}
	return f, nil
}

// look finds out what the target is and plans what is done.
func (j *stickJob) look(spec string) error {
	t := &target{spec: spec}
	f, err := t.examine()
	if err != nil {
		return err
	}
	defer f.Close()
	t.plan = &plan.Restore{
		Image:    "Doppel " + j.written.Build,
		Target:   plan.Device{Path: t.disk.Path, Model: t.disk.Model, Serial: t.disk.Serial, Size: t.disk.Size, Contents: t.consent.Contents},
		Confirm:  plan.NewConfirm(t.disk.Serial, t.otherSerials()),
		Steps:    []plan.Step{},
		Refusals: []string{}, Warnings: []string{},
	}
	j.list = []*target{t}
	if j.survey, err = j.written.For(f, t.disk.Size, j.fresh); err != nil {
		return err
	}
	if err := j.plan(t, engine.ReadRate(f, t.disk.Size)); err != nil {
		return err
	}
	if len(t.plan.Refusals) > 0 {
		t.plan.Steps = []plan.Step{}
	} else {
		t.plan.Consent = j.code(t)
	}
	return nil
}

// plan fills in what is done with the target, or why it cannot be.
func (j *stickJob) plan(t *target, rate float64) error {
	p := t.plan
	j.refuse(t)
	p.Steps = append(p.Steps, plan.Step{Volume: "image", FileSystem: "iso9660", Method: image.Raw, Size: j.written.Bytes, Bytes: j.written.Bytes})
	im := j.survey.Images
	room := plan.Step{Volume: stick.Label, FileSystem: im.FileSystem, Method: "new", TargetOffset: im.Start, Size: im.Length}
	if j.survey.Do != stick.Make {
		room.Method, room.Reason = "kept", "it is there already, with what lies in it"
	}
	p.Steps = append(p.Steps, room)
	if err := j.planCopies(t); err != nil {
		return err
	}
	p.Bytes = j.written.Total(j.survey) + 2*j.bytes
	if rate > 0 {
		p.Seconds = int64(float64(p.Bytes)/rate) + 1
	}
	t.guard(j.flags.yes)
	return nil
}

// refuse says why the target cannot be a stick.
func (j *stickJob) refuse(t *target) {
	var holds []string
	if t.disk.Transport != "file" {
		holds = []string{j.from}
	}
	if j.place != nil {
		holds = append(holds, j.place.holds("")...)
	}
	t.refuse(holds)
	refuse := func(text string) { t.plan.Refusals = append(t.plan.Refusals, text) }
	_, number := blockdev.System{}.DiskOf(t.disk.Name)
	from, _ := filepath.EvalSymlinks(j.from)
	switch {
	case from == t.disk.Path:
		refuse("the image itself lies there: choose another disk")
	case number > 0 && t.disk.Transport != "file":
		refuse(t.disk.Path + " is a partition: name the disk")
	case t.disk.SectorSize != 512:
		refuse(fmt.Sprintf("its sectors have %d bytes: machines start only sticks with sectors of 512", t.disk.SectorSize))
	case j.survey.Doubt != "":
		refuse(j.survey.Doubt + ": " + j.survey.Next)
	}
}

// planCopies looks at the images that are to be copied.
func (j *stickJob) planCopies(t *target) error {
	if len(j.copies) == 0 {
		return nil
	}
	p := t.plan
	d := j.place
	for _, name := range j.copies {
		im, err := clonezilla.Open(d, name)
		if err != nil {
			return fmt.Errorf("image %s: %w", name, err)
		}
		im.Close()
		n, err := stick.SizeOf(d, name)
		if err != nil {
			return fmt.Errorf("image %s: %w", name, err)
		}
		j.bytes += n
		p.Steps = append(p.Steps, plan.Step{Volume: name, FileSystem: "image", Method: "copy", Size: n, Bytes: n})
	}
	switch fs := j.survey.Images.FileSystem; {
	case t.disk.Transport == "file":
		p.Refusals = append(p.Refusals, "images can be copied to disks only: write the stick without --copy")
	case !canMount(fs):
		p.Refusals = append(p.Refusals, "this kernel has no driver for "+fs+", so nothing can be copied: write the stick without --copy, and copy the folders of the images to it on a system that has one (Linux 5.7 or later, Windows, macOS)")
	case j.survey.Do == stick.Make && j.bytes > j.survey.Images.Length:
		p.Refusals = append(p.Refusals, fmt.Sprintf("the images take %s, and the stick has room for %s: choose a larger one", blockdev.Bytes(j.bytes), blockdev.Bytes(j.survey.Images.Length)))
	}
	return nil
}

// code is a short digest of what somebody agrees to.
func (j *stickJob) code(t *target) string {
	h := sha256.New()
	fmt.Fprintf(h, "usb %s %q %d %+v %q", t.consent.Code(), j.written.Build, j.survey.Do, j.survey.Images, j.copies)
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// run writes the stick, then copies images.
func (j *stickJob) run(ctx context.Context, c *console) error {
	t := j.list[0]
	work := c.newJob("usb", filepath.Base(t.disk.Path))
	opened, err := j.targets.open(work.folder)
	if err != nil {
		return err
	}
	began := time.Now()
	work.meter.Start("writing a Doppel stick to "+t.disk.Path, t.plan.Bytes)
	err = j.written.Write(ctx, opened[0], j.survey, rand.Reader, work.meter)
	written := opened[0].Written()
	var unread error
	if err == nil {
		unread = opened[0].ReReadTable()
	}
	if err = errors.Join(err, opened[0].Close()); err != nil {
		if ctx.Err() != nil && written {
			return &engine.Error{Err: fmt.Errorf("cancelled: %s is no stick that starts", t.disk.Path), Next: "start doppel usb again: an images partition that was kept is still there"}
		}
		return &engine.Error{Err: err, Next: "nothing on " + t.disk.Path + " can be trusted to start now: write it again, or take another stick"}
	}
	text := fmt.Sprintf("%s is a Doppel stick: written, read back and compared in %s", t.disk.Path, clock(time.Since(began).Seconds()))
	if j.survey.Do != stick.Make {
		text += "; its images were kept"
	}
	if len(j.copies) > 0 {
		if unread != nil {
			return &engine.Error{Err: fmt.Errorf("%s; but nothing was copied: %w", text, unread), Next: "pull it out and put it in again, and copy the images then"}
		}
		if err := j.copyImages(ctx, work.meter); err != nil {
			return &engine.Error{Err: fmt.Errorf("%s; but not all images were copied: %w", text, err), Next: "the stick itself is good; copy the images again, or their folders on a system that can mount it (Linux 5.7 or later, Windows, macOS)"}
		}
		text += "; copied: " + strings.Join(j.copies, ", ")
	}
	c.result(done, text, "")
	return nil
}

// copyImages mounts the images partition and copies.
func (j *stickJob) copyImages(ctx context.Context, m meter) error {
	folder, unmount, err := mountImages(j.list[0].disk, j.survey.Images)
	if err != nil {
		return err
	}
	err = func() error {
		to, err := dir.Open(folder)
		if err != nil {
			return err
		}
		defer to.Close()
		return copyAll(ctx, j.place, to, j.copies, j.bytes, m)
	}()
	return errors.Join(err, unmount())
}
