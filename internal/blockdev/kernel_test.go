package blockdev_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/inventory"
	"doppel.live/internal/vm/lab"
)

// lvm runs an LVM command where no udev makes nodes and no file of the host
// may be written.
func lvm(t testing.TB, command string, args ...string) string {
	t.Helper()
	settings := "activation{udev_sync=0 udev_rules=0} backup{backup=0 archive=0} devices{use_devicesfile=0} global{event_activation=0}"
	return lab.Do(t, "lvm", append([]string{command, "--config", settings}, args...)...)
}

// used is one way of using a disk.
type used struct {
	name     string
	disk     string // kernel name
	start    func(t *testing.T)
	end      func(t *testing.T)
	contents string // what the refusal says of the disk
	reason   string
	next     string
}

// The disks are of scsi_debug, 16 MiB each. "→" stands for what lies on them:
//
//	sda → ext4, mounted             sdf → ext4, device mapper (linear) on it
//	sdb → 1 swap, 2 ext4, mounted   sdg → file system, loop device on it
//	sdc → swap, on                  sdh → opened exclusively
//	sdd → 1 LVM, lab/root mounted   sdi → read-only
//	sde → md array                  sdj → flock of another program
func waysOfUse() []used {
	do := func(name string, args ...string) func(*testing.T) {
		return func(t *testing.T) { lab.Do(t, name, args...) }
	}
	all := func(steps ...func(*testing.T)) func(*testing.T) {
		return func(t *testing.T) {
			for _, step := range steps {
				step(t)
			}
		}
	}
	table := func(disk, script string) func(*testing.T) {
		return func(t *testing.T) {
			lab.Input(t, script, "sfdisk", "--quiet", "/dev/"+disk)
			lab.Await(t, "/dev/"+disk+"1")
		}
	}
	var held *os.File
	hold := func(disk string, flags int, lock bool) func(*testing.T) {
		return func(t *testing.T) {
			fd, err := unix.Open("/dev/"+disk, flags, 0)
			if err == nil && lock {
				err = unix.Flock(fd, unix.LOCK_EX)
			}
			if err != nil {
				t.Fatal(err)
			}
			held = os.NewFile(uintptr(fd), disk)
		}
	}
	drop := func(*testing.T) { held.Close() }
	return []used{
		{"mounted", "sda",
			all(do("mke2fs", "-q", "-L", "photos", "/dev/sda"), do("mkdir", "/mnt/a"), do("mount", "/dev/sda", "/mnt/a")), nil,
			`ext2 "photos"`, "sda is mounted at /mnt/a", "umount /mnt/a"},
		{"partition mounted", "sdb",
			all(table("sdb", "label: gpt\nsize=4MiB,type=S\nsize=8MiB\n"), do("mkswap", "/dev/sdb1"), do("mke2fs", "-q", "-t", "ext4", "/dev/sdb2"),
				do("mkdir", "/mnt/b"), do("mount", "/dev/sdb2", "/mnt/b")), nil,
			"gpt table, 2 partitions: 1 swap 4.2 MB, 2 ext4 8.4 MB", "sdb2 is mounted at /mnt/b", "umount /mnt/b"},
		{"swap", "sdc", all(do("mkswap", "-L", "more", "/dev/sdc"), do("swapon", "/dev/sdc")), nil,
			`swap "more"`, "sdc is in use as swap", "swapoff /dev/sdc"},
		{"LVM", "sdd",
			all(table("sdd", "label: dos\ntype=8e\n"), func(t *testing.T) {
				lvm(t, "pvcreate", "-q", "/dev/sdd1")
				lvm(t, "vgcreate", "-q", "lab", "/dev/sdd1")
				lvm(t, "lvcreate", "-q", "-Zn", "-Wn", "-n", "root", "-L", "4M", "lab")
			}),
			func(t *testing.T) { lvm(t, "vgchange", "-an", "lab") },
			"mbr table, one partition: 1 LVM2_member 15.7 MB", "sdd1 is in use by LVM (lab-root)", "vgchange -an lab"},
		{"array", "sde",
			do("mdadm", "--create", "/dev/md0", "--run", "--quiet", "--level=1", "--metadata=1.0", "--raid-devices=2", "/dev/sde", "missing"), nil,
			"linux_raid_member", "sde is in use by the array md0", "mdadm --stop /dev/md0"},
		{"device mapper", "sdf",
			all(do("mke2fs", "-q", "/dev/sdf"), do("dmsetup", "create", "--noudevsync", "top", "--table", "0 8192 linear /dev/sdf 0")), nil,
			"ext2", "sdf is in use by the device mapper (top)", "dmsetup remove top"},
		{"loop", "sdg", do("losetup", "/dev/loop0", "/dev/sdg"), nil, "empty", "sdg is in use by the loop device loop0", "losetup -d /dev/loop0"},
		{"exclusive", "sdh", hold("sdh", unix.O_RDONLY|unix.O_EXCL, false), drop, "empty", "another program or the kernel holds it", "lsblk and fuser"},
		{"locked", "sdj", hold("sdj", unix.O_RDONLY, true), drop, "empty", "another program or the kernel holds it", "lsblk and fuser"},
		{"read-only", "sdi", do("blockdev", "--setro", "/dev/sdi"), do("blockdev", "--setrw", "/dev/sdi"), "empty", "it is read-only", "blockdev --setrw /dev/sdi"},
	}
}

