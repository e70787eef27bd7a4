package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"doppel.live/internal/image"
	"doppel.live/internal/rescue"
)

// A rescue of a disk without a bad sector ends as a plain save does, with one
// file more in the image, and leaves nothing beside it.
func TestRescueOfGoodDisk(t *testing.T) {
	l := newLab(t)
	plan := l.expect(done, "more until the image is whole", "save", "--rescue", "source.img", "lab", "--plan")
	if left, _ := os.ReadDir(l.path("images")); len(left) > 0 {
		t.Fatalf("--plan left %v", left)
	}
	if !strings.Contains(plan, "stored and") {
		t.Errorf("the plan does not say what room is needed:\n%s", plan)
	}
	out := l.expect(done, "every sector could be read", "save", "--rescue", "source.img", "lab")
	if strings.Contains(strings.ToLower(out), "damage") && !strings.Contains(out, "find out what is damaged") {
		t.Errorf("a good disk is called damaged:\n%s", out)
	}
	if left, _ := os.ReadDir(l.path("images")); len(left) != 1 {
		t.Errorf("left beside the image: %v", left)
	}
	l.expect(done, "lab can be restored", "verify", "lab")
	l.expect(done, "is restored", "restore", "lab", "target.img", "--yes", "--verify")
	l.restored()
	if copies, _ := filepath.Glob(l.path("log/*-save-lab/rescue.map")); len(copies) != 1 {
		t.Errorf("maps in the folders of the logs: %v", copies)
	}
	if log := l.tool("", "ddrescuelog", "-t", l.path("images/lab/doppel-source.img-rescue.map")); !strings.Contains(log, "status: finished") {
		t.Errorf("ddrescuelog: %s", log)
	}
}

func TestRescueRefusals(t *testing.T) {
	l := newLab(t)
	l.random("other.img", 64*mib, 0, 0)
	for _, c := range []struct {
		status int
		says   string
		args   []string
	}{
		{misused, "is for --rescue", []string{"save", "source.img", "lab", "--retries", "2"}},
		{refused, "leave out --resume", []string{"save", "source.img", "lab", "--resume"}},
		{misused, "is for --rescue", []string{"save", "source.img", "lab", "--retries", "3"}},
		{misused, "from 0 to 1000", []string{"save", "source.img", "lab", "--rescue", "--retries", "-7"}},
		{misused, "one disk", []string{"save", "source.img", "other.img", "lab", "--rescue"}},
		{refused, "leave out --resume", []string{"save", "source.img", "lab", "--rescue", "--resume"}},
		{misused, "is for --rescue", []string{"save", "lab", "--finish"}},
		{misused, "no source", []string{"save", "source.img", "lab", "--rescue", "--finish"}},
		{misused, "leave it out with --finish", []string{"save", "lab", "--rescue", "--finish", "--retries", "2"}},
		{misused, "no rescue to lab was begun", []string{"save", "lab", "--rescue", "--finish"}},
		{refused, "is not a name for an image", []string{"save", "source.img", "-lab", "--rescue"}},
	} {
		if slices.Contains(c.args, "-lab") {
			c.args = []string{"save", "--rescue", "--", l.path("source.img"), "-lab"}
		}
		l.expect(c.status, c.says, c.args...)
	}
	if left, _ := os.ReadDir(l.path("images")); len(left) > 0 {
		t.Errorf("left in the place: %v", left)
	}
}

