package blockdev

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind says in which way a device is in use.
type Kind string

// The ways of use.
const (
	Mounted Kind = "mounted"
	Swapped Kind = "swap"
	Held    Kind = "held" // by LVM, an array, an opened container
	Looped  Kind = "loop" // a loop device shows it
)

// Use is one reason why a device must not be written to.
type Use struct {
	Device   string // kernel name of the disk or partition, or path of a regular file
	Kind     Kind
	By       string // mount point, name of the holder
	Through  string // the holder that is itself mounted or swap; "" when Device is
	ReadOnly bool   // mounted without the right to write

	holder string // kernel name of the holder concerned, "" when Device is
}

func (u Use) String() string {
	through := ""
	if u.Through != "" {
		through = " through " + u.Through
	}
	switch u.Kind {
	case Mounted:
		ro := ""
		if u.ReadOnly {
			ro = ", read-only"
		}
		return fmt.Sprintf("%s is mounted at %s%s%s", u.Device, u.By, through, ro)
	case Swapped:
		return fmt.Sprintf("%s is in use as swap%s", u.Device, through)
	case Looped:
		return fmt.Sprintf("%s is in use by the loop device %s", u.Device, u.By)
	}
	return fmt.Sprintf("%s is in use by %s", u.Device, u.By)
}

// Uses gives everybody who uses the disk or partition of that kernel name, its
// partitions included.
func (s System) Uses(name string) ([]Use, error) {
	users, err := s.users()
	if err != nil {
		return nil, err
	}
	return s.uses(name, users), nil
}

// users is one look at who uses which device.
type users struct {
	byName map[string][]Use // kernel name → mounts, swaps, loops
	byFile map[string][]Use // path of a regular file → swaps, loops
}

// ofFile gives the users of the file at path, under whatever name they know it.
func (u users) ofFile(path string, fi os.FileInfo) []Use {
	found := slices.Clone(u.byFile[path])
	for other, uses := range u.byFile {
		if same, err := os.Stat(other); err == nil && other != path && os.SameFile(fi, same) {
			found = append(found, uses...)
		}
	}
	return found
}

// UsesOf gives everybody who uses a disk, a partition or a regular file. Of a
// file that a loop device shows, the users are those of the loop device.
func (s System) UsesOf(d Disk) ([]Use, error) {
	users, err := s.users()
	if err != nil || d.Transport != "file" {
		return s.uses(d.Name, users), err
	}
	fi, err := os.Stat(d.Path)
	if err != nil {
		return nil, err
	}
	var found []Use
	for _, u := range users.ofFile(d.Path, fi) {
		if found = append(found, u); u.Kind == Looped {
			found = append(found, s.uses(u.By, users)...)
		}
	}
	return found, nil
}

func (s System) users() (users, error) {
	u := users{byName: map[string][]Use{}, byFile: map[string][]Use{}}
	if err := s.mounts(u); err != nil {
		return u, err
	}
	s.btrfsMembers(u)
	s.swaps(u)
	s.loops(u)
	return u, nil
}

// uses joins what is known of name, of its partitions, of its disk and of all
// that stands on them.
func (s System) uses(name string, users users) []Use {
	names := []string{name}
	if whole := s.wholeName(name); whole != name {
		names = append(names, whole)
	} else {
		names = append(names, s.sortedPartitions(name)...)
	}
	var found []Use
	for _, n := range names {
		for _, u := range users.byName[n] {
			u.Device = n
			found = append(found, u)
		}
		found = append(found, s.heldUses(n, n, users, 0)...)
	}
	return found
}

func (s System) sortedPartitions(disk string) []string {
	parts := s.Partitions(disk)
	var names []string
	for n := 0; len(names) < len(parts) && n < 1<<12; n++ {
		if p, ok := parts[n]; ok {
			names = append(names, p)
		}
	}
	return names
}

// heldUses follows the holders of a device upwards: sda2 → LVM → mounted at /.
func (s System) heldUses(device, name string, users users, depth int) []Use {
	entries, _ := os.ReadDir(s.path("sys/class/block", name, "holders"))
	if depth > 8 {
		return nil
	}
	var found []Use
	for _, e := range entries {
		holder := e.Name()
		found = append(found, Use{Device: device, Kind: Held, By: s.holderText(holder), holder: holder})
		for _, u := range users.byName[holder] {
			u.Device, u.Through, u.holder = device, s.holderName(holder), holder
			found = append(found, u)
		}
		found = append(found, s.heldUses(device, holder, users, depth+1)...)
	}
	return found
}

func (s System) holderName(holder string) string {
	if n := s.attribute(holder, "dm/name"); n != "" {
		return n
	}
	return holder
}

func (s System) holderText(holder string) string {
	name, uuid := s.holderName(holder), s.attribute(holder, "dm/uuid")
	switch {
	case strings.HasPrefix(uuid, "LVM-"):
		return "LVM (" + name + ")"
	case strings.HasPrefix(uuid, "CRYPT-"):
		return "the opened container " + name
	case strings.HasPrefix(holder, "dm-"):
		return "the device mapper (" + name + ")"
	case strings.HasPrefix(holder, "md"):
		return "the array " + name
	}
	return name
}

// mounts reads /proc/self/mountinfo: fields as in proc_pid_mountinfo(5). A
// device is known by its number, and by the source of the mount for file
// systems with numbers of their own (btrfs).
func (s System) mounts(u users) error {
	all, err := s.mountTable()
	if err != nil {
		return err
	}
	for _, m := range all {
		name := s.mountName(m)
		if name == "" {
			continue
		}
		u.byName[name] = append(u.byName[name], Use{Kind: Mounted, By: m.point, ReadOnly: m.readOnly})
	}
	return nil
}

