package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ntfsDisk makes source.img with two NTFS and names where they lie:
//
//	1  20 MiB, clusters of 4 KiB: the copy of the boot sector is at the end of
//	   what partclone calls a block
//	2  20 MiB and 3 sectors, clusters of 2 KiB: it is behind the last block
func (l *lab) ntfsDisk() (places [2][2]int64) {
	l.t.Helper()
	l.random("source.img", 64*mib, 0, 0)
	l.tool("label: dos\nstart=2048,size=40960,type=7\nstart=43008,size=40963,type=7\n", "sfdisk", "--quiet", l.path("source.img"))
	places = [2][2]int64{{mib, 20 * mib}, {21 * mib, 20*mib + 3*512}}
	for i, args := range []string{"-c 4096", "-c 2048"} {
		os.Remove(l.path("fs"))
		l.random("fs", places[i][1], 0, 0)
		l.tool("", "mkntfs", append([]string{"-q", "-F", "-f", "-L", "Windows"}, append(strings.Fields(args), l.path("fs"))...)...)
		for n := range 6 {
			name := fmt.Sprintf("file%d", n)
			l.random(name, int64(200_000*n+1), 0, int64(200_000*n+1))
			l.tool("", "ntfscp", "-f", "-q", l.path("fs"), l.path(name), "/"+name)
		}
		l.copyInto("fs", "source.img", places[i][0])
	}
	return places
}

// ntfsRight holds a volume against what ntfsfix and ntfscat say.
func (l *lab) ntfsRight(what string, volume []byte) {
	l.t.Helper()
	if err := os.WriteFile(l.path("restored"), volume, 0o600); err != nil {
		l.t.Fatal(err)
	}
	if out := l.tool("", "ntfsfix", "-n", l.path("restored")); !strings.Contains(out, "was processed successfully") {
		l.t.Errorf("%s: ntfsfix says\n%s", what, out)
	}
	for n := range 6 {
		name := fmt.Sprintf("file%d", n)
		if got := l.tool("", "ntfscat", "-f", l.path("restored"), "/"+name); got != string(l.read(name)) {
			l.t.Errorf("%s: %s differs", what, name)
		}
	}
}

// Two NTFS are saved by blocks and come back by doppel with their last sectors;
// the streams are partclone's.
func TestNTFS(t *testing.T) {
	l := newLab(t)
	places := l.ntfsDisk()
	out := l.expect(done, `"event":"plan"`, "save", "source.img", "nt", "--plan", "--json")
	if strings.Count(out, `"method":"blocks"`) != 2 {
		t.Fatalf("the plan does not save both by blocks: %s", out)
	}
	l.expect(done, "is saved", "save", "source.img", "nt")
	l.expect(done, "image nt can be restored", "verify", "nt")
	l.expect(done, "was compared", "restore", "nt", "target.img", "--yes", "--verify")
	source, target := l.read("source.img"), l.read("target.img")
	for i, p := range places {
		volume := target[p[0] : p[0]+p[1]]
		l.ntfsRight(fmt.Sprint("volume ", i+1), volume)
		if last := len(volume) - 512; string(volume[last+3:last+7]) != "NTFS" || !bytes.Equal(volume[last:], source[p[0]+p[1]-512:p[0]+p[1]]) {
			t.Errorf("volume %d: the last sector is not that of the source", i+1)
		}
	}
	for i, p := range places {
		found, _ := filepath.Glob(l.path(fmt.Sprintf("images/nt/sda%d.ntfs-ptcl-img.zst", i+1)))
		if len(found) != 1 {
			t.Fatalf("volume %d has no stream", i+1)
		}
		l.find("zstd")
		l.find("partclone.restore")
		if head := l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | head -c 110"); head[36:41] != "NTFS\x00" {
			t.Errorf("the stream begins with\n%q", head)
		}
		name := fmt.Sprint("partclone", i)
		by := l.path(name)
		l.random(name, p[1], 0, 0) // now and then it cannot make the file itself
		l.tool("", "sh", "-c", "zstd -dcq "+found[0]+" | partclone.restore -C -s - -O "+by+" -L /dev/null")
		volume := l.read(name)
		// What partclone does not bring is behind the last whole block.
		tail := p[1] % 2048
		copy(volume[p[1]-tail:], source[p[0]+p[1]-tail:p[0]+p[1]])
		l.ntfsRight(fmt.Sprintf("volume %d by partclone", i+1), volume)
	}
}
