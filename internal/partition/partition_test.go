package partition

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/filesystem/fstest"
)

const mib = 1 << 20

// layouts are scripts for sfdisk, each on a disk of 64 MiB.
var layouts = map[string]string{
	"gpt": "label: gpt\nstart=2048,size=4096,type=U,name=\"EFI System\"\nsize=4096,type=S\n,,L\n",
	"gpt, gaps in the numbers, attributes, names": "label: gpt\n" +
		"3: start=2048, size=100, name=\"a, b = c\", attrs=\"RequiredPartition,GUID:48,63\"\n" +
		"7: start=4096, size=1, attrs=\"NoBlockIOProtocol,LegacyBIOSBootable\"\n" +
		"5: start=40000, size=7, name=\"äöü€\"\n",
	"gpt, not in the order of the disk": "label: gpt\nstart=90000,size=100\nstart=2048,size=100\nstart=50000,size=100\n",
	"gpt, empty":                        "label: gpt\n",
	"gpt, 256 entries":                  "label: gpt\ntable-length: 256\n200: start=4096,size=100\n",
	"gpt, 5 entries":                    "label: gpt\ntable-length: 5\nstart=4096,size=100\n",
	"gpt, first-lba":                    "label: gpt\nfirst-lba: 34\nlast-lba: 100000\nstart=34,size=100\n",
	"mbr":                               "label: dos\nlabel-id: 0xdeadbeef\n2048,4096,c,*\n,8192,83\n,2048,7\n,,82\n",
	"mbr, one":                          "label: dos\n2048,,83\n",
	"mbr, gap":                          "label: dos\n2: start=2048,size=2048,type=83\n4: start=63,size=1000,type=1,bootable\n",
	"mbr, logical":                      "label: dos\n2048,4096,c,*\n8192,,5\n5: start=10240,size=2048,type=83\n6: start=20480,size=4096,type=82\n7: start=14336,size=1024,type=7\n",
	"mbr, logical, type f, first":       "label: dos\n1: start=63,type=f\n5: start=126,size=1000,type=6\n6: start=2000,size=1000,type=fd\n",
	"mbr, empty extended":               "label: dos\n2048,4096,83\n8192,,85\n",
	"mbr, many logical":                 "label: dos\n1: start=2048,type=f\n" + logicals(25),
}

// logicals gives script lines for n logical partitions.
func logicals(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d: size=%d,type=83\n", 5+i, 2+i)
	}
	return b.String()
}

// run runs a program and gives what it printed to its standard output.
func run(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(fstest.Tool(t, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// disk makes a file partitioned by sfdisk.
func disk(t testing.TB, layout string, size int64) string {
	t.Helper()
	path := fstest.Volume(t, size)
	run(t, layout, "sfdisk", "-q", path)
	return path
}

func open(t *testing.T, path string, sectorSize int64) *Table {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, 2)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Read(f, size, sectorSize)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// sameDump holds our dump against that of sfdisk.
func sameDump(t *testing.T, path string, sectorSize int64) *Table {
	t.Helper()
	table := open(t, path, sectorSize)
	want := run(t, "", "sfdisk", "--dump", path)
	if got := table.SfdiskDump(path); got != want {
		t.Errorf("dump\n%swant\n%s", got, want)
	}
	return table
}

// layTable writes the sectors of a table to a new file of the table's size.
func layTable(t *testing.T, table *Table) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "laid")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(table.DiskSize); err != nil {
		t.Fatal(err)
	}
	for _, s := range table.Sectors {
		if _, err := f.WriteAt(s.Data, s.Offset); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// verify lets sgdisk look for problems in a GPT.
func verify(t *testing.T, table *Table, path string) {
	t.Helper()
	if table.Scheme != GPT {
		return
	}
	if out := run(t, "", "sgdisk", "-v", path); !strings.Contains(out, "No problems found") && !strings.Contains(out, "Identified 0 problems") {
		t.Errorf("sgdisk -v: %s", out)
	}
}

// TestDumpNames writes names and attributes that sfdisk would not take into
// the entry of a GPT and compares the dumps.
func TestDumpNames(t *testing.T) {
	path := disk(t, "label: gpt\nstart=2048,size=100\n", 64*mib)
	names := [][]uint16{
		units(`a"b\c$d` + "`e'f"),
		units("tab\tbell\adel\x7fesc\x1b"),
		units("😀 astral"),
		units("\u0085\u00a0\u200b\ufeff"),
		units(strings.Repeat("x", 36)),
		units("äöü漢字" + strings.Repeat("é", 30)),
	}
	for i, name := range names {
		patchEntries(t, path, func(entry []byte) {
			clear(entry[56:128])
			for j, u := range name {
				le.PutUint16(entry[56+2*j:], u)
			}
			le.PutUint64(entry[48:], []uint64{0, math.MaxUint64, 1 << 47, 1<<63 | 2, 8, 5 << 50}[i])
		})
		sameDump(t, path, 512)
	}
}

func units(s string) (u []uint16) {
	for _, r := range s {
		if r > 0xFFFF {
			r -= 0x10000
			u = append(u, uint16(0xD800+r>>10), uint16(0xDC00+r&0x3FF))
			continue
		}
		u = append(u, uint16(r))
	}
	return u
}

// patchEntries changes the first entry of both copies and corrects the sums.
func patchEntries(t *testing.T, path string, change func(entry []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, lba := range []int{1, len(b)/512 - 1} {
		h := &gptHeader{sector: b[lba*512:][:512]}
		array := b[h.arrayLBA()*512:][:h.arrayBytes()]
		change(array[:128])
		le.PutUint32(h.sector[88:], crc32.ChecksumIEEE(array))
		le.PutUint32(h.sector[16:], h.sum())
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
