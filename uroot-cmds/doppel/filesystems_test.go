package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A disk with one partition for each file system that is saved by blocks, and
// filled with garbage first, comes back onto another one full of garbage: by us
// and by partclone, whose own name for the file system is in the header.
var readable = []struct {
	mib       int64
	make      string // makes the file system in the file FS
	fill      string // puts the file DATA into it; "" nothing
	check     string // the file system's own checker
	read      string // prints that file; "" nothing
	blkid     string
	partclone string
}{
	{4, "mkfs.fat -F 12 -n TWELVE FS", "mcopy -i FS DATA ::/data", "fsck.fat -n FS", "mtype -i FS ::/data", "vfat", "FAT12"},
	{20, "mkfs.fat -F 16 FS", "mcopy -i FS DATA ::/data", "fsck.fat -n FS", "mtype -i FS ::/data", "vfat", "FAT16"},
	{40, "mkfs.fat -F 32 -s 1 FS", "mcopy -i FS DATA ::/data", "fsck.fat -n FS", "mtype -i FS ::/data", "vfat", "FAT32"},
	{16, "mkfs.exfat -L EX FS", "", "fsck.exfat -n FS", "", "exfat", "EXFAT"},
	{24, "mke2fs -q -F -t ext4 -b 1024 FS", "debugfs -w -f - FS <<E\nwrite DATA data\nE", "e2fsck -fn FS", "debugfs -R 'cat /data' FS 2>/dev/null", "ext4", "EXTFS"},
	{20, "mkntfs -q -F -f -c 4096 FS", "ntfscp -f -q FS DATA /data", "ntfsfix -n FS", "ntfscat -f FS /data", "ntfs", "NTFS"},
	{100, "mkfs.f2fs -q -f -l flash FS", "mkdir -p DATA.d && cp DATA DATA.d/data && sload.f2fs -f DATA.d FS", "fsck.f2fs --dry-run FS", "", "f2fs", "F2FS"},
	{40, "printf '/\\n0 0\\nd--755 0 0\\ndata ---644 0 0 DATA\\n$\\n' >DATA.p && mkfs.xfs --unsupported -q -f -p DATA.p FS", "", "xfs_repair -n FS", "", "xfs", "XFS"},
	{120, "mkdir -p DATA.b && cp DATA DATA.b/data && mkfs.btrfs -q -f -r DATA.b FS", "", "btrfs check --readonly --check-data-csum FS", "", "btrfs", "BTRFS"},
}

func TestFileSystems(t *testing.T) {
	for _, scheme := range []string{"gpt", "dos"} {
		t.Run(scheme, func(t *testing.T) { testFileSystems(t, scheme) })
	}
}

// places gives a table for sfdisk and where the volumes lie, in MiB: on an MBR
// the first three in primary partitions, the others in logical ones, each with
// a MiB before it for the sector that names it.
func places(scheme string) (table string, starts, numbers []int64, size int64) {
	table, size = "label: "+scheme+"\n", 1
	for i, r := range readable {
		number := int64(i + 1)
		if scheme == "dos" && i >= 3 {
			if i == 3 {
				table += fmt.Sprintf("start=%dMiB,type=5\n", size)
			}
			number, size = number+1, size+1
		}
		table += fmt.Sprintf("start=%dMiB,size=%dMiB\n", size, r.mib)
		starts, numbers = append(starts, size), append(numbers, number)
		size += r.mib
	}
	return table, starts, numbers, size + 1
}

func testFileSystems(t *testing.T, scheme string) {
	l := &lab{t: t, dir: t.TempDir()}
	if err := os.Mkdir(l.path("images"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"partclone.restore", "partclone.info", "zstd", "mtype"} {
		l.find(name)
	}
	l.random("data", 1234567, 0, 1234567)
	table, starts, numbers, size := places(scheme)
	l.random("source.img", size*mib, 0, size*mib)
	l.random("target.img", size*mib, 7, size*mib-7)
	l.tool(table, "sfdisk", "--quiet", "--wipe", "always", l.path("source.img"))
	for i, r := range readable {
		l.random("fs", r.mib*mib, 3, r.mib*mib-3)
		l.shell(r.make, "fs")
		l.shell(r.fill, "fs")
		l.copyInto("fs", "source.img", starts[i]*mib)
		if err := os.Remove(l.path("fs")); err != nil {
			t.Fatal(err)
		}
	}
	l.expect(done, "is saved", "save", "source.img", "lab")
	l.expect(done, "was compared", "restore", "lab", "target.img", "--yes", "--verify")
	target := l.read("target.img")
	dump := func(name string) string {
		return strings.ReplaceAll(l.tool("", "sfdisk", "--dump", l.path(name)), l.path(name), "DISK")
	}
	if got, want := dump("target.img"), dump("source.img"); got != want {
		t.Errorf("table\n%s\nwant\n%s", got, want)
	}
	for i, r := range readable {
		from, to := starts[i]*mib, (starts[i]+r.mib)*mib
		t.Run(r.partclone, func(t *testing.T) {
			t.Parallel()
			l := &lab{t: t, dir: l.dir}
			ours, theirs := fmt.Sprint("ours", i), fmt.Sprint("theirs", i)
			if err := os.WriteFile(l.path(ours), target[from:to], 0o644); err != nil {
				t.Fatal(err)
			}
			files, _ := filepath.Glob(l.path(fmt.Sprintf("images/lab/sda%d.%s-ptcl-img.zst", numbers[i], r.blkid)))
			if len(files) != 1 {
				t.Fatalf("%d streams of %s", len(files), r.blkid)
			}
			stream := "zstd -dcq " + files[0] + " | "
			if info := l.shell(stream+"partclone.info -L /dev/null -s -", ""); !strings.Contains(info, r.partclone) {
				t.Errorf("partclone.info does not say %s:\n%s", r.partclone, info)
			}
			l.shell("truncate -s "+fmt.Sprint(to-from)+" FS && "+stream+"partclone.restore -C -s - -O FS -L /dev/null", theirs)
			for _, name := range []string{ours, theirs} {
				l.shell(r.check, name)
				if r.read != "" && l.shell(r.read, name) != string(l.read("data")) {
					t.Errorf("%s: the file differs", name)
				}
			}
		})
	}
	if bytes.Equal(target[mib:], l.read("source.img")[mib:]) {
		t.Error("every byte was restored, not only the blocks in use")
	}
}

// shell runs a command line on a file.
func (l *lab) shell(command, fs string) string {
	l.t.Helper()
	if fields := strings.Fields(command); len(fields) > 0 {
		l.find(fields[0])
	}
	return l.tool("", "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin MTOOLS_SKIP_CHECK=1; export PATH MTOOLS_SKIP_CHECK; "+
		strings.NewReplacer("FS", l.path(fs), "DATA", l.path("data")).Replace(command))
}
