package partition

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/partition/tabletest"
)

const matrixSize = 64 * mib

// sample is one disk of the matrix.
type sample struct {
	name   string
	make   func(t testing.TB) []byte
	scheme Scheme
	sector int64  // bytes; 0: 512
	want   string // partitions as list prints them; "" for those of sfdisk, which is then the judge
	// conflict is part of what Conflict must say; warning of what Warnings must.
	conflict, warning string
	// differs says why the kernel sees other partitions.
	differs string
}

// list prints partitions as NUMBER:START+LENGTH in sectors, with a mark:
// x extended, s slice, k kept, f free.
func list(table *Table) string {
	var words []string
	for _, p := range table.Partitions {
		mark := ""
		for _, m := range []struct {
			is   bool
			mark string
		}{{p.Extended, "x"}, {p.Slice, "s"}, {p.Kept, "k"}, {p.Free, "f"}} {
			if m.is {
				mark += m.mark
			}
		}
		words = append(words, fmt.Sprintf("%d:%d+%d%s", p.Number, p.Start/table.SectorSize, p.Size/table.SectorSize, mark))
	}
	return strings.Join(words, " ")
}

// tool makes a disk by a program that writes to the file DISK.
func byTool(stdin string, args ...string) func(t testing.TB) []byte {
	return func(t testing.TB) []byte {
		t.Helper()
		path := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, matrixSize); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.Join(args, " "), ";") {
			words := strings.Fields(line)
			for i := range words {
				words[i] = strings.ReplaceAll(words[i], "DISK", path)
			}
			run(t, stdin, words...)
		}
		return load(t, path)
	}
}

func blank(write func(d []byte)) func(t testing.TB) []byte {
	return func(testing.TB) []byte {
		d := make([]byte, matrixSize)
		write(d)
		return d
	}
}

// changed is a disk of sfdisk, changed.
func changed(script string, change func(d []byte)) func(t testing.TB) []byte {
	return func(t testing.TB) []byte {
		d := byTool(script, "sfdisk -q DISK")(t)
		change(d)
		return d
	}
}

// letterAt is one partition of a disklabel, in sectors.
type letterAt struct {
	Letter      byte
	Start, Size uint64
	Kind        byte
}

// putLabel writes a disklabel of n partitions; version is OpenBSD's.
func putLabel(d []byte, order binary.ByteOrder, sectorSize uint32, version uint16, n int, parts ...letterAt) {
	var letters []tabletest.Letter
	for _, p := range parts {
		letters = append(letters, tabletest.Letter(p))
	}
	tabletest.Disklabel(d, order, sectorSize, matrixSize/sectorSize, version, n, letters...)
}

// appleAt is one entry of an Apple map, in blocks.
type appleAt struct {
	Start, Size uint32
	Name, Kind  string
}

func putApple(d []byte, block int, parts ...appleAt) {
	var entries []tabletest.AppleEntry
	for _, p := range parts {
		entries = append(entries, tabletest.AppleEntry(p))
	}
	tabletest.AppleMap(d, block, entries...)
}

var (
	big    = binary.BigEndian
	little = binary.LittleEndian
)

var macDisk = []appleAt{
	{1, 63, "Apple", "Apple_partition_map"},
	{64, 54, "Macintosh", "Apple_Driver43"},
	{118, 74, "Macintosh", "Apple_Driver_ATA"},
	{192, 512, "Patch Partition", "Apple_Patches"},
	{704, 60000, "untitled", "Apple_HFS"},
	{60704, 60000, "data", "Apple_UFS"},
	{120704, 10368, "", "Apple_Free"},
}

