package ufs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"doppel.live/internal/filesystem/fstest"
)

// made are parameters of makefs; makefs wants whole blocks.
var made = []struct {
	name    string
	version int
	order   string // as makefs has it
	kib     int64
	options string
}{
	{"UFS1 of little fragments", 1, "le", 24000, "bsize=4096,fsize=512,density=2048"},
	{"UFS1 of little fragments, big-endian", 1, "be", 24000, "bsize=4096,fsize=512,density=2048"},
	{"UFS1 of the usual size", 1, "le", 20000, "bsize=8192,fsize=1024"},
	{"UFS1, big-endian, many groups", 1, "be", 24000, "bsize=8192,fsize=1024,maxbpcg=512,density=4096"},
	{"UFS1, hundreds of groups", 1, "le", 72000, "bsize=4096,fsize=512,maxbpcg=512,density=4096"},
	{"UFS1, four fragments in a block", 1, "be", 20000, "bsize=8192,fsize=2048,density=16384"},
	{"UFS1 without fragments", 1, "le", 16000, "bsize=4096,fsize=4096"},
	{"UFS1, two fragments in a block", 1, "le", 16000, "bsize=8192,fsize=4096,minfree=20"},
	{"UFS1, blocks of 64 KiB", 1, "be", 20000, "bsize=65536,fsize=8192"},
	{"UFS2 of little fragments", 2, "le", 20000, "bsize=4096,fsize=512,density=2048"},
	{"UFS2, many groups", 2, "le", 24000, "bsize=8192,fsize=1024,maxbpcg=512,density=2048"},
	{"UFS2, big-endian, many groups", 2, "be", 24000, "bsize=8192,fsize=1024,maxbpcg=512,density=2048"},
	{"UFS2, few inodes", 2, "le", 20000, "bsize=16384,fsize=2048,density=65536"},
	{"UFS2 of the usual size", 2, "le", 30000, "bsize=32768,fsize=4096,density=2048"},
	{"UFS2 without fragments", 2, "be", 24000, "bsize=4096,fsize=4096,density=2048,minfree=0"},
	{"UFS2, two fragments in a block", 2, "le", 24000, "bsize=8192,fsize=4096,density=1024"},
	{"UFS2, blocks of 64 KiB", 2, "le", 20000, "bsize=65536,fsize=8192"},
	{"UFS2, big-endian, fragments of 64 KiB", 2, "be", 28000, "bsize=65536,fsize=65536,density=16384"},
}

// content is what the tree of a test holds, by path: the same in every process.
var content = sync.OnceValue(func() map[string][]byte {
	rng, files := rand.New(rand.NewPCG(11, 12)), map[string][]byte{}
	for i := range 90 {
		dir := fmt.Sprintf("dir%d/", i%4)
		if i%8 == 3 {
			dir += "below/"
		}
		files[fmt.Sprintf("%sfile%02d", dir, i)] = fstest.Noise(rng, rng.Int64N(1<<(5+i%13)))
	}
	files["big"] = fstest.Noise(rng, 3<<20+777) // two levels of indirect blocks where they are small
	files["dir0/middle"] = fstest.Noise(rng, 300_000)
	files["empty"] = nil
	return files
})

// tree is that content below a directory, with a link that lies in its inode
// and one that does not.
var tree = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tree")
	if err != nil {
		return "", err
	}
	for name, data := range content() {
		path := filepath.Join(dir, name)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644))
	}
	return dir, errors.Join(err, os.Symlink("big", filepath.Join(dir, "short")),
		os.Symlink(strings.Repeat("./", 80)+"big", filepath.Join(dir, "long")))
})

// removed says which files are taken away again.
func removed(name string) bool {
	name = name[strings.LastIndexByte(name, '/')+1:]
	return name == "middle" || strings.HasPrefix(name, "file") && name[5]%3 == 0
}

// kept are the sums of the files that stay.
func kept() map[string][32]byte {
	sums := map[string][32]byte{}
	for name, data := range content() {
		if !removed(name) {
			sums[name] = sha256.Sum256(data)
		}
	}
	return sums
}

// makeVolume makes a volume of case i with all files and removes some.
func makeVolume(t testing.TB, i int) string {
	t.Helper()
	fstest.Tool(t, "makefs")
	dir, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "volume")
	m := made[i]
	size := m.kib << 10 &^ (1<<16 - 1)
	options := fmt.Sprintf("version=%d,%s", m.version, m.options)
	fstest.Run(t, "makefs", "-t", "ffs", "-B", m.order, "-s", fmt.Sprint(size), "-o", options, path, dir)
	p := fstest.Load(t, path)
	remove(t, p)
	standard(t, p)
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// openBytes opens a volume in memory.
func openBytes(t testing.TB, p []byte) *fileSystem {
	t.Helper()
	opened, err := Open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	return opened.(*fileSystem)
}

