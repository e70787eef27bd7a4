package blockdev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
)

// Options says what OpenTarget has to look at besides the device.
type Options struct {
	System   System
	Describe Describe        // the same that the consent was made with
	NeedSize int64           // bytes that will be written up to; 0 for any size
	Holds    []string        // files and folders that must not lie on the target: the image
	Keep     string          // folder for the old first and last MiB; "" keeps nothing
	Tables   []extent.Extent // where else the old table lies; kept too
}

// Target is a device opened for writing. What it is and what is on it was
// compared with the consent, and is once more before the first write.
type Target struct {
	file    *os.File
	disk    Disk
	consent Consent
	options Options

	direct  *os.File    // the same past the page cache; nil: not to be had
	refused atomic.Bool // the kernel will not do it past the page cache

	mu      sync.Mutex
	armed   bool          // compared again and kept; writing has begun
	pending extent.Extent // offset and length that the kernel was told to write back
	dirty   extent.Extent // offset and length written since
}

// OpenTarget opens a device or a regular file for writing: the only place that
// does, but for OpenOwnMedium. It refuses whatever is in use, is the boot medium or differs from the
// consent, with an error that is a Refusal.
func OpenTarget(path string, c Consent, o Options) (*Target, error) {
	s := o.System
	d, err := s.Disk(path)
	if err != nil {
		return nil, err
	}
	if err := s.refuse(d, o); err != nil {
		return nil, err
	}
	f, err := openWritable(d)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EWOULDBLOCK) {
		return nil, d.refusal(o, "another program or the kernel holds it", "end what uses it (lsblk and fuser show it), then try again")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: open for writing: %w", d.Path, err)
	}
	t := &Target{file: f, disk: d, consent: c, options: o}
	if err := t.compare(); err != nil {
		f.Close()
		return nil, err
	}
	t.direct = openDirect(f, unix.O_RDWR)
	return t, nil
}

// openWritable takes the device for itself: no mount, array or swap can claim
// it or one of its partitions while it is open, and udev leaves it alone.
func openWritable(d Disk) (*os.File, error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC
	if d.Transport != "file" {
		flags |= unix.O_EXCL
	}
	fd, err := unix.Open(d.Path, flags, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.Path), nil
}

// Refuse says whether the device could be opened for writing now, without
// opening it: nil, or the reason. A plan asks it.
func Refuse(path string, o Options) error {
	d, err := o.System.Disk(path)
	if err != nil {
		return err
	}
	return o.System.refuse(d, o)
}

// refuse looks for a reason to leave the device alone.
func (s System) refuse(d Disk, o Options) error {
	if d.BootMedium {
		return d.refusal(o, "the live system was started from it", "choose another disk")
	}
	for _, held := range o.Holds {
		if on, err := s.liesOn(held, d); err == nil && on {
			return d.refusal(o, "the image folder "+held+" lies on it", "choose another disk, or move the image")
		}
	}
	if len(d.InUse) > 0 {
		return d.refusal(o, d.InUse[0], s.release(d))
	}
	if d.ReadOnly {
		return d.refusal(o, "it is read-only", "open its write protection (a switch, or blockdev --setrw "+d.Path+"), or choose another disk")
	}
	if o.NeedSize > d.Size {
		return d.refusal(o, fmt.Sprintf("it has %d bytes (%s) and %d (%s) are needed", d.Size, Bytes(d.Size), o.NeedSize, Bytes(o.NeedSize)), "choose a larger disk")
	}
	return nil
}

// release says how the users of the device let it go: commands for a shell,
// what stands highest first.
func (s System) release(d Disk) string {
	users, err := s.users()
	if err != nil {
		return "end what uses it"
	}
	found := s.uses(d.Name, users)
	if d.Transport == "file" {
		if fi, err := os.Stat(d.Path); err == nil {
			found = users.ofFile(d.Path, fi)
		}
	}
	var commands []string
	for _, u := range slices.Backward(found) {
		if c := s.releaseCommand(u); !slices.Contains(commands, c) {
			commands = append(commands, c)
		}
	}
	if len(commands) == 0 {
		return "try again"
	}
	return strings.Join(commands, "; ")
}

