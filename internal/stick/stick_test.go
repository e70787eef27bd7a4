package stick

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/partition"
	"doppel.live/internal/progress"
	"doppel.live/iso"
)

// makeImage makes a small hybrid image of a build, with a file of so many bytes.
func makeImage(t *testing.T, build string, payload int, marked bool) []byte {
	t.Helper()
	disc := iso.New(iso.Options{VolumeID: "DOPPEL", VolumeSetID: "DOPPEL-" + build, Boot: &iso.Boot{
		Image: "boot/bios.img", MBR: bytes.Repeat([]byte{0x90}, 512), ESP: iso.Bytes(make([]byte, mib)), ESPSize: mib,
	}})
	content := make([]byte, payload)
	rand.Read(content)
	for name, data := range map[string][]byte{"boot/bios.img": bytes.Repeat([]byte{1}, 4096), "payload": content} {
		if err := disc.AddBytes(name, data); err != nil {
			t.Fatal(err)
		}
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
		copy(b.Bytes()[MarkerOffset:], Marker())
	}
	return b.Bytes()
}

// disk is a sparse file as a device.
type disk struct {
	*os.File
	size int64
	left int // writes until the power goes off; 0: it stays on
}

func (d *disk) DropCache() error { return nil }

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	if d.left > 0 {
		if d.left--; d.left == 0 {
			d.left = -1
		}
	}
	if d.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return d.File.WriteAt(p, off)
}

func newDisk(t *testing.T, size int64) *disk {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "stick.img"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return &disk{File: f, size: size}
}

// dd writes an image over the beginning, as a person does.
func (d *disk) dd(t *testing.T, image []byte) {
	t.Helper()
	if _, err := d.File.WriteAt(image, 0); err != nil {
		t.Fatal(err)
	}
}

func (d *disk) look(t *testing.T) *Survey {
	t.Helper()
	s, err := Look(d, d.size)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// boot does what the live system does, and wants it to work.
func (d *disk) boot(t *testing.T, want Do) *Survey {
	t.Helper()
	s := d.look(t)
	if s.Do != want || s.Doubt != "" {
		t.Fatalf("to be done is %d, want %d; %s", s.Do, want, s.Doubt)
	}
	if err := Grow(d, s, rand.Reader); err != nil {
		t.Fatal(err)
	}
	now := d.look(t)
	if now.Do != Use || now.Images != s.Images {
		t.Fatalf("afterwards %d with %+v, it was to be %+v; %s", now.Do, now.Images, s.Images, now.Doubt)
	}
	return now
}

// sound lets sgdisk and fsck.exfat judge a grown stick, and compares what lies
// between the tables with the image.
func (d *disk) sound(t *testing.T, im Images, image []byte) {
	t.Helper()
	if out := fstest.Run(t, "sgdisk", "-v", d.Name()); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
	if im.FileSystem == "exfat" {
		part := d.part(t, im)
		if out := fstest.Run(t, "fsck.exfat", "-n", part); !strings.Contains(out, "clean") {
			t.Errorf("fsck.exfat: %s", out)
		}
	}
	now := make([]byte, len(image))
	if _, err := d.ReadAt(now, 0); err != nil {
		t.Fatal(err)
	}
	end := len(image) - mib // the backup GPT of the image may be there or not
	if !bytes.Equal(now[systemArea:end], image[systemArea:end]) || !bytes.Equal(now[:440], image[:440]) {
		t.Error("the image on the stick is not what was written")
	}
}

// part copies the beginning of a partition, where an exFAT has its metadata,
// into a file of its own.
func (d *disk) part(t *testing.T, im Images) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "part.img")
	head := make([]byte, 16*mib)
	if _, err := d.ReadAt(head, im.Start); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, head, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, im.Length); err != nil {
		t.Fatal(err)
	}
	return path
}

// user writes bytes of a file somewhere in the images partition.
func (d *disk) user(t *testing.T, im Images) (check func()) {
	t.Helper()
	at, data := im.Start+im.Length/2, bytes.Repeat([]byte("the user's image "), 4096)
	if _, err := d.File.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 4*mib)
	if _, err := d.ReadAt(head, im.Start); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		now := make([]byte, len(data))
		d.ReadAt(now, at)
		headNow := make([]byte, len(head))
		d.ReadAt(headNow, im.Start)
		if !bytes.Equal(now, data) || !bytes.Equal(headNow, head) {
			t.Error("the images partition was changed")
		}
	}
}

