package stick

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"doppel.live/internal/filesystem/exfat/format"
	"doppel.live/internal/partition"
	"doppel.live/internal/progress"
)

// Source is an image that sticks can be written from: doppel.iso,
// doppel-usb.img, or a disc or stick with one of them.
type Source struct {
	Build string
	Bytes int64 // that are copied

	r          io.ReaderAt
	end        int64 // of the EFI system partition
	mbr        []byte
	partitions []partition.Partition // 1 and 2
}

// NewSource looks at what may be an image of size bytes.
func NewSource(r io.ReaderAt, size int64) (*Source, error) {
	notOne := errors.New("it is no Doppel medium and no image of one")
	if size < systemArea+mib {
		return nil, notOne
	}
	build, end, err := medium(r)
	if err != nil {
		return nil, err
	}
	table, err := partition.Read(r, size, sector)
	if err != nil {
		return nil, err
	}
	s := Survey{size: size, end: end, table: table}
	if build == "" || !s.ours() {
		return nil, notOne
	}
	mbr, err := read(r, 0, sector)
	if err != nil {
		return nil, err
	}
	esp := table.Partitions[1].End()
	if esp > size || esp > Place {
		return nil, errors.New("the image is cut short, or larger than an image may be")
	}
	return &Source{build, esp - systemArea, r, esp, mbr, table.Partitions[:2]}, nil
}

// Target is a disk that a stick is written to: blockdev.Target.
type Target interface {
	Device
	DropCache() error // the next reads come from the medium
}

// For says what writing the image to a disk does: what a Doppel stick has
// behind its image is kept, unless fresh is set or it is no Doppel stick.
func (src *Source) For(r io.ReaderAt, size int64, fresh bool) (*Survey, error) {
	s, err := Look(r, size)
	if err != nil {
		return nil, err
	}
	if s.Build != "" && !s.ours() { // writing it was interrupted
		s.Doubt, s.Next = "", ""
		if err := s.find(r, false); err != nil {
			return nil, err
		}
	}
	if s.Insist(); s.Build == "" || fresh {
		s.Fresh()
	}
	return s, nil
}

// Total is how many bytes writing a stick takes, reading it back included.
func (src *Source) Total(s *Survey) int64 {
	n := 2 * src.Bytes
	if l, err := format.Plan(s.Images.Length); err == nil && s.Do == Make {
		n += l.Written()
	}
	return n
}

// Write writes the image to a disk as the survey says, reads it back, and makes
// or keeps the images partition. The table comes last: what was interrupted
// does not look whole.
func (src *Source) Write(ctx context.Context, d Target, s *Survey, random io.Reader, m *progress.Meter) error {
	if s.Doubt != "" || s.Do == Nothing {
		return errors.New("nothing can be done here")
	}
	// The backup GPT of a stick whose images are kept stays until the end: it
	// says where they are.
	if err := put(d, make([]byte, systemArea), 0); err != nil {
		return err
	}
	if s.Do == Make {
		if err := put(d, make([]byte, s.size-lastUsable(s.size)), lastUsable(s.size)); err != nil {
			return err
		}
	}
	m.Step("writing the image", "", src.Bytes)
	if err := src.copy(ctx, d, m); err != nil {
		return err
	}
	m.Step("reading it back and comparing", "", src.Bytes)
	if err := src.compare(ctx, d, m); err != nil {
		return err
	}
	if s.Do == Make {
		l, err := format.Plan(s.Images.Length)
		if err != nil {
			return err
		}
		m.Step("making the images partition", Label, l.Written())
		if err := makeImages(d, s.Images, random); err != nil {
			return err
		}
		m.Add(l.Written())
	}
	return src.finish(d, s, random)
}

// finish writes what makes the disk a stick.
func (src *Source) finish(d Target, s *Survey, random io.Reader) error {
	list := s.partitions(src.partitions)
	if err := put(d, marker{state: grown}.encode(), MarkerOffset); err != nil {
		return err
	}
	if err := writeTable(d, s.size, src.mbr, list, random); err != nil {
		return err
	}
	if err := d.DropCache(); err != nil {
		return err
	}
	now, err := Look(d, s.size)
	if err != nil {
		return err
	}
	if now.Build != src.Build || now.Do != Use || now.Images.Start != s.Images.Start {
		return fmt.Errorf("what was written cannot be read back as a stick: %s", now.Doubt)
	}
	return nil
}

// copy writes the image, all of it but the system area.
func (src *Source) copy(ctx context.Context, d Target, m *progress.Meter) error {
	buf := make([]byte, mib)
	for at := int64(systemArea); at < src.end; at += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(int64(len(buf)), src.end-at)]
		if n, err := src.r.ReadAt(p, at); n < len(p) {
			return fmt.Errorf("image, at byte %d: %w", at, err)
		}
		if _, err := d.WriteAt(p, at); err != nil {
			return err
		}
		m.Add(int64(len(p)))
	}
	return d.DropCache()
}

// compare reads back what copy wrote.
func (src *Source) compare(ctx context.Context, d Target, m *progress.Meter) error {
	a, b := make([]byte, mib), make([]byte, mib)
	for at := int64(systemArea); at < src.end; at += mib {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(mib, src.end-at)
		if k, err := src.r.ReadAt(a[:n], at); int64(k) < n {
			return fmt.Errorf("image, at byte %d: %w", at, err)
		}
		if k, err := d.ReadAt(b[:n], at); int64(k) < n {
			return fmt.Errorf("reading back, at byte %d: %w", at, err)
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return fmt.Errorf("what is read back differs from what was written, between bytes %d and %d: the stick is failing", at, at+n)
		}
		m.Add(n)
	}
	return nil
}
