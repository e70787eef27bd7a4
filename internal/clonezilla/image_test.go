package clonezilla

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/progress"
	"doppel.live/internal/record"
	"doppel.live/internal/store"
	"doppel.live/internal/store/dir"
)

// noise fills b with bytes that compress to about half.
func noise(b []byte, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(random.Uint32() & 0x0F)
	}
}

// volumeData makes a volume of blocks and its allocation, in runs of up to 40
// blocks; what is not in use is zero.
func volumeData(blocks, used, blockSize int64) (data []byte, list []extent.Extent) {
	random := rand.New(rand.NewPCG(uint64(blocks), uint64(used)))
	data = make([]byte, blocks*blockSize)
	for at, left := int64(0), used; left > 0; {
		at += random.Int64N((blocks-at-left)/(left/20+1) + 1)
		n := min(left, 1+random.Int64N(40))
		list = append(list, extent.Extent{Offset: at * blockSize, Length: n * blockSize})
		noise(data[at*blockSize:(at+n)*blockSize], uint64(at))
		at, left = at+n, left-n
	}
	return data, extent.Merge(list)
}

// testVolume is a volume with its content.
type testVolume struct {
	image.Volume
	data []byte
	list []extent.Extent
}

func blocksVolume(name string, blocks, used, blockSize int64) testVolume {
	data, list := volumeData(blocks, used, blockSize)
	return testVolume{image.Volume{Name: name, Size: int64(len(data)), FileSystem: "ext4", Label: "root", UUID: "11111111-2222-4333-8444-0000000000c2",
		BlockSize: blockSize, Method: image.Blocks}, data, list}
}

func rawVolume(name string, size int64) testVolume {
	data := make([]byte, size)
	noise(data[:size/2], uint64(size)) // the rest is zero
	var list []extent.Extent
	if size > 0 {
		list = []extent.Extent{{Length: size}}
	}
	return testVolume{image.Volume{Name: name, Size: size, Method: image.Raw, Reason: "nothing known"}, data, list}
}

func swapVolume(name string) testVolume {
	return testVolume{Volume: image.Volume{Name: name, Size: 1 << 20, FileSystem: "swap", Label: "SWAP$(1)", UUID: "2eb5-0003", Method: image.Swap}}
}

// testManifest lays the volumes on one disk, from 1 MiB on.
func testManifest(name string, volumes []testVolume) *image.Manifest {
	d := image.Disk{Name: "sda", Model: "Test disk", Serial: "S3Z9", SectorSize: 512, PhysicalSectorSize: 512, Scheme: "gpt"}
	at := int64(1 << 20)
	for i := range volumes {
		v := &volumes[i]
		v.Index, v.Number, v.Offset = i, i+1, at
		d.Volumes = append(d.Volumes, v.Volume)
		at += (v.Size + 1<<20 - 1) >> 20 << 20
	}
	d.Size = at + 1<<20
	d.Areas = []image.Area{{Name: "mbr", Length: 512}, {Name: "gap", Offset: 40960, Length: 8192}}
	return &image.Manifest{Format: 1, ID: "7f4df3f3-0000-4000-8000-000000000001", Name: name, Created: time.Unix(1_800_000_000, 0),
		Tool: "doppel test", WholeDisk: true, Consistency: "offline", Disks: []image.Disk{d}}
}

// pieces feeds a volume in records of odd lengths.
func writeVolume(w image.Writer, v testVolume) error {
	vw, err := w.Create(v.Index, v.list)
	if err != nil {
		return err
	}
	for _, e := range v.list {
		for at := e.Offset; at < e.End(); {
			n := min(e.End()-at, 300_001)
			if err := vw.WriteRecord(record.Record{Volume: v.Index, Offset: at, Data: v.data[at : at+n]}); err != nil {
				return err
			}
			at += n
		}
	}
	return vw.Close()
}

