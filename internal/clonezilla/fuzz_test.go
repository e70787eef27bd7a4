package clonezilla

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"doppel.live/internal/image"
	"doppel.live/internal/partition/tabletest"
	"doppel.live/internal/plan"
	"doppel.live/internal/progress"
	"doppel.live/internal/store"
)

// An image directory as one run of bytes: before each file a line -- NAME --,
// behind it a line feed.
const archiveMark = "-- "

func archiveOf(files map[string][]byte) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%s%s --\n%s\n", archiveMark, name, files[name])
	}
	return b.Bytes()
}

func filesOf(archive []byte) map[string][]byte {
	files := map[string][]byte{}
	name, from, at := "", 0, 0
	keep := func(end int) {
		if name != "" && store.CheckName(name) == nil && !strings.Contains(name, "/") {
			files[name] = archive[from:max(from, end-1)]
		}
	}
	for line := range bytes.Lines(archive) {
		if inner, ok := bytes.CutPrefix(line, []byte(archiveMark)); ok {
			if inner, ok = bytes.CutSuffix(inner, []byte(" --\n")); ok {
				keep(at)
				name, from = string(inner), at+len(line)
			}
		}
		at += len(line)
	}
	keep(at)
	return files
}

// resumAll makes the sums of an image of ours right, so that what they keep out
// is tried too.
func resumAll(files map[string][]byte) {
	if _, ours := files[fileManifest]; !ours || files[fileSums] == nil {
		return
	}
	for name, data := range files {
		if strings.HasSuffix(name, suffixFrames) && len(data) >= framesSum {
			files[name] = resum(data)
		}
	}
	w := &writer{sums: map[string][32]byte{}}
	for name, data := range files {
		if name != fileSums && name != fileID && name != fileCommit {
			w.sums[name] = blake3.Sum256(data)
		}
	}
	files[fileSums] = w.sumsFile()
}

// watched is a store that nothing but the image may be read of, and nothing
// may be written to.
type watched struct {
	store.Store
	t *testing.T
}

func (w watched) allowed(name string) {
	if name != "." && name != "img" && (!strings.HasPrefix(name, "img/") || store.CheckName(name) != nil || strings.Count(name, "/") > 1) {
		w.t.Fatalf("%q is asked for", name)
	}
}

func (w watched) Open(name string) (store.Reader, error) {
	w.allowed(name)
	return w.Store.Open(name)
}

func (w watched) List(name string) ([]store.Entry, error) {
	w.allowed(name)
	return w.Store.List(name)
}

func (w watched) Create(name string, _ fs.FileMode) (store.Object, error) {
	w.t.Fatalf("%q is written", name)
	return nil, nil
}

func (w watched) Remove(name string) error {
	w.t.Fatalf("%q is removed", name)
	return nil
}

// impatient ends after being asked so many times: a few kilobytes can unpack
// to gigabytes.
type impatient struct {
	context.Context
	left *int
}

func (c impatient) Err() error {
	if *c.left--; *c.left < 0 {
		return context.Canceled
	}
	return nil
}

// maxHeap is the most memory in bytes that any image may take: what the
// decompressors are allowed, and what the collector lets lie.
const maxHeap = 1 << 30

// FuzzImage takes a whole image directory, of ours or of Clonezilla's: it is
// listed, opened, planned, read and verified. Nothing of it leads out of the
// image or out of the target, nothing ends otherwise than with an error, and it
// takes no more memory than it may.
func FuzzImage(f *testing.F) {
	for _, files := range imageSeeds(f) {
		f.Add(archiveOf(files))
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		files := filesOf(archive)
		if len(archive) > 1<<20 || len(files) == 0 || len(files) > 200 {
			return
		}
		defer time.AfterFunc(2*time.Minute, func() { panic("an image is looked at for two minutes") }).Stop()
		lookAtImage(t, watched{imageOf(t, files), t})
		var stats runtime.MemStats
		if runtime.ReadMemStats(&stats); stats.HeapSys > maxHeap {
			t.Fatalf("%d MiB of memory were taken", stats.HeapSys>>20)
		}
	})
}

