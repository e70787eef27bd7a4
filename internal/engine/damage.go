package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/image"
	"doppel.live/internal/rescue"
)

// Bounds of what is kept of the damage: extents in the manifest (the map has
// all of them), files in the event, bytes of the list of files.
const (
	maxDamage  = 10000
	maxNamed   = 1000
	maxListing = 64 << 20
)

// assess notes in the manifest what could not be read, and gives it with the
// list of the files that it hits.
func assess(ctx context.Context, disk *image.Disk, o *Origin, d *rescue.Disk) (*Damage, []byte, error) {
	s := d.Statistics()
	damage := &Damage{Volumes: []VolumeDamage{}, Disk: []image.Damage{}, Slow: s.Slow, Longest: s.Longest.Seconds()}
	var text bytes.Buffer
	var areas []extent.Extent
	for _, a := range disk.Areas {
		areas = append(areas, d.Left([]extent.Extent{{Offset: a.Offset, Length: a.Length}})...)
	}
	// A copy of a table that cannot be read may be none of the areas.
	for _, e := range extent.Union(areas, d.Bad(outside(disk))) {
		disk.Damaged = append(disk.Damaged, image.Damage(e))
		damage.Disk = append(damage.Disk, image.Damage(e))
		damage.Bytes += e.Length
		fmt.Fprintf(&text, "# %s: %d bytes at byte %d of the disk, in tables or boot code, could not be read.\n", disk.Name, e.Length, e.Offset)
	}
	for j := range disk.Volumes {
		v := &disk.Volumes[j]
		var bad []extent.Extent // from the start of the volume
		for _, e := range d.Left(onDisk(*v, o.Allocated[j])) {
			bad = append(bad, extent.Extent{Offset: e.Offset - v.Offset, Length: e.Length})
		}
		if len(bad) == 0 {
			continue
		}
		v.Damaged = damages(bad)
		found, err := hits(ctx, io.NewSectionReader(d, v.Offset, v.Size), *v, bad, &text)
		if err != nil {
			return nil, nil, err
		}
		v.Hit = &found.Hit
		found.Name, found.Extents, found.Bytes = v.Name, v.Damaged, extent.Total(bad)
		damage.Volumes = append(damage.Volumes, *found)
		damage.Bytes += found.Bytes
	}
	return damage, text.Bytes(), nil
}

// damages writes extents as an image keeps them. Too many are joined over the
// smallest gaps between them: better too much than too little.
func damages(bad []extent.Extent) []image.Damage {
	gaps := make([]int64, 0, len(bad))
	for i := 1; i < len(bad); i++ {
		gaps = append(gaps, bad[i].Offset-bad[i-1].End())
	}
	joined := int64(-1) // gaps up to this one are joined over
	if len(bad) > maxDamage {
		slices.Sort(gaps)
		joined = gaps[len(gaps)-maxDamage]
	}
	var out []image.Damage
	for _, e := range bad {
		if n := len(out); n > 0 && e.Offset-out[n-1].Offset-out[n-1].Length <= joined {
			out[n-1].Length = e.End() - out[n-1].Offset
			continue
		}
		out = append(out, image.Damage(e))
	}
	return out
}

// hits finds the files of a volume that have content in the bad extents. The
// list has one line for each: volume, number of bytes, path.
func hits(ctx context.Context, r io.ReaderAt, v image.Volume, bad []extent.Extent, text *bytes.Buffer) (*VolumeDamage, error) {
	found := &VolumeDamage{Files: []string{}, Hit: image.Hit{Files: -1, Metadata: true}}
	fmt.Fprintf(text, "# %s: %d bytes in %d places could not be read.\n", v.Name, extent.Total(bad), len(bad))
	lister, why := listerOf(r, v)
	if lister == nil {
		found.Hit.Reason = why
		fmt.Fprintf(text, "# The files that this damages cannot be named: %s.\n", why)
		return found, nil
	}
	w := &hitList{volume: v.Name, bad: bad, text: text, found: found}
	if err := w.walk(ctx, lister.Files()); err != nil {
		return nil, err
	}
	return found, nil
}

