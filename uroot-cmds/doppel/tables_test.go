package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/inventory"
	"doppel.live/internal/partition/tabletest"
)

// change writes a file anew, changed.
func (l *lab) change(name string, change func(d []byte)) {
	l.t.Helper()
	d := l.read(name)
	change(d)
	if err := os.WriteFile(l.path(name), d, 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// empty makes a file of zeros.
func (l *lab) empty(name string, size int64) {
	l.t.Helper()
	os.Remove(l.path(name))
	l.random(name, size, 0, 0)
}

// manifest reads the doppel.json of an image.
func (l *lab) manifest(name string) (m image.Manifest) {
	l.t.Helper()
	if err := json.Unmarshal(l.read("images/"+name+"/doppel.json"), &m); err != nil {
		l.t.Fatal(err)
	}
	return m
}

// keeps checks that the areas of an image are the bytes of the source.
func (l *lab) keeps(name string, areas ...string) {
	l.t.Helper()
	source, seen := l.read("source.img"), ""
	for _, a := range l.manifest(name).Disks[0].Areas {
		seen += " " + a.Name
		if !bytes.Equal(l.read("images/"+name+"/"+a.File), source[a.Offset:a.Offset+a.Length]) {
			l.t.Errorf("area %s at %d is not as on the source", a.Name, a.Offset)
		}
	}
	if seen != " "+strings.Join(areas, " ") {
		l.t.Errorf("areas%s, want %s", seen, areas)
	}
}

// methods says how each volume of an image was saved.
func (l *lab) methods(name string) string {
	l.t.Helper()
	var words []string
	for _, v := range l.manifest(name).Disks[0].Volumes {
		words = append(words, v.Name+":"+string(v.Method))
	}
	return strings.Join(words, " ")
}

// same checks that the target is the source, every byte of it.
func (l *lab) same() {
	l.t.Helper()
	source, target := l.read("source.img"), l.read("target.img")
	if len(source) > len(target) {
		l.t.Fatalf("the target has %d bytes", len(target))
	}
	for i := range source {
		if source[i] != target[i] {
			l.t.Fatalf("byte %d differs", i)
		}
	}
}

// sameInUse checks that the target is the source, but for what the file systems
// of the source do not use.
func (l *lab) sameInUse() {
	l.t.Helper()
	source, target := l.read("source.img"), l.read("target.img")
	found, err := inventory.Look(bytes.NewReader(source), "source", int64(len(source)), 512)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, v := range found.Volumes {
		if v.Probe.FileSystem == nil {
			continue
		}
		used, err := extent.Collect(v.Probe.FileSystem.Allocated())
		if err != nil {
			l.t.Fatal(err)
		}
		for _, e := range extent.Invert(used, v.Size) {
			e.Offset += v.Offset
			if e.Offset < v.Offset+16384 {
				continue // the label of the disk and its boot code are no volume's
			}
			copy(target[e.Offset:e.End()], source[e.Offset:e.End()])
		}
	}
	if !bytes.Equal(source, target[:len(source)]) {
		l.t.Error("the target is not the source")
	}
}

// A GPT of which one copy is damaged is restored with both in order; the image
// keeps the damaged one too.
func TestDamagedGPT(t *testing.T) {
	l := newLab(t)
	healthy := l.read("source.img")
	size := int64(len(healthy))
	for _, tt := range []struct {
		name, says string
		damage     func(d []byte)
		grow       int64
	}{
		{"primary", "primary GPT damaged (wrong checksum of the header), backup used", func(d []byte) { d[600]++ }, 0},
		{"backup", "backup GPT damaged or absent (no header)", func(d []byte) { clear(d[size-512:]) }, 0},
		{"backup-elsewhere", "not at the end of the disk", func([]byte) {}, 8 * mib},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &lab{t: t, dir: l.dir}
			l.empty("source.img", size+tt.grow)
			l.change("source.img", func(d []byte) { copy(d, healthy); tt.damage(d) })
			l.empty("target.img", size+tt.grow)
			l.expect(done, tt.says, "save", "source.img", "never", "--plan")
			l.expect(done, tt.says, "save", "source.img", tt.name)
			if log := string(l.read("images/" + tt.name + "/clonezilla-img")); !strings.Contains(log, tt.says) {
				t.Errorf("the log of the image does not say it:\n%s", log)
			}
			l.keeps(tt.name, "mbr", "gpt-primary", "gpt-backup")
			l.expect(done, "both copies of the GPT are made good", "restore", tt.name, "target.img", "--yes", "--verify")
			l.samePartitions(healthy)
			if out := l.tool("", "sgdisk", "-v", l.path("target.img")); !strings.Contains(out, "No problems found") {
				t.Error(out)
			}
			l.expect(done, "", "verify", tt.name)
		})
	}
	// Without a good copy the disk is one raw volume, never an empty one.
	l.empty("source.img", size)
	l.change("source.img", func(d []byte) { copy(d, healthy); d[600]++; d[size-500]++ })
	l.empty("target.img", size)
	l.expect(done, "no good GPT", "save", "source.img", "both")
	if got := l.methods("both"); got != "source.img:raw" {
		t.Error(got)
	}
	l.expect(done, "", "restore", "both", "target.img", "--yes", "--verify")
	l.same()
	l.expect(refused, "cannot be trusted", "restore", "backup", "target.img", "--yes", "--only", "source.img2")
}

