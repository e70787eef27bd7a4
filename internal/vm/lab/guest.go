package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// first is the first process of the guest: it sets it up, runs the test
// program, leaves its output and status in the share and ends the guest.
func first(file string) {
	err := guest(file)
	if err != nil {
		fmt.Println("lab:", err) // the console; without a status the guest counts as failed
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // a first process that ends is a panic
}

func guest(file string) error {
	var j job
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &j)
	}
	if err != nil {
		return err
	}
	if err := mounts(j.Share); err != nil {
		return err
	}
	for _, module := range j.Modules {
		args := append([]string{"-d", j.Share}, strings.Fields(module)...)
		if out, err := exec.Command("/sbin/modprobe", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("modprobe %s: %w: %s", module, err, out)
		}
	}
	out, err := os.Create("/run/share/output")
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(j.Program, j.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = j.Directory, j.Env, out, out
	code := 0
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		code = exit.ExitCode()
	}
	return os.WriteFile("/run/share/status", []byte(strconv.Itoa(code)), 0o600)
}

// mounts makes the guest's file tree; see Config.
func mounts(share string) error {
	for _, m := range []struct{ fs, point, data string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"devpts", "/dev/pts", "mode=620,ptmxmode=666"},
		{"tmpfs", "/run", ""},
		{"tmpfs", "/mnt", ""},
		{"tmpfs", "/var", ""},
		{"hostfs", "/run/share", share},
	} {
		if err := os.MkdirAll(m.point, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("none", m.point, m.fs, 0, m.data); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.point, err)
		}
	}
	for _, dir := range []string{"/run/tmp", "/run/lock", "/var/log", "/var/tmp", "/dev/shm"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// Try runs a program inside the guest and gives all its output.
func Try(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// Do is Try of what must succeed.
func Do(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := Try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Input is Do with a standard input.
func Input(t testing.TB, input, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Set writes a value to a file of sysfs or procfs.
func Set(t testing.TB, file, value string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
}

// Await waits until every path is there: drivers look for their disks in the
// background.
func Await(t testing.TB, paths ...string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for _, path := range paths {
		for {
			if found, _ := filepath.Glob(path); len(found) > 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s did not come", path)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