func (s System) releaseCommand(u Use) string {
	switch u.Kind {
	case Mounted:
		if strings.ContainsAny(u.By, " \t'\"$") {
			return "umount " + strconv.Quote(u.By)
		}
		return "umount " + u.By
	case Swapped:
		if u.holder != "" {
			return "swapoff " + s.devicePath(u.holder)
		}
		return "swapoff " + s.devicePath(u.Device)
	case Looped:
		return "losetup -d /dev/" + u.By
	}
	name, uuid := s.holderName(u.holder), s.attribute(u.holder, "dm/uuid")
	switch {
	case strings.HasPrefix(uuid, "LVM-"):
		return "vgchange -an " + groupOf(name)
	case strings.HasPrefix(uuid, "CRYPT-"):
		return "cryptsetup close " + name
	case strings.HasPrefix(u.holder, "dm-"):
		return "dmsetup remove " + name
	case strings.HasPrefix(u.holder, "md"):
		return "mdadm --stop /dev/" + u.holder
	}
	return "stop " + u.By
}

// groupOf takes the volume group out of the name of a logical volume as the
// device mapper has it, where a hyphen of a name is doubled: "my--lab-root" is
// root of my-lab.
func groupOf(name string) string {
	const hyphen = "\x00"
	group, _, _ := strings.Cut(strings.ReplaceAll(name, "--", hyphen), "-")
	return strings.ReplaceAll(group, hyphen, "-")
}

// refusal names the device with what can still be read of it.
func (d Disk) refusal(o Options, reason, next string) *Refusal {
	c := Consent{Path: d.Path, Model: d.Model, Serial: d.Serial, Size: d.Size}
	if f, err := os.Open(d.Path); err == nil && o.Describe != nil {
		c.Contents, _, _ = o.Describe(f, d.Size, d.SectorSize)
		f.Close()
	}
	return &Refusal{Device: c, Reason: reason, Next: next}
}

// compare reads the device again and holds it against the consent.
func (t *Target) compare() error {
	d, err := t.options.System.Disk(t.disk.Path)
	if err != nil {
		return err
	}
	if d.Transport == "file" {
		if d, err = t.sameFile(d); err != nil {
			return err
		}
	} else {
		_ = dropCache(t.file)
		if d.Size, err = ioctlSize(t.file); err != nil {
			return fmt.Errorf("%s: size: %w", d.Path, err)
		}
	}
	now, err := examine(d, t.file, t.options.Describe)
	if err != nil {
		return err
	}
	if what := t.consent.differs(now); what != "" {
		return &Refusal{Device: now, Reason: what, Next: "look at the plan again and agree to what it shows now"}
	}
	return nil
}

// sameFile makes sure that the opened file is still the one of that name.
func (t *Target) sameFile(d Disk) (Disk, error) {
	opened, err := t.file.Stat()
	if err != nil {
		return d, err
	}
	named, err := os.Stat(d.Path)
	if err != nil {
		return d, err
	}
	if !os.SameFile(opened, named) {
		return d, &Refusal{Device: t.consent, Reason: "another file took its name", Next: "try again"}
	}
	return d, nil
}

// Disk describes the device.
func (t *Target) Disk() Disk { return t.disk }

// Size is the size in bytes, whole sectors.
func (t *Target) Size() int64 { return t.disk.Size }

// SectorSize is the logical sector size in bytes.
func (t *Target) SectorSize() int64 { return t.disk.SectorSize }

// ReadAt reads from the device, large pieces past the page cache.
func (t *Target) ReadAt(p []byte, off int64) (int, error) {
	if from, to := directPart(p, off); t.direct != nil && to > 0 && !t.refused.Load() {
		n, err := pieces(p, off, from, to, t.file.ReadAt, t.direct.ReadAt)
		if !noDirect(err) {
			return n, err
		}
	}
	return t.file.ReadAt(p, off)
}