// putGPT writes both copies of a GPT of that many entries of that size, with
// one partition in the last of them.
func putGPT(d []byte, sectorSize, entries, entrySize int) {
	sectors := len(d) / sectorSize
	put(d, 0, 0, 0xEE, 1, uint32(sectors-1))
	array := make([]byte, entries*entrySize)
	e := array[(entries-1)*entrySize:]
	copy(e, "type-type-type-tuniq-uniq-uniq-u")
	n := (len(array) + sectorSize - 1) / sectorSize
	le.PutUint64(e[32:], uint64(sectors/2))
	le.PutUint64(e[40:], uint64(sectors/2+99))
	for _, c := range [][3]int{{1, sectors - 1, 2}, {sectors - 1, 1, sectors - 1 - n}} {
		h := &gptHeader{sector: d[c[0]*sectorSize:][:sectorSize]}
		copy(h.sector, gptMagic)
		le.PutUint32(h.sector[8:], 0x10000)
		le.PutUint32(h.sector[12:], 92)
		for i, v := range []int{c[0], c[1], 2 + n, sectors - 2 - n} {
			le.PutUint64(h.sector[24+8*i:], uint64(v))
		}
		copy(h.sector[56:72], "disk-disk-disk-d")
		le.PutUint64(h.sector[72:], uint64(c[2]))
		le.PutUint32(h.sector[80:], uint32(entries))
		le.PutUint32(h.sector[84:], uint32(entrySize))
		le.PutUint32(h.sector[88:], crc32.ChecksumIEEE(array))
		fixHeader(h.sector)
		copy(d[c[2]*sectorSize:], array)
	}
}

const (
	onlyBackup   = "without the parameter gpt the kernel does not look at the backup"
	onlySlices   = "the kernel reads disklabels of whole disks of Alpha only"
	contradicted = "the table contradicts itself"
)

// matrix is every table that the tests know: those of layouts, and these.
func matrix() []sample {
	var all []sample
	for _, name := range slices.Sorted(maps.Keys(layouts)) {
		scheme := MBR
		if strings.HasPrefix(name, "gpt") {
			scheme = GPT
		}
		all = append(all, sample{name: name, scheme: scheme, make: byTool(layouts[name], "sfdisk -q DISK")})
	}
	return slices.Concat(all, gptSamples(), sliceSamples(), labelSamples(), appleSamples(), noSamples())
}

func gptSamples() []sample {
	gpt := func(entries, size int) func(testing.TB) []byte {
		return blank(func(d []byte) { putGPT(d, 512, entries, size) })
	}
	return []sample{
		{name: "gpt, 1 entry", scheme: GPT, make: gpt(1, 128), want: "1:65536+100"},
		{name: "gpt, 1000 entries", scheme: GPT, make: gpt(1000, 128), want: "1000:65536+100", differs: "the kernel takes 255 partitions"},
		{name: "gpt, entries of 256 bytes", scheme: GPT, make: gpt(128, 256), want: "128:65536+100", differs: "the kernel takes entries of 128 bytes only"},
		{name: "gpt, entries of 4096 bytes", scheme: GPT, make: gpt(5, 4096), want: "5:65536+100", differs: "the kernel takes entries of 128 bytes only"},
		{name: "gpt, entries of 384 bytes", scheme: GPT, make: gpt(5, 384), conflict: "5 entries of 384 bytes", differs: contradicted},
		{name: "gpt, array moved", scheme: GPT, make: byTool("label: gpt\nstart=4096,size=4096\n", "sfdisk -q DISK;sgdisk -j 1000 DISK")},
		{name: "gpt, hybrid", scheme: GPT, make: byTool(plainGPT, "sfdisk -q DISK;sgdisk -h 1 DISK")},
		{name: "gpt, hybrid, two", scheme: GPT, make: byTool(plainGPT, "sfdisk -q DISK;sgdisk -h 2:1:EE DISK")},
		{name: "gpt, made by parted", scheme: GPT, make: byTool("", "parted -s DISK mklabel gpt mkpart a ext4 1MiB 10MiB mkpart b linux-swap 10MiB 20MiB set 1 boot on")},
		{name: "gpt, primary header damaged", scheme: GPT, make: changed(plainGPT, func(d []byte) { d[600]++ }),
			want: "1:2048+4096 2:8192+4096", warning: "primary GPT damaged", differs: onlyBackup},
		{name: "gpt, primary overwritten", scheme: GPT, make: changed(plainGPT, func(d []byte) { clear(d[512 : 17<<10]) }),
			want: "1:2048+4096 2:8192+4096", warning: "primary GPT damaged", differs: onlyBackup},
		{name: "gpt, backup overwritten", scheme: GPT, make: changed(plainGPT, func(d []byte) { clear(d[len(d)-(20<<10):]) }), warning: "backup GPT damaged or absent"},
		{name: "gpt, both damaged", scheme: GPT, make: changed(plainGPT, func(d []byte) { d[600]++; d[len(d)-452]++ }), conflict: "no good GPT", differs: contradicted},
		{name: "gpt, no protective MBR", scheme: GPT, make: changed(plainGPT, func(d []byte) { clear(d[:512]) }), conflict: "without a protective MBR", differs: contradicted},
		{name: "gpt, no entry in the MBR", scheme: GPT, make: changed(plainGPT, func(d []byte) { clear(d[446:510]) }), conflict: "without a protective MBR", differs: contradicted},
		{name: "mbr, and a GPT behind it", scheme: MBR, make: changed(plainGPT, func(d []byte) { clear(d[446:510]); put(d, 0, 0, 0x83, 2048, 4096) }),
			want: "1:2048+4096", warning: "behind the MBR there is a GPT"},
		{name: "gpt, copied from a smaller disk", scheme: GPT, make: blank(func(d []byte) { putGPT(d[:48*mib], 512, 128, 128) }),
			want: "128:49152+100", warning: "not at the end of the disk"},
		{name: "gpt, copied from a smaller disk, primary damaged", scheme: GPT, make: blank(func(d []byte) { putGPT(d[:48*mib], 512, 128, 128); d[600]++ }),
			want: "128:49152+100", warning: "primary GPT damaged", differs: onlyBackup},
		{name: "gpt, entry outside of the disk", scheme: GPT, make: blank(func(d []byte) {
			putGPT(d, 512, 4, 128)
			array := d[1024:][:512]
			le.PutUint64(array[3*128+40:], 1<<40)
			le.PutUint32(d[512+88:], crc32.ChecksumIEEE(array))
			fixHeader(d[512:1024])
		}), conflict: "behind the end of the disk", warning: "not the same table", differs: contradicted},
		{name: "gpt, 4096-byte sectors", scheme: GPT, sector: 4096, make: blank(func(d []byte) { putGPT(d, 4096, 128, 128) }), want: "128:8192+100"},
		{name: "mbr, 4096-byte sectors, logical", scheme: MBR, sector: 4096, make: blank(func(d []byte) {
			put(d, 0, 0, 0x83, 256, 1000)
			put(d, 1, 0, 5, 2000, 5000)
			put(d[2000*4096:], 0, 0, 0x83, 10, 500)
			put(d[2000*4096:], 1, 0, 5, 1000, 800)
			put(d[3000*4096:], 0, 0, 7, 10, 500)
		}), want: "1:256+1000 2:2000+5000x 5:2010+500 6:3010+500"},
	}
}