// ends gives what anything would be written to: tables, place, end.
func (d *disk) ends(t *testing.T) []byte {
	t.Helper()
	var all []byte
	for _, off := range []int64{0, Place, d.size - 8*mib} {
		b, err := read(d, off, 8*mib)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

var identifier = regexp.MustCompile(`(?i)Disk identifier \(GUID\): (\S+)`)

// guids gives the identifier of the disk, of its partitions and of its MBR.
func (d *disk) guids(t *testing.T) []string {
	t.Helper()
	list := []string{identifier.FindStringSubmatch(fstest.Run(t, "sgdisk", "-p", d.Name()))[1]}
	for n := 1; n <= 3; n++ {
		list = append(list, regexp.MustCompile(`unique GUID: (\S+)`).FindStringSubmatch(fstest.Run(t, "sgdisk", "-i", fmt.Sprint(n), d.Name()))[1])
	}
	mbr := make([]byte, sector)
	d.ReadAt(mbr, 0)
	return append(list, hex.EncodeToString(mbr[440:444]))
}

const gib = 1 << 30

// A stick is given its partition at the first start, nothing is done at the
// second, and images of other sizes, written over it, find the partition again.
func TestLife(t *testing.T) {
	first := makeImage(t, "one", 6*mib, true)
	d := newDisk(t, 2*gib+12345*sector)
	d.dd(t, first)
	s := d.boot(t, Make)
	d.sound(t, s.Images, first)
	if s.Images.Start != Place || s.Images.Length != 2*gib+6*mib-Place || s.Images.Label != Label {
		t.Errorf("%+v", s.Images)
	}
	kept := d.user(t, s.Images)
	d.boot(t, Use)
	before := d.guids(t)
	for _, size := range []int{2 * mib, 6 * mib, 80 * mib} {
		image := makeImage(t, fmt.Sprint("of ", size), size, true)
		d.dd(t, image)
		s = d.boot(t, Adopt)
		d.sound(t, s.Images, image)
		kept()
		now := d.guids(t)
		if now[0] == before[0] || now[1] == before[1] || now[4] == before[4] || now[3] != before[3] {
			t.Errorf("identifiers before %v, now %v", before, now)
		}
		before = now
	}
}

// Two sticks of one image have nothing of their tables in common.
func TestTwoSticks(t *testing.T) {
	image := makeImage(t, "one", mib, true)
	var seen []string
	for range 2 {
		d := newDisk(t, gib)
		d.dd(t, image)
		d.boot(t, Make)
		seen = append(seen, d.guids(t)...)
	}
	for i, id := range seen {
		for _, other := range seen[:i] {
			if id == other {
				t.Errorf("%s is there twice: %v", id, seen)
			}
		}
	}
}

// The plain image is never changed, whatever lies behind it.
func TestPlain(t *testing.T) {
	plainImage := makeImage(t, "one", mib, false)
	d := newDisk(t, gib)
	d.dd(t, plainImage)
	if s := d.look(t); s.Stick || Grow(d, s, rand.Reader) == nil {
		t.Errorf("the plain image is grown: %+v", s)
	}
	if Marked(d) == nil {
		t.Error("the plain image has a marker")
	}
	// ... and so is the plain image over a stick that had its partition
	d.dd(t, makeImage(t, "two", mib, true))
	d.boot(t, Make)
	d.dd(t, plainImage)
	if s := d.look(t); s.Stick || Grow(d, s, rand.Reader) == nil {
		t.Errorf("the plain image over a stick is grown: %+v", s)
	}
}

// What lies where the partition belongs is adopted or left alone, and never
// written to.
func TestFound(t *testing.T) {
	image := makeImage(t, "one", 3*mib, true)
	at := func(off int64, make ...string) func(*testing.T, *disk) {
		return func(t *testing.T, d *disk) {
			path := filepath.Join(t.TempDir(), "fs.img")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, room(d.size)-off); err != nil {
				t.Fatal(err)
			}
			fstest.Run(t, append(make, path)...)
			fstest.Run(t, "dd", "if="+path, "of="+d.Name(), "bs=1M", "conv=notrunc,sparse", "status=none", fmt.Sprintf("seek=%d", off/mib))
		}
	}
	bytesAt := func(off int64, text string) func(*testing.T, *disk) {
		return func(t *testing.T, d *disk) {
			if _, err := d.File.WriteAt([]byte(text), off); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		put   func(*testing.T, *disk)
		do    Do
		start int64
		doubt string
	}{
		{"nothing", func(*testing.T, *disk) {}, Make, Place, ""},
		{"erased flash", bytesAt(Place, strings.Repeat("\xFF", mib)), Make, Place, ""},
		{"ext4", at(Place, "mke2fs", "-q", "-t", "ext4"), Adopt, Place, ""},
		{"NTFS", at(Place, "mkntfs", "-q", "-F", "-Q", "-s", "512", "-p", "0", "-H", "255", "-S", "63"), Adopt, Place, ""},
		{"FAT32", at(Place, "mkfs.vfat", "-F", "32"), Adopt, Place, ""},
		{"exFAT", at(Place, "mkfs.exfat"), Adopt, Place, ""},
		{"exFAT of an image that put it nearer", at(64*mib, "mkfs.exfat"), Adopt, 64 * mib, ""},
		{"exFAT of an image that put it farther", at(512*mib, "mkfs.exfat"), Adopt, 512 * mib, ""},
		{"swap", at(Place, "mkswap"), Nothing, 0, "there is swap where"},
		{"unknown bytes", bytesAt(Place+100, "private"), Nothing, 0, "not recognised"},
		{"unknown bytes farther on", bytesAt(Place+9*mib, "private"), Nothing, 0, "not recognised"},
		{"boot sector of an exFAT that is too large", bytesAt(Place+3, "EXFAT   "), Nothing, 0, "not recognised|exfat"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(t, 700*mib)
			tt.put(t, d)
			d.dd(t, image)
			if tt.do != Nothing {
				s := d.boot(t, tt.do)
				d.sound(t, s.Images, image)
				if s.Images.Start != tt.start {
					t.Errorf("the partition begins at %d", s.Images.Start)
				}
				return
			}
			before := d.ends(t)
			s := d.look(t)
			if s.Do != Nothing || !regexp.MustCompile(tt.doubt).MatchString(s.Doubt) || s.Next == "" || Grow(d, s, rand.Reader) == nil {
				t.Errorf("%d, %q, %q", s.Do, s.Doubt, s.Next)
			}
			if !bytes.Equal(d.ends(t), before) {
				t.Error("the disk was changed")
			}
			if s.Insist(); (s.Do == Make) != (tt.name != "swap") {
				t.Errorf("insisted: %+v", s)
			}
		})
	}
}

// Partitions behind the image that are only in the backup table of a disk stay,
// whatever they hold; nothing is made beside them.
func TestFormerTable(t *testing.T) {
	image := makeImage(t, "one", 3*mib, true)
	for _, tt := range []struct {
		name, mkfs string
		do         Do
	}{{"documents", "mkfs.exfat", Adopt}, {"swap", "mkswap", Nothing}} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDisk(t, gib)
			fstest.Run(t, "sgdisk", "-n", "1:2048:+50M", "-n", "4:600M:900M", "-c", "4:documents", d.Name())
			part := filepath.Join(t.TempDir(), "fs.img")
			if err := os.WriteFile(part, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(part, 200*mib); err != nil {
				t.Fatal(err)
			}
			fstest.Run(t, tt.mkfs, part)
			fstest.Run(t, "dd", "if="+part, "of="+d.Name(), "bs=1M", "conv=notrunc,sparse", "status=none", "seek=600")
			d.dd(t, image)
			if tt.do == Nothing {
				if s := d.look(t); s.Do != Nothing || !strings.Contains(s.Doubt, "partition 4 holds swap") {
					t.Errorf("%+v", s)
				}
				return
			}
			s := d.boot(t, Adopt)
			if s.Images.Number != 4 || s.Images.Start != 600*mib {
				t.Errorf("%+v", s.Images)
			}
			d.sound(t, s.Images, image)
		})
	}
}

