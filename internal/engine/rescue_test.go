package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
	"doppel.live/internal/progress"
	"doppel.live/internal/rescue"
)

// failingDisk has sectors of 512 bytes that cannot be read.
type failingDisk struct {
	data []byte
	bad  map[int64]bool // sectors
	away bool
}

func (f *failingDisk) Size() int64       { return int64(len(f.data)) }
func (f *failingDisk) SectorSize() int64 { return 512 }
func (f *failingDisk) Present() bool     { return !f.away }

func (f *failingDisk) ReadAt(p []byte, off int64) (int, error) {
	if f.away {
		return 0, unix.EIO
	}
	for s := off / 512; s*512 < off+int64(len(p)); s++ {
		if f.bad[s] {
			return copy(p, f.data[off:s*512]), unix.EIO
		}
	}
	return copy(p, f.data[off:]), nil
}

func failingOf(d []byte, sectors ...int64) *failingDisk {
	f := &failingDisk{data: d, bad: map[int64]bool{}}
	for _, s := range sectors {
		f.bad[s] = true
	}
	return f
}

// inMemory is a new folder, in memory if there is such a place: a rescue syncs
// often.
func inMemory(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp("/dev/shm", "doppel")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	return path
}

// rescueOf rescues a disk into an image in memory.
func rescueOf(t *testing.T, f *failingDisk) (*memory, *Damage, map[string][]byte) {
	t.Helper()
	spool, err := rescue.CreateSpool(filepath.Join(inMemory(t), "spool"), rescue.Identity{Size: f.Size(), SectorSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { spool.Remove() })
	d, err := rescue.NewDisk(f, spool, rescue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, o := survey(t, d, f.Size(), Choice{Rescue: true})
	im := newMemory(m)
	var left map[string][]byte
	var events []progress.Event
	damage, err := SaveRescued(context.Background(), m, o, Rescue{Disk: d, Retries: 1, Create: func(m *image.Manifest, files map[string][]byte) (image.Writer, error) {
		left = files
		return im, nil
	}}, func() []byte { return nil }, &progress.Meter{Report: func(e progress.Event) { events = append(events, e) }})
	if err != nil || !im.committed {
		t.Fatalf("%v, committed %t", err, im.committed)
	}
	starts := 0
	for _, e := range events {
		if e.Kind == progress.Start {
			starts++
		}
	}
	if last := events[len(events)-1]; starts != 1 || last.Done != last.Total {
		t.Errorf("%d starts, at the end %d of %d are done", starts, last.Done, last.Total)
	}
	return im, damage, left
}

// marked gives a disk with markers in its bad sectors.
func marked(f *failingDisk) []byte {
	d := bytes.Clone(f.data)
	for s := range f.bad {
		copy(d[s*512:], rescue.Marker(s*512))
	}
	return d
}

// What cannot be understood, because it cannot be read, is saved whole: never
// less than what there is.
func TestRescueOfTablesAndMetadata(t *testing.T) {
	gpt, mbr := makeDisk(t, "gpt"), makeDisk(t, "mbr")
	table, err := partition.Read(bytes.NewReader(mbr), int64(len(mbr)), 512)
	if err != nil {
		t.Fatal(err)
	}
	var ebr int64
	for _, s := range table.Sectors {
		if s.Name == partition.AreaEBR {
			ebr = s.Offset / 512
		}
	}
	last := int64(len(gpt))/512 - 1
	for _, c := range []struct {
		name    string
		disk    []byte
		bad     []int64
		methods string
		damage  int64
	}{
		{"nothing", gpt, nil, "raw blocks swap", 0},
		{"primary GPT", gpt, []int64{1}, "raw blocks swap", 512},
		{"entries of the primary GPT", gpt, []int64{2, 3}, "raw blocks swap", 1024},
		{"backup GPT", gpt, []int64{last}, "raw blocks swap", 512},
		{"both GPTs", gpt, []int64{1, last}, "raw", 1024},
		{"sector 0", gpt, []int64{0}, "raw", 512},
		{"sector 0 of an MBR", mbr, []int64{0}, "raw", 512},
		{"an EBR", mbr, []int64{ebr}, "raw", 512},
		{"gap of an MBR", mbr, []int64{40}, "blocks swap raw", 512},
		{"superblock of ext4", gpt, []int64{6144 + 2}, "raw raw swap", 512},
		{"group descriptors of ext4", gpt, []int64{6144 + 8, 6144 + 4}, "raw raw swap", 1024},
		{"swap header", gpt, []int64{35*2048 + 2}, "raw blocks raw", 512},
		{"swap contents", gpt, []int64{35*2048 + 100}, "raw blocks swap", 0},
		{"raw partition", gpt, []int64{2048, 2049, 5000}, "raw blocks swap", 1536},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := failingOf(c.disk, c.bad...)
			im, damage, files := rescueOf(t, f)
			var methods []string
			for _, v := range im.m.Disks[0].Volumes {
				methods = append(methods, string(v.Method))
				if (v.Hit != nil) != (len(v.Damaged) > 0) {
					t.Errorf("%s: damage %v, hit %v", v.Name, v.Damaged, v.Hit)
				}
			}
			if got := strings.Join(methods, " "); got != c.methods || damage.Bytes != c.damage || im.m.Lost() != c.damage {
				t.Errorf("saved as %s with %d bytes lost (manifest: %d), want %s with %d", got, damage.Bytes, im.m.Lost(), c.methods, c.damage)
			}
			if _, ok := files[DamagedFiles]; ok != (c.damage > 0) || len(files[RescueMap("sda")]) == 0 {
				t.Errorf("%d files of the image", len(files))
			}
			want := marked(f)
			for _, v := range im.m.Disks[0].Volumes {
				if vol := im.volumes[v.Index]; vol != nil {
					for _, r := range vol.records {
						if off := v.Offset + r.Offset; !bytes.Equal(r.Data, want[off:off+int64(len(r.Data))]) {
							t.Errorf("%s: other bytes at %d", v.Name, r.Offset)
						}
					}
				}
			}
			for _, a := range im.m.Disks[0].Areas {
				if got := im.areas[key(0, a)]; !bytes.Equal(got, want[a.Offset:a.Offset+a.Length]) {
					t.Errorf("area %s has other bytes", a.Name)
				}
			}
		})
	}
}

