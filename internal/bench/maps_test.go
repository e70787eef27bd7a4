package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"doppel.live/internal/blockdev"
	"doppel.live/internal/extent"
	"doppel.live/internal/filesystem/probe"
)

// mapOf names, in the environment, the device whose allocation this program
// finds, as a child, so that its memory can be measured.
const mapOf = "DOPPEL_BENCH_MAP"

func TestMain(m *testing.M) {
	if device := os.Getenv(mapOf); device != "" {
		if err := findMap(device); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// findMap lists the extents in use of what lies on a device.
func findMap(device string) error {
	src, err := blockdev.OpenSource(device)
	if err != nil {
		return err
	}
	defer src.Close()
	found, err := probe.Probe(src, src.Size())
	if err != nil {
		return err
	}
	if found.FileSystem == nil {
		return fmt.Errorf("%s: nothing known is on it: %s", device, found.Reason)
	}
	list, err := extent.Collect(found.FileSystem.Allocated())
	if err != nil {
		return err
	}
	fmt.Println(found.Info.Type, len(list), "extents", extent.Total(list), "bytes")
	return nil
}

// BenchmarkMaps finds the blocks in use of 1 TiB with many files, beside
// partclone -D, which writes its bitmap as a list (a domain of ddrescue) and
// reads no data. The volumes are kept in DOPPEL_CACHE, if there is one.
// DOPPEL_BENCH_FILES makes fewer files.
func BenchmarkMaps(b *testing.B) {
	for _, c := range []struct {
		name, make, peer string
		mount            []string
	}{
		{"ext4", "mkfs.ext4 -q -F", "partclone.extfs", nil},
		{"xfs", "mkfs.xfs -q -f", "partclone.xfs", nil},
		{"ntfs", "mkntfs -q -F -f", "partclone.ntfs", []string{"-t", "ntfs-3g", "-o", "big_writes"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := newLab(b, c.peer, "bash")
			files := setting("DOPPEL_BENCH_FILES", 200000)
			device := l.kept(fmt.Sprintf("bench-%s-%d.img", c.name, files), c.make, files, c.mount)
			r := results{}
			for range setting("DOPPEL_BENCH_ROUNDS", rounds) {
				r.add("map", l.shell("%s=%s exec %s", mapOf, device, os.Args[0]))
				r.add("partclone -D", l.shell("%s -q -D -s %s -O %s -L /dev/null", c.peer, device, l.path("domain")))
			}
			r.table(b, []string{"map", "partclone -D"}, 1<<40)
			r.against(b, "map", "map", "partclone -D")
			b.ReportMetric(r.peak("map"), "peak-MiB")
		})
	}
}

// kept makes a volume of 1 TiB with that many files, or takes the one of
// another day.
func (l *lab) kept(name, command string, files int64, mount []string) string {
	l.Helper()
	folder := os.Getenv("DOPPEL_CACHE")
	if folder == "" {
		folder = l.folder
	}
	file := filepath.Join(folder, name)
	if _, err := os.Stat(file); err == nil {
		return l.loop(file)
	}
	fresh := l.sparse(name+".new", 1<<40)
	defer os.Remove(fresh)
	l.must("bash", "-c", command+" "+fresh)
	device := l.must("losetup", "-f", "--show", fresh)
	defer l.must("losetup", "-d", device)
	l.mounted(device, func(at string) {
		data := make([]byte, 6000)
		for n := range files {
			sub := filepath.Join(at, fmt.Sprint(n/1000))
			if n%1000 == 0 {
				if err := os.Mkdir(sub, 0o700); err != nil {
					l.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(n)), data[:n%6000], 0o600); err != nil {
				l.Fatal(err)
			}
			if n%3 == 2 { // leaves holes
				os.Remove(filepath.Join(sub, fmt.Sprint(n-1)))
			}
		}
	}, mount...)
	if err := os.Rename(fresh, file); err != nil {
		l.Fatal(err)
	}
	return l.loop(file)
}
