package stick

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"doppel.live/internal/filesystem/exfat/format"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/partition"
)

// Do is what can be done about the images partition of a disk.
type Do int

// The things to do.
const (
	Nothing Do = iota // no Doppel medium, the plain image, or Doubt
	Use               // it is there
	Repair            // it is there, and one copy of the table must be mended
	Adopt             // its file system is there, and the table does not have it
	Make              // there is nothing
)

// Survey is what was found on a disk.
type Survey struct {
	Build  string // of the Doppel medium that the disk holds; "" none
	Stick  bool   // it was written from the stick image
	Do     Do     // for a disk that was written from the stick image; of others what would be done
	Images Images // the partition that is there, or would be
	Doubt  string // why nothing can be done, one sentence; "" it can
	Next   string // what the user can do about the doubt
	Empty  bool   // Doubt is only about bytes that nobody recognises, or a partition that was removed: see Insist

	size   int64
	end    int64 // of the image, bytes
	marker marker
	table  *partition.Table
	keep   []partition.Partition // behind the image: of the table, or of the one before it
}

// Images is the images partition.
type Images struct {
	Number     int    `json:"number"`
	Start      int64  `json:"start"`  // bytes from the start of the disk
	Length     int64  `json:"length"` // bytes
	FileSystem string `json:"file_system"`
	Label      string `json:"label"`
}

// Look surveys a disk of size bytes with sectors of 512. It only reads.
func Look(r io.ReaderAt, size int64) (*Survey, error) {
	s := &Survey{size: size &^ (sector - 1)}
	if size < systemArea+mib {
		return s, nil
	}
	var err error
	if s.Build, s.end, err = medium(r); err != nil || s.Build == "" {
		return s, err
	}
	if s.marker, err = readMarker(r); err != nil {
		return s, err
	}
	s.Stick = s.marker.state != plain
	if s.table, err = partition.Read(r, s.size, sector); err != nil {
		return s, err
	}
	return s, s.decide(r)
}

// decide finds the images partition: in the table, in the one before it, by
// looking where one would be.
func (s *Survey) decide(r io.ReaderAt) error {
	if !s.ours() {
		s.doubt("its partition table is not that of a Doppel medium", "write the image again")
		return nil
	}
	s.keep = s.behind(s.table.Partitions)
	return s.find(r, len(s.keep) > 0)
}

// find is decide where the image's own partitions are known.
func (s *Survey) find(r io.ReaderAt, inTable bool) error {
	if !inTable && s.marker.state != grown {
		s.keep = s.behind(backupTable(r, s.size))
	}
	if len(s.keep) > 0 {
		return s.chooseKept(r, inTable)
	}
	if err := s.lookAround(r); err != nil || s.marker.state != grown || s.Doubt != "" {
		return err
	}
	s.Doubt, s.Empty = "somebody removed its images partition", true
	s.Next = "to have it again: stick grow --fresh"
	return nil
}

// ours says whether partitions 1 and 2 are those of the image.
func (s *Survey) ours() bool {
	p := s.table.Partitions
	return s.table.Scheme == partition.GPT && s.table.Conflict() == "" && len(p) >= 2 && s.end > 0 &&
		p[0].Number == 1 && p[0].Start == systemArea && p[1].Number == 2 && p[1].Start == p[0].End() && p[1].End() < s.end
}

// behind gives those partitions that lie behind the image, and on the disk.
func (s *Survey) behind(list []partition.Partition) []partition.Partition {
	var found []partition.Partition
	for _, p := range list {
		if p.Start >= s.end && p.Size > 0 && p.End() <= lastUsable(s.size) && p.Number > 2 && p.Number <= entries {
			found = append(found, p)
		}
	}
	return found
}

// chooseKept takes one of the partitions that are there: the one with our
// name, else the first with a file system that images can lie on.
func (s *Survey) chooseKept(r io.ReaderAt, inTable bool) error {
	list := slices.Clone(s.keep)
	slices.SortStableFunc(list, func(a, b partition.Partition) int { return rank(a) - rank(b) })
	var seen []string
	for _, p := range list {
		fs, label, fits, err := recognise(r, p.Start, p.Size)
		if err != nil {
			return err
		}
		if fits {
			s.Images = Images{p.Number, p.Start, p.Size, fs, label}
			s.Do = Adopt
			if inTable {
				s.Do = Use
				if !s.table.Whole() || s.Stick && s.marker.state != grown {
					s.Do = Repair
				}
			}
			return nil
		}
		seen = append(seen, fmt.Sprintf("partition %d holds %s", p.Number, fs))
	}
	s.doubt("images cannot lie on what is behind the image: "+strings.Join(seen, ", "),
		"save what you need of it, and give the stick a fresh images partition: doppel usb DEVICE --fresh, in a system started from another medium")
	return nil
}

// rank puts the partition with our name first.
func rank(p partition.Partition) int {
	if p.Name == Label {
		return 0
	}
	return 1
}

