package partclone

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
)

// stream encodes the blocks of list of volume as this package's users do.
func stream(volume []byte, blockSize int64, list []extent.Extent) []byte {
	return streamOf(New("EXTFS", int64(len(volume)), blockSize, extent.Total(list)/blockSize), volume, list)
}

// streamOf encodes them as h says.
func streamOf(h Header, volume []byte, list []extent.Extent) []byte {
	bits := make([]byte, (h.Blocks+7)/8)
	PutBits(bits, 0, list, h.BlockSize)
	out := h.Encode()
	if h.V1 {
		out = header1(h)
	}
	out = append(out, storedBitmap(h, bits)...)
	var used []byte
	for _, e := range list {
		used = append(used, volume[e.Offset:e.End()]...)
	}
	d := newDigest(h)
	for len(used) > 0 {
		n := int64(len(used))
		if h.GroupBlocks > 0 {
			n = min(n, h.GroupBlocks*h.BlockSize)
		}
		out = append(out, used[:n]...)
		if d != nil {
			d.add(used[:n])
			if out = d.stored(out); !h.Running {
				d.reset()
			}
		}
		used = used[n:]
	}
	return out
}

// storedBitmap is the bitmap as h stores it, with what ends it.
func storedBitmap(h Header, bits []byte) []byte {
	var out []byte
	switch h.Bitmap {
	case BitmapBit:
		out = slices.Clone(bits)
	case BitmapByte:
		for i := range h.Blocks {
			out = append(out, bits[i/8]>>(i%8)&1)
		}
	}
	if h.V1 {
		return append(out, bitmapMagic1...)
	}
	sum := Sum(out)
	return append(out, sum[:]...)
}

// header1 encodes a header of version 1.
func header1(h Header) []byte {
	b := make([]byte, headerSize1)
	copy(b, magic[:15])
	copy(b[15:30], h.FileSystem)
	copy(b[30:], version1)
	binary.LittleEndian.PutUint32(b[36:], uint32(h.BlockSize))
	binary.LittleEndian.PutUint64(b[40:], uint64(h.DeviceSize))
	binary.LittleEndian.PutUint64(b[48:], uint64(h.Blocks))
	binary.LittleEndian.PutUint64(b[56:], uint64(h.Used))
	return b
}

// kinds are all kinds of streams there are, for a volume.
func kinds(deviceSize, blockSize, used int64) map[string]Header {
	all := make(map[string]Header)
	for _, checksum := range []uint16{ChecksumNone, ChecksumCRC32, ChecksumXXH64, ChecksumXXH128} {
		for _, mode := range []byte{BitmapBit, BitmapByte, BitmapNone} {
			for _, running := range []bool{false, true} {
				h := New("EXTFS", deviceSize, blockSize, used)
				h.Checksum, h.Bitmap, h.Running, h.GroupBlocks = checksum, mode, running, 7
				if checksum == ChecksumNone {
					h.GroupBlocks = 0
				}
				if mode != BitmapNone || used == h.Blocks {
					all[fmt.Sprintf("checksum %#x, bitmap %d, running %t", checksum, mode, running)] = h
				}
			}
		}
	}
	h := New("EXTFS", deviceSize, blockSize, used)
	h.V1, h.GroupBlocks, h.Running, h.Bitmap = true, 1, true, BitmapByte
	h.Writer, h.Checksum, h.UsedByFS = "", 0, 0
	all["version 1"] = h
	return all
}

// restore gives the volume of a stream, zeros where it holds nothing.
func restore(in io.Reader) ([]byte, error) {
	r, err := NewReader(in, 256<<20)
	if err != nil {
		return nil, err
	}
	if r.Header.DeviceSize > 256<<20 {
		return nil, errors.New("too large for a test")
	}
	volume := make([]byte, max(r.Header.DeviceSize, r.Header.Blocks*r.Header.BlockSize))
	for {
		offset, data, err := r.Next()
		if err == io.EOF {
			return volume, nil
		}
		if err != nil {
			return nil, err
		}
		copy(volume[offset:], data)
	}
}

// sample is a volume of n blocks of which used are in use, in runs, and zero elsewhere.
func sample(blocks, used, blockSize int64) (volume []byte, list []extent.Extent) {
	random := rand.New(rand.NewPCG(uint64(blocks), uint64(used)))
	volume = make([]byte, blocks*blockSize)
	at, left := int64(0), used
	for left > 0 {
		at += random.Int64N(blocks - at - left + 1)
		n := min(left, 1+random.Int64N(40))
		list = append(list, extent.Extent{Offset: at * blockSize, Length: n * blockSize})
		at, left = at+n, left-n
	}
	list = extent.Merge(list)
	for _, e := range list {
		for i := e.Offset; i < e.End(); i++ {
			volume[i] = byte(random.Uint32())
		}
	}
	return volume, list
}

