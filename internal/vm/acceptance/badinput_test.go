package acceptance

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/vm"
)

// What goes wrong is said with what to do next, the menu lives on, and nothing
// that looks whole is left behind. The disks come and go on one machine:
//
//	GOODSRC   GPT with one ext4 of random data
//	PLACES    ext4 with images: good of GOODSRC, and damaged ones
//	ROPLACE   ext4, read only
//	LITTLE    ext4 with room for the image of GOODSRC and a little more
//	TARGET    GPT with one empty partition
//	TINY      smaller than GOODSRC
func TestBadInput(t *testing.T) {
	l := openLab(t)
	d := makeBadDisks(t)
	c := start(t, vm.Config{Kernel: l.kernel, Initrd: l.initrd, Append: commandLine + " doppel.prerun=no-such-program doppel.then=poweroff"}, 10*time.Minute)
	c.seeWithin(4*time.Minute, menu)
	c.says("The unattended job failed: a command before the job did not end well (exit status 127): no-such-program…not found…the machine stays on")
	for _, story := range []struct {
		name string
		tell func(c *console, d *badDisks)
	}{
		{"no disk", noDisk},
		{"read-only place", readOnlyPlace},
		{"place full in the middle", fullPlace},
		{"target too small or mounted", poorTarget},
		{"wrong serial", wrongSerial},
		{"damaged images", damagedImages},
		{"target unplugged", targetUnplugged},
		{"source unplugged", sourceUnplugged},
		{"place unplugged", placeUnplugged},
	} {
		// A story goes on where the one before ended.
		if !t.Run(story.name, func(t *testing.T) { story.tell(&console{c.Machine, t, c.ctx}, d) }) {
			return
		}
	}
}

func noDisk(c *console, d *badDisks) {
	c.choose("Disks and their health")
	c.says(`No disk was found. Is it plugged in…"Look again"`)
	c.home()
	c.choose(menu)
	c.says(`No disk or stick…Plug one…"Look again"`)
	c.home()
	c.plug(d.source)
	c.choose("Disks and their health")
	c.lookFor("Disks and their health", "GOODSRC")
	c.home()
}

func readOnlyPlace(c *console, d *badDisks) {
	c.plug(d.readOnly)
	c.usePlace("ROPLACE", `It is read only: nothing can be saved there…Next: The medium is write protected…choose another place`)
	c.says("Images: …ROPLACE…read only")
	c.planSave("denied")
	c.says(`This cannot be done:…read-only: choose another place`)
	c.home()
	c.unplug(d.readOnly)
}

// A shell in the background takes all room as soon as the image has a volume.
func fullPlace(c *console, d *badDisks) {
	c.plug(d.little)
	c.usePlace("LITTLE", "Images are kept on")
	c.shell(`(until [ -e /images/toolarge/doppel-*-backup-* ]; do sleep 1; done; cat /dev/zero >/images/filler) >/dev/null 2>&1 &`)
	c.planSave("toolarge")
	c.choose("Start")
	c.result(`Not saved: Failed`, `no room left…Next: make room`)
	c.home()
	c.choose("Restore an image")
	c.says("There is no image in this place")
	c.home()
	c.planSave("toolarge")
	c.says(`This cannot be done:…has room for…make room or choose another place`)
	c.home()
	c.plug(d.images)
	c.usePlace("PLACES", "Images are kept on")
	c.unplug(d.little)
	left, err := filepath.Glob(filepath.Join(imagesOf(c.t, d.little.Path), "toolarge*", "clonezilla-img"))
	if err != nil || len(left) > 0 {
		c.t.Errorf("left behind: %v, %v", left, err)
	}
}

func poorTarget(c *console, d *badDisks) {
	c.plug(d.tiny)
	c.planRestore("good", "TINY")
	c.says(`This cannot be done:…choose a target at least as large`)
	c.key(back)
	c.pick("Restore: onto which disk", "PLACES")
	c.says("This cannot be done:…the image folder /images/good lies on it: choose another disk")
	c.home()
	c.unplug(d.tiny)
	c.shell("mount -t ext4 /dev/sda1 /mnt || (mkdir /mnt && mount -t ext4 /dev/sda1 /mnt)") // GOODSRC came first
	c.planRestore("good", "GOODSRC")
	c.says("This cannot be done:…sda1 is mounted at /mnt: umount /mnt")
	c.home()
	c.shell("umount /mnt")
}

