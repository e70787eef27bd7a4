package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"doppel.live/internal/vm"
	"doppel.live/internal/vm/sample"
)

// lab is what a test needs of the world: the built image and its parts.
type lab struct {
	iso, ovmf, kernel, initrd, cache, mirror string
}

// openLab skips the test where nothing was built.
func openLab(t *testing.T) lab {
	t.Helper()
	if testing.Short() {
		t.Skip("boots virtual machines: not with -short")
	}
	l := lab{
		iso: os.Getenv("DOPPEL_ISO"), ovmf: os.Getenv("DOPPEL_OVMF"), kernel: os.Getenv("DOPPEL_KERNEL"),
		initrd: os.Getenv("DOPPEL_INITRD"), cache: os.Getenv("DOPPEL_CACHE"), mirror: os.Getenv("DOPPEL_MIRROR"),
	}
	if l.iso == "" || l.ovmf == "" || l.kernel == "" || l.initrd == "" || l.cache == "" {
		t.Skip("needs the built image: run ./build.sh test")
	}
	return l
}

// sample gives the sample disk; it may not be written to.
func (l lab) sample(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: the sample system is made with debootstrap")
	}
	disk, err := sample.Make(t.Context(), l.cache, l.mirror, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// run runs a program on the host and gives its output.
func run(t *testing.T, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// empty makes a sparse file of that many bytes.
func empty(t *testing.T, name string, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// imagesDisk makes a disk with one ext4 partition, label IMAGES, from 1 MiB on.
func imagesDisk(t *testing.T, size int64) string {
	t.Helper()
	path := empty(t, "images.img", size)
	cmd := exec.Command("/sbin/sfdisk", "--quiet", path)
	cmd.Stdin = strings.NewReader("label: gpt\nstart=2048\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v: %s", err, out)
	}
	run(t, "mke2fs", "-q", "-t", "ext4", "-L", "IMAGES", "-E", "offset=1048576", path, fmt.Sprintf("%dK", (size-2<<20)>>10))
	return path
}

// mount mounts an ext4 at an offset of a file read-only and gives the directory.
func mount(t *testing.T, file string, offset, size int64) string {
	t.Helper()
	loop := strings.TrimSpace(run(t, "losetup", "--find", "--show", "--read-only", fmt.Sprintf("--offset=%d", offset), fmt.Sprintf("--sizelimit=%d", size), file))
	dir := t.TempDir()
	t.Cleanup(func() {
		exec.Command("umount", dir).Run()
		exec.Command("losetup", "--detach", loop).Run()
	})
	run(t, "mount", "-t", "ext4", "-o", "ro,noload", loop, dir)
	return dir
}

// imagesOf mounts the partition of an images disk.
func imagesOf(t *testing.T, disk string) string {
	t.Helper()
	info, err := os.Stat(disk)
	if err != nil {
		t.Fatal(err)
	}
	return mount(t, disk, 1<<20, info.Size()-2<<20)
}

// console is a machine with its test, to write a story without looking at errors.
type console struct {
	*vm.Machine
	t   *testing.T
	ctx context.Context
}

// start boots a machine that must finish its story within the limit. One whose
// kernel is booted directly and says nothing is started once more: QEMU's
// interpreter hangs so once in some dozens of starts.
func start(t *testing.T, c vm.Config, limit time.Duration) *console {
	t.Helper()
	first := startOnce(t, c, limit)
	if c.Kernel == "" {
		return first
	}
	ctx, cancel := context.WithTimeout(first.ctx, 100*time.Second)
	defer cancel()
	_, err := first.WaitLog(ctx, 0, `Linux version`)
	if err == nil {
		return first
	}
	t.Logf("the kernel says nothing, started once more: %v", err)
	first.Close()
	return startOnce(t, c, limit)
}

func startOnce(t *testing.T, c vm.Config, limit time.Duration) *console {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	m, err := vm.Start(ctx, c)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Close()
		cancel()
	})
	return &console{m, t, ctx}
}

