package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// These tests hold our images against Clonezilla itself: ocs-sr of Debian's
// package clonezilla, 5.3.17 in Debian 12. It works on two loop devices in a
// cell: namespaces with a /dev, /sys/block and /proc/partitions that show it
// these two and nothing else of the machine.

//go:embed testdata/cell.sh
var cellScript string

// cell is where Clonezilla runs.
type cell struct {
	*lab
	source, target string // kernel names of the loop devices of source.img and target.img
}

// newCell attaches source.img and target.img, which have the same partitions:
// no kernel is asked to read a table, since not every one can for a loop
// device, so they are told to it beforehand.
func newCell(l *lab) *cell {
	l.t.Helper()
	if testing.Short() {
		l.t.Skip("runs Clonezilla: not with -short")
	}
	if os.Geteuid() != 0 {
		l.t.Skip("needs root for loop devices")
	}
	for _, name := range []string{"ocs-sr", "partx", "unshare", "partclone.restore", "partclone.ext4", "parted", "sgdisk", "pigz", "zstd"} {
		l.find(name)
	}
	if out, err := exec.Command("dpkg-query", "-W", "clonezilla", "partclone").Output(); err == nil {
		l.t.Logf("held against %s", bytes.ReplaceAll(bytes.TrimSpace(out), []byte("\n"), []byte(", ")))
	}
	c := &cell{lab: l}
	c.source, c.target = c.loop("source.img"), c.loop("target.img")
	return c
}

// loop attaches a file with its partitions and gives the kernel's name for it.
func (c *cell) loop(name string) string {
	c.t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", c.path(name)).Output()
	if err != nil {
		c.t.Skip("needs loop devices: ", err)
	}
	device := strings.TrimSpace(string(out))
	c.t.Cleanup(func() {
		exec.Command("partx", "--delete", device).Run()
		exec.Command("losetup", "--detach", device).Run()
	})
	if out, err := exec.Command("partx", "--add", device).CombinedOutput(); err != nil {
		c.t.Skipf("needs partitions on loop devices: %v %s", err, out)
	}
	return filepath.Base(device)
}

// clonezilla runs ocs-sr on the images of the lab.
func (c *cell) clonezilla(args ...string) {
	c.t.Helper()
	args = append([]string{"--mount", "--propagation=private", "--pid", "--fork", "--uts", "--ipc", "--net",
		"bash", "-c", cellScript, "cell", c.dir, c.source, c.target,
		"-q2", "-batch", "-nogui", "-senc", "-sc", "-scr", "-p", "true", "-l", "en_US.UTF-8", "-or", "/run/images"}, args...)
	out, err := exec.Command("unshare", args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("ocs-sr: %v\n%s", err, out)
	}
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("ocs-sr said:\n%s", out)
		}
	})
}

// A disk for Clonezilla: a table for sfdisk, and what is on its partitions.
type clonezillaDisk struct {
	name, table string
	volumes     []clonezillaVolume
}

type clonezillaVolume struct {
	number, start, mib      int64 // start in MiB too
	make, fill, check, read string
}

var (
	clonezillaExt4 = [...]string{"mke2fs -q -t ext4 -L root -d DATA.d FS", "", "e2fsck -fn FS", "debugfs -R 'cat /data' FS 2>/dev/null"}
	clonezillaSwap = [...]string{"mkswap -q -L swp FS", "", "", "blkid -p -o value -s TYPE -s UUID -s LABEL FS"}
)

func clonezillaDisks() []clonezillaDisk {
	volume := func(number, start, mib int64, how [4]string) clonezillaVolume {
		return clonezillaVolume{number, start, mib, how[0], how[1], how[2], how[3]}
	}
	fat := func(make string) [4]string {
		return [4]string{make, "mcopy -i FS DATA ::/data", "fsck.fat -n FS", "mtype -i FS ::/data"}
	}
	return []clonezillaDisk{
		{"gpt", "label: gpt\nstart=1MiB,size=40MiB,type=U,name=\"EFI System\"\nstart=41MiB,size=24MiB,attrs=LegacyBIOSBootable\nstart=65MiB,size=8MiB,type=S\n",
			[]clonezillaVolume{volume(1, 1, 40, fat("mkfs.fat -F 32 -s 1 -n EFI FS")), volume(2, 41, 24, clonezillaExt4), volume(3, 65, 8, clonezillaSwap)}},
		{"mbr", "label: dos\nstart=1MiB,size=24MiB,bootable\nstart=26MiB,size=50MiB,type=5\nstart=27MiB,size=20MiB,type=e\nstart=48MiB,size=8MiB,type=82\n",
			[]clonezillaVolume{volume(1, 1, 24, clonezillaExt4), volume(5, 27, 20, fat("mkfs.fat -F 16 FS")), volume(6, 48, 8, clonezillaSwap)}},
	}
}

