package clonezilla

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// An image with damage says so wherever somebody looks at it, and is as whole
// as any other.
func TestDamagedImage(t *testing.T) {
	s := new(store.Memory)
	v := blocksVolume("sda1", 500, 300, 4096)
	v.Damaged = []image.Damage{{Offset: 4096, Length: 512}, {Offset: 8192, Length: 1024}}
	v.Hit = &image.Hit{Files: 3, Metadata: true, Reason: "\x1b[2Jodd"}
	files := map[string][]byte{"doppel-damaged-files.txt": []byte("sda1\t512\ta\n"), "doppel-cciss/c0d0-rescue.map": []byte("# map\n")}
	mustSave(t, s, "lab", Options{Files: files}, v)
	r := verify(t, s, "lab")
	if !r.Restorable || r.Damaged != 1536 || !strings.Contains(strings.Join(r.Warnings, "\n"), "sda1 was saved with damage: 1536 bytes of it could not be read; 3 files are damaged, and perhaps the file system itself") {
		t.Errorf("%+v", r)
	}
	list, err := List(s)
	if err != nil || len(list) != 1 || list[0].Damaged != 1536 || !list[0].Complete {
		t.Errorf("%+v, %v", list, err)
	}
	got := openImage(t, s, "lab").Manifest().Disks[0].Volumes[0]
	if len(got.Damaged) != 2 || got.Damaged[1] != v.Damaged[1] || got.Hit == nil || got.Hit.Files != 3 || strings.Contains(got.Hit.Reason, "\x1b") {
		t.Errorf("%+v, %+v", got, got.Hit)
	}
	for _, name := range []string{"doppel-damaged-files.txt", "doppel-cciss-c0d0-rescue.map"} {
		data, err := store.ReadFile(s, "lab/"+name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(data)
		flipped[3] ^= 1
		store.WriteFile(s, "lab/"+name, flipped, 0o644)
		if r := verify(t, s, "lab"); r.Restorable {
			t.Errorf("%s was changed, and nobody saw it", name)
		}
		store.WriteFile(s, "lab/"+name, data, 0o644)
	}
}

func TestHostileDamage(t *testing.T) {
	v := blocksVolume("sda1", 500, 300, 4096)
	for name, damaged := range map[string][]image.Damage{
		"no length":  {{Offset: 4096}},
		"negative":   {{Offset: -512, Length: 1024}},
		"descending": {{Offset: 8192, Length: 512}, {Offset: 4096, Length: 512}},
		"outside":    {{Offset: 500 * 4096, Length: 512}},
		"overflow":   {{Offset: 512, Length: 1<<63 - 1}},
	} {
		m := testManifest("lab", []testVolume{v})
		m.Disks[0].Volumes[0].Damaged = damaged
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseManifest(data); !errors.Is(err, image.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		m.Disks[0].Volumes[0].Damaged, m.Disks[0].Damaged = nil, []image.Damage{{Offset: m.Disks[0].Size, Length: 1}}
		data, _ = json.Marshal(m)
		if _, err := parseManifest(data); !errors.Is(err, image.ErrDamaged) {
			t.Errorf("disk: %v", err)
		}
	}
}

// What a rescue left is listed and can be removed, and is no image.
func TestUnfinishedRescue(t *testing.T) {
	s := new(store.Memory)
	if err := s.MakeFolder("lab.rescue"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"doppel-rescue.json", "map", "00000000.raw"} {
		if err := store.WriteFile(s, "lab.rescue/"+name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := List(s)
	if err != nil || len(list) != 1 || list[0].Complete || list[0].Problem != ErrRescue.Error() || list[0].Stored != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := Open(s, "lab.rescue"); !errors.Is(err, ErrRescue) {
		t.Error(err)
	}
	if err := Remove(s, "lab.rescue"); err != nil {
		t.Error(err)
	}
	if list, err := List(s); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
