package blockdev

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/extent"
)

// fakeSystem makes a tree in the place of /sys, /proc, /dev and /etc. A value
// that begins with "→" makes a symbolic link.
func fakeSystem(t testing.TB, files map[string]string) System {
	t.Helper()
	root := t.TempDir()
	files["proc/self/mountinfo"] += ""
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "→"); ok {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return System{Root: root}
}

// machine is a computer with these disks:
//
//	sda   SATA    sda1 ext4 mounted at /images, sda2 swap
//	sdb   SCSI    sdb1 member of md0, which is mounted at /srv
//	sdc   USB     sdc1 LVM, of which vg-root is mounted at /
//	sdd   SATA    btrfs of two devices, mounted by its other one; sdd1
//	nvme0n1       empty
//	loop0         over a file on sda1
func machine(t testing.TB) System {
	f := map[string]string{
		"proc/self/mountinfo": "21 1 0:20 / /proc rw - proc proc rw\n" +
			"22 1 254:0 / / rw - ext4 /dev/mapper/vg-root rw,errors=remount-ro\n" +
			"23 22 8:1 / /images ro - ext4 /dev/sda1 rw\n" +
			"24 22 9:0 / /srv\\040data rw - ext4 /dev/md0 ro\n" +
			"25 22 0:40 /@ /pool rw - btrfs /dev/sde1 rw\n",
		"proc/swaps":          "Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 100 0 -2\n/swap.img file 100 0 -3\n",
		"sys/dev/block/254:0": "→../../devices/virtual/block/dm-0",
		"sys/dev/block/8:1":   "→../../devices/pci/ata1/block/sda/sda1",
		"sys/dev/block/9:0":   "→../../devices/virtual/block/md0",

		"sys/fs/btrfs/1234/devices/sdd1": "", "sys/fs/btrfs/1234/devices/sde1": "",
	}
	disk := func(dir, name string, parts ...string) {
		dir = "sys/devices/" + dir + "/block/" + name
		f["sys/class/block/"+name] = "→../../../" + dir
		f[dir+"/size"], f[dir+"/ro"], f[dir+"/removable"] = "2048\n", "0\n", "0\n"
		f[dir+"/queue/logical_block_size"], f[dir+"/queue/physical_block_size"] = "512\n", "4096\n"
		f["dev/"+name] = strings.Repeat("\x00", 40<<10)
		for i, p := range parts {
			f[dir+"/"+p+"/partition"] = string(rune('1'+i)) + "\n"
			f[dir+"/"+p+"/size"] = "1024\n"
			f["sys/class/block/"+p] = "→../../../" + dir + "/" + p
			f["dev/"+p] = ""
		}
	}
	disk("pci/ata1", "sda", "sda1", "sda2")
	disk("pci/host2", "sdb", "sdb1")
	disk("pci/usb1/1-1/host3", "sdc", "sdc1")
	disk("pci/ata2", "sdd", "sdd1")
	disk("pci/nvme", "nvme0n1")
	disk("virtual", "loop0")
	disk("virtual", "dm-0")
	disk("virtual", "md0")
	dev := "sys/devices/"
	f[dev+"pci/ata1/block/sda/device/model"] = "Samsung SSD 870 \n"
	f[dev+"pci/ata1/block/sda/device/vpd_pg80"] = "\x00\x80\x00\x08  S3Z9AB"
	f[dev+"pci/ata1/block/sda/device/wwid"] = "naa.5002538f00000001\n"
	f[dev+"pci/usb1/1-1/idVendor"], f[dev+"pci/usb1/1-1/serial"] = "0781\n", "USB77\n"
	f[dev+"pci/usb1/1-1/host3/block/sdc/device/vendor"] = "SanDisk\n"
	f[dev+"pci/usb1/1-1/host3/block/sdc/device/model"] = "Ultra\n"
	f[dev+"pci/nvme/block/nvme0n1/device/serial"] = "NV\x1b[31mME1\n"
	f[dev+"pci/host2/block/sdb/sdb1/holders/md0"] = ""
	f[dev+"pci/usb1/1-1/host3/block/sdc/sdc1/holders/dm-0"] = ""
	f[dev+"virtual/block/dm-0/dm/name"], f[dev+"virtual/block/dm-0/dm/uuid"] = "vg-root\n", "LVM-abc\n"
	f[dev+"virtual/block/dm-0/slaves/sdc1"] = ""
	f[dev+"virtual/block/loop0/loop/backing_file"] = "/images/disk.img\n"
	return fakeSystem(t, f)
}

