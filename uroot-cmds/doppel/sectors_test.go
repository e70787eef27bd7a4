package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// sectorVolume is a volume of a disk with sectors of 4096 bytes. In its
// commands DEV is a loop device of it with such sectors, PART what mtools call
// it.
type sectorVolume struct {
	start, mib              int64 // start in MiB too
	make, fill, check, read string
}

// The file systems of a disk, in the order of their volumes.
func sectorFileSystems() []sectorVolume {
	return []sectorVolume{
		{0, 24, "mke2fs -q -F -t ext4 -d DATA.d DEV", "", "e2fsck -fn DEV", "debugfs -R 'cat /data' DEV 2>/dev/null"},
		{0, 24, "mkntfs -q -F -f DEV", "ntfscp -f -q DEV DATA /data", "ntfsfix -n DEV", "ntfscat -f DEV /data"},
		{0, 24, "mkfs.exfat DEV", "mount.exfat-fuse DEV MNT >/dev/null; cp DATA MNT/data; umount MNT", "fsck.exfat -n DEV", "mount.exfat-fuse -o ro DEV MNT >/dev/null; cat MNT/data; umount MNT"},
		{0, 40, "mkfs.xfs --unsupported -q -f -p DATA.p DEV", "", "xfs_repair -n DEV", "mount -t xfs -o ro,norecovery DEV MNT; cat MNT/data; umount MNT"},
		{0, 8, "mkswap -q -L swp DEV", "", "", "blkid -p -o value -s TYPE -s UUID -s LABEL DEV"},
		// A FAT32 has 65525 clusters at least.
		{0, 260, "mkfs.fat -F 32 -s 1 DEV", "mcopy -i PART DATA ::/data", "fsck.fat -n DEV", "mtype -i PART ::/data"},
	}
}

// sectorDisk gives a table and where the volumes lie: on an MBR the last three
// in logical partitions.
func sectorDisk(scheme string) (table string, volumes []sectorVolume, mib int64) {
	table, mib, volumes = "label: "+scheme+"\n", 1, sectorFileSystems()
	for i := range volumes {
		v := &volumes[i]
		if scheme == "dos" && i >= 3 {
			if i == 3 {
				table += fmt.Sprintf("start=%dMiB,type=5\n", mib)
			}
			mib++
		}
		kind := ""
		if strings.HasPrefix(v.make, "mkswap") {
			kind = map[string]string{"gpt": ",type=S", "dos": ",type=82"}[scheme]
		}
		v.start, mib = mib, mib+v.mib
		table += fmt.Sprintf("start=%dMiB,size=%dMiB%s\n", v.start, v.mib, kind)
	}
	return table, volumes, mib + 1
}

// loop4096 gives a loop device with sectors of 4096 bytes of a part of a file;
// size 0 stands for all of it.
func (l *lab) loop4096(name string, start, size int64) (device string, release func()) {
	l.t.Helper()
	args := []string{"--find", "--show", "--sector-size", "4096", "--offset", fmt.Sprint(start)}
	if size > 0 {
		args = append(args, "--sizelimit", fmt.Sprint(size))
	}
	out, err := exec.Command("losetup", append(args, l.path(name))...).Output()
	if err != nil {
		l.t.Skip("needs loop devices with sectors of 4096 bytes: ", err)
	}
	device = strings.TrimSpace(string(out))
	return device, sync.OnceFunc(func() { exec.Command("losetup", "--detach", device).Run() })
}

// on runs a command on a volume of a file, and gives what it prints.
func (v sectorVolume) on(l *lab, name, command string) string {
	l.t.Helper()
	if command == "" {
		return ""
	}
	device, release := l.loop4096(name, v.start*mib, v.mib*mib)
	defer release()
	defer l.tool("", "blockdev", "--flushbufs", device)
	return l.shell(strings.NewReplacer("DEV", device, "PART", fmt.Sprintf("%s@@%d", l.path(name), v.start*mib), "MNT", l.path("mnt")).Replace(command), "unused")
}

