package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	guest "doppel.live/internal/vm/lab"
)

// ubda gets the image and partitions; ubdb takes one of them.
func testPartitions(t *testing.T, l *lab) {
	l.expect(refused, "disks would fit", "restore", "lab", "ubda", "--yes")
	l.expect(done, "is restored", "restore", "lab", "/dev/ubda", "--yes", "--verify")
	for _, p := range []string{"ubda1", "ubda2", "ubda3"} {
		if _, err := os.Stat("/sys/class/block/" + p); err != nil {
			t.Errorf("the kernel does not know %s after the restore", p)
		}
	}
	l.expect(done, "ubda2", "disks")
	l.expect(done, "is saved", "save", "label:root", "root")
	l.expect(done, "absent", "images", "show", "root")
	l.tool("label: dos\nsize=40MiB\n", "sfdisk", "--quiet", "/dev/ubdb")
	l.expect(done, "is restored", "restore", "root", "/dev/ubdb1", "--only", "ubda2", "--yes", "--verify")
	l.tool("", "e2fsck", "-fn", "/dev/ubdb1")
	l.expect(refused, "no partition 2", "restore", "root", "/dev/ubdb", "--yes", "--only", "ubda2")
	l.expect(done, "is saved", "save", "ubda1", "ubda3", "two")

	point := t.TempDir()
	l.tool("", "mount", "/dev/ubda2", point)
	defer guest.Do(t, "umount", point)
	l.expect(refused, "ubda2 is mounted at "+point, "save", "ubda", "x")
	l.expect(done, "is saved", "save", "ubda", "x", "--except", "ubda2")
	l.expect(refused, "ubda2 is mounted at "+point, "restore", "lab", "/dev/ubda", "--yes")
	l.expect(refused, "--except ubda2", "save", "ubda", "x", "--images", point)
	l.expect(done, "is saved", "save", "ubda", "y", "--images", point, "--except", "ubda2")
	l.expect(refused, "lies on it", "restore", point+"/y", "/dev/ubda", "--yes")
}