// samePartitions compares the target with a disk that is as it should be.
func (l *lab) samePartitions(healthy []byte) {
	l.t.Helper()
	if err := os.WriteFile(l.path("healthy.img"), healthy, 0o644); err != nil {
		l.t.Fatal(err)
	}
	rows := func(name string) string {
		dump := strings.ReplaceAll(l.tool("", "sfdisk", "--dump", l.path(name)), l.path(name), "DISK")
		if strings.Contains(dump, "mismatch") || strings.Contains(dump, "corrupt") || strings.Contains(dump, "not on the end") {
			l.t.Errorf("sfdisk finds fault with %s: %s", name, dump)
		}
		_, dump, _ = strings.Cut(dump, "\n\n")
		return dump
	}
	if got, want := rows("target.img"), rows("healthy.img"); got != want || want == "" {
		l.t.Errorf("%s, want %s", got, want)
	}
	if !bytes.Equal(l.read("target.img")[mib:35*mib], healthy[mib:35*mib]) {
		l.t.Error("the volumes differ")
	}
}

// A hybrid MBR comes back byte for byte.
func TestHybridMBR(t *testing.T) {
	l := newLab(t)
	l.tool("", "sgdisk", "-h", "1:2", l.path("source.img"))
	l.change("source.img", func(d []byte) { copy(d, "boot code") })
	l.empty("target.img", 80*mib)
	l.expect(done, "gpt with a hybrid MBR table, 3 partitions", "save", "source.img", "hybrid")
	l.expect(done, "", "restore", "hybrid", "target.img", "--yes", "--verify")
	if !bytes.Equal(l.read("source.img")[:512], l.read("target.img")[:512]) {
		t.Error("the MBR differs")
	}
	l.tool("", "sgdisk", "-v", l.path("target.img"))
	target := l.read("target.img")
	if !bytes.Equal(target[mib:3*mib], l.read("source.img")[mib:3*mib]) {
		t.Error("the raw partition differs")
	}
}