// listerOf opens what lies on a volume, if its files can be named.
func listerOf(r io.ReaderAt, v image.Volume) (filesystem.Lister, string) {
	p, err := probe.Probe(r, v.Size)
	switch lister, ok := p.FileSystem.(filesystem.Lister); {
	case err != nil:
		return nil, fmt.Sprintf("what lies on it cannot be read: %v", err)
	case ok:
		return lister, ""
	case p.Info.Type == "":
		return nil, "nothing is recognised on it"
	case p.FileSystem == nil:
		return nil, p.Reason
	}
	return nil, "the files of " + p.Info.Type + " cannot be listed yet"
}

// hitList gathers the files that are hit.
type hitList struct {
	volume  string
	bad     []extent.Extent
	covered []extent.Extent // of bad: content of files
	text    *bytes.Buffer
	found   *VolumeDamage
	broken  int64  // directories and files that could not be read
	first   string // why, of the first
	more    int64  // files that are not in the list any more
}

// walk looks at all files.
func (w *hitList) walk(ctx context.Context, files iter.Seq2[*filesystem.File, error]) error {
	w.found.Hit.Files = 0
	for f, err := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.unread(err)
		}
		if f != nil && f.Content != nil {
			w.file(f)
		}
	}
	w.end()
	return nil
}

func (w *hitList) unread(err error) {
	if w.broken++; w.broken == 1 {
		w.first = err.Error()
	}
}

// file adds a file if any byte of its content is in the bad extents.
func (w *hitList) file(f *filesystem.File) {
	lost := int64(0)
	for run, err := range f.Content.Runs() {
		if err != nil {
			w.unread(fmt.Errorf("%s: %w", f.Path, err))
			break
		}
		if run.Unwritten || run.Offset >= f.Size {
			continue // no content: what is behind the end, or reads as zeros
		}
		content := run.Extent
		content.Length = min(content.Length, f.Size-run.Offset)
		i, _ := slices.BinarySearchFunc(w.bad, content.Offset, func(e extent.Extent, off int64) int {
			return int(min(1, max(-1, e.End()-1-off)))
		})
		for ; i < len(w.bad) && w.bad[i].Offset < content.End(); i++ {
			from, to := max(w.bad[i].Offset, content.Offset), min(w.bad[i].End(), content.End())
			w.covered = append(w.covered, extent.Extent{Offset: from, Length: to - from})
			lost += to - from
		}
	}
	if lost > 0 {
		w.add(f, lost)
	}
}

func (w *hitList) add(f *filesystem.File, lost int64) {
	name := f.Path
	if f.Stream != "" {
		name += ":" + f.Stream
	}
	w.found.Hit.Files++
	if len(w.found.Files) < maxNamed {
		w.found.Files = append(w.found.Files, name)
	}
	if w.text.Len() > maxListing {
		w.more++
		return
	}
	fmt.Fprintf(w.text, "%s\t%d\t%s\n", w.volume, lost, plain(name))
}

// plain gives a path as it is, or quoted as Go does where it holds what a line
// of text cannot.
func plain(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` || strings.HasPrefix(name, `"`) {
		return quoted
	}
	return name
}

// end says what else is hit. What belongs to no file is the file system's own,
// or in use without holding anything; which of them is not known.
func (w *hitList) end() {
	w.found.Hit.Metadata = extent.Total(extent.Union(w.covered)) < extent.Total(w.bad)
	if w.found.Hit.Metadata {
		fmt.Fprintf(w.text, "# %s: some of it belongs to no file: the file system itself is, or may be, damaged.\n", w.volume)
	}
	if w.broken > 0 {
		w.found.Hit.Reason = fmt.Sprintf("%d directories or files could not be read, first: %s", w.broken, w.first)
		fmt.Fprintf(w.text, "# %s: there may be more damaged files: %s.\n", w.volume, w.found.Hit.Reason)
	}
	if w.more > 0 {
		fmt.Fprintf(w.text, "# %s: and %d files more.\n", w.volume, w.more)
	}
}
