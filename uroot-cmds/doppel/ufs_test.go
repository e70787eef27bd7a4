package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ufsDisk makes source.img with three UFS in what FreeBSD's slices would be,
// full of garbage where they are free, and names where they lie:
//
//	1  20 MiB, UFS1, big-endian, fragments of 1 KiB
//	2  20 MiB, UFS2, fragments of 2 KiB
//	3  20 MiB, UFS2 that was not unmounted, fragments of 512 bytes
func (l *lab) ufsDisk() (places []int64) {
	l.t.Helper()
	l.random("source.img", 64*mib, 0, 64*mib)
	l.tool("label: dos\nstart=1MiB,size=20MiB,type=a5\nstart=21MiB,size=20MiB,type=a5\nstart=41MiB,size=20MiB,type=a5\n",
		"sfdisk", "--quiet", l.path("source.img"))
	if err := os.Mkdir(l.path("tree"), 0o755); err != nil {
		l.t.Fatal(err)
	}
	for i, name := range []string{"little", "larger", "largest"} {
		l.random("tree/"+name, 1<<(8+7*i)+1, 0, 1<<(8+7*i)+1)
	}
	for i, options := range []string{
		"-B be -o version=1,bsize=8192,fsize=1024",
		"-B le -o version=2,bsize=16384,fsize=2048",
		"-B le -o version=2,bsize=4096,fsize=512",
	} {
		l.find("makefs")
		args := append([]string{"-t", "ffs", "-s", "20m"}, strings.Fields(options)...)
		l.tool("", "makefs", append(args, l.path("fs"), l.path("tree"))...)
		if i == 2 {
			l.patch("fs", 8192+209, 0) // fs_clean
		}
		places = append(places, int64(1+20*i)*mib)
		l.copyInto("fs", "source.img", places[i])
		os.Remove(l.path("fs"))
	}
	return places
}

// patch changes a byte of a file.
func (l *lab) patch(name string, off int64, value byte) {
	l.t.Helper()
	f, err := os.OpenFile(l.path(name), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{value}, off)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	f.Close()
}

// ufsRight reads the files of a volume by the Sleuth Kit, or by GRUB where
// makefs left the superblock of a UFS2 at byte 8192.
func (l *lab) ufsRight(what string, volume []byte, version int) {
	l.t.Helper()
	if err := os.WriteFile(l.path("restored"), volume, 0o600); err != nil {
		l.t.Fatal(err)
	}
	for _, name := range []string{"little", "larger", "largest"} {
		l.find("fcat")
		cmd := exec.Command("fcat", "-f", "ufs", name, l.path("restored"))
		if version == 2 {
			l.find("grub-fstest")
			cmd = exec.Command("grub-fstest", l.path("restored"), "cat", "(loop0)/"+name)
		}
		if got, err := cmd.Output(); err != nil || !bytes.Equal(got, l.read("tree/"+name)) {
			l.t.Errorf("%s: %d bytes of %s, %v", what, len(got), name, err)
		}
	}
}

// UFS is saved by blocks, unmounted or not, and comes back by doppel and by
// partclone.restore. Debian's partclone has no program of its own for UFS; the
// one that restores writes what the stream says, whatever file system it names,
// and so does partclone.chkimg check it.
func TestUFS(t *testing.T) {
	l := newLab(t)
	if err := os.RemoveAll(l.path("tree")); err != nil {
		t.Fatal(err)
	}
	places := l.ufsDisk()
	out := l.expect(done, `"event":"plan"`, "save", "source.img", "bsd", "--plan", "--json")
	if strings.Count(out, `"method":"blocks"`) != 3 {
		t.Fatalf("the plan does not save all by blocks: %s", out)
	}
	l.expect(done, "is saved", "save", "source.img", "bsd")
	l.expect(done, "image bsd can be restored", "verify", "bsd")
	l.expect(done, "was compared", "restore", "bsd", "target.img", "--yes", "--verify")
	source, target := l.read("source.img"), l.read("target.img")
	for i, at := range places {
		version := min(i+1, 2)
		volume := target[at : at+20*mib]
		l.ufsRight("by doppel", volume, version)
		if bytes.Equal(volume, source[at:at+20*mib]) {
			t.Error("every byte was restored, not only the fragments in use")
		}
		found, _ := filepath.Glob(l.path("images/bsd/sda" + string(rune('1'+i)) + ".ufs-ptcl-img.zst"))
		if len(found) != 1 {
			t.Fatalf("volume %d has no stream", i+1)
		}
		l.find("partclone.restore")
		if head := l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | head -c 110"); head[36:40] != "UFS\x00" {
			t.Errorf("the stream begins with\n%q", head)
		}
		l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | partclone.chkimg -s - -L /dev/null")
		name := "partclone" + string(rune('1'+i))
		l.random(name, 20*mib, 0, 20*mib)
		l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | partclone.restore -C -s - -O "+l.path(name)+" -L /dev/null")
		l.ufsRight("by partclone", l.read(name), version)
	}
}