// slicedDisk makes source.img an MBR disk:
//
//	1  FreeBSD, 1 MiB to 25 MiB, label: 5 (a) random bytes, 6 (b) ext4
//	2  random bytes, 30 MiB to 32 MiB
func (l *lab) slicedDisk() {
	l.empty("source.img", 64*mib)
	l.empty("fs", 8*mib)
	l.tool("", "mke2fs", "-q", "-t", "ext4", "-d", l.path("tree"), l.path("fs"))
	l.change("source.img", func(d []byte) {
		copy(d, "boot0")
		tabletest.MBREntry(d, 0, 0x80, 0xA5, 2048, 24*2048)
		tabletest.MBREntry(d, 1, 0, 0x83, 30*2048, 2*2048)
	})
	l.random("source.img", 64*mib, mib, 10*mib) // a, which begins with the slice
	l.random("source.img", 64*mib, 30*mib, 2*mib)
	l.copyInto("fs", "source.img", 14*mib)
	l.change("source.img", func(d []byte) {
		for i := range 10 * mib { // the lab's source has the same random bytes there
			d[mib+i] ^= 0x55
		}
		copy(d[mib:], "boot1")
		copy(d[mib+4096:], "boot2")
		copy(d[12*mib:], "between the partitions")
		clear(d[mib+512 : mib+1024])
		tabletest.Disklabel(d[mib+512:], binary.LittleEndian, 512, 24*2048, 0, 8,
			tabletest.Letter{Letter: 'a', Start: 0, Size: 10 * 2048, Kind: 7},
			tabletest.Letter{Letter: 'b', Start: 13 * 2048, Size: 8 * 2048, Kind: 17},
			tabletest.Letter{Letter: 'c', Start: 0, Size: 24 * 2048})
	})
}

func TestFreeBSDSlice(t *testing.T) {
	l := newLab(t)
	l.slicedDisk()
	l.empty("target.img", 64*mib)
	l.expect(done, "is saved", "save", "source.img", "bsd")
	if got := l.methods("bsd"); got != "source.img5:raw source.img6:blocks source.img2:raw" {
		t.Error(got)
	}
	l.keeps("bsd", "mbr", "gap", "bsd-label", "gap")
	l.expect(done, "can be restored", "verify", "bsd")
	l.expect(done, "", "restore", "bsd", "target.img", "--yes", "--verify")
	l.same()
	for _, args := range [][]string{{"sfdisk", "--dump", "DISK"}, {"mmls", "-t", "bsd", "-o", "2048", "DISK"}} {
		say := func(name string) string {
			a := append([]string{}, args[1:]...)
			a[len(a)-1] = l.path(name)
			return strings.ReplaceAll(l.tool("", args[0], a...), l.path(name), "DISK")
		}
		if got, want := say("target.img"), say("source.img"); got != want || !strings.Contains(got, "0000") {
			t.Errorf("%s:\n%s\nwant\n%s", args[0], got, want)
		}
	}
	if sf := string(l.read("images/bsd/sda-pt.sf")); strings.Contains(sf, "sda5") || !strings.Contains(sf, "type=a5") {
		t.Errorf("the dump for sfdisk is not what sfdisk knows:\n%s", sf)
	}
	l.onlyFirstLetter()
}

// onlyFirstLetter restores a alone onto a disk whose label is another: a
// begins with the label, which stays.
func (l *lab) onlyFirstLetter() {
	l.t.Helper()
	source := l.read("source.img")
	l.change("target.img", func(d []byte) {
		clear(d[mib : 11*mib])
		copy(d[mib:], "other boot1")
		tabletest.Disklabel(d[mib+512:], binary.LittleEndian, 512, 24*2048, 0, 8,
			tabletest.Letter{Letter: 'a', Start: 0, Size: 11 * 2048, Kind: 7},
			tabletest.Letter{Letter: 'e', Start: 13 * 2048, Size: 8 * 2048, Kind: 17})
	})
	before := l.read("target.img")
	l.expect(done, "", "restore", "bsd", "target.img", "--yes", "--verify", "--only", "source.img5")
	after := l.read("target.img")
	if !bytes.Equal(after[:mib+8192], before[:mib+8192]) || !bytes.Equal(after[11*mib:], before[11*mib:]) {
		l.t.Error("the table of the target did not stay as it was")
	}
	if !bytes.Equal(after[mib+8192:11*mib], source[mib+8192:11*mib]) {
		l.t.Error("the volume differs")
	}
}