// sliceSamples are disklabels in the slices of an MBR.
func sliceSamples() []sample {
	freeBSD := []letterAt{{'a', 16, 20000, 7}, {'b', 20016, 8000, 1}, {'c', 0, 40000, 0}, {'e', 30000, 10000, 7}}
	absolute := []letterAt{{'a', 2048, 20000, 7}, {'b', 22048, 8000, 1}, {'c', 2048, 40000, 0}}
	inSlice := func(kind byte, version uint16, n int, parts []letterAt, more func(d []byte)) func(testing.TB) []byte {
		return blank(func(d []byte) {
			copy(d[2048*512:], "boot code of the slice")
			put(d, 0, 0x80, kind, 2048, 40000)
			putLabel(d[2049*512:], little, 512, version, n, parts...)
			if more != nil {
				more(d)
			}
		})
	}
	return []sample{
		{name: "freebsd slice, relative", scheme: MBR, make: inSlice(0xA5, 0, 8, freeBSD, nil), want: "1:2048+40000s 5:2064+20000 6:22064+8000 7:32048+10000"},
		{name: "freebsd slice, absolute", scheme: MBR, make: inSlice(0xA5, 0, 8, absolute, nil), want: "1:2048+40000s 5:2048+20000 6:22048+8000"},
		{name: "freebsd slice, a at its start", scheme: MBR, make: inSlice(0xA5, 0, 8, []letterAt{{'a', 0, 20000, 7}, {'c', 0, 40000, 0}}, nil),
			want: "1:2048+40000s 5:2048+20000"},
		{name: "freebsd slice, 20 letters", scheme: MBR, make: inSlice(0xA5, 0, 20, []letterAt{{'a', 16, 100, 7}, {'t', 200, 100, 27}}, nil),
			want: "1:2048+40000s 5:2064+100 6:2248+100", differs: "the kernel takes 16 letters"},
		{name: "freebsd slice, unused letter beside the others", scheme: MBR, make: inSlice(0xA5, 0, 8, append(freeBSD, letterAt{'h', 28100, 1000, 0}), nil),
			want: "1:2048+40000s 5:2064+20000 6:22064+8000 7:32048+10000 8:30148+1000", differs: "the kernel leaves out what the label calls unused"},
		{name: "freebsd slice, 4096-byte sectors", scheme: MBR, sector: 4096, make: blank(func(d []byte) {
			put(d, 0, 0x80, 0xA5, 256, 5000)
			putLabel(d[257*4096:], little, 4096, 0, 8, letterAt{'a', 16, 2000, 7}, letterAt{'c', 0, 5000, 0})
		}), want: "1:256+5000s 5:272+2000", differs: "the kernel looks for the label at byte 512 of the slice"},
		{name: "openbsd slice", scheme: MBR, make: inSlice(0xA6, 1, 16, []letterAt{
			{'a', 2048, 20000, 7}, {'b', 22048, 8000, 1}, {'c', 0, matrixSize / 512, 0}, {'d', 30048, 12000, 7}, {'i', 50000, 1000, 8},
		}, func(d []byte) { put(d, 2, 0, 0x0C, 50000, 1000) }), want: "1:2048+40000s 3:50000+1000 5:2048+20000 6:22048+8000 7:30048+12000"},
		{name: "netbsd slice", scheme: MBR, make: inSlice(0xA9, 0, 16, []letterAt{
			{'a', 2048, 30000, 7}, {'b', 32048, 10000, 1}, {'c', 2048, 40000, 0}, {'d', 0, matrixSize / 512, 0}, {'e', 60000, 2000, 17},
		}, func(d []byte) { put(d, 1, 0, 0x83, 60000, 2000) }), want: "1:2048+40000s 2:60000+2000 5:2048+30000 6:32048+10000"},
		{name: "slices behind logical partitions", scheme: MBR, make: inSlice(0xA5, 0, 8, freeBSD, func(d []byte) {
			put(d, 1, 0, 5, 50000, 20000)
			put(d[50000*512:], 0, 0, 0x83, 10, 500)
			put(d[50000*512:], 1, 0, 5, 1000, 800)
			put(d[51000*512:], 0, 0, 7, 10, 500)
			put(d, 2, 0, 0xA9, 80000, 10000)
			putLabel(d[80001*512:], little, 512, 0, 16, letterAt{'a', 80000, 4000, 7}, letterAt{'e', 84000, 5000, 7})
		}), want: "1:2048+40000s 2:50000+20000x 3:80000+10000s 5:50010+500 6:51010+500 7:2064+20000 8:22064+8000 9:32048+10000 10:80000+4000 11:84000+5000"},
		{name: "slice without a label", scheme: MBR, make: blank(func(d []byte) { put(d, 0, 0, 0xA5, 2048, 40000) }), want: "1:2048+40000"},
		{name: "slice whose label has nothing in use", scheme: MBR, make: inSlice(0xA5, 0, 8, []letterAt{{'c', 0, 40000, 0}}, nil), want: "1:2048+40000"},
		{name: "slice that one letter covers", scheme: MBR, make: inSlice(0xA5, 0, 8, []letterAt{{'a', 0, 40000, 7}, {'c', 0, 40000, 0}}, nil), want: "1:2048+40000"},
		{name: "slice with a damaged label", scheme: MBR, make: inSlice(0xA5, 0, 8, freeBSD, func(d []byte) { d[2049*512+150]++ }),
			want: "1:2048+40000", warning: "wrong checksum of the disklabel", differs: "the kernel does not look at checksums"},
		{name: "label in a logical partition", scheme: MBR, make: blank(func(d []byte) {
			put(d, 0, 0, 5, 2048, 40000)
			put(d[2048*512:], 0, 0, 0xA5, 8, 30000)
			putLabel(d[2057*512:], little, 512, 0, 8, letterAt{'a', 16, 2000, 7}, letterAt{'c', 0, 30000, 0})
		}), want: "1:2048+40000x 5:2056+30000"},
		{name: "letter that leaves its slice", scheme: MBR, make: inSlice(0xA5, 0, 8, []letterAt{{'a', 16, 20000, 7}, {'c', 0, 40000, 0}, {'d', 30000, 20000, 7}}, nil),
			want: "1:2048+40000s 5:2064+20000", conflict: "outside of it"},
		{name: "letter where no partition is", scheme: MBR, make: inSlice(0xA6, 1, 16, []letterAt{{'a', 2048, 20000, 7}, {'d', 100000, 2000, 7}}, nil),
			want: "1:2048+40000s 5:2048+20000", conflict: "outside of it"},
		{name: "letters that overlap", scheme: MBR, make: inSlice(0xA5, 0, 8, []letterAt{{'a', 16, 20000, 7}, {'d', 20015, 2000, 7}}, nil),
			want: "1:2048+40000s 5:2064+20000 6:22063+2000", conflict: "partitions 5 and 6 overlap"},
		{name: "letter of more bytes than can be", scheme: MBR, make: inSlice(0xA6, 1, 16, []letterAt{{'a', 2048, 20000, 7}, {'b', 1 << 47, 1 << 47, 7}}, nil),
			want: "1:2048+40000s 5:2048+20000", conflict: "outside of it", differs: contradicted},
	}
}

