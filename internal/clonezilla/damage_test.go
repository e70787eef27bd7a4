package clonezilla

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// imageFiles gives the files of an image in s.
func imageFiles(t *testing.T, s store.Store, name string) map[string][]byte {
	t.Helper()
	entries, err := s.List(name)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if files[e.Name], err = store.ReadFile(s, name+"/"+e.Name, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// found tells whether Verify finds something wrong, at the volume where there is one.
func found(s store.Store, volume string) error {
	r, err := Verify(context.Background(), s, "lab", nil)
	if err != nil {
		return nil // it cannot even be opened, and says so
	}
	if r.Restorable {
		return fmt.Errorf("restorable: %+v", r)
	}
	for _, v := range r.Volumes {
		if volume != "" && v.Restorable == (v.Name == volume) {
			return fmt.Errorf("volume %s: %+v", volume, r)
		}
	}
	return nil
}

// Every byte changed and every cut, in every file, is found, and blamed on the
// volume that it hurts; what still restores, restores the right bytes.
func TestDamage(t *testing.T) {
	for _, o := range []Options{{}, {Level: None}, {Level: Gzip, Split: 10_000}} {
		t.Run(fmt.Sprint(o.Level, " ", o.Split), func(t *testing.T) { testDamage(t, o) })
	}
}

// soak tells whether the long runs are wanted.
func soak() bool { return os.Getenv("DOPPEL_SOAK") != "" }

func testDamage(t *testing.T, o Options) {
	volumes := []testVolume{blocksVolume("sda1", 40, 9, 4096), rawVolume("sda2", 9000), swapVolume("sda3")}
	s := new(store.Memory)
	mustSave(t, s, "lab", o, volumes...)
	for file, data := range imageFiles(t, s, "lab") {
		volume := ""
		for _, v := range volumes {
			if strings.HasPrefix(file, v.Name+".") || strings.HasPrefix(file, "doppel-"+v.Name+".") {
				volume = v.Name
			}
		}
		step := max(1, len(data)/40)
		if soak() {
			step = 1
		}
		for at := 0; at < len(data); at += step {
			bad := bytes.Clone(data)
			bad[at] ^= 1 << (at % 8)
			for what, content := range map[string][]byte{"changed": bad, "cut": data[:at]} {
				if err := store.WriteFile(s, "lab/"+file, content, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := found(s, volume); err != nil {
					t.Errorf("%s %s at byte %d: %v", file, what, at, err)
				}
				for _, v := range volumes[:2] {
					wrongBytes(t, s, v, fmt.Sprintf("%s %s at byte %d", file, what, at))
				}
			}
		}
		if err := s.Remove("lab/" + file); err != nil {
			t.Fatal(err)
		}
		if err := found(s, ""); err != nil {
			t.Errorf("%s missing: %v", file, err)
		}
		if err := store.WriteFile(s, "lab/"+file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, s, "lab"); !r.Restorable {
		t.Fatalf("the test left damage: %+v", r)
	}
}

// wrongBytes fails when an image is read without error and is not what was saved.
func wrongBytes(t *testing.T, s store.Store, v testVolume, what string) {
	t.Helper()
	im, err := Open(s, "lab")
	if err != nil {
		return
	}
	defer im.Close()
	m, want := im.Manifest(), testManifest("lab", []testVolume{blocksVolume("sda1", 40, 9, 4096), rawVolume("sda2", 9000), swapVolume("sda3")})
	d := want.Disks[0]
	if got := m.Disks[0]; got.Size != d.Size || len(got.Volumes) != 3 || got.Volumes[1].Offset != d.Volumes[1].Offset || len(got.Areas) != 2 {
		t.Errorf("%s: another disk: %+v", what, got)
	}
	for _, a := range m.Disks[0].Areas {
		want := make([]byte, a.Length)
		noise(want, uint64(a.Offset))
		if data, err := im.Area(0, a); err == nil && !bytes.Equal(data, want) {
			t.Errorf("%s: area %s is restored wrong without an error", what, a.Name)
		}
	}
	saved, err := im.Open(v.Index)
	if err != nil {
		return
	}
	defer saved.Close()
	if got, err := restoreVolume(saved); err == nil && !bytes.Equal(got, v.data) {
		t.Errorf("%s: %s is restored wrong without an error", what, v.Name)
	}
}

// A frames file with a right sum and wrong blocks gives an error, whatever it
// says: the bitmap does not fit it.
func TestHostileFrames(t *testing.T) {
	s := new(store.Memory)
	v := blocksVolume("sda1", 600, 0, 4096)
	v.list = []extent.Extent{{Offset: 40960, Length: 300 * 4096}, {Offset: 500 * 4096, Length: 40960}}
	mustSave(t, s, "lab", Options{}, v)
	name := "lab/sda1.ext4-ptcl-img.zst.frames"
	data, err := store.ReadFile(s, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	const lastBlocks = framesHeader + 4*framesEntry // behind header, bitmap, its checksum, and 256 blocks
	for field, change := range map[int]func([]byte){
		16: func(b []byte) { b[0]++ },      // first block
		24: func(b []byte) { b[0] -= 3 },   // end
		32: func(b []byte) { b[0] ^= 255 }, // used blocks
	} {
		bad := bytes.Clone(data)
		change(bad[lastBlocks+field:])
		if err := store.WriteFile(s, name, resum(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		saved, err := openImage(t, s, "lab").Open(0)
		if err != nil {
			continue
		}
		if _, err := restoreVolume(saved); err == nil {
			t.Errorf("field %d: records without an error", field)
		}
		if _, err := saved.ReadAt(make([]byte, v.Size), 0); err == nil {
			t.Errorf("field %d: read without an error", field)
		}
		saved.Close()
	}
}

// A doppel.json that means harm is refused, or made harmless.
func TestHostileManifest(t *testing.T) {
	tests := map[string]func(*image.Manifest){
		"file outside":        func(m *image.Manifest) { m.Disks[0].Volumes[0].File = "../other/sda1.img" },
		"absolute file":       func(m *image.Manifest) { m.Disks[0].Volumes[0].File = "/etc/shadow" },
		"hidden file":         func(m *image.Manifest) { m.Disks[0].Areas[0].File = ".x" },
		"volume past the end": func(m *image.Manifest) { m.Disks[0].Volumes[0].Size = 1 << 60 },
		"negative offset":     func(m *image.Manifest) { m.Disks[0].Volumes[0].Offset = -4096 },
		"overflow":            func(m *image.Manifest) { m.Disks[0].Areas[0].Offset = 1<<63 - 1 },
		"index":               func(m *image.Manifest) { m.Disks[0].Volumes[0].Index = 7 },
		"sector size":         func(m *image.Manifest) { m.Disks[0].SectorSize = 1000 },
		"method":              func(m *image.Manifest) { m.Disks[0].Volumes[0].Method = "run" },
		"format":              func(m *image.Manifest) { m.Format = 2 },
		"two disks":           func(m *image.Manifest) { m.Disks = append(m.Disks, m.Disks[0]) },
	}
	for name, change := range tests {
		m := testManifest("lab", []testVolume{blocksVolume("sda1", 10, 1, 4096)})
		change(m)
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseManifest(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m := testManifest("lab", []testVolume{blocksVolume("sda1", 10, 1, 4096)})
	m.Disks[0].Volumes[0].Label = "a\x1b[2J\u202eb"
	m.Disks[0].Model = "x\ny"
	data, _ := json.Marshal(m)
	got, err := parseManifest(data)
	if err != nil || got.Disks[0].Volumes[0].Label != "a\ufffd[2J\ufffdb" || got.Disks[0].Model != "x\ufffdy" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Folders that hold something else do not disturb a list.
func TestListJunk(t *testing.T) {
	s, path := openDir(t)
	mustSave(t, s, "lab", Options{}, blocksVolume("sda1", 10, 3, 4096), swapVolume("sda2"))
	for _, folder := range []string{"empty", "photos", ".hidden", "lost+found"} {
		if err := s.MakeFolder(folder); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := store.WriteFile(s, name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("photos/a.jpg", "x")
	write("readme.txt", "x")
	for name, json := range map[string]string{"broken": "{", "future": `{"format":9}`} {
		if err := s.MakeFolder(name); err != nil {
			t.Fatal(err)
		}
		write(name+"/doppel.json", json)
		write(name+"/clonezilla-img", "x")
	}
	if err := os.Symlink("/etc", filepath.Join(path, "link")); err != nil {
		t.Fatal(err)
	}
	list, err := List(s)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
		if e.Complete != (e.Name == "lab") || (e.Problem == "") != e.Complete {
			t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(names, []string{"broken", "future", "lab"}) {
		t.Errorf("%q", names)
	}
	if e := list[2]; len(e.Disks) != 1 || e.Disks[0].Serial != "S3Z9" || len(e.Volumes) != 2 || e.Volumes[0].Used != 3*4096 || e.Stored == 0 {
		t.Errorf("%+v", e)
	}
}

func TestSeekTable(t *testing.T) {
	for _, list := range [][]seekSize{{}, {{1, 2}}, {{1, 2}, {3, 4}, {1 << 31, 5}}} {
		data := encodeSeekTable(list)
		if got, err := parseSeekTable(data); err != nil || !slices.Equal(got, list) {
			t.Errorf("%v: %v, %v", list, got, err)
		}
		d, err := zstd.NewReader(nil)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := d.DecodeAll(data, nil); err != nil || len(out) > 0 {
			t.Errorf("zstd reads %d bytes of it, %v", len(out), err)
		}
		d.Close()
	}
}

func FuzzSeekTable(f *testing.F) {
	f.Add(encodeSeekTable([]seekSize{{1, 2}, {3, 4}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if list, err := parseSeekTable(data); err == nil && !bytes.Equal(encodeSeekTable(list), data) {
			t.Fatal("encodes to something else")
		}
	})
}

// framesOf gives the frames file of a small volume.
func framesOf(f testing.TB) []byte {
	s := new(store.Memory)
	mustSave(f, s, "lab", Options{}, blocksVolume("sda1", 600, 300, 4096))
	data, err := store.ReadFile(s, "lab/sda1.ext4-ptcl-img.zst.frames", 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	return data
}

func FuzzFrames(f *testing.F) {
	f.Add(framesOf(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < framesSum {
			return
		}
		data = resum(data) // what the sum keeps out is of interest behind it too
		file, err := openFrames(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		end := int64(0)
		for i := range file.entries {
			e, err := file.frame(i)
			if err != nil || e.offset != end {
				t.Fatalf("frame %d at %d, want %d: %v", i, e.offset, end, err)
			}
			end += int64(e.stored)
		}
		if i, err := file.find(file.volumeSize / 2); err != nil || i < file.data || i > file.dataEnd {
			t.Fatalf("found %d, %v", i, err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	data, _ := json.Marshal(testManifest("lab", []testVolume{blocksVolume("sda1", 10, 1, 4096), swapVolume("sda2")}))
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		for _, d := range m.Disks {
			for _, v := range d.Volumes {
				if strings.ContainsAny(v.File, "/\x00\n") || v.Offset < 0 || v.Offset+v.Size > d.Size || strings.ContainsAny(v.Label, "\x1b\n") {
					t.Fatalf("%+v", v)
				}
			}
		}
	})
}

// resum puts the right sum behind a changed frames file.
func resum(data []byte) []byte {
	data = bytes.Clone(data)
	sum := blake3.Sum256(data[:len(data)-framesSum])
	copy(data[len(data)-framesSum:], sum[:])
	return data
}

// The example of FORMAT.md.
func TestFormatExample(t *testing.T) {
	s := new(store.Memory)
	v := testVolume{image.Volume{Name: "sda1", Size: 3, Method: image.Raw}, []byte("abc"), []extent.Extent{{Length: 3}}}
	mustSave(t, s, "lab", Options{Level: None}, v)
	got, err := store.ReadFile(s, "lab/sda1.dd-ptcl-img.uncomp.frames", 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	head := "444f504652414d45" + "01000000" + "02000000" + "00000000" + "01000000" + "0300000000000000" + "0100000000000000" + "0300000000000000" + strings.Repeat("00", 16)
	entry := strings.Repeat("00", 8) + "03000000" + "03000000" + strings.Repeat("00", 8) + "0300000000000000" + "03000000" + "03000000"
	want, err := hex.DecodeString(head + entry)
	if err != nil {
		t.Fatal(err)
	}
	sum := blake3.Sum256([]byte("abc"))
	want = append(want, sum[:]...)
	sum = blake3.Sum256(want)
	if want = append(want, sum[:]...); !bytes.Equal(got, want) {
		t.Errorf("%x, want\n%x", got, want)
	}
}
