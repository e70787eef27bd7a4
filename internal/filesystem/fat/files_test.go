package fat

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// listing gives a line for each file: path, size, and seconds of when it was
// written, read and created, or "error: " and one.
func listing(l filesystem.Lister) (lines []string) {
	unix := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		_, zone := t.Zone()
		return t.Unix() + int64(zone)
	}
	for f, err := range l.Files() {
		if f != nil && f.Path != "." {
			size := f.Size
			if f.Mode.IsDir() {
				size = -1
			}
			lines = append(lines, fmt.Sprint("/", f.Path, " ", size, " ", unix(f.Accessed), " ", unix(f.Modified), " ", unix(f.Created)))
		}
		if err != nil {
			lines = append(lines, "error: "+err.Error())
		}
	}
	return lines
}

// sleuthkit gives the same as listing by The Sleuth Kit, and the numbers of its
// inodes by path.
func sleuthkit(t *testing.T, path string) (lines []string, inodes map[string]string) {
	t.Helper()
	inodes = map[string]string{}
	for line := range strings.Lines(run(t, "fls", "-f", "fat", "-r", "-p", "-m", "", "-z", "UTC", path)) {
		w := strings.Split(strings.TrimSpace(line), "|")
		if len(w) != 11 || strings.HasPrefix(w[1], "/$") || strings.HasSuffix(w[1], "(deleted)") || strings.Contains(w[1], "Volume Label") {
			continue
		}
		if w[3][0] == 'd' {
			w[6] = "-1"
		} else {
			inodes[w[1]] = w[2]
		}
		lines = append(lines, strings.Join([]string{w[1], w[6], w[7], w[8], w[10]}, " "))
	}
	return lines, inodes
}

// TestSleuthkit holds names, sizes, times and runs against The Sleuth Kit.
func TestSleuthkit(t *testing.T) {
	fstest.Tool(t, "istat")
	for args, kib := range map[string]int64{"-F 12 -s 1": 2000, "-F 16 -s 4 -S 1024": 30000, "-F 32 -s 1": 40000} {
		path := makeVolume(t, kib, args)
		opened, _ := openFile(t, path)
		want, inodes := sleuthkit(t, path)
		got := listing(opened)
		slices.Sort(got)
		slices.Sort(want)
		if len(want) < 60 || !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nThe Sleuth Kit says\n%s", args, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		asked := 0
		for f := range opened.Files() {
			if asked == 12 || f.Mode.IsDir() || f.Size < 1000 {
				continue
			}
			asked++
			if got, want := sectors(opened, f), istat(t, path, inodes["/"+f.Path]); !slices.Equal(got, want) {
				t.Errorf("%s: %s lies in sectors %v, istat says %v", args, f.Path, got, want)
			}
		}
	}
}

// sectors are those of a file by its runs.
func sectors(f *fileSystem, file *filesystem.File) (all []int64) {
	for run := range file.Content.Runs() {
		end := min(run.Extent.End(), run.Extent.Offset+file.Size-run.Offset)
		for at := run.Extent.Offset; at < end; at += f.boot.sector() {
			all = append(all, at/f.boot.sector())
		}
	}
	return all
}

// istat gives the sectors of a file; it writes 0 for those behind its end.
func istat(t *testing.T, path, inode string) (all []int64) {
	t.Helper()
	_, list, _ := strings.Cut(run(t, "istat", "-f", "fat", path, inode), "Sectors:\n")
	for word := range strings.FieldsSeq(list) {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil && n != 0 {
			all = append(all, n)
		}
	}
	return all
}

// TestAttributes sets the read-only attribute by mattrib.
func TestAttributes(t *testing.T) {
	path := makeVolume(t, 4000, "-F 12")
	run(t, "mattrib", "-i", path, "+r", "+h", "::/others/lower.txt", "::/others/void")
	opened, _ := openFile(t, path)
	for f := range opened.Files() {
		want := map[bool]string{false: "-rw-r--r--", true: "drwxr-xr-x"}[f.Mode.IsDir()]
		if f.Path == "others/lower.txt" {
			want = "-r--r--r--"
		}
		if f.Mode.String() != want {
			t.Errorf("%s: mode %v, want %s", f.Path, f.Mode, want)
		}
	}
}

func FuzzFiles(f *testing.F) {
	for args, kib := range map[string]int64{"-F 12 -s 1": 300, "-F 16 -s 1 -r 16": 2400, fewClusters: 300} {
		path := fstest.Volume(f, kib<<10)
		run(f, append(append([]string{"mkfs.fat"}, strings.Fields(args)...), path)...)
		opened, _ := openFile(f, path)
		p := fstest.Load(f, path)
		head := p[:min(opened.data+16<<10, int64(len(p)))]
		f.Add(head, uint32(len(p)))
		for _, tt := range handmade() {
			root := opened.boot.table(opened.boot.fats()) // of FAT32 it is cluster 2
			head := bytes.Clone(head)
			copy(head[root:], tt.entries)
			f.Add(head, uint32(len(p)))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte, length uint32) { fstest.HostileFiles(t, Open, p, int64(length)) })
}
