package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	guest "doppel.live/internal/vm/lab"
)

// These tests run on a kernel of their own, in two guests: disks of scsi_debug
// with sectors of 512 bytes, and with sectors of 4096. ubda and so on are
// files of the host. delay=0 lets scsi_debug answer at once.

var tools = []string{"sfdisk", "mke2fs", "mkswap", "e2fsck", "mdadm", "lvm", "wipefs", "blkid", "mkfs.btrfs"}

// ubd makes empty files that are ubda, ubdb, … in the guest.
func ubd(t *testing.T, n int, size int64) []string {
	if guest.Inside() {
		return nil
	}
	var paths []string
	for range n {
		f, err := os.CreateTemp(t.TempDir(), "disk")
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		f.Close()
		paths = append(paths, f.Name())
	}
	return paths
}

// TestOnKernel: the source of image lab is 64 MiB; sda, sdb and sdc have 72.
func TestOnKernel(t *testing.T) {
	guest.Run(t, guest.Config{
		Modules: []string{"raid1", "dm-mod", "sd_mod", "scsi_debug delay=0 dev_size_mb=72 per_host_store=1 add_host=3"},
		Disks:   ubd(t, 4, 96*mib), Needs: tools, Memory: 1024, Limit: 6 * time.Minute,
	}, func(t *testing.T) {
		guest.Await(t, "/dev/sda", "/dev/sdb", "/dev/sdc")
		l := newLab(t)
		l.expect(done, "is saved", "save", "source.img", "lab")
		for _, story := range []struct {
			name string
			tell func(t *testing.T, l *lab)
		}{
			{"partitions", testPartitions},
			{"slices", testSlices},
			{"arrays, LVM and swap", testArraysLVMAndSwap},
			{"old signatures", testOldSignatures},
			{"old signatures of a partition", testOldPartition},
			{"medium error", testMediumError},
			{"full place", testFullPlaceOnDisk},
			{"unplugged place", testUnpluggedPlace},
			{"unplugged source", testUnpluggedSource},
			{"unplugged target", testUnpluggedTarget},
		} {
			t.Run(story.name, func(t *testing.T) {
				l := &lab{t: t, dir: l.dir}
				story.tell(t, l)
			})
		}
	})
}

// during runs a command with --json and does something when the step of a
// volume begins.
func (l *lab) during(volume string, do func(), args ...string) (status int, out string) {
	l.t.Helper()
	began := false
	l.on = func(line string) {
		if !began && strings.Contains(line, `"event":"step"`) && strings.Contains(line, `"volume":"`+volume+`"`) {
			began = true
			do()
		}
	}
	defer func() { l.on = nil }()
	status, out = l.doppel(context.Background(), "", append(args, "--json")...)
	if !began {
		l.t.Errorf("the step of %s never came:\n%s", volume, out)
	}
	return status, out
}

// failed checks that a job ended with status 1, a text and a next step that
// hold those words.
func (l *lab) failed(status int, out, text, next string) {
	l.t.Helper()
	var last struct{ Event, Text, Next string }
	all := strings.Split(strings.TrimSpace(out), "\n")
	_ = json.Unmarshal([]byte(all[len(all)-1]), &last)
	if status != failed || last.Event != "result" || !strings.Contains(last.Text, text) || !strings.Contains(last.Next, next) {
		l.t.Errorf("exit status %d, want %d with %q and next %q:\n%s", status, failed, text, next, out)
	}
}

