package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/engine"
	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
	"doppel.live/internal/rescue"
	"doppel.live/internal/store"
	"doppel.live/internal/version"
)

// rescueOptions are the options of a save of a failing disk.
type rescueOptions struct {
	on, resume bool // resume: a rescue, or a save of a disk that is well
	finish     bool // make the image of what was read, without the disk
	retries    int
}

// noRetries stands for a --retries that was not given.
const noRetries = -1

func rescueFlags(fs *flag.FlagSet) *rescueOptions {
	o := &rescueOptions{}
	fs.BoolVar(&o.on, "rescue", false, "")
	fs.BoolVar(&o.resume, "resume", false, "")
	fs.BoolVar(&o.finish, "finish", false, "")
	fs.IntVar(&o.retries, "retries", noRetries, "")
	return o
}

// check tells whether the options fit each other and the number of arguments.
func (o *rescueOptions) check(args int) error {
	switch {
	case o.finish && !o.on:
		return misuse("--finish is for --rescue")
	case o.finish && args != 1:
		return misuse("save --rescue --finish takes the image and no source: nothing more is read of the disk")
	case o.finish && o.retries != noRetries:
		return misuse("--retries is for a disk that is read: leave it out with --finish")
	case !o.finish && args < 2:
		return misuse("save takes one or more sources and an image")
	case !o.on && o.retries != noRetries:
		return misuse("--retries is for --rescue")
	case o.retries < noRetries || o.retries > 1000:
		return misuse("--retries takes a number from 0 to 1000")
	case o.retries == noRetries:
		o.retries = 1
	}
	return nil
}

// rescuing is the rescue of a disk between its parts. Its methods do nothing
// where it is nil.
type rescuing struct {
	*rescueOptions
	args     []string // the sources and the image
	place    string
	path     string // of the spool
	name     string // of the image
	onlyLook bool   // nothing may be written: only a look
	problem  string // why it cannot be done
	report   progress.Func
	stop     <-chan struct{}
	meter    atomic.Pointer[progress.Meter]

	sectors *blockdev.Sectors // nil with finish
	spool   *rescue.Spool
	disk    *rescue.Disk
	made    bool // the spool is new, and nothing was begun
	remains bool // an image that was not finished is to be removed
}

func newRescuing(ctx context.Context, c *console, o *rescueOptions, args []string, place, name string, onlyLook bool) *rescuing {
	onlyLook = onlyLook || clonezilla.CheckName(name) != nil
	return &rescuing{rescueOptions: o, args: args, place: place, name: name, path: filepath.Join(place, name+".rescue"), onlyLook: onlyLook, report: c.report, stop: ctx.Done()}
}

// open gives the disk as what was read of it so far, and reads more as it is
// asked for.
func (r *rescuing) open(src *blockdev.Source, numbers []int, except []string) (io.ReaderAt, error) {
	r.sectors = src.Sectors()
	d := src.Disk()
	id := rescue.Identity{
		Image: r.name, Disk: d.Name, Model: d.Model, Serial: d.Serial, Size: d.Size, SectorSize: d.SectorSize,
		Partitions: numbers, Except: except,
	}
	if err := r.openSpool(d, id); err != nil {
		return nil, err
	}
	var err error
	r.disk, err = rescue.NewDisk(r.sectors, r.spool, rescue.Options{Tell: r.tell, Stop: r.stop, Comment: version.Tool})
	if err != nil {
		return nil, r.mapless(err)
	}
	return r.disk, nil
}

// mapless says of an error of the map where there is a copy.
func (r *rescuing) mapless(err error) error {
	if !errors.Is(err, rescue.ErrMap) {
		return err
	}
	return &engine.Error{Err: err, Next: fmt.Sprintf(
		"copy rescue.map from the folder of the last job's log (its places: %s) to %s, and start the command again; or remove what was begun with doppel images remove %s",
		strings.Join(logPlaces(), ", "), filepath.Join(r.path, "map"), filepath.Base(r.path))}
}