// Disks with sectors of 4096 bytes are saved, restored and cloned: the table is
// that of sfdisk, every file system is clean by its own checker and holds its
// file. What was made for sectors of 512 bytes is refused there, and the other
// way round.
func TestSectorsOf4096(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	for _, scheme := range []string{"gpt", "dos"} {
		t.Run(scheme, func(t *testing.T) {
			l := &lab{t: t, dir: t.TempDir()}
			l.sectorsOf4096(scheme)
		})
	}
}

func (l *lab) sectorsOf4096(scheme string) {
	l.t.Helper()
	for _, dir := range []string{"images", "data.d", "mnt"} {
		if err := os.Mkdir(l.path(dir), 0o755); err != nil {
			l.t.Fatal(err)
		}
	}
	for _, name := range []string{"mcopy", "ntfscp", "ntfscat", "mkfs.exfat", "mount.exfat-fuse", "mkfs.xfs", "losetup"} {
		l.find(name)
	}
	l.random("data", 1234567, 0, 1234567)
	l.random("data.d/data", 1234567, 0, 1234567)
	os.WriteFile(l.path("data.p"), []byte("/\n0 0\nd--755 0 0\ndata ---644 0 0 "+l.path("data")+"\n$\n"), 0o644)
	table, volumes, size := sectorDisk(scheme)
	for i, name := range []string{"source.img", "target.img", "clone.img"} {
		l.random(name, size*mib, int64(i)*512, (volumes[5].start+2)*mib)
	}
	source, release := l.loop4096("source.img", 0, 0)
	l.t.Cleanup(release)
	l.table(source, table)
	for _, v := range volumes {
		v.on(l, "source.img", v.make)
		v.on(l, "source.img", v.fill)
	}
	l.tool("", "blockdev", "--flushbufs", source)
	target, release := l.loop4096("target.img", 0, 0)
	l.t.Cleanup(release)
	clone, release := l.loop4096("clone.img", 0, 0)
	l.t.Cleanup(release)

	l.expect(done, "is saved", "save", source, "lab")
	if got := l.methods("lab"); strings.Count(got, ":blocks") != 5 || strings.Count(got, ":swap") != 1 {
		l.t.Errorf("saved are %s", got)
	}
	l.expect(done, "can be restored", "verify", "lab")
	l.expect(done, "was compared", "restore", "lab", target, "--yes", "--verify")
	l.expect(done, "was compared", "clone", source, clone, "--yes", "--verify")
	want := l.dumped(source)
	if !strings.Contains(want, "sector-size: 4096") {
		l.t.Errorf("the source is\n%s", want)
	}
	for name, device := range map[string]string{"target.img": target, "clone.img": clone} {
		if got := l.dumped(device); got != want {
			l.t.Errorf("%s has the table\n%s\nwant\n%s", name, got, want)
		}
		for i, v := range volumes {
			v.on(l, name, v.check)
			if got, want := v.on(l, name, v.read), v.on(l, "source.img", v.read); got != want || i != 4 && got != string(l.read("data")) {
				l.t.Errorf("%s: volume %d: the file differs: %d bytes, %d on the source", name, i+1, len(got), len(want))
			}
		}
	}
	l.expect(refused, "the target has sectors of 512 bytes, image lab is of a disk with 4096: choose a target with the same", "restore", "lab", "clone.img", "--yes")
	// A copy in a file has sectors of 512 bytes.
	if err := os.Link(l.path("clone.img"), l.path("copy.img")); err != nil {
		l.t.Fatal(err)
	}
	release() // of clone.img
	if out := l.expect(done, "counts in sectors of 4096 bytes", "save", "copy.img", "copy", "--plan"); strings.Contains(out, "copy.img1") {
		l.t.Errorf("partitions are taken from where they are not:\n%s", out)
	}
	l.expect(refused, "counts in sectors of 4096 bytes", "restore", "lab", "copy.img", "--keep-table", "--only", l.manifest("lab").Disks[0].Volumes[0].Name, "--yes")
	if scheme == "gpt" {
		l.smallSectors(volumes, target)
		l.largeOnSmall(volumes)
	}
}

