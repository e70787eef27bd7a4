package plan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
	"doppel.live/internal/partition/tabletest"
)

const gib = 1 << 30

func TestConfirmAsksForEnoughOfTheSerialNumber(t *testing.T) {
	for _, c := range []struct {
		serial string
		others []string
		expect string
	}{
		{"S5XYZ123S3Z9", nil, "S3Z9"},
		{"S5XYZ123S3Z9", []string{"ABCDS3Z9"}, "3S3Z9"},
		{"S5XYZ123S3Z9", []string{"abc23s3z9", ""}, "123S3Z9"},
		{"S3Z9", nil, "S3Z9"},
		{"9", nil, "9"},
		{"AAAA1111", []string{"AAAA1111"}, "AAAA1111"},
		{"", nil, "YES"},
		{"  ", nil, "YES"},
	} {
		got := NewConfirm(c.serial, c.others)
		if got.Expect != c.expect {
			t.Errorf("%q beside %q: %+v, want %q", c.serial, c.others, got, c.expect)
		}
		if !got.Agrees(" "+strings.ToLower(c.expect)+"\n") || got.Agrees("") || got.Agrees(c.expect+"X") {
			t.Errorf("%q: Agrees is wrong", c.serial)
		}
	}
}

// restorable is an image of a disk of 4 GiB without a table.
func restorable() RestoreInput {
	return RestoreInput{
		Manifest: &image.Manifest{Name: "lab", WholeDisk: true, Disks: []image.Disk{{
			Name: "sda", Size: 4 * gib, SectorSize: 512, Scheme: "none",
			Volumes: []image.Volume{{Name: "sda", Size: 4 * gib, Used: gib, Method: image.Blocks, FileSystem: "ext4"}},
		}}},
		Area:       func(int, image.Area) ([]byte, error) { return nil, image.ErrDamaged },
		Target:     Device{Path: "/dev/sdb", Serial: "ABC12345", Size: 4 * gib},
		SectorSize: 512, Rate: 1 << 20, Consent: blockdev.Consent{Path: "/dev/sdb"},
	}
}

func TestRestoreRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*RestoreInput)
		want   []string
	}{
		"too small":           {func(in *RestoreInput) { in.Target.Size = 4*gib - 512 }, []string{"4294966784", "4294967296", "at least as large"}},
		"unknown volume":      {func(in *RestoreInput) { in.Only = []string{"sda9"} }, []string{"no sda9", "doppel images show lab"}},
		"no such partition":   {func(in *RestoreInput) { in.Manifest.WholeDisk, in.Manifest.Disks[0].Volumes[0].Number = false, 3 }, []string{"no partition 3"}},
		"partition too small": {func(in *RestoreInput) { in.Partition, in.Target.Size = true, gib }, []string{"1073741824", "4294967296"}},
		"left out":            {func(in *RestoreInput) { in.Partition, in.Manifest.Disks[0].Volumes[0].Method = true, image.Absent }, []string{"left out"}},
		"two volumes into one partition": {func(in *RestoreInput) {
			in.Partition = true
			in.Manifest.Disks[0].Volumes = append(in.Manifest.Disks[0].Volumes, image.Volume{Name: "sda2", Index: 1, Size: 1})
		}, []string{"one partition", "--only"}},
		"two disks": {func(in *RestoreInput) {
			in.Manifest.Disks = append(in.Manifest.Disks, image.Disk{Name: "sdb", Volumes: []image.Volume{{Name: "sdb", Index: 1}}})
		}, []string{"2 disks", "--only sda"}},
		"blocks smaller than sectors": {func(in *RestoreInput) {
			in.Partition, in.SectorSize, in.Manifest.Disks[0].Volumes[0].BlockSize = true, 4096, 1024
		}, []string{"4096", "1024", "mounted"}},
		"made for smaller sectors": {func(in *RestoreInput) {
			in.Partition, in.SectorSize, in.Manifest.Disks[0].Volumes[0].SectorSize = true, 4096, 512
		}, []string{"4096", "sectors of 512", "mounted"}},
		"NTFS of a disk with smaller sectors": {func(in *RestoreInput) {
			in.Partition, in.SectorSize, in.Manifest.Disks[0].Volumes[0].FileSystem = true, 4096, "ntfs"
		}, []string{"4096", "sectors of 512", "mounted"}},
		"the same on a whole disk": {func(in *RestoreInput) { in.SectorSize, in.Manifest.Disks[0].Volumes[0].BlockSize = 4096, 2048 }, []string{"4096", "2048"}},
		"sector size":              {func(in *RestoreInput) { in.SectorSize, in.Manifest.Disks[0].Scheme = 4096, "gpt" }, []string{"4096", "512"}},
	} {
		in := restorable()
		c.change(&in)
		p, err := NewRestore(in)
		if err != nil || len(p.Refusals) != 1 || len(p.Steps) > 0 {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(p.Refusals[0], w) {
				t.Errorf("%s: %q does not say %q", name, p.Refusals[0], w)
			}
		}
	}
}