// labelSamples are disklabels of whole disks.
func labelSamples() []sample {
	letters := []letterAt{{'a', 0, 20000, 7}, {'b', 20000, 8000, 1}, {'c', 0, matrixSize / 512, 0}, {'e', 30000, 50000, 7}}
	at := func(off int, order binary.ByteOrder, parts []letterAt, more func(d []byte)) func(testing.TB) []byte {
		return blank(func(d []byte) {
			copy(d, "boot1")
			copy(d[4096:], "boot2")
			putLabel(d[off:], order, 512, 0, 8, parts...)
			if more != nil {
				more(d)
			}
		})
	}
	byParted := func(change func(d []byte)) func(t testing.TB) []byte {
		return func(t testing.TB) []byte {
			d := byTool("", "parted -s DISK mklabel bsd mkpart ext2 2MiB 20MiB mkpart linux-swap 20MiB 40MiB")(t)
			change(d)
			return d
		}
	}
	const want = "1:0+20000 2:20000+8000 5:30000+50000"
	return []sample{
		{name: "disklabel of a disk", scheme: BSD, make: at(512, little, letters, nil), want: want, differs: onlySlices},
		{name: "disklabel of a disk, big-endian", scheme: BSD, make: at(512, big, letters, nil), want: want, differs: onlySlices},
		{name: "disklabel of an Alpha disk", scheme: BSD, make: at(64, little, []letterAt{{'a', 16, 20000, 7}, {'e', 30000, 50000, 7}}, nil), want: "1:16+20000 5:30000+50000"},
		{name: "disklabel made by parted, which writes a wrong checksum", scheme: BSD, make: byParted(func([]byte) {}), conflict: "wrong checksum", differs: contradicted},
		{name: "disklabel made by parted, corrected", scheme: BSD, make: byParted(func(d []byte) { tabletest.FixDisklabel(d[64:], little) }), want: "1:4096+36864 2:40960+40960"},
		{name: "disklabel of OpenBSD", scheme: BSD, make: blank(func(d []byte) {
			putLabel(d[512:], little, 512, 1, 16, letterAt{'a', 64, 20000, 7}, letterAt{'c', 0, matrixSize / 512, 0}, letterAt{'p', 30000, 50000, 7})
		}), want: "1:64+20000 16:30000+50000", differs: onlySlices},
		{name: "disklabel of 52 letters", scheme: BSD, make: blank(func(d []byte) {
			putLabel(d[512:], little, 512, 1, 52, letterAt{'a', 64, 20000, 7}, letterAt{'a' + 51, 30000, 50000, 7})
		}), want: "1:64+20000 52:30000+50000", differs: onlySlices},
		{name: "dangerously dedicated", scheme: BSD, make: at(512, little, letters, func(d []byte) { put(d, 3, 0x80, 0xA5, 0, 50000) }), want: want, differs: onlySlices},
		{name: "damaged disklabel of a disk", scheme: BSD, make: at(512, little, letters, func(d []byte) { d[512+150]++ }), conflict: "wrong checksum", differs: contradicted},
		{name: "disklabel, letter behind the end", scheme: BSD, make: at(512, little, []letterAt{{'a', 100000, 40000, 7}}, nil),
			want: "1:100000+40000", conflict: "behind the end", differs: contradicted},
	}
}

