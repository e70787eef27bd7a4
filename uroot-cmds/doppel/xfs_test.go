package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// xfsCut makes source.img: a whole disk that is one XFS, as a power cut leaves
// it. Most of its files are known to its log only.
func (l *lab) xfsCut(size int64) {
	l.t.Helper()
	os.Remove(l.path("source.img"))
	l.random("source.img", size, 0, size)
	l.tool("", "mkfs.xfs", "--unsupported", "-q", "-f", "-L", "root", l.path("source.img"))
	if !l.mountXFS("source.img") {
		l.t.Skip("needs the right to mount XFS")
	}
	for n := range 40 {
		l.random(fmt.Sprint("mnt/file", n), int64(n)*20_001, 0, int64(n)*20_001)
	}
	l.tool("", "sync", "-f", l.path("mnt"))
	for n := range 20 {
		os.Remove(l.path(fmt.Sprint("mnt/file", 2*n)))
		name := fmt.Sprint("mnt/late", n)
		l.random(name, int64(n)*30_001, 0, int64(n)*30_001)
		f, err := os.Open(l.path(name))
		if err != nil {
			l.t.Fatal(err)
		}
		if err := f.Sync(); err != nil { // its data, and the log
			l.t.Fatal(err)
		}
		f.Close()
	}
	l.tool("", "xfs_io", "-x", "-c", "shutdown -f", l.path("mnt"))
	l.tool("", "umount", l.path("mnt"))
}

// mountXFS mounts an XFS on mnt; false where this process may not.
func (l *lab) mountXFS(name string) bool {
	l.t.Helper()
	os.Mkdir(l.path("mnt"), 0o755)
	out, err := exec.Command("mount", "-t", "xfs", "-o", "loop,nouuid", l.path(name), l.path("mnt")).CombinedOutput()
	if err != nil {
		l.t.Logf("cannot mount: %s", bytes.TrimSpace(out))
		return false
	}
	l.t.Cleanup(func() { exec.Command("umount", l.path("mnt")).Run() })
	return true
}

// xfsFiles lets the kernel replay the log of a copy, and reads all files.
func (l *lab) xfsFiles(name string) map[string]string {
	l.t.Helper()
	if !l.mountXFS(name) {
		l.t.Fatal(name, " cannot be mounted")
	}
	defer l.tool("", "umount", l.path("mnt"))
	names, err := filepath.Glob(l.path("mnt/*"))
	if err != nil {
		l.t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range names {
		b, err := os.ReadFile(f)
		if err != nil {
			l.t.Error(err)
		}
		all[filepath.Base(f)] = string(b)
	}
	return all
}

// An XFS that was not unmounted is saved by its blocks in use. It comes back
// with its log, by us and by partclone, and recovery brings the files of the
// source.
func TestXFSAfterPowerCut(t *testing.T) {
	l := newLab(t)
	size := int64(100 * mib)
	l.xfsCut(size)
	os.Remove(l.path("target.img"))
	l.random("target.img", size, 0, size)
	status, plan := l.doppel(context.Background(), "", "save", "source.img", "cut", "--plan", "--json")
	if status != done || !strings.Contains(plan, `"file_system":"xfs","method":"blocks"`) {
		t.Errorf("plan: status %d, %s", status, plan)
	}
	l.expect(done, "is saved", "save", "source.img", "cut")
	l.expect(done, "", "verify", "cut")
	l.expect(done, "was compared", "restore", "cut", "target.img", "--verify", "--yes")
	if bytes.Equal(l.read("target.img"), l.read("source.img")) {
		t.Error("every byte was restored, not only the blocks in use")
	}
	back := []string{"target.img"}
	streams, _ := filepath.Glob(l.path("images/cut/*.xfs-ptcl-img.zst"))
	if _, err := exec.LookPath("partclone.restore"); err == nil && len(streams) == 1 {
		l.random("fresh.img", size, 0, size)
		l.tool("", "sh", "-c", "zstd -dcq "+streams[0]+" | partclone.restore -C -s - -O "+l.path("fresh.img")+" -L /dev/null")
		back = append(back, "fresh.img")
	}
	want := l.xfsFiles("source.img")
	if late := want["late19"]; len(want) != 40 || len(late) != 19*30_001 || strings.Trim(late, "\x00") == "" {
		t.Fatalf("%d files on the source", len(want))
	}
	for _, name := range back {
		got := l.xfsFiles(name)
		for f := range want {
			if got[f] != want[f] {
				t.Errorf("%s: %s differs (%d bytes, %d)", name, f, len(got[f]), len(want[f]))
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s has %d files, not %d", name, len(got), len(want))
		}
		l.tool("", "xfs_repair", "-n", l.path(name))
	}
}
