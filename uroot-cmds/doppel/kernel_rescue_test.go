package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"doppel.live/internal/engine"
	"doppel.live/internal/image"
	"doppel.live/internal/rescue"
	guest "doppel.live/internal/vm/lab"
)

// TestRescueOnKernel saves disks that fail in the kernel's own ways: scsi_debug
// with a medium error and unplugged, device-mapper's error target in the
// middle of a disk, and its dust target with single bad sectors. sda and sdb
// have 72 MiB, ubda 64 MiB as the source does.
func TestRescueOnKernel(t *testing.T) {
	guest.Run(t, guest.Config{
		Modules: []string{"dm-mod", "dm-dust", "sd_mod", "scsi_debug delay=0 dev_size_mb=72 per_host_store=1 add_host=2"},
		Disks:   ubd(t, 1, 64*mib), Needs: append(slices.Clone(tools), "dmsetup", "debugfs"), Memory: 1024,
	}, func(t *testing.T) {
		guest.Await(t, "/dev/sda", "/dev/sdb")
		l := newLab(t)
		r := &rescueLab{lab: l, files: map[string][]byte{}}
		r.source()
		for _, story := range []struct {
			name string
			tell func(t *testing.T, r *rescueLab)
		}{
			{"medium error", testRescueMediumError},
			{"error target", testRescueErrorTarget},
			{"dust target", testRescueDustTarget},
			{"unplugged", testRescueUnplugged},
			{"unplugged place", testRescueUnpluggedPlace},
		} {
			t.Run(story.name, func(t *testing.T) {
				story.tell(t, &rescueLab{lab: &lab{t: t, dir: l.dir}, files: r.files, disk: r.disk})
			})
		}
	})
}

// rescueLab is a lab whose source has many files in its ext4, partition 2.
type rescueLab struct {
	*lab
	files map[string][]byte // content by path
	disk  []byte            // of many.img
}

func (r *rescueLab) source() {
	r.t.Helper()
	for n := range 40 {
		name := fmt.Sprintf("many/%d/file%02d", n%3, n)
		if err := os.MkdirAll(r.path(filepath.Dir(name)), 0o755); err != nil {
			r.t.Fatal(err)
		}
		content := make([]byte, 300*(n+1)*(n+1)+13)
		rand.NewChaCha8([32]byte{'f', byte(n)}).Read(content)
		if err := os.WriteFile(r.path(name), content, 0o644); err != nil {
			r.t.Fatal(err)
		}
		r.files[strings.TrimPrefix(name, "many/")] = content
	}
	r.random("fs", 32*mib, 0, 0)
	r.tool("", "mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", r.path("many"), r.path("fs"))
	if err := os.WriteFile(r.path("many.img"), r.read("source.img"), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.copyInto("fs", "many.img", 3*mib)
	r.disk = r.read("many.img")
}

// sectorOf is the sector of the disk that holds a part of a file.
func (r *rescueLab) sectorOf(name string, part int) int64 {
	r.t.Helper()
	content := r.files[name]
	at := bytes.Index(r.disk, content[part*512:min(len(content), part*512+512)])
	if at < 0 || at%512 != 0 {
		r.t.Fatalf("part %d of %s lies at byte %d", part, name, at)
	}
	return int64(at / 512)
}

func (r *rescueLab) onto(device string) {
	r.t.Helper()
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(r.disk); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		r.t.Fatal(err)
	}
}

// rescued runs a rescue that ends with damage and gives what it tells of that.
func (r *rescueLab) rescued(args ...string) *engine.Damage {
	r.t.Helper()
	status, out := r.doppel(context.Background(), "", append([]string{"save", "--rescue", "--json"}, args...)...)
	all := strings.Split(strings.TrimSpace(out), "\n")
	var last struct {
		Event, Text string
		Report      engine.Damage
	}
	_ = json.Unmarshal([]byte(all[len(all)-1]), &last)
	if status != damaged || last.Event != "result" || !strings.Contains(last.Text, "damage") {
		r.t.Fatalf("exit status %d:\n%s", status, out)
	}
	if _, err := os.Stat(r.path("images/" + args[len(args)-1] + ".rescue")); (err == nil) != slices.Contains(args, "--finish") {
		r.t.Errorf("the spool was left, or not kept: %v", err)
	}
	return &last.Report
}

