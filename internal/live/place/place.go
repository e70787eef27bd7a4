// Package place finds where images can lie, on the machine's own disks, sticks
// and discs and in the network, and makes the one that is chosen usable: a
// disk, NFS and SMB by the kernel's own drivers (mount options: nfs(5),
// mount.cifs(8)), the other kinds by a store that it is given. It makes no file
// systems, repairs none, and knows nothing of what an image is. It does not
// speak Kerberos, NFS over UDP, NFS version 2 or SMB 1.
package place

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"doppel.live/internal/store"
	"doppel.live/internal/store/remote"
)

// Dir is where the chosen place is mounted in the live system.
const Dir = "/images"

// Boot is the spec of the medium that the live system was started from.
const Boot = "boot"

// ToRAM is the file that stands where the start was one to RAM: the medium that
// was started from is no place then, so that it can be taken out at any time.
const ToRAM = "/run/doppel/toram"

// Place is a file system that may hold images.
type Place struct {
	Spec       string `json:"spec"` // what Use takes: /dev/sdb1, boot, or a URL without a secret
	Path       string `json:"path"` // its device; where it is mounted, for the current one of Status
	FileSystem string `json:"file_system"`
	Label      string `json:"label"`
	UUID       string `json:"uuid"`
	Size       int64  `json:"size"` // bytes
	Free       int64  `json:"free"` // bytes; -1 unless mounted
	Model      string `json:"model"`
	Removable  bool   `json:"removable"`
	BootMedium bool   `json:"boot_medium"` // lies on the medium that was started from
	ReadOnly   bool   `json:"read_only"`
	Current    bool   `json:"current"` // mounted at Dir
	Problem    string `json:"problem"` // why it cannot be used; "" if it can
}

// Error says why a place cannot be used and what to do about it.
type Error struct {
	What    string
	Next    string
	Missing bool  // there is no such place now; it may be plugged in later
	Err     error // what lies behind it, or nil; told in What
}

func (e *Error) Error() string { return e.What }

func (e *Error) Unwrap() error { return e.Err }

func missing(format string, args ...any) *Error {
	return &Error{What: fmt.Sprintf(format, args...), Missing: true}
}

// System is the machine to look at.
type System struct {
	Root string // folder in front of /sys, /proc, /dev, /etc; "" is the running machine
	// LoadModule loads a kernel module; nil loads none. The kernel asks for
	// modules of file systems by itself, not for the loop device's.
	LoadModule func(name string) error
	// Network brings the network up unless it is; nil trusts that it is.
	Network func(ctx context.Context) error
	// Open opens a place that is not mounted; nil knows none.
	Open Opener
}

// Opener opens a place by its URL.
type Opener func(ctx context.Context, l remote.Location, cred remote.Credentials) (store.Store, error)

func (s System) path(elem ...string) string {
	return filepath.Join("/", s.Root, filepath.Join(elem...))
}

// usable tells whether a file system is one that images can lie on, by the
// name that package probe gives it.
func usable(fs string) bool {
	switch fs {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "exfat", "vfat", "ntfs":
		return true
	}
	return false
}

// find gives the place that spec means: a device, LABEL=, UUID= or boot.
func find(list []Place, spec string) (Place, error) {
	key, value, tagged := strings.Cut(spec, "=")
	var hits []Place
	for _, p := range list {
		switch {
		case p.Spec == spec, p.Spec == "/dev/"+spec:
			hits = append(hits, p)
		case tagged && key == "LABEL" && p.Label == value && value != "",
			tagged && key == "UUID" && strings.EqualFold(p.UUID, value) && value != "":
			hits = append(hits, p)
		}
	}
	switch {
	case len(hits) == 1, len(hits) > 1 && spec == Boot: // two copies of one medium are the same to read
		return hits[0], nil
	case len(hits) == 0:
		err := missing("there is no place %s", spec)
		err.Next = "Plug the disk or stick in, or choose one of: " + strings.Join(specs(list), ", ") + "."
		if len(list) == 0 {
			err.Next = "Plug in a disk or stick with a file system: ext4, XFS, btrfs, exFAT, FAT or NTFS."
		}
		return Place{}, err
	}
	return Place{}, &Error{What: fmt.Sprintf("%s means several places: %s", spec, strings.Join(specs(hits), ", ")),
		Next: "Name the device instead, or unplug what is not meant."}
}

func specs(list []Place) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.Spec)
	}
	return out
}