// On a kernel of its own, with disks that can be used in every way.
func TestOnKernel(t *testing.T) {
	lab.Run(t, lab.Config{
		Modules: []string{"loop", "dm-mod", "raid1", "sd_mod", "scsi_debug delay=0 dev_size_mb=16 per_host_store=1 add_host=11"},
		Needs:   []string{"sfdisk", "mke2fs", "mkswap", "lvm", "dmsetup", "mdadm", "losetup", "blockdev"},
		Memory:  640,
	}, func(t *testing.T) {
		lab.Await(t, "/dev/sdk", "/sys/block/sdk/size")
		t.Run("in use", func(t *testing.T) {
			for _, u := range waysOfUse() {
				t.Run(u.name, u.judge)
			}
		})
		t.Run("beside a mounted partition", testNeighbour)
		t.Run("target is exclusive", testExclusive)
		t.Run("source is protected", testProtected)
	})
}

// What the kernel itself would overwrite without a word, or a mount would
// lose, is refused by name, with the way out; taking it leads to an open target.
func (u used) judge(t *testing.T) {
	path := "/dev/" + u.disk
	u.start(t)
	before := read(t, path)
	c, err := blockdev.Examine(path, inventory.Describe)
	if err != nil {
		t.Fatal(err)
	}
	target, err := blockdev.OpenTarget(path, c, blockdev.Options{Describe: inventory.Describe})
	if err == nil {
		target.Close()
		t.Fatal("it was opened for writing")
	}
	r, ok := blockdev.IsRefusal(err)
	if !ok {
		t.Fatalf("not a refusal: %v", err)
	}
	d := r.Device
	if d.Path != path || d.Model != "Linux scsi_debug" || d.Serial == "" || d.Size != 16<<20 || !strings.HasPrefix(d.Contents, u.contents) {
		t.Errorf("the refusal names %+v", d)
	}
	for _, want := range []string{path, d.Model, "serial " + d.Serial, "16.8 MB", u.contents, u.reason} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if !strings.Contains(r.Next, u.next) {
		t.Errorf("next: %q, not %q", r.Next, u.next)
	}
	if plan := blockdev.Refuse(path, blockdev.Options{}); plan == nil && u.name != "exclusive" && u.name != "locked" {
		t.Error("a plan would not have refused it")
	}
	if !bytes.Equal(before, read(t, path)) {
		t.Error("the disk changed")
	}
	if u.end != nil {
		u.end(t)
	} else {
		lab.Do(t, "sh", "-c", r.Next)
	}
	open(t, path).Close()
}

