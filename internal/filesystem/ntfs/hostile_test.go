package ntfs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 100000} {
		if _, err := Open(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}

// usedBytes opens a volume and collects its allocation.
func usedBytes(p []byte) ([]extent.Extent, error) {
	f, err := Open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		return nil, err
	}
	return extent.Collect(f.Allocated())
}

// small is a volume with a few files, the largest in several runs.
func small(t testing.TB) []byte {
	t.Helper()
	path := makeVolume(t, 1<<20+4096, "-c 512")
	for i := range 4 {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, bytes.Repeat([]byte{byte(i + 1)}, 9000*(i+1)), 0o600); err != nil {
			t.Fatal(err)
		}
		fstest.Run(t, "ntfscp", "-f", "-q", path, file, fmt.Sprint("/file", i))
	}
	return load(t, path).data
}

// TestDamage changes every byte of the structures that Allocated stands on: no
// change may lose a cluster in use without an error. What $Bitmap loses the
// records keep, and the other way round.
func TestDamage(t *testing.T) {
	p := small(t)
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	want, err := extent.Collect(f.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	damage := func(what string, from, n int64) {
		for off := from; off < from+n; off++ {
			p[off] ^= 0x5A
			got, err := usedBytes(p)
			switch {
			case err != nil:
				if e := new(filesystem.FormatError); !errors.As(err, &e) && !errors.Is(err, filesystem.ErrFormat) {
					t.Errorf("%s damaged at byte %d: %v", what, off, err)
				}
			case !covers(got, want):
				t.Errorf("%s damaged at byte %d: %d bytes in use, %d before, and no error", what, off, extent.Total(got), extent.Total(want))
			}
			p[off] ^= 0x5A
		}
	}
	damage("boot sector", 0, 0x48)
	for _, number := range []int64{0, 3, 6, 65} { // the last is a file's
		off, _ := f.mft.offset(number * f.boot.record)
		damage(fmt.Sprint("MFT record ", number), off, 0x1C0)
	}
	off, n := f.bitmap.offset(0)
	damage("$Bitmap", off, min(n, f.bitmap.size))
}

// covers says whether list holds all of want.
func covers(list, want []extent.Extent) bool {
	return extent.Total(extent.Union(list, want)) == extent.Total(list)
}

func TestRefused(t *testing.T) {
	whole := small(t)
	tests := []struct {
		name  string
		off   int
		value []byte
		want  string
	}{
		{"sector size", 0x0B, []byte{0, 3}, "bytes in a sector"},
		{"small sectors", 0x0B, []byte{0, 1}, "bytes in a sector"},
		{"cluster size", 0x0D, []byte{3}, "in a cluster"},
		{"huge clusters", 0x0D, []byte{0xE0}, "in a cluster"},
		{"more sectors than there are", 0x28, []byte{0, 0, 1}, "sectors of"},
		{"huge number of sectors", 0x2F, []byte{0xFF}, "sectors of"},
		{"fewer sectors", 0x28, []byte{0, 4}, "$Bitmap of"},
		{"$MFT outside", 0x33, []byte{1}, "$MFT at cluster"},
		{"$MFT elsewhere", 0x30, []byte{5}, "begins with"},
		{"record size", 0x40, []byte{3}, "in an MFT record"},
		{"huge records", 0x40, []byte{0xE0}, "in an MFT record"},
	}
	for _, tt := range tests {
		p := bytes.Clone(whole)
		copy(p[tt.off:], tt.value)
		_, err := usedBytes(p)
		if e := new(filesystem.FormatError); !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestClaimedTwice gives every file the runs of one that has the whole volume:
// it must end soon, with an error.
func TestClaimedTwice(t *testing.T) {
	v := &volumeFile{t, small(t)}
	f := v.open()
	var runs []run
	for range 20 {
		runs = append(runs, run{0, 0, f.boot.clusters})
	}
	v.change(24, func(rec record) { // in use, whatever it was
		le.PutUint16(rec.data[0x16:], 1)
		replace(rec, nonResident(9, 0, runs, f.boot.clusters*20*f.boot.cluster, f.boot.cluster))
	})
	if _, err := usedBytes(v.data); err == nil || !strings.Contains(err.Error(), "belong to others") {
		t.Errorf("error %v", err)
	}
}

// TestFixtures reads volumes made by others; what they count in use is in the
// README beside them.
func TestFixtures(t *testing.T) {
	path, manifest := fstest.Fixture(t, "ntfs-frag")
	f, file := openFile(t, path)
	list := allocation(t, f)
	if blocks := (extent.Total(list) - extent.Total(f.tail)) / f.boot.cluster; blocks != 9525 {
		t.Errorf("%d clusters in use, partclone says 9525", blocks)
	}
	copied := fstest.CopyAllocated(t, file, list)
	have := map[string]bool{}
	for _, sum := range sums(t, copied) {
		have[hex.EncodeToString(sum[:])] = true
	}
	for name, sum := range manifest {
		if !have[sum] {
			t.Errorf("%s is not among the files", name)
		}
	}
}

// TestPartcloneFixture holds our extents against the bits of a stream that
// partclone made.
func TestPartcloneFixture(t *testing.T) {
	const folder = "../../../../shared/fixtures/partclone"
	packed, err := os.ReadFile(filepath.Join(folder, "ntfs-tail.img.zst"))
	if err != nil {
		t.Skip("there are no fixtures")
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	stream, err := d.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	size, blocks, block := int64(le.Uint64(stream[52:])), int64(le.Uint64(stream[60:])), int64(le.Uint32(stream[84:]))
	bitmap := stream[110:][:(blocks+7)/8]
	data := stream[110+len(bitmap)+4:]
	group := int64(le.Uint32(stream[100:]))
	p, n := make([]byte, size), int64(0)
	var want []extent.Extent
	for i := range blocks {
		if bitmap[i/8]>>(i%8)&1 == 0 {
			continue
		}
		at := n*block + n/group*4 // behind each group is its checksum
		copy(p[i*block:], data[at:at+block])
		want = extent.Append(want, extent.Extent{Offset: i * block, Length: block})
		n++
	}
	f, err := open(bytes.NewReader(p), size)
	if err != nil {
		t.Fatal(err)
	}
	if f.boot.cluster != block || f.boot.clusters != blocks {
		t.Errorf("%d clusters of %d bytes, partclone says %d of %d", f.boot.clusters, f.boot.cluster, blocks, block)
	}
	if got := allocation(t, f); !slices.Equal(got, extent.Union(want, f.tail)) {
		t.Errorf("extents %v, partclone's bits %v", got, want)
	}
}

// parts are the bytes of a volume on which the reader stands.
func parts(t testing.TB, p []byte) (places []int) {
	t.Helper()
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	add := func(off, n int64) {
		for i := range n {
			places = append(places, int(off+i))
		}
	}
	add(0, 0x50)
	for _, number := range []int64{0, 2, 3, 5, 6, 13, 64, 65, 66} {
		off, _ := f.mft.offset(number * f.boot.record)
		add(off, 0x200)
	}
	for _, r := range f.bitmap.runs[:min(2, len(f.bitmap.runs))] {
		add(r.lcn*f.boot.cluster, 0x40)
	}
	return places
}

// FuzzOpen changes what the reader stands on: of three bytes each, two choose
// one of those and the third changes it.
func FuzzOpen(f *testing.F) {
	scattered := &volumeFile{f, small(f)}
	scattered.scatterBitmap(false)
	split := &volumeFile{f, load(f, makeVolume(f, 2<<20, "-c 512")).data}
	split.scatterBitmap(true)
	volumes := [][]byte{small(f), scattered.data, split.data, load(f, makeVolume(f, 1<<20+4096, "-c 4096")).data}
	places := make([][]int, len(volumes))
	for i, p := range volumes {
		places[i] = parts(f, p)
		f.Add(byte(i), []byte{0x0D, 0, 1})
		f.Add(byte(i), []byte{0x41, 1, 0x80, 0x60, 12, 0xFF})
	}
	f.Fuzz(func(t *testing.T, which byte, changes []byte) {
		at := int(which) % len(volumes)
		p := bytes.Clone(volumes[at])
		for ; len(changes) >= 3; changes = changes[3:] {
			p[places[at][int(le.Uint16(changes))%len(places[at])]] ^= changes[2]
		}
		opened, err := Open(bytes.NewReader(p), int64(len(p)))
		if err != nil {
			return
		}
		var list []extent.Extent
		for e, err := range opened.Allocated() {
			if err != nil {
				return
			}
			list = append(list, e)
		}
		if err := extent.Validate(list, opened.Info().Size); err != nil {
			t.Fatal(err)
		}
		if opened.Info().Size > int64(len(p)) {
			t.Fatalf("%d bytes on a volume of %d", opened.Info().Size, len(p))
		}
	})
}
