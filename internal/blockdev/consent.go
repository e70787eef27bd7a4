package blockdev

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"doppel.live/internal/extent"
)

// edge is how much of the beginning and of the end of a device is compared
// with what was consented to, and kept before it is overwritten.
const edge = 1 << 20

// Describe says in one line what lies on a device, and marks where somebody who
// uses it leaves traces, such as the superblock that each mount changes.
type Describe func(r io.ReaderAt, size, sectorSize int64) (line string, marks []extent.Extent, err error)

// Consent is the device that somebody agreed to overwrite, as it was shown to
// them.
type Consent struct {
	Path, Model, Serial string
	Size                int64  // bytes
	Contents            string // one line
	Digest              string // SHA-256 of the first and the last MiB and of what is marked, hex
}

// Code is a short digest of the consent, which a command line can carry.
func (c Consent) Code() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %d %q %s", c.Path, c.Model, c.Serial, c.Size, c.Contents, c.Digest)
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// String names the device as every message about it does.
func (c Consent) String() string {
	parts := []string{}
	if c.Model != "" {
		parts = append(parts, c.Model)
	}
	if c.Serial != "" {
		parts = append(parts, "serial "+c.Serial)
	}
	parts = append(parts, Bytes(c.Size))
	if c.Contents != "" {
		parts = append(parts, "now "+c.Contents)
	}
	return fmt.Sprintf("%s (%s)", c.Path, strings.Join(parts, ", "))
}

// differs names the first thing in which the device is not the one that was
// agreed to.
func (c Consent) differs(now Consent) string {
	switch {
	case c.Path != now.Path:
		return fmt.Sprintf("path %s was agreed to", c.Path)
	case c.Model != now.Model:
		return fmt.Sprintf("model %q was agreed to, it is %q", c.Model, now.Model)
	case c.Serial != now.Serial:
		return fmt.Sprintf("serial number %q was agreed to, it is %q", c.Serial, now.Serial)
	case c.Size != now.Size:
		return fmt.Sprintf("%d bytes were agreed to, it has %d", c.Size, now.Size)
	case c.Contents != now.Contents, c.Digest != now.Digest:
		return "its contents changed since they were shown"
	}
	return ""
}

// Bytes writes a size as people read it, in powers of ten: 500.1 GB.
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, unit := float64(n)/1000, 0
	for f >= 999.95 && unit < 5 {
		f, unit = f/1000, unit+1
	}
	return fmt.Sprintf("%.1f %s", f, []string{"kB", "MB", "GB", "TB", "PB", "EB"}[unit])
}

// Examine reads what a person must see of a device before they agree to lose
// what is on it.
func Examine(path string, describe Describe) (Consent, error) {
	return System{}.Examine(path, describe)
}

// Examine is Examine of that system.
func (s System) Examine(path string, describe Describe) (Consent, error) {
	d, err := s.Disk(path)
	if err != nil {
		return Consent{}, err
	}
	f, err := os.Open(d.Path)
	if err != nil {
		return Consent{}, err
	}
	defer f.Close()
	return examine(d, f, describe)
}

func examine(d Disk, r io.ReaderAt, describe Describe) (Consent, error) {
	c := Consent{Path: d.Path, Model: d.Model, Serial: d.Serial, Size: d.Size}
	var marks []extent.Extent
	var err error
	if describe != nil {
		if c.Contents, marks, err = describe(r, d.Size, d.SectorSize); err != nil {
			return c, fmt.Errorf("%s: %w", d.Path, err)
		}
	}
	if c.Digest, err = digest(r, append(edges(d.Size), marks...)); err != nil {
		return c, fmt.Errorf("%s: %w", d.Path, err)
	}
	return c, nil
}

func digest(r io.ReaderAt, list []extent.Extent) (string, error) {
	h := sha256.New()
	for _, e := range list {
		if _, err := io.Copy(h, io.NewSectionReader(r, e.Offset, e.Length)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// edges gives the first and the last MiB.
func edges(size int64) []extent.Extent {
	if size <= 2*edge {
		return []extent.Extent{{Length: size}}
	}
	return []extent.Extent{{Length: edge}, {Offset: size - edge, Length: edge}}
}

// Refusal says that a device must not be written to, to protect what is on
// it. Nothing was written.
type Refusal struct {
	Device Consent
	Reason string // "sda1 is mounted at /images"
	Next   string // what to do about it
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s: %s", r.Device, r.Reason)
}

// IsRefusal says whether an error is a refusal, and gives it.
func IsRefusal(err error) (*Refusal, bool) {
	var r *Refusal
	ok := errors.As(err, &r)
	return r, ok
}