func TestListNamesDisksAndTheirUsers(t *testing.T) {
	disks, err := machine(t).List()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		model, serial, wwn, transport string
		inUse                         []string
	}{
		"sda":     {"Samsung SSD 870", "S3Z9AB", "naa.5002538f00000001", "sata", []string{"sda1 is mounted at /images", "sda2 is in use as swap"}},
		"sdb":     {"", "", "", "scsi", []string{"sdb1 is in use by the array md0", "sdb1 is mounted at /srv data through md0, read-only"}},
		"sdc":     {"SanDisk Ultra", "USB77", "", "usb", []string{"sdc1 is in use by LVM (vg-root)", "sdc1 is mounted at / through vg-root"}},
		"sdd":     {"", "", "", "sata", []string{"sdd1 is in use by a btrfs file system of several devices"}},
		"nvme0n1": {"", "NV [31mME1", "", "nvme", []string{}},
		"loop0":   {"loop device of disk.img", "", "", "loop", []string{}},
	}
	var names []string
	for _, d := range disks {
		names = append(names, d.Name)
		w := want[d.Name]
		if d.Model != w.model || d.Serial != w.serial || d.WWN != w.wwn || d.Transport != w.transport {
			t.Errorf("%s is %q %q %q %q, want %+v", d.Name, d.Model, d.Serial, d.WWN, d.Transport, w)
		}
		if !slices.Equal(d.InUse, w.inUse) {
			t.Errorf("%s in use: %q, want %q", d.Name, d.InUse, w.inUse)
		}
		if d.Size != 1<<20 || d.SectorSize != 512 || d.PhysicalSectorSize != 4096 {
			t.Errorf("%s has %d bytes, sectors %d and %d", d.Name, d.Size, d.SectorSize, d.PhysicalSectorSize)
		}
	}
	if got := strings.Join(names, " "); got != "loop0 nvme0n1 sda sdb sdc sdd" {
		t.Errorf("disks: %s", got)
	}
}

func TestRefuseWhatIsInUse(t *testing.T) {
	s := machine(t)
	for name, want := range map[string]string{
		"sda": "umount /images", "sda2": "swapoff", "sdb": `umount "/srv data"; mdadm --stop /dev/md0`, "sdc1": "umount /; vgchange -an vg", "sdd": "stop",
	} {
		users, err := s.users()
		if err != nil {
			t.Fatal(err)
		}
		var r *Refusal
		if err := s.refuse(s.disk(name, users), Options{System: s}); !errors.As(err, &r) {
			t.Errorf("%s: not refused: %v", name, err)
		} else if !strings.Contains(r.Next, want) {
			t.Errorf("%s: next %q, want %q", name, r.Next, want)
		}
	}
	users, _ := s.users()
	if err := s.refuse(s.disk("nvme0n1", users), Options{System: s}); err != nil {
		t.Errorf("an idle disk is refused: %v", err)
	}
	if err := s.refuse(s.disk("nvme0n1", users), Options{System: s, NeedSize: 1<<20 + 1}); err == nil || !strings.Contains(err.Error(), "1048577") {
		t.Errorf("too small a disk: %v", err)
	}
}

