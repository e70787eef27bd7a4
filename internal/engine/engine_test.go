package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/partition"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
)

const mib = 1 << 20

// tool runs a program; the test is skipped where it is absent.
func tool(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/sbin/", "/usr/sbin/"} {
		if err != nil {
			path, err = exec.LookPath(dir + name)
		}
	}
	if err != nil {
		t.Skip("needs ", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// ext4 makes a file system with random files, as bytes.
func ext4(t testing.TB, size int64) []byte {
	t.Helper()
	dir := t.TempDir()
	for i := range 12 {
		b := make([]byte, 1<<(8+i))
		r := rand.NewChaCha8([32]byte{byte(i)})
		r.Read(b)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d", i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "fs")
	os.WriteFile(file, nil, 0o644)
	os.Truncate(file, size)
	tool(t, "", "mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", dir, file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func swap(t testing.TB, size int64, label string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "swap")
	os.WriteFile(file, nil, 0o600)
	os.Truncate(file, size)
	tool(t, "", "mkswap", "-L", label, "-U", "6a3b4a0e-5d5c-4f8e-9c63-0a1b2c3d4e5f", file)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The disks of these tests:
//
//	gpt   1 random bytes, 2 ext4, 3 swap
//	mbr   1 ext4, 2 extended with 5 swap and 6 random bytes; boot code in the gap
//	none  ext4 on the whole disk
func makeDisk(t testing.TB, scheme string) []byte {
	t.Helper()
	random := make([]byte, 2*mib)
	rand.NewChaCha8([32]byte{99}).Read(random)
	d := make([]byte, 64*mib)
	file := filepath.Join(t.TempDir(), "disk")
	sfdisk := func(script string) {
		if err := os.WriteFile(file, d, 0o644); err != nil {
			t.Fatal(err)
		}
		tool(t, script, "sfdisk", "--quiet", file)
		d, _ = os.ReadFile(file)
	}
	switch scheme {
	case "gpt":
		sfdisk("label: gpt\nsize=2MiB,type=U\nsize=32MiB\nsize=8MiB,type=S\n")
		copy(d[mib:], random)
		copy(d[3*mib:], ext4(t, 32*mib))
		copy(d[35*mib:], swap(t, 8*mib, "swap"))
	case "mbr":
		sfdisk("label: dos\nx1 : size=32MiB,bootable\nx2 : size=24MiB,type=5\nx5 : size=8MiB,type=82\nx6 : size=2MiB,type=83\n")
		copy(d[512:], "stage two of a boot loader")
		copy(d[mib:], ext4(t, 32*mib))
		table, err := partition.Read(bytes.NewReader(d), int64(len(d)), 512)
		if err != nil || len(table.Partitions) != 4 {
			t.Fatal(err, table)
		}
		copy(d[table.Partitions[2].Start:], swap(t, 8*mib, "logical"))
		copy(d[table.Partitions[3].Start:], random)
	default:
		d = ext4(t, 64*mib)
	}
	return d
}

// save saves a disk into an image in memory.
func save(t testing.TB, d []byte, c Choice) *memory {
	t.Helper()
	m, o := survey(t, bytes.NewReader(d), int64(len(d)), c)
	im := newMemory(m)
	if err := Save(context.Background(), m, []*Origin{o}, im, func() []byte { return []byte("log") }, &progress.Meter{}); err != nil {
		t.Fatal(err)
	}
	return im
}

func survey(t testing.TB, r io.ReaderAt, size int64, c Choice) (*image.Manifest, *Origin) {
	t.Helper()
	disk := image.Disk{Name: "sda", Size: size, SectorSize: 512}
	o, err := Survey(r, &disk, c)
	if err != nil {
		t.Fatal(err)
	}
	for i := range disk.Volumes {
		disk.Volumes[i].Index = i
	}
	return &image.Manifest{Name: "lab", WholeDisk: len(c.Only) == 0, Disks: []image.Disk{disk}}, o
}

// planFor plans the restore of an image to a disk in memory.
func planFor(t testing.TB, im *memory, d *disk, only ...string) (*plan.Restore, *partition.Table) {
	t.Helper()
	present, err := partition.Read(d, d.Size(), 512)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.NewRestore(plan.RestoreInput{
		Manifest: im.m, Area: reading{im}.Area, Only: only, Target: plan.Device{Path: "/dev/sdb", Size: d.Size()},
		SectorSize: 512, Present: present, Consent: blockdev.Consent{Path: "/dev/sdb"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Refusals) > 0 {
		t.Fatal(p.Refusals)
	}
	return p, present
}

func restoreTo(t testing.TB, im *memory, d *disk, only ...string) error {
	t.Helper()
	p, present := planFor(t, im, d, only...)
	_, err := Restore(context.Background(), reading{im}, []Job{{p, d, present}}, RestoreOptions{Verify: true}, &progress.Meter{})
	return err
}

func onFile(t testing.TB, b []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// dump is what sfdisk says of a disk, without the name of the file.
func dump(t testing.TB, b []byte) string {
	file := onFile(t, b)
	return strings.ReplaceAll(tool(t, "", "sfdisk", "--dump", file), file, "DISK")
}

// checkDisk compares what was restored with the source.
func checkDisk(t *testing.T, source, target []byte, m *image.Manifest) {
	t.Helper()
	for _, v := range m.Disks[0].Volumes {
		was, is := source[v.Offset:v.Offset+v.Size], target[v.Offset:v.Offset+v.Size]
		switch v.Method {
		case image.Raw:
			if !bytes.Equal(was, is) {
				t.Errorf("%s: raw volume differs", v.Name)
			}
		case image.Swap:
			if !bytes.Equal(was[:4096], is[:4096]) {
				t.Errorf("%s: header of the swap area differs from mkswap's", v.Name)
			}
		}
		if v.FileSystem == "ext4" {
			tool(t, "", "e2fsck", "-fn", onFile(t, is))
		}
	}
}

func TestSaveAndRestoreWholeDisks(t *testing.T) {
	for _, scheme := range []string{"gpt", "mbr", "none"} {
		t.Run(scheme, func(t *testing.T) {
			source := makeDisk(t, scheme)
			im := save(t, source, Choice{})
			if !im.committed || string(im.log) != "log" {
				t.Fatal("the image was not committed")
			}
			for _, extra := range []int64{0, 16 * mib} {
				d := newDisk(int64(len(source))+extra, 0xA5)
				if err := restoreTo(t, im, d); err != nil {
					t.Fatal(err)
				}
				checkDisk(t, source, d.bytes, im.m)
				if scheme == "none" {
					continue
				}
				if extra == 0 {
					for _, a := range im.m.Disks[0].Areas {
						if !bytes.Equal(source[a.Offset:a.Offset+a.Length], d.bytes[a.Offset:a.Offset+a.Length]) {
							t.Errorf("area %s at %d differs", a.Name, a.Offset)
						}
					}
					if got, want := dump(t, d.bytes), dump(t, source); got != want {
						t.Errorf("table:\n%s\nwant:\n%s", got, want)
					}
				} else if scheme == "gpt" {
					if out := tool(t, "", "sgdisk", "-v", onFile(t, d.bytes)); !strings.Contains(out, "No problems found") {
						t.Error(out)
					}
				}
			}
		})
	}
}

// Only blocks in use may be read and written, or it would be a raw copy.
func TestOnlyBlocksInUseAreSaved(t *testing.T) {
	source := makeDisk(t, "none")
	im := save(t, source, Choice{})
	v := im.m.Disks[0].Volumes[0]
	if v.Method != image.Blocks || v.Used >= v.Size/2 || v.Used == 0 {
		t.Errorf("%s of %d bytes: %s, %d used", v.Name, v.Size, v.Method, v.Used)
	}
	var n int64
	for _, r := range im.volumes[0].records {
		n += int64(len(r.Data))
	}
	if n != v.Used {
		t.Errorf("%d bytes of records for %d used", n, v.Used)
	}
}

func TestTablesAreWrittenLast(t *testing.T) {
	for _, scheme := range []string{"gpt", "mbr"} {
		source := makeDisk(t, scheme)
		im := save(t, source, Choice{})
		d := newDisk(int64(len(source)), 0xA5)
		if err := restoreTo(t, im, d); err != nil {
			t.Fatal(err)
		}
		p, _ := planFor(t, im, newDisk(int64(len(source)), 0))
		n, tables := len(d.writes), len(p.Table)
		for i, s := range p.Table {
			w := d.writes[n-tables+i]
			if w.Offset != s.Offset {
				t.Errorf("%s: write %d of the table at %d, want %d", scheme, i, w.Offset, s.Offset)
			}
			if d.after[n-tables+i] < n-tables {
				t.Errorf("%s: the table was written before the data was flushed", scheme)
			}
		}
		if d.writes[n-1].Offset != 0 || d.after[n-1] != n-1 {
			t.Errorf("%s: sector 0 is not the last, after a flush: %v, %d of %d", scheme, d.writes[n-1], d.after[n-1], n)
		}
		if d.reread != n {
			t.Errorf("%s: the kernel was not told of the table", scheme)
		}
	}
}

// Whatever stops a restore, the target must not look whole.
func TestStoppedRestoreLeavesNoTable(t *testing.T) {
	source := makeDisk(t, "gpt")
	im := save(t, source, Choice{})
	whole := newDisk(int64(len(source)), 0)
	copy(whole.bytes, source)
	p, present := planFor(t, im, whole)
	probeRun := newDisk(int64(len(source)), 0)
	copy(probeRun.bytes, source)
	if _, err := Restore(context.Background(), reading{im}, []Job{{p, probeRun, present}}, RestoreOptions{}, &progress.Meter{}); err != nil {
		t.Fatal(err)
	}
	wiped := 4 // the writes that wipe the edges come first
	for at := wiped; at < len(probeRun.writes); at++ {
		d := newDisk(int64(len(source)), 0)
		copy(d.bytes, source)
		d.failAt, d.failErr = at, unix.ENODEV
		_, err := Restore(context.Background(), reading{im}, []Job{{p, d, present}}, RestoreOptions{}, &progress.Meter{})
		var failure *Error
		if !errors.As(err, &failure) || !errors.Is(err, unix.ENODEV) || !strings.Contains(failure.Next, "cable") {
			t.Fatalf("write %d fails: %v", at, err)
		}
		if at > len(p.Wipe) && d.bytes[510] == 0x55 {
			t.Fatalf("write %d fails and sector 0 looks whole", at)
		}
	}
}

func TestCancelledJobs(t *testing.T) {
	source := makeDisk(t, "gpt")
	m, o := survey(t, bytes.NewReader(source), int64(len(source)), Choice{})
	ctx, cancel := context.WithCancel(context.Background())
	defer func() { cancel() }()
	broken := newMemory(m)
	stop := func(e progress.Event) {
		if e.Kind == progress.Step && strings.Contains(e.Text, "sda2") {
			cancel()
		}
	}
	if err := Save(ctx, m, []*Origin{o}, broken, func() []byte { return nil }, &progress.Meter{Report: stop}); !errors.Is(err, context.Canceled) {
		t.Errorf("save: %v", err)
	}
	if broken.committed || !broken.aborted {
		t.Error("a cancelled save leaves an image")
	}
	im := save(t, source, Choice{})
	d := newDisk(int64(len(source)), 0)
	copy(d.bytes, source)
	p, present := planFor(t, im, d)
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	if _, err := Restore(ctx, reading{im}, []Job{{p, d, present}}, RestoreOptions{}, &progress.Meter{Report: stop}); !errors.Is(err, context.Canceled) {
		t.Errorf("restore: %v", err)
	}
	if table, err := partition.Read(d, d.Size(), 512); err != nil || table.Scheme != partition.None {
		t.Errorf("a cancelled restore leaves a table: %v %v", table.Scheme, err)
	}
}

// failing is a source that cannot be read from one byte on.
type failing struct {
	io.ReaderAt
	from int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= f.from {
		return f.ReaderAt.ReadAt(p, off)
	}
	n, _ := f.ReaderAt.ReadAt(p[:max(0, f.from-off)], off)
	return n, unix.EIO
}

func TestFailingSourceAndFullPlace(t *testing.T) {
	source := makeDisk(t, "gpt")
	m, o := survey(t, bytes.NewReader(source), int64(len(source)), Choice{})
	nothing := func() []byte { return nil }
	o.Reader = failing{o.Reader, 3*mib + 1024}
	im := newMemory(m)
	err := Save(context.Background(), m, []*Origin{o}, im, nothing, &progress.Meter{})
	if !errors.Is(err, unix.EIO) || im.committed || !im.aborted || !strings.Contains(err.Error(), "sda2 cannot be read at byte 1024: sector 6146 of sda") {
		t.Errorf("failing source: %v, committed %v, aborted %v", err, im.committed, im.aborted)
	}
	o.Reader = bytes.NewReader(source[:3*mib+1024])
	im = newMemory(m)
	err = Save(context.Background(), m, []*Origin{o}, im, nothing, &progress.Meter{})
	if !errors.Is(err, errEnded) || im.committed || !strings.Contains(err.Error(), "sda2 cannot be read at byte 1024: sector 6146 of sda: the disk ends there") {
		t.Errorf("unplugged source: %v, committed %v", err, im.committed)
	}
	o.Reader = bytes.NewReader(source)
	im = newMemory(m)
	im.full = 3 * mib
	if err := Save(context.Background(), m, []*Origin{o}, im, nothing, &progress.Meter{}); !errors.Is(err, errFull) || im.committed || !im.aborted {
		t.Errorf("full place: %v", err)
	}
}

// The place for images is not blamed for a frame that this computer miscoded.
func TestMiscodedFrameBlamesTheComputer(t *testing.T) {
	var e *Error
	if err := placeError("volume sda1", fmt.Errorf("frame: %w", image.ErrMiscoded)); !errors.As(err, &e) || !strings.Contains(e.Next, "memory") || strings.Contains(e.Next, "cable") {
		t.Errorf("%+v", err)
	}
}

func TestDamagedImageEndsTheRestore(t *testing.T) {
	source := makeDisk(t, "gpt")
	im := save(t, source, Choice{})
	im.damaged = 1
	d := newDisk(int64(len(source)), 0)
	if err := restoreTo(t, im, d); !errors.Is(err, image.ErrDamaged) || !strings.Contains(err.Error(), "sda2") {
		t.Errorf("%v", err)
	}
	if d.bytes[510] != 0 {
		t.Error("the table was written although the image is damaged")
	}
}

func TestVerifyFindsWhatTheTargetLost(t *testing.T) {
	source := makeDisk(t, "gpt")
	im := save(t, source, Choice{})
	for _, at := range []int64{0, 512, mib + 7, 3*mib + 1024, 35*mib + 1040, int64(len(source)) - 500} {
		d := newDisk(int64(len(source)), 0)
		d.corrupt = at
		if err := restoreTo(t, im, d); err == nil || !strings.Contains(err.Error(), fmt.Sprint("differs from the image at byte ", at)) {
			t.Errorf("byte %d comes back wrong: %v", at, err)
		}
	}
}

// Nothing of what the target was may be recognised afterwards.
func TestOldSignaturesAreGone(t *testing.T) {
	source := makeDisk(t, "gpt")
	im := save(t, source, Choice{})
	d := newDisk(int64(len(source)), 0)
	old := makeDisk(t, "mbr")
	copy(d.bytes, old)
	copy(d.bytes[44*mib:], ext4(t, 16*mib)) // behind all partitions of the new table
	// Members of arrays, with superblocks at the end of the disk and where
	// the new partitions begin.
	for _, at := range []int64{0, 3 * mib} {
		copy(d.bytes[at+512:], "LABELONE")
		copy(d.bytes[at+512+24:], "LVM2 001")
	}
	if err := restoreTo(t, im, d); err != nil {
		t.Fatal(err)
	}
	table, err := partition.Read(bytes.NewReader(old), int64(len(old)), 512)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range table.Partitions {
		if p.Start == mib || p.Extended {
			continue // the new table has a partition there
		}
		if r, err := probe.Probe(io.NewSectionReader(d, p.Start, p.Size), p.Size); err != nil || r.Info.Type == "swap" {
			t.Errorf("old partition %d is still %s (%v)", p.Number, r.Info.Type, err)
		}
	}
	found, err := inventory.Look(d, "sdb", d.Size(), 512)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "ext4", "swap"} {
		if got := found.Volumes[i].Probe; got.Info.Type != want || len(got.Ambiguous) > 0 {
			t.Errorf("%s is %q %v, want %q", found.Volumes[i].Name, got.Info.Type, got.Ambiguous, want)
		}
	}
}

func TestChosenVolumesLeaveTheRestAlone(t *testing.T) {
	source := makeDisk(t, "gpt")
	im := save(t, source, Choice{})
	d := newDisk(int64(len(source)), 0)
	copy(d.bytes, source)
	clear(d.bytes[3*mib : 35*mib])
	copy(d.bytes[mib:], "another partition")
	before := bytes.Clone(d.bytes)
	if err := restoreTo(t, im, d, "sda2"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before[:3*mib], d.bytes[:3*mib]) || !bytes.Equal(before[35*mib:], d.bytes[35*mib:]) {
		t.Error("something outside sda2 was written")
	}
	tool(t, "", "e2fsck", "-fn", onFile(t, d.bytes[3*mib:35*mib]))
}

func TestLeftOutVolumesAreAbsent(t *testing.T) {
	source := makeDisk(t, "gpt")
	im := save(t, source, Choice{Except: []string{"sda2"}})
	v := im.m.Disks[0].Volumes[1]
	if v.Method != image.Absent || v.Used != 0 || im.volumes[1] != nil {
		t.Errorf("%+v", v)
	}
	d := newDisk(int64(len(source)), 0xA5)
	if err := restoreTo(t, im, d); err != nil {
		t.Fatal(err)
	}
	if got, want := dump(t, d.bytes), dump(t, source); got != want {
		t.Error("its place in the table is lost")
	}
}

func TestSwapHeaderIsThatOfMkswap(t *testing.T) {
	for _, label := range []string{"", "a", "fifteen bytes.."[:15]} {
		want := swap(t, 4*mib, label)
		got, err := swapHeader(4*mib, "6a3b4a0e-5d5c-4f8e-9c63-0a1b2c3d4e5f", label)
		if err != nil || !bytes.Equal(got, want[:4096]) {
			t.Errorf("label %q: %v", label, err)
		}
	}
	for _, bad := range []struct {
		size        int64
		uuid, label string
	}{{4096, "", ""}, {4 * mib, "xyz", ""}, {4 * mib, "", "seventeen bytes.."}} {
		if _, err := swapHeader(bad.size, bad.uuid, bad.label); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestEstimate(t *testing.T) {
	source := makeDisk(t, "gpt")
	m, o := survey(t, bytes.NewReader(source), int64(len(source)), Choice{})
	ratio, rate := Estimate(m, []*Origin{o})
	if ratio <= 0 || ratio > 1.1 || rate <= 0 {
		t.Errorf("ratio %f, rate %f", ratio, rate)
	}
	if r := ReadRate(bytes.NewReader(source), int64(len(source))); r <= 0 {
		t.Error("rate", r)
	}
}

// A hostile table must not make the survey read outside the disk.
func TestSurveyOfHostileAllocation(t *testing.T) {
	v := inventory.Volume{Name: "sda1", Size: mib}
	v.Probe.FileSystem = hostile{}
	out, list, err := surveyVolume(v, Choice{})
	if err != nil || out.Method != image.Raw || len(list) != 1 || list[0].Length != mib || out.Reason == "" {
		t.Errorf("%+v %v %v", out, list, err)
	}
}

// A volume restored into a partition has no table that is written after it: its
// signature comes last, after a flush, wherever the restore is stopped.
func TestStoppedRestoreOfAVolumeLeavesNoFileSystem(t *testing.T) {
	source := makeDisk(t, "gpt")
	im := save(t, source, Choice{})
	v := im.m.Disks[0].Volumes[1]
	if v.FileSystem != "ext4" {
		t.Fatalf("volume 2 is %s", v.FileSystem)
	}
	run := func(failAt int) *disk {
		d := newDisk(int64(len(source)), 0)
		copy(d.bytes, source)
		d.failAt, d.failErr = failAt, unix.ENODEV
		p, present := planFor(t, im, d, v.Name)
		_, err := Restore(context.Background(), reading{im}, []Job{{p, d, present}}, RestoreOptions{}, &progress.Meter{})
		if (err != nil) != (failAt > 0) {
			t.Fatalf("write %d fails: %v", failAt, err)
		}
		return d
	}
	whole := run(0)
	n := len(whole.writes)
	if last := whole.writes[n-1]; last.Offset != v.Offset+1080 || last.Length != 2 || whole.after[n-1] != n-1 {
		t.Errorf("the last write is %+v of a volume at %d", last, v.Offset)
	}
	const wiped = 4 // by then the old superblock is gone
	for at := wiped; at <= n; at++ {
		d := run(at)
		found, err := probe.Probe(io.NewSectionReader(d, v.Offset, v.Size), v.Size)
		if err != nil || found.Info.Type != "" {
			t.Errorf("write %d of %d fails and the volume looks like %s (%v)", at, n, found.Info.Type, err)
		}
	}
	var middle []int // the writes between the edges
	for i, w := range whole.writes {
		if w.Offset >= v.Offset+edge && w.End() <= v.Offset+v.Size-edge {
			middle = append(middle, i)
		}
	}
	first, last := middle[0], middle[len(middle)-1]
	if len(middle) != last-first+1 || last == n-1 || whole.after[last+1] != last+1 {
		t.Errorf("writes %v of %d lie between the edges; flushed before the edges: %d", middle, n, whole.after[n-1])
	}
}

// Records of any length, at and across the edges of a volume: every byte goes
// to its place once.
func TestEdgesAreHeld(t *testing.T) {
	const start = 512
	for _, size := range []int64{1, edge - 1, edge, edge + 1, 2*edge - 1, 2 * edge, 2*edge + 1, 5 * edge} {
		for _, step := range []int64{edge/3 + 1, edge, 3 * edge} {
			w := volumeEdges{start: start, size: size}
			seen := make([]byte, start+size)
			for off := int64(0); off < size; off += step {
				middle, at := w.hold(make([]byte, min(step, size-off)), start+off)
				if len(middle) > 0 && (at < start+min(edge, size) || at+int64(len(middle)) > start+size-edge) {
					t.Errorf("size %d, step %d: %d bytes at %d are not held", size, step, len(middle), at)
				}
				for i := range middle {
					seen[at+int64(i)]++
				}
			}
			for _, h := range w.held {
				for i := range h.Data {
					seen[h.Offset+int64(i)]++
				}
			}
			if bytes.Count(seen[start:], []byte{1}) != int(size) {
				t.Errorf("size %d, step %d: bytes are lost or written twice", size, step)
			}
		}
	}
}
