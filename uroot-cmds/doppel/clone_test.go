package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// clonedTo checks that a file is what source.img is.
func (l *lab) clonedTo(name string) {
	l.t.Helper()
	if err := os.Rename(l.path(name), l.path("target.img")); err != nil {
		l.t.Fatal(err)
	}
	l.restored()
}

func TestClone(t *testing.T) {
	l := newLab(t)
	l.expect(misused, "a source and one or more targets", "clone", "source.img")
	l.expect(misused, "--consent", "clone", "source.img", "target.img")
	l.expect(refused, "lies on the source", "clone", "source.img", "source.img", "--yes")
	l.answer("no", refused, "what was typed", "clone", "source.img", "target.img")
	code := l.code("clone", "source.img", "target.img", "--plan", "--json")
	l.expect(done, "was compared", "clone", "source.img", "target.img", "--consent", code, "--verify")
	l.restored()
	l.random("small.img", 63*mib, 0, mib)
	l.expect(refused, "needs", "clone", "source.img", "small.img", "--yes")
	l.expect(refused, "consent code", "clone", "source.img", "target.img", "--consent", code)
	l.expect(done, "source.img is cloned to", "clone", "source.img", "target.img", "--yes", "--except", "source.img1")
	if b := l.read("target.img"); !bytes.Equal(b[mib:mib+4096], make([]byte, 4096)) {
		t.Error("a partition that was left out was copied")
	}
}

// One reading serves several targets; consent is for all of them.
func TestSeveralTargets(t *testing.T) {
	l := newLab(t)
	l.random("b.img", 64*mib, 0, 64*mib)
	l.random("c.img", 70*mib, 0, mib)
	l.expect(done, "", "save", "source.img", "lab", "--compress", "fast")
	l.expect(misused, "named twice", "restore", "lab", "b.img", "b.img", "--yes")
	out := l.expect(done, `"targets"`, "restore", "lab", "b.img", "c.img", "--plan", "--json")
	var e struct {
		Plan struct {
			Consent string
			Targets []struct {
				Consent string
				Target  struct{ Path string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &e); err != nil || len(e.Plan.Targets) != 2 || e.Plan.Targets[1].Target.Path != l.path("c.img") {
		t.Fatalf("%v: %s", err, out)
	}
	l.expect(refused, "consent code", "restore", "lab", "b.img", "c.img", "--consent", e.Plan.Targets[0].Consent)
	l.expect(done, "c.img: ", "restore", "lab", "b.img", "c.img", "--consent", e.Plan.Consent, "--verify")
	l.random("d.img", 64*mib, 0, mib)
	l.answer("YES\nYES", done, "d.img: ", "clone", "source.img", "target.img", "d.img")
	l.restored()
	l.clonedTo("b.img")
	l.clonedTo("d.img")
	l.random("e.img", 63*mib, 0, mib)
	l.random("f.img", 64*mib, 0, mib)
	before := l.read("f.img")
	l.expect(refused, "e.img: the target has", "restore", "lab", "e.img", "f.img", "--yes")
	if !bytes.Equal(l.read("f.img"), before) {
		t.Error("a target was written though another was refused")
	}
}

// What is there already is not written again.
func TestDelta(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab", "--compress", "fast")
	l.expect(done, "is restored", "restore", "lab", "target.img", "--yes")
	out := l.expect(done, "differed and were written", "restore", "lab", "target.img", "--yes", "--delta", "--verify")
	if !strings.Contains(out, "kB differed") && !strings.Contains(out, "; 3.") && !strings.Contains(out, "; 4.") {
		t.Errorf("more than the edges of the volumes was written again: %s", out)
	}
	l.restored()
}

// --keep-table writes into the partitions that are there.
func TestKeepTable(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab", "--compress", "fast")
	l.expect(refused, "no partition 1", "restore", "lab", "target.img", "--yes", "--keep-table")
	l.expect(done, "is restored", "restore", "lab", "target.img", "--yes")
	l.tool("", "sgdisk", "-u", "1:11111111-2222-3333-4444-555555555555", l.path("target.img"))
	want := l.tool("", "sfdisk", "--dump", l.path("target.img"))
	l.expect(done, "is restored", "restore", "lab", "target.img", "--yes", "--keep-table", "--verify")
	if got := l.tool("", "sfdisk", "--dump", l.path("target.img")); got != want {
		t.Errorf("the table was changed:\n%s\nwant:\n%s", got, want)
	}
	// One volume onto a file without a table is that volume alone.
	l.random("volume.img", 40*mib, 0, mib)
	l.expect(done, "is restored", "restore", "lab", "volume.img", "--only", "source.img2", "--yes", "--verify")
	l.tool("", "e2fsck", "-fn", l.path("volume.img"))
}
