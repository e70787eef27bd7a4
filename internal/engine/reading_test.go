package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
)

func TestScoops(t *testing.T) {
	type one struct{ read, first extent.Extent }
	for name, c := range map[string]struct {
		list       []extent.Extent
		base, size int64
		want       []one
	}{
		"nothing":        {size: chunk},
		"a hole is read": {[]extent.Extent{{Offset: 5000, Length: 100}, {Offset: 9000, Length: 100}}, 0, chunk, []one{{extent.Extent{Offset: 4096, Length: 8192}, extent.Extent{Offset: 5000, Length: 100}}}},
		"a large one is not": {[]extent.Extent{{Length: 4096}, {Offset: 4096 + maxHole + 512, Length: 512}}, 0, chunk, []one{
			{extent.Extent{Length: 4096}, extent.Extent{Length: 4096}},
			{extent.Extent{Offset: 4096 + maxHole, Length: 4096}, extent.Extent{Offset: 4096 + maxHole + 512, Length: 512}}}},
		"cut at chunks of the disk": {[]extent.Extent{{Length: chunk}}, 512, chunk, []one{
			{extent.Extent{Length: chunk - 512}, extent.Extent{Length: chunk - 512}},
			{extent.Extent{Offset: chunk - 512, Length: 512}, extent.Extent{Offset: chunk - 512, Length: 512}}}},
		"within the volume": {[]extent.Extent{{Offset: 0, Length: 512}}, 63 * 512, 1024, []one{{extent.Extent{Length: 512}, extent.Extent{Length: 512}}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []one
			for s := range scoops(c.list, c.base, c.size) {
				got = append(got, one{s.Extent, s.wanted[0]})
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("reads %v, want %v", got, c.want)
			}
		})
	}
}

// holed is a disk on which a range cannot be read.
type holed struct {
	*bytes.Reader
	bad extent.Extent
}

var errBad = errors.New("bad sector")

func (h holed) ReadAt(p []byte, off int64) (int, error) {
	if off < h.bad.End() && h.bad.Offset < off+int64(len(p)) {
		n := max(0, h.bad.Offset-off)
		h.Reader.ReadAt(p[:n], off)
		return int(n), errBad
	}
	return h.Reader.ReadAt(p, off)
}

// Everything that is in use comes, in order and right, wherever the volume
// lies; what cannot be read harms only who wants it.
func TestReadAhead(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	disk := make([]byte, 5*chunk)
	for i := range disk {
		disk[i] = byte(random.Uint32())
	}
	const base = 63 * 512
	size := int64(len(disk)) - base - 512
	var list []extent.Extent
	for at := int64(512); at < size-2*chunk; {
		e := extent.Extent{Offset: at, Length: 512 * (1 + random.Int64N(2<<random.IntN(12)))}
		list, at = append(list, e), e.End()+512*(1+random.Int64N(2<<random.IntN(10)))
	}
	hole := extent.Extent{Offset: base + list[2].End(), Length: 512}
	wanted := extent.Extent{Offset: base + list[3].Offset, Length: 512}
	for name, c := range map[string]struct {
		bad  extent.Extent
		want int64 // offset of the error; -1: none
	}{"whole": {want: -1}, "bad hole": {hole, -1}, "bad sector in use": {wanted, list[3].Offset}} {
		t.Run(name, func(t *testing.T) {
			r := io.NewSectionReader(holed{bytes.NewReader(disk), c.bad}, base, size)
			a := startReadAhead(context.Background(), r, image.Volume{Offset: base, Size: size}, list)
			defer a.stop()
			var got []extent.Extent
			var failed int64 = -1
			for {
				p, err := a.next()
				if err == io.EOF {
					break
				}
				var bad *readError
				if errors.As(err, &bad) && errors.Is(bad.err, errBad) {
					failed = bad.offset
					break
				}
				if err != nil || !bytes.Equal(p.data, disk[base+p.offset:][:len(p.data)]) {
					t.Fatalf("byte %d: other data, or %v", p.offset, err)
				}
				got = append(got, extent.Extent{Offset: p.offset, Length: int64(len(p.data))})
			}
			if failed != c.want {
				t.Errorf("error at byte %d, want %d", failed, c.want)
			}
			if got = extent.Merge(got); failed < 0 && !slices.Equal(got, list) {
				t.Errorf("%d extents came, want %d", len(got), len(list))
			}
		})
	}
}

// Whoever stops, or whose context ends, waits for no goroutine.
func TestReadAheadStops(t *testing.T) {
	disk := bytes.NewReader(make([]byte, 20*chunk))
	ctx, cancel := context.WithCancel(context.Background())
	a := startReadAhead(ctx, disk, image.Volume{Size: disk.Size()}, []extent.Extent{{Length: disk.Size()}})
	if _, err := a.next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := a.next(); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
	a.stop()
}
