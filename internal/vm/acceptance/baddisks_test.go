package acceptance

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/vm"
)

// badDisks are the disks of TestBadInput.
type badDisks struct {
	source, images, readOnly, little, target, tiny vm.Disk
}

// Sizes of what is saved: random data, and the disks around it.
const (
	largeData = 250 << 20 // enough that a job is seen under way
	largeDisk = largeData + 80<<20
	smallData = 24 << 20
	smallDisk = smallData + 24<<20
)

func makeBadDisks(t *testing.T) *badDisks {
	t.Helper()
	if os.Getenv("DOPPEL_HOST") == "" {
		t.Skip("needs the host's doppel: run ./build.sh test")
	}
	disk := func(serial string, size int64) vm.Disk {
		return vm.Disk{Path: empty(t, strings.ToLower(serial), size), Bus: "scsi", ID: strings.ToLower(serial), Serial: serial}
	}
	place := func(serial string, size int64, content string) vm.Disk {
		d := disk(serial, size)
		extDisk(t, d.Path, serial, content)
		return d
	}
	d := &badDisks{source: place("GOODSRC", largeDisk, random(t, largeData)), target: disk("TARGET", largeDisk+20<<20), tiny: disk("TINY", 32<<20)}
	small := empty(t, "small", smallDisk)
	extDisk(t, small, "SMALL", random(t, smallData))
	d.images = place("PLACES", 2*largeDisk+4*smallDisk, imagesFolder(t, d.source.Path, small))
	d.little = place("LITTLE", largeDisk+20<<20, "")
	d.readOnly = place("ROPLACE", 64<<20, "")
	d.readOnly.ReadOnly = true
	d.giveTable(t)
	return d
}

// random gives a folder with one file of that many random bytes.
func random(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "random"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), size); err != nil {
		t.Fatal(err)
	}
	return dir
}

// extDisk makes a GPT with one ext4 partition from 1 MiB on, with the files of
// the folder in it.
func extDisk(t *testing.T, path, label, folder string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	giveGPT(t, path)
	argv := []string{"mke2fs", "-q", "-t", "ext4", "-m", "0", "-L", label, "-E", "offset=1048576"}
	if folder != "" {
		argv = append(argv, "-d", folder)
	}
	run(t, append(argv, path, fmt.Sprintf("%dK", (info.Size()-2<<20)>>10))...)
}

func giveGPT(t *testing.T, path string) {
	t.Helper()
	cmd := exec.Command("/sbin/sfdisk", "--quiet", path)
	cmd.Stdin = strings.NewReader("label: gpt\nstart=2048\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
}

// imagesFolder saves the large disk as good, and the small one as images that
// are damaged then.
func imagesFolder(t *testing.T, large, small string) string {
	t.Helper()
	dir := t.TempDir()
	for name, source := range map[string]string{"good": large, "flipped": small, "cut": small, "garbage": small} {
		run(t, os.Getenv("DOPPEL_HOST"), "save", source, name, "--images", dir, "--yes")
	}
	change := func(file string, how func([]byte) []byte) {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), how(data), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const volume = "sda1.ext4-ptcl-img.zst" // as Clonezilla takes that of a regular file
	change("flipped/"+volume, func(b []byte) []byte { b[len(b)/2] ^= 0x55; return b })
	change("cut/"+volume, func(b []byte) []byte { return b[:len(b)*2/3] })
	change("garbage/doppel.json", func(b []byte) []byte { return b[:copy(b, "no JSON at all")] })
	return dir
}

// giveTable makes the target a disk with a table.
func (d *badDisks) giveTable(t *testing.T) {
	t.Helper()
	giveGPT(t, d.target.Path)
}

// noTable holds the target against being taken for whole.
func (d *badDisks) noTable(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("/sbin/sfdisk", "--dump", d.target.Path).CombinedOutput(); err == nil {
		t.Errorf("the target has a table:\n%s", out)
	}
	f, err := os.Open(d.target.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := make([]byte, 1<<20)
	if _, err := io.ReadFull(f, head); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(head, make([]byte, len(head))) {
		t.Error("the first MiB of the target is not empty")
	}
}

// sum is the SHA-256 of a file.
func sum(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