// A whole disk with a disklabel.
func TestDisklabel(t *testing.T) {
	l := newLab(t)
	l.empty("source.img", 64*mib)
	l.copyInto("fs", "source.img", 20*mib) // 32 MiB of ext4
	l.random("source.img", 64*mib, 0, 4*mib)
	l.change("source.img", func(d []byte) {
		clear(d[:1024])
		copy(d, "boot1")
		tabletest.Disklabel(d[512:], binary.LittleEndian, 512, 64*2048, 1, 16,
			tabletest.Letter{Letter: 'a', Start: 0, Size: 4 * 2048, Kind: 7},
			tabletest.Letter{Letter: 'c', Start: 0, Size: 64 * 2048},
			tabletest.Letter{Letter: 'd', Start: 20 * 2048, Size: 32 * 2048, Kind: 17})
	})
	l.empty("target.img", 64*mib)
	l.expect(done, "bsd table, 2 partitions: 1 unknown 4.2 MB, 4 ext4", "save", "source.img", "label")
	if got := l.methods("label"); got != "source.img1:raw source.img4:blocks" {
		t.Error(got)
	}
	l.keeps("label", "bsd-boot", "bsd-label", "bsd-boot")
	l.expect(done, "can be restored", "verify", "label")
	l.expect(done, "", "restore", "label", "target.img", "--yes", "--verify")
	l.same()
	if _, err := os.Stat(l.path("images/label/sda-pt.sf")); err == nil {
		t.Error("there is a dump for sfdisk, which knows no such table")
	}
}

// The first volume of a FreeBSD disk is a UFS as a rule, which begins with the
// label, at the start of the disk.
func TestUFSWithLabel(t *testing.T) {
	l := newLab(t)
	for _, version := range []string{"1", "2"} {
		t.Run("UFS"+version, func(t *testing.T) {
			l := &lab{t: t, dir: l.dir}
			os.Remove(l.path("ufs"))
			l.tool("", "makefs", "-t", "ffs", "-s", "16m", "-o", "version="+version, l.path("ufs"), l.path("tree"))
			l.empty("source.img", 64*mib)
			l.copyInto("ufs", "source.img", 0)
			l.copyInto("swap", "source.img", 20*mib)
			l.change("source.img", func(d []byte) {
				copy(d, "boot1")
				tabletest.Disklabel(d[512:], binary.LittleEndian, 512, 64*2048, 0, 8,
					tabletest.Letter{Letter: 'a', Start: 0, Size: 16 * 2048, Kind: 7},
					tabletest.Letter{Letter: 'c', Start: 0, Size: 64 * 2048},
					tabletest.Letter{Letter: 'd', Start: 20 * 2048, Size: 8 * 2048, Kind: 1})
				copy(d[2048:], "boot2")
			})
			l.empty("target.img", 64*mib)
			l.expect(done, "bsd table, 2 partitions: 1 ufs 16.8 MB, 4 swap", "save", "source.img", "ufs"+version)
			if got := l.methods("ufs" + version); got != "source.img1:blocks source.img4:swap" {
				t.Error(got)
			}
			l.expect(done, "", "restore", "ufs"+version, "target.img", "--yes", "--verify")
			l.sameInUse()
		})
	}
}

// appleDisk makes source.img a disk with an Apple map: 1 the map, 2 a driver,
// 3 random bytes, 4 HFS+ or ext4, 5 free.
func (l *lab) appleDisk(content string) {
	size := uint32(len(l.read(content)) / 512)
	l.empty("source.img", 64*mib)
	l.change("source.img", func(d []byte) {
		tabletest.AppleMap(d, 512,
			tabletest.AppleEntry{Start: 1, Size: 63, Name: "Apple", Kind: "Apple_partition_map"},
			tabletest.AppleEntry{Start: 64, Size: 54, Name: "Macintosh", Kind: "Apple_Driver43"},
			tabletest.AppleEntry{Start: 2048, Size: 2048, Name: "one", Kind: "Apple_UNIX_SVR2"},
			tabletest.AppleEntry{Start: 8192, Size: size, Name: "untitled", Kind: "Apple_HFS"},
			tabletest.AppleEntry{Start: 8192 + size, Size: 64*2048 - 8192 - size, Kind: "Apple_Free"})
		copy(d[64*512:], "driver code")
		copy(d[60*512:], "unused blocks of the map")
		copy(d[200*512:], "before the first partition")
	})
	l.random("source.img", 64*mib, mib, mib)
	l.copyInto(content, "source.img", 4*mib)
}

