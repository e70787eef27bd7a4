package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/live/looking"
)

const disksUsage = "doppel disks [--json]"

const disksHelp = `Lists the disks of this machine with model, serial number, size and health, and
their partitions with what is on them and how much of it is used. It reads only.

How a partition can be saved: "blocks" saves the blocks in use, "raw" every
byte, "swap" only UUID and label.

Options:
  --json   print one JSON document
`

func runDisks(ctx context.Context, c *console, args []string) error {
	rest, err := c.parse(flag.NewFlagSet("disks", flag.ContinueOnError), "disks", args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return misuse("disks takes no arguments")
	}
	looking.Wait(ctx, 20*time.Second)
	disks, err := inventory.List(ctx)
	if err != nil {
		return err
	}
	if c.json {
		return c.print(struct {
			Disks []inventory.Disk `json:"disks"`
		}{disks})
	}
	if len(disks) == 0 {
		c.say("There is no disk.")
	}
	for _, d := range disks {
		showDisk(c, d)
	}
	return nil
}

func showDisk(c *console, d inventory.Disk) {
	facts := []string{blockdev.Bytes(d.Size)}
	for _, f := range []string{d.Model, d.Transport} {
		if f != "" {
			facts = append(facts, f)
		}
	}
	if d.Serial != "" {
		facts = append(facts, "serial "+d.Serial)
	}
	if d.WWN != "" {
		facts = append(facts, "WWN "+d.WWN)
	}
	if d.BootMedium {
		facts = append(facts, "the live system was started from it")
	}
	if d.ReadOnly {
		facts = append(facts, "read-only")
	}
	c.say("%s  %s", d.Path, strings.Join(facts, ", "))
	if d.Health.State != "unknown" {
		c.say("  health: %s (%s)", d.Health.State, d.Health.Text)
	}
	switch {
	case len(d.Partitions) == 0:
		c.say("  %s", d.Contents)
	case d.Scheme != "none" && d.Scheme != "":
		kind := d.Scheme
		if d.Hybrid {
			kind += " with a hybrid MBR"
		}
		c.say("  table: %s", kind)
	}
	for _, p := range d.Partitions {
		c.say("%s", partitionLine(p))
	}
	for _, w := range d.Warnings {
		c.say("  Warning: %s", w)
	}
	for _, use := range d.InUse {
		c.say("  %s", use)
	}
}

func partitionLine(p inventory.Partition) string {
	kind := p.FileSystem
	if kind == "" {
		kind = "-"
	}
	used := ""
	if p.Used >= 0 {
		used = blockdev.Bytes(p.Used) + " used"
	} else if p.Method == image.Raw {
		used = "raw"
	}
	label := p.Label
	if label == "" {
		label = p.PartLabel
	}
	if state := stateText(p.State); state != "" {
		label = strings.TrimSpace(label + "  (" + state + ")")
	}
	return fmt.Sprintf("  %-14s %-12s %10s  %-16s %s", p.Name, kind, blockdev.Bytes(p.Size), used, label)
}

// stateText says what is to know about how a file system was left; nothing of
// a clean one.
func stateText(s filesystem.State) string {
	switch s {
	case filesystem.Dirty:
		return "was not unmounted, or has errors"
	case filesystem.Recovery:
		return "was not unmounted: its journal must be replayed"
	case filesystem.Hibernated:
		return "hibernated: a sleeping system will come back to it"
	}
	return ""
}