// save makes an image of volumes in s.
func save(s store.Store, name string, o Options, volumes ...testVolume) error {
	m := testManifest(name, volumes)
	w, err := Create(s, m, o)
	if err != nil {
		return err
	}
	defer w.Abort()
	return saveInto(w, m, volumes)
}

func saveInto(w image.Writer, m *image.Manifest, volumes []testVolume) error {
	for _, a := range m.Disks[0].Areas {
		data := make([]byte, a.Length)
		noise(data, uint64(a.Offset))
		if err := w.Area(0, a, data); err != nil {
			return err
		}
	}
	for _, v := range volumes {
		if v.Method != image.Swap {
			if err := writeVolume(w, v); err != nil {
				return err
			}
		}
	}
	return w.Commit([]byte("saved for a test\n"))
}

func mustSave(t testing.TB, s store.Store, name string, o Options, volumes ...testVolume) {
	t.Helper()
	if err := save(s, name, o, volumes...); err != nil {
		t.Fatal(err)
	}
}

func openDir(t testing.TB) (*dir.Dir, string) {
	t.Helper()
	return openDirAt(t, t.TempDir())
}

func openDirAt(t testing.TB, path string) (*dir.Dir, string) {
	t.Helper()
	d, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, path
}

// restoreVolume writes the records of a volume onto zeros.
func restoreVolume(saved image.Saved) ([]byte, error) {
	data := make([]byte, saved.Volume().Size)
	records, end := saved.Records(context.Background()), int64(0)
	for {
		r, err := records.ReadRecord()
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
		if r.Offset < end || r.Offset+int64(len(r.Data)) > int64(len(data)) {
			return nil, fmt.Errorf("record at %d, after %d", r.Offset, end)
		}
		end = r.Offset + int64(copy(data[r.Offset:], r.Data))
	}
}