func TestAppleMap(t *testing.T) {
	l := newLab(t)
	for name, content := range map[string]string{"ext4": "fs", "hfsplus": "hfs"} {
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, dir: l.dir}
			if content == "hfs" {
				packed := "../../../shared/fixtures/filesystems/hfsplus-journaled.img.xz"
				if _, err := os.Stat(packed); err != nil {
					t.Skip("needs the fixture hfsplus-journaled")
				}
				if err := os.WriteFile(l.path("hfs"), []byte(l.tool("", "xz", "-dc", packed)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			l.appleDisk(content)
			l.empty("target.img", 72*mib)
			l.expect(done, "apm table, 2 partitions: 3 unknown 1.0 MB, 4 "+name, "save", "source.img", name)
			if got := l.methods(name); !strings.HasPrefix(got, "source.img3:raw source.img4:") {
				t.Error(got)
			}
			l.keeps(name, "apple-device", "apple-map", "apple-driver", "gap")
			l.expect(done, "can be restored", "verify", name)
			l.expect(done, "", "restore", name, "target.img", "--yes", "--verify")
			l.sameInUse()
			if err := os.Truncate(l.path("target.img"), 64*mib); err != nil {
				t.Fatal(err)
			}
			say := func(name string) string {
				return strings.ReplaceAll(l.tool("", "parted", "-sm", l.path(name), "unit", "s", "print"), l.path(name), "DISK")
			}
			if got, want := say("target.img"), say("source.img"); got != want || !strings.Contains(got, ":mac:") {
				t.Errorf("parted: %s, want %s", got, want)
			}
			if found, _ := filepath.Glob(l.path("images/" + name + "/*-pt.*")); len(found) > 0 {
				t.Errorf("%q are for tables that this is none of", found)
			}
		})
	}
}

// The list of disks says which table it is and what is wrong with it.
func TestDisksSayTheTable(t *testing.T) {
	l := newLab(t)
	shown := func() string {
		d, err := blockdev.System{}.Disk(l.path("source.img"))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		showDisk(&console{out: &out, err: &out}, inventory.Show(d))
		return out.String()
	}
	check := func(what string, wants ...string) {
		t.Helper()
		out := shown()
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s", what, want, out)
			}
		}
	}
	check("gpt", "\n  table: gpt\n", "source.img2")
	l.tool("", "sgdisk", "-h", "1", l.path("source.img"))
	check("hybrid", "\n  table: gpt with a hybrid MBR\n")
	l.change("source.img", func(d []byte) { d[600]++ })
	check("damaged", "source.img2", "\n  Warning: primary GPT damaged")
	l.change("source.img", func(d []byte) { d[len(d)-500]++ })
	check("both damaged", "\n  table: gpt with a hybrid MBR\n", "\n  Warning: protective MBR, but no good GPT", "raw")
	l.slicedDisk()
	check("slices", "\n  table: mbr\n", "source.img5", "source.img6    ext4", "source.img2")
	l.appleDisk("fs")
	check("apple", "\n  table: apm\n", "source.img3", "one", "source.img4    ext4")
	// A file system that is the whole disk may have been made over an older map.
	l.copyInto("fs", "source.img", 0)
	l.change("source.img", func(d []byte) {
		tabletest.AppleMap(d, 512, tabletest.AppleEntry{Start: 1, Size: 1, Kind: "Apple_partition_map"})
	})
	check("older", "the whole disk looks like ext4")
}