// noImage checks that nothing in a place looks like an image of that name.
func (l *lab) noImage(place, name string) {
	l.t.Helper()
	_, out := l.doppel(context.Background(), "", "images", "--json", "--images", place)
	var list struct {
		Images []struct {
			Name     string
			Complete bool
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	for _, i := range list.Images {
		if i.Name == name && i.Complete {
			l.t.Errorf("%s looks whole: %s", name, out)
		}
	}
}

// replug lets the kernel find again what was unplugged; the bytes are as they
// were.
func replug(t *testing.T, disk string) {
	t.Helper()
	hosts, _ := filepath.Glob("/sys/class/scsi_host/host*/scan")
	for _, h := range hosts {
		guest.Set(t, h, "- - -")
	}
	guest.Await(t, "/dev/"+disk, "/sys/block/"+disk+"/size")
}

func unplug(t *testing.T, disk string) { guest.Set(t, "/sys/block/"+disk+"/device/delete", "1") }

// fill writes an image to a disk.
func (l *lab) fill(name, disk string) {
	l.t.Helper()
	l.expect(done, "is restored", "restore", name, "/dev/"+disk, "--yes")
	guest.Await(l.t, "/dev/"+disk+"2")
}

// The source vanishes while its second volume is read.
func testUnpluggedSource(t *testing.T, l *lab) {
	l.fill("lab", "sdb")
	status, out := l.during("sdb2", func() { unplug(t, "sdb") }, "save", "sdb", "gone")
	l.failed(status, out, "sdb2 cannot be read at byte", "cable")
	l.noImage(l.path("images"), "gone")
	replug(t, "sdb")
	guest.Await(t, "/dev/sdb2")
	l.expect(done, "is saved", "save", "sdb", "gone", "--resume")
	l.expect(done, "can be restored", "verify", "gone")
}

// The target vanishes while its second volume is written. Plugged in again, it
// is nothing that anybody would start from.
func testUnpluggedTarget(t *testing.T, l *lab) {
	l.fill("lab", "sda")
	status, out := l.during("source.img2", func() { unplug(t, "sda") }, "restore", "lab", "serial:2000", "--yes")
	l.failed(status, out, "target: ", "check its cable")
	replug(t, "sda")
	if out := guest.Do(t, "wipefs", "--noheadings", "/dev/sda"); strings.TrimSpace(out) != "" {
		t.Errorf("the target looks like\n%s", out)
	}
	l.expect(done, "is restored", "restore", "lab", "/dev/sda", "--yes", "--verify")
}

// One sector of the second volume cannot be read.
func testMediumError(t *testing.T, l *lab) {
	l.fill("lab", "sdb")
	const driver = "/sys/bus/pseudo/drivers/scsi_debug/"
	const bad = 40003 // in volume 2, which begins at sector 6144
	guest.Set(t, "/sys/module/scsi_debug/parameters/medium_error_start", "40003")
	guest.Set(t, "/sys/module/scsi_debug/parameters/medium_error_count", "1")
	guest.Set(t, driver+"opts", "2")
	status, out := l.doppel(context.Background(), "", "save", "sdb", "bad", "--json")
	guest.Set(t, driver+"opts", "0")
	l.failed(status, out, "sdb2 cannot be read at byte", "health")
	if !strings.Contains(out, "sector 40000 of sdb") { // the kernel reads eight at once
		t.Errorf("the bad sector %d is not named:\n%s", bad, out)
	}
	l.noImage(l.path("images"), "bad")
	l.expect(done, "is removed", "images", "remove", "bad", "--yes")
}

// onDisk makes a small ext4 for images on sdc and mounts it.
func (l *lab) onDisk() (place string, release func()) {
	l.t.Helper()
	guest.Do(l.t, "mke2fs", "-q", "-F", "-t", "ext4", "-m0", "/dev/sdc", "16M")
	place = "/mnt/images"
	if err := os.MkdirAll(place, 0o755); err != nil {
		l.t.Fatal(err)
	}
	guest.Do(l.t, "mount", "/dev/sdc", place)
	return place, func() { guest.Do(l.t, "umount", place) }
}

// The place fills up, then it is read-only.
func testFullPlaceOnDisk(t *testing.T, l *lab) {
	place, release := l.onDisk()
	defer release()
	hog := filepath.Join(place, "hog")
	status, out := l.during("source.img2", func() {
		if err := os.WriteFile(hog, make([]byte, 9*mib), 0o600); err != nil {
			t.Error(err)
		}
	}, "save", "source.img", "full", "--images", place)
	l.failed(status, out, "no room left", "make room")
	l.noImage(place, "full")
	l.expect(done, "is removed", "images", "remove", "full", "--yes", "--images", place)
	os.Remove(hog)
	guest.Do(t, "mount", "-o", "remount,ro", place)
	l.expect(refused, "is read-only: choose another place", "save", "source.img", "full", "--images", place)
	guest.Do(t, "mount", "-o", "remount,rw", place)
	status, out = l.during("source.img2", func() {
		guest.Do(t, "mount", "-o", "remount,ro,abort", place)
	}, "save", "source.img", "full", "--images", place)
	if status != failed || !strings.Contains(out, `"next":"`) {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	l.noImage(place, "full")
}

// The disk with the images vanishes while one is written.
func testUnpluggedPlace(t *testing.T, l *lab) {
	place, release := l.onDisk()
	status, out := l.during("source.img2", func() { unplug(t, "sdc") }, "save", "source.img", "away", "--images", place)
	if status != failed || !strings.Contains(out, `"next":"`) {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	release()
	replug(t, "sdc")
	guest.Do(t, "mount", "/dev/sdc", place)
	defer guest.Do(t, "umount", place)
	l.noImage(place, "away")
}
