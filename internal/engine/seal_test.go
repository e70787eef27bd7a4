package engine

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/filesystem/probe"
	"doppel.live/internal/image"
)

// A file that is written in place changes the seal of its volume, though the
// allocation and both ends of the volume stay.
func TestSealSeesWritesInPlace(t *testing.T) {
	old, fresh := bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("b"), 100_000)
	for _, c := range []struct {
		name  string
		make  func(t *testing.T, disk, file string)
		mount func(t *testing.T, disk string) (dir string, ok bool)
	}{
		{"ntfs", func(t *testing.T, disk, file string) {
			fstest.Run(t, "mkntfs", "-q", "-F", "-f", disk)
			fstest.Run(t, "ntfscp", "-f", "-q", disk, file, "/data")
		}, mountNTFS},
		{"xfs", func(t *testing.T, disk, file string) {
			proto := file + ".proto"
			if err := os.WriteFile(proto, []byte("/\n0 0\nd--755 0 0\ndata ---644 0 0 "+file+"\n$\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			fstest.Run(t, "mkfs.xfs", "--unsupported", "-q", "-f", "-p", proto, disk)
		}, func(t *testing.T, disk string) (string, bool) { return fstest.Mount(t, disk, "") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk, file := fstest.Volume(t, 64<<20), filepath.Join(t.TempDir(), "old")
			if err := os.WriteFile(file, old, 0o600); err != nil {
				t.Fatal(err)
			}
			c.make(t, disk, file)
			before, again := sealOf(t, disk), sealOf(t, disk)
			dir, ok := c.mount(t, disk)
			if !ok {
				t.Skip("cannot mount here")
			}
			writeInPlace(t, filepath.Join(dir, "data"), fresh)
			fstest.Unmount(t, dir)
			if after := sealOf(t, disk); before != again || before == after {
				t.Errorf("seals %.8s, unchanged %.8s, written to %.8s", before, again, after)
			}
		})
	}
}

// mountNTFS mounts a volume by ntfs-3g.
func mountNTFS(t *testing.T, disk string) (dir string, ok bool) {
	dir = t.TempDir()
	if out, err := exec.Command(fstest.Tool(t, "ntfs-3g"), disk, dir).CombinedOutput(); err != nil {
		t.Logf("cannot mount: %s", out)
		return "", false
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	return dir, true
}

// writeInPlace changes the beginning of a file and brings it to its disk.
func writeInPlace(t *testing.T, path string, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(data, 0)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
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
	disk := fstest.Volume(t, 64<<20)
	fstest.Run(t, "mkfs.xfs", "--unsupported", "-q", "-f", disk)
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
