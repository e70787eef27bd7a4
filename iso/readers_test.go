package iso

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kdomanski/iso9660"
)

// TestKdomanski reads a disc back with another Go package. It mixes up
// the records of directories over one sector (it keeps slices of a buffer
// that it uses again), so these are left out or dealt out to smaller ones.
func TestKdomanski(t *testing.T) {
	entries := slices.DeleteFunc(sampleEntries(), func(e Entry) bool { return strings.HasPrefix(e.Path, "many/") })
	for i, e := range entries {
		if dir, name := path.Split(e.Path); dir == "names/" || dir == "links/" {
			entries[i].Path = fmt.Sprintf("%s%d/%s", dir, i/3, name)
		}
	}
	f, err := os.Open(writeFile(t, build(t, Options{VolumeID: "DATA", Time: testTime}, entries)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	image, err := iso9660.OpenImage(f)
	if err != nil {
		t.Fatal(err)
	}
	root, err := image.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	var got []item
	var visit func(dir *iso9660.File, at string)
	visit = func(dir *iso9660.File, at string) {
		children, err := dir.GetChildren()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range children {
			// It knows the nine permission bits and no link targets.
			i := item{Path: path.Join(at, c.Name()), Mode: c.Mode(), Time: c.ModTime().UTC()}
			if i.Mode.IsRegular() {
				i.Size, i.Sum = c.Size(), sumOf(t, c.Reader(), c.Size())
			}
			got = append(got, i)
			if c.IsDir() {
				visit(c, i.Path)
			}
		}
	}
	visit(root, "")
	sortItems(got)
	want := expected(t, entries)
	for i := range want {
		want[i].Target = ""
		want[i].Mode &= fs.ModePerm | fs.ModeDir | fs.ModeSymlink
	}
	compare(t, got, want)
}

// TestXorrisoExtracts reads a bootable disc back with xorriso.
func TestXorrisoExtracts(t *testing.T) {
	entries := slices.DeleteFunc(sampleEntries(), func(e Entry) bool {
		// The boot image is patched; a later test looks at it.
		return strings.HasSuffix(e.Path, "eltorito.img")
	})
	o := bootOptions()
	o.Boot = nil
	name := writeFile(t, build(t, o, entries))
	dir := filepath.Join(t.TempDir(), "out")
	out := run(t, "xorriso", "-osirrox", "on", "-indev", name, "-extract", "/", dir)
	noComplaint(t, out)
	got, want := walk(t, dir), expected(t, entries)
	for _, list := range [][]item{got, want} {
		for i := range list {
			if list[i].Target != "" {
				list[i].Time = time.Time{} // it does not restore those of links
			}
		}
	}
	compare(t, got, want)
}

func noComplaint(t testing.TB, output string) {
	t.Helper()
	for _, word := range []string{"WARNING", "SORRY", "MISHAP", "FAILURE", "FATAL"} {
		if strings.Contains(output, word) {
			t.Errorf("%s:\n%s", word, output)
		}
	}
}

func TestXorrisoReports(t *testing.T) {
	name := writeFile(t, build(t, bootOptions(), sampleEntries()))
	out := run(t, "xorriso", "-indev", name, "-report_el_torito", "plain", "-report_system_area", "plain")
	noComplaint(t, out)
	words := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{
		"El Torito boot img : 1 BIOS y none 0x0000 0x00 4 ",
		"El Torito boot img : 2 UEFI y none 0x0000 0x00 2048 ",
		"El Torito img path : 1 /boot/grub/i386-pc/eltorito.img",
		"El Torito img opts : 1 boot-info-table grub2-boot-info",
		"System area summary: MBR protective-msdos-label grub2-mbr cyl-align-off GPT",
		"MBR partition : 1 0x00 0xee 1 ",
		"MBR partition : 2 0x80 0x00 0 1",
		"GPT entry array : 2 128 separated",
		"GPT partname local : 1 ISO9660",
		"GPT partition flags: 1 0x1000000000000001",
		"GPT start and size : 1 64 ",
		"GPT partname local : 2 ESP",
		"Volume id : 'DOPPEL'",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestPartitionPrograms(t *testing.T) {
	name := writeFile(t, build(t, bootOptions(), sampleEntries()))
	t.Run("sgdisk", func(t *testing.T) {
		if out := run(t, "sgdisk", "-v", name); !strings.Contains(out, "No problems found") {
			t.Error(out)
		}
	})
	t.Run("sfdisk", func(t *testing.T) {
		out := run(t, "sfdisk", "--dump", name)
		for _, want := range []string{
			"label: gpt", "start=          64,", "type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", `attrs="RequiredPartition GUID:60"`,
			"size=        2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		if problems := run(t, "sfdisk", "--verify", name); !strings.Contains(problems, "No errors detected") {
			t.Error(problems)
		}
	})
}

func TestIsoinfo(t *testing.T) {
	entries := slices.DeleteFunc(sampleEntries(), func(e Entry) bool { return strings.Contains(e.Path, "\n") })
	o := bootOptions()
	o.SetSize, o.SequenceNumber = 3, 2
	name := writeFile(t, build(t, o, entries))
	want := expected(t, entries)

	header := run(t, "isoinfo", "-d", "-i", name)
	for _, line := range []string{
		"Volume id: DOPPEL", "Volume set id: " + o.VolumeSetID, "Volume set size is: 3", "Volume set sequence number is: 2",
		"Joliet with UCS level 3 found", "Rock Ridge signatures version 1 found", "El Torito VD version 1 found", "Boot media 0 (No Emulation Boot)",
	} {
		if !strings.Contains(header, line) {
			t.Errorf("%q is missing in\n%s", line, header)
		}
	}
	t.Run("Rock Ridge", func(t *testing.T) {
		got := lines(run(t, "isoinfo", "-R", "-f", "-i", name))
		var paths []string
		for _, i := range want {
			paths = append(paths, "/"+i.Path)
		}
		slices.Sort(paths)
		if !slices.Equal(got, paths) {
			t.Errorf("%d paths, want %d", len(got), len(paths))
		}
	})
	t.Run("Joliet", func(t *testing.T) {
		got := lines(run(t, "isoinfo", "-J", "-f", "-i", name))
		for _, p := range []string{"/boot/vmlinuz", "/empty directory", "/names/README", "/names/_.png"} {
			if !slices.Contains(got, p) && !slices.Contains(got, p+";1") {
				t.Errorf("%s is missing", p)
			}
		}
	})
	t.Run("plain", func(t *testing.T) {
		got := lines(run(t, "isoinfo", "-f", "-i", name))
		if len(got) != len(want) || len(slices.Compact(got)) != len(want) {
			t.Errorf("%d paths, want %d different ones", len(got), len(want))
		}
	})
	if out := run(t, "isoinfo", "-debug", "-R", "-l", "-i", name); strings.Contains(strings.ToLower(out), "error") {
		t.Error(out)
	}
}

func lines(s string) []string {
	list := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	slices.Sort(list)
	return list
}
