package probe

import (
	"bytes"
	"fmt"
	"github.com/ulikunitz/xz"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// made are commands that make a volume; FILE is replaced by its path.
var made = []struct {
	name    string
	mib     int64
	command string
}{
	{"ext2", 20, "mke2fs -q -F -t ext2 -L Läbel FILE"},
	{"ext3", 20, "mke2fs -q -F -t ext3 FILE"},
	{"ext4", 20, "mke2fs -q -F -t ext4 -L root FILE"},
	{"ext4 without journal", 20, "mke2fs -q -F -t ext4 -O ^has_journal FILE"},
	{"journal of another ext4", 20, "mke2fs -q -F -O journal_dev -b 4096 FILE"},
	{"xfs", 320, "mkfs.xfs -q -f -L xfslabel FILE"},
	{"xfs v4", 320, "mkfs.xfs -q -f -m crc=0 FILE"},
	{"btrfs", 120, "mkfs.btrfs -q -f -L bütter FILE"},
	{"ntfs", 20, "mkntfs -q -F -f -L Wïndows FILE"},
	{"ntfs, large clusters", 40, "mkntfs -q -F -f -c 65536 FILE"},
	{"fat12", 2, "mkfs.vfat -F 12 -n TWELVE FILE"},
	{"fat16", 20, "mkfs.vfat -F 16 -n SIXTEEN FILE"},
	{"fat32", 64, "mkfs.vfat -F 32 -n THIRTYTWO FILE"},
	{"fat32 without label", 64, "mkfs.vfat -F 32 FILE"},
	{"fat32, sectors of 4096", 300, "mkfs.vfat -F 32 -S 4096 FILE"},
	{"exfat", 64, "mkfs.exfat -L exlabel FILE"},
	{"exfat without label", 64, "mkfs.exfat FILE"},
	{"f2fs", 64, "mkfs.f2fs -q -f -l flash FILE"},
	{"swap", 4, "mkswap -q -L swäp FILE"},
	{"swap, pages of 64k", 4, "mkswap -q -p 65536 FILE"},
	{"minix 1", 8, "mkfs.minix -1 FILE"},
	{"minix 2", 8, "mkfs.minix -2 FILE"},
	{"minix 3", 8, "mkfs.minix -3 FILE"},
	{"iso9660", 0, "genisoimage -quiet -V CD_LABEL -o FILE /etc/hostname"},
	{"udf", 64, "mkudffs -q -l disc FILE"},
	{"squashfs", 0, "mksquashfs /etc/hostname FILE -quiet -noappend"},
	{"luks1", 8, "cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 FILE /etc/hostname"},
	{"luks2", 20, "cryptsetup -q luksFormat --type luks2 --label secret --pbkdf pbkdf2 --pbkdf-force-iterations 1000 FILE /etc/hostname"},
	{"hfsplus", 20, "mkfs.hfsplus -v mac FILE"},
	{"jfs", 20, "mkfs.jfs -q -L jfslabel FILE"},
	{"reiserfs", 40, "mkfs.reiserfs -q -f -f -l rlabel FILE"},
	{"nilfs2", 140, "mkfs.nilfs2 -q -L nlabel FILE"},
	{"ufs", 0, "makefs -t ffs -s 16m FILE /etc/apt"},
	{"ufs, big-endian", 0, "makefs -t ffs -B be -s 16m -o bsize=8192,fsize=1024 FILE /etc/apt"},
	{"ufs 2", 0, "makefs -t ffs -s 16m -o version=2 FILE /etc/apt"},
	{"ufs 2, a copy where the superblock may be", 0, "makefs -t ffs -s 16m -o version=2,bsize=65536,fsize=8192 FILE /etc/apt"},
	{"garbage", 1, "cp /bin/true FILE"},
	{"nothing", 1, "true"},
}

// volumeFile makes a volume by a command.
func volumeFile(t testing.TB, mib int64, command string) string {
	t.Helper()
	words := strings.Fields(command)
	program := fstest.Tool(t, words[0])
	path := filepath.Join(t.TempDir(), "volume")
	if mib > 0 {
		path = fstest.Volume(t, mib<<20)
	}
	for i, w := range words {
		words[i] = strings.ReplaceAll(w, "FILE", path)
	}
	if out, err := exec.Command(program, words[1:]...).CombinedOutput(); err != nil {
		t.Skipf("%s: %v: %s", command, err, out)
	}
	return path
}

// blkid gives what blkid prints of a volume; "" for what it does not print.
func blkid(t testing.TB, path string) map[string]string {
	t.Helper()
	program := fstest.Tool(t, "blkid")
	values := map[string]string{}
	for _, tag := range []string{"TYPE", "LABEL", "UUID"} {
		// Exit status 2: nothing found, or ambiguous.
		out, _ := exec.Command(program, "-p", "-o", "value", "-s", tag, path).Output()
		values[tag] = strings.TrimSuffix(string(out), "\n")
	}
	return values
}

// wipefs gives the signatures that wipefs lists, without partition tables.
func wipefs(t testing.TB, path string) (all []Signature) {
	t.Helper()
	out, err := exec.Command(fstest.Tool(t, "wipefs"), "-n", "-p", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		if len(fields) < 4 || strings.HasPrefix(line, "#") || fields[3] == "dos" || fields[3] == "gpt" || fields[3] == "PMBR" {
			continue
		}
		var s Signature
		fmt.Sscanf(fields[0], "0x%x", &s.Offset)
		s.Type = fields[3]
		all = append(all, s)
	}
	return all
}

func openVolume(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	return f, size
}

func probeFile(t testing.TB, path string) Result {
	t.Helper()
	f, size := openVolume(t, path)
	res, err := Probe(f, size)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// sameAsBlkid holds type, label and UUID against blkid's.
func sameAsBlkid(t *testing.T, path string) {
	t.Helper()
	res, want := probeFile(t, path), blkid(t, path)
	if res.Info.Type != want["TYPE"] || res.Info.Label != want["LABEL"] || res.Info.UUID != want["UUID"] {
		t.Errorf("%q label %q uuid %q (%s), blkid: %q", res.Info.Type, res.Info.Label, res.Info.UUID, res.Reason, want)
	}
	if (res.Reason == "") == (res.FileSystem == nil) {
		t.Errorf("file system %v, reason %q", res.FileSystem, res.Reason)
	}
}

// wiped overwrites all signatures and expects that nobody sees anything.
func wiped(t *testing.T, path string) {
	t.Helper()
	f, size := openVolume(t, path)
	list, err := Signatures(f, size)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range wipefs(t, path) {
		covered := false
		for _, s := range list {
			covered = covered || s.Type == want.Type && s.Offset <= want.Offset && want.Offset < s.Offset+s.Length
		}
		if !covered {
			t.Errorf("signature of %s at %#x is not among %v", want.Type, want.Offset, list)
		}
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, s := range list {
		if _, err := w.WriteAt(make([]byte, s.Length), s.Offset); err != nil {
			t.Fatal(err)
		}
	}
	if res := probeFile(t, path); res.Info.Type != "" {
		t.Errorf("still seen as %s after %v was overwritten", res.Info.Type, list)
	}
	if left := wipefs(t, path); len(left) > 0 {
		t.Errorf("wipefs still sees %v after %v was overwritten", left, list)
	}
}

func TestAgainstBlkid(t *testing.T) {
	for _, tt := range made {
		t.Run(tt.name, func(t *testing.T) {
			path := volumeFile(t, tt.mib, tt.command)
			sameAsBlkid(t, path)
			wiped(t, path)
		})
	}
}

func TestExtIsRead(t *testing.T) {
	res := probeFile(t, volumeFile(t, 20, "mke2fs -q -F -t ext4 FILE"))
	if res.FileSystem == nil || res.Reason != "" || res.Info.State != filesystem.Clean {
		t.Errorf("%+v", res)
	}
}

// TestWindowsIsRead holds what is saved by blocks, not unmounted ones among
// them; an exFAT that cannot be searched is not, and what helps is said.
func TestWindowsIsRead(t *testing.T) {
	for _, command := range []string{"mkfs.fat -F 12 FILE", "mkfs.fat -F 16 -s 1 FILE", "mkfs.fat -F 32 FILE", "mkfs.exfat FILE"} {
		path := volumeFile(t, 20, command)
		if res := probeFile(t, path); res.FileSystem == nil || res.Info.State != filesystem.Clean {
			t.Errorf("%s: %+v", command, res)
		}
		dirty := map[bool]int64{true: 106, false: 0x25}[strings.Contains(command, "exfat")]
		if strings.Contains(command, "32") {
			dirty = 0x41
		}
		damageAt(t, path, dirty)
		res := probeFile(t, path)
		if res.FileSystem == nil || res.Info.State != filesystem.Dirty {
			t.Errorf("%s, then dirty: %+v", command, res)
		}
		if strings.Contains(command, "exfat") {
			damageAt(t, path, 11*512)
			if res := probeFile(t, path); res.FileSystem != nil || !strings.Contains(res.Reason, "checksum") || !strings.Contains(res.Reason, "fsck.exfat") {
				t.Errorf("%s, then damaged: %+v", command, res)
			}
		}
	}
}

// damageAt writes a 2 at a byte of a volume.
func damageAt(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{2}, off); err != nil {
		t.Fatal(err)
	}
}

// fixtures are volumes of the types that can't be made here.
func TestFixtures(t *testing.T) {
	dir := "../../../../shared/fixtures/filesystems"
	names, _ := filepath.Glob(dir + "/*.img.xz")
	if len(names) == 0 {
		t.Skip("no fixtures")
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			packed, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			r, err := xz.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "volume")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			sameAsBlkid(t, path)
			wiped(t, path)
		})
	}
}
