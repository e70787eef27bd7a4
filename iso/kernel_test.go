package iso

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"doppel.live/internal/vm/lab"
)

// TestKernel mounts discs with Linux, in user-mode Linux so that neither root
// nor isofs is needed on the host:
//
//	ubda  the sample tree, bootable, second of three discs; Rock Ridge
//	ubdb  the same through Joliet
//	ubdc  the same with neither
//	ubdd  a file of two extents
func TestKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("starts user-mode Linux")
	}
	o := bootOptions()
	o.SetSize, o.SequenceNumber = 3, 2
	entries := sampleEntries()
	sample := writeFile(t, build(t, o, entries))

	size := int64(maxExtent + 10<<20 + 123)
	large := []Entry{
		{Path: "before", Size: 5, Open: Bytes([]byte("first"))},
		{Path: "large", Size: size, Open: openStamped(size)},
		{Path: "last", Size: 5, Open: Bytes([]byte("after"))},
	}
	disc := filepath.Join(t.TempDir(), "large.iso")
	writeSparse(t, disc, build(t, Options{VolumeID: "LARGE", Time: testTime}, large))

	got := mountAll(t, []mount{
		{sample, "ro"}, {sample, "ro,norock,iocharset=utf8"}, {sample, "ro,norock,nojoliet"}, {disc, "ro"},
	})
	want := expected(t, entries)
	for i := range want {
		if want[i].Mode.IsDir() {
			want[i].Links = 2 + countDirectories(want, want[i].Path)
		}
		if strings.HasSuffix(want[i].Path, "eltorito.img") {
			j := slices.IndexFunc(got[0], func(g item) bool { return g.Path == want[i].Path })
			if j < 0 || got[0][j].Sum == want[i].Sum {
				t.Error("the boot image is not there, or not patched")
			} else {
				want[i].Sum = got[0][j].Sum
			}
		}
	}
	t.Run("Rock Ridge", func(t *testing.T) { compare(t, got[0], want) })
	t.Run("Joliet", func(t *testing.T) {
		compareContents(t, got[1], want)
		for _, name := range []string{"boot/vmlinuz", "names/Grüße", "names/日本語のファイル名.txt", "names/README"} {
			if !slices.ContainsFunc(got[1], func(i item) bool { return i.Path == name }) {
				t.Errorf("%s is missing", name)
			}
		}
	})
	t.Run("plain", func(t *testing.T) { compareContents(t, withoutLinks(got[2]), want) })
	t.Run("large", func(t *testing.T) { compare(t, got[3], expected(t, large)) })
}

func countDirectories(list []item, below string) (n int) {
	for _, i := range list {
		if i.Mode.IsDir() && path.Dir(i.Path) == below {
			n++
		}
	}
	return n
}

// withoutLinks leaves out links, which are empty files to a reader without Rock Ridge.
func withoutLinks(list []item) []item {
	return slices.DeleteFunc(list, func(i item) bool { return strings.HasPrefix(i.Path, "links/") })
}

func compareContents(t *testing.T, got, want []item) {
	t.Helper()
	g, w := contents(got), contents(want)
	for s, n := range w {
		if g[s] != n {
			t.Errorf("contents %s: %d times, want %d", s, g[s], n)
		}
	}
	if len(g) != len(w) {
		t.Errorf("%d different contents, want %d", len(g), len(w))
	}
}

func writeSparse(t *testing.T, name string, l *Layout) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := l.WriteTo(&sparse{file: f}); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(l.Size()); err != nil {
		t.Fatal(err)
	}
}

type mount struct{ disc, options string }

// mountAll mounts each disc in user-mode Linux and lists what is seen.
func mountAll(t *testing.T, mounts []mount) (lists [][]item) {
	t.Helper()
	uml, tree := os.Getenv("DOPPEL_UML"), os.Getenv("DOPPEL_UML_MODULES")
	if uml == "" {
		uml, tree = "/usr/bin/linux.uml", "/usr/lib/uml/modules"
	}
	if _, err := os.Stat(uml); err != nil {
		t.Skip("needs user-mode Linux: run ./build.sh test, or install user-mode-linux")
	}
	modules, _ := filepath.Glob(filepath.Join(tree, "*"))
	if len(modules) == 0 {
		t.Skip("user-mode Linux has no modules")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	share := t.TempDir()
	if err := os.MkdirAll(filepath.Join(share, "lib/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules[0], filepath.Join(share, "lib/modules", filepath.Base(modules[0]))); err != nil {
		t.Fatal(err)
	}
	args := []string{"mem=256M", "rootfstype=hostfs", "rw", "init=" + share + "/init", "con=null", "con0=null,fd:1", "quiet"}
	script := "#!/bin/sh\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run\nmount -t proc proc /proc\nmount -t tmpfs tmpfs /run\n" +
		"modprobe -d " + share + " isofs\nmodprobe -d " + share + " nls_utf8\n"
	for i, m := range mounts {
		args = append(args, fmt.Sprintf("ubd%dr=%s", i, m.disc))
		script += fmt.Sprintf("mkdir /run/%[1]d && mount -t iso9660 -o %[2]s /dev/ubd%[3]c /run/%[1]d &&\nISO_TEST_LIST=/run/%[1]d ISO_TEST_OUT=%[4]s/%[1]d.json %[5]s -test.run '^TestHelperListing$' -test.v\n",
			i, m.options, 'a'+i, share, self)
	}
	script += "ISO_TEST_OFF=1 exec " + self + " -test.run '^TestHelperOff$'\n"
	if err := os.WriteFile(filepath.Join(share, "init"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, uml, args...)
	cmd.Env = lab.Environment(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "--- FAIL") {
		t.Fatalf("user-mode Linux: %v\n%s", err, out)
	}
	for i := range mounts {
		data, err := os.ReadFile(fmt.Sprintf("%s/%d.json", share, i))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var list []item
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		lists = append(lists, list)
	}
	return lists
}

// TestHelperOff ends user-mode Linux, of which it is the first process:
// machines without an init system have no poweroff.
func TestHelperOff(t *testing.T) {
	if os.Getenv("ISO_TEST_OFF") == "" || os.Getpid() != 1 {
		t.Skip("helper of TestKernel")
	}
	if err := syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		t.Fatal(err)
	}
}