// fill makes source.img, and target.img with a table of its own for the same
// partitions and garbage on them.
func (d clonezillaDisk) fill(l *lab) {
	l.t.Helper()
	const size = 80 * mib
	if err := os.Mkdir(l.path("images"), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Mkdir(l.path("data.d"), 0o755); err != nil {
		l.t.Fatal(err)
	}
	l.random("data", 3*mib+17, 0, 3*mib+17)
	l.random("data.d/data", 3*mib+17, 0, 3*mib+17)
	l.random("source.img", size, 440, 0)
	l.random("target.img", size, mib, 78*mib)
	for _, name := range []string{"source.img", "target.img"} {
		l.tool(d.table, "sfdisk", "--quiet", "--wipe=never", l.path(name))
	}
	for _, v := range d.volumes {
		l.random("fs", v.mib*mib, 0, 0)
		l.shell(v.make, "fs")
		l.shell(v.fill, "fs")
		l.copyInto("fs", "source.img", v.start*mib)
		os.Remove(l.path("fs"))
	}
}

// same holds target.img against source.img.
func (d clonezillaDisk) same(l *lab, name string) {
	l.t.Helper()
	dump := func(name string) string {
		return strings.ReplaceAll(l.tool("", "sfdisk", "--dump", l.path(name)), l.path(name), "DISK")
	}
	if got, want := dump(name), dump("source.img"); got != want {
		l.t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	source, target := l.read("source.img"), l.read(name)
	if !bytes.Equal(source[:440], target[:440]) {
		l.t.Error("the boot code differs")
	}
	for _, v := range d.volumes {
		said := map[string]string{}
		for what, disk := range map[string][]byte{"source": source, "target": target} {
			if err := os.WriteFile(l.path("fs"), disk[v.start*mib:(v.start+v.mib)*mib], 0o600); err != nil {
				l.t.Fatal(err)
			}
			l.shell(v.check, "fs")
			said[what] = l.shell(v.read, "fs")
		}
		if said["source"] != said["target"] || len(said["source"]) < 10 {
			l.t.Errorf("partition %d differs: %d bytes, want %d", v.number, len(said["target"]), len(said["source"]))
		}
	}
}

// judged restores the streams of an image with partclone, and compares them
// with what doppel restored to a disk of zeros.
func (d clonezillaDisk) judged(c *cell, image, restored string) {
	c.t.Helper()
	target := c.read(restored)
	for _, v := range d.volumes {
		parts, _ := filepath.Glob(c.path(fmt.Sprintf("images/%s/%sp%d.*-ptcl-img*", image, c.source, v.number)))
		if len(parts) == 0 {
			if !strings.HasPrefix(v.make, "mkswap") {
				c.t.Errorf("%s holds no stream of partition %d", image, v.number)
			}
			continue
		}
		unpack := "cat"
		switch {
		case strings.Contains(parts[0], ".gz"):
			unpack = "gzip -dc"
		case strings.Contains(parts[0], ".zst"):
			unpack = "zstd -dcq"
		}
		c.random("by partclone", v.mib*mib, 0, 0)
		c.tool("", "sh", "-c", "cat "+strings.Join(parts, " ")+" | "+unpack+" | partclone.restore -C -s - -O '"+c.path("by partclone")+"' -L /dev/null")
		if !bytes.Equal(c.read("by partclone"), target[v.start*mib:(v.start+v.mib)*mib]) {
			c.t.Errorf("%s: partition %d is not what partclone restores", image, v.number)
		}
		os.Remove(c.path("by partclone"))
	}
}

// Clonezilla restores to another disk what doppel saved, of a disk or of a
// regular file, whose name is none of a disk's.
func TestClonezillaRestoresOurs(t *testing.T) {
	disks := clonezillaDisks()
	for _, c := range []struct {
		name string
		disk clonezillaDisk
		file bool // saved as a regular file
		soak bool
	}{
		{"gpt", disks[0], false, true},
		{"gpt in a file", disks[0], true, false},
		{"mbr", disks[1], false, true},
		{"mbr in a file", disks[1], true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.soak && os.Getenv("DOPPEL_SOAK") == "" {
				t.Skip("takes long: run ./build.sh soak")
			}
			l := &lab{t: t, dir: t.TempDir()}
			c.disk.fill(l)
			cell := newCell(l)
			source := cell.source
			if c.file {
				source = "source.img"
			}
			l.expect(done, "is saved", "save", source, "ours")
			// What it would do to a system on the disk, none is there, takes long.
			cell.clonezilla("-iui", "-ius", "-irhr", "-irvd", "-iefi", "restoredisk", "ours", cell.target)
			c.disk.same(l, "target.img")
		})
	}
}

// Doppel restores what Clonezilla saved, whatever it packs and cuts it with.
func TestClonezillaSaves(t *testing.T) {
	for i, d := range clonezillaDisks() {
		t.Run(d.name, func(t *testing.T) {
			l := &lab{t: t, dir: t.TempDir()}
			d.fill(l)
			c := newCell(l)
			for k, how := range []string{"-z9p -i 1", "-z0 -i 0", "-z0 -i 1", "-z1p -i 0", "-z1p -i 1", "-z9p -i 0"} {
				t.Run(how, func(t *testing.T) {
					if i+k > 0 && os.Getenv("DOPPEL_SOAK") == "" {
						t.Skip("takes long: run ./build.sh soak")
					}
					c := &cell{&lab{t: t, dir: l.dir}, c.source, c.target}
					c.theirs(d, strings.ReplaceAll(strings.ReplaceAll(how, " ", ""), "-", ""), strings.Fields(how))
				})
			}
		})
	}
}

func (c *cell) theirs(d clonezillaDisk, image string, how []string) {
	c.t.Helper()
	c.clonezilla(append(how, "savedisk", image, c.source)...)
	c.expect(done, "image "+image+" can be restored", "verify", image)
	c.random("zeros.img", 80*mib, 0, 0)
	defer os.Remove(c.path("zeros.img"))
	c.expect(done, "was compared", "restore", image, "zeros.img", "--yes", "--verify")
	d.same(c.lab, "zeros.img")
	d.judged(c, image, "zeros.img")
}
