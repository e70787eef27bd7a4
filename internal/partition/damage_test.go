package partition

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/partition/tabletest"
)

// readBytes reads the table of a disk in memory.
func readBytes(t testing.TB, disk []byte, sectorSize int64) *Table {
	t.Helper()
	table, err := Read(bytes.NewReader(disk), int64(len(disk)), sectorSize)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func load(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const plainGPT = "label: gpt\nstart=2048,size=4096,name=one\nstart=8192,size=4096,name=two\n"

func TestDamagedGPT(t *testing.T) {
	whole := load(t, disk(t, plainGPT, 16*mib))
	last := len(whole) - 512
	tests := []struct {
		name    string
		damage  func(d []byte)
		scheme  Scheme
		warning string
	}{
		{"primary header", func(d []byte) { d[512+60]++ }, GPT, "primary GPT damaged (wrong checksum of the header), backup used"},
		{"primary header gone", func(d []byte) { clear(d[512:1024]) }, GPT, "primary GPT damaged (no header), backup used"},
		{"primary entries", func(d []byte) { d[1024+60]++ }, GPT, "primary GPT damaged (wrong checksum of the entries), backup used"},
		{"primary header elsewhere", func(d []byte) { copy(d[512:1024], d[last:]) }, GPT, "primary GPT damaged"},
		{"backup header", func(d []byte) { d[last]++ }, GPT, "backup GPT damaged or absent (no header)"},
		{"backup entries", func(d []byte) { d[last-100]++ }, GPT, "backup GPT damaged or absent"},
		{"both", func(d []byte) { d[512]++; d[last]++ }, GPT, "no good GPT"},
		{"protective MBR", func(d []byte) { clear(d[:512]) }, GPT, "GPT without a protective MBR"},
		{"beginning gone", func(d []byte) { clear(d[:mib]) }, None, "the backup of a GPT whose beginning is gone"},
		{"hostile sizes", func(d []byte) { le.PutUint32(d[512+80:], 1<<31); fixHeader(d[512:1024]) }, GPT, "primary GPT damaged"},
		{"entry of 1 byte", func(d []byte) { le.PutUint32(d[512+84:], 1); fixHeader(d[512:1024]) }, GPT, "primary GPT damaged"},
		{"header of 4 GiB", func(d []byte) { le.PutUint32(d[512+12:], 1<<32-1) }, GPT, "primary GPT damaged"},
		{"another table as backup", func(d []byte) { d[last+60]++; fixHeader(d[last:]) }, GPT, "not the same table"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := bytes.Clone(whole)
			tt.damage(d)
			table := readBytes(t, d, 512)
			if table.Scheme != tt.scheme || !strings.Contains(strings.Join(table.Warnings, "\n"), tt.warning) {
				t.Fatalf("scheme %s, warnings %q, want %s, %q", table.Scheme, table.Warnings, tt.scheme, tt.warning)
			}
			for _, s := range table.Sectors {
				if !bytes.Equal(s.Data, d[s.Offset:s.Offset+int64(len(s.Data))]) {
					t.Errorf("%s at %d is not as on the disk", s.Name, s.Offset)
				}
			}
			if tt.scheme == None || table.gpt == nil {
				if _, err := table.MoveTo(16 * mib); tt.scheme == GPT && (err == nil || table.Conflict() == "") {
					t.Errorf("a GPT without a good copy is moved; conflict %q", table.Conflict())
				}
				return
			}
			for _, size := range []int64{16 * mib, 20 * mib} {
				moved, err := table.MoveTo(size)
				if err != nil {
					t.Fatal(err)
				}
				if !moved.whole || !slices.Equal(moved.Partitions, table.Partitions) || len(moved.Warnings) > 0 {
					t.Errorf("repaired on %d bytes: %q, %v", size, moved.Warnings, moved.Partitions)
				}
				verify(t, moved, layTable(t, moved))
			}
		})
	}
}

func fixHeader(sector []byte) {
	h := &gptHeader{sector: sector}
	le.PutUint32(sector[16:], h.sum())
}

// TestStaleBackup grows a disk so that the backup no longer lies at its end.
func TestStaleBackup(t *testing.T) {
	path := disk(t, plainGPT, 16*mib)
	if err := os.Truncate(path, 24*mib); err != nil {
		t.Fatal(err)
	}
	table := open(t, path, 512)
	if len(table.Warnings) != 1 || !strings.Contains(table.Warnings[0], "not at the end") {
		t.Errorf("warnings %q", table.Warnings)
	}
	moved, err := table.MoveTo(32 * mib)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, sameDump(t, layTable(t, moved), 512), layTable(t, moved))
}