// remove takes files away as a kernel would: name, inode, map and counts. There
// is no program for it: this is by hand.
func remove(t testing.TB, p []byte) {
	t.Helper()
	f := openBytes(t, p)
	w := newWalker(f)
	freed := map[int64]uint32{} // inodes by group
	for name := range content() {
		if !removed(name) {
			continue
		}
		name = name[strings.LastIndexByte(name, '/')+1:]
		at := bytes.Index(p, append([]byte{8, byte(len(name))}, name+"\x00"...))
		if at < 6 {
			t.Fatalf("%s has no name in the volume", name)
		}
		number := int64(f.sb.order.Uint32(p[at-6:]))
		f.sb.order.PutUint32(p[at-6:], 0)
		inode := f.inodeBytes(p, number)
		if err := w.inode(inode); err != nil {
			t.Fatal(err)
		}
		clear(inode)
		freed[number/f.sb.inodesPerGroup()]++
		h := f.header(p, number/f.sb.inodesPerGroup())
		i := number % f.sb.inodesPerGroup()
		h[int64(f.sb.order.Uint32(h[92:]))+i/8] &^= 1 << (i % 8)
	}
	f.recount(p, freed)
}

func (f *fileSystem) inodeBytes(p []byte, number int64) []byte {
	sb := f.sb
	at := (sb.start(number/sb.inodesPerGroup())+sb.inodeBlock())*sb.fragmentSize() + number%sb.inodesPerGroup()*sb.inodeSize()
	return p[at : at+sb.inodeSize()]
}

func (f *fileSystem) header(p []byte, g int64) []byte {
	at := (f.sb.start(g) + f.sb.groupBlock()) * f.sb.fragmentSize()
	return p[at : at+f.sb.groupBytes()]
}

// recount frees what is held and counts all again, one fragment at a time.
func (f *fileSystem) recount(p []byte, freed map[int64]uint32) {
	order, per := f.sb.order, f.sb.fragments()
	var totals [4]int64
	for g := range f.sb.groups() {
		h := f.header(p, g)
		bits := h[order.Uint32(h[96:]):]
		for i, m := range f.held[g] {
			bits[i] |= m
		}
		n := int64(order.Uint32(h[20:]))
		var blocks, fragments uint32
		var runs [9]uint32
		for b := int64(0); b < n; b += per {
			run, all := 0, uint32(0)
			var ends []int
			for i := b; i <= b+per; i++ {
				if i < b+per && i < n && bits[i/8]>>(i%8)&1 == 1 {
					run, all = run+1, all+1
					continue
				}
				ends, run = append(ends, run), 0
			}
			if int64(all) == per {
				blocks++
				continue
			}
			fragments += all
			for _, r := range ends {
				runs[r]++
			}
		}
		order.PutUint32(h[28:], blocks)
		order.PutUint32(h[32:], order.Uint32(h[32:])+freed[g])
		order.PutUint32(h[36:], fragments)
		for i := 1; i < 8; i++ {
			order.PutUint32(h[52+4*i:], runs[i])
		}
		copy(p[f.sb.summary()*f.sb.fragmentSize()+16*g:], h[24:40])
		for i := range totals {
			totals[i] += int64(order.Uint32(h[24+4*i:]))
		}
	}
	f.total(p[f.sb.at:], totals)
}

// total writes the counts of the superblock, in their new and old places.
func (f *fileSystem) total(p []byte, totals [4]int64) {
	for i, n := range totals {
		f.sb.order.PutUint64(p[1008+8*i:], uint64(n))
		if !f.sb.second() {
			f.sb.order.PutUint32(p[192+4*i:], uint32(n))
		}
	}
}

// standard moves the superblock of a UFS2 to where newfs has it: makefs of 2019
// leaves it at byte 8192, where neither Linux nor the Sleuth Kit looks. It is
// possible where unused inodes, or the first copy, lie there.
func standard(t testing.TB, p []byte) {
	t.Helper()
	const to = 64 << 10
	f := openBytes(t, p)
	sb := f.sb
	from, end := sb.inodeBlock()*sb.fragmentSize(), (sb.inodeBlock()+sb.inodeBlocks()*sb.fragments())*sb.fragmentSize()
	copied := sb.copyBlock()*sb.fragmentSize() == to
	if !sb.second() || !copied && (from > to || end < to+superArea) {
		return
	}
	for at := int64(to); at < to+superArea && !copied; at += sb.inodeSize() {
		if binary.LittleEndian.Uint16(p[at:]) != 0 {
			return
		}
	}
	copy(p[to:to+superArea], p[sb.at:])
	clear(p[sb.at : sb.at+superArea])
	sb.order.PutUint64(p[to+1000:], to)
}

// atHome says whether other programs find the superblock.
func (f *fileSystem) atHome() bool { return !f.sb.second() || f.sb.at == 64<<10 }

// writeFile writes file i of n bytes.
func writeFile(t testing.TB, dir string, i, n int) {
	t.Helper()
	data := fstest.Noise(rand.New(rand.NewPCG(uint64(i), 1)), int64(n))
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("file", i)), data, 0o644); err != nil {
		t.Fatal(err)
	}
}
