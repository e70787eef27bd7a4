package rescue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/extent"
)

const mib = 1 << 20

// failing is a disk in memory that fails as it is told to. As the kernel does,
// it reads up to the first sector that fails.
type failing struct {
	data   []byte
	sector int64
	bad    map[int64]int // sector to the times that it still fails; -1 always
	vanish int           // reads until the disk is unplugged; -1 never
	away   bool
	seen   []extent.Extent // what was read, and what was tried
}

func newFailing(size, sector int64) *failing {
	f := &failing{data: make([]byte, size), sector: sector, bad: map[int64]int{}, vanish: -1}
	rand.NewChaCha8([32]byte{byte(sector)}).Read(f.data)
	return f
}

func (f *failing) Size() int64       { return int64(len(f.data)) }
func (f *failing) SectorSize() int64 { return f.sector }
func (f *failing) Present() bool     { return !f.away }

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if off%f.sector != 0 || int64(len(p))%f.sector != 0 || len(p) == 0 {
		return 0, unix.EINVAL
	}
	if f.vanish == 0 {
		f.away = true
	}
	if f.away {
		return 0, unix.EIO
	}
	f.vanish--
	for s := off / f.sector; s < (off+int64(len(p)))/f.sector; s++ {
		left, is := f.bad[s]
		if !is || left == 0 {
			continue
		}
		f.bad[s] = max(left-1, -1)
		n := copy(p, f.data[off:s*f.sector])
		f.seen = append(f.seen, extent.Extent{Offset: off, Length: int64(n)})
		return n, unix.EIO
	}
	f.seen = append(f.seen, extent.Extent{Offset: off, Length: int64(len(p))})
	return copy(p, f.data[off:]), nil
}

func (f *failing) fail(from, n int64, times int) {
	for s := range n {
		f.bad[from+s] = times
	}
}

// folder is a new folder, in memory if there is such a place: what these tests
// sync is small and often.
func folder(t *testing.T) string {
	t.Helper()
	path, err := os.MkdirTemp("/dev/shm", "doppel")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	return path
}

