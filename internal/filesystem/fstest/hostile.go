package fstest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
)

// Damage changes the n bytes from off on, one at a time, and puts each back:
// no change may make the allocation smaller without an error, and every error
// must be one of the format. It is called once for each structure.
func Damage(t testing.TB, open filesystem.Opener, p []byte, structure string, off, n int64) {
	t.Helper()
	want, err := Used(open, p)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(uint64(off), uint64(n)))
	for at := off; at < off+n; at++ {
		old := p[at]
		p[at] ^= byte(1 + rng.IntN(255))
		got, err := Used(open, p)
		formatError := new(filesystem.FormatError)
		switch {
		case err == nil && got < want:
			t.Errorf("%s damaged at byte %d: %d bytes in use, %d before, and no error", structure, at, got, want)
		case err != nil && !errors.As(err, &formatError) && !errors.Is(err, filesystem.ErrFormat):
			t.Errorf("%s damaged at byte %d: %v", structure, at, err)
		case err != nil && errors.As(err, &formatError) && (formatError.Offset < 0 || formatError.Offset > int64(len(p))):
			t.Errorf("%s damaged at byte %d: the error names byte %d: %v", structure, at, formatError.Offset, err)
		}
		p[at] = old
	}
}

// Padded is a volume that begins with these bytes and reads as zeros behind
// them: hostile sizes without memory for them.
type Padded []byte

// ReadAt never ends.
func (r Padded) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(r)) {
		n = copy(p, r[off:])
	}
	clear(p[n:])
	return len(p), nil
}

// Hostile opens a volume of any content: the reader may refuse it, but not
// break a promise, take more than a second or allocate more than 64 MiB and
// four times the input. It is the body of a fuzz target.
func Hostile(t testing.TB, open filesystem.Opener, p []byte, size int64) {
	t.Helper()
	bounded(t, len(p), func() { hostile(t, open, p, size) })
}

// bounded calls do for an input of n bytes, and holds it to the limits.
func bounded(t testing.TB, n int, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	do()
	if took := time.Since(start); took > 5*time.Second { // a second on an idle machine
		t.Errorf("it took %v", took)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20+8*uint64(n) { // twice: opened and listed
		t.Errorf("%d bytes were allocated for %d", got, n)
	}
}

func hostile(t testing.TB, open filesystem.Opener, p []byte, size int64) {
	t.Helper()
	opened, err := open(Padded(p), size)
	if err != nil {
		return
	}
	info := opened.Info()
	if info.Size > size || info.Size < 0 {
		t.Fatalf("%+v on a volume of %d", info, size)
	}
	list, err := extent.Collect(opened.Allocated())
	if err != nil {
		return
	}
	if err := extent.Validate(list, info.Size); err != nil {
		t.Fatal(err)
	}
	if total := extent.Total(list); total != info.Used {
		t.Fatalf("%+v, extents hold %d", info, total)
	}
}

// Change gives a copy of p with change at off, as far as it fits.
func Change(p []byte, off uint32, change []byte) []byte {
	p = bytes.Clone(p)
	copy(p[min(int64(off), int64(len(p))):], change)
	return p
}
