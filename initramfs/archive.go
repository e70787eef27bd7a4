package initramfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/u-root/mkuimage/cpio"
	"golang.org/x/sys/unix"
)

// entry is one file of the archive.
type entry struct {
	path   string // without a leading slash
	mode   uint32 // type and permissions as in stat(2)
	target string // of a symbolic link
	major  uint32 // of a device
	minor  uint32
	data   []byte // content of a regular file, when host is empty
	host   string // file to take the content from
	size   int64  // bytes of content
	row    string // what it counts as in the report
}

// archive collects the files of one segment, by path.
type archive map[string]*entry

// merged returns where a path lies since /bin, /sbin, /lib and /lib64 are
// links into /usr.
func merged(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	first, _, _ := strings.Cut(p, "/")
	switch first {
	case "bin", "sbin", "lib", "lib64":
		return "usr/" + p
	}
	return p
}

// add puts an entry in, and the directories above it. The first of two with
// one path stays.
func (a archive) add(e entry) {
	if a[e.path] != nil {
		return
	}
	if dir := path.Dir(e.path); dir != "." {
		a.add(entry{path: dir, mode: unix.S_IFDIR | 0o755})
	}
	a[e.path] = &e
}

// addData puts a file with the given content in.
func (a archive) addData(row, p string, data []byte) {
	a.add(entry{path: merged(p), mode: unix.S_IFREG | 0o644, data: data, size: int64(len(data)), row: row})
}

// addLink puts a symbolic link in.
func (a archive) addLink(row, p, target string) {
	a.add(entry{path: merged(p), mode: unix.S_IFLNK | 0o777, target: target, row: row})
}

// addHost puts a file of the builder's machine in. Only whether it can be
// executed is taken over from its permissions.
func (a archive) addHost(row, p, host string) error {
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", host)
	}
	mode := uint32(unix.S_IFREG | 0o644)
	if info.Mode()&0o111 != 0 {
		mode = unix.S_IFREG | 0o755
	}
	a.add(entry{path: merged(p), mode: mode, host: host, size: info.Size(), row: row})
	return nil
}

// addTree puts everything below the directory host in, links as they are.
func (a archive) addTree(row, p, host string) error {
	return fs.WalkDir(os.DirFS(host), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		from, to := path.Join(host, name), path.Join(p, name)
		if d.Type() != fs.ModeSymlink {
			return a.addHost(row, to, from)
		}
		target, err := os.Readlink(from)
		a.addLink(row, to, target)
		return err
	})
}

// sorted returns the entries by path: directories come before what they hold.
func (a archive) sorted() []*entry {
	var all []*entry
	for _, e := range a {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return strings.Compare(a.path, b.path) })
	return all
}

// write writes the entries as a cpio archive in the new ASCII format. Owner is
// root, the time is the same for all, numbers count from 1.
func (a archive) write(w io.Writer, t time.Time) error {
	records := cpio.Newc.Writer(w)
	for i, e := range a.sorted() {
		if err := e.write(records, uint64(i+1), t); err != nil {
			return fmt.Errorf("%s: %w", e.path, err)
		}
	}
	return cpio.WriteTrailer(records)
}

func (e *entry) write(w cpio.RecordWriter, number uint64, t time.Time) error {
	info := cpio.Info{
		Ino: number, Name: e.path, Mode: uint64(e.mode), NLink: 1, MTime: uint64(t.Unix()),
		Rmajor: uint64(e.major), Rminor: uint64(e.minor),
	}
	var content io.ReaderAt
	switch e.mode & unix.S_IFMT {
	case unix.S_IFDIR:
		info.NLink = 2
	case unix.S_IFLNK:
		info.FileSize = uint64(len(e.target))
		content = strings.NewReader(e.target)
	case unix.S_IFREG:
		info.FileSize = uint64(e.size)
		content = bytes.NewReader(e.data)
		if e.host != "" {
			f, err := os.Open(e.host)
			if err != nil {
				return err
			}
			defer f.Close()
			content = io.NewSectionReader(f, 0, e.size)
		}
	}
	return w.WriteRecord(cpio.Record{ReaderAt: content, Info: info})
}
