package fat

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

func TestOther(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 100000} {
		if _, err := Open(bytes.NewReader(make([]byte, size)), int64(size)); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
	for _, mkfs := range []string{"mkntfs -q -F -f", "mkfs.exfat", "mkfs.minix", "mke2fs -q -F"} {
		path := filepath.Join(t.TempDir(), "volume")
		if err := os.WriteFile(path, make([]byte, 8<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, append(strings.Fields(mkfs), path)...)
		if _, err := Open(bytes.NewReader(fstest.Load(t, path)), 8<<20); !errors.Is(err, filesystem.ErrFormat) {
			t.Errorf("%s: %v", mkfs, err)
		}
	}
	// A boot sector alone, as an MBR that was written over the start of a
	// FAT leaves its numbers, is none either.
	p := fstest.Load(t, makeVolume(t, 1440, "-F 12"))
	clear(p[512:])
	if _, err := Open(bytes.NewReader(p), int64(len(p))); err == nil {
		t.Error("a boot sector without FATs was opened")
	}
}

// TestDamage changes every byte of what Allocated stands on: no change may make
// the allocation smaller without an error. The BPB of FAT12 and FAT16 has no
// second copy to hold it against, that of FAT32 has.
func TestDamage(t *testing.T) {
	tests := []struct {
		kib  int64
		args string
		boot int64 // bytes of the boot sector
	}{
		{300, "-F 12 -s 1", 0},
		{5000, "-F 16 -s 1", 0},
		{34000, "-F 32 -s 1", 512},
	}
	for _, tt := range tests {
		p := fstest.Load(t, makeVolume(t, tt.kib, tt.args))
		boot := bootSector(p[:512])
		fstest.Damage(t, Open, p, tt.args+": boot sector", 0, tt.boot)
		fstest.Damage(t, Open, p, tt.args+": FAT", boot.table(0), 400)
		fstest.Damage(t, Open, p, tt.args+": second FAT", boot.table(1), 400)
	}
}

func TestRefused(t *testing.T) {
	fat12 := fstest.Load(t, makeVolume(t, 300, "-F 12 -s 1"))
	fat16 := fstest.Load(t, makeVolume(t, 5000, "-F 16 -s 1 -f 1"))
	fat32 := fstest.Load(t, makeVolume(t, 34000, "-F 32 -s 1"))
	tests := []struct {
		name   string
		volume []byte
		off    int64
		value  []byte
		want   string
	}{
		{"larger than the volume", fat12, 19, []byte{0, 4}, "on a volume of"},
		{"FAT too short", fat12, 22, []byte{1}, "FATs of 1 sectors"},
		{"one of two FATs named", fat12, 16, []byte{1}, "a second one follows"},
		{"three of two FATs named", fat12, 16, []byte{3}, "no FAT"},
		{"other media", fat12, 21, []byte{0xF0}, "no FAT"},
		{"name of another width", fat12, 54, []byte("FAT16   "), "clusters"},
		{"points nowhere", fat12, bootSector(fat12).table(1) + 3, []byte{0xE0, 0xEE, 0xEE}, "points at cluster 3808"},
		{"points at cluster 1", fat16, bootSector(fat16).table(0) + 20, []byte{1, 0}, "cluster 10 points at cluster 1 "},
		{"more clusters", fat32, 13, []byte{2}, "backup boot sector"},
		{"backup differs", fat32, 6*512 + 14, []byte{33}, "backup boot sector"},
		{"version", fat32, 42, []byte{1}, "version"},
		{"root directory", fat32, 44, []byte{1}, "root directory in cluster 1"},
		{"active FAT", fat32, 40, []byte{0x85}, "active"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := bytes.Clone(tt.volume)
			copy(p[tt.off:], tt.value)
			_, err := Open(bytes.NewReader(p), int64(len(p)))
			if e := new(filesystem.FormatError); !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestState(t *testing.T) {
	fat12 := fstest.Load(t, makeVolume(t, 300, "-F 12 -s 1"))
	fat16 := fstest.Load(t, makeVolume(t, 5000, "-F 16 -s 1"))
	fat32 := fstest.Load(t, makeVolume(t, 34000, "-F 32 -s 1"))
	tests := []struct {
		name   string
		volume []byte
		off    int64
		value  byte
		want   filesystem.State
	}{
		{"fat12, as made", fat12, 0x25, 0, filesystem.Clean},
		{"fat12, mounted", fat12, 0x25, 1, filesystem.Dirty},
		{"fat16, mounted", fat16, 0x25, 1, filesystem.Dirty},
		{"fat16, not shut down", fat16, bootSector(fat16).table(0) + 3, 0x7F, filesystem.Dirty},
		{"fat16, errors", fat16, bootSector(fat16).table(0) + 3, 0xBF, filesystem.Dirty},
		{"fat32, mounted", fat32, 0x41, 1, filesystem.Dirty},
		{"fat32, not shut down", fat32, bootSector(fat32).table(0) + 7, 0x07, filesystem.Dirty},
		{"fat32, errors", fat32, bootSector(fat32).table(0) + 7, 0x0B, filesystem.Dirty},
		{"fat32, as made", fat32, 0x41, 0, filesystem.Clean},
	}
	for _, tt := range tests {
		p := bytes.Clone(tt.volume)
		p[tt.off] = tt.value
		f, err := Open(bytes.NewReader(p), int64(len(p)))
		if err != nil || f.Info().State != tt.want {
			t.Errorf("%s: %v, %v", tt.name, f, err)
		}
	}
}

// TestCrash takes away what a crash may leave unwritten: the FATs' entry for
// the first cluster of each file, or for the last one of each chain. A reader
// still comes to those clusters, so they must stay in use. (What is behind the
// first cluster of a directory it does not reach.)
func TestCrash(t *testing.T) {
	for args, kib := range map[string]int64{"-F 12 -s 4": 4000, "-F 16 -s 1": 5000, "-F 32 -s 1": 34000} {
		path := makeVolume(t, kib, args)
		before, _ := openFile(t, path)
		var last []int64
		isFirst := before.used.clusters()
		for c := range before.used.clusters() {
			next, err := before.next(c)
			if err != nil {
				t.Fatal(err)
			}
			if delete(isFirst, next); next >= before.last()-7 {
				last = append(last, c)
			}
		}
		whole := fstest.Load(t, path)
		delete(isFirst, before.boot.rootCluster())
		maps.DeleteFunc(isFirst, func(c int64, _ bool) bool {
			return bytes.HasPrefix(whole[before.data+(c-2)*before.clusterSize:], []byte(".       "))
		})
		for _, lost := range [][]int64{last, slices.Collect(maps.Keys(isFirst))} {
			if len(lost) < 40 {
				t.Fatalf("%s: only %d clusters", args, len(lost))
			}
			p := bytes.Clone(whole)
			for _, c := range lost {
				freeEntry(before, p, c)
			}
			p[map[bool]int{false: 0x25, true: 0x41}[before.width == 32]] |= 1
			after, err := open(bytes.NewReader(p), int64(len(p)))
			if err != nil || after.info.State != filesystem.Dirty {
				t.Fatalf("%s: %v", args, err)
			}
			for _, c := range lost {
				if !after.used.has(c) {
					t.Errorf("%s: cluster %d is lost", args, c)
				}
			}
		}
	}
}

// TestBad marks clusters as bad in one FAT or both: one that holds data by the
// other FAT or by a chain stays in use.
func TestBad(t *testing.T) {
	for args, kib := range map[string]int64{"-F 12 -s 1": 300, "-F 16 -s 1": 5000, "-F 32 -s 1": 34000} {
		whole, before := tree(t, args, kib)
		_, y := find(t, before, whole, "Y")
		free := y + 50
		bad := before.last() - 8
		tests := []struct {
			name    string
			cluster int64
			fats    int64 // how many get the mark
			want    bool
		}{
			{"free", free, 2, false},
			{"free, by one FAT", free, 1, false},
			{"first of a file, by one FAT", y, 1, true},
			{"last of a file", y + 2, 2, true},
		}
		for _, tt := range tests {
			p := bytes.Clone(whole)
			setEntry(before, p, tt.cluster, bad)
			if tt.fats == 1 {
				second := before.boot.table(1)
				copy(p[second:], whole[second:before.boot.table(2)])
			}
			after, err := open(bytes.NewReader(p), int64(len(p)))
			if err != nil || after.used.has(tt.cluster) != tt.want {
				t.Errorf("%s: %s: %v", args, tt.name, err)
			}
			if value, err := after.next(tt.cluster); value != bad || err != nil {
				t.Errorf("%s: %s: the FAT says %#x, %v", args, tt.name, value, err)
			}
		}
	}
}

// clusters are the numbers of the set bits.
func (b bitmap) clusters() map[int64]bool {
	all := map[int64]bool{}
	for first, end := range b.runs() {
		for c := first + 2; c < end+2; c++ {
			all[c] = true
		}
	}
	return all
}

// freeEntry frees a cluster in both FATs.
func freeEntry(f *fileSystem, p []byte, c int64) {
	for n := range f.boot.fats() {
		at := f.boot.table(n) + c*f.width/8
		switch {
		case f.width == 12 && c%2 == 0:
			p[at], p[at+1] = 0, p[at+1]&0xF0
		case f.width == 12:
			p[at], p[at+1] = p[at]&0x0F, 0
		default:
			clear(p[at : at+f.width/8])
		}
	}
}

func FuzzOpen(f *testing.F) {
	for args, kib := range map[string]int64{"-F 12 -s 1": 400, "-F 12 -s 1 -f 1": 300, "-F 16 -s 1 -r 16": 2400, fewClusters: 300} {
		p := fstest.Load(f, makeVolume(f, kib, args))
		head := p[:28<<10]
		f.Add(head, uint32(len(p)))
		head = bytes.Clone(head)
		bootSector(head).extra()[1] = 1
		f.Add(head, uint32(len(p)))
	}
	f.Fuzz(func(t *testing.T, p []byte, length uint32) { fstest.Hostile(t, Open, p, int64(length)) })
}
