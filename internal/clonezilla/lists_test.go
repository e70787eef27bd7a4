package clonezilla

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/image"
)

// Every list is taken as written, or refused with its line.
func TestLists(t *testing.T) {
	groups, err := parseGroups([]byte("vg0 /dev/sda2 e2QS4x-1\n"))
	if err != nil || groups["sda2"] != "vg0" {
		t.Errorf("%v, %v", groups, err)
	}
	logical, err := parseLogical([]byte("/dev/vg0/root  Linux rev 1.0 ext4 filesystem data, \"a\x1b[2J\"\n/dev/vg0/data-x  data\n"))
	if err != nil || strings.Join(logical, " ") != "vg0/root vg0/data-x" {
		t.Errorf("%v, %v", logical, err)
	}
	mapped, err := parseLUKS([]byte("# <Block device> <UUID> <Device mapped name>\n/dev/sda3 d40857a5-1 sda3_crypt\n"))
	if err != nil || mapped["sda3"] != "sda3_crypt" {
		t.Errorf("%v, %v", mapped, err)
	}
	kinds, err := parseDevFS([]byte(devFSHead + "/dev/sda1 vfat 64M\n/dev/sda2  1G\n/dev/mapper/x ext4 3M\n"))
	if err != nil || kinds["sda1"] != "vfat" || kinds["x"] != "ext4" || kinds["sda2"] != "" {
		t.Errorf("%v, %v", kinds, err)
	}
	all, err := parseBlkid([]byte("/dev/sda1: LABEL=\"a\x1b[2J\" UUID=\"1-2\" BLOCK_SIZE=\"512\" TYPE=\"vfat\"\n/dev/sda2: oh\n"))
	if err != nil || all["sda1"]["LABEL"] != "a\ufffd[2J" || all["sda1"]["BLOCK_SIZE"] != "512" || all["sda2"] != nil {
		t.Errorf("%v, %v", all, err)
	}
	for name, bad := range map[string]func() error{
		"parts":     func() error { _, err := parseWords([]byte("sda1 ../../etc/passwd")); return err },
		"option":    func() error { _, err := parseWords([]byte("-rf")); return err },
		"swap":      func() error { _, err := parseInfo([]byte("UUID=\"1\"; reboot\n")); return err },
		"swap line": func() error { _, err := parseInfo([]byte("UUID=\"1\"\n$(reboot)\n")); return err },
		"sfdisk":    func() error { _, err := parseSfdisk([]byte("label: dos\n/dev/sda1 : start=x\n")); return err },
		"sfdisk path": func() error {
			_, err := parseSfdisk([]byte("label: dos\n/dev/$(x) : start= 1, size= 1, type=83\n"))
			return err
		},
		"lvm":  func() error { _, err := parseGroups([]byte("vg0 sda2 x\n")); return err },
		"logv": func() error { _, err := parseLogical([]byte("vg0/root  x\n")); return err },
		"luks": func() error { _, err := parseLUKS([]byte("/dev/sda3 d4 ../x\n")); return err },
		"fs":   func() error { _, err := parseDevFS([]byte("sda1 ext4 3M\n")); return err },
	} {
		if bad() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A list that is not as Clonezilla writes it makes the image one that is not
// opened, and the error names the file.
func TestHostileLists(t *testing.T) {
	for file, text := range map[string]string{
		"parts":            "sda1 $(reboot)\n",
		"swappt-sda1.info": "UUID=\"$(reboot)\"; reboot\n",
		"sda-pt.sf":        "label: dos\n/dev/sda1 : start= 2048, size= 99999999999999999999, type=83\n",
		"sda-pt.parted":    "Disk /dev/sda: bigs\n",
		"lvm_vg_dev.list":  "x\n",
		"luks-dev.list":    "/dev/sda1 a /dev/../b\n",
	} {
		s, _ := handMade(t, "lab", 1<<20, map[string][]byte{file: []byte(text)})
		if _, err := Open(s, "lab"); !errors.Is(err, image.ErrDamaged) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Nothing that an image says of itself reaches a terminal as an escape sequence.
func TestEscapes(t *testing.T) {
	const evil = "x\x1b]0;owned\x07\u202e"
	s, folder := handMade(t, "lab", 1<<20, map[string][]byte{
		"blkid.list":  []byte("/dev/sda1: LABEL=\"" + evil + "\" TYPE=\"ext4\"\n"),
		"dev-fs.list": []byte("/dev/sda1 " + evil + " 1M\n"),
		"MD5SUMS":     []byte(strings.Repeat("0", 32) + "  " + "a\u202eb\n"),
	})
	if err := os.WriteFile(filepath.Join(folder, evil), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	sum, err := Summarize(s, "lab")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Verify(t.Context(), s, "lab", nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := append([]string{sum.Problem, sum.Volumes[0].Label, sum.Volumes[0].FileSystem, sum.Volumes[0].Reason}, r.Problems...)
	for _, text := range append(texts, r.Warnings...) {
		if clean(text) != text {
			t.Errorf("%q", text)
		}
	}
}

func FuzzSfdisk(f *testing.F) {
	f.Add([]byte("label: gpt\nsector-size: 512\n\n/dev/sda1 : start=        2048, size=       69632, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"x\"\n"))
	f.Add([]byte("unit: sectors\n/dev/sda1 : start=       63, size=   208782, Id=83, bootable\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := parseSfdisk(data)
		if err != nil {
			return
		}
		for _, p := range table.partitions {
			if p.start < 0 || p.size < 1 || p.start*table.sectorSize < 0 || p.size*table.sectorSize < 0 || !deviceWord.MatchString(p.name) {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func FuzzParted(f *testing.F) {
	f.Add([]byte("Model: x\nDisk /dev/sda: 2457600s\nSector size (logical/physical): 512B/512B\nPartition Table: gpt\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := parsePartedSize(data); err == nil && n < 0 {
			t.Fatal(n)
		}
	})
}

func FuzzSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("0", 64) + "  disk\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := parseSums(data, 32)
		if err != nil {
			return
		}
		for name, sum := range sums {
			if len(sum) != 32 || strings.Contains(name, "/") {
				t.Fatalf("%q", name)
			}
		}
	})
}

// harmless fails for a name or text that could leave its folder or reach a terminal.
func harmless(t *testing.T, name string) {
	t.Helper()
	if clean(name) != name || strings.ContainsAny(name, "\n\"") {
		t.Fatalf("%q", name)
	}
}

func FuzzInfo(f *testing.F) {
	f.Add([]byte("UUID=\"2eb5-0003\"\nLABEL=\"SWAP\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, _ := parseInfo(data)
		for key, value := range fields {
			harmless(t, key)
			harmless(t, value)
		}
	})
}

func FuzzBlkid(f *testing.F) {
	f.Add([]byte("/dev/sda1: LABEL=\"a\" UUID=\"1-2\" TYPE=\"vfat\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, _ := parseBlkid(data)
		for name, fields := range all {
			harmless(t, name)
			for _, value := range fields {
				harmless(t, value)
			}
		}
	})
}

func FuzzDevFS(f *testing.F) {
	f.Add([]byte(devFSHead + "/dev/sda1 vfat 64M\n/dev/sda2  1G\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		kinds, _ := parseDevFS(data)
		for name, kind := range kinds {
			harmless(t, name)
			harmless(t, kind)
		}
	})
}

func FuzzLVM(f *testing.F) {
	f.Add([]byte("vg0 /dev/sda2 e2QS4x-1\n"))
	f.Add([]byte("/dev/vg0/root  Linux rev 1.0 ext4 filesystem data\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		groups, _ := parseGroups(data)
		for name, group := range groups {
			harmless(t, name)
			harmless(t, group)
		}
		logical, _ := parseLogical(data)
		for _, name := range logical {
			harmless(t, name)
		}
	})
}

func FuzzLUKS(f *testing.F) {
	f.Add([]byte("# <Block device> <UUID> <Device mapped name>\n/dev/sda3 d40857a5-1 sda3_crypt\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		mapped, _ := parseLUKS(data)
		for name, inner := range mapped {
			harmless(t, name)
			harmless(t, inner)
		}
	})
}