// openLost gives what was read of a disk that is not read any more.
func (r *rescuing) openLost() (id rescue.Identity, err error) {
	r.resume = true
	if r.spool, id, err = rescue.OpenLost(r.path); errors.Is(err, fs.ErrNotExist) {
		return id, misuse("no rescue to %s was begun in %s: --finish makes an image of what one has read", r.name, r.place)
	} else if err != nil {
		return id, err
	}
	r.disk, err = rescue.NewDisk(rescue.Lost{Bytes: id.Size, Sector: id.SectorSize}, r.spool, rescue.Options{Comment: version.Tool})
	if err != nil {
		return id, r.mapless(err)
	}
	if whole := []extent.Extent{{Length: id.Size}}; extent.Total(r.disk.Left(whole)) == id.Size {
		r.problem = fmt.Sprintf("nothing was read of the disk: there is nothing to make an image of; remove it with doppel images remove %s", filepath.Base(r.path))
	}
	return id, nil
}

// openSpool opens or makes the spool, if that is wanted and can be.
func (r *rescuing) openSpool(d blockdev.Disk, id rescue.Identity) error {
	behind, err := blockdev.System{}.Behind(r.place)
	if err != nil {
		return err
	}
	for _, name := range behind {
		if whole, _ := (blockdev.System{}).DiskOf(name); whole == d.Name {
			r.problem = fmt.Sprintf("the place for images %s lies on the disk that fails: choose another one with --images", r.place)
			return nil
		}
	}
	_, err = os.Lstat(r.path)
	there := err == nil
	remove := "doppel images remove " + filepath.Base(r.path)
	switch {
	case there && !r.resume:
		r.problem = fmt.Sprintf("a rescue to %s was begun already: go on with --resume, or remove it with %s", r.name, remove)
	case !there && r.resume:
		r.problem = fmt.Sprintf("no rescue to %s was begun in %s: leave out --resume", r.name, r.place)
	case there:
		r.spool, err = rescue.OpenSpool(r.path, id)
		if errors.Is(err, rescue.ErrOther) || errors.Is(err, rescue.ErrBusy) {
			r.spool, r.problem = nil, fmt.Sprintf("%v: take the other disk, or another name, or remove it with %s", err, remove)
			return nil
		}
		return err
	case !r.onlyLook:
		r.spool, err = rescue.CreateSpool(r.path, id)
		r.made = err == nil
		return err
	}
	return nil
}

// tell passes on that the disk hangs.
func (r *rescuing) tell(text string) {
	if m := r.meter.Load(); m != nil {
		m.Warn(text)
		return
	}
	r.report(progress.Event{Kind: progress.Warning, Text: text})
}

// gone makes of an error what a person can do if the disk went away.
func (r *rescuing) gone(err error) error {
	if r == nil || r.disk == nil || r.disk.Gone() == nil {
		return err
	}
	if errors.Is(r.disk.Gone(), context.Canceled) {
		return r.disk.Gone()
	}
	return &engine.Error{Err: r.disk.Gone(), Next: "check the cable and the power of the disk, plug it in again, then start the command again" + r.orFinish()}
}

// orFinish says, where something was read of it, what can be done if the disk
// never comes back.
func (r *rescuing) orFinish() string {
	if _, err := os.Lstat(r.path); err != nil || r.finish {
		return ""
	}
	return "; if it is gone for good, make the image of what was read with " + r.command("--finish", r.args[len(r.args)-1])
}

// command is the command line with other options for how to go on.
func (r *rescuing) command(how string, args ...string) string {
	words := []string{"doppel save --rescue", how}
	if filepath.Dir(r.args[len(r.args)-1]) == "." {
		words = append(words, "--images", r.place)
	}
	return strings.Join(append(words, args...), " ")
}

// missing adds to an error that a source cannot be found what can be done
// without it.
func (r *rescuing) missing(err error) error {
	if r == nil || !r.resume || r.orFinish() == "" {
		return err
	}
	return &engine.Error{Err: err, Next: "plug the disk in again" + r.orFinish()}
}

// leftover says whether the folder of the image is what a killed rescue left.
func (r *rescuing) leftover(d *place, name string) bool {
	if r == nil || !r.resume || r.spool == nil {
		return false
	}
	summary, err := clonezilla.Summarize(d, name)
	r.remains = err == nil && summary.Problem == clonezilla.ErrIncomplete.Error()
	return r.remains
}

// look adds to the plan what the rescue needs.
func (r *rescuing) look(s *saving) {
	if r == nil {
		return
	}
	var marks []int64 // superblocks; that of btrfs lies 64 KiB behind the start
	for _, v := range s.manifest.Disks[0].Volumes {
		marks = append(marks, v.Offset, v.Offset+64<<10)
	}
	if r.spool != nil && !r.made && r.disk.Changed(marks...) {
		r.problem = fmt.Sprintf("%s was written to since the rescue was begun, so what was read does not fit any more: remove it with doppel images remove %s, and start anew",
			s.input.Sources[0].Device.Path, filepath.Base(r.path))
	}
	s.input.Rescue = true
	if r.finish { // names of today's disks say nothing about it
		s.input.Behind = nil
	}
	s.input.Spool = rescue.Room(engine.Unread(&s.manifest.Disks[0], s.origins[0], r.disk), sparse(r.place))
	if r.problem != "" {
		s.input.Problem = r.problem
	}
}

