package iso

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// An Opener opens contents for reading, once for each time the disc is written.
type Opener func() (io.ReadCloser, error)

// Options describe the disc as a whole. Only VolumeID must be given.
type Options struct {
	VolumeID    string // label; see [CheckVolumeID]
	VolumeSetID string // at most 128 characters of printable ASCII

	// SetSize is the number of discs of the set and SequenceNumber the
	// place of this one in it, from 1. Zero means 1.
	SetSize, SequenceNumber int

	// Who published, prepared and wrote it: at most 128 characters of printable ASCII each.
	Publisher, Preparer, Application string

	// Time is the time of the volume, of directories nobody added and
	// of entries without their own. Zero means 1970-01-01. All times are
	// written in UTC, and nothing asks the clock: equal input gives equal bytes.
	Time time.Time

	Boot *Boot // nil: not bootable, no partition tables
}

// Boot makes a disc start on BIOS and UEFI machines, burned on a disc or
// copied to a disk. All fields are needed.
//
// Identifiers of the MBR, the GPT and its partitions are derived from the
// volume identifier, the volume set identifier and the sequence number, so
// give every build its own volume set identifier.
type Boot struct {
	Image   string // path on the disc of GRUB's eltorito.img, which is patched while it is written
	MBR     []byte // GRUB's boot_hybrid.img; bytes 0 to 431 are used
	ESP     Opener // EFI system partition, a FAT image
	ESPSize int64  // bytes, a multiple of 2048, less than 32 MiB
}

// An Entry is a file, a directory or a symbolic link.
type Entry struct {
	Path string // as [fs.ValidPath] wants it: "boot/vmlinuz"

	// Mode holds the type (regular, directory or link) and the permission
	// bits. No permission bits: 0444 for files, 0755 for directories.
	Mode fs.FileMode

	Time   time.Time // last change; zero means Options.Time
	Size   int64     // bytes, of a file
	Open   Opener    // contents of a file, exactly Size bytes; nil only if Size is 0
	Target string    // of a symbolic link
}

// Sentinel errors of [Builder.Add].
var (
	ErrExist = errors.New("already on the disc")
	ErrName  = errors.New("not usable as a path")
)

// A Builder collects the entries of a disc.
type Builder struct {
	options Options
	root    *node
	files   []*node // in the order added, which is their order on the disc
}

// A node is an entry in the tree.
type node struct {
	Entry
	name           string
	children       map[string]*node
	subdirectories int
	implied        bool // a directory made because something lies in it
	start          lba  // of the contents of a file
}

// New returns a Builder of an empty disc.
func New(o Options) *Builder {
	if o.Time.IsZero() {
		o.Time = time.Unix(0, 0)
	}
	if o.SetSize == 0 {
		o.SetSize = 1
	}
	if o.SequenceNumber == 0 {
		o.SequenceNumber = 1
	}
	b := &Builder{options: o}
	b.root = newDirectory("", o.Time)
	return b
}

func newDirectory(name string, t time.Time) *node {
	return &node{
		Entry:    Entry{Mode: fs.ModeDir | 0o755, Time: t},
		name:     name,
		children: map[string]*node{},
		implied:  true,
	}
}

// Add adds an entry. Directories that are missing above it are made. The
// path "." stands for the root.
func (b *Builder) Add(e Entry) error {
	if err := b.add(e); err != nil {
		return fmt.Errorf("iso: %q: %w", e.Path, err)
	}
	return nil
}

func (b *Builder) add(e Entry) error {
	if err := b.complete(&e); err != nil {
		return err
	}
	if e.Path == "." {
		return replaceDirectory(b.root, e)
	}
	parent, err := b.directory(path.Dir(e.Path))
	if err != nil {
		return err
	}
	name := path.Base(e.Path)
	if old := parent.children[name]; old != nil {
		return replaceDirectory(old, e)
	}
	n := &node{Entry: e, name: name}
	switch e.Mode.Type() {
	case fs.ModeDir:
		n.children = map[string]*node{}
		parent.subdirectories++
	case 0:
		b.files = append(b.files, n)
	}
	parent.children[name] = n
	return nil
}

// complete checks an entry and fills in what it leaves to defaults.
func (b *Builder) complete(e *Entry) error {
	if !fs.ValidPath(e.Path) || strings.ContainsRune(e.Path, 0) {
		return ErrName
	}
	if name := path.Base(e.Path); len(name) > maxName {
		return fmt.Errorf("%w: the name has %d bytes, at most %d fit", ErrName, len(name), maxName)
	}
	if e.Time.IsZero() {
		e.Time = b.options.Time
	}
	if err := checkTime(e.Time); err != nil {
		return err
	}
	switch {
	case e.Mode.IsDir() && e.Mode.Perm() == 0:
		e.Mode |= 0o755
	case e.Mode.IsRegular() && e.Mode.Perm() == 0:
		e.Mode |= 0o444
	case e.Mode&fs.ModeSymlink != 0:
		e.Mode |= 0o777
	}
	switch e.Mode.Type() {
	case fs.ModeDir:
		return nil
	case fs.ModeSymlink:
		if e.Target == "" || len(e.Target) > maxTarget {
			return fmt.Errorf("link target of %d bytes, want 1 to %d", len(e.Target), maxTarget)
		}
		return nil
	case 0:
		if e.Size < 0 || e.Size > maxFile {
			return fmt.Errorf("size of %d bytes, want 0 to %d", e.Size, int64(maxFile))
		}
		if e.Size > 0 && e.Open == nil {
			return errors.New("a file without contents")
		}
		return nil
	}
	return fmt.Errorf("mode %v: only files, directories and symbolic links can be written", e.Mode)
}

// replaceDirectory gives an implied directory the mode and time of an entry.
func replaceDirectory(old *node, e Entry) error {
	if !old.implied || !e.Mode.IsDir() {
		return ErrExist
	}
	old.Entry, old.implied = e, false
	return nil
}

// directory returns the directory at a path and makes it if need be.
func (b *Builder) directory(p string) (*node, error) {
	if p == "." {
		return b.root, nil
	}
	n := b.root
	for name := range strings.SplitSeq(p, "/") {
		if len(name) > maxName {
			return nil, ErrName
		}
		child := n.children[name]
		if child == nil {
			child = newDirectory(name, b.options.Time)
			n.children[name] = child
			n.subdirectories++
		}
		if !child.Mode.IsDir() {
			return nil, fmt.Errorf("%w, and %q is no directory", ErrExist, name)
		}
		n = child
	}
	return n, nil
}

// find returns the node at a path, or nil.
func (b *Builder) find(p string) *node {
	n := b.root
	for name := range strings.SplitSeq(p, "/") {
		if n = n.children[name]; n == nil {
			return nil
		}
	}
	return n
}

// AddBytes adds a file with the given contents, mode 0444.
func (b *Builder) AddBytes(path string, data []byte) error {
	return b.Add(Entry{Path: path, Size: int64(len(data)), Open: Bytes(data)})
}

// AddFile adds a file of the host, mode 0444 and with the time of Options.
// It is opened when the disc is written.
func (b *Builder) AddFile(path, host string) error {
	info, err := os.Stat(host)
	if err != nil {
		return fmt.Errorf("iso: %q: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("iso: %q: %s is not a regular file", path, host)
	}
	open := func() (io.ReadCloser, error) { return os.Open(host) }
	return b.Add(Entry{Path: path, Size: info.Size(), Open: open})
}

// Bytes returns an Opener of data.
func Bytes(data []byte) Opener {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}
