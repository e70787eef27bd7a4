package acceptance

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"doppel.live/internal/filesystem/ext"
	"doppel.live/internal/vm"
	"doppel.live/internal/vm/sample"
)

// machine has the sample system on its first disk, a disk for images, and an
// empty disk that is larger than the first.
func (l lab) machine(t *testing.T) (config vm.Config, images, target string) {
	t.Helper()
	images, target = imagesDisk(t, 2<<30), empty(t, "target.img", sample.Size+300<<20)
	return vm.Config{
		CD: l.iso, CPUs: 2,
		Disks: []vm.Disk{
			{Path: l.sample(t), Serial: "GOLDEN-0001", Snapshot: true},
			{Path: images, Serial: "IMAGES-0002"},
			{Path: target, Bus: "ahci", Serial: "TARGET-0003"},
		},
	}, images, target
}

// A person saves the sample system and restores it to the empty disk, all by
// keystrokes in the menu; that disk alone then boots.
func TestSaveAndRestoreByMenu(t *testing.T) {
	l := openLab(t)
	config, images, target := l.machine(t)
	c := startToMenu(t, config, 12*time.Minute)
	c.choose("Choose where images are")
	c.choose("/dev/vdb1")
	c.see(`Images: .*free`)
	c.toMain()
	c.choose("Save a disk or partitions")
	c.choose("/dev/vda")
	c.choose("The whole disk")
	c.see("what shall the image be called")
	c.key("\x15golden\r") // Ctrl-U empties the line
	c.see("this is the plan")
	c.choose("Start")
	c.seeWithin(6*time.Minute, "(Saved: Done|Failed)")
	c.see("Saved: Done")
	c.toMain()
	c.choose("Restore an image")
	c.choose("golden")
	c.choose("The whole image")
	c.choose("/dev/sda")
	c.see("TARGET-0003")
	c.choose("Start")
	c.see("last 4 characters")
	c.key("0003\r")
	c.seeWithin(6*time.Minute, "(Restored: Done|Failed)")
	c.see("Restored: Done")
	c.toMain()
	c.powerOff()

	t.Run("image", func(t *testing.T) { judgeImage(t, filepath.Join(imagesOf(t, images), "golden"), l.sample(t)) })
	t.Run("tables", func(t *testing.T) { sameTable(t, l.sample(t), target) })
	t.Run("files", func(t *testing.T) {
		sameFiles(t, mount(t, l.sample(t), sample.RootOffset, sample.RootSize), mount(t, target, sample.RootOffset, sample.RootSize))
	})
	t.Run("boots", func(t *testing.T) { bootsAlone(t, l, target) })
}

// The same without a hand on the keyboard, by the kernel's command line.
func TestSaveAndRestoreUnattended(t *testing.T) {
	l := openLab(t)
	config, images, target := l.machine(t)
	config.CD, config.Kernel, config.Initrd = "", l.kernel, l.initrd
	for _, job := range []string{"save serial:GOLDEN-0001 golden --yes", "restore golden serial:TARGET-0003 --yes"} {
		config.Append = commandLine + " doppel.images=LABEL=IMAGES doppel.then=poweroff" +
			fmt.Sprintf(" doppel.run=%q", job)
		c := start(t, config, 8*time.Minute)
		if err := c.WaitExit(c.ctx); err != nil {
			t.Fatalf("%s: %v", job, err)
		}
	}
	judgeImage(t, filepath.Join(imagesOf(t, images), "golden"), l.sample(t))
	sameTable(t, l.sample(t), target)
	sameFiles(t, mount(t, l.sample(t), sample.RootOffset, sample.RootSize), mount(t, target, sample.RootOffset, sample.RootSize))
}

// toMain goes back from wherever the menu is.
func (c *console) toMain() {
	c.t.Helper()
	for range 8 {
		// A page has no other sign that it is done drawing, and a key too many
		// would be waiting when the main page comes.
		for range 12 {
			if strings.Contains(c.Screen(), menu) {
				return
			}
			time.Sleep(500 * time.Millisecond)
		}
		c.key("\r")
	}
	c.seeWithin(time.Minute, menu)
}

