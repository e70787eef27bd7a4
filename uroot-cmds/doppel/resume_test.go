package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// interrupt cancels a save when it begins with the volume of that name.
func (l *lab) interrupt(volume string, args ...string) string {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l.on = func(line string) {
		if strings.Contains(line, `"event":"step"`) && strings.Contains(line, volume) {
			cancel()
		}
	}
	defer func() { l.on = nil }()
	status, out := l.doppel(ctx, "", append(args, "--json")...)
	if status != failed {
		l.t.Fatalf("%v: exit status %d:\n%s", args, status, out)
	}
	return out
}

// A save that is interrupted goes on with the volumes that were complete, and
// the image is the one that a save at one go would have made.
func TestResume(t *testing.T) {
	for _, split := range []string{"none", "2M"} {
		t.Run("split "+split, func(t *testing.T) {
			l := newLab(t)
			save := []string{"save", "source.img", "lab", "--compress", "fast", "--split", split}
			resume := append(save, "--resume")
			out := l.interrupt("source.img3", save...)
			for _, says := range []string{"cancelled: image lab is not saved yet", "doppel save --resume", "doppel images remove lab"} {
				if !strings.Contains(out, says) {
					t.Errorf("does not say %q:\n%s", says, out)
				}
			}
			l.noImage(l.path("images"), "lab")
			l.expect(done, "save --resume goes on", "images")
			l.expect(failed, "save --resume goes on", "restore", "lab", "target.img", "--yes")
			l.expect(refused, "go on with --resume", save...)
			l.expect(done, "was saved before", append(resume, "--plan")...)

			found, _ := filepath.Glob(l.path("images/lab/sda2.ext4*"))
			if len(found) == 0 {
				t.Fatal("no file of source.img2 is left")
			}
			before, err := os.Stat(found[0])
			if err != nil {
				t.Fatal(err)
			}
			os.WriteFile(l.path("images/lab/sda3.rest"), []byte("of a killed save"), 0o644)
			os.WriteFile(l.path("images/lab/.doppel-tmp-KILLED"), []byte("of a killed save"), 0o644)
			l.expect(done, "is saved", resume...)
			if after, err := os.Stat(found[0]); err != nil || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("source.img2 was saved again: %v", err)
			}
			for _, gone := range []string{"sda3.rest", "doppel-save.json", ".doppel-tmp-KILLED"} {
				if _, err := os.Stat(l.path("images/lab/" + gone)); err == nil {
					t.Errorf("%s is still there", gone)
				}
			}
			l.expect(done, "can be restored", "verify", "lab")
			l.expect(done, "is restored", "restore", "lab", "target.img", "--yes", "--verify")
			l.restored()
		})
	}
}

// A source that was written to meanwhile, another one, or a file that is not
// as it was, is refused, and the image is removed only on request.
func TestResumeRefuses(t *testing.T) {
	l := newLab(t)
	save := []string{"save", "source.img", "lab", "--compress", "fast"}
	resume := append(save, "--resume")
	l.interrupt("source.img3", save...)
	source := l.read("source.img")
	for name, at := range map[string]int{"superblock": 3*mib + 1024 + 48, "table": 440, "free block count": 3*mib + 1024 + 12} {
		changed := bytes.Clone(source)
		changed[at] ^= 4
		os.WriteFile(l.path("source.img"), changed, 0o644)
		status, out := l.doppel(context.Background(), "", resume...)
		if status != refused || !strings.Contains(out, "not as it was") || !strings.Contains(out, "images remove lab") {
			t.Errorf("%s: exit status %d:\n%s", name, status, out)
		}
	}
	os.WriteFile(l.path("source.img"), source, 0o644)
	l.expect(refused, "not as it was", "save", "target.img", "lab", "--resume")

	found, _ := filepath.Glob(l.path("images/lab/sda2.ext4*.zst"))
	os.Truncate(found[0], 1000)
	l.expect(refused, "not as long as it was", resume...)
	l.expect(done, "is removed", "images", "remove", "lab", "--yes")
	l.expect(done, "is saved", save...)
}
