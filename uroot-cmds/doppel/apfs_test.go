package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"doppel.live/internal/filesystem/fstest"
)

// apfsDisk makes source.img with an APFS that mkapfs made and, where there is
// one, the sample with files. It gives where they lie.
func (l *lab) apfsDisk() (places [][2]int64) {
	l.t.Helper()
	size := int64(40 * mib)
	l.random("fs", size, 0, 0)
	if out, err := exec.Command(l.find("mkapfs"), "-L", "Mac", l.path("fs")).CombinedOutput(); err != nil && strings.Contains(string(out), "small containers") {
		size = 514 * mib // version 0.1
		l.random("fs", size, 0, 0)
		l.tool("", "mkapfs", "-L", "Mac", l.path("fs"))
	}
	places = [][2]int64{{mib, size}}
	volumes := []string{l.path("fs")}
	l.t.Run("sample", func(t *testing.T) {
		sample, _ := fstest.Fixture(t, "apfs")
		kept := l.path("sample")
		if err := os.Rename(sample, kept); err != nil {
			t.Fatal(err)
		}
		places = append(places, [2]int64{mib + size, 32 * mib})
		volumes = append(volumes, kept)
	})
	end := places[len(places)-1][0] + places[len(places)-1][1]
	os.Remove(l.path("source.img"))
	l.random("source.img", end+mib, 0, 0)
	table := "label: gpt\n"
	for i, p := range places {
		table += fmt.Sprintf("start=%d,size=%d,type=7C3457EF-0000-11AA-AA11-00306543ECAC\n", p[0]/512, p[1]/512)
		l.copyInto(filepath.Base(volumes[i]), "source.img", p[0])
	}
	l.tool(table, "sfdisk", "--quiet", "--wipe", "never", l.path("source.img"))
	os.Remove(l.path("target.img"))
	l.random("target.img", end+mib, 0, min(end, 128*mib))
	return places
}

// apfsRight holds a volume against what apfsck says of it and, where it was
// made by others, against the files that libfsapfs reads.
func (l *lab) apfsRight(what, volume string, sample bool) {
	l.t.Helper()
	out, err := exec.Command(l.find("apfsck"), "-cuw", volume).CombinedOutput()
	if tooSmall := sample && strings.Contains(string(out), "Small container size"); !tooSmall && (err != nil || len(out) > 0) {
		l.t.Errorf("%s: apfsck: %v, %s", what, err, out)
	}
	if _, err := exec.LookPath("fsapfsmount"); err != nil || !sample {
		return
	}
	_, sums := fstest.Fixture(l.t, "apfs")
	dir := l.t.TempDir()
	if out, err := exec.Command("fsapfsmount", volume, dir).CombinedOutput(); err != nil {
		l.t.Logf("cannot mount: %s", out)
		return
	}
	defer l.tool("", "umount", dir)
	got := fstest.TreeSums(l.t, dir)
	for name, sum := range sums {
		if fmt.Sprintf("%x", got[name]) != sum {
			l.t.Errorf("%s: %s differs", what, name)
		}
	}
}

// cut makes a file of a piece of another.
func (l *lab) cut(from, to string, place [2]int64) string {
	l.t.Helper()
	in, err := os.Open(l.path(from))
	if err != nil {
		l.t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(l.path(to))
	if err != nil {
		l.t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, io.NewSectionReader(in, place[0], place[1])); err != nil {
		l.t.Fatal(err)
	}
	return l.path(to)
}

// APFS containers are saved by blocks; they come back onto garbage by us and
// by partclone, whose name for them is in the header.
func TestAPFS(t *testing.T) {
	l := &lab{t: t, dir: t.TempDir()}
	if err := os.Mkdir(l.path("images"), 0o755); err != nil {
		t.Fatal(err)
	}
	places := l.apfsDisk()
	out := l.expect(done, `"event":"plan"`, "save", "source.img", "mac", "--plan", "--json")
	if strings.Count(out, `"file_system":"apfs","method":"blocks"`) != len(places) {
		t.Fatalf("the plan does not save %d by blocks: %s", len(places), out)
	}
	l.expect(done, "is saved", "save", "source.img", "mac")
	l.expect(done, "image mac can be restored", "verify", "mac")
	l.expect(done, "was compared", "restore", "mac", "target.img", "--yes", "--verify")
	for i, p := range places {
		what := fmt.Sprint("volume ", i+1)
		l.apfsRight(what, l.cut("target.img", "ours", p), i == 1)
		streams, _ := filepath.Glob(l.path(fmt.Sprintf("images/mac/sda%d.apfs-ptcl-img.zst", i+1)))
		if len(streams) != 1 {
			t.Fatalf("%s has %d streams", what, len(streams))
		}
		l.find("zstd")
		l.find("partclone.restore")
		stream := "zstd -dcq " + streams[0] + " | "
		if out := l.tool("", "sh", "-c", stream+"partclone.chkimg -s - -L /dev/null"); !strings.Contains(out, "APFS") {
			t.Errorf("partclone.chkimg: %s", out)
		}
		theirs := fmt.Sprint("theirs", i)
		l.random(theirs, p[1], 0, min(p[1], 128*mib))
		l.tool("", "sh", "-c", stream+"partclone.restore -C -s - -O "+l.path(theirs)+" -L /dev/null")
		l.apfsRight(what+" by partclone", l.path(theirs), i == 1)
	}
}
