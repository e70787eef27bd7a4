package ntfs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"doppel.live/internal/filesystem/fstest"
)

// dosName is a file that has a name for DOS besides.
const dosName = "zoo/long name of a file with one for DOS"

// zoo makes what ntfs-3g can make besides what churn does.
func zoo(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(31, 32))
	name := func(s string) string { return filepath.Join(dir, s) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(name("zoo/deep/er"), 0o755))
	for i := range 12 { // resident, up to the size where it is no longer
		write(dir, fmt.Sprint("zoo/small", i*70), fstest.Noise(rng, int64(i*70)))
	}
	write(dir, dosName, []byte("x"))
	must(unix.Setxattr(name(dosName), "system.ntfs_dos_name", []byte("LONGNA~1"), 0))
	must(os.Link(name("zoo/small140"), name("zoo/deep/other name")))
	for i := range 60 { // so many names need an attribute list
		must(os.Link(name("zoo/small210"), name(fmt.Sprintf("zoo/deep/er/%d %s", i, strings.Repeat("n", 30)))))
	}
	must(os.Symlink("small70", name("zoo/link")))
	must(os.Symlink(strings.Repeat("long/", 50), name("zoo/long link")))
	must(unix.Mkfifo(name("zoo/fifo"), 0o644))
	must(unix.Mknod(name("zoo/socket"), unix.S_IFSOCK|0o755, 0))
	for i := range 400 {
		write(dir, fmt.Sprintf("zoo/deep/%d \U0001F600 ü", i), nil)
	}
	for i := 0; i < 400; i += 3 {
		os.Remove(name(fmt.Sprintf("zoo/deep/%d \U0001F600 ü", i)))
	}
	for i, at := range []int64{-11_000_000_000, -1, 0, 3_000_000_000, 100_000_000_000} {
		when := time.Unix(at, max(0, int64(i)-1)*123456700)
		must(os.Chtimes(name(fmt.Sprint("zoo/small", i*70)), when, when))
	}
	// In turns, so that both are in many pieces.
	a, err := os.Create(name("zoo/pieces"))
	must(err)
	b, err := os.Create(name("zoo/pieces:of a stream"))
	must(err)
	for range 300 {
		a.Write(fstest.Noise(rng, 4096))
		a.Sync()
		b.Write(fstest.Noise(rng, 4096))
		b.Sync()
	}
	a.Close()
	b.Close()
	packedZoo(t, dir)
}

// scatter fills the volume and makes room in many places.
func scatter(t testing.TB, dir string) {
	t.Helper()
	n := 0
	for ; os.WriteFile(filepath.Join(dir, fmt.Sprint("fill", n)), make([]byte, 16<<10), 0o644) == nil; n++ {
	}
	if n < 200 {
		t.Fatalf("full after %d files", n)
	}
	for i := range n + 1 {
		if i%2 != 0 {
			os.Remove(filepath.Join(dir, fmt.Sprint("fill", i)))
		}
	}
}

// packedZoo writes compressed files of all kinds of units.
func packedZoo(t testing.TB, dir string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(33, 34))
	packed := filepath.Join(dir, "zoo", "packed")
	if err := os.MkdirAll(packed, 0o755); err != nil {
		t.Fatal(err)
	}
	unix.Setxattr(packed, "system.ntfs_attrib", []byte{0, 8, 0, 0}, 0)
	text := func(n int) (p []byte) {
		for len(p) < n {
			p = fmt.Appendf(p, "%d bottles of %x, ", rng.IntN(100), rng.IntN(4))
		}
		return p[:n]
	}
	for _, n := range []int{1, 1000, 4096, 4097, 65535, 65536, 65537, 131072, 300_001} {
		write(packed, fmt.Sprint("text", n), text(n))
		write(packed, fmt.Sprint("zeros", n), make([]byte, n))
		write(packed, fmt.Sprint("noise", n), fstest.Noise(rng, int64(n)))
		var mixed []byte
		for len(mixed) < n {
			mixed = append(append(append(mixed, fstest.Noise(rng, 3000)...), make([]byte, rng.IntN(90_000))...), text(rng.IntN(20_000))...)
		}
		write(packed, fmt.Sprint("mixed", n), mixed[:n])
	}
	for _, name := range []string{"slow", "slow too"} { // a little at a time
		f, err := os.Create(filepath.Join(packed, name))
		if err != nil {
			t.Fatal(err)
		}
		for range 150 {
			f.Write(text(3000))
			f.Sync()
		}
		f.WriteAt(text(50_000), 100_000)
		f.WriteAt(text(1000), 900_000)
		f.Close()
	}
}