// A place that fills up ends the image; what was read is kept.
func TestRescueWithoutRoom(t *testing.T) {
	f := failingOf(makeDisk(t, "gpt"), 2060)
	path := filepath.Join(inMemory(t), "spool")
	spool, err := rescue.CreateSpool(path, rescue.Identity{Size: f.Size(), SectorSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	d, err := rescue.NewDisk(f, spool, rescue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, o := survey(t, d, f.Size(), Choice{Rescue: true})
	im := newMemory(m)
	im.full = 100
	create := func(*image.Manifest, map[string][]byte) (image.Writer, error) { return im, nil }
	if _, err := SaveRescued(context.Background(), m, o, Rescue{Disk: d, Create: create}, func() []byte { return nil }, &progress.Meter{}); err == nil || !im.aborted {
		t.Errorf("%v, aborted %t", err, im.aborted)
	}
	f.away = true // and it is not needed any more
	if left := d.Left(Wanted(&m.Disks[0], o)); !slices.Equal(left, []extent.Extent{{Offset: 2060 * 512, Length: 512}}) {
		t.Errorf("left: %v", left)
	}
	im.full = 0
	if _, err := SaveRescued(context.Background(), m, o, Rescue{Disk: d, Create: create}, func() []byte { return nil }, &progress.Meter{}); err != nil {
		t.Error(err)
	}
}

// listed is a file system that names these files.
type listed struct {
	files []*filesystem.File
	err   error
}

func (l listed) Files() iter.Seq2[*filesystem.File, error] {
	return func(yield func(*filesystem.File, error) bool) {
		for _, f := range l.files {
			if !yield(f, nil) {
				return
			}
		}
		if l.err != nil {
			yield(nil, l.err)
		}
	}
}

type runs []filesystem.Run

func (runs) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

func (r runs) Runs() iter.Seq2[filesystem.Run, error] {
	return func(yield func(filesystem.Run, error) bool) {
		for _, run := range r {
			if run.Extent.Length < 0 {
				yield(filesystem.Run{}, errors.New("broken"))
				return
			}
			if !yield(run, nil) {
				return
			}
		}
	}
}

func run(fileOffset, off, length int64) filesystem.Run {
	return filesystem.Run{Offset: fileOffset, Extent: extent.Extent{Offset: off, Length: length}}
}

func TestHits(t *testing.T) {
	file := func(path string, size int64, r ...filesystem.Run) *filesystem.File {
		return &filesystem.File{Path: path, Size: size, Content: runs(r)}
	}
	unwritten := run(0, 8192, 4096)
	unwritten.Unwritten = true
	stream := file("with stream", 10, run(0, 4096, 512))
	stream.Stream = "secret"
	bad := []extent.Extent{{Offset: 4096, Length: 512}, {Offset: 8192, Length: 1024}, {Offset: 65536, Length: 4096}}
	for _, c := range []struct {
		name     string
		fs       listed
		files    string
		metadata bool
		reason   string
	}{
		{name: "no file", metadata: true},
		{name: "beside", fs: listed{files: []*filesystem.File{file("a", 9999, run(0, 0, 4096), run(4096, 4608, 3584)), {Path: "dir", Mode: fs.ModeDir}}}, metadata: true},
		{name: "one byte", fs: listed{files: []*filesystem.File{file("a", 4097, run(0, 0, 8192))}}, files: "a 1", metadata: true},
		{name: "behind the end", fs: listed{files: []*filesystem.File{file("a", 4096, run(0, 0, 8192))}}, metadata: true},
		{name: "all", fs: listed{files: []*filesystem.File{file("a", 100000, run(0, 0, 9216)), file("dir/b", 9000, run(0, 65536, 4096), run(8192, 0, 512))}}, files: "a 1536, dir/b 4096"},
		{name: "a block with two names", fs: listed{files: []*filesystem.File{file("a", 4096, run(0, 4096, 4096)), file("b", 4096, run(0, 4096, 4096))}}, files: "a 512, b 512", metadata: true},
		{name: "unwritten", fs: listed{files: []*filesystem.File{file("a", 4096, unwritten)}}, metadata: true},
		{name: "second piece", fs: listed{files: []*filesystem.File{file("a", 8192, run(0, 20480, 4096), run(4096, 8192, 4096))}}, files: "a 1024", metadata: true},
		{name: "stream", fs: listed{files: []*filesystem.File{stream}}, files: "with stream:secret 10", metadata: true},
		{name: "odd name", fs: listed{files: []*filesystem.File{file("a\n\x1b[2Jb", 4096, run(0, 4096, 512))}}, files: `"a\n\x1b[2Jb" 512`, metadata: true},
		{name: "broken runs", fs: listed{files: []*filesystem.File{file("a", 9999, run(0, 4096, 512), run(512, 0, -1))}}, files: "a 512", metadata: true, reason: "a: broken"},
		{name: "broken directory", fs: listed{err: errors.New("directory x")}, metadata: true, reason: "first: directory x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text bytes.Buffer
			found := &VolumeDamage{Files: []string{}}
			w := &hitList{volume: "sda1", bad: bad, text: &text, found: found}
			if err := w.walk(context.Background(), c.fs.Files()); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range strings.Split(text.String(), "\n") {
				if f := strings.SplitN(line, "\t", 3); len(f) == 3 && f[0] == "sda1" {
					got = append(got, f[2]+" "+f[1])
				}
			}
			if list := strings.Join(got, ", "); list != c.files || int64(len(got)) != found.Hit.Files || len(got) != len(found.Files) {
				t.Errorf("got %q (%+v), want %q", list, found, c.files)
			}
			if found.Hit.Metadata != c.metadata || !strings.Contains(found.Hit.Reason, c.reason) || (c.reason == "") != (found.Hit.Reason == "") {
				t.Errorf("%+v", found.Hit)
			}
		})
	}
}

// Too many damaged places become fewer and larger ones, which hold them all.
func TestDamages(t *testing.T) {
	var bad []extent.Extent
	r := rand.New(rand.NewPCG(3, 4))
	for off := int64(0); len(bad) < 3*maxDamage; off += 512 + r.Int64N(1<<20) {
		bad = append(bad, extent.Extent{Offset: off, Length: 512})
	}
	got := damages(bad)
	if len(got) > maxDamage || len(got) < 2 {
		t.Fatalf("%d places", len(got))
	}
	i := 0
	for _, e := range bad {
		for e.Offset >= got[i].Offset+got[i].Length {
			i++
		}
		if e.Offset < got[i].Offset || e.End() > got[i].Offset+got[i].Length {
			t.Fatalf("%v is in none of them", e)
		}
	}
	if few := damages(bad[:5]); len(few) != 5 || fmt.Sprint(few[4]) != fmt.Sprint(image.Damage(bad[4])) {
		t.Errorf("%v", few)
	}
}
