package clonezilla

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// handMade is a folder as Clonezilla's, of one disk with one partition of size
// bytes, with more files.
func handMade(t testing.TB, name string, size int64, files map[string][]byte) (s store.Store, folder string) {
	t.Helper()
	d, path := openDir(t)
	folder = filepath.Join(path, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{
		"parts": "sda1\n", "disk": "sda\n", "clonezilla-img": "This image was saved by Clonezilla at 2026-11-22 07:50:56 UTC.\n### Image created time: 2026-1122-0749\n",
		"sda-pt.sf":     fmt.Sprintf("label: dos\nlabel-id: 0x12345678\ndevice: /dev/sda\nunit: sectors\nsector-size: 512\n\n/dev/sda1 : start=        2048, size= %11d, type=83\n", size/512),
		"sda-pt.parted": fmt.Sprintf("Model:  (file)\nDisk /dev/sda: %ds\nPartition Table: msdos\n", 2048+size/512),
		"dev-fs.list":   "# <Device name>   <File system>   <Size>\n/dev/sda1 ext4 12M\n",
		"blkid.list":    "/dev/sda1: LABEL=\"data\" UUID=\"7f4df3f3-0000-4000-8000-000000000001\" TYPE=\"ext4\"\n",
		"sda-mbr":       strings.Repeat("\x00", 512),
	}
	for file, text := range all {
		files[file] = cmpBytes(files[file], []byte(text))
	}
	for file, data := range files {
		if err := os.WriteFile(filepath.Join(folder, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return d, folder
}

func cmpBytes(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}

// fixtureStream is a stream that partclone wrote.
func fixtureStream(t testing.TB, name string) []byte {
	t.Helper()
	packed, err := os.ReadFile(fixtures + "partclone/" + name + ".img.zst")
	if err != nil {
		t.Skipf("no fixtures: %v", err)
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	out, err := d.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const (
	ext4Size = 12293120
	ext4Sum  = "18d107323d57a7a2e1aae60fac1839a267df8336817662991054ec8c0a495068"
)

// pipeThrough gives what a program makes of data.
func pipeThrough(t testing.TB, data []byte, argv ...string) []byte {
	t.Helper()
	tool(t, argv[0])
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(data)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, &complaint)
	}
	return out
}

// The real programs pack a stream; we restore it, whole and in parts, and see
// what is cut or changed.
func TestCompressors(t *testing.T) {
	blocks, raw := fixtureStream(t, "ext4-xxh3"), fixtureStream(t, "raw-imager")
	tests := map[string][]string{
		"uncomp": {"cat"},
		"gz":     {"gzip", "-c", "-1"},
		"bz2":    {"bzip2", "-c"},
		"lzo":    {"lzop", "-c"},
		"lzma":   {"xz", "--format=lzma", "-1", "-c"},
		"xz":     {"xz", "-1", "-c"},
		"lzip":   {"lzip", "-c", "-1"},
		"lrz":    {"lrzip", "-q", "-o", "-", "-l"},
		"lz4":    {"lz4", "-c"},
		"zst":    {"zstd", "-c"},
	}
	for suffix, argv := range tests {
		t.Run(suffix, func(t *testing.T) {
			packed := pipeThrough(t, blocks, argv...)
			for _, letters := range []int{0, 2, 3} {
				files := splitInto(map[string][]byte{}, "sda1.ext4-ptcl-img."+suffix, packed, letters)
				s, _ := handMade(t, "lab", ext4Size, files)
				checkSum(t, s, ext4Sum)
			}
			s, _ := handMade(t, "lab", int64(len(raw))&^511, map[string][]byte{"sda1.dd-ptcl-img." + suffix: pipeThrough(t, raw[:len(raw)&^511], argv...)})
			checkSum(t, s, fmt.Sprintf("%x", sha256.Sum256(raw[:len(raw)&^511])))
			for _, part := range []int{3, 2} {
				bad := bytes.Clone(packed)
				bad[len(bad)/part] ^= 4
				for i, data := range [][]byte{packed[:len(packed)/part], bad} {
					s, _ := handMade(t, "lab", ext4Size, map[string][]byte{"sda1.ext4-ptcl-img." + suffix: data})
					if r := verify(t, s, "lab"); r.Restorable || !r.Changed {
						if i == 1 { // another way to say the same: in a run of one letter distances do not matter
							checkSum(t, s, ext4Sum)
							continue
						}
						t.Errorf("cut: %+v", r)
					} else if _, err := restoreFirst(t, s); !errors.Is(err, image.ErrDamaged) {
						t.Errorf("restored: %v", err)
					}
				}
			}
		})
	}
}

// restoreFirst restores the first volume of the image lab.
func restoreFirst(t *testing.T, s store.Store) ([]byte, error) {
	t.Helper()
	saved, err := openImage(t, s, "lab").Open(0)
	if err != nil {
		return nil, err
	}
	defer saved.Close()
	return restoreVolume(saved)
}

// splitInto cuts data into parts with names of that many letters; none: one file.
func splitInto(files map[string][]byte, name string, data []byte, letters int) map[string][]byte {
	if letters == 0 {
		files[name] = data
		return files
	}
	size := len(data)/30 + 1 // beyond .az
	for n := 0; len(data) > 0; n++ {
		part := data[:min(size, len(data))]
		files[name+"."+partName(n, letters)] = part
		data = data[len(part):]
	}
	return files
}

// checkSum holds the first volume of the image lab against its sum.
func checkSum(t *testing.T, s store.Store, want string) {
	t.Helper()
	m := openImage(t, s, "lab")
	v := m.Manifest().Disks[0].Volumes[0]
	if got := foreignSum(t, m, v); got != want {
		t.Errorf("%s: %s, want %s", v.File, got, want)
	}
	if r := verify(t, s, "lab"); !r.Restorable || r.Changed {
		t.Errorf("%+v", r)
	}
}

// The names that old versions of Clonezilla gave, whose compression only the
// bytes tell; and what others' streams are called.
func TestOldNames(t *testing.T) {
	stream, old := fixtureStream(t, "ext4-crc32"), fixtureStream(t, "v1-ext3")
	raw := make([]byte, 70*512)
	noise(raw, 3)
	rawSum := fmt.Sprintf("%x", sha256.Sum256(raw))
	gz := func(b []byte) []byte { return pipeThrough(t, b, "gzip", "-c") }
	tests := map[string]struct {
		file   string
		data   []byte
		size   int64
		want   string // sum
		reason string // or why it cannot be restored
		note   string // of verify
	}{
		"partclone, gzip":    {"sda1.ext4-img.aa", gz(stream), ext4Size, ext4Sum, "", ""},
		"partclone, nothing": {"sda1.ext4-img", stream, ext4Size, ext4Sum, "", ""},
		"version 1":          {"sda1.ext3-ptcl-img.gz.aa", gz(old), 9217024, "bec68390d1a86f99e6ab279e52fdfda5548117b7f22b9749881ba605dc10f886", "", "weak"},
		"no checksum":        {"sda1.ext4-ptcl-img.gz", gz(fixtureStream(t, "ext4-none")), ext4Size, ext4Sum, "", "no checksum"},
		"raw, gzip":          {"sda1.dd-img.aa", gz(raw), int64(len(raw)), rawSum, "", "no checksum"},
		"raw, nothing":       {"sda1.dd-ptcl-img.uncomp", raw, int64(len(raw)), rawSum, "", "no checksum"},
		"ntfsclone":          {"sda1.ntfs-img.aa", gz(fixtureStream(t, "ntfs-ntfsclone")), 12584448, "", "ntfsclone", ""},
		"partimage":          {"sda1.aa", []byte("PaRtImAgE-VoLuMe"), 1 << 20, "", "Partimage", ""},
		"unknown packing":    {"sda1.ext4-ptcl-img.arj", stream, ext4Size, "", "arj", ""},
		"torrent":            {"sda1.ext4-ptcl-img", nil, ext4Size, "", "torrent", ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			files := map[string][]byte{}
			if c.data != nil {
				files[c.file] = c.data
			}
			s, folder := handMade(t, "lab", c.size, files)
			if c.data == nil {
				if err := os.Mkdir(filepath.Join(folder, c.file), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			v := openImage(t, s, "lab").Manifest().Disks[0].Volumes[0]
			if c.reason != "" {
				if v.Method != image.Absent || !strings.Contains(v.Reason, c.reason) {
					t.Errorf("%+v", v)
				}
				if sum, _ := Summarize(s, "lab"); !sum.Complete || !strings.Contains(sum.Volumes[0].Reason, c.reason) {
					t.Errorf("%+v", sum)
				}
				return
			}
			checkSum(t, s, c.want)
			notes := strings.Join(verify(t, s, "lab").Volumes[0].Notes, "; ")
			if c.note == "" && notes != "" || !strings.Contains(notes, c.note) {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

// A part that is missing, at the end or between others, is missed.
func TestPartsMissing(t *testing.T) {
	packed := pipeThrough(t, fixtureStream(t, "ext4-crc32"), "gzip", "-c")
	const name = "sda1.ext4-ptcl-img.gz"
	for _, gone := range []string{".aa", ".ac", ".bd"} {
		files := splitInto(map[string][]byte{}, name, packed, 2)
		if files[name+gone] == nil {
			t.Fatal(len(files))
		}
		delete(files, name+gone)
		s, _ := handMade(t, "lab", ext4Size, files)
		if r := verify(t, s, "lab"); r.Restorable || !r.Changed || len(r.Volumes[0].Problems) == 0 {
			t.Errorf("%s: %+v", gone, r)
		}
	}
}

// Whatever is no regular file is refused, whoever it would lead to; nothing
// waits for a pipe.
func TestNoRegularFile(t *testing.T) {
	makers := map[string]func(path string) error{
		"link to a file":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"link beside":      func(path string) error { return os.Symlink("parts", path) },
		"link to a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"pipe":             func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"device":           func(path string) error { return syscall.Mknod(path, syscall.S_IFCHR|0o600, 1<<8|5) },
	}
	for name, make := range makers {
		for _, file := range []string{"sda1.ext4-ptcl-img.gz", "blkid.list", "anything"} {
			s, folder := handMade(t, "lab", 1<<20, map[string][]byte{})
			os.Remove(filepath.Join(folder, file))
			if err := make(filepath.Join(folder, file)); errors.Is(err, os.ErrPermission) {
				t.Skipf("%s: %v", name, err)
			} else if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(s, "lab"); !errors.Is(err, store.ErrNotFile) || !strings.Contains(err.Error(), file) {
				t.Errorf("%s as %s: %v", name, file, err)
			}
			if sum, err := Summarize(s, "lab"); err != nil || sum.Complete || !strings.Contains(sum.Problem, file) {
				t.Errorf("%s as %s: %+v, %v", name, file, sum, err)
			}
		}
	}
}

// An encrypted image is named as one.
func TestEncrypted(t *testing.T) {
	for file, how := range map[string]string{"ecryptfs.info": "eCryptfs", "gocryptfs.info": "gocryptfs"} {
		s, path := openDir(t)
		if err := os.Mkdir(filepath.Join(path, "lab"), 0o755); err != nil {
			t.Fatal(err)
		}
		text := `disk_of_img="sda" parts_of_img="sda1 sda2" time_of_img="2026" disks_size_all_of_img="8GB"`
		if err := os.WriteFile(filepath.Join(path, "lab", file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		list, err := List(s)
		if err != nil || len(list) != 1 || list[0].Complete || !strings.Contains(list[0].Problem, how) {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := Open(s, "lab"); !errors.Is(err, ErrNotYet) {
			t.Errorf("%v", err)
		}
	}
}

// Images from before 2011 have no clonezilla-img; an unfinished one of today
// has lists that those do not have.
func TestBefore2011(t *testing.T) {
	s, folder := handMade(t, "lab", ext4Size, map[string][]byte{
		"sda1.ext4-ptcl-img.gz.aa": pipeThrough(t, fixtureStream(t, "ext4-crc32"), "gzip", "-c"),
		"sda-pt.sf": []byte(fmt.Sprintf("# partition table of /dev/sda\nunit: sectors\n\n/dev/sda1 : start=     2048, size= %8d, Id=83, bootable\n"+
			"/dev/sda2 : start=        0, size=        0, Id= 0\n", ext4Size/512)),
	})
	remove := func(files ...string) {
		for _, file := range files {
			if err := os.Remove(filepath.Join(folder, file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove("clonezilla-img")
	if _, err := Open(s, "lab"); !errors.Is(err, ErrIncomplete) {
		t.Errorf("unfinished: %v", err)
	}
	remove("dev-fs.list", "blkid.list")
	checkSum(t, s, ext4Sum)
	if sum, _ := Summarize(s, "lab"); !sum.Complete {
		t.Errorf("%+v", sum)
	}
}
