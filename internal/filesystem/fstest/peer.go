package fstest

import (
	"bytes"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"doppel.live/internal/filesystem"
)

// SameAsBlkid holds type, label and UUID against what blkid says of a volume.
func SameAsBlkid(t testing.TB, path string, info filesystem.Info) {
	t.Helper()
	for tag, got := range map[string]string{"TYPE": info.Type, "LABEL": info.Label, "UUID": info.UUID} {
		if want := strings.TrimSuffix(Run(t, "blkid", "-p", "-o", "value", "-s", tag, path), "\n"); got != want {
			t.Errorf("%s %q, blkid says %q", tag, got, want)
		}
	}
}

// SameAsPartclone holds bytes in use, in blocks of that many bytes, against the
// count that a program of partclone prints of a volume. It sleeps for seconds,
// so that several volumes are best held against it at the same time; name says
// in errors which one it was.
func SameAsPartclone(t testing.TB, program, name, path string, block, used int64) {
	t.Helper()
	out, err := exec.Command(program, "-c", "-d", "-s", path, "-O", "/dev/null", "-L", "/dev/null", "-B", "-F").CombinedOutput()
	if err != nil {
		t.Errorf("%s: %s: %v %s", name, program, err, bytes.TrimSpace(out))
		return
	}
	m := regexp.MustCompile(`Space in use: .* = (\d+) Blocks`).FindSubmatch(out)
	if m == nil {
		t.Errorf("%s: %s prints no used blocks: %s", name, program, out)
		return
	}
	if blocks, _ := strconv.ParseInt(string(m[1]), 10, 64); blocks*block != used {
		t.Errorf("%s: %d bytes in use, partclone says %d blocks of %d", name, used, blocks, block)
	}
}
