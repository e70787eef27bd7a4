package ntfs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"doppel.live/internal/filesystem"
	"doppel.live/internal/filesystem/fstest"
)

// restartPage is a page of $LogFile in which clients use the log, or none.
func restartPage(lsn uint64, clients, flags uint16) []byte {
	p := make([]byte, 4096)
	copy(p, "RSTR")
	le.PutUint16(p[4:], 0x1E)
	le.PutUint16(p[6:], 9)
	le.PutUint32(p[0x10:], 4096)
	le.PutUint32(p[0x14:], 4096)
	le.PutUint16(p[0x18:], 0x30)
	le.PutUint16(p[0x1A:], 1) // version 1.1
	le.PutUint16(p[0x1C:], 1)
	area := p[0x30:]
	le.PutUint64(area, lsn)
	le.PutUint16(area[8:], 1) // clients there can be
	le.PutUint16(area[0x0A:], 0xFFFF-clients)
	le.PutUint16(area[0x0C:], clients)
	le.PutUint16(area[0x0E:], flags)
	le.PutUint32(area[0x10:], 45)
	le.PutUint16(area[0x14:], 0xE0)  // its length
	le.PutUint16(area[0x16:], 0x40)  // where the clients are
	le.PutUint64(area[0x18:], 2<<20) // size of the log
	le.PutUint16(area[0x24:], 0x30)  // length of a record's header
	le.PutUint16(area[0x26:], 0x40)  // where the data of a page begins
	client := area[0x40:]
	le.PutUint16(client[0x10:], 0xFFFF)
	le.PutUint16(client[0x12:], 0xFFFF)
	le.PutUint32(client[0x1C:], 8)
	copy(client[0x20:], "N\x00T\x00F\x00S\x00")
	le.PutUint16(p[0x1E:], 1)
	doFixups(p)
	return p
}

// setLog writes pages to the beginning of $LogFile.
func (v *volumeFile) setLog(pages ...[]byte) {
	f := v.open()
	s, err := f.openStream("$LogFile", recordLogFile, attrData, "")
	if err != nil {
		v.t.Fatal(err)
	}
	off, n := s.offset(0)
	log := v.data[off : off+n]
	for i := range log {
		log[i] = 0xFF
	}
	for i, p := range pages {
		copy(log[i*4096:], p)
	}
}

// TestLog holds what we say of $LogFile against ntfs-3g.probe, which ends with
// 15 where a volume was not unmounted.
func TestLog(t *testing.T) {
	path := makeVolume(t, 12<<20, "")
	const none = 0xFFFF
	torn := restartPage(9, none, 0)
	torn[1023]++
	tests := []struct {
		name  string
		pages [][]byte
		want  filesystem.State
		judge bool // ntfs-3g.probe has an opinion of it that we share
	}{
		{"empty", nil, filesystem.Clean, true},
		{"nobody uses it", [][]byte{restartPage(1000, none, 0), restartPage(900, none, 0)}, filesystem.Clean, true},
		{"somebody uses it", [][]byte{restartPage(1000, 0, 0), restartPage(900, 0, 0)}, filesystem.Recovery, true},
		{"somebody uses it, and it is clean", [][]byte{restartPage(1000, 0, 2), restartPage(900, 0, 2)}, filesystem.Clean, true},
		{"the second page is newer", [][]byte{restartPage(1000, none, 0), restartPage(1100, 0, 0)}, filesystem.Recovery, true},
		{"the second page is newer and clean", [][]byte{restartPage(1000, 0, 0), restartPage(1100, none, 0)}, filesystem.Clean, true},
		{"equally new", [][]byte{restartPage(1000, none, 0), restartPage(1000, 0, 0)}, filesystem.Recovery, false},
		{"one torn page", [][]byte{torn, torn}, filesystem.Recovery, false},
		{"garbage", [][]byte{bytes.Repeat([]byte("garbage "), 1024)}, filesystem.Recovery, false},
	}
	for _, tt := range tests {
		v := load(t, path)
		v.setLog(tt.pages...)
		if got := v.open().info.State; got != tt.want {
			t.Errorf("%s: state %q, want %q", tt.name, got, tt.want)
		}
		if !tt.judge {
			continue
		}
		copied := filepath.Join(t.TempDir(), "volume")
		v.save(copied)
		if status := probeStatus(t, copied); (status == 15) != (tt.want == filesystem.Recovery) || status != 15 && status != 0 {
			t.Errorf("%s: ntfs-3g.probe ends with %d", tt.name, status)
		}
	}
}

// probeStatus is how ntfs-3g.probe ends: 0 can be mounted, 14 hibernated, 15
// not unmounted.
func probeStatus(t testing.TB, path string) int {
	t.Helper()
	err := exec.Command(fstest.Tool(t, "ntfs-3g.probe"), "--readwrite", path).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// TestHibernated writes a hiberfil.sys as Windows leaves it, in root
// directories of few and of many files.
func TestHibernated(t *testing.T) {
	page := make([]byte, 8192)
	head := func(s string) []byte { return append([]byte(s), page[len(s):]...) }
	tests := []struct {
		name, file string
		content    []byte
		more       int
		want       filesystem.State
	}{
		{"asleep", "hiberfil.sys", head("hibr"), 0, filesystem.Hibernated},
		{"asleep, newer", "HIBERFIL.SYS", head("HIBR"), 300, filesystem.Hibernated},
		{"awake", "hiberfil.sys", head("wake"), 300, filesystem.Clean},
		{"never slept", "hiberfil.sys", page, 0, filesystem.Clean},
		{"short", "hiberfil.sys", []byte("hi"), 0, filesystem.Clean},
		{"no such file", "hiberfil.sy", head("hibr"), 300, filesystem.Clean},
	}
	for _, tt := range tests {
		path := makeVolume(t, 12<<20, "")
		dir, unmount := mount(t, path, "")
		for i := range tt.more {
			os.Mkdir(filepath.Join(dir, "folder with a name that takes room "+string(rune('A'+i%50))+string(rune('a'+i/50))), 0o755)
		}
		write(dir, tt.file, tt.content)
		unmount()
		f, _ := openFile(t, path)
		if f.info.State != tt.want {
			t.Errorf("%s: state %q, want %q", tt.name, f.info.State, tt.want)
		}
		if status := probeStatus(t, path); (status == 14) != (tt.want == filesystem.Hibernated) && tt.file == "hiberfil.sys" && len(tt.content) > 4 {
			t.Errorf("%s: ntfs-3g.probe ends with %d", tt.name, status)
		}
	}
}