// open opens a target as a restore does.
func open(t *testing.T, path string) *blockdev.Target {
	t.Helper()
	c, err := blockdev.Examine(path, inventory.Describe)
	if err != nil {
		t.Fatal(err)
	}
	target, err := blockdev.OpenTarget(path, c, blockdev.Options{Describe: inventory.Describe})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A partition is nobody's loss because its neighbour is mounted.
func testNeighbour(t *testing.T) {
	lab.Do(t, "mount", "/dev/sdb2", "/mnt/b")
	defer lab.Do(t, "umount", "/mnt/b")
	open(t, "/dev/sdb1").Close()
}

// A target that is open is nobody else's: no mount, swap or array takes it or
// its partitions.
func testExclusive(t *testing.T) {
	makePartitions(t, "/dev/sda")
	target := open(t, "/dev/sda")
	defer target.Close()
	for _, command := range []string{"swapon /dev/sda1", "mount /dev/sda2 /mnt", "mdadm --create /dev/md1 --run --level=1 --raid-devices=2 /dev/sda missing"} {
		if out, err := lab.Try("sh", "-c", command); err == nil {
			t.Errorf("%s went well: %s", command, out)
		}
	}
}

// makePartitions makes 1 swap, 2 ext2.
func makePartitions(t *testing.T, disk string) {
	t.Helper()
	lab.Input(t, "label: gpt\nsize=4MiB,type=S\nsize=8MiB\n", "sfdisk", "--quiet", "--wipe=always", disk)
	lab.Await(t, disk+"2")
	lab.Do(t, "mkswap", disk+"1")
	lab.Do(t, "mke2fs", "-q", disk+"2")
}

// The disk is sdk with 1 swap, 2 ext2.
func testProtected(t *testing.T) {
	makePartitions(t, "/dev/sdk")
	t.Run("free", func(t *testing.T) {
		s := openSource(t, "/dev/sdk", "/dev/sdk1", "/dev/sdk2")
		if _, err := lab.Try("mount", "-o", "rw", "/dev/sdk2", "/mnt"); err == nil {
			if os.WriteFile("/mnt/file", nil, 0o600) == nil {
				t.Error("a partition was mounted for writing while it was saved")
			}
			lab.Do(t, "umount", "/mnt")
		}
		s.Close()
		checkProtected(t)
	})
	t.Run("protected before", func(t *testing.T) {
		lab.Do(t, "blockdev", "--setro", "/dev/sdk")
		openSource(t, "/dev/sdk", "/dev/sdk1", "/dev/sdk2").Close()
		checkProtected(t, "/dev/sdk", "/dev/sdk1", "/dev/sdk2")
		lab.Do(t, "blockdev", "--setrw", "/dev/sdk")
	})
	t.Run("partition protected before", func(t *testing.T) {
		lab.Do(t, "blockdev", "--setro", "/dev/sdk2")
		openSource(t, "/dev/sdk", "/dev/sdk1", "/dev/sdk2").Close()
		checkProtected(t, "/dev/sdk2")
		lab.Do(t, "blockdev", "--setrw", "/dev/sdk2")
	})
	t.Run("mounted", func(t *testing.T) {
		lab.Do(t, "mount", "/dev/sdk2", "/mnt")
		defer lab.Do(t, "umount", "/mnt")
		s := openSource(t)
		if err := os.WriteFile("/mnt/file", []byte("x"), 0o600); err != nil {
			t.Error(err)
		}
		s.Close()
		checkProtected(t)
	})
}

// openSource opens sdk and checks which nodes are write protected then.
func openSource(t *testing.T, protected ...string) *blockdev.Source {
	t.Helper()
	s, err := blockdev.OpenSource("/dev/sdk")
	if err != nil {
		t.Fatal(err)
	}
	checkProtected(t, protected...)
	return s
}

func checkProtected(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, node := range []string{"/dev/sdk", "/dev/sdk1", "/dev/sdk2"} {
		if strings.TrimSpace(lab.Do(t, "blockdev", "--getro", node)) == "1" {
			got = append(got, node)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("write protected: %v, not %v", got, want)
	}
}
