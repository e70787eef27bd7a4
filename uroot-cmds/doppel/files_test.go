package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A file in the place of a disk may be in use as a disk is: source.img is shown
// by a loop device, target.img by one that is mounted. Whatever path leads to
// the files, nothing is written, and what changes is not saved.
func TestFilesInUse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab", "--compress", "fast")
	l.copyInto("fs", "target.img", 0)
	if err := os.Truncate(l.path("target.img"), 32*mib); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"source.img", "target.img"} {
		out, err := exec.Command("losetup", "--find", "--show", l.path(name)).Output()
		if err != nil {
			t.Skip("needs loop devices: ", err)
		}
		device := strings.TrimSpace(string(out))
		defer exec.Command("losetup", "-d", device).Run()
		if name != "target.img" {
			continue
		}
		point := t.TempDir()
		if out, err := exec.Command("mount", device, point).CombinedOutput(); err != nil {
			t.Skipf("needs mount: %v %s", err, out)
		}
		defer exec.Command("umount", point).Run()
	}
	t.Chdir(l.dir)
	if err := os.Link("target.img", "other name"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"./target.img", "other name", filepath.Join(l.dir, "target.img"), "./source.img"} {
		l.expect(refused, "in use by the loop device", "restore", "lab", path, "--yes")
	}
	l.expect(refused, "target.img is mounted at", "save", "./target.img", "mounted")
	l.expect(done, "is saved", "save", "./source.img", "unmounted", "--compress", "fast")
}

// What lies in the image folder is no target, however the folder is named, and
// a folder that holds something else is no image.
func TestImageFolderIsNoTarget(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab", "--compress", "fast")
	l.random("images/lab/spare", 64*mib, 0, 0)
	t.Chdir(l.dir)
	for _, images := range []string{"images", "./images/../images", l.path("images")} {
		l.expect(refused, "the image folder", "restore", "lab", "images/lab/spare", "--images", images, "--yes")
	}
	if err := os.Mkdir("images/photos", 0o755); err != nil {
		t.Fatal(err)
	}
	l.random("images/photos/beach", 1000, 0, 1000) // an empty one is what a killed save may leave
	l.expect(refused, "that is no image: choose another name", "save", "source.img", "photos")
	l.expect(done, "(unknown ext4 swap)", "images")
}
