package partition

import (
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/vm/lab"
)

// TestKernel lays every table of the matrix on a disk of user-mode Linux and
// compares the partitions that the kernel finds with ours:
//
//	/dev/ubda   64 MiB, 512-byte sectors
//	/dev/sda    64 MiB, 4096-byte sectors
//
// A table of 2048-byte sectors is left to the other judges.
func TestKernel(t *testing.T) {
	const packed = "DOPPEL_TEST_MATRIX" // file with all tables, made outside, where programs start faster
	disk := ""
	if !lab.Inside() {
		dir := t.TempDir()
		disk = filepath.Join(dir, "disk")
		if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, matrixSize)); err != nil {
			t.Fatal(err)
		}
		t.Setenv(packed, filepath.Join(dir, "matrix"))
		packMatrix(t, os.Getenv(packed))
	}
	lab.Run(t, lab.Config{
		Modules: []string{"sd_mod", "scsi_debug sector_size=4096 dev_size_mb=64"},
		Disks:   []string{disk},
	}, func(t *testing.T) {
		lab.Await(t, "/dev/sda", "/dev/ubda")
		tables, compared := unpackMatrix(t, os.Getenv(packed)), 0
		for i, s := range matrix() {
			t.Run(s.name, func(t *testing.T) {
				if s.sector == 2048 {
					t.Skip("no such disk")
				}
				compared++
				againstKernel(t, s, tables[i])
			})
		}
		if compared < 60 {
			t.Errorf("only %d tables were compared", compared)
		}
	})
}

// packMatrix writes what of each table is not zero.
func packMatrix(t *testing.T, path string) {
	t.Helper()
	var tables []map[int][]byte
	for _, s := range matrix() {
		d, parts := s.disk(t), map[int][]byte{}
		for off := range pieces(d) {
			parts[off] = d[off : off+piece]
		}
		tables = append(tables, parts)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := gob.NewEncoder(f).Encode(tables); err != nil {
		t.Fatal(err)
	}
}

func unpackMatrix(t *testing.T, path string) (tables []map[int][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := gob.NewDecoder(f).Decode(&tables); err != nil {
		t.Fatal(err)
	}
	return tables
}

func againstKernel(t *testing.T, s sample, parts map[int][]byte) {
	device := "ubda"
	if s.sector == 4096 {
		device = "sda"
	}
	f, err := os.OpenFile("/dev/"+device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zeros := make([]byte, piece)
	for off, data := range parts {
		if _, err := f.WriteAt(data, int64(off)); err != nil {
			t.Fatal(err)
		}
		defer f.WriteAt(zeros, int64(off))
	}
	if err := errors.Join(f.Sync(), unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)); err != nil {
		t.Fatal(err)
	}
	table, err := Read(f, matrixSize, s.sectorSize())
	if err != nil {
		t.Fatal(err)
	}
	extended := map[int]bool{}
	for _, p := range table.Partitions {
		extended[p.Number] = p.Extended
	}
	ours, theirs := seenByUs(table), seenByKernel(t, device, extended)
	switch {
	case s.differs == "" && !slices.Equal(ours, theirs):
		t.Errorf("partitions\n%s, the kernel has\n%s", strings.Join(ours, " "), strings.Join(theirs, " "))
	case s.differs != "" && s.differs != contradicted && slices.Equal(ours, theirs):
		t.Errorf("the kernel has the same partitions, though it should not: %s", s.differs)
	}
}

// seenByUs gives NUMBER:START+LENGTH in sectors of 512 bytes. Of an extended
// partition the kernel shows two sectors, so the length is left out.
func seenByUs(table *Table) []string {
	var words []string
	for _, p := range table.Partitions {
		length := fmt.Sprint(p.Size / 512)
		if p.Extended {
			length = "x"
		}
		words = append(words, fmt.Sprintf("%d:%d+%s", p.Number, p.Start/512, length))
	}
	slices.Sort(words)
	return words
}

func seenByKernel(t *testing.T, disk string, extended map[int]bool) []string {
	t.Helper()
	number := func(path string) int {
		text, err := os.ReadFile(path)
		n, err2 := strconv.Atoi(strings.TrimSpace(string(text)))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var words []string
	found, _ := filepath.Glob("/sys/block/" + disk + "/" + disk + "*")
	for _, dir := range found {
		if name := fmt.Sprintf("%s%d", disk, number(dir+"/partition")); filepath.Base(dir) != name {
			t.Errorf("the kernel names %s, not %s", filepath.Base(dir), name)
		}
		n, length := number(dir+"/partition"), fmt.Sprint(number(dir+"/size"))
		if extended[n] {
			length = "x"
		}
		words = append(words, fmt.Sprintf("%d:%d+%s", n, number(dir+"/start"), length))
	}
	slices.Sort(words)
	return words
}
