package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	guest "doppel.live/internal/vm/lab"
)

// roomy gives a disk one partition, number 2, with more room than the volume
// that is restored to it: what ended the old one lies far behind the new one.
// A mirror of btrfs's superblock, 64 MiB in, is there too.
func roomy(t *testing.T, disk string) {
	t.Helper()
	guest.Do(t, "wipefs", "-qa", "/dev/"+disk)
	guest.Input(t, "label: gpt\n2: start=1MiB,size=70MiB,uuid=6D3A21C4-58E1-4F5B-9C4C-0123456789AB\n",
		"sfdisk", "--quiet", "--wipe=always", "--wipe-partitions=always", "/dev/"+disk)
	guest.Await(t, "/dev/"+disk+"2")
}

// What a partition was does not come back after a restore to it alone: sda2
// looks to everybody like sdb2, which held nothing before.
func testOldPartition(t *testing.T, l *lab) {
	const size = 70 * mib
	array := func(metadata string) func(*testing.T) {
		return func(t *testing.T) {
			guest.Do(t, "mdadm", "--create", "/dev/md9", "--run", "--quiet", "--metadata="+metadata, "--level=1", "--raid-devices=2", "/dev/sda2", "missing")
			guest.Do(t, "mdadm", "--stop", "/dev/md9")
		}
	}
	lvm := func(t *testing.T, command string, args ...string) string {
		return guest.Do(t, "lvm", append([]string{command, "--config", quiet}, args...)...)
	}
	ways := [][]string{{"/dev/sdX2", "source.img2"}, {"/dev/sdX", "source.img2"}, {"/dev/sdX2", "source.img3"}}
	alone := func(t *testing.T, disk string, way []string) {
		(&lab{t: t, dir: l.dir}).expect(done, "is restored", "restore", "lab", strings.ReplaceAll(way[0], "sdX", disk), "--only", way[1], "--yes")
	}
	roomy(t, "sda")
	roomy(t, "sdb")
	var want []string // what each way makes of a new partition
	for _, way := range ways {
		alone(t, "sdb", way)
		want = append(want, partitionSignatures(t, "sdb"))
	}
	for _, was := range []struct {
		name, kind string
		ways       []int
		make       func(t *testing.T)
	}{
		{"array 0.90", "linux_raid_member", []int{0}, array("0.90")},
		{"array 1.0", "linux_raid_member", []int{1}, array("1.0")},
		{"array 1.1", "linux_raid_member", []int{2}, array("1.1")},
		{"array 1.2", "linux_raid_member", []int{0}, array("1.2")},
		{"LUKS", "crypto_LUKS", []int{1}, func(t *testing.T) { luks(t, "/dev/sda2") }},
		{"LVM", "LVM2_member", []int{2}, func(t *testing.T) {
			lvm(t, "pvcreate", "-q", "-ff", "-y", "--metadatacopies=2", "/dev/sda2")
			lvm(t, "vgcreate", "-q", "old", "/dev/sda2")
		}},
		{"btrfs", "btrfs", []int{0, 1}, func(t *testing.T) { guest.Do(t, "mkfs.btrfs", "-q", "-f", "--mixed", "/dev/sda2") }},
		{"ZFS", "zfs_member", []int{0, 1, 2}, func(t *testing.T) { zfs(t, "/dev/sda2", size) }},
	} {
		for _, way := range was.ways {
			t.Run(was.name+" "+strings.Join(ways[way], " "), func(t *testing.T) {
				was.make(t)
				if out := guest.Do(t, "wipefs", "/dev/sda2"); !strings.Contains(out, was.kind) {
					if was.kind == "zfs_member" {
						t.Skip("this wipefs wants more of a ZFS label")
					}
					t.Fatalf("before the restore it is not %s:\n%s", was.kind, out)
				}
				alone(t, "sda", ways[way])
				looksNew(t, want[way])
			})
		}
	}
}

// looksNew asks everybody what sda2 is.
func looksNew(t *testing.T, want string) {
	t.Helper()
	if got := partitionSignatures(t, "sda"); got != want || !strings.Contains(want, "UUID=") {
		t.Errorf("sda2 looks like\n%s\nwant\n%s", got, want)
	}
	if out, err := guest.Try("mdadm", "--examine", "/dev/sda2"); strings.Contains(out, "Array UUID") || strings.Contains(out, "Magic") {
		t.Errorf("mdadm finds %v\n%s", err, out)
	}
	if out := guest.Do(t, "lvm", "pvs", "--config", quiet); strings.Contains(out, "sda2") {
		t.Errorf("pvs finds\n%s", out)
	}
	if out, err := guest.Try("btrfs", "inspect-internal", "dump-super", "-s", "1", "/dev/sda2"); strings.Contains(out, "[match]") {
		t.Errorf("btrfs finds a mirror of its superblock: %v\n%s", err, out)
	}
	raw, err := os.ReadFile("/dev/sda2")
	if err != nil {
		t.Fatal(err)
	}
	if i := bytes.Index(raw, []byte(oldPool)); i >= 0 {
		t.Errorf("the name of the pool of ZFS is still at byte %d", i)
	}
}

// partitionSignatures is what wipefs and blkid see on partition 2 of a disk.
func partitionSignatures(t *testing.T, disk string) string {
	t.Helper()
	node := "/dev/" + disk + "2"
	seen := guest.Do(t, "wipefs", "--parsable", "--noheadings", "--output", "OFFSET,TYPE,UUID", node)
	probed, _ := guest.Try("blkid", "-p", "-s", "TYPE", "-s", "UUID", "-s", "AMBIVALENT", node)
	return seen + strings.ReplaceAll(probed, disk, "DISK")
}