// The power goes off at any write: the next start goes on and ends with a
// stick as it should be.
func TestPowerCut(t *testing.T) {
	image := makeImage(t, "one", mib, true)
	for n := 1; ; n++ {
		d := newDisk(t, gib)
		d.dd(t, image)
		d.left = n
		err := Grow(d, d.look(t), rand.Reader)
		if d.left > 0 {
			if err != nil || n < 12 {
				t.Errorf("%d writes, %v", n, err)
			}
			return
		}
		d.left = 0
		s := d.look(t)
		if err := Grow(d, s, rand.Reader); err != nil {
			t.Fatalf("after %d writes: %v: %+v", n-1, err, s)
		}
		now := d.look(t)
		if now.Do != Use || now.Images.Start != Place {
			t.Fatalf("after %d writes: %+v", n-1, now)
		}
		d.sound(t, now.Images, image)
	}
}

// A partition that its owner removed is not made again, and a copy of the
// table that was damaged is mended.
func TestGrown(t *testing.T) {
	image := makeImage(t, "one", mib, true)
	t.Run("removed", func(t *testing.T) {
		d := newDisk(t, gib)
		d.dd(t, image)
		d.boot(t, Make)
		fstest.Run(t, "sgdisk", "-d", "3", d.Name())
		s := d.look(t)
		if s.Do == Use || !strings.Contains(s.Doubt, "removed") || Grow(d, s, rand.Reader) == nil {
			t.Errorf("%+v", s)
		}
		s.Insist()
		if err := Grow(d, s, rand.Reader); err != nil || s.Do != Adopt {
			t.Errorf("%+v: %v", s, err)
		}
		d.boot(t, Use)
	})
	for name, off := range map[string]int64{"first copy": sector, "backup": gib - sector} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t, gib)
			d.dd(t, image)
			s := d.boot(t, Make)
			if _, err := d.WriteAt(make([]byte, sector), off); err != nil {
				t.Fatal(err)
			}
			d.boot(t, Repair)
			d.sound(t, s.Images, image)
		})
	}
}

