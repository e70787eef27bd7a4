package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGuest(t *testing.T) {
	disk := ""
	if !Inside() {
		disk = filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	Run(t, Config{Modules: []string{"sd_mod", "scsi_debug dev_size_mb=8"}, Disks: []string{disk}}, func(t *testing.T) {
		t.Run("disks", func(t *testing.T) {
			Await(t, "/dev/sda", "/dev/ubda")
			if b, _ := os.ReadFile("/sys/block/sda/size"); string(b) != "16384\n" {
				t.Errorf("sda has %s sectors", b)
			}
			if err := os.WriteFile("/dev/ubda", []byte("written in the guest"), 0); err != nil {
				t.Error(err)
			}
		})
		t.Run("host is safe", func(t *testing.T) {
			wd, _ := os.Getwd()
			for _, dir := range []string{"/", "/etc", "/root", wd} {
				if err := os.WriteFile(filepath.Join(dir, "lab-was-here"), nil, 0o600); err == nil {
					t.Errorf("the guest writes to %s of the host", dir)
				}
			}
		})
		t.Run("skipped", func(t *testing.T) { t.Skip("to see whether that is told") })
	})
	if b, _ := os.ReadFile(disk); !Inside() && !strings.HasPrefix(string(b), "written in the guest") {
		t.Error("what the guest wrote to its disk is not there")
	}
}

func TestGuestThatHangsIsKilled(t *testing.T) {
	began := time.Now()
	_, err := boot("/bin/sh", Environment(t), []string{"-c", "sleep 60 & sleep 60"}, 200*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "killed") || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestSplit(t *testing.T) {
	const text = `=== RUN   TestX
    x_test.go:1: before
=== RUN   TestX/a
    x_test.go:2: in a
=== RUN   TestX/a/deep
    x_test.go:3: deep in a
=== RUN   TestX/b
=== NAME  TestX
    x_test.go:4: after
--- FAIL: TestX (0.10s)
    --- FAIL: TestX/a (0.10s)
        --- FAIL: TestX/a/deep (0.10s)
    --- SKIP: TestX/b (0.00s)
FAIL
`
	main, subtests := split(text, "TestX")
	if main.status != "FAIL" || !strings.Contains(main.text, "before") || !strings.Contains(main.text, "after") || strings.Contains(main.text, "in a") {
		t.Errorf("main: %+v", main)
	}
	if len(subtests) != 2 || subtests[0].status != "FAIL" || !strings.Contains(subtests[0].text, "deep in a") || subtests[1].status != "SKIP" {
		t.Errorf("subtests: %+v", subtests)
	}
}
