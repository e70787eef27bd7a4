package blockdev

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ownSystem makes a system of a build, and a file with the descriptor of one
// in the place of its boot medium: an image of 64 KiB, a disk of 128 KiB.
func ownSystem(t *testing.T, runs, medium string) (System, string) {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"etc/doppel", "sys/class/block", "proc/self"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 128<<10)
	copy(b[descriptorOffset:], "\x01CD001")
	b[descriptorOffset+volumeSpace] = 32
	copy(b[descriptorOffset+volumeSetOffset:], "DOPPEL-"+medium)
	disk := filepath.Join(root, "disk")
	for name, data := range map[string][]byte{disk: b, filepath.Join(root, "etc/doppel/build-id"): []byte(runs + "\n"), filepath.Join(root, "proc/self/mountinfo"): nil} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return System{Root: root}, disk
}

func agrees(io.ReaderAt) error { return nil }

// Through the door nothing of the image can be written, and all around it.
func TestOwnMedium(t *testing.T) {
	s, disk := ownSystem(t, "one", "one")
	m, err := s.OpenOwnMedium(disk, agrees)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, tt := range []struct {
		off, n int64
		ok     bool
	}{
		{0, 32 << 10, true}, {64 << 10, 64 << 10, true}, {32<<10 - 512, 512, true},
		{0, 32<<10 + 1, false}, {32 << 10, 512, false}, {48 << 10, 1, false}, {64<<10 - 1, 512, false},
		{0, 128 << 10, false}, {-1, 1, false}, {127 << 10, 2 << 10, false},
	} {
		_, err := m.WriteAt(make([]byte, tt.n), tt.off)
		if (err == nil) != tt.ok {
			t.Errorf("%d bytes at %d: %v", tt.n, tt.off, err)
		}
	}
	if b, err := os.ReadFile(disk); err != nil || string(b[descriptorOffset+1:descriptorOffset+6]) != "CD001" {
		t.Errorf("the image was changed: %v", err)
	}
	if _, err := s.OpenOwnMedium(disk, agrees); err == nil {
		t.Error("it is opened twice")
	}
}

// A disk of another build, of none, or one that check does not like is not opened.
func TestOwnMediumRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		runs, medium string
		check        error
		want         string
	}{
		"another build":       {"one", "two", nil, "not started from it"},
		"no live system":      {"", "one", nil, "not started from it"},
		"not the stick image": {"one", "one", errors.New("no marker"), "no marker"},
	} {
		t.Run(name, func(t *testing.T) {
			s, disk := ownSystem(t, tt.runs, tt.medium)
			m, err := s.OpenOwnMedium(disk, func(io.ReaderAt) error { return tt.check })
			if err == nil {
				m.Close()
				t.Fatal("it is opened")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("swap on it", func(t *testing.T) {
		s, disk := ownSystem(t, "one", "one")
		text := "Filename Type Size Used Priority\n" + disk + " file 100 0 -1\n"
		if err := os.WriteFile(filepath.Join(s.Root, "proc/swaps"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if m, err := s.OpenOwnMedium(disk, agrees); err == nil || !strings.Contains(err.Error(), "swap") {
			t.Errorf("%v, %v", m, err)
		}
	})
}

// With two media of one build it is not known which one was started from, and a
// partition is no medium.
func TestOwnMediumOfSeveral(t *testing.T) {
	s, disk := ownSystem(t, "one", "one")
	b, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sr0", "sda", "sdb"} {
		dir := filepath.Join(s.Root, "sys/class/block", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(s.Root, "dev"), 0o755); err != nil {
			t.Fatal(err)
		}
		content := b
		if name == "sdb" {
			content = make([]byte, len(b))
		}
		for path, data := range map[string][]byte{filepath.Join(dir, "size"): []byte("256\n"), filepath.Join(s.Root, "dev", name): content} {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if name == "sr0" {
			if m, err := s.OpenOwnMedium(disk, agrees); err != nil {
				t.Errorf("one medium: %v", err)
			} else {
				m.Close()
			}
		}
	}
	if got := s.BootMedia(); len(got) != 2 {
		t.Errorf("media: %v", got)
	}
	if m, err := s.OpenOwnMedium(disk, agrees); err == nil || !strings.Contains(err.Error(), "2 media of this build") {
		t.Errorf("%v, %v", m, err)
	}
}
