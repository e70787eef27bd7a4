package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/engine"
	"doppel.live/internal/image"
	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
)

// The exit statuses.
const (
	done    = 0
	failed  = 1
	misused = 2
	refused = 3
	damaged = 4
)

// command is one subcommand. Its help is its manual.
type command struct {
	name, usage, summary, help string
	run                        func(ctx context.Context, c *console, args []string) error
}

func commands() []command {
	return []command{
		{"disks", disksUsage, "list disks, partitions and what is on them", disksHelp, runDisks},
		{"save", saveUsage, "save a disk or partitions to an image", saveHelp, runSave},
		{"restore", restoreUsage, "restore an image to a disk or partition", restoreHelp, runRestore},
		{"clone", cloneUsage, "copy a disk or partition to others, without an image", cloneHelp, runClone},
		{"verify", verifyUsage, "read and check every byte of an image", verifyHelp, runVerify},
		{"convert", convertUsage, "make an image, a raw or a qcow2 file out of another", convertHelp, runConvert},
		{"usb", usbUsage, "write a Doppel stick", usbHelp, runUSB},
		{"images", imagesUsage, "list, show, rename and remove images", imagesHelp, runImages},
		{"run", runUsage, "do what a job file says, without asking", runJobHelp, runJob},
		{"logs", logsUsage, "list, show and keep the logs of jobs", logsHelp, runLogs},
		{"version", "doppel version", "print the version", versionHelp, runVersion},
		{"help", "doppel help [COMMAND]", "explain a command", helpHelp, runHelp},
	}
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func misuse(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errStatus ends the command with a status when everything was said already.
type errStatus int

func (e errStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func run(ctx context.Context, args []string, c *console) int {
	c.json = asksJSON(args)
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "-help" {
		overview(c.out)
		if len(args) == 0 {
			return misused
		}
		return done
	}
	for _, cmd := range commands() {
		if cmd.name == args[0] {
			blockdev.ReleaseAbandoned()
			return c.finish(ctx, cmd, cmd.run(ctx, c, args[1:]))
		}
	}
	c.result(misused, fmt.Sprintf("there is no command %q", args[0]), "doppel help lists the commands")
	return misused
}

// asksJSON says whether the answer is to be JSON, whatever else is wrong with
// the command line.
func asksJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "-json")
}

// finish tells an error with what to do next, and gives the exit status.
func (c *console) finish(ctx context.Context, cmd command, err error) int {
	defer c.end()
	var status errStatus
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return done
	case errors.As(err, &status):
		return int(status)
	}
	text, next, code := advise(ctx, err)
	var misuse *usageError
	if errors.As(err, &misuse) {
		next, code = fmt.Sprintf("doppel %s --help explains it. Usage: %s", cmd.name, cmd.usage), misused
	}
	c.result(code, text, next)
	return code
}

// advise turns an error into a sentence, the next thing to do and a status.
func advise(ctx context.Context, err error) (text, next string, status int) {
	var failure *engine.Error
	var away *remote.Error
	refusal, isRefusal := blockdev.IsRefusal(err)
	switch {
	case isRefusal:
		return err.Error(), refusal.Next, refused
	case errors.Is(err, context.Canceled) || ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return "cancelled", "start the command again when you want to", failed
	case errors.Is(err, store.ErrFull):
		return err.Error(), "make room in the place for images (doppel images remove) or choose another with --images", failed
	case errors.Is(err, store.ErrReadOnly):
		return err.Error(), "choose another place with --images, or mount it for writing", failed
	case errors.Is(err, clonezilla.ErrRescue):
		return err.Error(), "go on with it, or remove it with doppel images remove", failed
	case errors.Is(err, clonezilla.ErrBegun):
		return err.Error(), "go on with it, or remove it with doppel images remove", failed
	case errors.Is(err, clonezilla.ErrIncomplete):
		return err.Error(), "remove it with doppel images remove, and save again", failed
	case errors.Is(err, clonezilla.ErrExists), errors.Is(err, clonezilla.ErrBadName):
		return err.Error(), "choose another name", failed
	case errors.Is(err, clonezilla.ErrNoImage):
		return err.Error(), "doppel images lists the images there are", failed
	case errors.As(err, &failure):
		return err.Error(), failure.Next, failed
	case errors.As(err, &away):
		return err.Error(), strings.TrimSuffix(away.Next, "."), failed
	case errors.Is(err, image.ErrDamaged):
		return err.Error(), "check it with doppel verify, and take another image if there is one", failed
	case errors.Is(err, fs.ErrPermission):
		return err.Error(), "run it as root: only root may read and write disks", failed
	case gone(err):
		return err.Error(), "a disk went away or is failing: check its cable or network and its health with doppel disks; if images are on it, choose the place for images again", failed
	}
	return err.Error(), "", failed
}

// gone tells whether the device under what was asked for gives no answer.
func gone(err error) bool {
	for _, e := range []error{unix.EIO, unix.ENXIO, unix.ENODEV, unix.ENOMEDIUM, unix.ESHUTDOWN, unix.ESTALE, unix.ENOTCONN} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// parse reads options that stand before, between or behind the arguments.
func (c *console) parse(fs *flag.FlagSet, name string, args []string) ([]string, error) {
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.BoolVar(&c.json, "json", c.json, "")
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				explain(c.out, name)
				return nil, err
			}
			return nil, misuse("%s", strings.Replace(err.Error(), "flag provided but not defined", "there is no option", 1))
		}
		ended := len(args) > fs.NArg() && args[len(args)-fs.NArg()-1] == "--"
		if args = fs.Args(); len(args) == 0 || ended {
			return append(rest, args...), nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

func overview(w io.Writer) {
	fmt.Fprint(w, "doppel saves disks and partitions to images and restores them.\n\nUsage: doppel COMMAND [OPTIONS] [ARGUMENTS]\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n", cmd.name, cmd.summary)
	}
	fmt.Fprint(w, "\ndoppel COMMAND --help explains a command.\n"+
		"Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused to protect data, 4 done with damage.\n")
}

func explain(w io.Writer, name string) {
	for _, cmd := range commands() {
		if cmd.name == name {
			fmt.Fprintf(w, "%s: %s\n\nUsage: %s\n\n%s", cmd.name, cmd.summary, cmd.usage, cmd.help)
		}
	}
}

// list is an option that takes names with commas between them, and may be
// given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds names.
func (l *list) Set(text string) error {
	for n := range strings.SplitSeq(text, ",") {
		if n = strings.TrimPrefix(strings.TrimSpace(n), "/dev/"); n != "" {
			*l = append(*l, n)
		}
	}
	return nil
}
