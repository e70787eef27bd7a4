package ownstick

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/live/place"
	"doppel.live/internal/stick"
	"doppel.live/internal/store/remote"
	"doppel.live/iso"
)

const (
	running = "6a1e6d0c-3b43-4b57-9c61-0d4f6f9c9e10" // the build that runs
	other   = "00000000-3b43-4b57-9c61-0d4f6f9c9e10"

	size = 320 << 20 // of a stick, bytes
)

// lab is a machine of files: /sys, /dev, /etc and /proc below root. It chooses
// places, too.
type lab struct {
	t    *testing.T
	root string

	used    []string     // what was to be the place
	now     *place.Place // what is the place
	chosen  place.Chosen
	refused error
}

// newLab makes a machine with one disk, sdz, which belongs to somebody.
func newLab(t *testing.T) *lab {
	l := &lab{t: t, root: t.TempDir()}
	l.write("etc/doppel/build-id", running+"\n")
	l.write("proc/self/mountinfo", "")
	l.write("proc/mounts", "")
	l.write("proc/swaps", "Filename Type Size Used Priority\n")
	l.disk("sdz", nil)
	l.at("sdz", 4096, []byte("somebody's"))
	return l
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	p := filepath.Join(l.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) dev(name string) string { return filepath.Join(l.root, "dev", name) }

// disk makes a disk with an image at its beginning, and what the kernel would
// show of its third partition once it has one.
func (l *lab) disk(name string, image []byte) {
	l.t.Helper()
	device := "sys/devices/usb1/" + name
	for _, n := range []string{"", "/" + name + "1", "/" + name + "2", "/" + name + "3"} {
		l.write(device+n+"/size", fmt.Sprintf("%d\n", size/512))
		l.write(device+n+"/ro", "0\n")
		if n != "" {
			l.write(device+n+"/partition", n[len(n)-1:]+"\n")
		}
		class := filepath.Join(l.root, "sys/class/block")
		if err := errors.Join(os.MkdirAll(class, 0o755), os.Symlink("../../devices/usb1/"+name+n, filepath.Join(class, filepath.Base(name+n)))); err != nil {
			l.t.Fatal(err)
		}
	}
	l.write("dev/"+name, string(image))
	if err := os.Truncate(l.dev(name), size); err != nil {
		l.t.Fatal(err)
	}
}

// at writes bytes to a disk.
func (l *lab) at(disk string, off int64, data []byte) {
	l.t.Helper()
	f, err := os.OpenFile(l.dev(disk), os.O_WRONLY, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, off); err != nil {
		l.t.Fatal(err)
	}
}

// part makes a file with what lies on the third partition of a stick, for
// those who look at it by its own name.
func (l *lab) part(disk string, im stick.Images) {
	l.t.Helper()
	in, err := os.Open(l.dev(disk))
	if err != nil {
		l.t.Fatal(err)
	}
	defer in.Close()
	head, err := io.ReadAll(io.NewSectionReader(in, im.Start, 4<<20))
	if err != nil {
		l.t.Fatal(err)
	}
	l.write("dev/"+disk+"3", string(head))
	if err := os.Truncate(l.dev(disk+"3"), im.Length); err != nil {
		l.t.Fatal(err)
	}
	l.write("sys/devices/usb1/"+disk+"/"+disk+"3/size", fmt.Sprintf("%d\n", im.Length/512))
}

// sums gives a sum of each disk.
func (l *lab) sums() map[string]string {
	l.t.Helper()
	out := map[string]string{}
	disks, err := filepath.Glob(l.dev("sd?"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, name := range disks {
		f, err := os.Open(name)
		if err != nil {
			l.t.Fatal(err)
		}
		h := crc32.NewIEEE()
		for _, at := range []int64{0, stick.Place, size - 1<<20} { // where a stick is written
			if _, err := io.Copy(h, io.NewSectionReader(f, at, 1<<20)); err != nil {
				l.t.Fatal(err)
			}
		}
		f.Close()
		out[filepath.Base(name)] = fmt.Sprintf("%x", h.Sum32())
	}
	return out
}

// Status implements Place.
func (l *lab) Status() (*place.Place, error) { return l.now, nil }

// Use implements Place.
func (l *lab) Use(_ context.Context, spec string, _ remote.Credentials) (place.Chosen, error) {
	l.used = append(l.used, strings.TrimPrefix(spec, l.root))
	return l.chosen, l.refused
}

func (l *lab) grow(insist bool) (Outcome, error) {
	return Grow(l.t.Context(), Options{Place: l, Disks: blockdev.System{Root: l.root}, Insist: insist})
}

// imageOf makes a small hybrid image of a build, the stick image if marked.
func imageOf(t *testing.T, build string, marked bool) []byte {
	t.Helper()
	disc := iso.New(iso.Options{VolumeID: "DOPPEL", VolumeSetID: "DOPPEL-" + build, Boot: &iso.Boot{
		Image: "boot/bios.img", MBR: bytes.Repeat([]byte{0x90}, 512), ESP: iso.Bytes(make([]byte, 1<<20)), ESPSize: 1 << 20,
	}})
	if err := disc.AddBytes("boot/bios.img", bytes.Repeat([]byte{1}, 4096)); err != nil {
		t.Fatal(err)
	}
	layout, err := disc.Layout()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := layout.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if marked {
		copy(b.Bytes()[stick.MarkerOffset:], stick.Marker())
	}
	return b.Bytes()
}

// ext4 gives the beginning of a file system of 40 MiB with a label.
func ext4(t *testing.T, label string) []byte {
	t.Helper()
	mkfs, err := exec.LookPath("/sbin/mke2fs")
	if err != nil {
		t.Skip("needs mke2fs (package e2fsprogs)")
	}
	file := filepath.Join(t.TempDir(), "fs")
	if out, err := exec.Command(mkfs, "-q", "-t", "ext4", "-O", "^has_journal", "-L", label, file, "40M").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data[:16<<20] // all that a reader of its head needs
}

// growCase is a machine and what becomes of its disks.
type growCase struct {
	disks   func(l *lab)
	insist  bool
	changed string // the disk that is another afterwards; "" none
	want    Outcome
	text    string // in the outcome's
	err     string
	used    string // what is to be the place
}

func growCases() map[string]growCase {
	mine := func(l *lab) { l.disk("sda", imageOf(l.t, running, true)) }
	return map[string]growCase{
		"first start":    {disks: mine, changed: "sda", want: Outcome{Disk: "sda", Partition: "sda3", Made: true, Changed: true, Mounted: true}, used: "/dev/sda3"},
		"no medium here": {disks: func(l *lab) {}},
		"the plain image": {disks: func(l *lab) {
			l.disk("sda", imageOf(l.t, running, false))
		}},
		"a stick of another build": {disks: func(l *lab) {
			l.disk("sda", imageOf(l.t, other, true))
		}},
		"beside one of another build": {disks: func(l *lab) {
			l.disk("sda", imageOf(l.t, other, true))
			l.disk("sdb", imageOf(l.t, running, true))
		}, changed: "sdb", want: Outcome{Disk: "sdb", Partition: "sdb3", Made: true, Changed: true, Mounted: true}, used: "/dev/sdb3"},
		"two sticks of this build": {disks: func(l *lab) {
			l.disk("sda", imageOf(l.t, running, true))
			l.disk("sdb", imageOf(l.t, running, true))
		}, want: Outcome{Disk: "sda"}, text: "several media of this build"},
		"beside a plain image of this build": {disks: func(l *lab) {
			l.disk("sda", imageOf(l.t, running, false))
			l.disk("sdb", imageOf(l.t, running, true))
		}, want: Outcome{Disk: "sdb"}, text: "several media of this build"},
		"a file system of its owner's": {disks: func(l *lab) {
			mine(l)
			l.at("sda", stick.Place, ext4(l.t, "ARCHIVE"))
		}, changed: "sda", want: Outcome{Disk: "sda", Partition: "sda3", Changed: true, Mounted: true}, used: "/dev/sda3"},
		"bytes that nobody knows": {disks: func(l *lab) {
			mine(l)
			l.at("sda", stick.Place+4096, []byte("a treasure"))
		}, want: Outcome{Disk: "sda"}, text: "not recognised"},
		"bytes that are not wanted": {disks: func(l *lab) {
			mine(l)
			l.at("sda", stick.Place+4096, []byte("a treasure"))
		}, insist: true, changed: "sda", want: Outcome{Disk: "sda", Partition: "sda3", Made: true, Changed: true, Mounted: true}, used: "/dev/sda3"},
		"swap on it": {disks: func(l *lab) {
			mine(l)
			l.write("proc/swaps", "Filename Type Size Used Priority\n"+l.dev("sda")+" file 100 0 -1\n")
		}, want: Outcome{Disk: "sda", Made: true}, err: "swap"},
		"a place is chosen": {disks: func(l *lab) {
			mine(l)
			l.now = &place.Place{Spec: "nfs://server/images"}
		}, changed: "sda", want: Outcome{Disk: "sda", Partition: "sda3", Made: true, Changed: true}},
		"not to be mounted": {disks: func(l *lab) {
			mine(l)
			l.refused = &place.Error{What: "it is broken", Next: "mend it"}
		}, changed: "sda", want: Outcome{Disk: "sda", Partition: "sda3", Made: true, Changed: true, Next: "mend it"}, text: "it is broken", used: "/dev/sda3"},
		"protected": {disks: func(l *lab) {
			mine(l)
			l.chosen = place.Chosen{ReadOnly: true, Advice: "take the protection off"}
		}, changed: "sda", want: Outcome{Disk: "sda", Partition: "sda3", Made: true, Changed: true, Mounted: true}, text: "protection", used: "/dev/sda3"},
		"a kernel that does not look again": {disks: func(l *lab) {
			mine(l)
			os.Remove(filepath.Join(l.root, "sys/devices/usb1/sda/sda3/partition"))
		}, changed: "sda", want: Outcome{Disk: "sda", Made: true, Changed: true}, text: "does not see"},
	}
}

func TestGrow(t *testing.T) {
	for name, tt := range growCases() {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			tt.disks(l)
			before := l.sums()
			got, err := l.grow(tt.insist)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("%+v, %v", got, err)
			}
			for disk, sum := range l.sums() {
				if (sum != before[disk]) != (disk == tt.changed) {
					t.Errorf("%s: changed is %v", disk, sum != before[disk])
				}
			}
			if tt.text == "" && got.Text != "" || !strings.Contains(got.Text, tt.text) {
				t.Errorf("it says %q, %q", got.Text, got.Next)
			}
			if used := strings.Join(l.used, " "); used != tt.used {
				t.Errorf("the place is %q, want %q", used, tt.used)
			}
			got.Disk, got.Partition = strings.TrimPrefix(got.Disk, l.dev("")+"/"), strings.TrimPrefix(got.Partition, l.dev("")+"/")
			got.Images, got.Text = stick.Images{}, ""
			if tt.want.Next == "" {
				got.Next = ""
			}
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// At its second start a stick is used as it is, whoever made its file system,
// and what is kept of jobs goes there, whatever it is called.
func TestSecondStart(t *testing.T) {
	for label, fs := range map[string]string{"": "exfat", "ARCHIVE": "ext4"} {
		l := newLab(t)
		l.disk("sda", imageOf(t, running, true))
		if label != "" {
			l.at("sda", stick.Place, ext4(t, label))
		}
		if _, err := l.grow(false); err != nil {
			t.Fatal(err)
		}
		before := l.sums()
		got, err := l.grow(false)
		if err != nil || got.Made || got.Changed || !got.Mounted || got.Images.FileSystem != fs || got.Images.Start != stick.Place {
			t.Fatalf("%s: %+v, %v", fs, got, err)
		}
		if after := l.sums(); after["sda"] != before["sda"] {
			t.Errorf("%s: the second start changed the stick", fs)
		}
		l.part("sda", got.Images)
		if folder, err := l.kept(); err != nil || folder != "/images" {
			t.Errorf("%s: logs go to %q, %v", fs, folder, err)
		}

		l.write("run/doppel/toram", "")
		if folder, err := l.kept(); err != nil || folder != "" {
			t.Errorf("%s: a stick that may be taken out is written to: %q, %v", fs, folder, err)
		}
		os.Remove(filepath.Join(l.root, "run/doppel/toram"))
		l.disk("sdb", imageOf(t, running, true))
		if folder, err := l.kept(); err != nil || folder != "/images" {
			t.Errorf("%s: beside one without a partition for images: %q, %v", fs, folder, err)
		}
		if out, err := exec.Command("cp", "--sparse=always", l.dev("sda"), l.dev("sdb")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		l.part("sdb", got.Images)
		if folder, err := l.kept(); err == nil || !strings.Contains(err.Error(), "several media") || folder != "" {
			t.Errorf("%s: beside its twin: %q, %v", fs, folder, err)
		}
	}
}

// kept gives the folder in which logs are kept on the stick, "" where there is
// none.
func (l *lab) kept() (folder string, err error) {
	l.write("proc/self/mountinfo", "36 35 8:3 / /images rw,noatime shared:1 - exfat "+l.dev("sda3")+" rw\n")
	err = place.System{Root: l.root}.Stick(func(root string) error { folder = root; return nil })
	return folder, err
}
