package clonezilla

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/image"
	"doppel.live/internal/partition"
)

const fixtures = "../../../shared/fixtures/"

// foreignShelf unpacks what real Clonezilla saved.
func foreignShelf(t *testing.T) string {
	t.Helper()
	archives, _ := filepath.Glob(fixtures + "clonezilla/*.tar.gz")
	if len(archives) == 0 {
		t.Skip("no fixtures")
	}
	path := t.TempDir()
	for _, archive := range archives {
		if out, err := exec.Command("tar", "-xzf", archive, "-C", path).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return path
}

// Sums of the volumes, restored onto zeros by partclone, as the fixtures' README has them.
const (
	gptP1 = "de02906f8469b5c67a56b7b346136272edc2d782d71af666a85cca5b99c06657"
	gptP2 = "e62ca63f2ef36ea62a99433eeed24600e1abdfbe49ca6126dee86ee1cf191a89"
	mbrP1 = "859de47e5b31f6bcd1827f3ddfa581203d82c53bc63cc90452928b73b78db3c2"
	mbrP2 = "6a30257a4298b0f8e83fe1884315376a09600b8975ea34b880390197f8d6a81c"
	mbrP5 = "95d95609dd9275e0a6b7253ffff4680eb3b1f7d149cb1b4a6254192ed89be01d"
	mbrP6 = "f1ff261a341b470dfc278a823361b246d4e251d097f9393ec17e378a9089fde0"
)

func TestForeign(t *testing.T) {
	s, _ := openDirAt(t, foreignShelf(t))
	tests := map[string]map[string]string{
		"gpt-zst":          {"loop41p1": gptP1, "loop41p2": gptP2, "loop41p3": "swap SWAPA"},
		"gpt-gz":           {"loop41p1": gptP1, "loop41p2": gptP2},
		"gpt-uncomp-split": {"loop41p1": gptP1, "loop41p2": gptP2},
		"gpt-xz":           {"loop41p1": gptP1, "loop41p2": gptP2},
		"gpt-zst-split":    {"loop42p1": "44e7e579bcffeca0ff055636d3996dfa85161c7b7e049ba8c7186f363c76d7be"},
		"mbr-logical":      {"loop43p1": mbrP1, "loop43p2": mbrP2, "loop43p5": mbrP5, "loop43p6": mbrP6, "loop43p7": "swap SWAPM"},
		"bookworm-mbr-zst": {"loop43p1": mbrP1, "loop43p2": mbrP2, "loop43p5": mbrP5, "loop43p6": mbrP6},
		"bookworm-gpt-gz":  {"loop41p1": gptP1, "loop41p2": gptP2},
		"mbr-saveparts":    {"loop43p5": mbrP5, "loop43p6": mbrP6},
		"two-disks":        {"loop41p1": gptP1, "loop41p2": gptP2, "loop43p1": mbrP1, "loop43p5": mbrP5},
		"ntfs-disk":        {"loop44p1": "18f746e8006db0995cce92b213b691d5143a55ef34e2dea8a4df33e6573c4d41"},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			im := openImage(t, s, name)
			sums := make(map[string]string)
			for _, d := range im.Manifest().Disks {
				for _, v := range d.Volumes {
					sums[v.Name] = foreignSum(t, im, v)
				}
			}
			for volume, sum := range want {
				if sums[volume] != sum {
					t.Errorf("%s: %s, want %s", volume, sums[volume], sum)
				}
			}
			if r := verify(t, s, name); !r.Restorable {
				t.Errorf("%+v", r)
			}
			if whole := im.Manifest().WholeDisk; whole == (name == "mbr-saveparts") {
				t.Errorf("whole disk: %t", whole)
			}
		})
	}
}