// sparse says whether files there can have holes.
func sparse(path string) bool {
	var s unix.Statfs_t
	err := unix.Statfs(path, &s)
	return err == nil && !slices.Contains([]int64{unix.MSDOS_SUPER_MAGIC, unix.EXFAT_SUPER_MAGIC}, s.Type)
}

// close keeps what was read of a rescue that was begun.
func (r *rescuing) close() {
	if r == nil {
		return
	}
	if r.spool != nil && r.made {
		_ = r.spool.Remove() // nothing was begun
	} else if r.disk != nil {
		_ = r.disk.Close() // what it cannot write is read again
	} else if r.spool != nil {
		_ = r.spool.Close()
	}
	if r.sectors != nil {
		_ = r.sectors.Close()
	}
}

func (s *saving) runRescue(ctx context.Context, c *console, d *place, p *plan.Save) error {
	r, j := s.rescue, c.newJob("save", p.Image)
	r.meter.Store(j.meter)
	r.made = false
	if j.folder != "" {
		r.spool.Also(filepath.Join(j.folder, "rescue.map"))
	}
	create := func(m *image.Manifest, files map[string][]byte) (image.Writer, error) {
		if r.remains {
			if err := clonezilla.Remove(d, p.Image); err != nil {
				return nil, err
			}
		}
		s.options.Files = files
		return clonezilla.Create(d, m, s.options)
	}
	began := time.Now()
	damage, err := engine.SaveRescued(ctx, s.manifest, s.origins[0], engine.Rescue{Disk: r.disk, Retries: r.retries, Create: create}, c.history, j.meter)
	if err != nil {
		return r.stopped(ctx, err)
	}
	kept := r.finish && damage.Bytes > 0
	if err := r.dispose(kept); err != nil {
		j.meter.Warn(fmt.Sprintf("%s is not needed any more and could not be removed: %v", r.path, err))
	}
	text := fmt.Sprintf("image %s is saved in %s", p.Image, p.Place)
	took := fmt.Sprintf("%s in %s", blockdev.Bytes(p.Bytes), clock(time.Since(began).Seconds()))
	if kept {
		j.meter.Warn(fmt.Sprintf("what was read stays in %s, in case the disk comes back: remove it with doppel images remove %s", r.path, filepath.Base(r.path)))
	}
	if damage.Bytes > 0 {
		return c.damage(text+" with damage", took, p.Image, damage)
	}
	c.result(done, text+": "+took+"; every sector could be read", "")
	return nil
}

// dispose ends the work with the spool, and removes it unless it is kept.
func (r *rescuing) dispose(kept bool) error {
	if kept {
		return nil // close does the rest
	}
	defer func() { r.spool = nil }()
	return r.spool.Remove()
}

// stopped says that what was read is kept, and how to go on.
func (r *rescuing) stopped(ctx context.Context, err error) error {
	how := "--resume"
	if r.finish {
		how = "--finish"
	}
	resume := fmt.Sprintf("go on with %s; what was read is kept in %s", r.command(how, r.args...), r.path)
	text := fmt.Errorf("image %s is not saved yet: %w", r.name, err)
	switch {
	case ctx.Err() != nil:
		text = fmt.Errorf("cancelled: image %s is not saved yet", r.name)
	case errors.Is(err, rescue.ErrGone):
		resume = "check the cable and the power of the disk, plug it in again, then " + resume + r.orFinish()
	case errors.Is(err, store.ErrFull):
		text = fmt.Errorf("image %s is not saved yet: no room left in %s", r.name, r.place)
		resume = "make room there, then " + resume
	case slices.ContainsFunc([]error{unix.EIO, unix.EROFS, unix.ENODEV, unix.ENXIO, unix.ENOTCONN, unix.ESTALE}, func(is error) bool { return errors.Is(err, is) }):
		resume = "the place for images went away or is failing: check its cable or network and its health with doppel disks, and mount it again; then " + resume
	}
	return &engine.Error{Err: text, Next: resume}
}