// startToMenu starts a machine and waits for the menu. QEMU's interpreter hangs
// a machine before its kernel says anything once in some dozens of starts: then
// it is started once more.
func startToMenu(t *testing.T, c vm.Config, limit time.Duration) *console {
	t.Helper()
	return startEntry(t, c, limit, 150*time.Second, "", "")
}

// startEntry is startToMenu by another entry of the boot menu: these keys are
// pressed when it shows that text. The first start is given up after a time.
func startEntry(t *testing.T, c vm.Config, limit, patience time.Duration, entry, keys string) *console {
	t.Helper()
	first := start(t, c, limit)
	ctx, cancel := context.WithTimeout(first.ctx, patience)
	defer cancel()
	err := first.bootEntry(ctx, entry, keys)
	if err == nil {
		_, err = first.WaitScreen(ctx, menu)
	}
	if err == nil {
		return first
	}
	t.Logf("no menu, started once more: %v", err)
	first.Close()
	second := start(t, c, limit)
	if err := second.bootEntry(second.ctx, entry, keys); err != nil {
		second.fail(err)
	}
	second.seeWithin(max(4*time.Minute, patience), menu)
	return second
}

func (c *console) bootEntry(ctx context.Context, entry, keys string) error {
	if entry == "" {
		return nil
	}
	if _, err := c.WaitScreen(ctx, entry); err != nil {
		return err
	}
	return c.Type(keys)
}

// see waits until the serial terminal shows the expression: a minute or two,
// which is long for a page and short for a job.
func (c *console) see(expr string) []string {
	c.t.Helper()
	return c.seeWithin(2*time.Minute, expr)
}

func (c *console) seeWithin(limit time.Duration, expr string) []string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	found, err := c.WaitScreen(ctx, expr)
	if err != nil {
		c.fail(err)
	}
	return found
}

// hear waits until the serial line has said the expression.
func (c *console) hear(expr string) []string {
	c.t.Helper()
	found, err := c.WaitLog(c.ctx, 0, expr)
	if err != nil {
		c.fail(err)
	}
	return found
}

// fail keeps a picture of the graphical console where one was asked for.
func (c *console) fail(err error) {
	c.t.Helper()
	if dir := os.Getenv("DOPPEL_SCREENSHOTS"); dir != "" {
		c.Screenshot(filepath.Join(dir, strings.ReplaceAll(c.t.Name(), "/", "-")+"-failed.png"))
		os.WriteFile(filepath.Join(dir, strings.ReplaceAll(c.t.Name(), "/", "-")+"-failed.log"), []byte(c.Log()), 0o644)
	}
	c.t.Fatal(err)
}

// key types text on the serial line.
func (c *console) key(text string) {
	c.t.Helper()
	if err := c.Type(text); err != nil {
		c.t.Fatal(err)
	}
}

// choose presses the key that stands before the item of that name, after going
// down to it where the page is too short for all.
func (c *console) choose(item string) {
	c.t.Helper()
	began := time.Now()
	defer func() { c.t.Logf("chose %q after %.1f s", item, time.Since(began).Seconds()) }()
	expr := `(?m)(?:^|[^\w])([0-9a-z])[.)]? +(?:\[.\] +)?` + regexp.QuoteMeta(item)
	patience := 10 * time.Second
	for range 30 {
		ctx, cancel := context.WithTimeout(c.ctx, patience)
		found, err := c.WaitScreen(ctx, expr)
		cancel()
		if err == nil {
			c.key(found[1])
			return
		}
		if strings.Contains(c.Screen(), "What would you like to do?") {
			c.key("\x1b[B")
			patience = 2 * time.Second
		}
	}
	c.key(c.see(expr)[1])
}

// menu is what every boot must reach.
const menu = "Save a disk or partitions"

// commandLine is for kernels that are booted directly.
const commandLine = "rootfstype=ramfs console=tty0 console=ttyS0,115200 no_timer_check"
