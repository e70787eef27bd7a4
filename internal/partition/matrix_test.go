package partition

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func (s sample) sectorSize() int64 {
	if s.sector == 0 {
		return 512
	}
	return s.sector
}

// disk makes the sample, or gives what a test before has made of it.
func (s sample) disk(t testing.TB) []byte {
	t.Helper()
	kept, ok := made[s.name]
	d := make([]byte, matrixSize)
	if !ok {
		d, kept = s.make(t), map[int][]byte{}
		for off := range pieces(d) {
			kept[off] = bytes.Clone(d[off : off+piece])
		}
		made[s.name] = kept
	}
	for off, data := range kept {
		copy(d[off:], data)
	}
	return d
}

// made keeps what of each sample is not zero: programs are slow to start.
var made = map[string]map[int][]byte{}

// TestMatrix reads every table, holds it against what it was made with or
// against sfdisk, and writes and reads it again.
func TestMatrix(t *testing.T) {
	for _, s := range matrix() {
		t.Run(s.name, func(t *testing.T) {
			d := s.disk(t)
			table := readBytes(t, d, s.sectorSize())
			got := list(table)
			if want := strings.TrimPrefix(s.want, "-"); table.Scheme != s.scheme || s.want != "" && got != want {
				t.Fatalf("%s: %s, want %s: %s; %q", table.Scheme, got, s.scheme, want, table.Warnings)
			}
			if c := table.Conflict(); !strings.Contains(c, s.conflict) || (c == "") != (s.conflict == "") {
				t.Errorf("conflict %q, want %q", c, s.conflict)
			}
			warnings := strings.Join(table.Warnings, "\n")
			if !strings.Contains(warnings, s.warning) || (warnings == "") != (s.warning == "" && s.conflict == "") {
				t.Errorf("warnings %q, want %q", table.Warnings, s.warning)
			}
			if s.conflict != "" {
				return
			}
			s.judge(t, d, table)
			roundTrip(t, d, table)
		})
	}
}

// judge holds the table against what sfdisk, parted and mmls say of it.
func (s sample) judge(t *testing.T, d []byte, table *Table) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	writeSparse(t, path, d)
	switch {
	case table.SectorSize != 512:
		// on files they take sectors for 512 bytes; the kernel is the judge
	case strings.HasSuffix(s.name, "smaller disk, primary damaged"):
		// they look for the backup at the end of the disk only
	case table.Scheme == GPT && table.gpt.entrySize() == 128 && table.entries <= 512, table.Scheme == MBR:
		if got, want := table.SfdiskDump(path), run(t, "", "sfdisk", "--dump", path); got != want {
			t.Errorf("dump\n%swant\n%s", got, want)
		}
	case table.Scheme == APM && table.Sectors[0].Data[2] == 2 && table.Sectors[0].Data[3] == 0, strings.Contains(s.name, "parted"):
		for _, p := range table.Partitions {
			// Of an Apple map parted shows what is not free.
			line := fmt.Sprintf("%d:%ds:%ds:%ds:", p.Number, p.Start/512, p.End()/512-1, p.Size/512)
			if !p.Free && !strings.Contains(run(t, "", "parted", "-sm", path, "unit", "s", "print"), "\n"+line) {
				t.Errorf("parted does not have %s", line)
			}
		}
	case table.Scheme == BSD && !strings.Contains(s.name, "Alpha") && !strings.Contains(s.name, "52"):
		judgeBySleuthKit(t, path, table)
	}
}

// writeSparse makes a file of d that takes no room where d is zero.
func writeSparse(t testing.TB, path string, d []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(len(d))); err != nil {
		t.Fatal(err)
	}
	for off := range pieces(d) {
		if _, err := f.WriteAt(d[off:off+piece], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
}

const piece = 64 << 10

// pieces gives the offsets of the pieces of d that are not zero.
func pieces(d []byte) func(yield func(off int) bool) {
	zeros := make([]byte, piece)
	return func(yield func(off int) bool) {
		for off := 0; off < len(d); off += piece {
			if !bytes.Equal(d[off:off+piece], zeros) && !yield(off) {
				return
			}
		}
	}
}

// judgeBySleuthKit holds a disklabel against the list of mmls.
func judgeBySleuthKit(t *testing.T, path string, table *Table) {
	t.Helper()
	have := run(t, "", "mmls", "-t", "bsd", path)
	for _, p := range table.Partitions {
		want := fmt.Sprintf("%03d       %010d   %010d   %010d", p.Number-1, p.Start/512, p.End()/512-1, p.Size/512)
		if !strings.Contains(have, want) {
			t.Errorf("mmls does not have %s:\n%s", want, have)
		}
	}
}

// roundTrip writes the table to an empty disk of the same and of a larger
// size and reads it again.
func roundTrip(t *testing.T, d []byte, table *Table) {
	t.Helper()
	for _, s := range table.Sectors {
		if !bytes.Equal(s.Data, d[s.Offset:s.end()]) {
			t.Errorf("%s at %d is not as on the disk", s.Name, s.Offset)
		}
	}
	parsed, err := Parse(table.Scheme, table.Sectors, table.DiskSize, table.SectorSize)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(parsed.Partitions, table.Partitions) {
		t.Errorf("from kept sectors %v, want %v", parsed.Partitions, table.Partitions)
	}
	for _, size := range []int64{table.DiskSize, table.DiskSize + table.SectorSize, 100 * mib} {
		moved, err := table.MoveTo(size)
		if err != nil {
			t.Fatal(err)
		}
		path := layTable(t, moved)
		again := open(t, path, table.SectorSize)
		if again.Scheme != table.Scheme || again.ID != table.ID || !slices.Equal(again.Partitions, table.Partitions) || !again.Whole() || again.Hybrid != table.Hybrid {
			t.Errorf("on %d bytes %s %v %q, want %v", size, again.Scheme, again.Partitions, again.Warnings, table.Partitions)
		}
		if table.Scheme == GPT && table.SectorSize == 512 && table.gpt.entrySize() == 128 {
			verify(t, again, path)
		}
	}
}