// differing restores an image and gives the files whose content is not that
// of the source, as e2fsprogs read them. What is restored may differ only in
// the extents.
func (r *rescueLab) differing(name string, d *engine.Damage) []string {
	r.t.Helper()
	r.random("target.img", 72*mib, 0, 0)
	r.expect(done, "is restored", "restore", name, "target.img", "--yes", "--verify")
	target := r.read("target.img")
	if err := os.WriteFile(r.path("restored"), target[3*mib:35*mib], 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.tool("", "e2fsck", "-fn", r.path("restored"))
	for _, v := range d.Volumes {
		for _, e := range v.Extents {
			for at := e.Offset; at < e.Offset+e.Length; at += 512 {
				if off := 3*mib + at; !bytes.Equal(target[off:off+512], rescue.Marker(off)) {
					r.t.Fatalf("byte %d of the disk holds no marker", off)
				}
				copy(target[3*mib+at:], r.disk[3*mib+at:][:512])
			}
		}
	}
	os.RemoveAll(r.path("out"))
	os.Mkdir(r.path("out"), 0o755)
	r.tool("", "debugfs", "-R", "rdump / "+r.path("out"), r.path("restored"))
	differing := []string{}
	for file, content := range r.files {
		if got, err := os.ReadFile(r.path("out/" + file)); err != nil || !bytes.Equal(got, content) {
			differing = append(differing, file)
		}
	}
	slices.Sort(differing)
	// With the lost bytes put back, everything is as it was.
	os.WriteFile(r.path("restored"), target[3*mib:35*mib], 0o644)
	os.RemoveAll(r.path("out"))
	os.Mkdir(r.path("out"), 0o755)
	r.tool("", "debugfs", "-R", "rdump / "+r.path("out"), r.path("restored"))
	for file, content := range r.files {
		if !bytes.Equal(r.read("out/"+file), content) {
			r.t.Errorf("%s differs elsewhere", file)
		}
	}
	return differing
}

// hits checks that exactly these files are reported, and differ.
func (r *rescueLab) hits(name string, d *engine.Damage, files ...string) {
	r.t.Helper()
	slices.Sort(files)
	var told []string
	for _, v := range d.Volumes {
		if v.Hit.Files < 0 {
			r.t.Fatalf("the files of %s are not named: %s", v.Name, v.Hit.Reason)
		}
		told = append(told, v.Files...)
	}
	slices.Sort(told)
	if is := r.differing(name, d); !slices.Equal(told, is) || files != nil && !slices.Equal(files, is) {
		r.t.Errorf("reported are %q, different are %q, expected were %q", told, is, files)
	}
	list := string(r.read("images/" + name + "/" + engine.DamagedFiles))
	for _, f := range told {
		if !strings.Contains(list, "\t"+f+"\n") {
			r.t.Errorf("the list lacks %s:\n%s", f, list)
		}
	}
}

func testRescueMediumError(t *testing.T, r *rescueLab) {
	r.onto("/dev/sda")
	bad := r.sectorOf("1/file37", 100)
	breakMedium(t, bad, 3)
	status, out := r.doppel(context.Background(), "", "save", "sda", "plain", "--json")
	r.failed(status, out, "cannot be read", "--rescue")
	d := r.rescued("sda", "medium")
	mendMedium(t)
	want := []image.Damage{{Offset: bad*512 - 3*mib, Length: 3 * 512}}
	if len(d.Volumes) != 1 || d.Volumes[0].Name != "sda2" || !slices.Equal(d.Volumes[0].Extents, want) || d.Volumes[0].Hit.Metadata || len(d.Disk) > 0 {
		t.Errorf("damage %+v, want %+v", d, want)
	}
	r.hits("medium", d, "1/file37")
	r.expect(done, "can be restored, with the damage of its source: 1.5 kB", "verify", "medium")
	r.expect(done, "DAMAGED: 1.5 kB in 1 places could not be read; 1 files are damaged", "images", "show", "medium")
	r.expect(done, "DAMAGED", "images")
	r.expect(done, "sda2 is damaged: 1.5 kB", "restore", "medium", "target.img", "--plan")
	r.expect(done, "sda2 is damaged: 1.5 kB", "convert", "medium", "anew")
	r.expect(done, "DAMAGED: 1.5 kB in 1 places could not be read; 1 files are damaged", "images", "show", "anew")
	r.expect(done, "sda2 is damaged: 1.5 kB", "convert", "medium", r.path("medium.qcow2"))
	if found, _ := filepath.Glob(r.path("images/medium/sda2.*-img.zst")); len(found) == 1 {
		r.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | partclone.chkimg -s - -L /dev/null")
	} else {
		t.Error("no stream of sda2")
	}
	out = r.tool("", "ddrescuelog", "-b512", "-l-", r.path("images/medium/doppel-sda-rescue.map"))
	if want := fmt.Sprintf("%d\n%d\n%d\n", bad, bad+1, bad+2); out != want {
		t.Errorf("ddrescuelog lists\n%s\nwant\n%s", out, want)
	}
}

// A run of 600 sectors in the middle of file data cannot be read.
func testRescueErrorTarget(t *testing.T, r *rescueLab) {
	r.onto("/dev/ubda")
	bad := r.sectorOf("0/file39", 200)
	table := fmt.Sprintf("0 %d linear /dev/ubda 0\n%d 600 error\n%d %d linear /dev/ubda %d\n", bad, bad, bad+600, 131072-bad-600, bad+600)
	guest.Input(t, table, "dmsetup", "--noudevsync", "create", "failing")
	defer guest.Do(t, "dmsetup", "--noudevsync", "remove", "failing")
	d := r.rescued("/dev/dm-0", "error")
	if d.Bytes != 600*512 || len(d.Volumes) != 1 {
		t.Errorf("damage %+v", d)
	}
	r.hits("error", d)
}

// Single bad sectors in the primary GPT, in the swap and in a block bitmap: the
// backup GPT is used, and the ext4 whose allocation is gone is taken whole.
func testRescueDustTarget(t *testing.T, r *rescueLab) {
	r.onto("/dev/ubda")
	guest.Input(t, "0 131072 dust /dev/ubda 0 512\n", "dmsetup", "--noudevsync", "create", "dusty")
	defer guest.Do(t, "dmsetup", "--noudevsync", "remove", "dusty")
	var bitmap int64
	for _, line := range strings.Split(r.tool("", "dumpe2fs", r.path("fs")), "\n") {
		if _, at, ok := strings.Cut(line, "Block bitmap at "); ok && bitmap == 0 {
			bitmap, _ = strconv.ParseInt(strings.Fields(at)[0], 10, 64)
		}
	}
	block := int64(len(r.read("fs"))) / 32768
	for _, line := range strings.Split(r.tool("", "dumpe2fs", "-h", r.path("fs")), "\n") {
		if v, ok := strings.CutPrefix(line, "Block size:"); ok {
			block, _ = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	file := r.sectorOf("2/file35", 7)
	for _, sector := range []int64{1, 6144 + bitmap*block/512, file} {
		guest.Do(t, "dmsetup", "message", "dusty", "0", "addbadblock", fmt.Sprint(sector))
	}
	guest.Do(t, "dmsetup", "message", "dusty", "0", "enable")
	d := r.rescued("/dev/dm-0", "dust")
	if len(d.Disk) != 1 || d.Disk[0] != (image.Damage{Offset: 512, Length: 512}) || len(d.Volumes) != 1 || d.Volumes[0].Bytes != 1024 {
		t.Errorf("damage %+v", d)
	}
	if h := d.Volumes[0].Hit; !h.Metadata {
		t.Errorf("the bitmap is not known as hit: %+v", d.Volumes[0])
	}
	out := r.expect(done, "tables or boot code could not be read", "images", "show", "dust")
	if !strings.Contains(out, "raw") {
		t.Errorf("the ext4 was not taken whole:\n%s", out)
	}
	if told := d.Volumes[0]; told.Hit.Files >= 0 && !slices.Equal(told.Files, []string{"2/file35"}) {
		t.Errorf("reported are %q (%+v)", told.Files, told.Hit)
	}
	r.random("target.img", 72*mib, 0, 0)
	r.expect(done, "is restored", "restore", "dust", "target.img", "--yes", "--verify")
	target := r.read("target.img")
	for _, s := range []int64{6144 + bitmap*block/512, file} {
		if !bytes.Equal(target[s*512:s*512+512], rescue.Marker(s*512)) {
			t.Errorf("sector %d holds no marker", s)
		}
		copy(target[s*512:], r.disk[s*512:s*512+512])
	}
	if !bytes.Equal(target[mib:35*mib], r.disk[mib:35*mib]) {
		t.Error("something else differs")
	}
}

// The disk is unplugged while what was stepped over is read; plugged in again,
// the rescue goes on, and now all of it can be read.
func testRescueUnplugged(t *testing.T, r *rescueLab) {
	r.onto("/dev/sdb")
	breakMedium(t, r.sectorOf("1/file37", 100), 1)
	unplugged := func(when string, args ...string) {
		t.Helper()
		began := false
		r.on = func(line string) {
			if !began && strings.Contains(line, when) {
				began = true
				unplug(t, "sdb")
			}
		}
		status, out := r.doppel(context.Background(), "", append(args, "sdb", "away", "--json")...)
		r.on = nil
		r.failed(status, out, "the disk went away", "--rescue --resume")
	}
	unplugged("step over", "save", "--rescue")
	replug(t, "sdb")
	unplugged("try bad sectors again", "save", "--rescue", "--resume")
	mendMedium(t)
	r.noImage(r.path("images"), "away")
	r.lost()
	r.expect(done, "a rescue that is not finished", "images")
	r.expect(failed, "a rescue that is not finished", "restore", "away.rescue", "target.img", "--yes")
	if log := r.tool("", "ddrescuelog", "-t", r.path("images/away.rescue/map")); !strings.Contains(log, "non-tried") {
		t.Error(log)
	}
	replug(t, "sdb")
	r.expect(refused, "was begun already", "save", "--rescue", "sdb", "away")
	r.expect(refused, "was begun in", "save", "--rescue", "--resume", "sdb", "another")
	r.expect(refused, "of another disk", "save", "--rescue", "--resume", "sda", "away")
	r.expect(done, "every sector could be read", "save", "--rescue", "--resume", "sdb", "away")
	r.expect(done, "can be restored", "verify", "away")
	r.random("target.img", 72*mib, 0, 0)
	r.expect(done, "is restored", "restore", "away", "target.img", "--yes", "--verify")
	if is := r.differing("away", &engine.Damage{}); len(is) > 0 {
		t.Errorf("different are %q", is)
	}
}

// The disk is gone: the image is made of what was read, and what was read is
// kept in case the disk comes back.
func (r *rescueLab) lost() {
	r.t.Helper()
	r.expect(failed, "save --rescue --finish", "save", "--rescue", "--resume", "sdb", "away")
	d := r.rescued("--finish", "away")
	r.hits("away", d, "1/file37")
	if d.Bytes != 512 || len(d.Volumes) != 1 || d.Volumes[0].Name != "sdb2" {
		r.t.Errorf("damage %+v", d)
	}
	r.expect(done, "DAMAGED: 512 bytes in 1 places could not be read; 1 files are damaged", "images", "show", "away")
	r.expect(done, "", "images", "rename", "away", "early")
}

// The disk with what was read is unplugged; plugged in again, the rescue goes
// on with what had reached it.
func testRescueUnpluggedPlace(t *testing.T, r *rescueLab) {
	r.onto("/dev/ubda")
	guest.Do(t, "mke2fs", "-q", "-F", "-t", "ext4", "-m0", "/dev/sda")
	const place = "/mnt/spool"
	if err := os.MkdirAll(place, 0o755); err != nil {
		t.Fatal(err)
	}
	guest.Do(t, "mount", "/dev/sda", place)
	for _, when := range []string{"step over", "save ubda2"} {
		began := false
		r.on = func(line string) {
			if !began && strings.Contains(line, when) {
				began = true
				unplug(t, "sda")
			}
		}
		args := []string{"save", "--rescue", "/dev/ubda", "far", "--images", place, "--json"}
		if when != "step over" {
			args = append(args, "--resume")
		}
		status, out := r.doppel(context.Background(), "", args...)
		r.on = nil
		r.failed(status, out, "image far is not saved yet", "mount it again; then go on with doppel save --rescue --resume --images "+place+" /dev/ubda far")
		guest.Do(t, "umount", place)
		replug(t, "sda")
		guest.Do(t, "mount", "/dev/sda", place)
		r.noImage(place, "far")
	}
	defer guest.Do(t, "umount", place)
	r.expect(done, "every sector could be read", "save", "--rescue", "--resume", "/dev/ubda", "far", "--images", place)
	r.expect(done, "can be restored", "verify", "far", "--images", place)
	r.random("target.img", 72*mib, 0, 0)
	r.expect(done, "is restored", "restore", place+"/far", "target.img", "--yes", "--verify")
	if target := r.read("target.img"); !bytes.Equal(target[mib:3*mib], r.disk[mib:3*mib]) {
		t.Error("the raw volume differs")
	}
}

const scsiDebug = "/sys/bus/pseudo/drivers/scsi_debug/"

// breakMedium makes sectors of all disks of scsi_debug unreadable.
func breakMedium(t *testing.T, sector, n int64) {
	t.Helper()
	guest.Set(t, "/sys/module/scsi_debug/parameters/medium_error_start", fmt.Sprint(sector))
	guest.Set(t, "/sys/module/scsi_debug/parameters/medium_error_count", fmt.Sprint(n))
	guest.Set(t, scsiDebug+"opts", "2")
}

func mendMedium(t *testing.T) {
	t.Helper()
	guest.Set(t, scsiDebug+"opts", "0")
}