func TestVolumeGroupOfName(t *testing.T) {
	for name, want := range map[string]string{"vg-root": "vg", "my--lab-a--b": "my-lab", "vg": "vg"} {
		if got := groupOf(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestBehindFollowsFilesDownToDisks(t *testing.T) {
	s := machine(t)
	all, err := s.mountTable()
	if err != nil || len(all) != 5 {
		t.Fatal(all, err)
	}
	if got := s.below("dm-0", 0); !slices.Equal(got, []string{"dm-0", "sdc1", "sdc"}) {
		t.Errorf("below dm-0: %v", got)
	}
}

func TestBootMediumIsKnownByItsBuild(t *testing.T) {
	s := machine(t)
	const id = "0f0e0d0c-1111-2222-3333-444455556666"
	if err := os.MkdirAll(s.path("etc/doppel"), 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(s.path("etc/doppel/build-id"), []byte(id+"\n"), 0o644)
	medium := make([]byte, 40<<10)
	copy(medium[32768:], "\x01CD001\x01")
	copy(medium[32768+190:], "DOPPEL-"+strings.ToUpper(id)+strings.Repeat(" ", 128-43))
	os.WriteFile(s.path("dev/sdd"), medium, 0o644)
	disks, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range disks {
		if d.BootMedium != (d.Name == "sdd") {
			t.Errorf("%s: boot medium %v", d.Name, d.BootMedium)
		}
	}
}

func TestLookup(t *testing.T) {
	s := machine(t)
	for spec, want := range map[string]string{
		"serial:s3z9ab": "dev/sda", "wwn:0x5002538f00000001": "dev/sda", "sdb1": "dev/sdb1", "serial:USB77": "dev/sdc",
	} {
		if got, err := s.Lookup(spec); err != nil || got != s.path(want) {
			t.Errorf("%s: %s, %v", spec, got, err)
		}
	}
	for _, spec := range []string{"serial:none", "sdz", "/no/such/file", "wwn:"} {
		if got, err := s.Lookup(spec); err == nil {
			t.Errorf("%s: %s", spec, got)
		}
	}
	os.WriteFile(s.path("sys/devices/pci/nvme/block/nvme0n1/device/serial"), []byte("USB77"), 0o644)
	if _, err := s.Lookup("serial:USB77"); err == nil || !strings.Contains(err.Error(), "sdc") || !strings.Contains(err.Error(), "nvme0n1") {
		t.Errorf("ambiguous serial number: %v", err)
	}
}

func TestNamesSortAsPeopleCount(t *testing.T) {
	names := []string{"sdaa", "nvme10n1", "sdb", "nvme2n1", "vda", "sda"}
	slices.SortFunc(names, compareNames)
	if got := strings.Join(names, " "); got != "nvme2n1 nvme10n1 sda sdb sdaa vda" {
		t.Error(got)
	}
}

func TestHealthAnswers(t *testing.T) {
	log := make([]byte, 512)
	log[3], log[4], log[5] = 100, 10, 3
	if h := parseNVMeHealth(log); h.State != "good" {
		t.Error(h)
	}
	log[3] = 5
	if h := parseNVMeHealth(log); h.State != "failing" {
		t.Error("little spare:", h)
	}
	log[3], log[0] = 100, 4
	if h := parseNVMeHealth(log); h.State != "failing" {
		t.Error("warning:", h)
	}
	if h, ok := parseSmartctl([]byte(`{"smart_status":{"passed":false}}`)); !ok || h.State != "failing" {
		t.Error(h, ok)
	}
	if _, ok := parseSmartctl([]byte(`{"smartctl":{}}`)); ok {
		t.Error("no status is no answer")
	}
	if h := AskHealth(context.Background(), Disk{Transport: "file"}); h.State != "unknown" {
		t.Error(h)
	}
}

func FuzzSerialPage(f *testing.F) {
	f.Add([]byte("\x00\x80\x00\x04ABCD"))
	f.Add([]byte("\x00\x80\xff\xffAB"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := parseSerialPage(b); len(s) > 3*len(b) || strings.ContainsAny(s, "\x1b\n") {
			t.Errorf("%q", s)
		}
	})
}

func FuzzMountTable(f *testing.F) {
	f.Add("23 22 8:1 / /images\\040x ro - ext4 /dev/sda1 rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := fakeSystem(t, map[string]string{"proc/self/mountinfo": text, "proc/swaps": text})
		if _, err := s.users(); err != nil {
			t.Error(err)
		}
	})
}

// loopDevice shows a file of size bytes as a loop device.
func loopDevice(t *testing.T, size int64) (device, file string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	file = filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Skip("needs loop devices: ", err)
	}
	device = strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", device).Run() })
	return device, file
}

func TestSourceIsLockedWhileOpen(t *testing.T) {
	device, _ := loopDevice(t, 8<<20)
	src, err := OpenSource(device)
	if err != nil {
		t.Fatal(err)
	}
	if ro, _ := readOnly(src.file); !ro {
		t.Error("the source can be written to while it is saved")
	}
	if src.Size() != 8<<20 || src.SectorSize() != 512 {
		t.Error(src.Size(), src.SectorSize())
	}
	if err := src.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if ro, _ := readOnly(f); ro {
		t.Error("the source stays read-only after the save")
	}
}

// One read into memory that lies otherwise does not keep the rest from going
// past the page cache.
func TestReadsStayDirect(t *testing.T) {
	device, _ := loopDevice(t, 8<<20)
	src, err := OpenSource(device)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.direct == nil {
		t.Fatal("nothing goes past the page cache")
	}
	buffer := make([]byte, 1<<20+directUnit)
	for shift := range 3 {
		if n, err := src.ReadAt(buffer[shift:shift+1<<20], 0); n != 1<<20 || err != nil {
			t.Fatal(n, err)
		}
	}
	if src.refused.Load() {
		t.Error("all later reads go through the page cache")
	}
}

// protected says whether the kernel lets anybody write to the device.
func protected(t *testing.T, device string) bool {
	t.Helper()
	f, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ro, err := readOnly(f)
	if err != nil {
		t.Fatal(err)
	}
	return ro
}

// The last of several saves takes the protection off, and nobody one that was
// there before.
func TestProtectionIsShared(t *testing.T) {
	device, _ := loopDevice(t, 8<<20)
	open := func() *Source {
		src, err := OpenSource(device)
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	first, second := open(), open()
	first.Close()
	third := open()
	second.Close()
	ReleaseAbandoned()
	if !protected(t, device) {
		t.Error("a save lost the protection of its source when another one ended")
	}
	if third.Close(); protected(t, device) {
		t.Error("the protection outlives the last save")
	}
	exec.Command("blockdev", "--setro", device).Run()
	defer exec.Command("blockdev", "--setrw", device).Run()
	if open().Close(); !protected(t, device) {
		t.Error("a save took off a protection that is not its own")
	}
}

// A restore and a save of one device exclude each other.
func TestSourceIsNotTarget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Examine(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := OpenSource(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTarget(path, c, Options{}); err == nil {
		t.Error("a file that is being saved was opened for writing")
	}
	src.Close()
	target, err := OpenTarget(path, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := OpenSource(path); err == nil || !strings.Contains(err.Error(), "writing to it") {
		t.Errorf("a file that is being restored was opened as a source: %v", err)
	}
}

func TestLoopDeviceAsTarget(t *testing.T) {
	device, file := loopDevice(t, 8<<20)
	c, err := Examine(device, nil)
	if err != nil {
		t.Fatal(err)
	}
	target, err := OpenTarget(device, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := OpenTarget(device, c, Options{}); err == nil {
		t.Error("a device was opened for writing twice")
	}
	if _, err := target.WriteAt([]byte("hello"), 4096); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(target.DropCache(), target.ReReadTable()); err != nil {
		t.Error(err)
	}
	if _, err := target.WriteAt([]byte("hello"), 8<<20-2); err == nil {
		t.Error("a write behind the end")
	}
	if b, _ := os.ReadFile(file); string(b[4096:4101]) != "hello" {
		t.Error("nothing was written")
	}
	fc, err := Examine(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTarget(file, fc, Options{}); err == nil || !strings.Contains(err.Error(), "loop") {
		t.Errorf("the file behind a loop device: %v", err)
	}
}

func TestMountedTargetIsRefused(t *testing.T) {
	device, _ := loopDevice(t, 16<<20)
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", device).CombinedOutput(); err != nil {
		t.Skipf("needs mke2fs: %v %s", err, out)
	}
	c, err := Examine(device, nil)
	if err != nil {
		t.Fatal(err)
	}
	point := t.TempDir()
	if out, err := exec.Command("mount", device, point).CombinedOutput(); err != nil {
		t.Skipf("needs mount: %v %s", err, out)
	}
	defer exec.Command("umount", point).Run()
	_, err = OpenTarget(device, c, Options{})
	r, ok := IsRefusal(err)
	if !ok || !strings.Contains(err.Error(), "mounted at "+point) || !strings.Contains(r.Next, "umount") {
		t.Errorf("mounted target: %v", err)
	}
	behind, err := System{}.Behind(point)
	if err != nil || !slices.Contains(behind, filepath.Base(device)) {
		t.Errorf("behind %s: %v %v", point, behind, err)
	}
	src, err := OpenSource(device)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if src.guard != nil {
		t.Error("a mounted disk was set read-only")
	}
}

func TestConsentIsComparedTwice(t *testing.T) {
	size := int64(4 << 20)
	path := filepath.Join(t.TempDir(), "disk.img")
	reset := func() Consent {
		b := make([]byte, size)
		binary.LittleEndian.PutUint64(b[size-8:], 42)
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Examine(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	change := func(off int64) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt([]byte{1}, off)
		f.Close()
	}
	for _, off := range []int64{0, 1<<20 - 1, size - 1} {
		c := reset()
		change(off)
		if _, err := OpenTarget(path, c, Options{}); err == nil {
			t.Errorf("byte %d changed before the target was opened: not refused", off)
		}
		c = reset()
		target, err := OpenTarget(path, c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		change(off)
		if _, err := target.WriteAt([]byte("x"), 2<<20); err == nil {
			t.Errorf("byte %d changed before the first write: not refused", off)
		} else if _, ok := IsRefusal(err); !ok || target.Written() {
			t.Errorf("byte %d: %v", off, err)
		}
		target.Close()
	}
	c := reset()
	for what, d := range map[string]Consent{
		"size": {c.Path, c.Model, c.Serial, c.Size + 512, c.Contents, c.Digest}, "serial": {c.Path, c.Model, "X", c.Size, c.Contents, c.Digest},
		"model": {c.Path, "X", c.Serial, c.Size, c.Contents, c.Digest}, "contents": {c.Path, c.Model, c.Serial, c.Size, "X", c.Digest},
	} {
		if _, err := OpenTarget(path, d, Options{}); err == nil {
			t.Errorf("another %s: not refused", what)
		}
		if d.Code() == c.Code() {
			t.Errorf("another %s: same code", what)
		}
	}
}

func TestOldEdgesAreKept(t *testing.T) {
	dir := t.TempDir()
	path, keep := filepath.Join(dir, "disk.img"), filepath.Join(dir, "log")
	old := make([]byte, 3<<20)
	old[0], old[3<<20-1] = 'a', 'z'
	os.WriteFile(path, old, 0o644)
	c, err := Examine(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	target, err := OpenTarget(path, c, Options{Keep: keep, Tables: []extent.Extent{{Offset: 3 << 19, Length: 512}, {Offset: 1 << 40, Length: 512}}})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if _, err := os.Stat(keep); err == nil {
		t.Error("something was kept before the first write")
	}
	for range 2 { // the second write must not keep the first one's bytes
		if _, err := target.WriteAt([]byte("new"), 0); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := os.ReadFile(filepath.Join(keep, "disk.img-0.before"))
	last, _ := os.ReadFile(filepath.Join(keep, "disk.img-2097152.before"))
	if len(first) != 1<<20 || first[0] != 'a' || len(last) != 1<<20 || last[1<<20-1] != 'z' {
		t.Errorf("kept %d and %d bytes", len(first), len(last))
	}
	if table, _ := os.ReadFile(filepath.Join(keep, "disk.img-1572864.before")); len(table) != 512 {
		t.Errorf("kept %d bytes of the table", len(table))
	}
}

func TestTargetThatHoldsTheImageIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.img")
	os.WriteFile(path, make([]byte, 1<<20), 0o644)
	c, _ := Examine(path, nil)
	if _, err := OpenTarget(path, c, Options{Holds: []string{dir}}); err == nil {
		t.Error("a file of the image folder as target: not refused")
	}
	if _, err := OpenTarget(dir, c, Options{}); err == nil {
		t.Error("a folder as target")
	}
	if _, err := OpenTarget("/dev/null", c, Options{}); err == nil {
		t.Error("a character device as target")
	}
}
