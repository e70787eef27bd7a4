package main

import (
	"context"
	"flag"
	"fmt"

	"doppel.live/internal/clonezilla"
)

const restoreUsage = "doppel restore IMAGE TARGET... [--images PLACE] [--credentials FILE] [--only NAMES] [--keep-table] [--plan] [--consent CODE | --yes] [--verify] [--delta] [--json]"

const restoreHelp = `Writes an image to a disk, or some of its volumes to the partitions of a disk
that has them already, or one volume to one partition. Everything that is there
is lost. The target must be at least as large as the source was. Several targets
are written with one reading of the image.

It shows what the target is and holds, and asks for the last characters of its
serial number before it writes. The partition table is written last: a restore
that was interrupted leaves nothing that looks whole. The old tables and the
first and last MiB of a target are kept in the folder of the job's log.

IMAGE is a path, or a name in the place for images. TARGET is a path, a kernel
name (sda), serial:, wwn:, uuid:, partuuid: or label: with a value, or
rule:CONDITIONS such as rule:size>=200G,bus=nvme, which exactly one disk must
meet (doppel help job lists the conditions).

Options:
  --images PLACE   where the images are; doppel help places says how a
                   place is named (default: $DOPPEL_IMAGES, or the place
                   chosen in the live system, or /images)
  --credentials FILE
                   what the server of the place asks for
  --only NAMES     restore only these volumes, such as sda2,sda5, and leave the
                   table and all other partitions alone
  --keep-table     restore all volumes into the partitions that the target has,
                   by number, and leave its table alone
  --plan           print what would be done, and stop
  --consent CODE   agree to exactly what --plan showed, by the code it printed
  --yes            agree without being asked; a refusal stays a refusal
  --verify         read the target back and compare it with the image
  --delta          read the target first and write only what differs
  --json           print events, one JSON document a line
`

func runRestore(ctx context.Context, c *console, args []string) error {
	set := flag.NewFlagSet("restore", flag.ContinueOnError)
	images := imagesFlag(set)
	ts := &targets{}
	ts.flags.register(set)
	set.BoolVar(&ts.flags.keepTable, "keep-table", false, "")
	set.Var(&ts.flags.only, "only", "")
	rest, err := c.parse(set, "restore", args)
	if err == nil && len(rest) < 2 {
		err = misuse("restore takes an image and one or more targets")
	}
	if err == nil {
		err = ts.flags.check()
	}
	if err != nil {
		return err
	}
	d, name, err := images.openImage(ctx, c, rest[0])
	if err != nil {
		return err
	}
	defer d.Close()
	im, err := clonezilla.Open(d, name)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	defer im.Close()
	ts.image, ts.holds = im, d.holds(name)
	return ts.write(ctx, c, "restore", rest[1:])
}

// write plans, shows, asks and writes.
func (ts *targets) write(ctx context.Context, c *console, name string, specs []string) error {
	if err := ts.prepare(specs); err != nil {
		return err
	}
	if err := ts.show(c); err != nil || ts.flags.plan {
		return err
	}
	if err := ts.agree(ctx, c, name); err != nil {
		return err
	}
	return ts.run(ctx, c, name)
}
