package place

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/store/remote"
)

const buildID = "6a1e6d0c-3b43-4b57-9c61-0d4f6f9c9e10"

// fake is a machine with
//
//	sda   boot medium (usb), sda1 on it a FAT file system
//	sdb   sdb1 ext4 "IMAGES", sdb2 swap, sdb10 ext4 held by dm-0
//	sr0   the same boot medium as a disc would be
//	vda   no table, NTFS's place taken by ext2 "IMAGES"
//	ram0, loop0, sdc (no medium)
type fake struct {
	t    *testing.T
	root string
}

func (f fake) write(name, text string) {
	f.t.Helper()
	p := filepath.Join(f.root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// block makes a device below /sys/devices/PATH with its entry in class/block.
func (f fake) block(path string, partition bool, size int64) string {
	f.t.Helper()
	name := filepath.Base(path)
	f.write("sys/devices/"+path+"/size", strconv.FormatInt(size/512, 10)+"\n")
	f.write("sys/devices/"+path+"/ro", "0\n")
	if partition {
		f.write("sys/devices/"+path+"/partition", "1\n")
	}
	class := filepath.Join(f.root, "sys/class/block")
	if err := os.MkdirAll(class, 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Symlink("../../devices/"+path, filepath.Join(class, name)); err != nil {
		f.t.Fatal(err)
	}
	dev := filepath.Join(f.root, "dev", name)
	f.write("dev/"+name, "")
	if err := os.Truncate(dev, size); err != nil {
		f.t.Fatal(err)
	}
	return dev
}

func (f fake) mkfs(dev string, argv ...string) {
	f.t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		f.t.Skipf("%s is not installed", argv[0])
	}
	if out, err := exec.Command(argv[0], append(argv[1:], dev)...).CombinedOutput(); err != nil {
		f.t.Fatalf("%v: %v\n%s", argv, err, out)
	}
}

func (f fake) disc(dev string) {
	f.t.Helper()
	b := bytes.Repeat([]byte{' '}, 2048)
	copy(b, "\x01CD001\x01")
	copy(b[40:], "DOPPEL_LIVE")
	copy(b[190:], "DOPPEL-"+strings.ToUpper(buildID))
	w, err := os.OpenFile(dev, os.O_WRONLY, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteAt(b, 32768); err != nil {
		f.t.Fatal(err)
	}
}

func machine(t *testing.T) (System, string) {
	f := fake{t, t.TempDir()}
	f.write("etc/doppel/build-id", buildID+"\n")
	f.write("proc/self/mountinfo", "1 1 0:2 / / rw - rootfs none rw\n")
	f.write("proc/mounts", "none / rootfs rw 0 0\n")
	f.write("proc/swaps", "Filename Type Size Used Priority\n")
	const mb = 1 << 20
	f.disc(f.block("pci0/usb2/2-1/sda", false, 64*mb))
	f.mkfs(f.block("pci0/usb2/2-1/sda/sda1", true, 32*mb), "mkfs.vfat", "-n", "STICK")
	f.block("pci0/ata1/sdb", false, 100*mb)
	f.write("sys/devices/pci0/ata1/sdb/device/vendor", "ATA     \n")
	f.write("sys/devices/pci0/ata1/sdb/device/model", "Samsung 860     \n")
	f.mkfs(f.block("pci0/ata1/sdb/sdb1", true, 16*mb), "mkfs.ext4", "-q", "-L", "IMAGES", "-U", "0b5a2f10-4a0e-4d53-8a5e-2f0f3c1d9a77")
	f.mkfs(f.block("pci0/ata1/sdb/sdb2", true, 8*mb), "mkswap")
	f.mkfs(f.block("pci0/ata1/sdb/sdb10", true, 16*mb), "mkfs.ext4", "-q", "-L", "HELD")
	f.write("sys/devices/pci0/ata1/sdb/sdb10/holders/dm-0", "")
	f.disc(f.block("pci0/ata2/sr0", false, 64*mb))
	f.mkfs(f.block("pci0/virtio1/vda", false, 16*mb), "mkfs.ext2", "-q", "-L", "IMAGES")
	f.block("virtual/ram0", false, 16*mb)
	f.block("virtual/loop0", false, 16*mb)
	f.block("pci0/usb2/2-2/sdc", false, 0)
	return System{Root: f.root}, f.root
}

func TestList(t *testing.T) {
	s, root := machine(t)
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Place{}
	for _, p := range list {
		name := strings.TrimPrefix(p.Path, root+"/dev/")
		got[name] = p
		t.Logf("%+v", p)
	}
	if len(got) != 6 || len(list) != 6 {
		t.Fatalf("%d places, want sda (boot), sda1, sdb1, sdb10, sr0 (boot), vda", len(list))
	}
	if p := got["sda"]; p.Spec != Boot || p.FileSystem != "iso9660" || !p.BootMedium || !p.Removable || !p.ReadOnly || p.Label != "DOPPEL_LIVE" {
		t.Errorf("boot stick: %+v", p)
	}
	if p := got["sda1"]; p.FileSystem != "vfat" || p.Label != "STICK" || !p.BootMedium || p.ReadOnly {
		t.Errorf("partition of the boot stick: %+v", p)
	}
	if p := got["sdb1"]; p.FileSystem != "ext4" || p.Label != "IMAGES" || p.Model != "ATA Samsung 860" || p.Removable || p.BootMedium ||
		p.Size != 16<<20 || p.Free != -1 || p.Problem != "" || p.Current {
		t.Errorf("ext4: %+v", p)
	}
	if p := got["sdb10"]; !strings.Contains(p.Problem, "dm-0") {
		t.Errorf("held: %+v", p)
	}
}

// After a start to RAM the boot medium, a partition of it among the rest, is no
// place; a file on it can still be read.
func TestToRAM(t *testing.T) {
	s, root := machine(t)
	fake{t, root}.write(ToRAM, "")
	list, err := s.List()
	if err != nil || len(list) != 3 {
		t.Errorf("%d places, want sdb1, sdb10, vda: %v", len(list), err)
	}
	for _, spec := range []string{Boot, root + "/dev/sda1", "LABEL=STICK"} {
		_, err := s.Use(t.Context(), spec, remote.Credentials{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.What, "left alone") || e.Missing || e.Next == "" {
			t.Errorf("%s: %#v", spec, err)
		}
	}
	if all, err := s.disks(); err != nil || len(all) != 6 {
		t.Errorf("%d disks to read files from: %v", len(all), err)
	}
}

func TestFind(t *testing.T) {
	list := []Place{{Spec: "/dev/sdb1", Label: "IMAGES", UUID: "AB-12"}, {Spec: "/dev/sdc1", Label: "X"}, {Spec: "/dev/sdd1", Label: "X"}, {Spec: Boot}, {Spec: Boot}}
	for spec, want := range map[string]string{"/dev/sdb1": "/dev/sdb1", "sdb1": "/dev/sdb1", "LABEL=IMAGES": "/dev/sdb1", "UUID=ab-12": "/dev/sdb1", "boot": Boot} {
		if p, err := find(list, spec); err != nil || p.Spec != want {
			t.Errorf("%s: %v, %v", spec, p.Spec, err)
		}
	}
	for spec, wantMissing := range map[string]bool{"/dev/sdz1": true, "LABEL=": true, "LABEL=Y": true, "LABEL=X": false, "UUID=": true, "": true} {
		_, err := find(list, spec)
		var e *Error
		if !errors.As(err, &e) || e.Missing != wantMissing || e.Next == "" {
			t.Errorf("%q: %#v", spec, err)
		}
	}
}

func TestUseRefuses(t *testing.T) {
	s, root := machine(t)
	for spec, word := range map[string]string{
		root + "/dev/sdb10":  "dm-0",
		root + "/dev/sdb2":   "no place",
		"LABEL=IMAGES":       "several",
		"LABEL=no-such-disk": "no place",
	} {
		_, err := s.Use(t.Context(), spec, remote.Credentials{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.What, word) || e.Next == "" {
			t.Errorf("%s: %#v", spec, err)
		}
	}
}

func TestStatus(t *testing.T) {
	s, root := machine(t)
	if p, err := s.Status(); err != nil || p != nil {
		t.Fatalf("nothing mounted: %+v, %v", p, err)
	}
	table := "1 1 0:2 / / rw - rootfs none rw\n30 1 8:17 / /images rw,noatime - ext4 " + root + "/dev/sdb1 rw\n"
	if err := os.WriteFile(filepath.Join(root, "proc/self/mountinfo"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := s.Status()
	if err != nil || p == nil || p.Label != "IMAGES" || !p.Current || p.Path != Dir || p.ReadOnly {
		t.Fatalf("%+v, %v", p, err)
	}
}

func TestParseMounts(t *testing.T) {
	for _, tt := range []struct {
		text string
		want *mounted
	}{
		{"", nil},
		{"30 1 8:17 / /images/x rw - ext4 /dev/sdb1 rw\n", nil},
		{"30 1 8:17 / /images rw - ext4 /dev/sdb1 rw\n31 1 7:0 / /images ro,nosuid shared:1 - iso9660 /dev/loop0 ro\n",
			&mounted{device: "/dev/loop0", fs: "iso9660", readOnly: true}},
		{"30 1 8:17 / /images rw - ntfs3 /dev/sdb1 ro,uid=0\n", &mounted{device: "/dev/sdb1", fs: "ntfs3", readOnly: true}},
		{"30 1 8:17 / /images rw - \n", nil},
	} {
		got := parseMounts(tt.text)
		if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
			t.Errorf("%q: %+v", tt.text, got)
		}
	}
}

func TestMountErrorsSayWhatToDo(t *testing.T) {
	p := Place{Spec: "/dev/sdb1", FileSystem: "xfs"}
	for _, errno := range []unix.Errno{unix.ENODEV, unix.EBUSY, unix.ENOMEDIUM, unix.EIO, unix.EINVAL, unix.EUCLEAN} {
		var e *Error
		if !errors.As(mountError(p, errno), &e) || e.Next == "" {
			t.Errorf("%v: no advice", errno)
		}
	}
	if a := readOnlyAdvice(Place{FileSystem: "ntfs"}, true, unix.EINVAL); !strings.Contains(a, "Windows") {
		t.Errorf("dirty NTFS: %s", a)
	}
	if a := readOnlyAdvice(p, false, nil); a != "" {
		t.Errorf("writable: %s", a)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("30 1 8:17 / /images rw - ext4 /dev/sdb1 rw\n")
	f.Fuzz(func(t *testing.T, text string) { parseMounts(text) })
}
