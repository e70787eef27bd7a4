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

// btrfsVolume makes source.img: a whole disk that is one btrfs, with a
// snapshot and a deleted file where this process may mount it.
func (l *lab) btrfsVolume(size int64) (mounts bool) {
	l.t.Helper()
	for i, name := range []string{"tree/a", "tree/b", "tree/c"} {
		l.random(name, 3*mib, int64(i)*4096, mib)
	}
	os.Remove(l.path("source.img"))
	l.random("source.img", size, 0, 0)
	l.tool("", "mkfs.btrfs", "-q", "-f", "-L", "root", "-r", l.path("tree"), l.path("source.img"))
	if !l.mount("source.img") {
		return false
	}
	l.tool("", "btrfs", "subvolume", "snapshot", l.path("mnt"), l.path("mnt/snap"))
	l.random("mnt/a", 3*mib, mib, mib)
	os.Remove(l.path("mnt/b"))
	l.tool("", "umount", l.path("mnt"))
	return true
}

// mount mounts a btrfs on mnt; false where this process may not.
func (l *lab) mount(name string) bool {
	l.t.Helper()
	os.Mkdir(l.path("mnt"), 0o755)
	out, err := exec.Command("mount", "-t", "btrfs", "-o", "loop", l.path(name), l.path("mnt")).CombinedOutput()
	if err != nil {
		l.t.Logf("cannot mount: %s", bytes.TrimSpace(out))
		return false
	}
	l.t.Cleanup(func() { exec.Command("umount", l.path("mnt")).Run() })
	return true
}

// files are the files of a btrfs, by their names.
func (l *lab) files(name string) map[string]string {
	l.t.Helper()
	if !l.mount(name) {
		return nil
	}
	defer l.tool("", "umount", l.path("mnt"))
	all := map[string]string{}
	for _, f := range []string{"a", "c", "snap/a", "snap/b", "snap/c"} {
		b, err := os.ReadFile(l.path("mnt/" + f))
		if err != nil {
			l.t.Error(err)
		}
		all[f] = string(b)
	}
	return all
}

// A btrfs is saved by its blocks in use; it comes back by us and by partclone.
func TestBtrfs(t *testing.T) {
	l := newLab(t)
	size := int64(200 * mib)
	mounts := l.btrfsVolume(size)
	var want map[string]string
	if mounts {
		want = l.files("source.img")
	}
	os.Remove(l.path("target.img"))
	l.random("target.img", size, 0, size)
	l.expect(done, "is saved", "save", "source.img", "lab")
	status, plan := l.doppel(context.Background(), "", "save", "source.img", "lab2", "--plan", "--json")
	if status != done || !strings.Contains(plan, `"file_system":"btrfs","method":"blocks"`) {
		t.Errorf("plan: status %d, %s", status, plan)
	}
	l.expect(done, "", "verify", "lab")
	l.expect(done, "was compared", "restore", "lab", "target.img", "--verify", "--yes")
	back := []string{"target.img"}
	if streams, _ := filepath.Glob(l.path("images/lab/*.btrfs-ptcl-img.zst")); len(streams) != 1 {
		t.Errorf("streams: %q", streams)
	} else if _, err := exec.LookPath("partclone.restore"); err == nil {
		script := "zstd -dcq " + streams[0] + " | partclone.chkimg -s - -L /dev/null && " +
			"zstd -dcq " + streams[0] + " | partclone.info -s - -L /dev/null && " +
			"truncate -s " + fmt.Sprint(size) + " " + l.path("fresh.img") + " && " + // now and then it cannot make the file itself
			"zstd -dcq " + streams[0] + " | partclone.restore -C -s - -O " + l.path("fresh.img") + " -L /dev/null"
		if out := l.tool("", "sh", "-c", script); !strings.Contains(out, "BTRFS") {
			t.Errorf("partclone.info: %s", out)
		}
		if err := os.Truncate(l.path("fresh.img"), size); err != nil {
			t.Fatal(err)
		}
		back = append(back, "fresh.img")
	}
	for _, name := range back {
		l.tool("", "btrfs", "check", "--readonly", "--check-data-csum", l.path(name))
		if !mounts {
			continue
		}
		got := l.files(name)
		for f, content := range want {
			if len(content) != 3*mib || got[f] != content {
				t.Errorf("%s: %s differs (%d bytes)", name, f, len(content))
			}
		}
	}
}