func openImage(t testing.TB, s store.Store, name string) image.Image {
	t.Helper()
	im, err := Open(s, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im
}

func verify(t testing.TB, s store.Store, name string) Report {
	t.Helper()
	var last progress.Event
	report, err := Verify(context.Background(), s, name, func(e progress.Event) {
		if e.Kind == progress.Warning {
			return
		}
		if e.Done < last.Done || e.Done > e.Total || e.StepDone > e.StepTotal {
			t.Errorf("%s: after %+v comes %+v", name, last, e)
		}
		last = e
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Restorable && (last.Done != last.Total || last.Total == 0 || last.Done != report.Bytes) {
		t.Errorf("%s: %d bytes were checked, the last event is %+v", name, report.Bytes, last)
	}
	return report
}

// One frame holds 256 blocks of 4096 bytes, or 1 MiB of a raw volume.
func TestRoundTrip(t *testing.T) {
	var volumes []testVolume
	for i, used := range []int64{0, 1, 255, 256, 257, 1100} {
		volumes = append(volumes, blocksVolume(fmt.Sprintf("sda%d", i+1), 1501, used, 4096))
	}
	for i, size := range []int64{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20} {
		volumes = append(volumes, rawVolume(fmt.Sprintf("sda%d", i+7), size))
	}
	odd := blocksVolume("sda13", 70, 0, 65536)
	odd.data = append(odd.data, make([]byte, 1000)...) // no whole block
	odd.Size = int64(len(odd.data))
	odd.list = []extent.Extent{{Offset: 65536 * 69, Length: 65536 + 1000}}
	noise(odd.data[65536*69:], 13)
	volumes = append(volumes, odd, swapVolume("sda14"))
	for _, o := range []Options{
		{Level: None}, {Level: Fast}, {Level: Default}, {Level: Max}, {Level: Gzip},
		{Level: None, Split: 1 << 20}, {Level: Default, Split: 700_000}, {Level: Gzip, Split: 1}, {Level: Default, Split: 1 << 40},
	} {
		t.Run(fmt.Sprint(o.Level, " ", o.Split), func(t *testing.T) {
			s := new(store.Memory)
			mustSave(t, s, "lab", o, volumes...)
			im := openImage(t, s, "lab")
			for _, v := range volumes {
				checkVolume(t, im, v)
			}
			if r := verify(t, s, "lab"); !r.Restorable || len(r.Warnings) > 0 {
				t.Errorf("verify: %+v", r)
			}
		})
	}
}

// checkVolume reads a volume in all ways.
func checkVolume(t *testing.T, im image.Image, v testVolume) {
	t.Helper()
	saved, err := im.Open(v.Index)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	if v.Method == image.Swap {
		return
	}
	if got, err := restoreVolume(saved); err != nil || !bytes.Equal(got, v.data) {
		t.Fatalf("%s: records: %v, equal %t", v.Name, err, bytes.Equal(got, v.data))
	}
	if got, err := extent.Collect(saved.Allocated()); err != nil || !slices.Equal(got, v.list) {
		t.Fatalf("%s: allocation %v, %v; want %v", v.Name, got, err, v.list)
	}
	whole, err := io.ReadAll(io.NewSectionReader(saved, 0, v.Size))
	if err != nil || !bytes.Equal(whole, v.data) {
		t.Fatalf("%s: read whole: %v, equal %t", v.Name, err, bytes.Equal(whole, v.data))
	}
	random := rand.New(rand.NewPCG(uint64(v.Size), 2))
	for range 50 {
		at := random.Int64N(v.Size + 1)
		b := make([]byte, random.Int64N(200_000))
		n, err := saved.ReadAt(b, at)
		if want := min(int64(len(b)), v.Size-at); int64(n) != want || (err != nil) != (n < len(b)) || !bytes.Equal(b[:n], v.data[at:at+want]) {
			t.Fatalf("%s: %d bytes at %d: %d, %v", v.Name, len(b), at, n, err)
		}
	}
	checkFrames(t, saved, v)
}

// checkFrames holds the frames against the allocation.
func checkFrames(t *testing.T, saved image.Saved, v testVolume) {
	t.Helper()
	var list []extent.Extent
	end := int64(0)
	for f, err := range saved.Frames() {
		if err != nil || f.Offset != end {
			t.Fatalf("%s: frame at %d, want %d: %v", v.Name, f.Offset, end, err)
		}
		end += f.Length
		list = append(list, f.Extents...)
	}
	want := extent.Total(v.list)
	if v.Method == image.Blocks {
		want -= v.Size % v.BlockSize
	}
	if got := extent.Total(extent.Merge(list)); got != want {
		t.Errorf("%s: frames hold %d bytes, want %d", v.Name, got, want)
	}
}

// What the folder holds, byte modes included.
func TestDirectory(t *testing.T) {
	s, path := openDir(t)
	mustSave(t, s, "lab", Options{Command: "doppel save sda lab"}, blocksVolume("sda1", 900, 300, 4096), rawVolume("sda2", 70_000), swapVolume("sda3"))
	want := []string{"B3SUMS", "Info-img-id.txt", "Info-img-size.txt", "Info-packages.txt", "Info-saved-by-cmd.txt", "blkdev.list", "blkid.list",
		"clonezilla-img", "dev-fs.list", "disk", "doppel-sda-gap-40960.bin", "doppel.json", "parts", "sda-chs.sf", "sda-mbr",
		"sda1.ext4-ptcl-img.zst", "sda1.ext4-ptcl-img.zst.frames", "sda2.dd-ptcl-img.zst", "sda2.dd-ptcl-img.zst.frames", "swappt-sda3.info"}
	entries, err := os.ReadDir(filepath.Join(path, "lab"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
		info, _ := e.Info()
		mode := os.FileMode(0o644)
		if strings.HasSuffix(e.Name(), ".zst") {
			mode = 0o600
		}
		if info.Mode() != mode {
			t.Errorf("%s: mode %v", e.Name(), info.Mode())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("files\n%q, want\n%q", got, want)
	}
	texts := map[string]string{
		"parts":            "sda1 sda2\n",
		"disk":             "sda\n",
		"swappt-sda3.info": "UUID=\"2eb5-0003\"\nLABEL=\"SWAP__1_\"\n",
		"dev-fs.list":      devFSHead + "/dev/sda1 ext4 3.5M\n/dev/sda2  68.4K\n/dev/sda3 swap 1M\n",
	}
	for file, want := range texts {
		if got, err := os.ReadFile(filepath.Join(path, "lab", file)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", file, got, err, want)
		}
	}
}

// Records that are not the allocation, in order and whole, are refused.
func TestWrongRecords(t *testing.T) {
	v := blocksVolume("sda1", 500, 0, 4096)
	v.list = []extent.Extent{{Offset: 4096, Length: 8192}, {Offset: 40960, Length: 4096}}
	block := func(at, n int64) record.Record { return record.Record{Offset: at, Data: v.data[at : at+n]} }
	tests := map[string][]record.Record{
		"nothing":            nil,
		"an extent missing":  {block(4096, 8192)},
		"a hole in one":      {block(4096, 4096), block(40960, 4096)},
		"before the first":   {block(0, 4096)},
		"too long":           {block(4096, 8192), block(40960, 8192)},
		"twice":              {block(4096, 8192), block(4096, 8192)},
		"another volume":     {{Volume: 1, Offset: 4096, Data: v.data[:8192]}},
		"beyond the extents": {block(4096, 8192), block(40960, 4096), block(81920, 4096)},
	}
	for name, records := range tests {
		s := new(store.Memory)
		w, err := Create(s, testManifest("lab", []testVolume{v}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		vw, err := w.Create(0, v.list)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if err = vw.WriteRecord(r); err != nil {
				break
			}
		}
		if err == nil {
			err = vw.Close()
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := w.Abort(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := s.List("."); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// At whatever byte the place is full, the error says so, nothing looks like an
// image, and Abort leaves nothing.
func TestFull(t *testing.T) {
	volumes := []testVolume{blocksVolume("sda1", 900, 600, 4096), rawVolume("sda2", 3<<20)}
	whole := new(store.Memory)
	mustSave(t, whole, "lab", Options{}, volumes...)
	summary, err := Summarize(whole, "lab")
	if err != nil || !summary.Complete {
		t.Fatalf("%+v, %v", summary, err)
	}
	for limit := int64(1); limit < summary.Stored; limit += summary.Stored / 23 {
		s := &store.Memory{Limit: limit}
		err := save(s, "lab", Options{}, volumes...)
		if !errors.Is(err, store.ErrFull) {
			t.Errorf("room for %d of %d bytes: %v", limit, summary.Stored, err)
		}
		if left, _ := s.List("."); len(left) > 0 {
			t.Errorf("room for %d bytes: left behind %v", limit, left)
		}
	}
}

// A folder where saving stopped is listed as incomplete and never opened.
func TestIncomplete(t *testing.T) {
	s := new(store.Memory)
	v := blocksVolume("sda1", 500, 300, 4096)
	w, err := Create(s, testManifest("lab", []testVolume{v}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeVolume(w, v); err != nil {
		t.Fatal(err)
	}
	list, err := List(s)
	if err != nil || len(list) != 1 || list[0].Complete || list[0].Problem == "" {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := Open(s, "lab"); !errors.Is(err, ErrIncomplete) {
		t.Errorf("open: %v", err)
	}
	if r := verify(t, s, "lab"); r.Restorable {
		t.Error("restorable")
	}
	if _, err := Create(s, testManifest("lab", []testVolume{v}), Options{}); !errors.Is(err, ErrExists) {
		t.Errorf("a second image of the name: %v", err)
	}
	if err := Remove(s, "lab"); err != nil {
		t.Error(err)
	}
	if list, err := List(s); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// crashing is a store whose machine loses its power after some operations.
type crashing struct {
	*store.Memory
	left *int
}

var errCrash = errors.New("power lost")

func (c crashing) step() error {
	if *c.left--; *c.left < 0 {
		return errCrash
	}
	return nil
}

type crashingObject struct {
	store.Object
	store crashing
}

func (o crashingObject) Write(p []byte) (int, error) {
	if err := o.store.step(); err != nil {
		return 0, err
	}
	return o.Object.Write(p)
}

func (o crashingObject) Commit() error {
	if err := o.store.step(); err != nil {
		return err
	}
	return o.Object.Commit()
}

func (o crashingObject) Abort() error { return o.store.step() }

func (c crashing) Create(name string, mode fs.FileMode) (store.Object, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	o, err := c.Memory.Create(name, mode)
	return crashingObject{o, c}, err
}

func (c crashing) Remove(name string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.Memory.Remove(name)
}

// Wherever saving or removing stops, nothing looks whole that is not, and what
// is left can be removed.
func TestCrash(t *testing.T) {
	volumes := []testVolume{blocksVolume("sda1", 300, 260, 4096), swapVolume("sda2")}
	for n := 1; ; n++ {
		s, left := new(store.Memory), n
		saved := save(crashing{s, &left}, "lab", Options{}, volumes...)
		list, err := List(s)
		if err != nil || len(list) > 0 && list[0].Complete != (saved == nil) {
			t.Fatalf("power lost after %d operations: %v, %+v, %v", n, saved, list, err)
		}
		if saved != nil {
			if err := Remove(s, "lab"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		left = 1 // of Remove
		if err := Remove(crashing{s, &left}, "lab"); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if list, _ := List(s); list[0].Complete {
			t.Error("a half removed image looks whole")
		}
		if n < 20 {
			t.Errorf("only %d operations", n)
		}
		return
	}
}

func TestCommitWantsAll(t *testing.T) {
	s := new(store.Memory)
	v := blocksVolume("sda1", 10, 3, 4096)
	w, err := Create(s, testManifest("lab", []testVolume{v}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(nil); err == nil {
		t.Error("committed without its volume")
	}
	if err := writeVolume(w, v); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(nil); err == nil {
		t.Error("committed without its areas")
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"lab", "Labor-Büro_2.1+x@home", "1", "実験室"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", ".lab", "-lab", "a/b", "..", "a b", "a\nb", "a\x1b[2J", "$(x)", "a;b", strings.Repeat("a", 300), "a\xff"} {
		if err := CheckName(name); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for device, want := range map[string]string{"sda1": "sda1", "cciss/c0d0p1": "cciss-c0d0p1", "../x": "_..-x", "a b$(c)": "a_b__c_", "-x": "_-x"} {
		if got := baseName(device); got != want {
			t.Errorf("%q: %q, want %q", device, got, want)
		}
	}
}

func TestRename(t *testing.T) {
	s := new(store.Memory)
	mustSave(t, s, "lab", Options{}, blocksVolume("sda1", 10, 3, 4096))
	mustSave(t, s, "other", Options{}, blocksVolume("sda1", 10, 3, 4096))
	if err := Rename(s, "lab", "other"); !errors.Is(err, ErrExists) {
		t.Errorf("onto another: %v", err)
	}
	if err := Rename(s, "lab", "../lab"); !errors.Is(err, ErrBadName) {
		t.Errorf("out of the place: %v", err)
	}
	if err := Rename(s, "lab", "new"); err != nil {
		t.Fatal(err)
	}
	if m := openImage(t, s, "new").Manifest(); m.Name != "new" {
		t.Errorf("name %q", m.Name)
	}
	if r := verify(t, s, "new"); !r.Restorable {
		t.Errorf("%+v", r)
	}
}
