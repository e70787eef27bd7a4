package main

import (
	"context"
	"flag"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/clonezilla"
	"doppel.live/internal/engine"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
)

const cloneUsage = "doppel clone SOURCE TARGET... [--except NAMES] [--plan] [--consent CODE | --yes] [--verify] [--delta] [--json]"

const cloneHelp = `Copies a disk to other disks, or a partition to other partitions, without an
image between them: of file systems whose allocation is understood only the
blocks in use. The source is only read, once for all targets. Everything on the
targets is lost; each must be at least as large as the source.

It shows what the targets are and hold, and asks for the last characters of
their serial numbers before it writes. The partition table is written last: a
clone that was interrupted leaves nothing that looks whole. Source and clone
have the same UUIDs: do not mount both on one machine at the same time.

SOURCE and TARGET are a path, a kernel name (sda), serial:, wwn:, uuid:,
partuuid: or label: with a value, or rule:CONDITIONS such as
rule:size>=200G,bus=nvme, which exactly one disk must meet (doppel help job
lists the conditions).

Options:
  --except NAMES   leave these partitions empty, such as sda3,sda5
  --plan           print what would be done, and stop
  --consent CODE   agree to exactly what --plan showed, by the code it printed
  --yes            agree without being asked; a refusal stays a refusal
  --verify         read the targets back and compare them with the source
  --delta          read the targets first and write only what differs
  --json           print events, one JSON document a line
`

func runClone(ctx context.Context, c *console, args []string) error {
	set := flag.NewFlagSet("clone", flag.ContinueOnError)
	ts := &targets{}
	ts.flags.register(set)
	var except list
	set.Var(&except, "except", "")
	rest, err := c.parse(set, "clone", args)
	if err == nil && len(rest) < 2 {
		err = misuse("clone takes a source and one or more targets")
	}
	if err == nil {
		err = ts.flags.check()
	}
	if err != nil {
		return err
	}
	s := &saving{options: clonezilla.Options{Tables: map[int]*partition.Table{}}}
	defer s.close()
	if err := s.survey(rest[:1], "", except); err != nil {
		return err
	}
	if err := ts.from(s); err != nil {
		return err
	}
	return ts.write(ctx, c, "clone", rest[1:])
}

// from makes the source of a clone out of what a save would read.
func (ts *targets) from(s *saving) error {
	disk := s.manifest.Disks[0]
	device := s.input.Sources[0].Device
	if !s.manifest.WholeDisk {
		for _, v := range disk.Volumes {
			if v.Method != image.Absent {
				ts.flags.only = append(ts.flags.only, v.Name)
				device.Path, device.Size = s.origins[0].Table.PartitionName(device.Path, v.Number), v.Size
			}
		}
	}
	// A consent is for this source as it is now.
	looked, err := blockdev.Examine(s.sources[0].Disk().Path, inventory.Describe)
	if err != nil {
		return err
	}
	s.manifest.Name, s.manifest.ID = disk.Name, looked.Code()
	s.input.Free = -1
	saved := plan.NewSave(s.input)
	ts.image, ts.source, ts.refusals = engine.Live(s.manifest, s.origins), &device, saved.Refusals
	whole, _ := blockdev.System{}.DiskOf(disk.Name)
	ts.away = []string{whole, s.sources[0].Disk().Path}
	return nil
}
