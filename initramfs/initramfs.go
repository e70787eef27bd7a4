package initramfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Options says what Write packs and from where. Sysroot, KernelTree, Source,
// Go and BuildID are needed; the other zero values are defaults.
type Options struct {
	Sysroot    string // root directory with the packages of Packages, unpacked
	KernelTree string // root directory with lib/modules or usr/lib/modules, from the kernel's package

	// KernelVersion is the name of the directory below lib/modules; empty: the
	// only one there is.
	KernelVersion string

	Source  string // directory of this module's go.mod
	Go      string // the go command
	Cache   string // directory for compressed parts, kept between builds; empty: nothing is kept
	BuildID string // written to /etc/doppel/build-id

	// Free leaves out everything from non-free-firmware.
	Free bool

	// Time is what every file in the archive carries; zero: 1970-01-01.
	Time time.Time

	// Log hears, from the caller's goroutine, what is being done; may be nil.
	Log func(format string, args ...any)
}

// Report lists what takes the space in an initramfs.
type Report struct {
	KernelVersion string
	Rows          []Row    // in the order of the archive
	Bytes         int64    // of the archive
	Unpacked      int64    // bytes of file contents in memory
	Missing       []string // firmware that chosen modules name and no package holds
}

// Row is one part of an initramfs.
type Row struct {
	Name     string
	Files    int
	Bytes    int64 // in the archive; an estimate where parts share a segment
	Unpacked int64 // bytes of file contents in memory
}

// Packages returns the names of the Debian packages that hold the programs,
// files and firmware of the live system, sorted. The kernel's own package and
// the libraries that the packages depend on are not among them: the caller
// follows dependencies. Free leaves out those of non-free-firmware.
func Packages(free bool) []string {
	names := append(slices.Clone(libraryPackages), certificatePackage)
	for _, p := range programList {
		names = append(names, p.pkg)
	}
	for _, f := range fileList {
		names = append(names, f.pkg)
	}
	for _, f := range firmwarePackages {
		if f.free || !free {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Write packs the live system's initramfs into w: several archives one after
// another, as the kernel unpacks them. The same inputs give the same bytes.
func Write(w io.Writer, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Time.IsZero() {
		o.Time = time.Unix(0, 0)
	}
	tmp, err := os.MkdirTemp("", "doppel-initramfs-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	c := cache(o.Cache)
	if c == "" {
		c = cache(tmp)
	}
	if err := os.MkdirAll(string(c), 0o755); err != nil {
		return nil, err
	}
	p := &packer{Options: o, w: w, cache: c, tmp: tmp}
	for _, segment := range []func() error{p.kernelSegment, p.userSegment, p.lastSegment} {
		if err := segment(); err != nil {
			return nil, err
		}
	}
	return &p.report, nil
}

// check finds what is missing in the options before any work is done.
func (o Options) check() error {
	if o.BuildID == "" {
		return errors.New("initramfs: no build id given")
	}
	for _, dir := range []string{o.Sysroot, o.KernelTree, o.Source} {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("initramfs: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("initramfs: %s is not a directory", dir)
		}
	}
	_, err := os.Stat(filepath.Join(o.Source, "go.mod"))
	return err
}