func (c *console) powerOff() {
	c.t.Helper()
	c.choose("Power off")
	c.choose("Yes")
	if err := c.WaitExit(c.ctx); err != nil {
		c.fail(err)
	}
}

// judgeImage lets partclone look at the ext4 of an image, and restores it with
// partclone to compare every block in use with the disk that was saved.
func judgeImage(t *testing.T, dir, source string) {
	t.Helper()
	streams, err := filepath.Glob(filepath.Join(dir, "*.ext4-ptcl-img.zst*"))
	if err != nil || len(streams) == 0 {
		t.Fatalf("no ext4 volume in %s: %v", dir, err)
	}
	raw := filepath.Join(t.TempDir(), "stream")
	shell := exec.Command("zstd", "-q", "-d", "-c", streams[0])
	out, err := os.Create(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	shell.Stdout = out
	if err := shell.Run(); err != nil {
		t.Fatalf("zstd: %v", err)
	}
	run(t, "partclone.chkimg", "-s", raw, "-L", "/dev/null")
	volume := empty(t, "volume.img", sample.RootSize)
	run(t, "partclone.restore", "-s", raw, "-O", volume, "-L", "/dev/null")
	run(t, "e2fsck", "-fn", volume)
	sameBlocks(t, source, volume)
}

// sameBlocks compares the blocks in use of the sample's root with those of a
// file that holds the restored volume.
func sameBlocks(t *testing.T, source, volume string) {
	t.Helper()
	was, err := os.Open(source)
	if err != nil {
		t.Fatal(err)
	}
	defer was.Close()
	is, err := os.Open(volume)
	if err != nil {
		t.Fatal(err)
	}
	defer is.Close()
	root := io.NewSectionReader(was, sample.RootOffset, sample.RootSize)
	fsys, err := ext.Open(root, sample.RootSize)
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range fsys.Allocated() {
		if err != nil {
			t.Fatal(err)
		}
		a, b := sha256.New(), sha256.New()
		if _, err := io.Copy(a, io.NewSectionReader(root, e.Offset, e.Length)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(b, io.NewSectionReader(is, e.Offset, e.Length)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a.Sum(nil), b.Sum(nil)) {
			t.Errorf("bytes %d to %d differ", e.Offset, e.End())
		}
	}
}

// sameTable compares what sfdisk says of two disks, but for their names and
// the end of the larger one.
func sameTable(t *testing.T, source, target string) {
	t.Helper()
	dump := func(disk string) string {
		var kept []string
		for _, line := range strings.Split(strings.ReplaceAll(run(t, "sfdisk", "--dump", disk), disk, "DISK"), "\n") {
			if !strings.HasPrefix(line, "last-lba:") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	}
	if a, b := dump(source), dump(target); a != b {
		t.Errorf("the table was\n%s\nand is\n%s", a, b)
	}
	if out := run(t, "sgdisk", "-v", target); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
}

// sameFiles compares two trees: names, kinds, modes, owners, times, links, contents.
func sameFiles(t *testing.T, source, target string) {
	t.Helper()
	a, b := tree(t, source), tree(t, target)
	if len(a) < 1000 {
		t.Fatalf("only %d files in the source", len(a))
	}
	for name, was := range a {
		if is := b[name]; is != was {
			t.Errorf("%s was %s and is %q", name, was, is)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			t.Errorf("%s is new", name)
		}
	}
}

func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%v %d:%d %d links %v dev %d", info.Mode(), st.Uid, st.Gid, st.Nlink, info.ModTime().UTC(), st.Rdev)
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(data))
		case info.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " " + link
		}
		found[strings.TrimPrefix(path, root)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// bootsAlone boots a disk with nothing beside it, under BIOS and UEFI.
func bootsAlone(t *testing.T, l lab, disk string) {
	for _, firmware := range []vm.Firmware{vm.BIOS, vm.UEFI} {
		t.Run(firmware.String(), func(t *testing.T) {
			t.Parallel()
			c := start(t, vm.Config{Firmware: firmware, OVMF: l.ovmf, Disks: []vm.Disk{{Path: disk, Snapshot: true, Boot: true}}}, 5*time.Minute)
			c.hear(sample.Hostname + " login:")
		})
	}
}