func wrongSerial(c *console, d *badDisks) {
	c.plug(d.target)
	before := sum(c.t, d.target.Path)
	c.planRestore("good", "TARGET")
	c.choose("Start")
	c.says("last 4 characters of the serial number")
	c.key("WXYZ\r")
	c.says(`That is not what was asked for. Nothing was written`)
	c.home()
	if sum(c.t, d.target.Path) != before {
		c.t.Error("the target is not what it was")
	}
}

func damagedImages(c *console, d *badDisks) {
	for _, name := range []string{"flipped", "cut"} {
		c.choose("Check an image")
		c.pick("Check: which image", name)
		c.result("Check: Failed", "image "+name+" is damaged: small1 cannot be restored…Next: ")
		c.home()
	}
	d.giveTable(c.t)
	c.restore("flipped", "TARGET", "RGET")
	c.result("Not restored: Failed", "volume small1…Next: check the image")
	c.home()
	d.noTable(c.t)
	before := sum(c.t, d.target.Path)
	c.planRestore("cut", "TARGET") // seen before anything is written
	c.says(`This cannot be done:…image is damaged…take another image`)
	c.home()
	if sum(c.t, d.target.Path) != before {
		c.t.Error("the target is not what it was")
	}
	c.choose("Restore an image")
	c.pick("Restore: which image", "garbage")
	c.says(`doppel.json has another sum than when it was saved`)
	c.home()
	c.choose("Check an image")
	c.pick("Check: which image", "garbage")
	c.says(`doppel.json has another sum than when it was saved`)
	c.home()
}

func targetUnplugged(c *console, d *badDisks) {
	d.giveTable(c.t)
	c.restore("good", "TARGET", "RGET")
	c.underWay()
	c.unplug(d.target)
	c.result("Not restored: Failed", `target: …Next: the target went away…restore again`)
	c.home()
	d.noTable(c.t)
}

func sourceUnplugged(c *console, d *badDisks) {
	c.planSave("half")
	c.choose("Start")
	c.underWay()
	c.unplug(d.source)
	c.result("Not saved: Failed", `cannot be read at byte…Next: look at the health`)
	c.home()
	c.choose("Restore an image")
	c.says("Restore: which image…good…Look again")
	if strings.Contains(c.Screen(), "half") {
		c.t.Errorf("an image that was not saved is listed:\n%s", c.Screen())
	}
	c.home()
	c.plug(d.source)
}

// What could not be removed from the place any more is listed as not complete
// when the place comes back.
func placeUnplugged(c *console, d *badDisks) {
	c.planSave("half")
	c.choose("Start")
	c.underWay()
	c.unplug(d.images)
	c.result("Not saved: Failed", `Next: the place for images went away`)
	c.home()
	c.choose("Restore an image")
	c.says("Next: a disk went away…choose the place for images again")
	c.home()
	c.plug(d.images)
	c.usePlace("PLACES", "Images are kept on")
	c.choose("Restore an image")
	c.says("Restore: which image…good…Look again")
	if strings.Contains(c.Screen(), "half") {
		c.pick("Restore: which image", "half")
		c.says("not complete")
	}
	c.home()
}

// After an unattended job that failed the machine stays on with the page that
// says so, whatever was to follow.
func TestBadInputUnattended(t *testing.T) {
	l := openLab(t)
	d := makeBadDisks(t)
	c := start(t, vm.Config{
		Kernel: l.kernel, Initrd: l.initrd, Disks: []vm.Disk{d.images, d.target},
		Append: commandLine + ` doppel.images=LABEL=PLACES doppel.run="restore nosuch serial:TARGET --yes" doppel.then=poweroff`,
	}, 6*time.Minute)
	c.seeWithin(4*time.Minute, "Not restored: Failed")
	ctx, cancel := context.WithTimeout(c.ctx, 15*time.Second) // a countdown would be over after 10 s
	defer cancel()
	if err := c.WaitExit(ctx); err == nil {
		t.Fatal("the machine went off")
	}
	c.says("nosuch…no folder of this name…Next: doppel images lists")
	c.key("\r")
	c.see(menu)
	if got := run(t, "sfdisk", "--dump", d.target.Path); !strings.Contains(got, "label: gpt") {
		t.Errorf("the target holds %s", got)
	}
}