// lookAround finds a file system without a table: where the images partition
// belongs, and where other images may have put it.
func (s *Survey) lookAround(r io.ReaderAt) error {
	if err := s.plan(); err != nil || s.Doubt != "" {
		return err
	}
	fs, label, fits, err := recognise(r, Place, s.Images.Length)
	switch {
	case err != nil:
		return err
	case fits:
		s.Images.FileSystem, s.Images.Label, s.Do = fs, label, Adopt
		return nil
	case fs != nothing:
		s.doubt("there is "+fs+" where its images partition would be",
			"save what you need of it, and give the stick a fresh images partition: doppel usb DEVICE --fresh, in a system started from another medium")
		return nil
	}
	if found, err := s.elsewhere(r); err != nil || found {
		return err
	}
	if s.marker.state == making && s.marker.start == Place && s.marker.length == s.Images.Length {
		return nil // it is of our own making
	}
	blank, err := s.blank(r)
	if err == nil && !blank {
		s.doubt("there are data that are not recognised where its images partition would be",
			"if nothing on this stick is needed any more, make the partition with: stick grow --fresh")
		s.Empty = true
	}
	return err
}

// plan is the partition that would be made.
func (s *Survey) plan() error {
	s.Images = Images{Number: 3, Start: Place, Length: room(s.size) - Place, FileSystem: "exfat", Label: Label}
	if s.Images.Length < least {
		s.Images = Images{}
		s.doubt(fmt.Sprintf("the disk is too small for an images partition: it has %d MB, and more than %d are needed", s.size/1e6, int64(Place+least)/1e6),
			"images need another disk or stick")
		return nil
	}
	s.Do = Make
	return nil
}

// How far around a file system without a table is looked for, and how near to
// the end of the disk it must reach to be an images partition and no remains
// of something else.
const (
	farthest = 2 << 30
	coarse   = 128 * mib
	nearEnd  = 64 * mib
)

// elsewhere looks at aligned places for a file system that fills the disk.
func (s *Survey) elsewhere(r io.ReaderAt) (bool, error) {
	end := room(s.size)
	for at := (s.end + mib - 1) / mib * mib; at < min(farthest, end-least); at += step(at) {
		head, err := read(r, at, 4096)
		if err != nil {
			return false, err
		}
		if at == Place || !bootSector(head) {
			continue
		}
		p, err := probe.Probe(io.NewSectionReader(r, at, end-at), end-at)
		if err != nil {
			return false, err
		}
		if i := p.Info; usable(i.Type) && len(p.Ambiguous) == 0 && i.Size <= end-at && i.Size > end-at-nearEnd {
			s.Images = Images{3, at, end - at, i.Type, i.Label}
			s.Do = Adopt
			return true, nil
		}
	}
	return false, nil
}

// step is the distance to the next place that is looked at.
func step(at int64) int64 {
	if at < Place {
		return mib
	}
	return coarse - at%coarse
}

// bootSector says in a hurry whether a file system of ours may begin here:
// exFAT, NTFS, FAT (offsets 3, 54, 82) or ext (magic at byte 1080).
func bootSector(b []byte) bool {
	for _, m := range []struct {
		at    int
		magic string
	}{{3, "EXFAT   "}, {3, "NTFS    "}, {54, "FAT"}, {82, "FAT32"}, {1080, "\x53\xEF"}} {
		if string(b[m.at:m.at+len(m.magic)]) == m.magic {
			return true
		}
	}
	return false
}

// nothing is what recognise says of a place where nothing is known to be.
const nothing = "nothing that is recognised"

// recognise names what lies there; fits says whether it is a file system for
// images that lies there as a whole.
func recognise(r io.ReaderAt, start, length int64) (fs, label string, fits bool, err error) {
	p, err := probe.Probe(io.NewSectionReader(r, start, length), length)
	switch {
	case err != nil:
		return "", "", false, err
	case len(p.Ambiguous) > 0:
		return "several formats (" + strings.Join(p.Ambiguous, ", ") + ")", "", false, nil
	case p.Info.Type == "":
		return nothing, "", false, nil
	case p.Info.Size > length:
		return fmt.Sprintf("the beginning of a file system (%s) of %d MB", p.Info.Type, p.Info.Size/1e6), p.Info.Label, false, nil
	}
	return p.Info.Type, p.Info.Label, usable(p.Info.Type) && p.Info.Size > 0, nil
}

// lookedAt is how much of the place must be blank, if that is more than what
// will be written at once.
const lookedAt = 16 * mib

// blank says whether there are only zeroes, or only ones, as in flash that was
// erased, where something would be written.
func (s *Survey) blank(r io.ReaderAt) (bool, error) {
	l, err := format.Plan(s.Images.Length)
	if err != nil {
		return false, err
	}
	far := min(max(l.Written(), lookedAt), s.Images.Length)
	for off := int64(0); off < far; off += mib {
		b, err := read(r, Place+off, min(mib, far-off))
		if err != nil {
			return false, err
		}
		if bytes.Count(b, []byte{0}) < len(b) && bytes.Count(b, []byte{0xFF}) < len(b) {
			return false, nil
		}
	}
	return true, nil
}

func (s *Survey) doubt(what, next string) { s.Do, s.Doubt, s.Next = Nothing, what, next }

// Insist takes away a doubt of which Empty says that a person may do that: bytes
// that nobody recognises are not wanted any more. A file system that was found
// is adopted all the same.
func (s *Survey) Insist() {
	if !s.Empty {
		return
	}
	s.Doubt, s.Next, s.Empty = "", "", false
	if s.Do == Nothing {
		_ = s.plan()
	}
}

// Fresh changes a survey to what is done where nothing that is there is wanted
// any more.
func (s *Survey) Fresh() {
	s.keep, s.Doubt, s.Next, s.Empty = nil, "", "", false
	_ = s.plan()
}