// A header that partclone 0.3.23 wrote for an ext4 of 300 MiB.
func TestHeader(t *testing.T) {
	want, err := hex.DecodeString("70617274636c6f6e652d696d61676500302e332e323300000000000000003030" +
		"3032dec0455854465300000000000000000000000000c0120000000000b00400" +
		"00000000608b000000000000608b000000000000000400001200000002004000" +
		"200004000004000001015b14b0af")
	if err != nil {
		t.Fatal(err)
	}
	h, err := ParseHeader(want)
	if err != nil {
		t.Fatal(err)
	}
	if h != New("EXTFS", 300<<20, 1024, 0x8b60) {
		t.Errorf("%+v", h)
	}
	if got := h.Encode(); !bytes.Equal(got, want) {
		t.Errorf("encoded\n%x, want\n%x", got, want)
	}
	for i := range want {
		bad := bytes.Clone(want)
		bad[i] ^= 0x10
		if _, err := ParseHeader(bad); err == nil {
			t.Errorf("byte %d changed: no error", i)
		}
	}
}

// hostile headers carry a right checksum and wrong numbers.
func TestHostileHeader(t *testing.T) {
	tests := map[string]func(*Header){
		"block size 0":     func(h *Header) { h.BlockSize = 0 },
		"block size 1 GiB": func(h *Header) { h.BlockSize = 1 << 30 },
		"negative blocks":  func(h *Header) { h.Blocks = -1 },
		"product too big":  func(h *Header) { h.Blocks = 1 << 55 },
		"used > blocks":    func(h *Header) { h.Used = h.Blocks + 1 },
		"no group":         func(h *Header) { h.GroupBlocks = 0 },
		"bitmap mode":      func(h *Header) { h.Bitmap = 2 },
		"checksum mode":    func(h *Header) { h.Checksum = 0xFF },
		"device size":      func(h *Header) { h.DeviceSize = -4096 },
	}
	for name, change := range tests {
		h := New("EXTFS", 1<<20, 4096, 3)
		change(&h)
		var bad *FormatError
		if _, err := ParseHeader(h.Encode()); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewReader(bytes.NewReader(New("EXTFS", 1<<40, 4096, 3).Encode()), 1<<20); !errors.Is(err, image.ErrDamaged) {
		t.Errorf("a stream of more than its volume: %v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	const group = 1 << 20 / 4096
	for _, used := range []int64{0, 1, 7, 8, group - 1, group, group + 1, 3*group + 5} {
		volume, list := sample(1021, used, 4096)
		in := stream(volume, 4096, list)
		r, err := NewReader(bytes.NewReader(in), math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := extent.Collect(r.Allocated()); err != nil || !slices.Equal(got, list) {
			t.Errorf("%d used: allocation %v, want %v", used, got, list)
		}
		if int64(len(in)) != r.Header.StreamSize() {
			t.Errorf("%d used: %d bytes, header says %d", used, len(in), r.Header.StreamSize())
		}
		if got, err := restore(bytes.NewReader(in)); err != nil || !bytes.Equal(got, volume) {
			t.Errorf("%d used: %v, equal %t", used, err, bytes.Equal(got, volume))
		}
	}
}

// Every kind of stream comes back, of any number of blocks; and says how long
// it is.
func TestKinds(t *testing.T) {
	for _, used := range []int64{0, 1, 6, 7, 8, 40} {
		volume, list := sample(40, used, 512)
		for name, h := range kinds(int64(len(volume)), 512, used) {
			in := streamOf(h, volume, list)
			r, err := NewReader(bytes.NewReader(in), int64(len(volume)))
			if err != nil || r.Header != h || r.Header.StreamSize() != int64(len(in)) {
				t.Fatalf("%s: %v, %+v, %d bytes", name, err, r, len(in))
			}
			if got, err := restore(bytes.NewReader(in)); err != nil || !bytes.Equal(got, volume) {
				t.Errorf("%s, %d used: %v, equal %t", name, used, err, bytes.Equal(got, volume))
			}
			if (r.Header.Weakness() == "") != (h.Checksum != ChecksumNone) {
				t.Errorf("%s: weak: %q", name, r.Header.Weakness())
			}
		}
	}
}

// With a checksum of blocks, of whatever kind, a changed byte is an error; in
// version 1 that of the first byte of a block.
func TestKindsDamaged(t *testing.T) {
	const size = 16 // bytes of a block
	volume, list := sample(40, 40, size)
	for name, h := range kinds(int64(len(volume)), size, 40) {
		in := streamOf(h, volume, list)
		for i := 0; i < len(in); i++ {
			if h.V1 && i == 64 {
				i = headerSize1 // between them nothing is read
			}
			if _, err := restore(bytes.NewReader(in[:i])); err == nil || err == io.EOF {
				t.Fatalf("%s cut at %d: %v", name, i, err)
			}
			bad := bytes.Clone(in)
			bad[i] ^= 1 << (i % 8)
			_, err := restore(bytes.NewReader(bad))
			first := int(h.headerSize() + h.BitmapSize() + h.bitmapEnd())
			blind := i >= first && h.Checksum == ChecksumNone
			if h.V1 {
				inBlock := (i - first) % (size + SumSize)
				blind = i < first || inBlock > 0 && inBlock < size
			}
			if err == nil && !blind {
				t.Fatalf("%s, byte %d changed: no error", name, i)
			}
		}
	}
}

// Every cut and every changed byte is an error; the program's and file
// system's names are covered by the header's checksum too.
func TestDamage(t *testing.T) {
	volume, list := sample(40, 9, 512)
	in := stream(volume, 512, list)
	for i := range in {
		if _, err := restore(bytes.NewReader(in[:i])); err == nil || err == io.EOF {
			t.Fatalf("cut at %d: %v", i, err)
		}
		bad := bytes.Clone(in)
		bad[i] ^= 1 << (i % 8)
		if _, err := restore(bytes.NewReader(bad)); err == nil {
			t.Fatalf("byte %d changed: no error", i)
		}
	}
	if _, err := restore(bytes.NewReader(append(in, 0))); !errors.Is(err, image.ErrDamaged) {
		t.Fatalf("a byte behind the end: %v", err)
	}
}

// A large volume with few used blocks has a small Bitmap, whatever lies in it.
func TestBitmapRuns(t *testing.T) {
	const blocks = 5*pieceSize*8 + 77
	list := []extent.Extent{{Offset: 3, Length: 1}, {Offset: 64, Length: 64}, {Offset: pieceSize*8 - 2, Length: 2*pieceSize*8 + 3}, {Offset: blocks - 1, Length: 1}}
	h := New("EXTFS", blocks, 1, extent.Total(list))
	for _, mode := range []byte{BitmapBit, BitmapByte} {
		h.Bitmap = mode
		bits := make([]byte, (blocks+7)/8)
		PutBits(bits, 0, list, 1)
		if mode == BitmapByte {
			bytewise := make([]byte, blocks)
			for i := range bytewise {
				bytewise[i] = bits[i/8] >> (i % 8) & 1
			}
			bits = bytewise
		}
		sum := Sum(bits)
		b, err := ReadBitmap(io.MultiReader(bytes.NewReader(bits), bytes.NewReader(sum[:])), h)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := extent.Collect(b.Extents(1)); !slices.Equal(got, list) {
			t.Errorf("mode %d: %v, want %v", mode, got, list)
		}
		if b.pieces[2] == nil || !b.isFull(b.pieces[2]) || b.pieces[4] != nil {
			t.Error("full and empty pieces are not shared")
		}
	}
}

func TestBitmapNone(t *testing.T) {
	h := New("raw", 5*512, 512, 5)
	h.Bitmap = BitmapNone
	data := bytes.Repeat([]byte("doppel.."), 5*512/8)
	empty, sum := Sum(nil), Sum(data)
	in := slices.Concat(h.Encode(), empty[:], data, sum[:])
	if got, err := restore(bytes.NewReader(in)); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v", err)
	}
}

func TestPutBits(t *testing.T) {
	list := []extent.Extent{{Offset: 4096, Length: 12288}, {Offset: 20 * 4096, Length: 30 * 4096}}
	whole := make([]byte, 8)
	PutBits(whole, 0, list, 4096)
	if whole[0] != 0b00001110 {
		t.Errorf("first byte %08b", whole[0])
	}
	for first := range whole { // any part of it comes out the same
		part := make([]byte, len(whole)-first)
		PutBits(part, int64(first)*8, list, 4096)
		if !bytes.Equal(part, whole[first:]) {
			t.Errorf("from byte %d: %x, want %x", first, part, whole[first:])
		}
	}
}

func TestPartcloneAgrees(t *testing.T) {
	chkimg, err := exec.LookPath("partclone.chkimg")
	if err != nil {
		t.Skip("partclone is not installed")
	}
	for _, used := range []int64{0, 256, 1000} {
		volume, list := sample(1021, used, 4096)
		path := filepath.Join(t.TempDir(), "stream")
		if err := os.WriteFile(path, stream(volume, 4096, list), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(chkimg, "-s", path, "-L", "/dev/null").CombinedOutput(); err != nil {
			t.Errorf("%d used: %v\n%s", used, err, out)
		}
	}
}

const fixtures = "../../../shared/fixtures/partclone/"

// Streams that partclone wrote; the sums are of what partclone restored from them.
func TestFixtures(t *testing.T) {
	const (
		ext4 = "18d107323d57a7a2e1aae60fac1839a267df8336817662991054ec8c0a495068"
		fat  = "74b23a5f9ba8a7178dac3b4ca8966372b5d03e8bce24e35db31e2a88882a5f81"

		ntfs  = "4a93fa3187ee2694ed16c4df1a437e33ee03ac14a2038a9837a7aa44f6f67959"
		btrfs = "0768389e5a60c6b5d4c65f91cd7321a9cf08f367207fa3fe568429601955b342"
	)
	tests := map[string]string{
		"ext4-none": ext4, "ext4-crc32": ext4, "ext4-crc32-k7": ext4, "ext4-crc32-noreseed-k7": ext4,
		"ext4-xxh64": ext4, "ext4-xxh64-k100": ext4, "ext4-xxh64-noreseed": ext4,
		"ext4-xxh3": ext4, "ext4-xxh3-k7": ext4, "ext4-xxh3-noreseed-k7": ext4,
		"ext4-debian0.3.23": ext4, "fat16": fat, "v1-fat16": fat,
		"v1-ext3":    "bec68390d1a86f99e6ab279e52fdfda5548117b7f22b9749881ba605dc10f886",
		"fat32":      "8e0fe246ae75c3f87a153766274bd67ab49324ea6697809659fe04377f6fc1db",
		"ntfs-tail":  ntfs,
		"v1-ntfs":    ntfs,
		"btrfs":      btrfs,
		"btrfs-xxh3": btrfs,
		"raw-imager": "3581c11c8e63f7ea9b874a6782a2fb403ef0329efc3bf37d43aaa6879a4912b7",
		"xfs":        "4c3c85194f846cccf5c27b715a796a8328d19b4c38e3494d51271e9dfd61fd44",
	}
	for name, want := range tests {
		volume, err := restoreFixture(t, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want == ext4 { // the device had 1 KiB more than the file system
			volume = append(volume, make([]byte, 12293120-len(volume))...)
		}
		if name == "v1-ext3" {
			volume = append(volume, make([]byte, 9217024-len(volume))...)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(volume)); got != want {
			t.Errorf("%s: sum %s, want %s", name, got, want)
		}
	}
	files, _ := filepath.Glob(fixtures + "*.img.zst")
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".img.zst"); tests[name] == "" && name != "ntfs-ntfsclone" {
			t.Errorf("%s is not in the table", name)
		}
	}
	if _, err := restoreFixture(t, "ntfs-ntfsclone"); !errors.Is(err, ErrFormat) {
		t.Errorf("ntfsclone: %v", err)
	}
}

func restoreFixture(t *testing.T, name string) ([]byte, error) {
	file, err := os.Open(fixtures + name + ".img.zst")
	if err != nil {
		t.Skipf("no fixtures: %v", err)
	}
	defer file.Close()
	unpacked, err := zstd.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer unpacked.Close()
	return restore(unpacked)
}

func FuzzReader(f *testing.F) {
	for _, used := range []int64{0, 1, 9} {
		volume, list := sample(40, used, 512)
		f.Add(stream(volume, 512, list))
	}
	h := New("EXTFS", 1<<40, 4096, 0)
	f.Add(h.Encode())
	volume, list := sample(40, 40, 512)
	for _, h := range kinds(int64(len(volume)), 512, 40) {
		f.Add(streamOf(h, volume, list))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		// What the header's checksum keeps out is of interest behind it too.
		if len(in) >= HeaderSize && string(in[30:34]) != version1 {
			sum := Sum(in[:106])
			copy(in[106:], sum[:])
		}
		r, err := NewReader(bytes.NewReader(in), math.MaxInt64)
		if err != nil {
			return
		}
		end := int64(0)
		for {
			offset, data, err := r.Next()
			if err != nil {
				return
			}
			if offset < end || len(data) == 0 {
				t.Fatalf("offset %d after %d", offset, end)
			}
			if end = offset + int64(len(data)); end > r.Header.Blocks*r.Header.BlockSize {
				t.Fatalf("%d behind the last block", end)
			}
		}
	})
}