func disk(t *testing.T, f *failing, path string, o Options) *Disk {
	t.Helper()
	id := Identity{Image: "lab", Disk: "sda", Size: f.Size(), SectorSize: f.sector}
	s, err := CreateSpool(path, id)
	if errors.Is(err, fs.ErrExist) {
		s, err = OpenSpool(path, id)
	}
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDisk(f, s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return d
}

// check holds what was rescued against the disk: left is exactly what could
// not be read, and holds markers.
func check(t *testing.T, d *Disk, f *failing, wanted, left []extent.Extent) {
	t.Helper()
	if got := d.Left(wanted); !slices.Equal(got, left) {
		t.Fatalf("left are %v, want %v", got, left)
	}
	for _, e := range wanted {
		got, want := make([]byte, e.Length), bytes.Clone(f.data[e.Offset:e.End()])
		for _, l := range left {
			for off := l.Offset; off < l.End(); off += markerUnit {
				if off >= e.Offset && off < e.End() {
					copy(want[off-e.Offset:], Marker(off))
				}
			}
		}
		if n, err := d.Filled().ReadAt(got, e.Offset); int64(n) < e.Length || err != nil {
			t.Fatalf("%v: %d, %v", e, n, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%v has other bytes", e)
		}
	}
}

// judge has GNU ddrescue's own tools read the map.
func judge(t *testing.T, m []byte, left []extent.Extent, size int64) {
	t.Helper()
	program, err := exec.LookPath("ddrescuelog")
	if err != nil {
		t.Log("not judged: needs ddrescuelog")
		return
	}
	file := filepath.Join(t.TempDir(), "map")
	if err := os.WriteFile(file, m, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "-b512", "-l-", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ddrescuelog: %v\n%s", err, out)
	}
	var want strings.Builder
	for _, e := range left {
		for s := e.Offset / 512; s < e.End()/512; s++ {
			fmt.Fprintln(&want, s)
		}
	}
	if string(out) != want.String() {
		t.Errorf("ddrescuelog lists as bad\n%s\nwant\n%s", out, want.String())
	}
	out, err = exec.Command(program, "-t", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "current status") {
		t.Errorf("ddrescuelog -t: %v\n%s", err, out)
	}
}

func whole(f *failing) []extent.Extent { return []extent.Extent{{Length: f.Size()}} }

func TestRescue(t *testing.T) {
	for _, c := range []struct {
		name    string
		sector  int64
		wanted  []extent.Extent
		bad     [][3]int64 // first sector, number, times
		retries int
		left    []extent.Extent
	}{
		{name: "nothing bad", sector: 512},
		{name: "one sector", sector: 512, bad: [][3]int64{{5000, 1, -1}}, retries: 1, left: []extent.Extent{{Offset: 5000 * 512, Length: 512}}},
		{name: "the first sector", sector: 512, bad: [][3]int64{{0, 1, -1}}, left: []extent.Extent{{Length: 512}}},
		{name: "the last sector", sector: 512, bad: [][3]int64{{16*2048 - 1, 1, -1}}, left: []extent.Extent{{Offset: 16*mib - 512, Length: 512}}},
		{name: "sectors of 4096 bytes", sector: 4096, bad: [][3]int64{{7, 2, -1}, {1000, 1, -1}}, left: []extent.Extent{{Offset: 7 * 4096, Length: 8192}, {Offset: 1000 * 4096, Length: 4096}}},
		{name: "every other sector", sector: 512, bad: [][3]int64{{100, 1, -1}, {102, 1, -1}, {104, 1, -1}}, left: []extent.Extent{{Offset: 51200, Length: 512}, {Offset: 52224, Length: 512}, {Offset: 53248, Length: 512}}},
		{name: "a large place", sector: 512, bad: [][3]int64{{3000, 9000, -1}}, left: []extent.Extent{{Offset: 3000 * 512, Length: 9000 * 512}}},
		{name: "all", sector: 4096, bad: [][3]int64{{0, 4096, -1}}, retries: 2, left: []extent.Extent{{Length: 16 * mib}}},
		{name: "comes with a retry", sector: 512, bad: [][3]int64{{5000, 3, 6}}, retries: 9},
		{name: "does not come in time", sector: 512, bad: [][3]int64{{5000, 1, 100}}, retries: 2, left: []extent.Extent{{Offset: 5000 * 512, Length: 512}}},
		{name: "only what is wanted", sector: 512, wanted: []extent.Extent{{Offset: mib, Length: 3 * mib}, {Offset: 9*mib + 1024, Length: 512}},
			bad: [][3]int64{{0, 1, -1}, {4000, 2, -1}, {18434, 1, -1}, {20000, 3, -1}}, left: []extent.Extent{{Offset: 4000 * 512, Length: 1024}, {Offset: 18434 * 512, Length: 512}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFailing(16*mib, c.sector)
			for _, b := range c.bad {
				f.fail(b[0], b[1], int(b[2]))
			}
			d := disk(t, f, filepath.Join(folder(t), "spool"), Options{Comment: "a test"})
			wanted := c.wanted
			if wanted == nil {
				wanted = whole(f)
			}
			var known, promised int64
			passes := []string{}
			err := d.Rescue(context.Background(), wanted, c.retries, Progress{
				Pass: func(what string, left int64) { passes, promised = append(passes, what), left },
				Add:  func(n int64) { known += n },
			})
			if err != nil || promised == 0 {
				t.Fatal(err, passes)
			}
			check(t, d, f, wanted, c.left)
			if known+extent.Total(c.left) != extent.Total(wanted) {
				t.Errorf("%d bytes were told, %d left, of %d", known, extent.Total(c.left), extent.Total(wanted))
			}
			once(t, f, wanted)
			judge(t, d.Map(), c.left, f.Size())
		})
	}
}

// once checks that no byte was read twice, and none that nobody wants.
func once(t *testing.T, f *failing, wanted []extent.Extent) {
	t.Helper()
	times := make([]byte, f.Size()/512)
	for _, e := range f.seen {
		for s := e.Offset / 512; s < e.End()/512; s++ {
			times[s]++
		}
	}
	want := make([]byte, len(times))
	for _, e := range wanted {
		for s := e.Offset / 512; s < e.End()/512; s++ {
			want[s] = 1
		}
	}
	for s := range times {
		if times[s] > want[s] {
			t.Fatalf("sector %d was read %d times, want %d", s, times[s], want[s])
		}
	}
}

// A disk that vanishes at any moment, and comes back, is not read again where
// it was; nothing of it counts as bad.
func TestVanish(t *testing.T) {
	for _, n := range []int{0, 1, 4, 7, 8, 9, 12, 20, 59} {
		f := newFailing(8*mib, 512)
		f.fail(3000, 30, -1)
		f.vanish = n
		path := filepath.Join(folder(t), "spool")
		d := disk(t, f, path, Options{})
		err := d.Rescue(context.Background(), whole(f), 1, Progress{})
		if !f.away {
			t.Fatalf("%d reads were enough: %v", n, err)
		}
		if !errors.Is(err, ErrGone) || !errors.Is(d.Gone(), ErrGone) {
			t.Fatalf("after %d reads: %v", n, err)
		}
		if bad := d.m.Extents(whole(f), Bad); extent.Total(bad) > 30*512 {
			t.Fatalf("after %d reads these count as bad: %v", n, bad)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		f.away, f.vanish = false, -1
		d = disk(t, f, path, Options{})
		if err := d.Rescue(context.Background(), whole(f), 1, Progress{}); err != nil {
			t.Fatal(err)
		}
		check(t, d, f, whole(f), []extent.Extent{{Offset: 3000 * 512, Length: 30 * 512}})
		once(t, f, whole(f))
		if err := d.spool.Remove(); err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that never comes back: what was read of it is there, the rest counts
// as lost, and the map goes on saying what was tried.
func TestLostDisk(t *testing.T) {
	f := newFailing(8*mib, 512)
	f.fail(3000, 30, -1)
	f.vanish = 5
	path := filepath.Join(folder(t), "spool")
	d := disk(t, f, path, Options{})
	if err := d.Rescue(context.Background(), whole(f), 1, Progress{}); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	was, left := d.Map(), d.Left(whole(f))
	if n := extent.Total(left); n == 0 || n == f.Size() {
		t.Fatalf("%d bytes are left", n)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	s, id, err := OpenLost(path)
	if err != nil || id.Disk != "sda" || id.Size != f.Size() {
		t.Fatal(id, err)
	}
	lost, err := NewDisk(Lost{id.Size, id.SectorSize}, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := lost.ReadAt(make([]byte, f.Size()), 0); !errors.Is(err, ErrUnreadable) || int64(n) != left[0].Offset {
		t.Errorf("%d bytes are read, %v", n, err)
	}
	if lost.Changed(0, 4096) {
		t.Error("it is said to have changed")
	}
	if err := lost.Rescue(context.Background(), whole(f), 1, Progress{}); err != nil || lost.Gone() != nil {
		t.Error(err, lost.Gone())
	}
	check(t, lost, f, whole(f), left)
	if err := lost.Close(); err != nil || !bytes.Equal(lost.Map(), was) {
		t.Errorf("the map is another, %v:\n%s\nwas\n%s", err, lost.Map(), was)
	}
}

// Cancelled is not failed: what was read is kept.
func TestCancel(t *testing.T) {
	f := newFailing(8*mib, 512)
	path := filepath.Join(folder(t), "spool")
	d := disk(t, f, path, Options{Save: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	err := d.Rescue(ctx, whole(f), 1, Progress{Add: func(int64) { cancel() }})
	if !errors.Is(err, context.Canceled) || len(f.seen) != 1 {
		t.Fatal(err, f.seen)
	}
	if _, err := OpenSpool(path, Identity{Size: f.Size(), SectorSize: 512}); !errors.Is(err, ErrBusy) {
		t.Errorf("two at once: %v", err)
	}
	d.Close()
	if _, err := OpenSpool(path, Identity{Serial: "another", Size: f.Size(), SectorSize: 512}); !errors.Is(err, ErrOther) {
		t.Errorf("another disk: %v", err)
	}
	d = disk(t, f, path, Options{})
	if err := d.Rescue(context.Background(), whole(f), 1, Progress{}); err != nil {
		t.Fatal(err)
	}
	once(t, f, whole(f))
}

// What the map says was read and is not there is read again.
func TestLostPieces(t *testing.T) {
	for _, damage := range []func(string) error{os.Remove, func(p string) error { return os.Truncate(p, 5*mib) }} {
		f := newFailing(80*mib, 512)
		path := filepath.Join(folder(t), "spool")
		d := disk(t, f, path, Options{})
		wanted := []extent.Extent{{Length: 6 * mib}, {Offset: 70 * mib, Length: mib}}
		if err := d.Rescue(context.Background(), wanted, 0, Progress{}); err != nil {
			t.Fatal(err)
		}
		d.Close()
		if err := damage(filepath.Join(path, pieceName(0))); err != nil {
			t.Fatal(err)
		}
		d = disk(t, f, path, Options{})
		if got := d.Left(wanted); extent.Total(got) != 6*mib {
			t.Fatalf("left are %v", got)
		}
		if err := d.Rescue(context.Background(), wanted, 0, Progress{}); err != nil {
			t.Fatal(err)
		}
		check(t, d, f, wanted, nil)
	}
}

// Who looks at the disk gets what can be read, and an error where nothing can;
// a sector is tried once by large and once by small reads, and never again.
func TestLook(t *testing.T) {
	for _, kept := range []bool{true, false} {
		f := newFailing(8*mib, 512)
		f.fail(2050, 2, -1)
		d, err := NewDisk(f, nil, Options{})
		if kept {
			d, err = disk(t, f, filepath.Join(folder(t), "spool"), Options{}), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 1000)
		for range 2 {
			if n, err := d.ReadAt(p, mib+100); n != 924 || !errors.Is(err, ErrUnreadable) || !bytes.Equal(p[:n], f.data[mib+100:mib+1024]) {
				t.Errorf("kept %t: %d, %v", kept, n, err)
			}
		}
		tried := len(f.seen)
		if n, err := d.ReadAt(p, 2051*512); n != 0 || !errors.Is(err, ErrUnreadable) || kept && len(f.seen) > tried+5 {
			t.Errorf("kept %t: %d, %v", kept, n, err)
		}
		if n, err := d.ReadAt(p, 2052*512+7); n != len(p) || err != nil || !bytes.Equal(p, f.data[2052*512+7:][:len(p)]) {
			t.Errorf("kept %t: %d, %v", kept, n, err)
		}
		if n, err := d.ReadAt(p, 8*mib-10); n != 10 || err != io.EOF {
			t.Errorf("kept %t: %d, %v", kept, n, err)
		}
		if kept {
			once(t, f, whole(f))
		}
		f.away = true
		if _, err := d.ReadAt(p, 5*mib); !errors.Is(err, ErrGone) {
			t.Errorf("unplugged: %v", err)
		}
	}
}

// Slow reads are counted, and told while they hang.
func TestSlow(t *testing.T) {
	f := newFailing(3*mib, 512)
	told := make(chan string, 9)
	hangs := &hanging{failing: f, until: told}
	s, err := CreateSpool(filepath.Join(folder(t), "spool"), Identity{Size: f.Size(), SectorSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDisk(hangs, s, Options{Slow: time.Nanosecond, Patience: time.Nanosecond, Tell: func(s string) { told <- s }})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Rescue(context.Background(), whole(f), 0, Progress{}); err != nil {
		t.Fatal(err)
	}
	if got := d.Statistics(); got.Slow != got.Reads || got.Reads != 3 || got.Longest <= 0 || !strings.Contains(hangs.said, "has not answered") {
		t.Errorf("%+v, said %q", got, hangs.said)
	}
}

// hanging answers when somebody has said that it hangs.
type hanging struct {
	*failing
	until chan string
	said  string
}

func (h *hanging) ReadAt(p []byte, off int64) (int, error) {
	h.said = <-h.until
	return h.failing.ReadAt(p, off)
}

// An error that is none of the disk's ends the rescue; nothing counts as bad.
func TestOtherErrors(t *testing.T) {
	f := newFailing(2*mib, 512)
	s, err := CreateSpool(filepath.Join(folder(t), "spool"), Identity{Size: f.Size(), SectorSize: 512})
	if err != nil {
		t.Fatal(err)
	}
	d, _ := NewDisk(broken{f}, s, Options{})
	if err := d.Rescue(context.Background(), whole(f), 3, Progress{}); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	check(t, d, f, whole(f), whole(f))
	if bad := d.m.Extents(whole(f), Bad, NonTrimmed, NonScraped); bad != nil {
		t.Errorf("bad: %v", bad)
	}
}

type broken struct{ *failing }

func (broken) ReadAt([]byte, int64) (int, error) { return 0, unix.EINVAL }

func TestMarker(t *testing.T) {
	const want = "DOPPEL rescue: unreadable at byte 0000000000000041472 of disk. \n"
	if m := string(Marker(41472)); len(want) != 64 || m != strings.Repeat(want, 8) {
		t.Errorf("%q", m)
	}
	p := make([]byte, 1000)
	mark(p, 41472-100)
	if string(p[:100]) != string(Marker(40960)[412:]) || string(p[100:612]) != string(Marker(41472)) || string(p[612:]) != string(Marker(41984)[:388]) {
		t.Errorf("%q", p)
	}
}

func TestRoom(t *testing.T) {
	list := []extent.Extent{{Offset: 10, Length: 20}, {Offset: pieceSize - 5, Length: 10}, {Offset: 3 * pieceSize, Length: pieceSize + 1}}
	if a, b := Room(list, true), Room(list, false); a != 30+pieceSize+1 || b != pieceSize+5+pieceSize+1 {
		t.Errorf("%d, %d", a, b)
	}
}
