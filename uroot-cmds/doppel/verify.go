package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/image"
	"doppel.live/internal/progress"
)

const verifyUsage = "doppel verify IMAGE [--images PLACE] [--credentials FILE] [--json]"

const verifyHelp = `Reads every byte of an image, checks every checksum, and says of each volume
whether it can be restored, why not, and what its checksums do not protect. It
changes nothing. Exit status 1: something cannot be restored.

IMAGE is a path, or a name in the place for images.

Options:
  --images PLACE where the images are; doppel help places says how a
                 place is named (default: $DOPPEL_IMAGES, or the place
                 chosen in the live system, or /images)
  --credentials FILE
                 what the server of the place asks for
  --json         print events, one JSON document a line
`

func runVerify(ctx context.Context, c *console, args []string) error {
	fs := flag.NewFlagSet("verify", flag.ContinueOnError)
	images := imagesFlag(fs)
	rest, err := c.parse(fs, "verify", args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return misuse("verify takes one image")
	}
	d, name, err := images.openImage(ctx, c, rest[0])
	if err != nil {
		return err
	}
	defer d.Close()
	report, err := clonezilla.Verify(ctx, d, name, c.report)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	return c.verdict(report)
}

// verdict tells what verify found and ends with status 1 if it was damage.
func (c *console) verdict(r clonezilla.Report) error {
	var broken []string
	for _, v := range r.Volumes {
		if !v.Restorable {
			broken = append(broken, v.Name)
		}
		if c.json {
			continue
		}
		state := "can be restored"
		switch {
		case !v.Restorable:
			state = "CANNOT be restored: " + strings.Join(v.Problems, "; ")
		case v.Method == image.Absent:
			state = "is not in the image"
		}
		if len(v.Notes) > 0 {
			state += " (" + strings.Join(v.Notes, "; ") + ")"
		}
		c.line(c.out, fmt.Sprintf("%-14s %s", v.Name, state))
	}
	if !c.json {
		for _, p := range append(r.Problems, r.Warnings...) {
			c.line(c.err, "Warning: "+p)
		}
	}
	e := progress.Event{Kind: progress.Result, OK: r.Restorable, Report: r}
	e.Text = fmt.Sprintf("image %s can be restored", r.Image)
	if r.Damaged > 0 {
		e.Text += fmt.Sprintf(", with the damage of its source: %s of that could not be read", blockdev.Bytes(r.Damaged))
	}
	if !r.Restorable {
		e.Status, e.Next = failed, "restore only what is whole, or take another image; save again while the source is there"
		e.Text = fmt.Sprintf("image %s is damaged", r.Image)
		if !r.Changed {
			e.Text = fmt.Sprintf("image %s is as it was saved", r.Image)
			e.Next = "restore the other volumes with --only, and these with Clonezilla"
		}
		if len(broken) > 0 {
			e.Text += ": " + strings.Join(broken, ", ") + " cannot be restored"
		}
	}
	if c.json {
		c.report(e)
	} else {
		c.result(e.Status, e.Text, e.Next)
	}
	if !r.Restorable {
		return errStatus(failed)
	}
	return nil
}