type mount struct {
	number, point, source, fs string
	readOnly                  bool
}

func (s System) mountTable() ([]mount, error) {
	b, err := os.ReadFile(s.path("proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("list of mounts: %w", err)
	}
	var all []mount
	for line := range strings.Lines(string(b)) {
		left, right, ok := strings.Cut(strings.TrimSpace(line), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 6 || len(r) < 2 {
			continue
		}
		// The mount may be read-only while the file system is not; only a
		// read-only file system leaves its device alone.
		ro := len(r) > 2 && hasOption(r[2], "ro")
		all = append(all, mount{number: l[2], point: unescape(l[4]), fs: r[0], source: unescape(r[1]), readOnly: ro})
	}
	return all, nil
}

func (s System) mountName(m mount) string {
	if !strings.HasPrefix(m.number, "0:") {
		if link, err := os.Readlink(s.path("sys/dev/block", m.number)); err == nil {
			return filepath.Base(link)
		}
	}
	if strings.HasPrefix(m.source, "/") {
		return s.nameOf(s.path(m.source))
	}
	return ""
}

func hasOption(list, option string) bool {
	for o := range strings.SplitSeq(list, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// unescape undoes the octal escapes of /proc: \040 is a space.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// btrfsMembers adds the devices of mounted btrfs file systems that the mount
// does not name: all but one of several.
func (s System) btrfsMembers(u users) {
	found, _ := filepath.Glob(s.path("sys/fs/btrfs/*/devices/*"))
	for _, f := range found {
		name := filepath.Base(f)
		if len(u.byName[name]) == 0 {
			u.byName[name] = append(u.byName[name], Use{Kind: Held, By: "a btrfs file system of several devices"})
		}
	}
}

// swaps reads /proc/swaps: name, type, size, used, priority below one heading.
func (s System) swaps(u users) {
	b, _ := os.ReadFile(s.path("proc/swaps"))
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "/") {
			continue
		}
		path := unescape(fields[0])
		if fields[1] == "file" {
			u.byFile[path] = append(u.byFile[path], Use{Device: path, Kind: Swapped})
		} else if name := s.nameOf(s.path(path)); name != "" {
			u.byName[name] = append(u.byName[name], Use{Kind: Swapped})
		}
	}
}

// loops finds what loop devices show: files, or other block devices.
func (s System) loops(u users) {
	found, _ := filepath.Glob(s.path("sys/class/block/loop*/loop/backing_file"))
	for _, f := range found {
		loop := filepath.Base(filepath.Dir(filepath.Dir(f)))
		b, _ := os.ReadFile(f) // as it is: a path may hold any spaces
		path := strings.TrimSuffix(string(b), "\n")
		if path == "" {
			continue
		}
		if name := s.nameOf(s.path(path)); name != "" {
			u.byName[name] = append(u.byName[name], Use{Kind: Looped, By: loop})
			continue
		}
		u.byFile[path] = append(u.byFile[path], Use{Device: path, Kind: Looped, By: loop})
	}
}

// deviceNumber is the major:minor of the block device node at path.
func deviceNumber(path string) (string, bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return "", false
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)), true
}

// Behind gives the kernel names of the disks and partitions on which the file
// or folder at path lies, through LVM, arrays and loop devices down to the
// disks. It is empty for network and memory file systems.
func (s System) Behind(path string) ([]string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	all, err := s.mountTable()
	if err != nil {
		return nil, err
	}
	var best mount
	for _, m := range all { // the last mount on the longest matching point is the one seen
		if (real == m.point || m.point == "/" || strings.HasPrefix(real, m.point+"/")) && len(m.point) >= len(best.point) {
			best = m
		}
	}
	if name := s.mountName(best); name != "" {
		return s.below(name, 0), nil
	}
	return nil, nil
}

// Under gives the kernel names of the disks and partitions that a block device
// lies on, itself among them.
func (s System) Under(name string) []string { return s.below(name, 0) }

// liesOn says whether a file or folder lies on the device.
func (s System) liesOn(path string, d Disk) (bool, error) {
	if d.Transport == "file" {
		// An image folder inside the file would be a loop device over it,
		// which is in use anyway.
		whole, err := filepath.Abs(path)
		if err == nil {
			whole, err = filepath.EvalSymlinks(whole)
		}
		if err != nil {
			return false, err
		}
		rel, err := filepath.Rel(whole, d.Path)
		return err == nil && filepath.IsLocal(rel), err
	}
	behind, err := s.Behind(path)
	if err != nil {
		return false, err
	}
	for _, name := range behind {
		if name == d.Name {
			return true, nil
		}
	}
	return false, nil
}

// below gives name, its disk and everything under them.
func (s System) below(name string, depth int) []string {
	if depth > 8 {
		return nil
	}
	names := []string{name}
	if whole := s.wholeName(name); whole != name {
		return append(names, s.below(whole, depth+1)...)
	}
	slaves, _ := os.ReadDir(s.path("sys/class/block", name, "slaves"))
	for _, e := range slaves {
		names = append(names, s.below(e.Name(), depth+1)...)
	}
	if file := s.attribute(name, "loop/backing_file"); file != "" {
		if under := s.nameOf(s.path(file)); under != "" {
			names = append(names, s.below(under, depth+1)...)
		} else if more, err := s.Behind(file); err == nil {
			names = append(names, more...)
		}
	}
	return names
}
