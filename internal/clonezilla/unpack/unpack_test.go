package unpack

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"doppel.live/internal/image"
)

// programs pack what they read, by the suffix of what they make.
var programs = map[string][]string{
	"uncomp": {"cat"},
	"gz":     {"gzip", "-c", "-1"},
	"bz2":    {"bzip2", "-c"},
	"lzo":    {"lzop", "-c"},
	"lzma":   {"xz", "--format=lzma", "-1", "-c"},
	"xz":     {"xz", "-1", "-c"},
	"lzip":   {"lzip", "-c", "-1"},
	"lrz":    {"lrzip", "-q", "-o", "-"},
	"lz4":    {"lz4", "-c"},
	"zst":    {"zstd", "-c"},
}

// packed is what a program makes of data; nil where there is no such program.
func packed(t testing.TB, data []byte, argv []string) []byte {
	t.Helper()
	if _, err := exec.LookPath(argv[0]); err != nil {
		return nil
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v", argv, err)
	}
	return out
}

// sample is data of 300 KB that packs well.
func sample() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 300_000; i++ {
		fmt.Fprintln(&b, i, strings.Repeat("x", i%97))
	}
	return b.Bytes()
}

func unpacked(data []byte, suffix string) ([]byte, error) {
	r, err := New(bufio.NewReader(bytes.NewReader(data)), suffix)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, err := io.ReadAll(r)
	return out, Damaged(err)
}

// What the real programs pack is unpacked, by its suffix and by its bytes; what
// is cut is damaged.
func TestPrograms(t *testing.T) {
	want := sample()
	for suffix, argv := range programs {
		t.Run(suffix, func(t *testing.T) {
			p := packed(t, want, argv)
			if p == nil {
				t.Skipf("%s is not installed", argv[0])
			}
			for _, s := range []string{suffix, ""} {
				if got, err := unpacked(p, s); err != nil || !bytes.Equal(got, want) {
					t.Errorf("by %q: %d bytes of %d, %v", s, len(got), len(want), err)
				}
			}
			if _, err := unpacked(p[:len(p)/2], suffix); !errors.Is(err, image.ErrDamaged) && suffix != "uncomp" {
				t.Errorf("cut: %v", err)
			}
		})
	}
}

// A file of lzip may have several members, as plzip makes them.
func TestMembers(t *testing.T) {
	want := sample()
	p := packed(t, want[:1000], programs["lzip"])
	if p == nil {
		t.Skip("lzip is not installed")
	}
	p = append(p, packed(t, want[1000:], programs["lzip"])...)
	if got, err := unpacked(p, "lzip"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		data, suffix string
		want         error
	}{
		"unknown":                   {"x", "arj", ErrNotYet},
		"nothing":                   {"", "gz", image.ErrDamaged},
		"another format":            {"LZIP\x01\x0c", "xz", image.ErrDamaged},
		"lzip, too large to unpack": {"LZIP\x01\x1d", "lzip", ErrNotYet},
		"lzip, version 2":           {"LZIP\x02\x0c", "lzip", image.ErrDamaged},
		"lzip, nothing":             {"", "lzip", image.ErrDamaged},
		"lzop, a filter":            {lzopMagic + "\x10\x40\x20\xa0\x09\x40\x01\x05\x00\x00\x08\x00" + strings.Repeat("\x00", 20), "lzo", ErrNotYet},
		"lzop, checksum":            {lzopMagic + "\x10\x40\x20\xa0\x09\x40\x01\x05\x00\x00\x00\x00" + strings.Repeat("\x00", 20), "lzo", image.ErrDamaged},
	} {
		if got, err := unpacked([]byte(tt.data), tt.suffix); !errors.Is(err, tt.want) {
			t.Errorf("%s: %q, %v, want %v", name, got, err, tt.want)
		}
	}
}

// drain unpacks at most 4 MiB.
func drain(data []byte, suffix string) {
	r, err := New(bufio.NewReader(bytes.NewReader(data)), suffix)
	if err != nil {
		return
	}
	defer r.Close()
	_, _ = io.CopyN(io.Discard, r, 4<<20)
}

func FuzzLzip(f *testing.F) {
	f.Add([]byte("LZIP\x01\x0c"))
	f.Add(packed(f, []byte("doppel doppel"), programs["lzip"]))
	f.Fuzz(func(t *testing.T, data []byte) { drain(data, "lzip") })
}

func FuzzLzop(f *testing.F) {
	f.Add([]byte(lzopMagic + "\x10\x40\x20\xa0\x09\x40\x01\x05"))
	f.Add(packed(f, []byte("doppel doppel"), programs["lzo"]))
	f.Fuzz(func(t *testing.T, data []byte) { drain(data, "lzo") })
}
