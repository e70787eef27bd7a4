package clonezilla

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/ext"
	"doppel.live/internal/image"
	"doppel.live/internal/partition"
)

// tool gives the path of a program, or skips the test.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// run runs a shell command in a folder and gives what it says.
func run(t testing.TB, folder, command string) string {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// partclone, zstd and b3sum find nothing to complain of in what we write.
func TestOthersAgree(t *testing.T) {
	for _, name := range []string{"partclone.chkimg", "partclone.info", "zstd"} {
		tool(t, name)
	}
	for _, o := range []Options{{}, {Level: None}, {Level: Gzip}, {Split: 400_000}, {Level: Gzip, Split: 400_000}, {Level: None, Split: 1 << 20}} {
		s, path := openDir(t)
		volumes := []testVolume{blocksVolume("sda1", 1501, 0, 4096), blocksVolume("sda2", 1501, 257, 4096), blocksVolume("sda3", 5001, 4100, 1024), rawVolume("sda4", 2<<20+5)}
		mustSave(t, s, "lab", o, volumes...)
		folder := filepath.Join(path, "lab")
		cat, suffix := "zstd -dcq", ".zst"
		switch o.Level {
		case None:
			cat, suffix = "cat", ".uncomp"
		case Gzip:
			cat, suffix = "zcat", ".gz"
		}
		if o.Level == Default && o.Split == 0 {
			run(t, folder, "zstd -tq *.zst")
		}
		if o.Split > 0 {
			suffix += ".[a-z][a-z]" // as Clonezilla names parts
			run(t, folder, fmt.Sprintf("test -e sda3.*.ab && test -z \"$(find . -name '*.[a-z][a-z]' -size +%dc)\"", max(o.Split, 1<<20+4)))
		}
		for _, v := range volumes[:3] {
			file := v.Name + ".ext4-ptcl-img" + suffix
			run(t, folder, fmt.Sprintf("cat %s | %s | partclone.chkimg -s - -L /dev/null", file, cat))
			info := run(t, folder, fmt.Sprintf("cat %s | %s | partclone.info -s - -L /dev/null", file, cat))
			if want := fmt.Sprintf(`Block size:\s+%d Byte`, v.BlockSize); !regexp.MustCompile(want).MatchString(info) || !strings.Contains(info, "EXTFS") {
				t.Errorf("partclone.info says\n%s", info)
			}
		}
		if got := run(t, folder, "cat sda4.dd-ptcl-img"+suffix+" | "+cat); got != string(volumes[3].data) {
			t.Error("the raw volume is not its bytes")
		}
		if _, err := exec.LookPath("b3sum"); err == nil {
			run(t, folder, "b3sum -c --quiet B3SUMS")
		}
	}
}

// A real ext4 comes back by partclone.restore and by us, every block in use.
func TestExt4(t *testing.T) {
	tool(t, "mke2fs")
	tool(t, "partclone.restore")
	s, path := openDir(t)
	disk := filepath.Join(path, "disk")
	run(t, path, "mke2fs -q -t ext4 -b 1024 -L rootA -d $(go env GOROOT)/src/net disk 40000 && e2fsck -fn disk")
	data, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := ext.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	list, err := extent.Collect(opened.Allocated())
	if err != nil {
		t.Fatal(err)
	}
	info := opened.Info()
	v := testVolume{image.Volume{Name: "sda1", Size: int64(len(data)), FileSystem: info.Type, Label: info.Label, UUID: info.UUID, BlockSize: info.BlockSize, Method: image.Blocks}, data, list}
	mustSave(t, s, "lab", Options{}, v)
	want := make([]byte, len(data))
	for _, e := range list {
		copy(want[e.Offset:e.End()], data[e.Offset:e.End()])
	}
	saved, err := openImage(t, s, "lab").Open(0)
	if err != nil {
		t.Fatal(err)
	}
	defer saved.Close()
	if got, err := restoreVolume(saved); err != nil || !bytes.Equal(got, want) {
		t.Errorf("restored by us: %v, equal %t", err, bytes.Equal(got, want))
	}
	// partclone restores onto a regular file with -O; some versions now and then fail to make it.
	run(t, path, "truncate -s "+fmt.Sprint(len(data))+" restored && zstd -dcq lab/sda1.ext4-ptcl-img.zst | partclone.restore -C -s - -O restored -L /dev/null && e2fsck -fn restored")
	got, err := os.ReadFile(filepath.Join(path, "restored"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("restored by partclone: %v, equal %t", err, bytes.Equal(got, want))
	}
}

// tableDisk makes a disk with a table by sfdisk and describes it.
func tableDisk(t *testing.T, script string, volumes []testVolume) (*image.Manifest, *partition.Table, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sda")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 64<<20); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sfdisk", "-q", path)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := partition.Read(bytes.NewReader(data), int64(len(data)), 512)
	if err != nil {
		t.Fatal(err)
	}
	m := testManifest("lab", nil)
	d := &m.Disks[0]
	d.Size, d.Scheme, d.Areas = int64(len(data)), string(table.Scheme), nil
	for _, s := range table.Sectors {
		d.Areas = append(d.Areas, image.Area{Name: s.Name, Offset: s.Offset, Length: int64(len(s.Data))})
	}
	if gap := table.Gap(); gap.Length > 0 {
		d.Areas = append(d.Areas, image.Area{Name: "gap", Offset: gap.Offset, Length: gap.Length})
	}
	for _, p := range table.Partitions {
		if !p.Extended {
			v := volumes[len(d.Volumes)]
			v.Index, v.Name, v.Number, v.Offset = len(d.Volumes), table.PartitionName("sda", p.Number), p.Number, p.Start
			v.Size = p.Size
			volumes[len(d.Volumes)] = v
			d.Volumes = append(d.Volumes, v.Volume)
		}
	}
	return m, table, data
}

const (
	gptScript = `label: gpt
label-id: 11111111-2222-4333-8444-0000000000A1
start=2048, size=8192, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI System"
start=10240, size=16384, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="root", attrs="LegacyBIOSBootable"
start=26624, size=2048, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, name="swap"
`
	mbrScript = `label: dos
label-id: 0xa1b2c3d4
start=2048, size=8192, type=83, bootable
start=10240, size=65536, type=5
start=12288, size=16384, type=83
start=30720, size=2048, type=82
`
)

// Tables and lists are those that sfdisk, sgdisk and parted have of the disk.
func TestTables(t *testing.T) {
	for _, name := range []string{"sfdisk", "parted", "sgdisk"} {
		tool(t, name)
	}
	for label, script := range map[string]string{"gpt": gptScript, "mbr": mbrScript} {
		t.Run(label, func(t *testing.T) {
			volumes := []testVolume{blocksVolume("", 1024, 100, 4096), blocksVolume("", 2048, 700, 4096), swapVolume("")}
			m, table, disk := tableDisk(t, script, volumes)
			s, path := openDir(t)
			w, err := Create(s, m, Options{Tables: map[int]*partition.Table{0: table}})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range m.Disks[0].Areas {
				if err := w.Area(0, a, disk[a.Offset:a.Offset+a.Length]); err != nil {
					t.Fatal(err)
				}
			}
			for _, v := range volumes[:2] {
				if err := writeVolume(w, v); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Commit(nil); err != nil {
				t.Fatal(err)
			}
			checkTables(t, filepath.Join(path, "lab"), disk, volumes, table)
			if r := verify(t, s, "lab"); !r.Restorable || len(r.Warnings) > 0 {
				t.Errorf("%+v", r)
			}
			checkAsForeign(t, s, path, m, disk)
		})
	}
}

// checkTables compares the files of an image with the programs' own output.
func checkTables(t *testing.T, folder string, disk []byte, volumes []testVolume, table *partition.Table) {
	t.Helper()
	file := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	scratch := t.TempDir()
	path := filepath.Join(scratch, "sda")
	for i, v := range volumes { // so that parted sees file systems
		run(t, scratch, fmt.Sprintf("truncate -s %d v%d", v.Size, i))
		switch {
		case v.FileSystem == "swap":
			run(t, scratch, fmt.Sprintf("mkswap -q v%d", i))
		default:
			run(t, scratch, fmt.Sprintf("mke2fs -q -t ext4 v%d", i))
		}
		content, _ := os.ReadFile(filepath.Join(scratch, fmt.Sprintf("v%d", i)))
		disk = append([]byte(nil), disk...)
		copy(disk[v.Offset:], content)
	}
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	fromSecond := func(text string) string { _, rest, _ := strings.Cut(text, "\n"); return rest }
	for unit, suffix := range map[string]string{"s": "", "compact": ".compact"} {
		want := strings.ReplaceAll(run(t, scratch, "parted -s "+path+" unit "+unit+" print"), path, "/dev/sda")
		if got := string(file("sda-pt.parted" + suffix)); fromSecond(got) != fromSecond(want) {
			t.Errorf("unit %s:\n%s\nparted says\n%s", unit, got, want)
		}
	}
	dump := strings.ReplaceAll(run(t, scratch, "sfdisk --dump "+path), path, "/dev/sda")
	if got := string(file("sda-pt.sf")); got != dump {
		t.Errorf("sfdisk:\n%s, want\n%s", got, dump)
	}
	if !bytes.Equal(file("sda-mbr"), disk[:512]) {
		t.Error("mbr")
	}
	if table.Scheme == partition.MBR {
		if !bytes.Equal(file("sda2-ebr"), disk[10240*512:][:512]) || !bytes.Equal(file("sda-hidden-data-after-mbr"), disk[512:1<<20]) {
			t.Error("ebr or gap")
		}
		return
	}
	run(t, scratch, "sgdisk -b gdisk sda")
	want, err := os.ReadFile(filepath.Join(scratch, "gdisk"))
	if err != nil || !bytes.Equal(file("sda-gpt.gdisk"), want) {
		t.Errorf("gdisk: %v, equal %t", err, bytes.Equal(file("sda-gpt.gdisk"), want))
	}
	if !bytes.Equal(file("sda-gpt-1st"), disk[:34*512]) || !bytes.Equal(file("sda-gpt-2nd"), disk[len(disk)-32*512:]) {
		t.Error("copies of the GPT")
	}
}

// checkAsForeign takes doppel.json away: what is left is a Clonezilla image
// with the same tables and volumes.
func checkAsForeign(t *testing.T, s interface{ Remove(string) error }, path string, m *image.Manifest, disk []byte) {
	t.Helper()
	if err := s.Remove("lab/doppel.json"); err != nil {
		t.Fatal(err)
	}
	d, _ := openDirAt(t, path)
	im := openImage(t, d, "lab")
	got := im.Manifest().Disks[0]
	if got.Size != m.Disks[0].Size || got.Scheme != m.Disks[0].Scheme || len(got.Volumes) != len(m.Disks[0].Volumes) {
		t.Fatalf("%+v", got)
	}
	for i, v := range got.Volumes {
		want := m.Disks[0].Volumes[i]
		if v.Offset != want.Offset || v.Size != want.Size || v.Method != want.Method || v.FileSystem != want.FileSystem || v.UUID != want.UUID {
			t.Errorf("%+v, want %+v", v, want)
		}
	}
	for _, a := range got.Areas {
		data, err := im.Area(0, a)
		if err != nil || !bytes.Equal(data, disk[a.Offset:a.Offset+a.Length]) {
			t.Errorf("area %+v: %v", a, err)
		}
	}
}
