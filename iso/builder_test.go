package iso

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"
)

func TestAddRefuses(t *testing.T) {
	b := New(Options{VolumeID: "X"})
	for _, e := range []Entry{{Path: "file"}, {Path: "dir", Mode: fs.ModeDir}} {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		entry Entry
		want  error // nil: any
	}{
		{"absolute path", Entry{Path: "/etc"}, ErrName},
		{"dots", Entry{Path: "a/../b"}, ErrName},
		{"empty path", Entry{}, ErrName},
		{"zero byte", Entry{Path: "a\x00b"}, ErrName},
		{"not UTF-8", Entry{Path: "a\xff"}, ErrName},
		{"long name", Entry{Path: strings.Repeat("n", 254)}, ErrName},
		{"long directory", Entry{Path: strings.Repeat("n", 254) + "/x"}, ErrName},
		{"file twice", Entry{Path: "file"}, ErrExist},
		{"directory twice", Entry{Path: "dir", Mode: fs.ModeDir}, ErrExist},
		{"file over directory", Entry{Path: "dir"}, ErrExist},
		{"below a file", Entry{Path: "file/x"}, ErrExist},
		{"device", Entry{Path: "null", Mode: fs.ModeDevice}, nil},
		{"negative size", Entry{Path: "n", Size: -1}, nil},
		{"no contents", Entry{Path: "n", Size: 1}, nil},
		{"too large", Entry{Path: "n", Size: maxFile + 1, Open: Bytes(nil)}, nil},
		{"link to nothing", Entry{Path: "l", Mode: fs.ModeSymlink}, nil},
		{"long link", Entry{Path: "l", Mode: fs.ModeSymlink, Target: strings.Repeat("l", maxTarget+1)}, nil},
		{"old", Entry{Path: "o", Time: time.Date(1899, 12, 31, 23, 59, 59, 0, time.UTC)}, nil},
		{"future", Entry{Path: "f", Time: time.Date(2156, 1, 1, 0, 0, 0, 0, time.UTC)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := b.Add(tt.entry); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestLayoutRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no label", func(o *Options) { o.VolumeID = "" }, "want 1 to 32"},
		{"long label", func(o *Options) { o.VolumeID = strings.Repeat("A", 33) }, "want 1 to 32"},
		{"small letters", func(o *Options) { o.VolumeID = "doppel" }, "A-Z"},
		{"long set identifier", func(o *Options) { o.VolumeSetID = strings.Repeat("A", 129) }, "at most 128"},
		{"publisher", func(o *Options) { o.Publisher = "Döppel" }, "ASCII"},
		{"place in the set", func(o *Options) { o.SequenceNumber = 2 }, "disc 2 of a set of 1"},
		{"time", func(o *Options) { o.Time = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }, "2155"},
		{"no image", func(o *Options) { o.Boot.Image = "" }, "no path"},
		{"missing image", func(o *Options) { o.Boot.Image = "other" }, "not a file"},
		{"image is a directory", func(o *Options) { o.Boot.Image = "boot" }, "not a file"},
		{"small image", func(o *Options) { o.Boot.Image = "boot/small" }, "2555 bytes"},
		{"short MBR", func(o *Options) { o.Boot.MBR = make([]byte, 431) }, "431 bytes"},
		{"no ESP", func(o *Options) { o.Boot.ESP = nil }, "EFI"},
		{"odd ESP", func(o *Options) { o.Boot.ESPSize = 512 }, "multiple"},
		{"large ESP", func(o *Options) { o.Boot.ESPSize = 32 << 20 }, "32 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := bootOptions()
			tt.change(&o)
			b := New(o)
			for _, e := range []Entry{
				{Path: "boot/grub/i386-pc/eltorito.img", Time: testTime, Size: 3000, Open: Bytes(make([]byte, 3000))},
				{Path: "boot/small", Time: testTime, Size: minImage - 1, Open: Bytes(nil)},
			} {
				if err := b.Add(e); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.Layout(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestExtents(t *testing.T) {
	tests := []struct {
		size int64
		want []uint32
	}{
		{0, []uint32{0}},
		{maxExtent - 1, []uint32{maxExtent - 1}},
		{maxExtent, []uint32{maxExtent}},
		{maxExtent + 1, []uint32{maxExtent, 1}},
		{2 * maxExtent, []uint32{maxExtent, maxExtent}},
		{2*maxExtent + 1, []uint32{maxExtent, maxExtent, 1}},
	}
	for _, tt := range tests {
		m := member{node: &node{Entry: Entry{Size: tt.size}, start: 1000}}
		got := m.records([]byte("X"))
		if len(got) != len(tt.want) {
			t.Errorf("%d bytes: %d extents, want %d", tt.size, len(got), len(tt.want))
			continue
		}
		for i, r := range got {
			last := i == len(got)-1
			if r.size != tt.want[i] || (r.flags&flagMultiExtent == 0) != last || r.start != 1000+lba(i)*(maxExtent/sectorSize) {
				t.Errorf("%d bytes: extent %d: %+v", tt.size, i, r)
			}
		}
	}
}

// TestFailingWriter checks that an error of the writer comes out, wherever it happens.
func TestFailingWriter(t *testing.T) {
	l := build(t, bootOptions(), sampleEntries())
	full := errors.New("disk full")
	for _, room := range []int64{0, 511, 40000, l.Size() / 2, l.Size() - 1} {
		n, err := l.WriteTo(&limited{room: room, err: full})
		if !errors.Is(err, full) || n > room {
			t.Errorf("room for %d bytes: wrote %d, %v", room, n, err)
		}
	}
}

type limited struct {
	room int64
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if int64(len(p)) > l.room {
		n := int(l.room)
		l.room = 0
		return n, l.err
	}
	l.room -= int64(len(p))
	return len(p), nil
}

// TestOrderOnTheDisc checks that contents lie in the order they were added, and
// that 150 sectors of zeroes follow.
func TestOrderOnTheDisc(t *testing.T) {
	var b bytes.Buffer
	entries := []Entry{
		{Path: "z", Size: 5, Open: Bytes([]byte("first"))},
		{Path: "a", Size: 6, Open: Bytes([]byte("second"))},
	}
	if _, err := build(t, Options{VolumeID: "ORDER"}, entries).WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if first, second := bytes.Index(b.Bytes(), []byte("first")), bytes.Index(b.Bytes(), []byte("second")); second != first+sectorSize {
		t.Errorf("at bytes %d and %d", first, second)
	} else if tail := b.Bytes()[second+sectorSize:]; !bytes.Equal(tail, make([]byte, 150*sectorSize)) {
		t.Errorf("%d bytes after the last file, or not all zero", len(tail))
	}
}

func FuzzVolumeSetID(f *testing.F) {
	var b bytes.Buffer
	if _, err := build(f, Options{VolumeID: "X", VolumeSetID: "DOPPEL-1"}, nil).WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes()[systemArea : systemArea+sectorSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := io.NewSectionReader(bytes.NewReader(append(make([]byte, systemArea), data...)), 0, int64(systemArea+len(data)))
		if id, err := VolumeSetID(r); err != nil && (id != "" || !errors.Is(err, ErrFormat)) || len(id) > volumeSetLength {
			t.Errorf("%q, %v", id, err)
		}
	})
}
