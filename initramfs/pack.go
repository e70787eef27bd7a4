package initramfs

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"doppel.live/internal/live/modules"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Rows of the report that are no class of modules.
const (
	firmwareRow = "firmware"
	licenceRow  = "licences of the firmware"
	filesRow    = "files"
	indexRow    = "index of the modules"
)

// packer writes one initramfs.
type packer struct {
	Options
	w      io.Writer
	cache  cache
	tmp    string
	index  []modules.File // of the chosen modules, below the root
	report Report
}

func (p *packer) log(format string, args ...any) {
	if p.Log != nil {
		p.Log(format, args...)
	}
}

// kernelSegment writes modules and firmware, which the kernel unpacks when it
// loads them, as they are: memory holds them compressed.
func (p *packer) kernelSegment() error {
	dir, err := moduleTree(p.KernelTree, p.KernelVersion)
	if err != nil {
		return err
	}
	p.report.KernelVersion = filepath.Base(dir)
	p.log("reading the modules of Linux %s", p.report.KernelVersion)
	all, err := scan(dir, p.cache)
	if err != nil {
		return err
	}
	chosen, class, err := choose(all)
	if err != nil {
		return err
	}
	a := make(archive)
	into := "usr/lib/modules/" + p.report.KernelVersion
	for _, m := range chosen.Modules {
		if err := a.addHost(class[m], path.Join(into, m.Path), filepath.Join(dir, m.Path)); err != nil {
			return err
		}
	}
	if p.report.Missing, err = addFirmware(a, chosen, p.Options, p.cache); err != nil {
		return err
	}
	for _, f := range chosen.Index() {
		p.index = append(p.index, modules.File{Name: path.Join(into, f.Name), Data: f.Data})
	}
	return p.plain(a)
}

// userSegment writes everything else, compressed.
func (p *packer) userSegment() error {
	a := make(archive)
	p.log("compiling the commands")
	if err := addBusybox(a, p.Options, p.tmp); err != nil {
		return err
	}
	p.log("collecting programs and their libraries")
	if err := addPrograms(a, p.Sysroot); err != nil {
		return err
	}
	if err := addFiles(a, p.Sysroot); err != nil {
		return err
	}
	if err := addLicences(a, p.Options); err != nil {
		return err
	}
	for _, f := range p.index {
		a.addData(indexRow, f.Name, f.Data)
	}
	return p.compressed(a)
}

// lastSegment writes what differs from build to build, and the mark by which
// the first process knows that memory held everything.
func (p *packer) lastSegment() error {
	a := make(archive)
	a.addData(filesRow, "etc/doppel/build-id", []byte(p.BuildID+"\n"))
	if err := p.plain(a); err != nil {
		return err
	}
	mark := make(archive)
	mark.addData(filesRow, ".complete", nil)
	return p.plain(mark)
}

// addPrograms puts the programs of the list in, with their libraries.
func addPrograms(a archive, sysroot string) error {
	c := &closure{archive: a, sysroot: sysroot, seen: make(map[string]bool)}
	for _, p := range programList {
		if err := c.add("package "+p.pkg, p.path); err != nil {
			return fmt.Errorf("package %s: %w", p.pkg, err)
		}
		for name := range strings.FieldsSeq(p.names) {
			if strings.HasPrefix(name, "/") {
				a.addLink("package "+p.pkg, name, "/"+p.path)
				continue
			}
			a.addLink("package "+p.pkg, path.Join(path.Dir(p.path), name), path.Base(p.path))
		}
	}
	for _, lib := range libraryList {
		if err := c.library(lib, nil); err != nil {
			return err
		}
	}
	return nil
}

// addFiles puts the files, links and directories of the lists in.
func addFiles(a archive, sysroot string) error {
	for _, d := range directoryList {
		a.add(entry{path: d.path, mode: unix.S_IFDIR | d.mode})
	}
	for _, l := range linkList {
		a.add(entry{path: l[0], mode: unix.S_IFLNK | 0o777, target: l[1], row: filesRow})
	}
	for _, f := range writtenList {
		a.addData(filesRow, f.path, []byte(f.text))
	}
	for _, f := range fileList {
		if err := addPackaged(a, sysroot, f); err != nil {
			return fmt.Errorf("package %s: %w", f.pkg, err)
		}
	}
	addConsole(a)
	return addCertificates(a, sysroot)
}

func addPackaged(a archive, sysroot string, f packaged) error {
	row := "package " + f.pkg
	if strings.HasSuffix(f.path, "/") {
		return a.addTree(row, f.path, filepath.Join(sysroot, f.path))
	}
	links, real, err := follow(sysroot, f.path)
	if err != nil {
		return err
	}
	for _, l := range links {
		a.addLink(row, l.path, l.target)
	}
	return a.addHost(row, real, filepath.Join(sysroot, real))
}

// plain writes a as a segment of its own.
func (p *packer) plain(a archive) error {
	before := p.report.Bytes
	if err := a.write(counter{p.w, &p.report.Bytes}, p.Time); err != nil {
		return err
	}
	p.count(a, p.report.Bytes-before)
	return p.align()
}

// compressed writes a as a segment that is one zstd frame. Compressing takes
// long, so the result is kept in the cache by its content.
func (p *packer) compressed(a archive) error {
	hash := sha256.New()
	fmt.Fprintln(hash, "best", compressor())
	if err := a.write(hash, p.Time); err != nil {
		return err
	}
	name, err := p.cache.file("segment", hash.Sum(nil), func(w io.Writer) error {
		p.log("compressing")
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression),
			zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(window))
		if err != nil {
			return err
		}
		if err := a.write(z, p.Time); err != nil {
			return err
		}
		return z.Close()
	})
	if err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := io.Copy(counter{p.w, &p.report.Bytes}, f)
	if err != nil {
		return err
	}
	p.count(a, n)
	return p.align()
}

// window is how far back, in bytes, the compressor looks, and what the kernel
// needs as memory beside the archive while it unpacks; it takes up to 128 MiB.
const window = 32 << 20

// align fills up to where the kernel looks for the next segment, a multiple of
// 4 bytes.
func (p *packer) align() error {
	_, err := counter{p.w, &p.report.Bytes}.Write(make([]byte, -p.report.Bytes&3))
	return err
}

// count adds the files of a segment to the report. Where a segment is smaller
// than its files, because it is compressed, each is taken to shrink alike.
func (p *packer) count(a archive, written int64) {
	var size int64
	for _, e := range a {
		size += e.cost()
	}
	rows := make(map[string]*Row)
	for _, e := range a.sorted() {
		if e.row == "" {
			continue
		}
		if rows[e.row] == nil {
			rows[e.row] = &Row{Name: e.row}
		}
		r := rows[e.row]
		r.Files++
		r.Bytes += int64(float64(e.cost()) / float64(size) * float64(written))
		r.Unpacked += e.size
		p.report.Unpacked += e.size
	}
	first := len(p.report.Rows)
	for _, r := range rows {
		p.report.Rows = append(p.report.Rows, *r)
	}
	slices.SortFunc(p.report.Rows[first:], func(a, b Row) int { return strings.Compare(a.Name, b.Name) })
}

// cost returns about how many bytes an entry takes in an archive.
func (e *entry) cost() int64 {
	return 112 + int64(len(e.path)+len(e.target)) + e.size
}

// counter counts what is written through it.
type counter struct {
	w io.Writer
	n *int64
}

func (c counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	*c.n += int64(n)
	return n, err
}
