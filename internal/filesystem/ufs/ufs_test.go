package ufs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
	"doppel.live/internal/vm/lab"
)

// TestMatrix holds the allocation of volumes of all kinds against the Sleuth
// Kit, fragment by fragment, against the superblock's own counts and against
// the inodes; of copies of nothing else, all files are read.
func TestMatrix(t *testing.T) {
	for i, m := range made {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			path := makeVolume(t, i)
			opened, file := fstest.Open(t, path, Open)
			f := opened.(*fileSystem)
			list := fstest.Allocation(t, opened)
			info := opened.Info()
			if info.State != filesystem.Clean || info.Version != fmt.Sprint(m.version) {
				t.Errorf("%+v", info)
			}
			free := f.sb.freeBlocks()*f.sb.fragments() + f.sb.freeFragments()
			if want := info.Size - free*info.BlockSize; info.Used != want || info.Used > info.Size*3/4 {
				t.Errorf("%d bytes in use, %d by the superblock", info.Used, want)
			}
			sameAsBlkid(t, path, info)
			sameAsInodes(t, path)
			copied := fstest.CopyAllocated(t, file, list)
			judged := 0
			if f.atHome() {
				sameAsSleuthKit(t, path, info, list)
				readBySleuthKit(t, copied)
				judged++
			}
			if m.version == 2 && m.order == "le" {
				readByGRUB(t, copied)
				judged++
			}
			if judged == 0 {
				t.Error("nobody read it")
			}
		})
	}
}

func sameAsBlkid(t *testing.T, path string, info filesystem.Info) {
	t.Helper()
	out := fstest.Run(t, "blkid", "-p", "-o", "export", path)
	for _, want := range []string{"TYPE=ufs", "VERSION=" + info.Version, "UUID=" + info.UUID, fmt.Sprint("BLOCK_SIZE=", info.BlockSize)} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("blkid does not say %s:\n%s", want, out)
		}
	}
}

// sameAsInodes walks the inodes as if the volume had not been unmounted: with
// the metadata they hold exactly what the maps call used.
func sameAsInodes(t *testing.T, path string) {
	t.Helper()
	p := fstest.Load(t, path)
	f := openBytes(t, p)
	p[f.sb.at+209] = 0 // fs_clean
	dirty := openBytes(t, p)
	if dirty.info.State != filesystem.Dirty || dirty.info.Used != f.info.Used {
		t.Errorf("not unmounted it is %q with %d bytes in use, %d before", dirty.info.State, dirty.info.Used, f.info.Used)
	}
	var held []extent.Extent
	for g, bits := range dirty.held {
		for i := range int64(len(bits)) * 8 {
			if bits[i/8]>>(i%8)&1 == 1 {
				held = extent.Append(held, extent.Extent{Offset: int64(g)*f.sb.groupFragments() + i, Length: 1})
			}
		}
	}
	all := []extent.Extent{{Length: f.sb.dataBlock()}, {Offset: f.sb.summary(), Length: f.sb.summaryFragments()}}
	for g := range f.sb.groups() {
		all = append(all, extent.Extent{Offset: f.sb.start(g) + f.sb.copyBlock(), Length: f.sb.dataBlock() - f.sb.copyBlock()})
	}
	all = extent.Union(all, held)
	if got := extent.Total(all) * f.info.BlockSize; got != f.info.Used {
		t.Errorf("inodes and metadata hold %d bytes, the maps %d", got, f.info.Used)
	}
}

// sameAsSleuthKit compares what is in use with blkls, fragment by fragment.
func sameAsSleuthKit(t *testing.T, path string, info filesystem.Info, list []extent.Extent) {
	t.Helper()
	var theirs []extent.Extent
	for line := range strings.Lines(fstest.Run(t, "blkls", "-f", "ufs", "-e", "-l", path)) {
		var n int64
		if _, err := fmt.Sscanf(line, "%d|a", &n); err == nil && strings.HasSuffix(line, "|a\n") {
			theirs = extent.Append(theirs, extent.Extent{Offset: n * info.BlockSize, Length: info.BlockSize})
		}
	}
	if len(theirs) == 0 || fmt.Sprint(theirs) != fmt.Sprint(list) {
		t.Errorf("in use by blkls:\n%v\nby us:\n%v", theirs, list)
	}
}

var flsLine = regexp.MustCompile(`(?m)^r/r (\d+):\t(.*)$`)

// readBySleuthKit compares the files of a volume as icat gives them.
func readBySleuthKit(t *testing.T, path string) {
	t.Helper()
	sums := map[string][32]byte{}
	for _, m := range flsLine.FindAllStringSubmatch(fstest.Run(t, "fls", "-f", "ufs", "-u", "-r", "-p", path), -1) {
		data, err := exec.Command(fstest.Tool(t, "icat"), "-f", "ufs", path, m[1]).Output()
		if err != nil {
			t.Fatalf("icat %s: %v", m[2], err)
		}
		sums[m[2]] = sha256.Sum256(data)
	}
	sameFiles(t, "the Sleuth Kit", sums)
}

