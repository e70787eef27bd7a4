package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// take makes a file target.img, where restored looks.
func (l *lab) take(name string) {
	l.t.Helper()
	if err := os.Rename(l.path(name), l.path("target.img")); err != nil {
		l.t.Fatal(err)
	}
}

func TestConvert(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab", "--compress", "fast")
	l.expect(misused, "an image and a destination", "convert", "lab")
	l.expect(misused, "--format is", "convert", "lab", l.path("x"), "--format", "vhd")
	l.expect(misused, "is there already", "convert", "lab", l.path("target.img"))
	l.expect(failed, "not an image", "convert", "nothing", l.path("x.raw"))

	l.expect(done, "disk.raw is made", "convert", "lab", l.path("disk.raw"), "--verify")
	l.take("disk.raw")
	l.restored()
	if _, err := os.Stat(l.path("disk.raw")); err == nil {
		t.Error("disk.raw was made twice")
	}
	l.expect(done, "disk.qcow2 is made", "convert", "lab", l.path("disk.qcow2"), "--verify")
	if out := l.tool("", "qemu-img", "check", l.path("disk.qcow2")); !strings.Contains(out, "No errors were found") {
		t.Error(out)
	}
	if st, err := os.Stat(l.path("disk.qcow2")); err != nil || st.Size() > 40*mib {
		t.Errorf("the qcow2 file: %v, %v: it holds what is not in use", st.Size(), err)
	}
	l.tool("", "qemu-img", "convert", "-O", "raw", l.path("disk.qcow2"), l.path("from.raw"))
	l.take("from.raw")
	l.restored()
	for _, from := range []string{"source.img", "disk.qcow2"} {
		name := "of-" + strings.TrimSuffix(from, filepath.Ext(from))
		l.expect(done, "is made in", "convert", l.path(from), name)
		l.expect(done, "can be restored", "verify", name)
		l.expect(done, "is restored", "restore", name, l.path("target.img"), "--yes", "--verify")
		l.restored()
	}
	l.expect(done, "is made in", "convert", "lab", "again", "--compress", "none")
	l.expect(done, "can be restored", "verify", "again")
	l.expect(failed, "already", "convert", "lab", "again")
	l.expect(done, "is restored", "restore", "again", l.path("target.img"), "--yes")
	l.restored()
}

// An image in members of gzip and in parts does all that another does.
func TestSplitGzip(t *testing.T) {
	l := newLab(t)
	l.expect(done, "is saved", "save", "source.img", "lab", "--compress", "gzip", "--split", "2M")
	if parts, _ := filepath.Glob(l.path("images/lab/*-ptcl-img.gz.ab")); len(parts) == 0 {
		t.Error("no volume has two parts")
	}
	l.expect(done, "can be restored", "verify", "lab")
	l.expect(done, "is restored", "restore", "lab", l.path("target.img"), "--yes", "--verify")
	l.restored()
	l.expect(done, "is made in", "convert", "lab", "anew", "--split", "4MiB")
	l.expect(done, "can be restored", "verify", "anew")
	l.expect(done, "is restored", "restore", "anew", l.path("target.img"), "--yes")
	l.restored()
}

func TestSplitSize(t *testing.T) {
	for text, want := range map[string]int64{"4G": 4_000_000_000, "2000M": 2_000_000_000, "4GiB": 1 << 32, "2000000": 2_000_000, "none": 0, "3mb": 3_000_000} {
		var s splitSize
		if err := s.Set(text); err != nil || s.bytes != want || !s.set {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "G", "1K", "-4G", "4X", "99999999999T", "4 G", "4GG", "0x10M"} {
		if err := new(splitSize).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// What cannot be made leaves nothing behind.
func TestConvertLeavesNothing(t *testing.T) {
	l := newLab(t)
	l.expect(done, "", "save", "source.img", "lab", "--compress", "fast")
	file, err := filepath.Glob(l.path("images/lab/*ext4-ptcl-img.zst"))
	if err != nil || len(file) != 1 {
		t.Fatal(file, err)
	}
	data, err := os.ReadFile(file[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []string{"disk.raw", "disk.qcow2"} {
		l.expect(failed, "damaged", "convert", "lab", l.path(dest))
		if left, _ := filepath.Glob(l.path("*" + dest + "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if left, _ := filepath.Glob(l.path("." + dest + "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	l.expect(failed, "damaged", "convert", "lab", "other")
	if left, _ := filepath.Glob(l.path("images/other*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Images of real Clonezilla become images that can be read anywhere.
func TestConvertForeign(t *testing.T) {
	fixtures, _ := filepath.Glob("../../../shared/fixtures/clonezilla/*.tar.gz")
	if len(fixtures) == 0 {
		t.Skip("no fixtures")
	}
	for _, packed := range fixtures {
		name := strings.TrimSuffix(filepath.Base(packed), ".tar.gz")
		t.Run(name, func(t *testing.T) {
			l := &lab{t: t, dir: t.TempDir()}
			if err := os.Mkdir(l.path("images"), 0o755); err != nil {
				t.Fatal(err)
			}
			l.tool("", "tar", "-xzf", packed, "-C", l.path("images"))
			if name == "md-raid1-part" {
				l.expect(failed, "nothing that can be written anew", "convert", name, "anew")
				l.expect(failed, "holds no disk", "convert", name, l.path("x.raw"))
				l.expect(failed, "md0            CANNOT be restored: it is an md RAID array", "verify", name)
				l.expect(done, "md RAID array", "images", "show", name)
				l.expect(done, "no disk (ext4)", "images")
				return
			}
			l.expect(done, "is made in", "convert", name, "anew", "--compress", "fast")
			l.expect(done, "can be restored", "verify", "anew")
		})
	}
}
