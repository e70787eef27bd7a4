package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func espFiles() []named {
	return []named{
		{"EFI/BOOT/BOOTX64.EFI", bytes.Repeat([]byte("shim"), 300_000)},
		{"EFI/BOOT/grubx64.efi", bytes.Repeat([]byte("grub"), 700_001)},
		{"EFI/BOOT/grub.cfg", espGrubConfig("3b0b6b7e-0000-8000-8000-000000000000")},
	}
}

var espTime = time.Date(2026, 5, 4, 13, 22, 40, 0, time.UTC)

func esp(t *testing.T) []byte {
	t.Helper()
	image, err := makeESP(espFiles(), 0x1234abcd, espTime)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// write puts an image into a file of the test.
func write(t *testing.T, image []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, image, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestESPIsClean(t *testing.T) {
	out, err := exec.Command(tool(t, "fsck.fat"), "-vn", write(t, esp(t))).CombinedOutput()
	if err != nil {
		t.Errorf("fsck.fat: %v\n%s", err, out)
	}
	for _, complaint := range []string{"Reclaim", "differ", "wrong", "bad"} {
		if strings.Contains(string(out), complaint) {
			t.Errorf("fsck.fat says:\n%s", out)
		}
	}
}

func TestESPHoldsFiles(t *testing.T) {
	mtype, image := tool(t, "mtype"), write(t, esp(t))
	for _, f := range espFiles() {
		out, err := exec.Command(mtype, "-i", image, "::"+f.path).Output()
		if err != nil || !bytes.Equal(out, f.data) {
			t.Errorf("%s: %d bytes read, %d written, %v", f.path, len(out), len(f.data), err)
		}
	}
	cmd := exec.Command(tool(t, "mdir"), "-i", image, "-/", "-a", "::")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), "2026-05-04  13:22"); n != len(espFiles())+6 {
		t.Errorf("%d entries carry the time of the build:\n%s", n, out)
	}
	if !strings.Contains(string(out), "1234-ABCD") {
		t.Errorf("no serial number of ours:\n%s", out)
	}
}

func TestESPIsTheSameTwice(t *testing.T) {
	first := esp(t)
	time.Sleep(2100 * time.Millisecond) // FAT counts in two seconds
	if !bytes.Equal(first, esp(t)) {
		t.Error("two images of the same files differ")
	}
}

func TestESPTooSmall(t *testing.T) {
	if _, err := makeESP([]named{{"EFI/BOOT/big", make([]byte, espSize)}}, 0, espTime); err == nil {
		t.Error("a file as large as the partition was taken")
	}
}
