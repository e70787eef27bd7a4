package dir

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// A disk that cannot take some of the bytes says so while others are written
// already. The object is not committed then, though the disk is well again.
func TestLostWrites(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	below, place := t.TempDir(), t.TempDir()
	if err := syscall.Mount("tmpfs", below, "tmpfs", 0, "size=96m"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(below, syscall.MNT_DETACH) })
	disk, ballast := filepath.Join(below, "disk"), filepath.Join(below, "ballast")
	if err := errorsOf(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 256<<20)); err != nil {
		t.Fatal(err)
	}
	mkfs, err := exec.LookPath("/sbin/mke2fs")
	if err != nil {
		t.Skip("needs mke2fs")
	}
	if out, err := exec.Command(mkfs, "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=0", disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", disk, place).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a loop device: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", place).Run() })
	d, err := Open(place)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	o, err := d.Create("image", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Abort()
	piece := make([]byte, 4<<20)
	for i := range piece {
		piece[i] = byte(i>>8) | 1
	}
	fill(t, ballast)
	failed := false
	for i := range 16 {
		if i == 14 { // room again
			os.Remove(ballast)
		}
		if _, err := o.Write(piece); err != nil {
			failed = true
		}
	}
	if o.Commit() == nil && !failed {
		t.Error("an object was committed of which the disk did not take all")
	}
}

func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 1<<16); ; {
		if _, err := f.Write(b); err != nil {
			return
		}
	}
}

func errorsOf(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}
