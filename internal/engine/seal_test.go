package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/image"
)

// A file that is written in place changes the seal of its volume, though the
// allocation and both ends of the volume stay.
func TestSealSeesWritesInPlace(t *testing.T) {
	for _, c := range []struct {
		name, make, write string
	}{
		{"ntfs", "mkntfs -q -F -f DISK && ntfscp -f -q DISK OLD /data", "mkdir DIR && ntfs-3g DISK DIR && dd if=NEW of=DIR/data conv=notrunc,fsync status=none; umount DIR"},
		{"xfs", `printf '/\n0 0\nd--755 0 0\ndata ---644 0 0 OLD\n$\n' >OLD.proto && mkfs.xfs --unsupported -q -f -p OLD.proto DISK`,
			"mkdir DIR && mount -o loop DISK DIR && dd if=NEW of=DIR/data conv=notrunc,fsync status=none; umount DIR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			shell := func(command string) {
				t.Helper()
				words := strings.NewReplacer("DISK", filepath.Join(dir, "disk"), "OLD", filepath.Join(dir, "old"), "NEW", filepath.Join(dir, "new"), "DIR", filepath.Join(dir, "mnt"))
				cmd := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; "+words.Replace(command))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Skipf("needs the tools of %s, and root to mount: %v: %s", c.name, err, out)
				}
			}
			disk := filepath.Join(dir, "disk")
			for name, text := range map[string]string{"old": "a", "new": "b"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat(text, 100_000)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(disk, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(disk, 64<<20); err != nil {
				t.Fatal(err)
			}
			shell(c.make)
			before, again := sealOf(t, disk), sealOf(t, disk)
			shell(c.write)
			if after := sealOf(t, disk); before != again || before == after {
				t.Errorf("seals %.8s, unchanged %.8s, written to %.8s", before, again, after)
			}
		})
	}
}

func sealOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := image.Disk{Name: "sda", Size: 64 << 20, SectorSize: 512}
	o, err := Survey(f, &d, Choice{})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Volumes) != 1 || d.Volumes[0].Method != image.Blocks {
		t.Fatalf("volumes %+v", d.Volumes)
	}
	seals, err := Seal(d, o)
	if err != nil {
		t.Fatal(err)
	}
	return seals[d.Volumes[0].Index]
}

// What a file system names as its stamps is part of the seal, wherever it lies.
func TestSealReadsStamps(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	cmd := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; truncate -s 64M \"$0\" && mkfs.xfs --unsupported -q -f \"$0\"", disk)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("needs mkfs.xfs: %v: %s", err, out)
	}
	before := sealOf(t, disk)
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found, err := probe.Probe(f, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	log := found.FileSystem.(filesystem.Stamped).Stamps()[0]
	at := log.End() - 512 // nothing was written there yet
	if at < sealEdge || at >= 63<<20 {
		t.Fatalf("the log is %v, at an edge of the volume", log)
	}
	if _, err := f.WriteAt([]byte("changed"), at+100); err != nil {
		t.Fatal(err)
	}
	if sealOf(t, disk) == before {
		t.Error("the log was changed, and the seal was not")
	}
}