// TestMovedArray moves the entry array away from LBA 2, as boards do whose
// boot loader lies there.
func TestMovedArray(t *testing.T) {
	path := disk(t, "label: gpt\nstart=4096,size=4096,name=one\n", 16*mib)
	run(t, "", "sgdisk", "-j", "1000", path)
	d := load(t, path)
	copy(d[16*512:], "boot loader")
	table := readBytes(t, d, 512)
	if len(table.Warnings) > 0 || len(table.Partitions) != 1 {
		t.Fatalf("%q, %v", table.Warnings, table.Partitions)
	}
	if gap := table.Gap(); gap.Offset != 1024 || gap.End() != 4096*512 {
		t.Errorf("gap %v", gap)
	}
	moved, err := table.MoveTo(20 * mib)
	if err != nil {
		t.Fatal(err)
	}
	if moved.gpt.arrayLBA() != 1000 {
		t.Errorf("the array went to sector %d", moved.gpt.arrayLBA())
	}
	verify(t, moved, layTable(t, moved))
}

// TestSector4096 reads disks of 4096-byte sectors, made through a loop device.
func TestSector4096(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	for _, name := range []string{"gpt", "gpt, 256 entries", "mbr", "mbr, logical"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 600*mib); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("losetup", "-f", "--show", "-b", "4096", path).CombinedOutput()
			if err != nil {
				t.Skipf("losetup: %s", out)
			}
			device := strings.TrimSpace(string(out))
			defer exec.Command("losetup", "-d", device).Run()
			run(t, layouts[name], "sfdisk", "-q", "--no-tell-kernel", device)
			table := sameDump(t, device, 4096)
			if len(table.Partitions) == 0 || len(table.Warnings) > 0 {
				t.Errorf("%v %q", table.Partitions, table.Warnings)
			}
		})
	}
}

// put writes an MBR entry.
func put(sector []byte, i int, status, kind byte, start, length uint32) {
	tabletest.MBREntry(sector, i, status, kind, start, length)
}

func TestHostileMBR(t *testing.T) {
	tests := []struct {
		name     string
		write    func(d []byte)
		scheme   Scheme
		count    int
		conflict string
	}{
		{"chain to itself", func(d []byte) {
			put(d, 0, 0, 5, 64, 1000)
			put(d[64*512:], 0, 0, 0x83, 1, 10)
			put(d[64*512:], 1, 0, 5, 0, 100)
		}, MBR, 2, "comes back"},
		{"chain in a circle", func(d []byte) {
			put(d, 0, 0, 0xF, 64, 2000)
			put(d[64*512:], 1, 0, 5, 100, 100)
			put(d[164*512:], 0, 0, 0x83, 1, 10)
			put(d[164*512:], 1, 0, 5, 0, 100)
		}, MBR, 2, "comes back"},
		{"chain leaves the disk", func(d []byte) { put(d, 0, 0, 5, 64, 1000); put(d[64*512:], 1, 0, 5, 1<<31, 5) }, MBR, 1, "leaves the disk"},
		{"no EBR", func(d []byte) { put(d, 0, 0, 5, 64, 1000) }, MBR, 1, "no table at sector 64"},
		{"overlap", func(d []byte) { put(d, 0, 0, 0x83, 64, 1000); put(d, 2, 0x80, 7, 1063, 10) }, MBR, 2, "partitions 1 and 3 overlap"},
		{"behind the end", func(d []byte) { put(d, 3, 0, 0x83, 2000, 1<<32-1) }, MBR, 1, "behind the end"},
		{"over the table", func(d []byte) { put(d, 0, 0x80, 0x17, 0, 3000) }, MBR, 1, "covers sectors of the partition table"},
		{"two extended", func(d []byte) {
			put(d, 0, 0, 5, 64, 100)
			put(d, 1, 0, 5, 300, 100)
			put(d[64*512:], 0, 0, 0, 0, 0)
		}, MBR, 2, "second extended"},
		{"empty", func(d []byte) { put(d, 0, 0, 0, 0, 0) }, None, 0, ""},
		{"boot code", func(d []byte) { put(d, 0, 0x33, 0xC0, 64, 10) }, None, 0, ""},
		{"FAT boot sector that fakes a table", func(d []byte) {
			copy(d, "\xEB\x3C\x90")
			copy(d[54:], "FAT16   ")
			put(d, 0, 0x80, 6, 0, 3000)
		}, None, 0, ""},
		{"BPB and a true table", func(d []byte) {
			copy(d, "\xEB\x3C\x90")
			copy(d[54:], "FAT16   ")
			put(d, 0, 0x80, 6, 63, 2000)
		}, MBR, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := make([]byte, 2*mib)
			tt.write(d)
			table := readBytes(t, d, 512)
			if table.Scheme != tt.scheme || len(table.Partitions) != tt.count {
				t.Errorf("%s, %v", table.Scheme, table.Partitions)
			}
			if c := table.Conflict(); !strings.Contains(c, tt.conflict) || (c == "") != (tt.conflict == "") {
				t.Errorf("conflict %q, want %q", c, tt.conflict)
			}
		})
	}
}

