package bench

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lab is a folder of a benchmark with what is run there.
type lab struct {
	*testing.B
	folder, doppel string
}

// newLab begins a benchmark. It takes longer than the time that go test gives
// one, so its body is run once, whatever b.N is. It skips without
// root, loop devices and the programs named.
func newLab(b *testing.B, programs ...string) *lab {
	if os.Geteuid() != 0 {
		b.Skip("needs root, for loop devices")
	}
	b.Helper()
	for _, p := range append(programs, "losetup", "mount", "partclone.extfs") {
		if _, err := exec.LookPath(p); err != nil {
			b.Skipf("needs %s", p)
		}
	}
	l := &lab{B: b}
	var err error
	if l.folder, err = os.MkdirTemp(os.Getenv("DOPPEL_CACHE"), "bench-"); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(l.folder) })
	if l.doppel = os.Getenv("DOPPEL_HOST"); l.doppel == "" {
		l.doppel = l.path("doppel")
		l.must("go", "build", "-o", l.doppel, "doppel.live/uroot-cmds/doppel")
	}
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.folder, name) }

func (l *lab) must(name string, args ...string) string {
	l.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		l.Skipf("%s %v: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// loop shows a file as a device that leaves the page cache out, where the file
// system below can do that.
func (l *lab) loop(file string) string {
	l.Helper()
	device, err := exec.Command("losetup", "-f", "--show", "--direct-io=on", file).Output()
	name := strings.TrimSpace(string(device))
	if err != nil {
		name = l.must("losetup", "-f", "--show", file)
	}
	l.Cleanup(func() { exec.Command("losetup", "-d", name).Run() })
	return name
}

// sparse makes a file of that size without blocks.
func (l *lab) sparse(name string, size int64) string {
	l.Helper()
	if err := os.WriteFile(l.path(name), nil, 0o600); err != nil {
		l.Fatal(err)
	}
	if err := os.Truncate(l.path(name), size); err != nil {
		l.Fatal(err)
	}
	return l.path(name)
}

// mounted calls do with the folder that the device is mounted at.
func (l *lab) mounted(device string, do func(folder string), how ...string) {
	l.Helper()
	at := l.path("mount")
	if err := os.MkdirAll(at, 0o700); err != nil {
		l.Fatal(err)
	}
	l.must("mount", append(how, device, at)...)
	defer l.must("umount", at)
	do(at)
}

// dropCaches makes the next reads come from the medium.
func (l *lab) dropCaches() {
	l.must("sync")
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		l.Skip(err)
	}
}

// cost is what a run took.
type cost struct {
	clock, cpu time.Duration
	peak       int64 // bytes of memory of the largest process
}

// run measures a command from cold caches; its children count too.
func (l *lab) run(command ...string) cost {
	l.Helper()
	l.dropCaches()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	start := time.Now()
	if err := cmd.Run(); err != nil {
		l.Fatalf("%v: %v: %s", command, err, text.Bytes()[:min(text.Len(), 2000)])
	}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{time.Since(start), time.Duration(used.Utime.Nano() + used.Stime.Nano()), used.Maxrss << 10}
}

// shell is run of a line of the shell; a pipe fails with any of its parts.
func (l *lab) shell(line string, args ...any) cost {
	l.Helper()
	return l.run("bash", "-o", "pipefail", "-c", fmt.Sprintf(line, args...))
}

// results are the costs of all rounds by what was run.
type results map[string][]cost

func (r results) add(name string, c cost) { r[name] = append(r[name], c) }

func middle(list []cost, of func(cost) float64) float64 {
	values := make([]float64, len(list))
	for i, c := range list {
		values[i] = of(c)
	}
	slices.Sort(values)
	if len(values) == 0 {
		return 0
	}
	return values[len(values)/2]
}

func (r results) clock(name string) float64 {
	return middle(r[name], func(c cost) float64 { return c.clock.Seconds() })
}
func (r results) cpu(name string) float64 {
	return middle(r[name], func(c cost) float64 { return c.cpu.Seconds() })
}
func (r results) peak(name string) float64 {
	return middle(r[name], func(c cost) float64 { return float64(c.peak) / (1 << 20) })
}

// table prints the medians of what moved that many bytes.
func (r results) table(b *testing.B, names []string, moved int64) {
	b.Helper()
	text := fmt.Sprintf("medians, %d bytes moved:\n", moved)
	for _, n := range names {
		if len(r[n]) > 0 {
			text += fmt.Sprintf("  %-24s %8.2f s %7.0f MB/s  cpu %8.2f s  peak %5.0f MiB  (%d rounds)\n",
				n, r.clock(n), float64(moved)/1e6/r.clock(n), r.cpu(n), r.peak(n), len(r[n]))
		}
	}
	fmt.Fprint(os.Stderr, text) // the log of a benchmark is cut after some lines
}

// against reports ours beside a peer.
func (r results) against(b *testing.B, metric, ours, peer string) {
	if len(r[ours]) == 0 || len(r[peer]) == 0 {
		return
	}
	b.ReportMetric(r.clock(peer)/r.clock(ours), metric+"-x")
	b.ReportMetric(r.cpu(peer)/r.cpu(ours), metric+"-x-by-cpu")
}

// setting is a whole number of the environment.
func setting(name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(os.Getenv(name), 10, 64); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// fill copies programs and text of this machine to folder until that many bytes
// are there. What comes a second time is changed throughout.
func (l *lab) fill(folder string, want int64) {
	l.Helper()
	for pass := 0; want > 0; pass++ {
		before := want
		err := filepath.WalkDir("/usr", func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil // what cannot be read is left out
			}
			to := filepath.Join(folder, strconv.Itoa(pass), path)
			if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
				return err
			}
			n, err := copyChanged(to, path, byte(pass))
			if err != nil {
				return err
			}
			if want -= n; want <= 0 {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil || want == before {
			l.Skipf("not enough data below /usr: %v", err)
		}
	}
}

// copyChanged copies a file with some bytes raised by change. It does so in
// pieces: a child's peak of memory begins at that of its parent.
func copyChanged(to, from string, change byte) (n int64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, nil // what cannot be read is left out
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 256<<10)
	for {
		m, err := in.Read(buf)
		if m == 0 || err != nil {
			return n, out.Close()
		}
		for at := 0; change > 0 && at < m; at += 97 {
			buf[at] += change
		}
		if _, err := out.Write(buf[:m]); err != nil {
			out.Close()
			return n, err
		}
		n += int64(m)
	}
}