func TestTooSmall(t *testing.T) {
	image := makeImage(t, "one", mib, true)
	for _, size := range []int64{int64(len(image)), 128 * mib, Place + least} {
		d := newDisk(t, size)
		d.dd(t, image)
		if s := d.look(t); s.Do != Nothing || !strings.Contains(s.Doubt, "too small") {
			t.Errorf("%d: %+v", size, s)
		}
	}
}

// A whole stick is written from either image, from a grown stick too; what is
// behind the image of a former stick is kept unless a fresh one is asked for.
func TestWrite(t *testing.T) {
	image := makeImage(t, "two", 5*mib, false)
	src, err := NewSource(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, src *Source, d *disk, fresh bool) (*Survey, error) {
		s, err := src.For(d, d.size, fresh)
		if err != nil {
			t.Fatal(err)
		}
		m := &progress.Meter{}
		err = src.Write(t.Context(), d, s, rand.Reader, m)
		if err == nil && m.Done() != src.Total(s) {
			t.Errorf("%d bytes done of %d", m.Done(), src.Total(s))
		}
		return s, err
	}
	d := newDisk(t, gib)
	if _, err := d.WriteAt(bytes.Repeat([]byte("old data "), 1<<20), Place-mib); err != nil {
		t.Fatal(err)
	}
	s, err := write(t, src, d, false)
	if err != nil || s.Do != Make {
		t.Fatalf("%+v: %v", s, err)
	}
	d.sound(t, s.Images, image)
	d.boot(t, Use)
	kept := d.user(t, s.Images)

	t.Run("again", func(t *testing.T) {
		if s, err = write(t, src, d, false); err != nil || s.Do != Use {
			t.Fatalf("%+v: %v", s, err)
		}
		d.sound(t, s.Images, image)
		kept()
	})
	t.Run("interrupted", func(t *testing.T) {
		for _, n := range []int{2, 3, 5, 9} { // one write less is done
			d.left = n
			if _, err := write(t, src, d, false); err == nil {
				t.Fatal("it was not interrupted")
			}
			d.left = 0
			if now, err := partition.Read(d, d.size, sector); err != nil || now.Scheme == partition.GPT && len(now.Partitions) > 0 && n < 9 {
				t.Errorf("interrupted after %d writes it has a table", n)
			}
			if s, err = write(t, src, d, false); err != nil {
				t.Fatalf("after %d writes: %+v: %v", n, s, err)
			}
			d.sound(t, s.Images, image)
			kept()
		}
	})
	t.Run("from a stick", func(t *testing.T) {
		from, err := NewSource(d, d.size)
		if err != nil {
			t.Fatal(err)
		}
		other := newDisk(t, gib)
		s, err := write(t, from, other, false)
		if err != nil {
			t.Fatal(err)
		}
		other.sound(t, s.Images, image)
	})
	t.Run("fresh", func(t *testing.T) {
		if s, err = write(t, src, d, true); err != nil || s.Do != Make {
			t.Fatalf("%+v: %v", s, err)
		}
		d.sound(t, s.Images, image)
	})
	t.Run("failing", func(t *testing.T) {
		if _, err := d.WriteAt([]byte("old"), 3*mib+systemArea); err != nil {
			t.Fatal(err)
		}
		s, _ := src.For(d, d.size, false)
		err := src.Write(t.Context(), lying{d}, s, rand.Reader, &progress.Meter{})
		if err == nil || !strings.Contains(err.Error(), "differs") {
			t.Errorf("%v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s, _ := src.For(d, d.size, false)
		if err := src.Write(ctx, d, s, rand.Reader, &progress.Meter{}); err == nil {
			t.Error("it was written")
		}
	})
	if _, err := NewSource(bytes.NewReader(make([]byte, 4*mib)), 4*mib); err == nil {
		t.Error("zeroes are an image")
	}
}

// lying is a stick that forgets what it was told to keep.
type lying struct{ *disk }

func (l lying) WriteAt(p []byte, off int64) (int, error) {
	if off == 3*mib+systemArea {
		return len(p), nil
	}
	return l.disk.WriteAt(p, off)
}

// FORMAT.md shows the marker as it is.
func TestMarker(t *testing.T) {
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^    ([0-9a-f]{4})  ((?:[0-9a-f]{2} )+)`).FindAllStringSubmatch(string(text), -1) {
		var at int
		fmt.Sscanf(line[1], "%x", &at)
		want, _ := hex.DecodeString(strings.ReplaceAll(line[2], " ", ""))
		if got := Marker()[at : at+len(want)]; !bytes.Equal(got, want) {
			t.Errorf("at %#x is % x, FORMAT.md says % x", at, got, want)
		}
	}
}

// FuzzLook holds that no disk makes Look fail in another way than by an error.
func FuzzLook(f *testing.F) {
	f.Add([]byte{}, uint32(0))
	f.Add(marker{making, Place, mib}.encode(), uint32(MarkerOffset))
	f.Add([]byte("EXFAT   "), uint32(Place+3))
	f.Fuzz(func(t *testing.T, p []byte, at uint32) {
		base := fuzzImage(t)
		r := overlay{base, p, int64(at)}
		s, err := Look(r, 320*mib)
		if err == nil && s.Doubt == "" && s.Do != Nothing && (s.Images.Start < s.end || s.Images.Start+s.Images.Length > lastUsable(s.size)) {
			t.Errorf("%+v", s)
		}
	})
}

func fuzzImage(t *testing.T) []byte {
	b := make([]byte, systemArea+4096)
	copy(b, protective())
	copy(b[systemArea:], "\x01CD001")
	copy(b[systemArea+190:], "DOPPEL-x")
	le.PutUint32(b[systemArea+80:], 2*mib/2048)
	tab := table{320 * mib, basicData, []partition.Partition{
		{Number: 1, Start: systemArea, Size: mib, Type: basicData, UUID: basicData},
		{Number: 2, Start: systemArea + mib, Size: mib / 2, Type: basicData, UUID: basicData},
	}}
	primary, _, err := tab.encode()
	if err != nil {
		t.Fatal(err)
	}
	copy(b[sector:], primary)
	copy(b[MarkerOffset:], Marker())
	return b
}

// overlay is a disk of zeroes with a beginning and something else somewhere.
type overlay struct {
	base, more []byte
	at         int64
}

func (o overlay) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(o.base)) {
		copy(p, o.base[off:])
	}
	for i, c := range o.more {
		if k := o.at + int64(i) - off; k >= 0 && k < int64(len(p)) {
			p[k] = c
		}
	}
	return len(p), nil
}
