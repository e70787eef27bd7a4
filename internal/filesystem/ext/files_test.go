package ext

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// zoo makes what a directory tree can hold. What the file system does not
// support is left out.
func zoo(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 12))
	name := func(s string) string { return filepath.Join(dir, s) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(name("zoo/deep/er/and/deeper"), 0o750))
	must(os.WriteFile(name("zoo/deep/er/and/deeper/file"), []byte("at the bottom"), 0o600))
	for i := range 13 {
		must(os.WriteFile(name(fmt.Sprint("zoo/small", 15*i)), fstest.Noise(rng, int64(15*i)), 0o644))
	}
	must(os.Link(name("zoo/small30"), name("zoo/deep/other name")))
	must(os.Symlink("short", name("zoo/short link")))
	must(os.Symlink(strings.Repeat("x", 59), name("zoo/link of 59")))
	must(os.Symlink(strings.Repeat("y", 60), name("zoo/link of 60")))
	must(os.Symlink(strings.Repeat("long/", 190), name("zoo/long link")))
	unix.Lsetxattr(name("zoo/short link"), "trusted.a", fstest.Noise(rng, 600), 0) // takes a block
	must(unix.Mkfifo(name("zoo/fifo"), 0o640))
	must(unix.Mknod(name("zoo/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(unix.Mknod(name("zoo/disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 70000))))
	must(unix.Mknod(name("zoo/socket"), unix.S_IFSOCK|0o755, 0))
	must(os.WriteFile(name("zoo/setuid"), nil, 0o755))
	must(os.Lchown(name("zoo/setuid"), 70000, 80000))
	must(os.Chmod(name("zoo/setuid"), 0o751|os.ModeSetuid|os.ModeSetgid))
	must(os.Chmod(name("zoo/deep"), 0o777|os.ModeSticky))
	must(os.WriteFile(name("zoo/n\xF6t UTF-8 \x01"), []byte("a name of bytes"), 0o644))
	many := name("zoo/many")
	must(os.Mkdir(many, 0o755))
	for i := range 700 { // a tree of hashes
		must(os.WriteFile(filepath.Join(many, fmt.Sprintf("%d %s", i, strings.Repeat("n", i%120))), nil, 0o644))
	}
	for i := 0; i < 700; i += 3 {
		must(os.Remove(filepath.Join(many, fmt.Sprintf("%d %s", i, strings.Repeat("n", i%120)))))
	}
	sparse, err := os.Create(name("zoo/sparse"))
	must(err)
	for i := range int64(400) { // two levels of extents; up to the triple map
		sparse.WriteAt(fstest.Noise(rng, 3000), i*i*450)
	}
	sparse.WriteAt([]byte("behind 66 MiB in blocks of 1 KiB"), 70<<20)
	must(sparse.Truncate(71 << 20))
	must(sparse.Close())
	fallocated, err := os.Create(name("zoo/unwritten"))
	must(err)
	if unix.Fallocate(int(fallocated.Fd()), 0, 0, 300_000) == nil {
		fallocated.WriteAt(fstest.Noise(rng, 20_000), 100_000)
		unix.Fallocate(int(fallocated.Fd()), unix.FALLOC_FL_KEEP_SIZE, 400_000, 100_000)
	}
	must(fallocated.Close())
	for i, at := range []int64{-2_000_000_000, -1, 0, 2_000_000_000, 3_000_000_000, 5_000_000_000, 10_000_000_000} {
		when := time.Unix(at, int64(i)*123456789)
		must(os.Chtimes(name(fmt.Sprint("zoo/small", 15*i)), when, when))
	}
}

// fileCases are volumes that the kernel can mount; args are of mke2fs.
var fileCases = []struct{ name, args string }{
	{"ext4", "-t ext4"},
	{"ext4, orphans in a file", "-t ext4 -O orphan_file"},
	{"ext4 1k", "-t ext4 -b 1024"},
	{"ext4, inline data", "-t ext4 -b 1024 -O inline_data,large_dir"},
	{"ext4, inline data, inodes of 1024", "-t ext4 -I 1024 -O inline_data"},
	{"ext4, bigalloc", "-t ext4 -b 1024 -C 4096 -O bigalloc"},
	{"ext4, no checksums, no types in directories", "-t ext4 -b 1024 -O ^metadata_csum,^64bit,^filetype"},
	{"ext3", "-t ext3"},
	{"ext3 1k, inodes of 128", "-t ext3 -b 1024 -I 128"},
	{"ext2 2k", "-t ext2 -b 2048"},
}

