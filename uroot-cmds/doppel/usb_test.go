package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"doppel.live/internal/stick"
	guest "doppel.live/internal/vm/lab"
	"doppel.live/iso"
)

// stickLab has an image of a build in doppel.img, and sticks of 400 MiB.
func stickLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir()}
	if err := os.Mkdir(l.path("images"), 0o755); err != nil {
		t.Fatal(err)
	}
	disc := iso.New(iso.Options{VolumeID: "DOPPEL", VolumeSetID: "DOPPEL-0123", Boot: &iso.Boot{
		Image: "boot/bios.img", MBR: make([]byte, 512), ESP: iso.Bytes(make([]byte, mib)), ESPSize: mib,
	}})
	if err := disc.AddBytes("boot/bios.img", bytes.Repeat([]byte{1}, 4096)); err != nil {
		t.Fatal(err)
	}
	layout, err := disc.Layout()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(l.path("doppel.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := layout.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stick.img", "other.img"} {
		l.random(name, 400*mib, 0, mib)
	}
	return l
}

// images looks at the images partition of a written stick.
func (l *lab) images(name string) stick.Images {
	l.t.Helper()
	f, err := os.Open(l.path(name))
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	s, err := stick.Look(f, 400*mib)
	if err != nil || s.Do != stick.Use {
		l.t.Fatalf("%+v, %v", s, err)
	}
	if out := l.tool("", "sgdisk", "-v", l.path(name)); !strings.Contains(out, "No problems found") {
		l.t.Errorf("sgdisk: %s", out)
	}
	return s.Images
}

// A stick is written by consent, keeps its images when it is written again, and
// loses them only when that is asked for.
func TestUSB(t *testing.T) {
	l := stickLab(t)
	l.expect(misused, "one device", "usb")
	l.expect(misused, "--consent CODE or --yes", "usb", "stick.img", "--image", "doppel.img")
	l.expect(failed, "--image doppel-usb.img", "usb", "stick.img", "--yes")
	l.expect(failed, "no Doppel medium", "usb", "stick.img", "--image", "other.img", "--yes")
	l.expect(refused, "the image itself lies there", "usb", "doppel.img", "--image", "doppel.img", "--yes")
	l.random("small.img", 260*mib, 0, 0)
	l.expect(refused, "too small", "usb", "small.img", "--image", "doppel.img", "--yes")
	before := l.read("stick.img")
	l.answer("no", refused, "what was typed", "usb", "stick.img", "--image", "doppel.img")
	if !bytes.Equal(before, l.read("stick.img")) {
		t.Error("it was written to without consent")
	}
	out := l.expect(done, `"method":"new"`, "usb", "stick.img", "--image", "doppel.img", "--plan", "--json")
	_, code, _ := strings.Cut(out, `"consent":"`)
	l.expect(refused, "consent code", "usb", "other.img", "--image", "doppel.img", "--consent", code[:12])
	l.expect(done, "is a Doppel stick", "usb", "stick.img", "--image", "doppel.img", "--consent", code[:12])
	im := l.images("stick.img")
	f, err := os.OpenFile(l.path("stick.img"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const text = "an image"
	if _, err := f.WriteAt([]byte(text), im.Start+im.Length/2); err != nil {
		t.Fatal(err)
	}
	kept := func() bool {
		b := make([]byte, len(text))
		f.ReadAt(b, im.Start+im.Length/2)
		return string(b) == text && l.images("stick.img") == im
	}
	l.expect(done, `"method":"kept"`, "usb", "stick.img", "--image", "doppel.img", "--plan", "--json")
	if l.expect(done, "images were kept", "usb", "stick.img", "--image", "doppel.img", "--yes"); !kept() {
		t.Error("images were not kept")
	}
	l.expect(done, "is a Doppel stick", "usb", "other.img", "--image", "stick.img", "--yes") // a stick makes a stick
	l.images("other.img")
	out = l.expect(done, "is a Doppel stick", "usb", "stick.img", "--image", "doppel.img", "--yes", "--fresh")
	if strings.Contains(out, "kept") {
		t.Errorf("a fresh stick: %s", out)
	}
	l.images("stick.img")
}

// A stick that holds something else behind its image is refused, and a fresh
// one is made of it only when that is asked for.
func TestUSBDoubt(t *testing.T) {
	l := stickLab(t)
	l.expect(done, "is a Doppel stick", "usb", "stick.img", "--image", "doppel.img", "--yes")
	l.random("swap", 400*mib-stick.Place-2*mib, 0, 0)
	l.tool("", "mkswap", l.path("swap"))
	l.copyInto("swap", "stick.img", stick.Place)
	l.expect(refused, "holds swap", "usb", "stick.img", "--image", "doppel.img", "--yes")
	l.expect(done, "is a Doppel stick", "usb", "stick.img", "--image", "doppel.img", "--yes", "--fresh")
	l.images("stick.img")
}

// Images are copied onto a disk only. On a kernel of its own they are: here onto
// a partition that is ext4, since user-mode Linux does not know exFAT.
//
//	ubda  the stick, 400 MiB
func TestUSBCopies(t *testing.T) {
	guest.Run(t, guest.Config{Disks: ubd(t, 1, 400*mib), Needs: tools, Memory: 1024}, func(t *testing.T) {
		l := newLab(t)
		l.expect(done, "is saved", "save", "source.img", "lab", "--compress", "fast")
		s := stickLab(t)
		usb := func(status int, says, device string, more ...string) {
			t.Helper()
			s.expect(status, says, append([]string{"usb", device, "--image", "doppel.img", "--images", l.path("images"), "--yes"}, more...)...)
		}
		usb(refused, "to disks only", "stick.img", "--copy", "lab")
		usb(failed, "no folder of this name", "/dev/ubda", "--copy", "nothing")
		usb(failed, "this kernel has no driver for exfat", "/dev/ubda", "--copy", "lab")
		guest.Await(t, "/dev/ubda3")
		guest.Do(t, "mke2fs", "-q", "-F", "-t", "ext4", "/dev/ubda3")
		usb(done, "its images were kept; copied: lab", "/dev/ubda", "--copy", "lab")
		usb(done, "is on the stick already", "/dev/ubda", "--copy", "lab")
		point := t.TempDir()
		guest.Do(t, "mount", "-o", "ro", "/dev/ubda3", point)
		s.expect(done, "can be restored", "verify", "lab", "--images", point)
		usb(refused, "is mounted at", "/dev/ubda")
		guest.Do(t, "umount", point)
		usb(refused, "is a partition", "/dev/ubda1")
	})
}
