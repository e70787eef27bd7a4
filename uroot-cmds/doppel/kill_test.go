package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// killed runs doppel as a process and kills it at a random moment of the time
// that the job took before, or lets it end. It says whether it ended well.
func (l *lab) killed(random *rand.Rand, took time.Duration, args ...string) bool {
	l.t.Helper()
	cmd := l.process(args...)
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	kill := time.AfterFunc(time.Duration(random.Int64N(int64(took))), func() { cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait() == nil
}

// took is how long a job takes that nobody kills.
func (l *lab) took(args ...string) time.Duration {
	l.t.Helper()
	began := time.Now()
	if out, err := l.process(args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return time.Since(began)
}

// incomplete checks that an image that a killed job leaves is whole or is
// said not to be, and removes it.
func (l *lab) incomplete(name string, ended bool) {
	l.t.Helper()
	if entries, _ := filepath.Glob(l.path("images/" + name + "/[^.]*")); len(entries) == 0 {
		if ended {
			l.t.Errorf("%s is said to be made and is not there", name)
		}
		return // at most an empty folder, which the next save takes
	}
	if _, err := os.Stat(l.path("images/" + name + "/clonezilla-img")); err == nil {
		l.expect(done, "can be restored", "verify", name)
	} else {
		if ended {
			l.t.Errorf("%s is said to be made and is not finished", name)
		}
		l.expect(done, "never finished", "images")
		l.expect(failed, "never finished", "restore", name, "target.img", "--yes")
		if status, out := l.doppel(context.Background(), "", "verify", name); status != failed {
			l.t.Errorf("verify of what is not finished: exit status %d:\n%s", status, out)
		}
	}
	l.expect(done, "is removed", "images", "remove", name, "--yes")
}

// whole checks that a target that a killed job leaves is either whole or
// nothing that blkid or sfdisk know.
func (l *lab) whole(ended bool) {
	l.t.Helper()
	seen, _ := exec.Command(l.find("blkid"), "-p", l.path("target.img")).Output()
	table, _ := exec.Command(l.find("sfdisk"), "--dump", l.path("target.img")).Output()
	switch {
	case len(bytes.TrimSpace(seen)) > 0 || len(table) > 0:
		l.restored()
	case ended:
		l.t.Error("the target is said to be whole and has no table")
	}
}

// Whenever a job is killed, nothing looks whole that is not, and the same job
// can be done again.
func TestKilled(t *testing.T) {
	l := newLab(t)
	rounds := 3
	if os.Getenv("DOPPEL_SOAK") != "" {
		rounds = 100
	}
	save := []string{"save", l.path("source.img"), "lab", "--compress", "fast"}
	convert := []string{"convert", "lab", "again", "--compress", "fast"}
	toFile := []string{"convert", "lab", l.path("disk.raw")}
	restore := []string{"restore", "lab", l.path("target.img"), "--yes"}
	clone := []string{"clone", l.path("source.img"), l.path("target.img"), "--yes"}
	tookSave, tookConvert, tookRestore := l.took(save...), l.took(convert...), l.took(restore...)
	l.expect(done, "is removed", "images", "remove", "again", "--yes")
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for range rounds {
		if _, err := os.Stat(l.path("images/lab/clonezilla-img")); err == nil {
			l.expect(done, "is removed", "images", "remove", "lab", "--yes")
		}
		l.incomplete("lab", l.killed(random, tookSave, save...))
		l.expect(done, "is saved", "save", "source.img", "lab", "--compress", "fast")
		l.incomplete("again", l.killed(random, tookConvert, convert...))
		ended := l.killed(random, tookConvert, toFile...)
		if _, err := os.Stat(l.path("disk.raw")); err == nil {
			l.take("disk.raw")
			l.restored()
		} else if ended {
			t.Error("disk.raw is said to be made and is not there")
		}
		for _, job := range [][]string{restore, clone} {
			l.random("target.img", 64*mib, 0, 64*mib)
			l.whole(l.killed(random, tookRestore, job...))
		}
		if t.Failed() {
			return
		}
	}
	l.expect(done, "disk.raw is made", toFile...)
	l.expect(done, "is made in", convert...)
	l.expect(done, "was compared", append(restore, "--verify")...)
	l.restored()
	l.expect(done, "was compared", append(clone, "--verify")...)
	l.restored()
	if left, _ := os.ReadDir(l.path("images")); len(left) != 2 {
		t.Errorf("left among the images: %v", left)
	}
}
