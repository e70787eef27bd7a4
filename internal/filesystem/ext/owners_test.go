package ext

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// readerRuns are the runs of all regular files by path; those with data in
// their inodes are left out.
func readerRuns(t testing.TB, l filesystem.Lister) map[string][]filesystem.Run {
	t.Helper()
	out := map[string][]filesystem.Run{}
	for f, err := range l.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if f.Content == nil {
			continue
		}
		var list []filesystem.Run
		for r, err := range f.Content.Runs() {
			if err != nil {
				t.Fatalf("%s: %v", f.Path, err)
			}
			list = append(list, r)
		}
		if len(list) > 0 && list[0].Extent.Offset%512 == 0 {
			out[f.Path] = list
		}
	}
	return out
}

var (
	fragFile = regexp.MustCompile(`^File size of (.*) is \d+ \(`)
	fragRun  = regexp.MustCompile(`^\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+):(?:\s*\d+:)?\s*(\S*)$`)
)

// kernelRuns are those that filefrag gets from the kernel, joined where they
// touch.
func kernelRuns(t testing.TB, dir string) map[string][]filesystem.Run {
	t.Helper()
	out := map[string][]filesystem.Run{}
	text := fstest.Run(t, "find", dir, "-type", "f", "-exec", "filefrag", "-v", "-b512", "{}", "+")
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := fragFile.FindStringSubmatch(line); m != nil {
			name = strings.TrimPrefix(m[1], dir+"/")
			continue
		}
		m := fragRun.FindStringSubmatch(line)
		if m == nil || strings.Contains(m[4], "inline") {
			continue
		}
		number := func(i int) int64 {
			n, _ := strconv.ParseInt(m[i], 10, 64)
			return 512 * n
		}
		r := filesystem.Run{Offset: number(1), Extent: extent.Extent{Offset: number(2), Length: number(3)}, Unwritten: strings.Contains(m[4], "unwritten")}
		list := out[name]
		if n := len(list) - 1; n >= 0 && list[n].Offset+list[n].Extent.Length == r.Offset && list[n].Extent.End() == r.Extent.Offset && list[n].Unwritten == r.Unwritten {
			list[n].Extent.Length += r.Extent.Length
			continue
		}
		out[name] = append(list, r)
	}
	return out
}

// everyBlock says whether all that the files and the file system itself own is
// allocated, and all that is allocated has an owner; debugfs is asked for some
// of them too.
func everyBlock(t *testing.T, path string) {
	t.Helper()
	opened, _ := fstest.Open(t, path, Open)
	f := opened.(*fileSystem)
	allocated := fstest.Allocation(t, f)
	content, metadata := fstest.Owned(t, f)
	if out := fstest.Outside(content, allocated); len(out) > 0 {
		t.Errorf("files have data that is not allocated: %v", out)
	}
	if out := fstest.Outside(metadata, allocated); len(out) > 0 {
		t.Errorf("files have metadata that is not allocated: %v", out)
	}
	all := extent.Align(extent.Union(content, metadata, systemBlocks(t, f)), f.blockSize, f.info.Size)
	if f.clusterBlocks > 1 { // counted from the first block
		start := f.firstBlock * f.blockSize
		for i := range all {
			all[i].Offset -= min(start, all[i].Offset)
		}
		all = extent.Align(all, f.blockSize*f.clusterBlocks, f.info.Size)
		for i := range all {
			all[i].Offset += start
		}
		all = extent.Union(all, []extent.Extent{{Offset: 0, Length: start}})
	}
	if out := fstest.Outside(allocated, all); len(out) > 0 {
		t.Errorf("nobody owns %v of what is allocated", out)
	}
	askOwners(t, path, f)
}

// systemBlocks is what belongs to no file: superblocks, descriptors, bitmaps,
// inode tables, the inodes before the first that has a name, and the one that
// lists orphans, which Linux since 5.15 can keep in a file: s_orphan_file_inum.
func systemBlocks(t testing.TB, f *fileSystem) (list []extent.Extent) {
	t.Helper()
	add := func(block, n int64) {
		list = append(list, extent.Extent{Offset: block * f.blockSize, Length: n * f.blockSize})
	}
	add(0, f.firstBlock)
	err := f.descriptors(func(g int64, d descriptor) error {
		add(f.groupStart(g), f.baseBlocks(g))
		for _, e := range f.metadata(d) {
			add(e.Offset, e.Length)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &inodeReader{f: f}
	numbers := []int64{int64(le.Uint32(f.sb[0x280:]))}
	for number := int64(1); number < f.sb.firstInode(); number++ {
		numbers = append(numbers, number)
	}
	for _, number := range numbers {
		if number == 0 {
			continue
		}
		in, err := r.read(number)
		if err != nil || in.links() == 0 || !in.mapped() {
			continue // most are not in use
		}
		m := &blockMap{in: in, seen: func(block int64) { add(block, 1) }}
		if err := m.each(func(s span) error { add(s.physical, s.length); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// askOwners asks debugfs for the inodes of blocks of every 20th file.
func askOwners(t testing.TB, path string, f *fileSystem) {
	t.Helper()
	want := map[int64]uint64{}
	n := 0
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n%20 != 0 {
			continue
		}
		for e := range file.Metadata {
			if e.Offset%f.blockSize == 0 && e.Length%f.blockSize == 0 {
				want[e.Offset/f.blockSize] = file.Inode
			}
		}
		if file.Content != nil {
			for r := range file.Content.Runs() {
				want[r.Extent.End()/f.blockSize-1] = file.Inode
			}
		}
	}
	command := "icheck"
	for block := range want {
		command += fmt.Sprint(" ", block)
	}
	for line := range strings.Lines(fstest.Run(t, "debugfs", "-R", command, path)) {
		var block int64
		var number uint64
		if k, _ := fmt.Sscan(line, &block, &number); k == 2 {
			if w := want[block]; w != number && !f.inTables(t, block) {
				t.Errorf("block %d: inode %d, debugfs says %d", block, w, number)
			}
			delete(want, block)
		}
	}
	for block, number := range want {
		if !f.inTables(t, block) {
			t.Errorf("block %d: inode %d, debugfs knows none", block, number)
		}
	}
}

// inTables says whether a block is one of an inode table.
func (f *fileSystem) inTables(t testing.TB, block int64) (in bool) {
	t.Helper()
	err := f.descriptors(func(_ int64, d descriptor) error {
		e := f.metadata(d)[2]
		in = in || block >= e.Offset && block < e.End()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}
