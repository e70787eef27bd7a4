package format

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"doppel.live/internal/filesystem/exfat"
	"doppel.live/internal/filesystem/fstest"
)

// volume makes a sparse file of size bytes full of what was there before, as
// far as it will be written, and formats it.
func volume(t *testing.T, size int64, o Options) string {
	t.Helper()
	path := fstest.Volume(t, size)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := Plan(size)
	if err != nil {
		t.Fatal(err)
	}
	if l.Written() < 64<<20 {
		if _, err := f.WriteAt(bytes.Repeat([]byte("old bytes "), int(l.Written()/10)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(f, size, o); err != nil {
		t.Fatal(err)
	}
	return path
}

// Volumes of every cluster size, odd sizes among them, are clean to
// fsck.exfat, and dump.exfat and our reader find in them what was asked for.
func TestJudges(t *testing.T) {
	for _, size := range []int64{16 << 20, 100<<20 + 512, 256 << 20, 256<<20 + 512, 1<<30 - 777, 32 << 30, 32<<30 + 512, 2 << 40} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path := volume(t, size, Options{Label: "IMAGES", Serial: 0xCAFE1234, Offset: 1 << 28})
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			fs, err := exfat.Open(f, size)
			if err != nil {
				t.Fatal(err)
			}
			i := fs.Info()
			if i.Label != "IMAGES" || i.UUID != "CAFE-1234" || i.Size != size&^511 || i.State != "clean" {
				t.Errorf("our reader: %+v", i)
			}
			if out := fstest.Run(t, "fsck.exfat", "-n", path); !strings.Contains(out, "clean") {
				t.Errorf("fsck.exfat: %s", out)
			}
			out := fstest.Run(t, "dump.exfat", path)
			for _, want := range []string{"cafe1234", "IMAGES"} {
				if !strings.Contains(out, want) {
					t.Errorf("dump.exfat does not say %q: %s", want, out)
				}
			}
		})
	}
}

// The mapping that 7.2.5.1 demands, and some beyond it, come out of the
// compressed table again.
func TestUpcaseTable(t *testing.T) {
	b := upcaseTable()
	var all [1 << 16]int
	for i := range all {
		all[i] = i
	}
	at := 0
	for i := 0; i < len(b); i += 2 {
		switch u := int(le.Uint16(b[i:])); {
		case u == 0xFFFF:
			i += 2
			at += int(le.Uint16(b[i:]))
		default:
			all[at] = u
			at++
		}
	}
	if at != 1<<16 {
		t.Errorf("the table has %d characters", at)
	}
	for c, want := range map[int]int{'a': 'A', 'z': 'Z', '{': '{', '@': '@', 'ä': 'Ä', 'я': 'Я', 'ω': 'Ω', 0xD800: 0xD800, 0xFFFF: 0xFFFF} {
		if all[c] != want {
			t.Errorf("%#x becomes %#x, want %#x", c, all[c], want)
		}
	}
	for c := range 128 {
		if want := int(bytes.ToUpper([]byte{byte(c)})[0]); all[c] != want {
			t.Errorf("%#x becomes %#x, want %#x", c, all[c], want)
		}
	}
}

// cut is a volume on which the power goes off after some writes.
type cut struct {
	io.WriterAt
	left int
}

func (c *cut) WriteAt(p []byte, off int64) (int, error) {
	if c.left--; c.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return c.WriterAt.WriteAt(p, off)
}

// What was interrupted at any write is no exFAT to its reader, and an older
// one is none any more.
func TestInterrupted(t *testing.T) {
	const size = 20 << 20
	path := volume(t, size, Options{Serial: 1})
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for n := 1; ; n++ {
		err := Write(&cut{f, n}, size, Options{Serial: 2})
		_, readable := exfat.Open(f, size)
		if err == nil {
			if readable != nil || n < 8 {
				t.Errorf("whole after %d writes: %v", n, readable)
			}
			return
		}
		if readable == nil {
			t.Errorf("interrupted after %d writes it is read as an exFAT", n)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		size  int64
		label string
	}{"too small": {minSize - 1, ""}, "long label": {minSize, "twelve chars"}} {
		t.Run(name, func(t *testing.T) {
			if err := Write(&cut{}, tt.size, Options{Label: tt.label}); err == nil || strings.Contains(err.Error(), "closed pipe") {
				t.Errorf("%v", err)
			}
		})
	}
}
