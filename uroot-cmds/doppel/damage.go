package main

import (
	"fmt"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/engine"
	"doppel.live/internal/image"
	"doppel.live/internal/progress"
)

// damage tells what could not be read, and ends with status 4.
func (c *console) damage(text, took, name string, d *engine.Damage) error {
	places, files, unknown := len(d.Disk), int64(0), false
	for _, v := range d.Volumes {
		places += len(v.Extents)
		files += max(v.Hit.Files, 0)
		unknown = unknown || v.Hit.Files < 0
	}
	text += fmt.Sprintf(" (%s): %s in %d places could not be read", took, blockdev.Bytes(d.Bytes), places)
	switch {
	case unknown && files == 0:
		text += "; which files that hits is not known"
	case unknown:
		text += fmt.Sprintf("; %d files are damaged, and others that cannot be named", files)
	default:
		text += fmt.Sprintf("; %d files are damaged", files)
	}
	e := progress.Event{Kind: progress.Result, Status: damaged, Text: text, Report: d,
		Next: fmt.Sprintf("look at what is damaged with doppel images show %s and in %s in its folder; do not trust the disk any more", name, engine.DamagedFiles)}
	if c.json {
		c.report(e)
		return errStatus(damaged)
	}
	for _, v := range d.Volumes {
		c.line(c.err, fmt.Sprintf("%s: %s", v.Name, hitText(v.Bytes, len(v.Extents), &v.Hit)))
		for i, f := range v.Files {
			if i == 10 {
				c.line(c.err, fmt.Sprintf("  and %d more", v.Hit.Files-10))
				break
			}
			c.line(c.err, "  "+f)
		}
	}
	c.result(damaged, e.Text, e.Next)
	return errStatus(damaged)
}

// damageOf says what is damaged of a volume of an image.
func damageOf(v image.Volume) string { return hitText(v.Lost(), len(v.Damaged), v.Hit) }

func hitText(lost int64, places int, h *image.Hit) string {
	text := fmt.Sprintf("%s in %d places could not be read", blockdev.Bytes(lost), places)
	if h == nil {
		return text
	}
	switch {
	case h.Files >= 0:
		text += fmt.Sprintf("; %d files are damaged", h.Files)
	default:
		text += "; the files that this hits cannot be named"
	}
	if h.Files >= 0 && h.Metadata {
		text += ", and the file system itself is, or may be"
	}
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	return text
}
