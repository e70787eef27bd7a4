package fstest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// Contents holds the content of every file against its runs: what a run names
// is what is read there, elsewhere are zeros, and every run is in use. It reads
// again from behind to the front, in pieces.
func Contents(t testing.TB, l filesystem.Lister, volume *os.File) {
	t.Helper()
	inUse := Allocation(t, l)
	for f, err := range l.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Content == nil {
			continue
		}
		want := byRuns(t, f, volume, inUse)
		got := make([]byte, f.Size)
		if _, err := io.ReadFull(f.Open(), got); err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("%s: %v", f.Path, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the content is not what its runs hold", f.Path)
		}
	}
	Reads(t, l)
}

// byRuns reads a file as its runs say.
func byRuns(t testing.TB, f *filesystem.File, volume *os.File, inUse []extent.Extent) []byte {
	t.Helper()
	p := make([]byte, f.Size)
	for _, run := range runs(t, f) {
		if out := Outside([]extent.Extent{run.Extent}, inUse); len(out) > 0 {
			t.Errorf("%s: of the run %+v %v is not in use", f.Path, run, out)
		}
		if run.Unwritten || run.Offset >= f.Size {
			continue
		}
		if _, err := volume.ReadAt(p[run.Offset:min(run.Offset+run.Extent.Length, f.Size)], run.Extent.Offset); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// runs are those of a file: ascending, none empty.
func runs(t testing.TB, f *filesystem.File) (list []filesystem.Run) {
	t.Helper()
	end := int64(0)
	for r, err := range f.Content.Runs() {
		if err != nil {
			t.Fatalf("%s: %v", f.Path, err)
		}
		if r.Extent.Length <= 0 || r.Offset < end {
			t.Errorf("%s: the run %+v, and byte %d is the next", f.Path, r, end)
		}
		end = r.Offset + r.Extent.Length
		list = append(list, r)
	}
	return list
}

const hostileFiles = 1 << 12 // looked at in one walk

// HostileFiles walks the files of a volume of any content, as Hostile opens it:
// the walk ends, paths are such, runs lie in the volume, reading ends, errors
// are those of the format, and the limits of Hostile hold. It is the body of a
// fuzz target.
func HostileFiles(t testing.TB, open filesystem.Opener, p []byte, size int64) {
	t.Helper()
	bounded(t, len(p), func() {
		opened, err := open(Padded(p), size)
		if err != nil {
			return
		}
		l := opened.(filesystem.Lister)
		buf := make([]byte, 4<<10)
		n := 0
		for f, err := range l.Files() {
			if f == nil && err == nil {
				t.Fatal("neither a file nor an error")
			}
			if n++; n < hostileFiles && f != nil {
				hostileFile(t, f, buf, opened.Info().Size)
			}
		}
		Listing(t, l, 300)
	})
}

func hostileFile(t testing.TB, f *filesystem.File, buf []byte, size int64) {
	t.Helper()
	if !fs.ValidPath(strings.ToValidUTF8(f.Path, "x")) || f.Size < 0 {
		t.Fatalf("%q, %d bytes", f.Path, f.Size)
	}
	if f.Content == nil {
		return
	}
	for _, off := range []int64{0, f.Size / 2, f.Size - 1, f.Size} {
		n, err := f.Content.ReadAt(buf, max(off, 0))
		if err == nil && n < len(buf) || n < 0 || int64(n) > max(f.Size-off, 0) {
			t.Fatalf("%q: %d bytes at %d of %d, error %v", f.Path, n, off, f.Size, err)
		}
	}
	end, runs := int64(0), 0
	for run, err := range f.Content.Runs() {
		if runs++; err != nil || runs == hostileFiles {
			break
		}
		e := run.Extent
		if run.Offset < end || e.Length <= 0 || e.Offset < 0 || e.Length > size-e.Offset {
			t.Fatalf("%q: run %+v behind %d, in a file system of %d bytes", f.Path, run, end, size)
		}
		end = run.Offset + e.Length
	}
}

// DamageFiles changes the n bytes from off on, one at a time, and puts each
// back: a walk must end, and name in files or errors every path of keep, which
// what is changed does not hold.
func DamageFiles(t testing.TB, open filesystem.Opener, p []byte, structure string, off, n int64, keep []string) (errors int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(off), uint64(n)))
	for at := off; at < off+n; at++ {
		old := p[at]
		p[at] ^= byte(1 + rng.IntN(255))
		opened, err := open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			errors++
			p[at] = old
			continue
		}
		seen := map[string]bool{}
		for f, err := range opened.(filesystem.Lister).Files() {
			if f != nil {
				seen[f.Path] = true
			}
			if err != nil {
				errors++
			}
			if len(seen) > hostileFiles {
				t.Fatalf("%s damaged at byte %d: a walk without end", structure, at)
			}
		}
		for _, path := range keep {
			if !seen[path] {
				t.Errorf("%s damaged at byte %d: %s is no longer listed", structure, at, path)
			}
		}
		p[at] = old
	}
	return errors
}