func appleSamples() []sample {
	apple := func(block int, entries []appleAt, more func(d []byte)) func(testing.TB) []byte {
		return blank(func(d []byte) {
			putApple(d, block, entries...)
			copy(d[64*512:], "driver code")
			if more != nil {
				more(d)
			}
		})
	}
	large := []appleAt{{1, 15, "Apple", "Apple_partition_map"}, {64, 20000, "a", "Apple_HFS"}, {20064, 10000, "b", "Apple_HFSX"}}
	return []sample{
		{name: "apple map made by parted", scheme: APM, make: byTool("", "parted -s DISK mklabel mac mkpart one hfs+ 2MiB 20MiB mkpart two linux-swap 20MiB 40MiB"),
			want: "1:1+63k 2:4096+36864 3:40960+40960 4:64+4032f 5:81920+49152f"},
		{name: "apple map with drivers", scheme: APM, make: apple(512, macDisk, nil),
			want: "1:1+63k 2:64+54k 3:118+74k 4:192+512k 5:704+60000 6:60704+60000 7:120704+10368f"},
		{name: "apple map, blocks of 2048 bytes", scheme: APM, make: apple(2048, large, nil), want: "1:4+60k 2:256+80000 3:80256+40000"},
		{name: "apple map, 2048-byte sectors", scheme: APM, sector: 2048, make: apple(2048, large, nil), want: "1:1+15k 2:64+20000 3:20064+10000"},
		{name: "apple map that names other blocks", scheme: APM, make: apple(512, large, func(d []byte) { big.PutUint16(d[2:], 2048) }), conflict: "blocks of 2048 bytes", differs: contradicted},
		{name: "apple map without a device record", scheme: APM, make: apple(512, macDisk, func(d []byte) { clear(d[:512]) }), conflict: "without a device record", differs: contradicted},
		{name: "apple map that ends too soon", scheme: APM, make: apple(512, macDisk, func(d []byte) { clear(d[5*512:][:512]) }),
			want: "1:1+63k 2:64+54k 3:118+74k 4:192+512k", conflict: "no entry in block 5", differs: contradicted},
		{name: "apple map of too many blocks", scheme: APM, make: apple(512, macDisk, func(d []byte) { big.PutUint32(d[512+4:], 1<<31) }), conflict: "2147483648 blocks", differs: contradicted},
		{name: "apple map, partitions overlap", scheme: APM, make: apple(512, []appleAt{macDisk[0], macDisk[4], {60000, 10, "", "Apple_HFS"}}, nil),
			want: "1:1+63k 2:704+60000 3:60000+10", conflict: "partitions 2 and 3 overlap"},
		{name: "apple map, partition on the map", scheme: APM, make: apple(512, []appleAt{macDisk[0], {0, 1000, "", "Apple_HFS"}}, nil),
			want: "1:1+63k 2:0+1000", conflict: "covers sectors of the partition table"},
		{name: "apple map, partition behind the end", scheme: APM, make: apple(512, []appleAt{macDisk[0], {1000, 1<<32 - 1, "", "Apple_HFS"}}, nil),
			want: "1:1+63k 2:1000+4294967295", conflict: "behind the end", differs: contradicted},
	}
}

func noSamples() []sample {
	return []sample{
		{name: "no table, zeros", scheme: None, make: blank(func([]byte) {}), want: "-"},
		{name: "no table, ext4", scheme: None, make: byTool("", "mke2fs -q -F -t ext4 DISK"), want: "-"},
		{name: "no table, FAT32", scheme: None, make: byTool("", "mkfs.vfat -F 32 DISK"), want: "-"},
		{name: "no table, a text", scheme: None, make: blank(func(d []byte) { copy(d, "ERROR: "+strings.Repeat("no such thing. ", 300)) }), want: "-"},
		{name: "no table, the backup of a former GPT", scheme: None, make: changed(plainGPT, func(d []byte) { clear(d[:mib]) }), want: "-", warning: "whose beginning is gone"},
		{name: "mbr, protective entry at another place", scheme: MBR, make: blank(func(d []byte) { put(d, 0, 0, 0xEE, 2, 1000) }),
			want: "1:2+1000", conflict: "as it must", differs: contradicted},
	}
}
