package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/clonezilla"
	"doppel.live/internal/inventory"
	"doppel.live/internal/plan"
	"doppel.live/internal/store"
)

const mib = 1 << 20

// lab is a folder with a disk to save, a place for images and a target:
//
//	source.img   64 MiB, GPT: 1 random bytes, 2 ext4, 3 swap
//	target.img   64 MiB of garbage
//	images/
type lab struct {
	t   *testing.T
	dir string
	on  func(event string) // called with every line of --json
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if _, err := clonezilla.Open(&store.Memory{}, "x"); errors.Is(err, clonezilla.ErrNotYet) {
		t.Skip("needs image directories")
	}
	l := &lab{t: t, dir: t.TempDir()}
	if err := os.Mkdir(l.path("images"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.random("source.img", 64*mib, 0, 0)
	l.tool("label: gpt\nsize=2MiB,type=U\nsize=32MiB\nsize=8MiB,type=S\n", "sfdisk", "--quiet", l.path("source.img"))
	l.random("source.img", 64*mib, mib, 2*mib)
	tree := l.path("tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	l.random("tree/file", 5*mib, 0, 5*mib)
	l.random("fs", 32*mib, 0, 0)
	l.tool("", "mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", tree, l.path("fs"))
	l.copyInto("fs", "source.img", 3*mib)
	l.random("swap", 8*mib, 0, 0)
	l.tool("", "mkswap", "-L", "swap", l.path("swap"))
	l.copyInto("swap", "source.img", 35*mib)
	l.random("target.img", 64*mib, 0, 64*mib)
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// random makes a file of size bytes, or extends it, and fills a part of it.
func (l *lab) random(name string, size, off, n int64) {
	l.t.Helper()
	f, err := os.OpenFile(l.path(name), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		l.t.Fatal(err)
	}
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(off), byte(n)}).Read(b)
	_, err = f.WriteAt(b, off)
	if err := errors.Join(err, f.Truncate(size), f.Close()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) copyInto(from, to string, off int64) {
	l.t.Helper()
	b, err := os.ReadFile(l.path(from))
	if err != nil {
		l.t.Fatal(err)
	}
	f, err := os.OpenFile(l.path(to), os.O_RDWR, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	_, err = f.WriteAt(b, off)
	if err := errors.Join(err, f.Close()); err != nil {
		l.t.Fatal(err)
	}
}

// find finds another program; the test is skipped where it is absent.
func (l *lab) find(name string) string {
	l.t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/sbin/", "/usr/sbin/"} {
		if err != nil {
			path, err = exec.LookPath(dir + name)
		}
	}
	if err != nil {
		l.t.Skip("needs ", name)
	}
	return path
}

// tool runs another program; the test is skipped where it is absent.
func (l *lab) tool(stdin, name string, args ...string) string {
	l.t.Helper()
	cmd := exec.Command(l.find(name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// lines hands complete lines to a function.
type lines struct {
	bytes.Buffer
	on func(string)
}

func (w *lines) Write(p []byte) (int, error) {
	if w.on != nil {
		w.on(string(p))
	}
	return w.Buffer.Write(p)
}

// doppel runs a command. Names that end with .img and the place for images are
// those of the lab. answer is typed at a terminal; "" means there is none.
func (l *lab) doppel(ctx context.Context, answer string, args ...string) (status int, out string) {
	l.t.Helper()
	for i, a := range args {
		if strings.HasSuffix(a, ".img") && !strings.Contains(a, "/") {
			args[i] = l.path(a)
		}
	}
	w := &lines{on: l.on}
	c := &console{
		in: bufio.NewReader(strings.NewReader(answer + "\n")), out: w, err: w, asks: answer != "", terminal: answer != "",
		logs: []string{l.path("log")},
	}
	l.t.Setenv("DOPPEL_IMAGES", l.path("images"))
	return run(ctx, args, c), w.String()
}

// expect runs a command and checks its exit status and what it says.
func (l *lab) expect(status int, says string, args ...string) string {
	l.t.Helper()
	return l.answer("", status, says, args...)
}

func (l *lab) answer(answer string, status int, says string, args ...string) string {
	l.t.Helper()
	got, out := l.doppel(context.Background(), answer, args...)
	if got != status || !strings.Contains(out, says) {
		l.t.Errorf("doppel %s: exit status %d, want %d with %q; it said:\n%s", strings.Join(args, " "), got, status, says, out)
	}
	return out
}

func (l *lab) read(name string) []byte {
	l.t.Helper()
	b, err := os.ReadFile(l.path(name))
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

// restored checks that the target is the source.
func (l *lab) restored() {
	l.t.Helper()
	dump := func(name string) string {
		return strings.ReplaceAll(l.tool("", "sfdisk", "--dump", l.path(name)), l.path(name), "DISK")
	}
	if got, want := dump("target.img"), dump("source.img"); got != want {
		l.t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
	source, target := l.read("source.img"), l.read("target.img")
	if !bytes.Equal(source[mib:3*mib], target[mib:3*mib]) {
		l.t.Error("the raw partition differs")
	}
	if err := os.WriteFile(l.path("restored"), target[3*mib:35*mib], 0o644); err != nil {
		l.t.Fatal(err)
	}
	l.tool("", "e2fsck", "-fn", l.path("restored"))
	os.Remove(l.path("file"))
	l.tool("", "debugfs", "-R", "dump /file "+l.path("file"), l.path("restored"))
	if !bytes.Equal(l.read("file"), l.read("tree/file")) {
		l.t.Error("a file differs")
	}
}

func (l *lab) noTable(name string) {
	l.t.Helper()
	if b := l.read(name); b[510] == 0x55 || string(b[512:520]) == "EFI PART" {
		l.t.Errorf("%s has something that looks like a table", name)
	}
}

// code takes the consent code out of a plan.
func (l *lab) code(args ...string) string {
	l.t.Helper()
	out := l.expect(done, `"event":"plan"`, args...)
	var e struct {
		Plan struct {
			Consent string
			Confirm struct{ Expect string }
			Steps   []struct{ Volume string }
		}
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		l.t.Fatal(err)
	}
	if e.Plan.Confirm.Expect != "YES" || len(e.Plan.Steps) != 3 {
		l.t.Errorf("plan: %s", out)
	}
	return e.Plan.Consent
}

func TestSaveVerifyRestore(t *testing.T) {
	l := newLab(t)
	before := l.read("target.img")
	l.expect(done, "is saved", "save", "source.img", "lab")
	l.expect(done, "image lab can be restored", "verify", "lab")
	l.expect(refused, "already", "save", "source.img", "lab")
	l.expect(misused, "--consent", "restore", "lab", "target.img")
	l.answer("no", refused, "what was typed", "restore", "lab", "target.img")
	l.expect(refused, "consent code", "restore", "lab", "target.img", "--consent", "000000000000")
	code := l.code("restore", "lab", "target.img", "--plan", "--json")
	if !bytes.Equal(before, l.read("target.img")) {
		t.Fatal("the target was written to without consent")
	}
	l.expect(done, "was compared", "restore", "lab", "target.img", "--consent", code, "--verify")
	l.restored()
	l.expect(refused, "on what the target is now", "restore", "lab", "target.img", "--consent", code)
	// A file was written to what was restored, far from table and disk edges.
	code = l.code("restore", "lab", "target.img", "--plan", "--json")
	target := l.read("target.img")
	if err := os.WriteFile(l.path("part"), target[3*mib:35*mib], 0o644); err != nil {
		t.Fatal(err)
	}
	l.tool("", "debugfs", "-w", "-R", "write "+l.path("swap")+" new", l.path("part"))
	l.copyInto("part", "target.img", 3*mib)
	l.expect(refused, "on what the target is now", "restore", "lab", "target.img", "--consent", code)
	l.answer("YES", done, "is restored", "restore", "--images", l.path("images"), "lab", "target.img")
	l.restored()
	kept, _ := filepath.Glob(l.path("log/*-restore-lab*/target.img-0.before"))
	if len(kept) != 2 {
		t.Errorf("the old first MiB was kept by %d of 2 jobs", len(kept))
	} else if b, _ := os.ReadFile(kept[0]); !bytes.Equal(b, before[:mib]) {
		t.Error("what was kept is not what was there")
	}
	if b, err := os.ReadFile(l.path("images/lab/clonezilla-img")); err != nil || !strings.Contains(string(b), "save source.img2") {
		t.Errorf("the log in the image: %v\n%s", err, b)
	}
}

func TestRefusedAndImpossible(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab", "--compress", "fast")
	l.random("small.img", 63*mib, 0, mib)
	l.expect(refused, "67108864", "restore", "lab", "small.img", "--yes")
	l.expect(failed, "no disk", "restore", "lab", "nothing.img", "--yes")
	l.expect(failed, "not an image", "restore", "nothing", "target.img", "--yes")
	l.expect(failed, "no folder for images", "restore", "lab", "target.img", "--images", "/nonexistent")
	l.random("nothing at all", 511, 0, 0)
	l.expect(failed, "nothing to save", "save", l.path("nothing at all"), "lab2")
	l.expect(refused, "not a name", "save", "source.img", "a b;c")
	l.expect(misused, "which is on no source", "save", "source.img", "x", "--except", "sdq9")
	l.expect(refused, "holds no", "restore", "lab", "target.img", "--only", "sdq9", "--yes")
	if got := l.read("target.img"); got[0] == 0 && got[1] == 0 {
		t.Error("a refused restore wrote")
	}
}

func TestLargerTarget(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab")
	l.random("larger.img", 80*mib, 0, 80*mib)
	l.expect(done, "larger than the source", "restore", "lab", "larger.img", "--yes", "--verify")
	if out := l.tool("", "sgdisk", "-v", l.path("larger.img")); !strings.Contains(out, "No problems found") {
		t.Error(out)
	}
}

func TestDamagedImage(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab")
	found, _ := filepath.Glob(l.path("images/lab/sda2.ext4-ptcl-img*"))
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	os.WriteFile(found[0], b, 0o600)
	l.expect(failed, "source.img2 cannot be restored", "verify", "lab")
	l.expect(failed, "source.img2", "restore", "lab", "target.img", "--yes")
	l.noTable("target.img")
	before := l.read("target.img")
	if found, _ = filepath.Glob(l.path("images/lab/sda2*.frames")); len(found) != 1 {
		t.Fatal(found)
	}
	os.Remove(found[0])
	l.expect(refused, "doppel verify", "restore", "lab", "target.img", "--yes")
	if !bytes.Equal(before, l.read("target.img")) {
		t.Error("the target was wiped for an image without that volume")
	}
}

func TestCancelled(t *testing.T) {
	l := newLab(t)
	stop := func(volume string, args ...string) string {
		ctx, cancel := context.WithCancel(context.Background())
		l.on = func(line string) {
			if strings.Contains(line, `"event":"step"`) && strings.Contains(line, volume) {
				cancel()
			}
		}
		defer func() { l.on = nil }()
		status, out := l.doppel(ctx, "", append(args, "--json")...)
		if status != failed || !strings.Contains(out, `"text":"cancelled`) {
			t.Errorf("%v: exit status %d:\n%s", args, status, out)
		}
		return out
	}
	stop("source.img1", "save", "source.img", "lab") // before any volume is complete
	if left, _ := os.ReadDir(l.path("images")); len(left) > 0 {
		t.Errorf("a cancelled save leaves %v", left)
	}
	l.expect(done, "", "save", "source.img", "lab")
	stop("source.img2", "restore", "lab", "target.img", "--yes")
	l.noTable("target.img")
}

// The place fills up while the image is written.
func TestFullPlace(t *testing.T) {
	l := newLab(t)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", l.path("images")).CombinedOutput(); err != nil {
		t.Skipf("needs root to mount: %v %s", err, out)
	}
	defer exec.Command("umount", l.path("images")).Run()
	l.on = func(line string) {
		if strings.Contains(line, `"event":"step"`) && strings.Contains(line, "source.img2") {
			_ = os.WriteFile(l.path("images/other"), make([]byte, 11*mib), 0o644)
		}
	}
	status, out := l.doppel(context.Background(), "", "save", "source.img", "lab", "--json")
	l.on = nil
	if status != failed || !strings.Contains(out, "no room left") || !strings.Contains(out, "make room") {
		t.Errorf("exit status %d:\n%s", status, out)
	}
	l.noImage(l.path("images"), "lab")
	if !strings.Contains(out, "doppel save --resume") || !strings.Contains(out, "doppel images remove lab") {
		t.Errorf("does not say how to go on with source.img1, which is saved:\n%s", out)
	}
	l.expect(done, "is removed", "images", "remove", "lab", "--yes")
	l.expect(refused, "make room or choose another place", "save", "source.img", "lab")
}

func TestLoopDevices(t *testing.T) {
	l := newLab(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	loop := func(name string) string {
		out, err := exec.Command("losetup", "--find", "--show", l.path(name)).Output()
		if err != nil {
			t.Skip("needs loop devices")
		}
		device := strings.TrimSpace(string(out))
		t.Cleanup(func() { exec.Command("losetup", "-d", device).Run() })
		return device
	}
	source, target := loop("source.img"), loop("target.img")
	l.expect(done, "is saved", "save", source, "lab")
	if _, err := exec.LookPath("fdisk"); err == nil {
		if list := string(l.read("images/lab/fdisk.list")); !strings.Contains(list, "Disk "+source) {
			t.Errorf("fdisk.list does not tell of the disk: %s", list)
		}
	}
	l.expect(done, "is restored", "restore", "lab", target, "--yes", "--verify")
	l.restored()
	l.expect(refused, "loop device", "restore", "lab", "target.img", "--yes")

	l.tool("", "mke2fs", "-q", "-F", "-t", "ext4", target)
	point := t.TempDir()
	if out, err := exec.Command("mount", target, point).CombinedOutput(); err != nil {
		t.Skipf("needs mount: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", point).Run() })
	l.expect(refused, "umount "+point, "restore", "lab", target, "--yes")
	l.expect(refused, "mounted at "+point+" for writing", "save", target, "mounted")
	l.expect(refused, "lies on", "save", target, "mounted", "--images", point)
	l.tool("", "mount", "-o", "remount,ro", point)
	l.expect(done, "is saved", "save", target, "mounted")
}

func TestImages(t *testing.T) {
	l := newLab(t)
	l.expect(done, "There are no images", "images")
	l.expect(done, "", "save", "source.img", "lab")
	l.expect(done, "lab", "images", "list")
	l.expect(done, "source.img2", "images", "show", "lab")
	l.expect(done, `"complete": true`, "images", "--json")
	l.expect(done, "now called office", "images", "rename", "lab", "office")
	l.expect(failed, "not an image", "images", "rename", "lab", "other")
	l.expect(failed, "not a name", "images", "rename", "office", "../up")
	l.expect(done, "can be restored", "verify", l.path("images/office"))
	l.expect(misused, "--yes", "images", "remove", "office")
	l.answer("nope", failed, "was not removed", "images", "remove", "office")
	l.answer("office", done, "is removed", "images", "remove", "office")
	l.expect(failed, "not an image", "images", "remove", "office", "--yes")
}

func TestUsage(t *testing.T) {
	l := &lab{t: t, dir: t.TempDir()}
	l.expect(misused, "Usage: doppel COMMAND")
	l.expect(done, "Usage: doppel COMMAND", "--help")
	l.expect(misused, "no command", "frobnicate")
	l.expect(misused, `{"event":"result","text":"there is no command`, "frobnicate", "--json")
	for _, cmd := range commands() {
		out := l.expect(done, "Usage: "+cmd.usage, cmd.name, "--help")
		if out != l.expect(done, "", "help", cmd.name) {
			t.Errorf("help %s and %s --help differ", cmd.name, cmd.name)
		}
		for line := range strings.Lines(cmd.help) {
			if len(line) > 81 {
				t.Errorf("%s: the manual has a line of %d characters: %s", cmd.name, len(line), line)
			}
		}
		l.expect(misused, "there is no option", cmd.name, "--frobnicate")
		l.expect(misused, `{"event":"result","text":"there is no option`, cmd.name, "--frobnicate", "--json")
	}
	l.expect(done, "doppel ", "version")
	for _, args := range []string{"save", "save x", "restore x", "verify", "images frob", "images rename x", "disks x",
		"save --compress lots a b", "save --split 3 a b", "restore a b --yes --consent x"} {
		l.expect(misused, "Next: ", strings.Fields(args)...)
	}
}

// A place that was unplugged is named as such.
func TestGoneDiskHasAdvice(t *testing.T) {
	text, next, status := advise(context.Background(), &fs.PathError{Op: "readdirent", Path: "/images/.", Err: unix.EIO})
	if status != failed || !strings.Contains(text, "input/output error") || !strings.Contains(next, "choose the place for images again") {
		t.Errorf("%q, %q, %d", text, next, status)
	}
}

func TestProgressLine(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0:00", 59.6: "1:00", 3725: "1:02:05"} {
		if got := clock(seconds); got != want {
			t.Errorf("%f: %s, want %s", seconds, got, want)
		}
	}
	if a, b := newUUID(), newUUID(); a == b || len(a) != 36 || a[14] != '4' {
		t.Error(a, b)
	}
}

// A label may hold what makes a terminal do things.
func TestLabelsDoNothingToTheTerminal(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out, err: &out}
	showDisk(c, inventory.Disk{Contents: "\x9b2J", Partitions: []inventory.Partition{{Name: "sda1", Label: "a\x1b[2J\nb", FileSystem: "ext4"}}})
	c.steps([]plan.Step{{Volume: "\x1b]0;x\a"}})
	c.result(failed, "first\nsecond", "look")
	for _, r := range strings.ReplaceAll(out.String(), "\n", "") {
		if r < ' ' || r > '~' {
			t.Fatalf("%q", out.String())
		}
	}
	if !strings.Contains(out.String(), "a.[2J; b") || !strings.Contains(out.String(), "first; second\nNext: look.") {
		t.Errorf("%q", out.String())
	}
}