// pieces does p[from:to] by direct and the rest by plain, in order.
func pieces(p []byte, off, from, to int64, plain, direct func([]byte, int64) (int, error)) (n int, err error) {
	for _, part := range []struct {
		from, to int64
		do       func([]byte, int64) (int, error)
	}{{0, from, plain}, {from, to, direct}, {to, int64(len(p)), plain}} {
		if part.from == part.to {
			continue
		}
		m, err := part.do(p[part.from:part.to], off+part.from)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// writeWindow is how much is written before the kernel is told to bring it to
// the device, so that errors and the true rate show early.
const writeWindow = 32 << 20

// WriteAt writes to the device. The first call compares the device with the
// consent again and keeps what is about to be lost. What goes past the page
// cache may be written by several callers at once.
func (t *Target) WriteAt(p []byte, off int64) (int, error) {
	if err := t.arm(); err != nil {
		return 0, err
	}
	if off < 0 || off+int64(len(p)) > t.disk.Size {
		return 0, fmt.Errorf("%s: write of %d bytes at %d leaves the device", t.disk.Path, len(p), off)
	}
	n, err := t.put(p, off)
	if errors.Is(err, unix.ENOSPC) && t.disk.Transport != "file" {
		// A disk that was unplugged has no room: its size is 0.
		err = fmt.Errorf("%s: %w", t.disk.Path, unix.ENODEV)
	}
	return n, err
}

// put writes large pieces past the page cache and the rest through it.
func (t *Target) put(p []byte, off int64) (int, error) {
	if from, to := directPart(p, off); t.direct != nil && to > 0 && !t.refused.Load() {
		n, err := pieces(p, off, from, to, t.putCached, t.direct.WriteAt)
		if !noDirect(err) {
			return n, err
		}
		t.refused.Store(true)
	}
	return t.putCached(p, off)
}

func (t *Target) putCached(p []byte, off int64) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.file.WriteAt(p, off)
	if err != nil {
		return n, err
	}
	return n, t.writeBack(off, int64(n))
}

// writeBack lets the kernel write one window while the next one is filled. The
// lock is held.
func (t *Target) writeBack(off, n int64) error {
	if t.dirty.Length == 0 {
		t.dirty = extent.Extent{Offset: off, Length: n}
	} else {
		start, end := min(t.dirty.Offset, off), max(t.dirty.End(), off+n)
		t.dirty = extent.Extent{Offset: start, Length: end - start}
	}
	if t.dirty.Length < writeWindow {
		return nil
	}
	fd := int(t.file.Fd())
	err := unix.SyncFileRange(fd, t.dirty.Offset, t.dirty.Length, unix.SYNC_FILE_RANGE_WRITE)
	if err == nil && t.pending.Length > 0 {
		err = unix.SyncFileRange(fd, t.pending.Offset, t.pending.Length,
			unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
		_ = unix.Fadvise(fd, t.pending.Offset, t.pending.Length, unix.FADV_DONTNEED)
	}
	t.pending, t.dirty = t.dirty, extent.Extent{}
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ESPIPE) {
		return nil
	}
	return err
}

// arm does what comes right before the first write.
func (t *Target) arm() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.armed {
		return nil
	}
	if err := t.compare(); err != nil {
		return err
	}
	if t.options.Keep != "" {
		if err := t.keep(); err != nil {
			return fmt.Errorf("%s: keep what will be overwritten: %w", t.disk.Path, err)
		}
	}
	t.armed = true
	return nil
}

// maxTable bounds one run of table sectors that is kept: a GPT of 32768
// entries takes 4 MiB.
const maxTable = 8 << 20

// keep copies the first and the last MiB, and the tables, into the log folder.
func (t *Target) keep() error {
	if err := os.MkdirAll(t.options.Keep, 0o700); err != nil {
		return err
	}
	for _, e := range append(edges(t.disk.Size), t.options.Tables...) {
		if e.Offset < 0 || e.Length <= 0 || e.Length > maxTable || e.Offset > t.disk.Size-e.Length {
			continue // an old table may say anything
		}
		b := make([]byte, e.Length)
		if _, err := io.ReadFull(io.NewSectionReader(t.file, e.Offset, e.Length), b); err != nil {
			return err
		}
		name := fmt.Sprintf("%s-%d.before", filepath.Base(t.disk.Path), e.Offset)
		if err := os.WriteFile(filepath.Join(t.options.Keep, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Written says whether anything was written yet.
func (t *Target) Written() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.armed
}

// Sync returns when everything written is on the medium.
func (t *Target) Sync() error { return t.file.Sync() }

// DropCache makes the next reads come from the medium.
func (t *Target) DropCache() error {
	if err := t.file.Sync(); err != nil {
		return err
	}
	if t.disk.Transport == "file" {
		return unix.Fadvise(int(t.file.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	return dropCache(t.file)
}

// ReReadTable tells the kernel to look at the partition table again. Kernels
// that read no partitions of this device do nothing.
func (t *Target) ReReadTable() error {
	if t.disk.Transport == "file" {
		return nil
	}
	deadline := time.Now().Add(3 * time.Second)
	for {
		_, err := unix.IoctlRetInt(int(t.file.Fd()), unix.BLKRRPART)
		switch {
		case err == nil, errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOTTY):
			return nil
		case !errors.Is(err, unix.EBUSY) || time.Now().After(deadline):
			return fmt.Errorf("%s: the kernel did not read the new partition table: %w", t.disk.Path, err)
		}
		time.Sleep(50 * time.Millisecond) // somebody looks at an old partition for a moment
	}
}

// Close closes the device.
func (t *Target) Close() error {
	if t.direct != nil {
		t.direct.Close()
	}
	return t.file.Close()
}