// foreignSum is the SHA-256 of a volume restored onto zeros.
func foreignSum(t *testing.T, im image.Image, v image.Volume) string {
	t.Helper()
	if v.Method == image.Swap {
		return "swap " + v.Label
	}
	saved, err := im.Open(v.Index)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	data, err := restoreVolume(saved)
	if err != nil {
		t.Fatalf("%s: %v", v.Name, err)
	}
	if _, err := saved.ReadAt(make([]byte, 1), 0); v.Method == image.Blocks && !errors.Is(err, ErrForward) {
		t.Errorf("%s: read anywhere: %v", v.Name, err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// A shelf of Clonezilla's images is listed; what cannot be restored yet is
// named. Nothing in it is changed by being read.
func TestForeignList(t *testing.T) {
	path := foreignShelf(t)
	s, _ := openDirAt(t, path)
	list, err := List(s)
	if err != nil || len(list) != 14 {
		t.Fatalf("%d images, %v", len(list), err)
	}
	for _, e := range list {
		if e.Name == "md-raid1-part" {
			if !e.Complete || len(e.Disks) != 0 || len(e.Volumes) != 1 || e.Volumes[0].Name != "md0" || e.Volumes[0].Size != 36700160 {
				t.Errorf("%+v", e)
			}
			continue
		}
		if !e.Complete || len(e.Disks) == 0 || e.Stored == 0 || e.Disks[0].Size < 1<<20 {
			t.Errorf("%+v", e)
		}
		if e.Name == "gpt-zst" && (e.Volumes[1].Used != 8941*1024 || e.Volumes[1].Label != "rootA" || e.Volumes[1].FileSystem != "ext4") {
			t.Errorf("%+v", e.Volumes[1])
		}
	}
}

// The sums that Clonezilla made find what its streams do not.
func TestForeignDamage(t *testing.T) {
	path := foreignShelf(t)
	s, _ := openDirAt(t, path)
	for file, image := range map[string]string{"parts": "gpt-zst", "loop41-pt.sf": "gpt-gz", "loop41p2.ext4-ptcl-img.gz": "bookworm-gpt-gz"} {
		flip(t, filepath.Join(path, image, file), 2)
		if r, err := Verify(t.Context(), s, image, nil); err == nil && r.Restorable {
			t.Errorf("%s of %s changed: %+v", file, image, r)
		}
	}
}

// The tables that an image of Clonezilla's gives are those that it saved, the
// logical partitions included, whose chain of tables it does not keep.
func TestForeignTables(t *testing.T) {
	path := foreignShelf(t)
	s, _ := openDirAt(t, path)
	for _, name := range []string{"gpt-zst", "mbr-logical", "bookworm-mbr-zst", "two-disks", "ntfs-disk", "mbr-saveparts"} {
		im := openImage(t, s, name)
		for i, d := range im.Manifest().Disks {
			var sectors []partition.Sector
			for _, a := range d.Areas {
				data, err := im.Area(i, a)
				if err != nil {
					t.Fatal(err)
				}
				sectors = append(sectors, partition.Sector{Name: a.Name, Offset: a.Offset, Data: data})
			}
			table, err := partition.Parse(partition.Scheme(d.Scheme), sectors, d.Size, d.SectorSize)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want, err := os.ReadFile(filepath.Join(path, name, d.Name+"-pt.sf"))
			if err != nil {
				t.Fatal(err)
			}
			if got := table.SfdiskDump("/dev/" + d.Name); got != string(want) {
				t.Errorf("%s: %s\nsfdisk:\n%s, want\n%s", name, d.Name, got, want)
			}
		}
	}
}

// What cannot be restored yet is in the list, with the reason, and its stream
// is checked all the same.
func TestForeignNested(t *testing.T) {
	path := foreignShelf(t)
	s, _ := openDirAt(t, path)
	tests := map[string]struct {
		nested   string // names and sizes
		partial  string // partition with a reason
		volume   string // in whose file a byte is changed
		restores string // what restores beside it
	}{
		"md-raid1-part": {nested: "md0 36700160 ext4", volume: "md0"},
		"luks-gpt":      {nested: "ocs_luks_iAH 39845888 ext4", partial: "sda2", volume: "ocs_luks_iAH", restores: "sda1"},
		"lvm-gpt":       {nested: "vg0/root 25165824 ext4, vg0/swap_1 0 swap, vg0/data-x 20971520 ext4", partial: "sda2", volume: "vg0/data-x", restores: "sda1"},
	}
	for name, want := range tests {
		m := openImage(t, s, name).Manifest()
		var nested []string
		for _, v := range m.Nested {
			nested = append(nested, fmt.Sprint(v.Name, " ", v.Size, " ", v.FileSystem))
			if v.Method != image.Absent || v.Reason == "" {
				t.Errorf("%s: %+v", name, v)
			}
		}
		if got := strings.Join(nested, ", "); got != want.nested {
			t.Errorf("%s: %s, want %s", name, got, want.nested)
		}
		r := verify(t, s, name)
		if r.Restorable || r.Changed {
			t.Errorf("%s: %+v", name, r)
		}
		for _, v := range r.Volumes {
			if v.Restorable != (v.Name == want.restores) || !v.Restorable && len(v.Problems) == 0 {
				t.Errorf("%s: %+v", name, v)
			}
		}
		file := filepath.Join(path, name, strings.ReplaceAll(want.volume, "/", "-")+".ext4-ptcl-img.zst")
		flip(t, file, 2)
		if r := verify(t, s, name); !r.Changed {
			t.Errorf("%s: %s changed: %+v", name, file, r)
		}
	}
}

// flip changes a byte of a file, at that part of its length.
func flip(t *testing.T, file string, part int) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/part] ^= 4
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