// ubdb gets a disk with a FreeBSD slice; the kernel knows its partitions by our
// names, and the label stays when the first of them is written to alone.
func testSlices(t *testing.T, l *lab) {
	source := l.read("source.img")
	defer os.WriteFile(l.path("source.img"), source, 0o600)
	l.slicedDisk()
	l.expect(done, "is saved", "save", "source.img", "bsd")
	l.expect(done, "is restored", "restore", "bsd", "/dev/ubdb", "--yes", "--verify")
	guest.Await(t, "/dev/ubdb5", "/dev/ubdb6")
	l.tool("", "e2fsck", "-fn", "/dev/ubdb6")
	out := l.expect(done, "ubdb5", "disks")
	for _, want := range []string{"table: mbr", "ubdb6", "ubdb2"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	l.expect(done, "is saved", "save", "ubdb5", "first")
	l.expect(done, "is saved", "save", "ubdb1", "slice")
	if got := l.methods("slice"); got != "ubdb5:raw ubdb6:blocks ubdb2:absent" {
		t.Error(got)
	}
	head := func() []byte {
		b := make([]byte, 2*mib)
		f, err := os.Open("/dev/ubdb")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.ReadAt(b, 0); err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := head()
	// The lab's first volume is 2 MiB of other bytes; a has 10.
	l.expect(done, "is restored", "restore", "lab", "/dev/ubdb5", "--only", "source.img1", "--yes", "--verify")
	after := head()
	if !bytes.Equal(after[:mib+8192], before[:mib+8192]) || bytes.Equal(after[mib+8192:], before[mib+8192:]) {
		t.Error("the label of the slice did not stay, or nothing was written behind it")
	}
	l.expect(done, "is restored", "restore", "bsd", "/dev/ubdb5", "--only", "source.img5", "--yes", "--verify")
	if !bytes.Equal(head(), before) {
		t.Error("the first volume is not as before")
	}
	l.tool("", "wipefs", "-qa", "/dev/ubdb")
}

// quiet keeps LVM from waiting for udev, which the guest has not, and from
// writing below /etc.
const quiet = "activation{udev_sync=0 udev_rules=0} backup{backup=0 archive=0} devices{use_devicesfile=0} global{event_activation=0}"

func testArraysLVMAndSwap(t *testing.T, l *lab) {
	l.tool("", "mdadm", "--create", "/dev/md0", "--run", "--metadata=1.0", "--level=1", "--raid-devices=2", "/dev/ubdc", "/dev/ubdd")
	l.expect(refused, "the array md0", "restore", "lab", "/dev/ubdc", "--yes")
	l.tool("", "mdadm", "--stop", "/dev/md0")
	l.expect(done, "is restored", "restore", "lab", "/dev/ubdc", "--yes")
	l.tool("", "wipefs", "-qa", "/dev/ubdd")
	l.tool("", "pvcreate", "--config", quiet, "-ff", "-y", "/dev/ubdd")
	l.tool("", "vgcreate", "--config", quiet, "vg", "/dev/ubdd")
	l.tool("", "lvcreate", "--config", quiet, "-Zn", "-Wn", "-L", "16M", "-n", "root", "vg")
	l.expect(refused, "LVM (vg-root)", "restore", "lab", "/dev/ubdd", "--yes")
	l.tool("", "vgchange", "--config", quiet, "-an", "vg")
	l.expect(done, "is restored", "restore", "lab", "/dev/ubdd", "--yes")
	l.tool("", "swapon", "/dev/ubdd3")
	defer guest.Do(t, "swapoff", "/dev/ubdd3")
	l.expect(refused, "swapoff /dev/ubdd3", "restore", "lab", "/dev/ubdd", "--yes")
	l.expect(done, "is saved", "save", "ubdd", "x2")
}

// mbr makes image mbr: the volumes of the lab's source under an MBR, which has
// no backup at the end that would overwrite what lies there.
func (l *lab) mbr() {
	l.t.Helper()
	disk := l.read("source.img")
	clear(disk[:mib])
	clear(disk[43*mib:])
	if err := os.WriteFile(l.path("mbr.img"), disk, 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.tool("label: dos\nsize=2MiB\nsize=32MiB\nsize=8MiB,type=82\n", "sfdisk", "--quiet", l.path("mbr.img"))
	l.expect(done, "is saved", "save", "mbr.img", "mbr")
	os.Remove(l.path("mbr.img"))
}

// What sda was does not come back after a restore: it looks to everybody like
// sdb, which held nothing before.
func testOldSignatures(t *testing.T, l *lab) {
	l.mbr()
	l.fill("mbr", "sdb")
	want := signatures(t, "sdb")
	lvm := func(t *testing.T, command string, args ...string) string {
		return guest.Do(t, "lvm", append([]string{command, "--config", quiet}, args...)...)
	}
	array := func(metadata, disk string) func(*testing.T) {
		return func(t *testing.T) {
			guest.Do(t, "mdadm", "--create", "/dev/md9", "--run", "--quiet", "--metadata="+metadata, "--level=1", "--raid-devices=2", disk, "missing")
			guest.Do(t, "mdadm", "--stop", "/dev/md9")
		}
	}
	for _, was := range []struct {
		name, kind string
		make       func(t *testing.T)
	}{
		{"array 0.90", "linux_raid_member", array("0.90", "/dev/sda")},
		{"array 1.0", "linux_raid_member", array("1.0", "/dev/sda")},
		{"array 1.1", "linux_raid_member", array("1.1", "/dev/sda")},
		{"array 1.2", "linux_raid_member", array("1.2", "/dev/sda")},
		{"LUKS", "crypto_LUKS", func(t *testing.T) { luks(t, "/dev/sda") }},
		{"LVM", "LVM2_member", func(t *testing.T) {
			lvm(t, "pvcreate", "-q", "-ff", "-y", "/dev/sda")
			lvm(t, "vgcreate", "-q", "old", "/dev/sda")
		}},
		{"btrfs", "btrfs", func(t *testing.T) { guest.Do(t, "mkfs.btrfs", "-q", "-f", "--mixed", "/dev/sda") }},
		{"ZFS", "zfs_member", func(t *testing.T) { zfs(t, "/dev/sda", 72*mib) }},
		{"arrays in the same partitions", "dos", func(t *testing.T) {
			guest.Input(t, guest.Do(t, "sfdisk", "--dump", "/dev/sdb"), "sfdisk", "--quiet", "--wipe=always", "/dev/sda")
			guest.Await(t, "/dev/sda3")
			array("1.0", "/dev/sda2")(t)
			array("1.0", "/dev/sda3")(t)
		}},
		{"volumes in other partitions", "gpt", func(t *testing.T) {
			guest.Input(t, "label: gpt\nsize=10MiB\nsize=20MiB\n", "sfdisk", "--quiet", "--wipe=always", "/dev/sda")
			guest.Await(t, "/dev/sda2")
			array("1.0", "/dev/sda1")(t)
			lvm(t, "pvcreate", "-q", "-ff", "-y", "/dev/sda2")
		}},
	} {
		t.Run(was.name, func(t *testing.T) {
			l := &lab{t: t, dir: l.dir}
			guest.Do(t, "wipefs", "-qa", "/dev/sda")
			was.make(t)
			if out := guest.Do(t, "wipefs", "/dev/sda"); !strings.Contains(out, was.kind) {
				if was.kind == "zfs_member" {
					t.Skip("this wipefs wants more of a ZFS label")
				}
				t.Fatalf("before the restore it is not %s:\n%s", was.kind, out)
			}
			l.fill("mbr", "sda")
			if got := signatures(t, "sda"); got != want {
				t.Errorf("sda and its partitions look like\n%s\nwant\n%s", got, want)
			}
			if out, err := guest.Try("mdadm", "--examine", "/dev/sda", "/dev/sda1", "/dev/sda2", "/dev/sda3"); strings.Contains(out, "Array UUID") {
				t.Errorf("mdadm finds %v\n%s", err, out)
			}
			if out := lvm(t, "pvs"); strings.Contains(out, "sda") {
				t.Errorf("pvs finds\n%s", out)
			}
		})
	}
}

// signatures is what wipefs and blkid see on a disk and on its partitions.
func signatures(t *testing.T, disk string) string {
	t.Helper()
	nodes := []string{"/dev/" + disk, "/dev/" + disk + "1", "/dev/" + disk + "2", "/dev/" + disk + "3"}
	seen := guest.Do(t, "wipefs", append([]string{"--parsable", "--noheadings", "--output", "DEVICE,OFFSET,TYPE,UUID"}, nodes...)...)
	probed, _ := guest.Try("blkid", append([]string{"-p", "-s", "TYPE", "-s", "UUID", "-s", "AMBIVALENT"}, nodes...)...)
	return strings.ReplaceAll(seen+probed, disk, "DISK")
}

// luks writes the beginnings of a LUKS2 header and of its copy, 16 KiB each, as
// far as they are looked at: magic number, version and size, big-endian.
func luks(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off, magic := range map[int64]string{0: "LUKS\xba\xbe", 0x4000: "SKUL\xba\xbe"} {
		header := make([]byte, 512)
		copy(header, magic)
		binary.BigEndian.PutUint16(header[6:], 2)
		binary.BigEndian.PutUint64(header[8:], 0x4000)
		copy(header[168:], "8d4c9d1e-3f1c-4c6e-9a5e-0123456789ab")
		binary.BigEndian.PutUint64(header[256:], uint64(off))
		if _, err := f.WriteAt(header, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// zfs writes the four labels of a ZFS member of size bytes as far as they are
// looked at: the pool's name among the name-value pairs, 16 KiB into each label
// of 256 KiB, and the uberblocks, which begin at its middle, one each KiB, with
// the magic number 0x00bab10c and a version.
func zfs(t *testing.T, path string, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const label = 256 << 10
	for _, off := range []int64{0, label, size - 2*label, size - label} {
		ring := make([]byte, 128<<10)
		for i := 0; i < len(ring); i += 1 << 10 {
			binary.LittleEndian.PutUint64(ring[i:], 0x00bab10c)
			binary.LittleEndian.PutUint64(ring[i+8:], 5000)
		}
		if _, err := f.WriteAt(ring, off+128<<10); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(oldPool), off+16<<10); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// oldPool is a pair of name and value as ZFS keeps it: a string (9), once.
const oldPool = "\x00\x00\x00\x04name\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x07oldpool\x00"

// sda and sdb have sectors of 4096 bytes, ubda and ubdb of 512.
func TestSectorSizes(t *testing.T) {
	guest.Run(t, guest.Config{
		Modules: []string{"sd_mod", "scsi_debug delay=0 dev_size_mb=64 per_host_store=1 add_host=2 sector_size=4096"},
		Disks:   ubd(t, 1, 64*mib), Needs: tools, Memory: 768,
	}, func(t *testing.T) {
		guest.Await(t, "/dev/sda", "/dev/sdb")
		l := newLab(t)
		for name, script := range map[string]string{
			"gpt": "label: gpt\nsize=2MiB,type=U\nsize=32MiB,bootable,name=\"a root\"\nsize=8MiB,type=S\n",
			"dos": "label: dos\nsize=2MiB,bootable\nsize=32MiB\ntype=5\nsize=8MiB,type=82\nsize=3MiB\n",
		} {
			t.Run(name, func(t *testing.T) { (&lab{t: t, dir: l.dir}).sectorSizes(name, script) })
		}
		l.expect(done, "is saved", "save", "source.img", "small")
		l.expect(refused, "the target has sectors of 4096 bytes, image small is of a disk with 512", "restore", "small", "/dev/sdb", "--yes")
	})
}

func (l *lab) sectorSizes(name, script string) {
	t := l.t
	guest.Input(t, script, "sfdisk", "--quiet", "--wipe=always", "--wipe-partitions=always", "/dev/sda")
	guest.Await(t, "/dev/sda2")
	guest.Do(t, "mke2fs", "-q", "-F", "-t", "ext4", "-d", l.path("tree"), "/dev/sda2")
	l.expect(done, "is saved", "save", "sda", name)
	l.expect(done, "can be restored", "verify", name)
	l.expect(done, "was compared", "restore", name, "/dev/sdb", "--yes", "--verify")
	dump := func(disk string) string {
		return strings.ReplaceAll(guest.Do(t, "sfdisk", "--dump", "/dev/"+disk), disk, "DISK")
	}
	if got, want := dump("sdb"), dump("sda"); got != want || !strings.Contains(got, "sector-size: 4096") {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	guest.Await(t, "/dev/sdb2")
	guest.Do(t, "e2fsck", "-fn", "/dev/sdb2")
	point := t.TempDir()
	guest.Do(t, "mount", "-o", "ro", "/dev/sdb2", point)
	guest.Do(t, "cmp", l.path("tree/file"), filepath.Join(point, "file"))
	guest.Do(t, "umount", point)

	before, _ := os.ReadFile("/dev/ubda")
	l.expect(refused, "the target has sectors of 512 bytes, image "+name+" is of a disk with 4096", "restore", name, "/dev/ubda", "--yes")
	_, plan := l.doppel(context.Background(), "", "restore", name, "/dev/ubda", "--plan", "--json")
	if !strings.Contains(plan, `"refusals":["the target has sectors`) {
		t.Errorf("plan: %s", plan)
	}
	if after, _ := os.ReadFile("/dev/ubda"); string(after) != string(before) {
		t.Error("a refused restore wrote")
	}
}