// imageOf makes an image of files.
func imageOf(t *testing.T, files map[string][]byte) store.Store {
	resumAll(files)
	s := new(store.Memory)
	err := s.MakeFolder("img")
	for name, data := range files {
		if err == nil {
			err = store.WriteFile(s, "img/"+name, data, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lookAtImage does all that can be done with an image, and counts what could be.
func lookAtImage(t *testing.T, s store.Store) (plans, records int) {
	if list, err := List(s); err == nil {
		for _, summary := range list {
			for _, v := range summary.Volumes {
				harmless(t, v.Name)
			}
		}
	}
	left := 200
	ctx := impatient{context.Background(), &left}
	if report, err := Verify(ctx, s, "img", func(progress.Event) {}); err == nil {
		for _, v := range report.Volumes {
			for _, text := range append(v.Problems, v.Notes...) {
				if clean(text) != text {
					t.Fatalf("%q", text)
				}
			}
		}
	}
	im, err := Open(s, "img")
	if err != nil {
		return 0, 0
	}
	defer im.Close()
	m := im.Manifest()
	plans = planned(t, im, nil)
	for _, v := range m.AllVolumes() {
		harmless(t, v.Name)
		plans += planned(t, im, []string{v.Name})
		records += readVolume(t, im, v)
	}
	return plans, records
}

// planned plans a restore and holds it against the target.
func planned(t *testing.T, im image.Image, only []string) (plans int) {
	const size = 1 << 41
	for _, sector := range []int64{512, 4096} {
		for _, part := range []bool{false, true} {
			p, err := plan.NewRestore(plan.RestoreInput{
				Manifest: im.Manifest(), Area: im.Area, Only: only, Partition: part,
				Target: plan.Device{Path: "/dev/sdx", Size: size}, SectorSize: sector,
			})
			if err != nil || len(p.Refusals) > 0 {
				continue
			}
			plans++
			inside := func(what string, off, length int64) {
				if off < 0 || length < 0 || off > size || length > size-off {
					t.Fatalf("%s: %d bytes at %d are not on the target", what, length, off)
				}
			}
			for _, s := range p.Steps {
				inside(s.Volume, s.TargetOffset, max(s.Size, s.Room))
			}
			for _, s := range slices.Concat(p.Table, p.Areas, p.Keep) {
				inside(s.Name, s.Offset, int64(len(s.Data)))
			}
			for _, e := range p.Wipe {
				inside("wipe", e.Offset, e.Length)
			}
		}
	}
	return plans
}

// readVolume reads a part of a volume in every way, and counts its records.
func readVolume(t *testing.T, im image.Image, v image.Volume) (count int) {
	saved, err := im.Open(v.Index)
	if err != nil {
		return 0
	}
	defer saved.Close()
	n, end := 0, int64(0)
	for e, err := range saved.Allocated() {
		if err != nil || n > 1000 {
			break
		}
		if e.Offset < end || e.Length <= 0 {
			t.Fatalf("%s: %+v behind byte %d", v.Name, e, end)
		}
		n, end = n+1, e.End()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	records := saved.Records(ctx)
	for range 16 {
		r, err := records.ReadRecord()
		if err != nil {
			break
		}
		if r.Offset < 0 || len(r.Data) == 0 {
			t.Fatalf("%s: %d bytes at %d", v.Name, len(r.Data), r.Offset)
		}
		count++
	}
	cancel()
	_, _ = records.ReadRecord() // which closes what it has open
	_, _ = saved.ReadAt(make([]byte, 5000), v.Size/2)
	for _, err := range saved.Frames() {
		if err != nil {
			break
		}
	}
	return count
}

// imageSeeds gives small images: ours, what is left of them for Clonezilla, and
// those of real Clonezilla that are there.
func imageSeeds(f testing.TB) (seeds []map[string][]byte) {
	f.Helper()
	for _, level := range []Level{Default, Gzip, None} {
		s := new(store.Memory)
		mustSave(f, s, "img", Options{Level: level}, blocksVolume("sda1", 60, 9, 512), rawVolume("sda2", 7168), swapVolume("sda3"))
		mbr := make([]byte, 512)
		tabletest.MBREntry(mbr, 0, 0, 0x83, 2048, 60)
		tabletest.MBREntry(mbr, 0, 1, 0x83, 6144, 14)
		tabletest.MBREntry(mbr, 0, 2, 0x82, 8192, 2048)
		ours, theirs := map[string][]byte{}, map[string][]byte{}
		entries, err := s.List("img")
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			data, err := store.ReadFile(s, "img/"+e.Name, 1<<20)
			if err != nil {
				f.Fatal(err)
			}
			ours[e.Name] = data
			if e.Name != fileManifest && !strings.HasPrefix(e.Name, "doppel-") && !strings.HasSuffix(e.Name, suffixFrames) {
				theirs[e.Name] = data
			}
		}
		theirs["sda-mbr"] = mbr
		theirs["sda-pt.sf"] = []byte("label: dos\nunit: sectors\nsector-size: 512\n\n/dev/sda1 : start=        2048, size=          60, type=83\n/dev/sda2 : start=        6144, size=          14, type=83\n/dev/sda3 : start=        8192, size=        2048, type=82\n")
		theirs["sda-pt.parted"] = []byte("Model: x\nDisk /dev/sda: 12288s\nSector size (logical/physical): 512B/512B\nPartition Table: msdos\n")
		seeds = append(seeds, ours, theirs)
	}
	archives, _ := filepath.Glob(fixtures + "clonezilla/*.tar.gz")
	for _, archive := range archives {
		if fi, err := os.Stat(archive); err == nil && fi.Size() < 100_000 {
			seeds = append(seeds, fixtureFiles(f, archive))
		}
	}
	return seeds
}

// fixtureFiles unpacks an image of real Clonezilla, its long files cut.
func fixtureFiles(f testing.TB, archive string) map[string][]byte {
	f.Helper()
	files := map[string][]byte{}
	in, err := os.Open(archive)
	if err != nil {
		f.Fatal(err)
	}
	defer in.Close()
	unpacked, err := gzip.NewReader(in)
	if err != nil {
		f.Fatal(err)
	}
	for r := tar.NewReader(unpacked); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		} else if err != nil {
			f.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || strings.HasPrefix(filepath.Base(h.Name), "Info-") {
			continue
		}
		if files[filepath.Base(h.Name)], err = io.ReadAll(io.LimitReader(r, 4000)); err != nil {
			f.Fatal(err)
		}
	}
}

// The seeds lead to where there is something to find.
func TestImageSeeds(t *testing.T) {
	for i, files := range imageSeeds(t) {
		files = filesOf(archiveOf(files))
		if plans, records := lookAtImage(t, watched{imageOf(t, files), t}); i < 6 && (plans == 0 || records == 0) {
			t.Errorf("seed %d: %d plans, %d records, of %d files", i, plans, records, len(files))
		}
	}
}

// A foreign stream that is cut off anywhere is damaged, and reading it ends.
func TestCutForeignStreams(t *testing.T) {
	for i, files := range imageSeeds(t) {
		if files["sda-pt.parted"] == nil || files[fileManifest] != nil || i >= 6 {
			continue
		}
		for name, data := range files {
			if !strings.Contains(name, "-ptcl-img.") {
				continue
			}
			for n := 0; n < len(data); n += 1 + len(data)/50 {
				cut := maps.Clone(files)
				delete(cut, fileSums)
				cut[name] = data[:n]
				left := 1000
				r, err := Verify(impatient{context.Background(), &left}, watched{imageOf(t, cut), t}, "img", nil)
				// Behind the last frame of zstd lies a table that nobody needs.
				if err != nil || r.Restorable && !(strings.HasSuffix(name, ".zst") && n > len(data)-100) {
					t.Fatalf("%s cut at byte %d of %d: %v, restorable %t", name, n, len(data), err, r.Restorable)
				}
			}
		}
	}
}

// What is put into an archive comes out of it, or the seeds are worth nothing.
func TestImageArchive(t *testing.T) {
	want := map[string][]byte{"a": {}, "b": []byte("x\n"), "c": {0, 1, '\n', '\n', 255}, "d-pt.sf": []byte("-- \n--\nno end")}
	got := filesOf(archiveOf(want))
	if !maps.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := filesOf([]byte("junk\n-- ../a --\nx\n-- b/c --\ny\n-- ok --\nz\n")); len(got) != 1 || string(got["ok"]) != "z" {
		t.Errorf("%q", got)
	}
}