// TestFiles holds the walk against the kernel's own: names, inodes, contents
// and where these lie.
func TestFiles(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	for _, tt := range fileCases {
		t.Run(tt.name, func(t *testing.T) {
			path := makeVolume(t, 60000, tt.args)
			dir, ok := fstest.Mount(t, path, "")
			if !ok {
				t.Skip("cannot mount")
			}
			zoo(t, dir)
			fstest.Unmount(t, dir)
			dir, _ = fstest.Mount(t, path, ",ro,noatime")
			opened, _ := fstest.Open(t, path, Open)
			l := opened.(filesystem.Lister)
			fstest.Tree{Permissions: true, Links: true, Changed: true, Created: true, Folders: true}.Same(t, l, dir, nil)
			want := fstest.TreeSums(t, dir)
			if got := fstest.FileSums(t, l); len(want) < 500 || !maps.Equal(got, want) {
				t.Errorf("the contents of %d files are not those of %d", len(got), len(want))
			}
			if got, want := readerRuns(t, l), kernelRuns(t, dir); !maps.EqualFunc(got, want, slices.Equal) {
				for name := range want {
					if !slices.Equal(got[name], want[name]) {
						t.Errorf("%s: runs %v\nfilefrag: %v", name, got[name], want[name])
					}
				}
			}
			fstest.Reads(t, l)
			everyBlock(t, path)
		})
	}
}

// TestFilesOfMatrix reads the volumes of the matrix that no kernel has to
// mount; the tree that mke2fs took them from is the judge of their contents.
func TestFilesOfMatrix(t *testing.T) {
	for _, tt := range cases {
		if tt.loop && !strings.Contains(tt.name, "last group") || tt.kib > 1<<20 {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			path := makeVolume(t, tt.kib, tt.args)
			opened, _ := fstest.Open(t, path, Open)
			want := fstest.TreeSums(t, tree(t, min(tt.kib/8, 8000)))
			if got := fstest.FileSums(t, opened.(filesystem.Lister)); !maps.Equal(got, want) {
				t.Errorf("the contents of %d files are not those of %d", len(got), len(want))
			}
		})
	}
}

// TestFilesThroughJournal reads a volume that was not unmounted, and holds it
// against what it is after e2fsck recovered it.
func TestFilesThroughJournal(t *testing.T) {
	for _, tt := range []struct{ args, options string }{{"-t ext4 -b 1024", ""}, {"-t ext4 -b 1024", ",data=journal"}, {"-t ext3", ""}} {
		path := crashed(t, 60000, tt.args, tt.options)
		before, _ := fstest.Open(t, path, Open)
		l := before.(filesystem.Lister)
		files, errs := fstest.Listing(t, l, 1<<20)
		if len(errs) > 0 {
			t.Errorf("%s: %v", tt.args, errs)
		}
		got := fstest.FileSums(t, l)
		recoverVolume(t, path)
		if want := sums(t, path); len(want) < 60 || !maps.Equal(got, want) {
			t.Errorf("%s: the contents of %d files are not those of %d behind the recovery", tt.args, len(got), len(want))
		}
		after, _ := fstest.Open(t, path, Open)
		if again, _ := fstest.Listing(t, after.(filesystem.Lister), 1<<20); !maps.Equal(files, again) {
			t.Errorf("%s: %d files are not the %d behind the recovery", tt.args, len(files), len(again))
		}
	}
}

// TestEncrypted reads a directory that the kernel encrypted: its names are
// shown as bytes, its contents are refused, its blocks are known.
func TestEncrypted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	path := makeVolume(t, 30000, "-t ext4 -O encrypt")
	dir, ok := fstest.Mount(t, path, "")
	if !ok {
		t.Skip("cannot mount")
	}
	os.Mkdir(filepath.Join(dir, "secret"), 0o755)
	fstest.Tool(t, "e4crypt")
	if out, err := exec.Command("sh", "-c", "echo passphrase | e4crypt add_key -S s:salt "+filepath.Join(dir, "secret")).CombinedOutput(); err != nil {
		t.Skipf("cannot encrypt: %s", out)
	}
	os.WriteFile(filepath.Join(dir, "secret", "file"), bytes.Repeat([]byte("secret "), 3000), 0o644)
	os.Symlink("target", filepath.Join(dir, "secret", "link"))
	if _, err := os.Stat(filepath.Join(dir, "secret", "link")); err != nil && os.IsPermission(err) {
		t.Skip("the kernel does not encrypt")
	}
	fstest.Unmount(t, dir)
	opened, _ := fstest.Open(t, path, Open)
	seen := 0
	for f, err := range opened.(filesystem.Lister).Files() {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(f.Path, "secret/") {
			continue
		}
		seen++
		if strings.Contains(f.Path, "file") || strings.ContainsFunc(f.Path, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("the name %q", f.Path)
		}
		if f.LinkTarget != "" {
			t.Errorf("a target of %q", f.LinkTarget)
		}
		if !f.Mode.IsRegular() {
			continue
		}
		if _, err := f.Open().ReadAt(make([]byte, 10), 0); !errors.Is(err, filesystem.ErrContent) || f.Size != 21000 {
			t.Errorf("%d bytes of an encrypted file: %v", f.Size, err)
		}
		for r, err := range f.Content.Runs() {
			if err != nil || r.Extent.Length < 21000 {
				t.Errorf("run %v, %v", r, err)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d names in the encrypted directory", seen)
	}
	everyBlock(t, path)
}
