package iso

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kdomanski/iso9660"
)

// TestPatchesOfXorriso compares what is written for GRUB with what xorriso
// writes for the same boot files.
func TestPatchesOfXorriso(t *testing.T) {
	t.Run("made up", func(t *testing.T) {
		code := pattern(512, 8)
		clear(code[444:446]) // as in GRUB's; xorriso leaves what is there
		comparePatches(t, pattern(31<<10+3, 7), code)
	})
	t.Run("GRUB", func(t *testing.T) {
		code, err := os.ReadFile(filepath.Join("/", os.Getenv("DOPPEL_BOOT"), "usr/lib/grub/i386-pc/boot_hybrid.img"))
		if err != nil {
			t.Skip("needs package grub-pc-bin: run ./build.sh test")
		}
		comparePatches(t, rescueImage(t), code)
	})
}

// rescueImage takes eltorito.img out of the disc in Debian's package grub-rescue-pc.
func rescueImage(t *testing.T) []byte {
	f, err := os.Open(filepath.Join("/", os.Getenv("DOPPEL_BOOT"), "usr/lib/grub-rescue/grub-rescue-cdrom.iso"))
	if err != nil {
		t.Skip("needs package grub-rescue-pc: run ./build.sh test")
	}
	defer f.Close()
	disc, err := iso9660.OpenImage(f)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := disc.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"boot", "grub", "i386-pc", "eltorito.img"} {
		children, err := dir.GetChildren()
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(children, func(c *iso9660.File) bool { return strings.EqualFold(c.Name(), name) })
		if i < 0 {
			t.Fatalf("no %s", name)
		}
		dir = children[i]
	}
	image, err := io.ReadAll(dir.Reader())
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func comparePatches(t *testing.T, image, code []byte) {
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const espSize = 2 << 20
	put("tree/before", pattern(5000, 9))
	put("tree/boot/eltorito.img", image)
	disc := filepath.Join(dir, "x.iso")
	run(t, "xorriso", "-as", "mkisofs", "-o", disc, "-V", "X", "-r", "-J", "--grub2-mbr", put("mbr", code),
		"-partition_offset", "16", "--mbr-force-bootable", "-b", "boot/eltorito.img", "-c", "boot/boot.cat",
		"-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "--grub2-boot-info", "-eltorito-alt-boot",
		"-append_partition", "2", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", put("esp", pattern(espSize, 10)), "-appended_part_as_gpt",
		"-e", "--interval:appended_partition_2:all::", "-no-emul-boot", filepath.Join(dir, "tree"))
	x, err := os.ReadFile(disc)
	if err != nil {
		t.Fatal(err)
	}
	cat := x[int(le.Uint32(x[17*sectorSize+71:]))*sectorSize:][:sectorSize]
	start, esp := lba(le.Uint32(cat[0x28:])), lba(le.Uint32(cat[0x68:]))

	same(t, "boot record", bootRecord(lba(le.Uint32(x[17*sectorSize+71:]))), x[17*sectorSize:][:sectorSize])
	same(t, "catalogue", catalogue(start, esp, espSize), cat)
	patched := bytes.Clone(image)
	patch(patched, start)
	same(t, "boot image", patched, x[int(start)*sectorSize:][:len(image)])
	ours := mbr(code, start, le.Uint32(x[440:]), int64(len(x)))
	same(t, "MBR", withoutCHS(ours), withoutCHS(x[:512]))
}

// withoutCHS clears the cylinders, heads and sectors of an MBR, which
// everybody fills in differently.
func withoutCHS(mbr []byte) []byte {
	b := bytes.Clone(mbr)
	for at := mbrTable; at < 510; at += 16 {
		clear(b[at+1 : at+4])
		clear(b[at+5 : at+8])
	}
	return b
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	var differ []string
	for i := range want {
		if i < len(got) && got[i] != want[i] && len(differ) < 8 {
			differ = append(differ, fmt.Sprintf("%d: %02x, not %02x", i, got[i], want[i]))
		}
	}
	if len(got) != len(want) || differ != nil {
		t.Errorf("%s: %d and %d bytes; differ at %v", what, len(got), len(want), differ)
	}
}

// TestBootOnTheDisc finds what firmware looks for by the numbers that it reads.
func TestBootOnTheDisc(t *testing.T) {
	o := bootOptions()
	var b bytes.Buffer
	if _, err := build(t, o, sampleEntries()).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	disc := b.Bytes()
	if len(disc)%mebibyte != 0 {
		t.Errorf("%d bytes are not whole MiB", len(disc))
	}
	if got := le.Uint32(disc[16*sectorSize+80:]); int(got) != len(disc)/sectorSize {
		t.Errorf("volume space size %d, want %d", got, len(disc)/sectorSize)
	}
	for i, kind := range []byte{typePrimary, typeBoot, typeSupplementary, typeTerminator} {
		if d := disc[(16+i)*sectorSize:]; d[0] != kind || string(d[1:6]) != "CD001" {
			t.Errorf("sector %d: descriptor of type %d, want %d", 16+i, d[0], kind)
		}
	}
	cat := disc[int(le.Uint32(disc[17*sectorSize+71:]))*sectorSize:]
	start, esp := int(le.Uint32(cat[0x28:])), int(le.Uint32(cat[0x68:]))*sectorSize
	same(t, "ESP", disc[esp:esp+1<<20], pattern(1<<20, 2))
	if esp%mebibyte != 0 || esp/512 != int(le.Uint64(disc[2*512+128+32:])) {
		t.Errorf("ESP at byte %d, in the GPT at sector %d", esp, le.Uint64(disc[2*512+128+32:]))
	}
	image := pattern(31<<10, 3)
	patch(image, lba(start))
	same(t, "boot image", disc[start*sectorSize:][:len(image)], image)
	if got := le.Uint64(disc[432:]); got != uint64(start)*4+4 {
		t.Errorf("MBR leads to sector %d, want %d", got, start*4+4)
	}
	if end := disc[len(disc)-512:]; string(end[:8]) != "EFI PART" {
		t.Error("no GPT at the end")
	}
}

func TestIdentifiersDiffer(t *testing.T) {
	o := bootOptions()
	seen := map[string]bool{}
	for range 2 {
		for _, use := range []string{"disk", "iso9660", "esp"} {
			seen[o.uuid(use)] = true
		}
		o.VolumeSetID += "2"
	}
	if len(seen) != 6 {
		t.Errorf("6 identifiers, %d different ones", len(seen))
	}
}