// readByGRUB compares some files, one process for each. GRUB knows UFS2 in
// little-endian only; of UFS1 in the other order it cannot read large files.
func readByGRUB(t *testing.T, path string) {
	t.Helper()
	for _, name := range []string{"big", "dir0/file04", "dir3/below/file11", "long", "dir0/file88", "empty"} {
		data, err := exec.Command(fstest.Tool(t, "grub-fstest"), path, "cat", "(loop0)/"+name).Output()
		if name == "long" {
			name = "big"
		}
		if err != nil || sha256.Sum256(data) != sha256.Sum256(content()[name]) {
			t.Errorf("GRUB reads %d bytes of %s: %v", len(data), name, err)
		}
	}
}

func sameFiles(t *testing.T, who string, got map[string][32]byte) {
	t.Helper()
	if want := kept(); len(want) < 50 || !maps.Equal(got, want) {
		t.Errorf("%s reads %d files, not the %d of the tree", who, len(got), len(want))
	}
}

// TestFixtures reads the files of samples that are not of this machine.
func TestFixtures(t *testing.T) {
	for name, used := range map[string]int64{
		"ufs1-be": (12288 - 11444) * 1024, // statfs of Linux says what is free
		"ufs1-le": (24576 - 22515) * 512,
		"ufs2-le": 0,
	} {
		t.Run(name, func(t *testing.T) {
			path, sums := fstest.Fixture(t, name)
			opened, file := fstest.Open(t, path, Open)
			list := fstest.Allocation(t, opened)
			if used != 0 && opened.Info().Used != used {
				t.Errorf("%d bytes in use, not %d", opened.Info().Used, used)
			}
			copied := fstest.CopyAllocated(t, file, list)
			read := 0
			for file, want := range sums {
				var cmd *exec.Cmd
				if name == "ufs2-le" {
					cmd = exec.Command(fstest.Tool(t, "grub-fstest"), copied, "cat", "(loop0)/"+file)
				} else {
					cmd = exec.Command(fstest.Tool(t, "fcat"), "-f", "ufs", file, copied)
				}
				data, err := cmd.Output()
				if got := fmt.Sprintf("%x", sha256.Sum256(data)); err != nil || got != want {
					t.Errorf("%s: %v, %d bytes", file, err, len(data))
				}
				read++
			}
			if read < 20 {
				t.Errorf("%d files were read", read)
			}
		})
	}
}

// TestKernel reads copies of nothing but what is in use by Linux. Its ufs
// cannot write in the kernels of Debian, and knows fragments up to 4 KiB.
//
//	/dev/ubda, /dev/ubdb, …   the copies, one of each kind that it can read
func TestKernel(t *testing.T) {
	c := lab.Config{Modules: []string{"ufs"}, Needs: []string{"mount", "makefs"}}
	other := regexp.MustCompile(`bsize=65536|bsize=32768|density=65536`) // fragments too large, or not at byte 65536
	var cases []int
	for i, m := range made {
		if !other.MatchString(m.options) {
			cases = append(cases, i)
		}
	}
	if !lab.Inside() {
		t.Setenv("TMPDIR", "/tmp") // the guest does not see the host's /dev/shm
		for _, i := range cases {
			path := makeVolume(t, i)
			opened, file := fstest.Open(t, path, Open)
			if !opened.(*fileSystem).atHome() {
				t.Fatalf("%s: its superblock is at byte %d", made[i].name, opened.(*fileSystem).sb.at)
			}
			c.Disks = append(c.Disks, fstest.CopyAllocated(t, file, fstest.Allocation(t, opened)))
		}
	}
	lab.Run(t, c, func(t *testing.T) {
		for n, i := range cases {
			t.Run(made[i].name, func(t *testing.T) {
				dir := filepath.Join(os.TempDir(), fmt.Sprint("mounted", n))
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				kind := map[int]string{1: "44bsd", 2: "ufs2"}[made[i].version]
				lab.Do(t, "mount", "-t", "ufs", "-o", "ro,ufstype="+kind, fmt.Sprintf("/dev/ubd%c", 'a'+n), dir)
				defer lab.Do(t, "umount", dir)
				sameFiles(t, "Linux", fstest.TreeSums(t, dir))
				if data, err := os.ReadFile(filepath.Join(dir, "long")); err != nil || !bytes.Equal(data, content()["big"]) {
					t.Errorf("through the long link: %d bytes, %v", len(data), err)
				}
			})
		}
	})
}
