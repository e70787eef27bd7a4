package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/filesystem/fstest"
)

// loop gives a block device of a file of the lab.
func (l *lab) loop(name string) string {
	l.t.Helper()
	device := strings.TrimSpace(l.tool("", "losetup", "-f", "--show", l.path(name)))
	l.t.Cleanup(func() { l.tool("", "losetup", "-d", device) })
	return device
}

// mountExFAT mounts an exFAT by exfat-fuse until the test ends.
func (l *lab) mountExFAT(device, options string) string {
	l.t.Helper()
	dir := l.t.TempDir()
	l.tool("", "mount.exfat-fuse", "-o", options, device, dir)
	l.t.Cleanup(func() { unix.Unmount(dir, 0) })
	return dir
}

// cutExFAT makes fs, an exFAT of 24 MiB as a power cut leaves it: mounted, with
// folders and files that its allocation bitmap does not know.
func (l *lab) cutExFAT() {
	l.t.Helper()
	l.random("fs", 24*mib, 0, 24*mib)
	device := l.loop("fs")
	l.tool("", "mkfs.exfat", "-c", "4K", device)
	dump := l.tool("", "dump.exfat", device)
	number := func(name string) int64 {
		m := regexp.MustCompile(name + `\D*:\s+(\d+)`).FindStringSubmatch(dump)
		if m == nil {
			l.t.Fatalf("dump.exfat prints no %q:\n%s", name, dump)
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		return n
	}
	bitmap := number("Cluster Heap Offset")*512 + (number("Bitmap start cluster")-2)*4096
	dir := l.mountExFAT(device, "rw")
	l.random("before", mib, 0, mib)
	write := func(folder string) {
		for i := range 8 {
			name := filepath.Join(dir, folder, fmt.Sprint("file ", i))
			err := os.MkdirAll(filepath.Dir(name), 0o755)
			if err == nil {
				err = os.WriteFile(name, l.read("before")[i*9000:i*70_000], 0o644)
			}
			if err != nil {
				l.t.Fatal(err)
			}
		}
	}
	write("old")
	unix.Sync()
	before, err := os.ReadFile(device)
	if err != nil {
		l.t.Fatal(err)
	}
	write("new/folder")
	after, err := os.ReadFile(device)
	if err != nil {
		l.t.Fatal(err)
	}
	copy(after[bitmap:bitmap+4096], before[bitmap:])
	if err := unix.Unmount(dir, 0); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.path("cut"), after, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// An exFAT that was not unmounted is saved by blocks, and comes back with files
// that only its directories know: by us and by partclone.
func TestExFATNotUnmounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	l := newLab(t)
	for _, name := range []string{"mount.exfat-fuse", "mkfs.exfat", "dump.exfat", "partclone.restore", "zstd"} {
		l.find(name)
	}
	l.cutExFAT()
	os.Remove(l.path("source.img"))
	l.random("source.img", 64*mib, 0, 0)
	l.tool("label: dos\nstart=2048,size=24MiB,type=7\n", "sfdisk", "--quiet", l.path("source.img"))
	l.copyInto("cut", "source.img", mib)
	want := fstest.TreeSums(t, l.mountExFAT(l.loop("cut"), "ro"))
	if len(want) != 16 {
		t.Fatalf("exfat-fuse reads %d files", len(want))
	}
	l.expect(done, `"method":"blocks"`, "save", "source.img", "ex", "--plan", "--json")
	l.expect(done, "is saved", "save", "source.img", "ex")
	l.expect(done, "was compared", "restore", "ex", "target.img", "--yes", "--verify")
	if err := os.WriteFile(l.path("ours"), l.read("target.img")[mib:25*mib], 0o644); err != nil {
		t.Fatal(err)
	}
	l.random("theirs", 24*mib, 0, 24*mib)
	found, _ := filepath.Glob(l.path("images/ex/sda1.exfat-ptcl-img.zst"))
	if len(found) != 1 {
		t.Fatal("there is no stream of blocks")
	}
	l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | partclone.restore -C -s - -O "+l.path("theirs")+" -L /dev/null")
	for _, name := range []string{"ours", "theirs"} {
		if got := fstest.TreeSums(t, l.mountExFAT(l.loop(name), "ro")); !maps.Equal(got, want) {
			t.Errorf("%s: %d files, want %d; or they differ", name, len(got), len(want))
		}
	}
	if string(l.read("ours")) == string(l.read("cut")) {
		t.Error("every byte was restored, not only the blocks in use")
	}
}