func TestRestorePlanSaysWhatItDoes(t *testing.T) {
	in := restorable()
	p, err := NewRestore(in)
	if err != nil || len(p.Refusals) > 0 {
		t.Fatal(err, p.Refusals)
	}
	if p.Bytes != gib || p.Seconds != 1025 || len(p.Steps) != 1 || p.Confirm.Expect != "2345" {
		t.Errorf("%+v", p)
	}
	for _, at := range []int64{0, 128<<10 - 1, 4*gib - 1} {
		if !slices.ContainsFunc(p.Wipe, func(e extent.Extent) bool { return at >= e.Offset && at < e.End() }) {
			t.Errorf("byte %d is not wiped: %v", at, p.Wipe)
		}
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"image", "target", "consent", "confirm", "steps", "bytes", "seconds", "refusals", "warnings"} {
		if fields[k] == nil {
			t.Errorf("the JSON of a plan lacks %s", k)
		}
	}
	if len(fields) != 9 {
		t.Errorf("%d fields", len(fields))
	}
}

// A consent code is for one image, its volumes, and the target as it is.
func TestConsentIsForThePlan(t *testing.T) {
	code := func(change func(*RestoreInput)) string {
		t.Helper()
		in := restorable()
		in.Partition = true
		in.Manifest.Disks[0].Volumes = append(in.Manifest.Disks[0].Volumes, image.Volume{Name: "sda2", Index: 1, Size: 512, Method: image.Raw})
		in.Only, in.Manifest.Disks[0].Name = []string{"sda2"}, "disk"
		change(&in)
		p, err := NewRestore(in)
		if err != nil || len(p.Refusals) > 0 || len(p.Consent) != 12 {
			t.Fatalf("%+v, %v", p, err)
		}
		return p.Consent
	}
	first := code(func(*RestoreInput) {})
	if first != code(func(*RestoreInput) {}) {
		t.Error("one plan, two codes")
	}
	for name, change := range map[string]func(*RestoreInput){
		"other contents": func(in *RestoreInput) { in.Consent.Digest = "x" },
		"other image":    func(in *RestoreInput) { in.Manifest.Name = "x" },
		"saved again":    func(in *RestoreInput) { in.Manifest.ID = "x" },
		"other volume":   func(in *RestoreInput) { in.Only = []string{"sda"} },
		"whole disk":     func(in *RestoreInput) { in.Partition, in.Only = false, nil },
	} {
		if code(change) == first {
			t.Errorf("%s: the same code", name)
		}
	}
}

func TestHostileManifest(t *testing.T) {
	for _, v := range []image.Volume{
		{Name: "x", Offset: -1, Size: 10}, {Name: "x", Offset: 4 * gib, Size: 1}, {Name: "x", Offset: 1, Size: -5}, {Name: "x", Offset: 1<<63 - 1, Size: 1<<63 - 1},
	} {
		in := restorable()
		in.Manifest.Disks[0].Volumes = []image.Volume{v}
		if p, err := NewRestore(in); err == nil && len(p.Refusals) == 0 {
			t.Errorf("%+v: %+v", v, p)
		}
	}
	in := restorable()
	in.Manifest.Disks[0].Scheme = "gpt"
	in.Manifest.Disks[0].Areas = []image.Area{{Name: partition.AreaGPTPrimary, Length: 512}}
	if _, err := NewRestore(in); err == nil {
		t.Error("an area that cannot be read")
	}
}