// TestBootSectors: what mkfs.fat and mkfs.ntfs leave in sector 0 is no table.
func TestBootSectors(t *testing.T) {
	for _, args := range []string{"mkfs.vfat -F 12", "mkfs.vfat -F 16", "mkfs.vfat -F 32", "mkfs.vfat --mbr=y", "mkntfs -q -F -f", "mkfs.exfat", "mke2fs -q -F"} {
		t.Run(args, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "volume")
			if err := os.WriteFile(path, make([]byte, 10*mib), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "", append(strings.Fields(args), path)...)
			if table := open(t, path, 512); table.Scheme != None {
				t.Errorf("%s: %v", table.Scheme, table.Partitions)
			}
		})
	}
}

func TestHybridMBR(t *testing.T) {
	path := disk(t, plainGPT, 16*mib)
	run(t, "", "sgdisk", "-h", "1", path)
	before := load(t, path)
	table := readBytes(t, before, 512)
	if table.Scheme != GPT || len(table.Partitions) != 2 || len(table.Warnings) > 0 {
		t.Fatalf("%s %v %q", table.Scheme, table.Partitions, table.Warnings)
	}
	moved, err := table.MoveTo(20 * mib)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(moved.Sectors[0].Data, before[:512]) {
		t.Error("the hybrid MBR was changed")
	}
}

func TestMoveToSmaller(t *testing.T) {
	table := readBytes(t, load(t, disk(t, plainGPT, 16*mib)), 512)
	if _, err := table.MoveTo(15 * mib); err == nil {
		t.Error("moved to a smaller disk")
	}
}

func TestPartitionName(t *testing.T) {
	var table Table
	for disk, want := range map[string]string{"sda": "sda3", "nvme0n1": "nvme0n1p3", "/dev/loop0": "/dev/loop0p3", "/dev/mmcblk0": "/dev/mmcblk0p3"} {
		if got := table.PartitionName(disk, 3); got != want {
			t.Errorf("%s: %s, want %s", disk, got, want)
		}
	}
}

// badSectors is a disk of which a range cannot be read.
type badSectors struct {
	*bytes.Reader
	from, to int64 // bytes
}

func (b badSectors) ReadAt(p []byte, off int64) (int, error) {
	if off < b.to && off+int64(len(p)) > b.from {
		return 0, errors.New("medium error")
	}
	return b.Reader.ReadAt(p, off)
}

func TestUnreadableGPT(t *testing.T) {
	whole := load(t, disk(t, plainGPT, 16*mib))
	size := int64(len(whole))
	want := readBytes(t, whole, 512)
	for name, bad := range map[string]extent.Extent{
		"primary header": {Offset: 512, Length: 512}, "primary entries": {Offset: 4096, Length: 512}, "backup": {Offset: size - 1024, Length: 1024},
	} {
		table, err := Read(badSectors{bytes.NewReader(whole), bad.Offset, bad.End()}, size, 512)
		if err != nil || !slices.Equal(table.Partitions, want.Partitions) || !strings.Contains(strings.Join(table.Warnings, ""), "medium error") {
			t.Errorf("%s: %v, %v", name, table, err)
			continue
		}
		if moved, err := table.MoveTo(size); err != nil || !moved.Whole() {
			t.Errorf("%s: not repaired: %v", name, err)
		}
	}
}
