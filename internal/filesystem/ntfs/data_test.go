package ntfs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// TestReparse writes reparse points as Windows does.
func TestReparse(t *testing.T) {
	path := makeVolume(t, 24<<20, "")
	dir, unmount := mount(t, path, "")
	wide := func(s string) (p []byte) {
		for _, c := range s {
			p = append(p, byte(c), 0)
		}
		return p
	}
	link := func(tag uint32, flags []byte, target, show string) []byte {
		a, b := wide(target), wide(show)
		var p []byte
		for _, n := range []int{0, len(a), len(a), len(b)} {
			p = le.AppendUint16(p, uint16(n))
		}
		p = append(append(append(p, flags...), a...), b...)
		return append(le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, tag), uint16(len(p))), 0), p...)
	}
	bare := func(tag uint32) []byte {
		return append(le.AppendUint32(le.AppendUint32(nil, tag), 16), make([]byte, 16)...)
	}
	tests := []struct {
		name   string
		folder bool
		value  []byte
		mode   fs.FileMode
		target string
		sealed bool
	}{
		{"junction", true, link(tagMountPoint, nil, `\??\C:\Users`, `C:\Users`), fs.ModeSymlink, `C:\Users`, false},
		{"folder link", true, link(tagSymlink, []byte{1, 0, 0, 0}, `..\there`, `..\there`), fs.ModeSymlink, `..\there`, false},
		{"file link", false, link(tagSymlink, []byte{0, 0, 0, 0}, `\??\D:\file`, `D:\file`), fs.ModeSymlink, `D:\file`, false},
		{"wof", false, bare(tagWOF), 0, "", true},
		{"dedup", false, bare(tagDedup), 0, "", true},
		{"cloud", false, bare(0x9000601A), 0, "", true},
		{"unknown", false, bare(0x80001234), 0, "", false},
	}
	for _, tt := range tests {
		if tt.folder {
			os.Mkdir(filepath.Join(dir, tt.name), 0o755)
		} else {
			write(dir, tt.name, nil)
		}
		if err := unix.Setxattr(filepath.Join(dir, tt.name), "system.ntfs_reparse_data", tt.value, 0); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
	}
	unmount()
	f, _ := openFile(t, path)
	files := map[string]*filesystem.File{}
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		files[file.Path] = file
	}
	for _, tt := range tests {
		file := files[tt.name]
		if file == nil || file.Mode.Type() != tt.mode || file.LinkTarget != tt.target {
			t.Errorf("%s: %+v", tt.name, file)
			continue
		}
		if tt.mode != 0 {
			continue
		}
		file.Content.(*data).size = 1 // ntfs-3g makes them of files without content only
		if _, err := file.Content.ReadAt(make([]byte, 1), 0); errors.Is(err, filesystem.ErrContent) != tt.sealed {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	everyCluster(t, f)
}

// TestNoContent marks files as encrypted and as compressed in another way.
func TestNoContent(t *testing.T) {
	for _, flags := range []uint16{flagEncrypted, 2} {
		path := makeVolume(t, 12<<20, "")
		dir, unmount := mount(t, path, "")
		write(dir, "file", fstest.Noise(rand.New(rand.NewPCG(1, 2)), 100_000))
		st, err := os.Stat(filepath.Join(dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		number := int64(st.Sys().(*syscall.Stat_t).Ino)
		unmount()
		v := load(t, path)
		v.change(number, func(rec record) {
			a, err := rec.find(attrData, "")
			if err != nil {
				t.Fatal(err)
			}
			le.PutUint16(a[0x0C:], flags)
		})
		for file, err := range v.open().Files() {
			if err != nil {
				t.Fatal(err)
			}
			if file.Path != "file" {
				continue
			}
			if _, err := file.Open().ReadAt(make([]byte, 1), 0); !errors.Is(err, filesystem.ErrContent) {
				t.Errorf("flags %#x: %v", flags, err)
			}
			for r, err := range file.Content.Runs() {
				if err != nil || r.Extent.Length < 100_000 {
					t.Errorf("run %v, %v", r, err)
				}
			}
		}
	}
}

// TestInitialized says of a file that only its first 40000 bytes were written,
// as Windows does of one that it made longer; of ntfs-3g, none is.
func TestInitialized(t *testing.T) {
	path := makeVolume(t, 12<<20, "")
	dir, unmount := mount(t, path, "")
	content := fstest.Noise(rand.New(rand.NewPCG(1, 2)), 100_000)
	write(dir, "file", content)
	st, err := os.Stat(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	unmount()
	v := load(t, path)
	v.change(int64(st.Sys().(*syscall.Stat_t).Ino), func(rec record) {
		a, err := rec.find(attrData, "")
		if err != nil {
			t.Fatal(err)
		}
		le.PutUint64(a[0x38:], 40_000)
	})
	v.save(path)
	f, _ := openFile(t, path)
	if got, want := fstest.FileSums(t, withoutSystem{f}), sums(t, path); !maps.Equal(got, want) {
		t.Error("the contents are not those of ntfs-3g")
	}
	for file, err := range f.Files() {
		if err != nil {
			t.Fatal(err)
		}
		if file.Path != "file" {
			continue
		}
		p, err := io.ReadAll(file.Open())
		if want := append(content[:40_000:40_000], make([]byte, 60_000)...); err != nil || !bytes.Equal(p, want) {
			t.Errorf("the content is not zeros from byte 40000 on: %v", err)
		}
		var runs []filesystem.Run
		for r := range file.Content.Runs() {
			runs = append(runs, r)
		}
		if len(runs) != 2 || runs[0].Extent.Length != 40960 || runs[0].Unwritten || !runs[1].Unwritten || runs[1].Offset != 40960 {
			t.Errorf("runs %+v", runs)
		}
	}
}

// TestDecompress holds the example of [MS-XCA], section 3.3, and what breaks
// it, against what comes out.
func TestDecompress(t *testing.T) {
	const plain = "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D"
	packed, _ := hex.DecodeString("38b08846232000204720410010a24701a045204400084501507900c045200524138805b4024a44ef0358028c091601484500be009e000401189000")
	out := bytes.Repeat([]byte{0xAA}, 300)
	if err := decompress(out, packed); err != nil || string(bytes.TrimRight(out, "\x00")) != plain {
		t.Errorf("%q, %v", out, err)
	}
	for name, p := range map[string][]byte{
		"cut":                   packed[:20],
		"another signature":     append([]byte{0x38, 0x90}, packed[2:]...),
		"a copy of nothing":     {0x02, 0xB0, 0x01, 0x00, 0x00, 0x00},
		"a copy of before":      {0x04, 0xB0, 0x02, 'a', 0x00, 0x20, 0x00},
		"more than there is":    append([]byte{0x2C, 0x31}, make([]byte, 0x12D)...),
		"a chunk of one length": {0x01, 0xB0, 0x01, 0x00},
	} {
		if err := decompress(out, p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