// A rescue that is killed while it reads, and again while it writes the image,
// goes on; a disk that was written to meanwhile is refused.
func TestKilledRescue(t *testing.T) {
	l := newLab(t)
	kill := func(when string, args ...string) {
		t.Helper()
		cmd := l.process(append(args, l.path("source.img"), "lab", "--json")...)
		events, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		found := false
		for r := bufio.NewScanner(events); r.Scan(); {
			if found = strings.Contains(r.Text(), when); found {
				break
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		if !found {
			t.Fatalf("%q never came", when)
		}
		l.noImage(l.path("images"), "lab")
	}
	kill(`step over what fails`, "save", "--rescue")
	l.expect(done, "a rescue that is not finished", "images")
	l.expect(refused, "go on with --resume", "save", "--rescue", "source.img", "lab")
	l.expect(refused, "was written to since", "save", "--rescue", "--resume", "target.img", "lab") // as large, and a file too
	kill(`save source.img2`, "save", "--rescue", "--resume")
	l.expect(failed, "never finished", "restore", "lab", "target.img", "--yes")
	source := l.read("source.img")
	changed := bytes.Clone(source)
	changed[3*mib+1024+48]++ // the time of the last write to the ext4
	os.WriteFile(l.path("source.img"), changed, 0o644)
	l.expect(refused, "was written to since", "save", "--rescue", "--resume", "source.img", "lab")
	os.WriteFile(l.path("source.img"), source, 0o644)
	l.expect(done, "every sector could be read", "save", "--rescue", "--resume", "source.img", "lab")
	l.expect(done, "is restored", "restore", "lab", "target.img", "--yes", "--verify")
	l.restored()
}

// Who stops a rescue is told how to go on, and can remove it.
func TestCancelledRescue(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(context.Background())
	l.on = func(line string) {
		if strings.Contains(line, "step over what fails") {
			cancel()
		}
	}
	status, out := l.doppel(ctx, "", "save", "--rescue", "source.img", "lab", "--json")
	l.on = nil
	l.failed(status, out, "cancelled: image lab is not saved yet", "--rescue --resume")
	l.expect(done, "is removed", "images", "remove", "lab.rescue", "--yes")
	if left, _ := os.ReadDir(l.path("images")); len(left) > 0 {
		t.Errorf("left in the place: %v", left)
	}
}

// The disk is gone before its files were read: what was read of it, which its
// tables and bitmaps are, becomes an image, and all else holds markers.
func TestFinishedRescue(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(context.Background())
	l.on = func(line string) {
		if strings.Contains(line, "step over what fails") {
			cancel()
		}
	}
	status, out := l.doppel(ctx, "", "save", "--rescue", "source.img", "lab", "--except", "source.img1", "--json")
	l.on = nil
	l.failed(status, out, "cancelled", "--rescue --resume")
	source := l.read("source.img")
	if err := os.Remove(l.path("source.img")); err != nil {
		t.Fatal(err)
	}
	var good []byte
	if copies, _ := filepath.Glob(l.path("log/*-save-lab/rescue.map")); len(copies) == 1 {
		good, _ = os.ReadFile(copies[0])
	}
	os.WriteFile(l.path("images/lab.rescue/map"), []byte("gone too"), 0o600)
	l.expect(failed, "copy rescue.map from", "save", "--rescue", "--finish", "lab")
	os.WriteFile(l.path("images/lab.rescue/map"), good, 0o600)
	l.expect(failed, "doppel save --rescue --finish --images", "save", "--rescue", "--resume", "source.img", "lab")
	l.expect(done, "blocks", "save", "--rescue", "--finish", "lab", "--plan")
	l.noImage(l.path("images"), "lab")
	if out := l.expect(damaged, "could not be read", "save", "--rescue", "--finish", "lab"); !strings.Contains(out, "images remove lab.rescue") {
		t.Errorf("it is not said what stays:\n%s", out)
	}
	l.expect(done, "source.img2 is damaged", "restore", "lab", "target.img", "--plan")
	l.expect(done, "left out on request", "images", "show", "lab")
	before := l.read("target.img")
	l.expect(done, "is restored", "restore", "lab", "target.img", "--yes", "--verify")
	target, lost, zeros := l.read("target.img"), 0, make([]byte, 512)
	for off := 3 * mib; off < 35*mib; off += 512 {
		switch sector := target[off : off+512]; {
		case bytes.Equal(sector, rescue.Marker(int64(off))):
			lost++
		case bytes.Equal(sector, zeros): // wiped
		case !bytes.Equal(sector, source[off:off+512]) && !bytes.Equal(sector, before[off:off+512]):
			t.Fatalf("byte %d is neither what the disk held, nor a marker, nor what the target held", off)
		}
	}
	var m image.Manifest
	_, show := l.doppel(context.Background(), "", "images", "show", "lab", "--json")
	if err := json.Unmarshal([]byte(show), &m); err != nil || lost == 0 || m.Lost() != int64(lost)*512 {
		t.Errorf("%d sectors hold markers, %d bytes are said to be lost, %v", lost, m.Lost(), err)
	}
	l.tool("", "blkid", "-p", "--offset", "3145728", l.path("target.img"))
	if got, want := l.tool("", "sfdisk", "--dump", l.path("target.img")), "size=       65536"; !strings.Contains(got, want) {
		t.Errorf("table %s", got)
	}
}
