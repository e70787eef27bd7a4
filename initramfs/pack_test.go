package initramfs

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// sampleArchive holds one of everything, and contents of 0 to 5 bytes.
func sampleArchive(t *testing.T) archive {
	a := make(archive)
	for n := range 6 {
		a.addData("data", "etc/size/"+string(rune('0'+n)), bytes.Repeat([]byte{'x'}, n))
	}
	a.addLink("links", "lib/link", "target")
	a.add(entry{path: "tmp", mode: unix.S_IFDIR | 0o1777})
	addConsole(a)
	host := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(host, []byte("#!"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := a.addHost("programs", "sbin/program", host); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestArchiveAgainstCpio has cpio read what is written.
func TestArchiveAgainstCpio(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("no cpio (package cpio)")
	}
	var b bytes.Buffer
	if err := sampleArchive(t).write(&b, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cpio", "-itnv", "--quiet")
	cmd.Stdin = &b
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := `drwxr-xr-x   2 0        0               0 Sep  9  2001 dev
crw-------   1 0        0          5,   1 Sep  9  2001 dev/console
drwxr-xr-x   2 0        0               0 Sep  9  2001 etc
drwxr-xr-x   2 0        0               0 Sep  9  2001 etc/size
-rw-r--r--   1 0        0               0 Sep  9  2001 etc/size/0
-rw-r--r--   1 0        0               1 Sep  9  2001 etc/size/1
-rw-r--r--   1 0        0               2 Sep  9  2001 etc/size/2
-rw-r--r--   1 0        0               3 Sep  9  2001 etc/size/3
-rw-r--r--   1 0        0               4 Sep  9  2001 etc/size/4
-rw-r--r--   1 0        0               5 Sep  9  2001 etc/size/5
drwxrwxrwt   2 0        0               0 Sep  9  2001 tmp
drwxr-xr-x   2 0        0               0 Sep  9  2001 usr
drwxr-xr-x   2 0        0               0 Sep  9  2001 usr/lib
lrwxrwxrwx   1 0        0               6 Sep  9  2001 usr/lib/link -> target
drwxr-xr-x   2 0        0               0 Sep  9  2001 usr/sbin
-rwxr-xr-x   1 0        0               2 Sep  9  2001 usr/sbin/program
`
	if string(out) != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

// TestSegments reads the segments of an initramfs one after another as the
// kernel does: an archive begins at a multiple of 4 bytes.
func TestSegments(t *testing.T) {
	pack := func(dir string) ([]byte, Report) {
		var b bytes.Buffer
		p := &packer{Options: Options{Time: time.Unix(1e9, 0), BuildID: "id"}, w: &b, cache: cache(dir)}
		for _, write := range []func(archive) error{p.plain, p.compressed} {
			if err := write(sampleArchive(t)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.lastSegment(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes(), p.report
	}
	dir := t.TempDir()
	data, report := pack(dir)
	if again, _ := pack(dir); !bytes.Equal(again, data) {
		t.Error("from the cache it is different")
	}
	if again, _ := pack(t.TempDir()); !bytes.Equal(again, data) {
		t.Error("not from the cache it is different")
	}
	if report.Bytes != int64(len(data)) || report.Unpacked != 2*17+3 {
		t.Errorf("report %+v, archive of %d bytes", report, len(data))
	}
	if n := len(report.Rows); report.Rows[n-1].Files != 1 || !slices.ContainsFunc(report.Rows, func(r Row) bool { return r.Name == "data" && r.Files == 6 && r.Unpacked == 15 }) {
		t.Errorf("rows %+v", report.Rows)
	}
	names := kernelOrder(t, data)
	if len(names) < 4 || names[len(names)-1] != ".complete" {
		t.Errorf("the last file is not .complete: %v", names)
	}
}

// kernelOrder returns the names in all segments of data, in order.
func kernelOrder(t *testing.T, data []byte) []string {
	t.Helper()
	var names []string
	for at := 0; at < len(data); {
		rest := data[at:]
		switch {
		case rest[0] == 0:
			at++
		case bytes.HasPrefix(rest, []byte("\x28\xb5\x2f\xfd")) && at%4 == 0:
			end := nextPlain(rest)
			z, err := zstd.NewReader(bytes.NewReader(rest[:end]), zstd.WithDecoderMaxWindow(window))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			z.Close()
			names = append(names, kernelOrder(t, plain)...)
			at += end
		case bytes.HasPrefix(rest, []byte("070701")) && at%4 == 0:
			name, size := record(t, rest)
			if name != "TRAILER!!!" {
				names = append(names, name)
			}
			at += size
		default:
			t.Fatalf("byte %d is neither an archive nor filling: %q", at, rest[:6])
		}
	}
	return names
}

// nextPlain finds where an uncompressed segment begins behind a compressed
// one.
func nextPlain(data []byte) int {
	for at := 4; at < len(data); at += 4 {
		if bytes.HasPrefix(data[at:], []byte("07070100000001")) {
			return at
		}
	}
	return len(data)
}

// record reads one record of the new ASCII format: six bytes of magic and 13
// numbers of 8 hexadecimal digits, the 7th the size, the 12th that of the name.
func record(t *testing.T, data []byte) (name string, length int) {
	number := func(n int) int {
		v := 0
		for _, c := range strings.ToLower(string(data[6+8*n : 14+8*n])) {
			v = v<<4 + strings.IndexRune("0123456789abcdef", c)
		}
		return v
	}
	size, nameSize := number(6), number(11)
	body := (110 + nameSize + 3) &^ 3
	return string(data[110 : 110+nameSize-1]), body + (size+3)&^3
}
