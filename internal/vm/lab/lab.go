// Package lab runs tests inside user-mode Linux, a kernel that is a plain
// process: for what needs device-mapper, arrays, SCSI disks that fail or
// vanish, but no boot. A test hands its body to Run; outside, Run starts the
// test's own program as the first process of a guest and reports what came
// out of it; inside, it is the body that runs. It is imported by tests only,
// and knows nothing of what they test.
package lab

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Config describes a guest.
//
// Its root is the host's own file tree, read-only, so that every program of
// the host runs in it; /run, /mnt, /var and the folder for temporary files are
// empty and in memory.
type Config struct {
	Modules  []string      // loaded in this order, each with its parameters: "scsi_debug sector_size=4096"
	Disks    []string      // files that are /dev/ubda, /dev/ubdb, … and stay as the guest leaves them
	Commands []string      // directories of commands, from the module's root; built and put into PATH
	Needs    []string      // programs without which the test is skipped
	Memory   int           // MiB; 0: 512
	Limit    time.Duration // the guest is killed after it; 0: three minutes
}

// job is what the first process of the guest reads.
type job struct {
	Directory string   // of the package under test
	Share     string   // directory of the host that the guest may write to
	Program   string   // the test program
	Args      []string // of the test program
	Env       []string
	Modules   []string
}

// The guest is told by its environment what it is.
const (
	jobVariable   = "DOPPEL_LAB_JOB"  // in the first process: file of the job
	guestVariable = "DOPPEL_LAB_HERE" // in the test: set
)

// Inside says whether this is a guest: there, what a test does before Run was
// done already, outside.
func Inside() bool { return os.Getenv(jobVariable) != "" || os.Getenv(guestVariable) != "" }

// Run runs a test's body in a guest.
func Run(t *testing.T, c Config, body func(t *testing.T)) {
	t.Helper()
	if file := os.Getenv(jobVariable); file != "" && os.Getpid() == 1 {
		first(file) // does not return
	}
	if os.Getenv(guestVariable) != "" {
		body(t)
		return
	}
	if testing.Short() {
		t.Skip("starts user-mode Linux: not with -short")
	}
	kernel, modules := find(t)
	for _, name := range c.Needs {
		if _, err := exec.LookPath(name); err != nil {
			if _, err := exec.LookPath("/usr/sbin/" + name); err != nil {
				t.Skip("needs ", name)
			}
		}
	}
	env := Environment(t)
	share := t.TempDir()
	args := c.prepare(t, share, modules)
	out, err := boot(kernel, env, args, c.Limit)
	report(t, share, out, err)
}

// find finds the kernel and the directory of its modules, one below it for
// each version.
func find(t *testing.T) (kernel, modules string) {
	t.Helper()
	kernel, modules = os.Getenv("DOPPEL_UML"), os.Getenv("DOPPEL_UML_MODULES")
	if kernel == "" {
		kernel, _ = exec.LookPath("linux.uml")
		modules = "/usr/lib/uml/modules"
	}
	if _, err := os.Stat(kernel); err != nil {
		t.Skip("needs user-mode Linux: run ./build.sh test, or install user-mode-linux")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: the root of the guest belongs to root of the host")
	}
	if _, err := exec.LookPath("/sbin/modprobe"); err != nil {
		t.Skip("needs kmod")
	}
	return kernel, modules
}

// prepare fills the share and gives the kernel's command line.
func (c Config) prepare(t *testing.T, share, modules string) []string {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(share, "lib"), 0o755))
	must(os.Symlink(modules, filepath.Join(share, "lib/modules")))
	for _, command := range c.Commands {
		build := exec.Command("go", "build", "-o", filepath.Join(share, "bin")+"/", "doppel.live/"+command)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", command, err, out)
		}
	}
	program, err := os.Executable()
	must(err)
	directory, err := os.Getwd()
	must(err)
	j := job{
		Directory: directory, Share: share, Program: program, Modules: c.Modules,
		Args: []string{"-test.run=" + pattern(t.Name()), "-test.v", "-test.timeout=0"},
		Env: append(os.Environ(), guestVariable+"=1", "LC_ALL=C", "HOME=/run/tmp", "TMPDIR=/run/tmp",
			"PATH="+filepath.Join(share, "bin")+":/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
	}
	text, err := json.Marshal(j)
	must(err)
	file := filepath.Join(share, "job.json")
	must(os.WriteFile(file, text, 0o600))
	memory := c.Memory
	if memory == 0 {
		memory = 512
	}
	args := []string{
		fmt.Sprintf("mem=%dM", memory), "rootfstype=hostfs", "ro", "quiet", "con=null", "con0=null,fd:1",
		"uml_dir=" + share, "umid=guest", "init=" + program, jobVariable + "=" + file,
	}
	for i, disk := range c.Disks {
		args = append(args, fmt.Sprintf("ubd%d=%s", i, disk))
	}
	return append(args, "--", j.Args[0])
}

// pattern is what -test.run must be for the test of that name, and for those
// below it that were asked for outside.
func pattern(name string) string {
	asked := ""
	if f := flag.Lookup("test.run"); f != nil {
		_, asked, _ = strings.Cut(f.Value.String(), "/")
	}
	if asked != "" {
		asked = "/" + asked
	}
	return "^" + name + "$" + asked
}

// boot runs the guest to its end in a process group of its own, and gives what
// its console said.
func boot(kernel string, env, args []string, limit time.Duration) (string, error) {
	if limit == 0 {
		limit = 3 * time.Minute
	}
	var console strings.Builder
	cmd := exec.Command(kernel, args...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = &console, &console
	cmd.WaitDelay = time.Second
	// The guest must not outlive the test; the kernel looks at the thread
	// that started it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return "", err
	}
	group := -cmd.Process.Pid
	late := time.AfterFunc(limit, func() { syscall.Kill(group, syscall.SIGKILL) })
	err := cmd.Wait()
	_ = syscall.Kill(group, syscall.SIGKILL) // processes of the guest that were left
	if !late.Stop() {
		return console.String(), fmt.Errorf("the guest was killed after %v", limit)
	}
	return console.String(), err
}

// report tells the outcome of the guest as that of t, and of its subtests as
// subtests of t.
func report(t *testing.T, share, console string, err error) {
	t.Helper()
	text, _ := os.ReadFile(filepath.Join(share, "output"))
	status, statusErr := os.ReadFile(filepath.Join(share, "status"))
	if statusErr != nil {
		t.Fatalf("the guest did not end as it should: %v\nconsole:\n%s\ntest:\n%s", errors.Join(err, statusErr), console, text)
	}
	main, subtests := split(string(text), t.Name())
	for _, s := range subtests {
		t.Run(s.name, func(t *testing.T) { s.tell(t) })
	}
	main.tell(t)
	if code, err := strconv.Atoi(string(status)); err != nil || code != 0 && !t.Failed() {
		t.Fatalf("the test program in the guest ended with status %q\nconsole:\n%s\ntest:\n%s", status, console, text)
	}
}