func TestWriteOrderEndsWithSectorZero(t *testing.T) {
	var names []string
	for _, s := range writeOrder(&partition.Table{Sectors: []partition.Sector{
		{Name: "mbr"}, {Name: "gpt-primary"}, {Name: "ebr"}, {Name: "gpt-backup"},
	}}) {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "ebr gpt-backup gpt-primary mbr" {
		t.Error(got)
	}
	for _, order := range []string{"bsd-label mbr", "bsd-boot bsd-label", "apple-driver apple-map apple-device"} {
		words := strings.Fields(order)
		for i, w := range words[1:] {
			if before := partition.WriteRank(words[i]); before < 0 || before >= partition.WriteRank(w) {
				t.Errorf("%s is not written before %s", words[i], w)
			}
		}
	}
}

// A table of the target that lies within a partition stays; one that
// contradicts itself is trusted by nobody.
func TestTargetsOwnTable(t *testing.T) {
	disk := make([]byte, 4<<20)
	tabletest.MBREntry(disk, 0, 0, 0xA5, 64, 4000)
	tabletest.Disklabel(disk[65*512:], binary.LittleEndian, 512, 4000, 0, 8, tabletest.Letter{Letter: 'a', Size: 2000, Kind: 7})
	read := func() *partition.Table {
		table, err := partition.Read(bytes.NewReader(disk), int64(len(disk)), 512)
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	in := restorable()
	in.Target.Size, in.Present = int64(len(disk)), read()
	in.Manifest.Disks[0].Volumes = []image.Volume{{Name: "sda5", Number: 5, Offset: 1 << 20, Size: 2000 * 512, Method: image.Raw}}
	in.Manifest.WholeDisk = false
	p, err := NewRestore(in)
	if err != nil || len(p.Refusals) > 0 || len(p.Keep) != 1 || p.Keep[0].Offset != 64*512 || len(p.Keep[0].Data) != 8192 || len(p.Table) > 0 {
		t.Errorf("%+v, %v", p, err)
	}
	in.Manifest.Disks[0].Volumes[0].Number = 1
	if p, _ := NewRestore(in); len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0], "no partition 1") {
		t.Errorf("a slice was taken for a volume: %q", p.Refusals)
	}
	tabletest.MBREntry(disk, 1, 0, 0x83, 100, 10)
	in.Present = read()
	if p, _ := NewRestore(in); len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0], "cannot be trusted (partitions 1 and 2 overlap)") {
		t.Errorf("%q", p.Refusals)
	}
}

// savable is a disk of two partitions, of which nothing is in use.
func savable() SaveInput {
	return SaveInput{
		Manifest: &image.Manifest{Name: "lab", WholeDisk: true, Disks: []image.Disk{{
			Name: "sda", Size: 4 * gib, Volumes: []image.Volume{
				{Name: "sda1", Number: 1, Size: gib, Used: gib / 2, Method: image.Blocks},
				{Name: "sda2", Index: 1, Number: 2, Size: gib, Used: gib, Method: image.Raw},
			},
		}}},
		Place: "/images", Free: 100 * gib, Ratio: 0.5, Rate: gib,
		Sources: []Source{{Device: Device{Path: "/dev/sda"}, Name: "sda"}},
	}
}

