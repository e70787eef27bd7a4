package btrfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// place is the first copy of a logical address.
func (f *fileSystem) place(logical uint64) int64 {
	c := f.chunkAt(logical)
	return c.copies[0] + int64(logical-c.logical)
}

// anySum takes every checksum for right.
func anySum(uint16) checksum { return func([]byte) bool { return true } }

// trusting is Open that takes every checksum for right.
func trusting(r io.ReaderAt, size int64) (filesystem.FileSystem, error) {
	f, err := open(r, size, anySum)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// seal gives a superblock its CRC32C.
func seal(sb []byte) {
	le.PutUint32(sb, crc32.Checksum(sb[sumSize:], crc32.MakeTable(crc32.Castagnoli)))
}

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, superOffset, superOffset + superSize - 1, superOffset + superSize, 1 << 20} {
		if _, err := Open(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}

// TestDamage changes bytes of the structures that Allocated stands on: no
// change may make the allocation smaller without an error.
func TestDamage(t *testing.T) {
	path := makeVolume(t, 40, "--mixed -n 4096 -m single -d single")
	p := fstest.Load(t, path)
	f, _ := openFile(t, path)
	damage := func(what string, from, n, step int64) {
		for off := from; off < from+n; off += step {
			fstest.Damage(t, Open, p, what, off, 1)
			// Even with checksums that fit, as a faulty program would leave them.
			fstest.Damage(t, trusting, p, what+", its checksum right,", off, 1)
		}
	}
	damage("superblock", superOffset, superSize, 1)
	nodes := 0
	for _, root := range []pointer{{f.sb.chunkRoot(), f.sb.chunkGeneration(), f.sb.chunkLevel()}, {f.sb.root(), f.sb.generation(), f.sb.rootLevel()}, f.extentTree} {
		w := walker{f: f, root: root, seen: func(logical uint64) {
			nodes++
			damage("tree block", f.place(logical), f.nodeSize, 7)
		}}
		if err := w.walk(key{}, func(key, []byte) (bool, error) { return true, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if nodes < 5 {
		t.Errorf("only %d tree blocks", nodes)
	}
}

// TestSecondCopy damages one copy of every tree block that is DUP.
func TestSecondCopy(t *testing.T) {
	path := makeVolume(t, 128, "")
	p, want := fstest.Load(t, path), int64(0)
	f, _ := openFile(t, path)
	want = f.Info().Used
	for _, c := range f.chunks {
		if c.count == 2 {
			clear(p[c.copies[0] : c.copies[0]+int64(c.length)])
		}
	}
	if got, err := fstest.Used(Open, p); err != nil || got != want {
		t.Errorf("without first copies: %d bytes, %v; want %d", got, err, want)
	}
}

func TestRefused(t *testing.T) {
	path := makeVolume(t, 128, "")
	whole := fstest.Load(t, path)
	tests := []struct {
		name  string
		off   int
		value []byte
		want  string
	}{
		{"several devices", 0x88, []byte{2}, "file system of 2 devices, of which this is device 1"},
		{"unknown incompatible feature", 0xC3, []byte{1}, "unknown features"},
		{"zoned", 0xBD, []byte{0x13}, "unknown features 0x1000"},
		{"extent tree v2", 0xBD, []byte{0x23}, "unknown features 0x2000"},
		{"RAID stripe tree", 0xBD, []byte{0x43}, "unknown features 0x4000"},
		{"unknown read-only feature", 0xB4, []byte{0x43}, "unknown read-only features 0x40"},
		{"old references", 0xBC, []byte{0x40}, "before 2009"},
		{"copy of metadata", 0x3C, []byte{2}, "unknown flags"},
		{"unknown checksum", 0xC4, []byte{9}, "unknown checksum 9"},
		{"sectors", 0x90, []byte{0, 2}, "sectors of 512 bytes"},
		{"nodes", 0x94, []byte{0, 0, 2}, "nodes of 131072 bytes"},
		{"larger than the volume", 0xD1, []byte{0, 0, 0, 0, 1}, "on a volume of"},
		{"system chunks", 0xA1, []byte{9}, "bytes of system chunks"},
		{"levels", 0xC6, []byte{8}, "levels"},
		{"device", 0xC9, []byte{7}, "on device 1, this is device 7"},
		{"place", 0x30, []byte{1}, "belongs to byte"},
		{"bytes in use", 0x78, []byte{1}, "block groups hold"},
		{"generation", 0x48, []byte{200}, "generation"},
		{"log that is not there", 0x62, []byte{1}, "tree block"},
	}
	for _, tt := range tests {
		p := bytes.Clone(whole[superOffset : superOffset+superSize])
		copy(p[tt.off:], tt.value)
		seal(p)
		r := &pieces{size: int64(len(whole)), at: map[int64][]byte{superOffset: p}, below: bytes.NewReader(whole)}
		_, err := Open(r, r.size)
		e := new(filesystem.FormatError)
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestMirror: a mirror of a later transaction makes the volume doubtful, any
// other mirror does not.
func TestMirror(t *testing.T) {
	p := fstest.Load(t, makeVolume(t, 128, ""))
	const at = 64 << 20
	mirror := p[at : at+superSize]
	good := bytes.Clone(mirror)
	opens := func(what string, want bool) {
		t.Helper()
		if _, err := Open(bytes.NewReader(p), int64(len(p))); (err == nil) != want {
			t.Errorf("%s: %v", what, err)
		}
		copy(mirror, good)
	}
	clear(mirror)
	opens("no mirror", true)
	mirror[0x48]--
	seal(mirror)
	opens("older mirror", true)
	mirror[0x48]++
	opens("damaged mirror", true)
	mirror[0x48]++
	mirror[0x20]++
	seal(mirror)
	opens("mirror of another file system", true)
	mirror[0x48]++
	seal(mirror)
	opens("newer mirror", false)
}

func TestDevices(t *testing.T) {
	path, second := makeVolume(t, 128, ""), makeVolume(t, 128, "")
	fstest.Run(t, "mkfs.btrfs", "-q", "-f", path, second)
	p := fstest.Load(t, path)
	if _, err := Open(bytes.NewReader(p), int64(len(p))); err == nil || !strings.Contains(err.Error(), "file system of 2 devices") {
		t.Errorf("two devices: %v", err)
	}
}

// TestMetadataUUID: nodes carry another UUID than the file system.
func TestMetadataUUID(t *testing.T) {
	path := makeVolume(t, 128, "")
	fstest.Run(t, "btrfstune", "-f", "-m", path)
	f, file := openFile(t, path)
	if f.sb.incompat()&incompatMetadataUUID == 0 {
		t.Error("btrfstune changed nothing")
	}
	judge(t, fstest.CopyAllocated(t, file, fstest.Allocation(t, f)), "", nil)
}

func TestChecksums(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef!"), 300)
	for n := range 300 {
		long[n] = byte(n)
	}
	// By xxhsum and b2sum -l 256; the last is 5100 bytes long.
	tests := []struct {
		in  []byte
		xxh uint64
		b2  string
	}{
		{nil, 0xEF46DB3751D8E999, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
		{[]byte("abc"), 0x44BC2CF5AD770999, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
	}
	for _, tt := range tests {
		b2 := blake2b256(tt.in)
		if h := xxhash64(tt.in); h != tt.xxh || hex.EncodeToString(b2[:]) != tt.b2 {
			t.Errorf("%d bytes: %x, %x", len(tt.in), h, b2)
		}
	}
	b2, sha := blake2b256(long[:128]), sha256.Sum256(nil)
	if !strings.HasPrefix(fstest.Run(t, "b2sum", "-l", "256", writeTemp(t, long[:128])), hex.EncodeToString(b2[:])) {
		t.Error("128 bytes: b2sum differs")
	}
	b2 = blake2b256(long)
	if !strings.HasPrefix(fstest.Run(t, "b2sum", "-l", "256", writeTemp(t, long)), hex.EncodeToString(b2[:])) || sha[0] != 0xE3 {
		t.Error("5100 bytes: b2sum differs")
	}
}

func writeTemp(t testing.TB, p []byte) string {
	path := t.TempDir() + "/data"
	write(t, path, p)
	return path
}

// pieces is a volume of which only some blocks are given; the rest is below,
// or zero.
type pieces struct {
	size  int64
	at    map[int64][]byte // by their place, a multiple of 4096
	below io.ReaderAt
}

func (v *pieces) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off+int64(n) < v.size {
		at := off + int64(n)
		start := at &^ 4095
		part := p[n:min(int64(len(p)), int64(n)+start+4096-at)]
		if block, ok := v.at[start]; ok {
			copy(part, block[at-start:])
		} else if v.below != nil {
			if _, err := v.below.ReadAt(part, at); err != nil && err != io.EOF {
				return n, err
			}
		} else {
			clear(part)
		}
		n += len(part)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// packed is the form of a volume that is fuzzed: its superblock and tree
// blocks, each behind its place in units of 4096 bytes.
func packed(t testing.TB, path string) []byte {
	f, file := openFile(t, path)
	var out []byte
	add := func(at int64) {
		block := make([]byte, 4096)
		if err := filesystem.ReadFull(file, block, at); err != nil {
			t.Fatal(err)
		}
		out = append(le.AppendUint32(out, uint32(at/4096)), block...)
	}
	add(superOffset)
	roots := []pointer{{f.sb.chunkRoot(), f.sb.chunkGeneration(), f.sb.chunkLevel()}, {f.sb.root(), f.sb.generation(), f.sb.rootLevel()}, f.extentTree}
	if f.sb.logRoot() != 0 {
		roots = append(roots, pointer{f.sb.logRoot(), f.sb.generation() + 1, f.sb.logLevel()})
	}
	for i := 0; i < len(roots); i++ {
		w := walker{f: f, root: roots[i], seen: func(logical uint64) { add(f.place(logical)) }}
		err := w.walk(key{}, func(k key, data []byte) (bool, error) {
			if tree, ok := parseRoot(data); i == 3 && ok && k.kind == typeRoot {
				roots = append(roots, tree)
			}
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func unpack(p []byte) *pieces {
	v := &pieces{size: 300 << 20, at: map[int64][]byte{}}
	for ; len(p) >= 4+4096; p = p[4+4096:] {
		v.at[int64(le.Uint32(p))*4096] = p[4 : 4+4096]
	}
	return v
}

// FuzzOpen changes trees of 4 KiB nodes, whose checksums are taken for right.
// Go's fuzzer spends its time on making inputs smaller that can't be: give it
// -fuzzminimizetime=1x.
func FuzzOpen(f *testing.F) {
	for _, args := range []string{"--mixed -n 4096 -m single -d single", "-n 4096", "-n 4096 -O ^skinny-metadata"} {
		f.Add(packed(f, makeVolume(f, 128, args)))
	}
	if path, ok := crashed(f, "-n 4096"); ok {
		f.Add(packed(f, path))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		v := unpack(p)
		fstest.Hostile(t, func(_ io.ReaderAt, size int64) (filesystem.FileSystem, error) { return trusting(v, size) }, p, v.size)
	})
}
