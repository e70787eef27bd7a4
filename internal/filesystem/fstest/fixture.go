package fstest

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"
)

// Fixture unpacks a sample volume, NAME.img.xz of the folder of fixtures beside
// the checkout, and gives it with the sha256 of its files by path. The test is
// skipped where the folder is absent.
func Fixture(t testing.TB, name string) (volume string, sums map[string]string) {
	t.Helper()
	dir := filepath.Join(fixtures(t), "filesystems")
	return Unpack(t, filepath.Join(dir, name+".img.xz")), manifest(t, filepath.Join(dir, name+".manifest"))
}

// Unpack unpacks a volume that xz packed. The test is skipped where there is no
// such file.
func Unpack(t testing.TB, path string) (volume string) {
	t.Helper()
	packed, err := os.Open(path)
	if err != nil {
		t.Skip("no fixture: ", err)
	}
	defer packed.Close()
	z, err := xz.NewReader(bufio.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	volume = Volume(t, 0)
	out, err := os.OpenFile(volume, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, z); err != nil {
		t.Fatal(err)
	}
	return volume
}

// fixtures finds the folder from any package of the module.
func fixtures(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared", "fixtures")
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no module around the test")
		}
		dir = filepath.Dir(dir)
	}
}

// manifest reads lines of a sha256 and a path.
func manifest(t testing.TB, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Skip("no fixture: ", err)
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		sum, name, ok := strings.Cut(strings.TrimRight(line, "\n"), "  ")
		if ok {
			sums[strings.TrimPrefix(name, "./")] = sum
		}
	}
	return sums
}