func TestSavePlan(t *testing.T) {
	p := NewSave(savable())
	if p.Bytes != 3*gib/2 || p.Stored != 3*gib/4+overhead || p.Seconds != 2 || len(p.Steps) != 2 || len(p.Refusals)+len(p.Warnings) > 0 {
		t.Errorf("%+v", p)
	}
	mounted := blockdev.Use{Device: "sda2", Kind: blockdev.Mounted, By: "/home"}
	for name, c := range map[string]struct {
		change  func(*SaveInput)
		refusal string
		warning string
	}{
		"mounted":           {func(in *SaveInput) { in.Sources[0].Uses = []blockdev.Use{mounted} }, "sda2 is mounted at /home for writing: unmount it (umount /home), mount it read-only", ""},
		"mounted read-only": {func(in *SaveInput) { m := mounted; m.ReadOnly = true; in.Sources[0].Uses = []blockdev.Use{m} }, "", ""},
		"mounted, left out": {func(in *SaveInput) {
			in.Sources[0].Uses, in.Manifest.Disks[0].Volumes[1].Method = []blockdev.Use{mounted}, image.Absent
		}, "", ""},
		"in use as swap": {func(in *SaveInput) { in.Sources[0].Uses = []blockdev.Use{{Device: "sda2", Kind: blockdev.Swapped}} }, "swapoff", ""},
		"swap in use, header only": {func(in *SaveInput) {
			in.Sources[0].Uses, in.Manifest.Disks[0].Volumes[1].Method = []blockdev.Use{{Device: "sda2", Kind: blockdev.Swapped}}, image.Swap
		}, "", ""},
		"held, and mounted above": {func(in *SaveInput) {
			in.Sources[0].Uses = []blockdev.Use{{Device: "sda2", Kind: blockdev.Held, By: "LVM (vg-root)"}, {Device: "sda2", Kind: blockdev.Mounted, By: "/", Through: "vg-root"}}
		}, "mounted at / through vg-root", "LVM (vg-root)"},
		"held": {func(in *SaveInput) {
			in.Sources[0].Uses = []blockdev.Use{{Device: "sda2", Kind: blockdev.Held, By: "LVM (vg-root)"}}
		}, "", "LVM (vg-root)"},
		"images on the source": {func(in *SaveInput) { in.Behind = []string{"sda2", "sda"} }, "--except sda2", ""},
		"images on a part left out": {func(in *SaveInput) {
			in.Behind, in.Manifest.Disks[0].Volumes[1].Method = []string{"sda2", "sda"}, image.Absent
			in.Sources[0].Uses = []blockdev.Use{mounted}
		}, "", ""},
		"no room":     {func(in *SaveInput) { in.Free = gib / 2 }, "536870912", ""},
		"little room": {func(in *SaveInput) { in.Free = gib }, "", "does not compress"},
		"no name":     {func(in *SaveInput) { in.Problem = "bad name" }, "bad name", ""},
		"nothing left": {func(in *SaveInput) {
			in.Manifest.WholeDisk = false
			for i := range in.Manifest.Disks[0].Volumes {
				in.Manifest.Disks[0].Volumes[i].Method = image.Absent
			}
		}, "nothing is left", ""},
	} {
		in := savable()
		c.change(&in)
		p := NewSave(in)
		check := func(what string, got []string, want string) {
			if (want == "") != (len(got) == 0) || want != "" && !strings.Contains(got[0], want) {
				t.Errorf("%s: %s %q, want %q", name, what, got, want)
			}
		}
		check("refusals", p.Refusals, c.refusal)
		check("warnings", p.Warnings, c.warning)
	}
}

func TestNameOfAnImage(t *testing.T) {
	for spec, want := range map[string][2]string{
		"lab": {"/images", "lab"}, "/a/b/lab": {"/a/b", "lab"}, "./lab": {".", "lab"}, "lab/": {".", "lab"}, "../x/lab/": {"../x", "lab"}, "/lab": {"/", "lab"},
	} {
		if place, name := Name(spec, "/images"); [2]string{place, name} != want {
			t.Errorf("%s: %s %s", spec, place, name)
		}
	}
}

// A FAT takes no file of more than 4 GiB less one byte.
func TestSaveOnFAT(t *testing.T) {
	m := &image.Manifest{Name: "lab", Disks: []image.Disk{{Volumes: []image.Volume{{Name: "sda1", Used: 5 << 30, Method: image.Blocks}}}}}
	const most = 1<<32 - 1
	if n := SplitFor(m, most); n != 4_000_000_000 {
		t.Error(n)
	}
	if n := SplitFor(m, 0); n != 0 {
		t.Error(n)
	}
	for split, want := range map[int64]string{0: "use --split 4G", 4_000_000_000: "are split into files", 1 << 33: "choose a smaller --split"} {
		p := NewSave(SaveInput{Manifest: m, Sources: make([]Source, 1), Place: "/images", Free: -1, MaxFile: most, Split: split})
		if said := strings.Join(append(p.Warnings, p.Refusals...), "; "); !strings.Contains(said, want) || (len(p.Refusals) > 0) != (split > most) {
			t.Errorf("%d: %q", split, said)
		}
	}
	m.Disks[0].Volumes[0].Used = 1 << 30
	if p := NewSave(SaveInput{Manifest: m, Sources: make([]Source, 1), Free: -1, MaxFile: most}); SplitFor(m, most) != 0 || len(p.Warnings) > 0 {
		t.Errorf("%q", p.Warnings)
	}
}

// What lies on no disk of an image is refused with its reason.
func TestRestoreNested(t *testing.T) {
	nested := []image.Volume{{Name: "vg0/root", Method: image.Absent, Reason: "it is a logical volume"}}
	for _, only := range [][]string{nil, {"vg0/root"}} {
		p, err := NewRestore(RestoreInput{Manifest: &image.Manifest{Name: "lab", Nested: nested}, Only: only})
		if err != nil || len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0], "it is a logical volume") {
			t.Errorf("%+v, %v", p, err)
		}
	}
}
