package clonezilla

import (
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

func TestAliases(t *testing.T) {
	for names, want := range map[string]string{
		"sda":                                "",
		"sdab nvme0n1 loop12 mmcblk0 vdb":    "    ",
		"cciss/c0d0 hda md127 xvda":          "   ",
		"golden.img":                         "sda",
		"disk":                               "sda",
		"nvme0n1p1 sd1 sdA loop dm-0 mapper": "sda sdb sdc sdd sde sdf",
		"a.img sda b.img sdc":                "sdb  sdd ",
	} {
		m := new(image.Manifest)
		for _, name := range strings.Fields(names) {
			m.Disks = append(m.Disks, image.Disk{Name: name, Alias: "stale", Volumes: []image.Volume{{Name: name + "-3", Number: 3}, {Name: name}}})
		}
		giveAliases(m)
		var got []string
		for _, d := range m.Disks {
			got = append(got, d.Alias)
			if v := d.Volumes; v[1].Alias != d.Alias || v[0].Alias != d.Alias+map[bool]string{true: "3"}[d.Alias != ""] {
				t.Errorf("%s: volumes %q and %q", d.Name, v[0].Alias, v[1].Alias)
			}
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s: %q, want %q", names, got, want)
		}
	}
	for n, want := range map[int]string{0: "sda", 25: "sdz", 26: "sdaa", 701: "sdzz", 702: "sdaaa"} {
		if got := scsiName(n); got != want {
			t.Errorf("disk %d: %s, want %s", n, got, want)
		}
	}
}

// An image of golden.img has sda's files, and its own name beside; one that
// was saved before there were aliases has files of its own name, and is read.
func TestImageOfRegularFile(t *testing.T) {
	tailed := blocksVolume("golden.img1", 70, 9, 4096)
	tailed.data = append(tailed.data, "what no block holds"...)
	tailed.Size = int64(len(tailed.data))
	tailed.list = extent.Merge(append(tailed.list, extent.Extent{Offset: 4096 * 70, Length: tailed.Size - 4096*70}))
	volumes := []testVolume{tailed, rawVolume("golden.img2", 70_000), swapVolume("golden.img3")}
	for name, base := range map[string]string{"new": "sda", "old": "golden.img"} {
		s := new(store.Memory)
		m := testManifest(name, volumes)
		m.Disks[0].Name = "golden.img"
		w, err := Create(s, m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if name == "old" {
			d := &w.(*writer).manifest.Disks[0]
			d.Alias = ""
			for i := range d.Volumes {
				d.Volumes[i].Alias = ""
			}
		}
		if err := saveInto(w, m, volumes); err != nil {
			t.Fatal(err)
		}
		im := openImage(t, s, name)
		if got := im.Manifest().Disks[0]; got.Name != "golden.img" || got.Volumes[1].Name != "golden.img2" {
			t.Errorf("%s: disk %s, volume %s", name, got.Name, got.Volumes[1].Name)
		}
		for _, v := range volumes {
			checkVolume(t, im, v)
		}
		if r := verify(t, s, name); !r.Restorable || len(r.Warnings) > 0 {
			t.Errorf("%s: %+v", name, r)
		}
		for file, want := range map[string]string{"disk": base + "\n", "parts": base + "1 " + base + "2\n", "swappt-" + base + "3.info": "UUID="} {
			if got, err := store.ReadFile(s, name+"/"+file, 100); err != nil || !strings.HasPrefix(string(got), want) {
				t.Errorf("%s: %s is %q, %v", name, file, got, err)
			}
		}
		entries, err := s.List(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if name == "new" && strings.Contains(e.Name, "golden") {
				t.Errorf("there is a file %s", e.Name)
			}
		}
	}
}
