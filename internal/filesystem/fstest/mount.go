package fstest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Mount mounts a volume through a loop device until the test ends and gives
// the directory; ok is false where this process or this kernel cannot. Options
// begin with a comma.
func Mount(t testing.TB, path, options string) (dir string, ok bool) {
	t.Helper()
	dir = t.TempDir()
	out, err := exec.Command("mount", "-o", "loop"+options, path, dir).CombinedOutput()
	if err != nil {
		t.Logf("cannot mount: %s", bytes.TrimSpace(out))
		return "", false
	}
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	return dir, true
}

// Unmount unmounts a directory before the test ends, and waits until its volume
// has been let go of: others look into every new mount for a moment, and a mount
// namespace that another program made meanwhile keeps the file system alive,
// and with it what is not yet on the volume.
func Unmount(t testing.TB, dir string) {
	t.Helper()
	const pause, attempts = 100 * time.Millisecond, 1800
	device, source := mounted("/proc/self/mountinfo", dir, "")
	loop := filepath.Join("/sys/block", filepath.Base(source), "loop")
	backing := filepath.Join(loop, "backing_file")
	var file []byte // of a loop device that goes with its mount; empty for any other
	if clear, _ := os.ReadFile(filepath.Join(loop, "autoclear")); strings.TrimSpace(string(clear)) == "1" {
		file, _ = os.ReadFile(backing)
	}
	for n := 0; exec.Command("umount", dir).Run() != nil; n++ {
		if n == attempts {
			Run(t, "umount", dir)
			return
		}
		time.Sleep(pause)
	}
	for range attempts {
		now, _ := os.ReadFile(backing)
		if !elsewhere(device, dir) && (len(file) == 0 || !bytes.Equal(now, file)) {
			return
		}
		time.Sleep(pause)
	}
	t.Fatalf("%s is unmounted, and its volume %s is still in use", dir, source)
}

// mounted finds a mount in a table of them, see proc_pid_mountinfo(5): its
// device, which is to be that given if one is, and what was mounted.
//
//	36 35 98:0 / /mnt rw,noatime shared:1 - ext3 /dev/loop1 rw
func mounted(table, dir, want string) (device, source string) {
	text, _ := os.ReadFile(table)
	for line := range strings.Lines(string(text)) {
		front, behind, _ := strings.Cut(line, " - ")
		words, kind := strings.Fields(front), strings.Fields(behind)
		// Who lives in a chroot sees less of the path.
		if len(words) > 4 && len(kind) > 1 && strings.HasSuffix(words[4], dir) && (want == "" || words[2] == want) {
			device, source = words[2], kind[1]
		}
	}
	return device, source
}

// elsewhere says whether a process still sees what was mounted at a directory.
func elsewhere(device, dir string) bool {
	if device == "" {
		return false
	}
	tables, _ := filepath.Glob("/proc/[0-9]*/mountinfo")
	seen := map[string]bool{}
	for _, table := range tables {
		space, err := os.Readlink(filepath.Join(filepath.Dir(table), "ns/mnt"))
		if err != nil || seen[space] {
			continue
		}
		seen[space] = true
		if found, _ := mounted(table, dir, device); found != "" {
			return true
		}
	}
	return false
}

// CopyMounted copies a volume that is mounted, as a power cut would leave it:
// again until nothing was written to it meanwhile, so that all of the copy is of
// one moment. Nobody but the file system itself may write then.
func CopyMounted(t testing.TB, path string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "copied")
	for range 100 {
		Run(t, "cp", "--sparse=always", path, out)
		if exec.Command("cmp", "-s", path, out).Run() == nil {
			return out
		}
	}
	t.Fatal("the volume does not hold still")
	return ""
}