// table makes a partition table on a device whose partitions the kernel may not
// be able to show.
func (l *lab) table(device, script string) {
	l.t.Helper()
	l.tool(script, "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe=always", device)
}

func (l *lab) dumped(device string) string {
	l.t.Helper()
	return strings.ReplaceAll(l.tool("", "sfdisk", "--dump", device), device, "DISK")
}

// smallSectors restores what is of a disk with sectors of 512 bytes.
func (l *lab) smallSectors(volumes []sectorVolume, target string) {
	l.t.Helper()
	last := volumes[len(volumes)-1]
	l.random("small.img", (last.start+last.mib+1)*mib, 0, 0)
	table := "label: gpt\n"
	for _, v := range volumes {
		table += fmt.Sprintf("start=%dMiB,size=%dMiB\n", v.start, v.mib)
	}
	l.tool(table, "sfdisk", "--quiet", l.path("small.img"))
	made := []struct{ by, why string }{
		{"mke2fs -q -F -t ext4 -b 1024 FS", "blocks of 1024"},
		{"mkntfs -q -F -f -c 4096 FS", "made for sectors of 512"},
		{"mkfs.exfat FS", "blocks of 512"},
		{"mkfs.xfs --unsupported -q -f -s size=512 FS", "made for sectors of 512"},
		{"mkfs.fat -F 12 FS", "blocks of 512"},
	}
	for i, m := range made {
		l.random("fs", volumes[i].mib*mib, 0, 0)
		l.shell(m.by, "fs")
		l.copyInto("fs", "small.img", volumes[i].start*mib)
		os.Remove(l.path("fs"))
	}
	l.expect(done, "is saved", "save", "small.img", "small")
	l.expect(refused, "the target has sectors of 4096 bytes, image small is of a disk with 512: choose a target with the same", "restore", "small", target, "--yes")
	for i, m := range made {
		l.expect(refused, m.why+", which could not be mounted there: choose a target with sectors of at most",
			"restore", "small", target, "--keep-table", "--only", fmt.Sprint("small.img", i+1), "--yes")
	}
	// What needs no smaller sectors goes there.
	l.random("fs.img", volumes[0].mib*mib, 0, 0)
	l.shell("mke2fs -q -F -t ext4 -b 4096 -d DATA.d FS", "fs.img")
	l.expect(done, "is saved", "save", "fs.img", "bare")
	part, release := l.loop4096("target.img", volumes[0].start*mib, volumes[0].mib*mib)
	defer release()
	l.tool("", "wipefs", "-qa", part)
	l.expect(done, "was compared", "restore", "bare", part, "--yes", "--verify")
	l.tool("", "e2fsck", "-fn", part)
}

// largeOnSmall restores each volume alone to where sectors have 512 bytes: that
// is no harm to those that Linux mounts there.
func (l *lab) largeOnSmall(volumes []sectorVolume) {
	l.t.Helper()
	for i, v := range volumes {
		if strings.HasPrefix(v.make, "mkswap") {
			continue
		}
		name := l.manifest("lab").Disks[0].Volumes[i].Name
		os.Remove(l.path("fs.img"))
		l.random("fs.img", v.mib*mib, 0, 8*mib)
		l.expect(done, "was compared", "restore", "lab", "fs.img", "--only", name, "--yes", "--verify")
		commands := strings.NewReplacer("DEV", l.loop("fs.img"), "PART", "FS", "MNT", l.path("mnt"))
		l.shell(commands.Replace(v.check), "fs.img")
		read := commands.Replace(v.read)
		if got := l.shell(read, "fs.img"); got != string(l.read("data")) {
			l.t.Errorf("%s on sectors of 512 bytes: the file differs: %d bytes", name, len(got))
		}
	}
}
