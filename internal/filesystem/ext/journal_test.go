package ext

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// crashed copies a volume while it is mounted and much of what was written is
// known to the journal only: files are synced one by one, the volume never.
func crashed(t *testing.T, kib int64, args, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	path := makeVolume(t, kib, args)
	dir, ok := fstest.Mount(t, path, options)
	if !ok {
		t.Skip("cannot mount")
	}
	rng := rand.New(rand.NewPCG(9, 9))
	for i := range 60 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint("g", i)))
		if err != nil {
			t.Fatal(err)
		}
		data := fstest.Noise(rng, rng.Int64N(80000))
		if i%3 == 0 {
			copy(data, "\xC0\x3B\x39\x98") // looks like a block of the journal itself
		}
		f.Write(data)
		if i%4 == 3 {
			os.Remove(filepath.Join(dir, fmt.Sprint("g", i-2)))
			os.Mkdir(filepath.Join(dir, fmt.Sprint("m", i)), 0o755)
		}
		if i == 40 {
			os.RemoveAll(filepath.Join(dir, "d2")) // directories make revocations
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	copied := fstest.CopyMounted(t, path)
	fstest.Unmount(t, dir)
	return copied
}

// recoverVolume lets e2fsck replay the journal; it leaves a sound file system.
func recoverVolume(t *testing.T, path string) {
	t.Helper()
	out, err := exec.Command(fstest.Tool(t, "e2fsck"), "-fy", path).CombinedOutput()
	if e, ok := err.(*exec.ExitError); err != nil && (!ok || e.ExitCode() > 1) {
		t.Fatalf("e2fsck: %v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("FIXED")) || !bytes.Contains(out, []byte("recovering journal")) {
		t.Errorf("e2fsck: %s", out)
	}
}

func TestRecovery(t *testing.T) {
	tests := []struct{ name, args, options string }{
		{"ext4", "-t ext4", ""},
		{"ext4 1k", "-t ext4 -b 1024", ""},
		{"ext4, data in the journal", "-t ext4 -b 1024", ",data=journal"},
		{"ext4 without checksums", "-t ext4 -b 1024 -O ^metadata_csum,^64bit", ""},
		{"ext4 without checksums, data in the journal", "-t ext4 -b 1024 -O ^metadata_csum", ",data=journal"},
		{"ext4, bigalloc", "-t ext4 -O bigalloc -b 1024", ""},
		{"ext4, checksums of the journal", "-t ext4 -b 1024 -O ^metadata_csum", ",journal_checksum"},
		{"ext3", "-t ext3 -b 1024", ""},
		{"ext3, data in the journal", "-t ext3 -b 1024", ",data=journal"},
	}
	behind := 0 // cases where the volume itself knows less than its journal
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := crashed(t, 60000, tt.args, tt.options)
			opened, file := fstest.Open(t, path, Open)
			if s := opened.Info().State; s != filesystem.Recovery {
				t.Fatalf("state %q", s)
			}
			list := fstest.Allocation(t, opened)
			if extent.Total(list) > withoutJournal(t, path) {
				behind++
			}
			copied := fstest.CopyAllocated(t, file, list)
			recoverVolume(t, copied)
			recoverVolume(t, path)
			want := sums(t, path)
			if len(want) < 60 || !maps.Equal(sums(t, copied), want) {
				t.Errorf("the files of the copy (of %d) are not the same", len(want))
			}
			fstest.Run(t, "e2fsck", "-fn", copied)
			if after, _ := fstest.Open(t, path, Open); after.Info().Used != opened.Info().Used {
				// e2fsck frees what open but removed files held, nothing else.
				t.Logf("%d bytes in use before the recovery, %d behind it", opened.Info().Used, after.Info().Used)
			}
		})
	}
	if !t.Failed() && behind == 0 {
		t.Error("in no case the journal knew more than the volume")
	}
}

// withoutJournal is what the bitmaps of the volume itself say.
func withoutJournal(t *testing.T, path string) int64 {
	t.Helper()
	p := fstest.Load(t, path)
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	f.r = bytes.NewReader(p)
	list, err := extent.Collect(f.Allocated())
	if err != nil {
		return 0 // bitmaps and descriptors are of different times
	}
	return extent.Total(list)
}

// withLog is a small ext4 with a log that was not replayed, written by debugfs:
// the block bitmap of its only group, and a revocation.
func withLog(t testing.TB) []byte {
	path := makeVolume(t, 4000, "-t ext4 -b 1024 -N 48 -O ^metadata_csum,64bit")
	dir := t.TempDir()
	block := filepath.Join(dir, "block")
	if err := os.WriteFile(block, bytes.Repeat([]byte{0xFF}, 1024), 0o600); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("jo\njw -b 3000 "+block+"\njw -b 3001 "+block+"\njw -r 3000\njc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fstest.Run(t, "debugfs", "-w", "-f", script, path)
	return fstest.Load(t, path)
}

func TestLogIsRead(t *testing.T) {
	p := withLog(t)
	f, err := open(bytes.NewReader(p), int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	if f.info.State != filesystem.Recovery {
		t.Fatalf("state %q", f.info.State)
	}
	got := make([]byte, 3*1024)
	if _, err := f.r.ReadAt(got, 3000*1024); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got[:1024], bytes.Repeat([]byte{0xFF}, 1024)) {
		t.Error("block 3000 was revoked, and is read from the log")
	}
	if !bytes.Equal(got[1024:2048], bytes.Repeat([]byte{0xFF}, 1024)) {
		t.Error("block 3001 is not read from the log")
	}
}

func FuzzJournal(f *testing.F) {
	p := withLog(f)
	sb := superblock(p[superOffset:][:superSize])
	fs := &fileSystem{r: bytes.NewReader(p), sb: sb, castagnoli: crc32.MakeTable(crc32.Castagnoli)}
	if err := fs.geometry(int64(len(p))); err != nil {
		f.Fatal(err)
	}
	spans, err := fs.journalRuns()
	if err != nil {
		f.Fatal(err)
	}
	start := spans[0].physical * 1024
	d := p[2048:2112]
	inode := int64(descriptor(d).inodeTable())*1024 + 7*fs.sb.inodeSize()
	f.Add(p[start:start+256], p[start+1024:start+1024+512], p[inode:inode+128])
	f.Fuzz(func(t *testing.T, super, log, node []byte) {
		q := bytes.Clone(p)
		copy(q[start:start+1024], super)
		copy(q[start+1024:start+32*1024], log)
		copy(q[inode:inode+128], node)
		opened, err := Open(bytes.NewReader(q), int64(len(q)))
		if err != nil {
			return
		}
		list, err := extent.Collect(opened.Allocated())
		if err != nil {
			return
		}
		if err := extent.Validate(list, opened.Info().Size); err != nil {
			t.Fatal(err)
		}
	})
}
