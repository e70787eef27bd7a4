package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// How much is saved, how often, and when no more round begins. The first two
// can be set smaller in the environment.
const (
	usedBytes = 4<<30 + 128<<20
	rounds    = 3
	enough    = 14 * time.Minute
)

// imaging is a run of BenchmarkImaging.
type imaging struct {
	*lab
	results
	used           int64 // bytes
	source, target string
	images         string // folder
	sizes          map[string]int64
}

// BenchmarkImaging saves, restores and clones an ext4 of programs and text
// beside partclone, on loop devices that leave the page cache out, in turns:
//
//	source.img ─loop─┬─ doppel save ──────────── images/NAME ── doppel restore ─────────────┬─loop─ target.img
//	                 ├─ partclone -c | zstd ──── zstd3 ──────── zstd -dc | partclone -r ────┤
//	                 └─ doppel clone, partclone -b ─────────────────────────────────────────┘
//
// All of ours is checked as it always is: every frame is decoded again, with
// CRC32, XXH64 and two BLAKE3 of what is stored. Each contestant ends when its
// file or device is flushed. DOPPEL_BENCH_BYTES and DOPPEL_BENCH_ROUNDS make it
// smaller.
func BenchmarkImaging(b *testing.B) {
	i := &imaging{lab: newLab(b, "mkfs.ext4", "zstd", "pigz", "dd", "bash"), results: results{}, sizes: map[string]int64{}}
	i.used = setting("DOPPEL_BENCH_BYTES", usedBytes)
	file := i.sparse("source.img", i.used/2*3)
	i.must("mkfs.ext4", "-q", "-F", "-m", "0", file)
	i.source = i.loop(file)
	i.mounted(i.source, func(folder string) { i.fill(folder, i.used) })
	target := i.sparse("target.img", i.used/2*3)
	i.must("fallocate", "-l", fmt.Sprint(i.used/2*3), target)
	i.target = i.loop(target)
	i.images = i.path("images")
	if err := os.Mkdir(i.images, 0o700); err != nil {
		b.Fatal(err)
	}
	sample := i.path("sample")
	i.must("bash", "-c", fmt.Sprintf("partclone.extfs -q -c -s %s -O - -L /dev/null 2>/dev/null | head -c %d > %s", i.source, min(1<<30, i.used), sample))
	start := time.Now()
	for n := int64(0); n < setting("DOPPEL_BENCH_ROUNDS", rounds) && time.Since(start) < enough; n++ {
		i.round(n, sample)
	}
	i.report()
}

// round runs everything once.
func (i *imaging) round(n int64, sample string) {
	pieces := i.used >> 22
	i.add("dd read", i.shell("dd if=%s of=/dev/null bs=4M iflag=direct count=%d", i.source, pieces))
	i.add("dd write", i.shell("dd if=/dev/zero of=%s bs=4M oflag=direct count=%d conv=fsync", i.target, pieces))
	i.add("dd copy", i.shell("dd if=%s of=%s bs=4M iflag=direct oflag=direct count=%d conv=fsync", i.source, i.target, pieces))
	// From memory: the file is read twice, the second time from the page cache.
	i.add("zstd -1 -T2 alone", i.shell("cat %[1]s > /dev/null; zstd -q -1 -T2 -c %[1]s > /dev/null", sample))
	// The most that a faster packer, or more processors, could give the peer.
	i.add("partclone alone", i.shell("partclone.extfs -q -c -s %s -O - -L /dev/null | cat > /dev/null", i.source))
	i.saves(n)
	i.add("restore", i.run(i.doppel, "restore", "default", i.target, "--images", i.images, "--yes"))
	i.add("zstd | partclone -r", i.shell("zstd -q -dc %s | partclone.extfs -q -r -s - -O %[2]s -L /dev/null && sync %[2]s", i.path("zstd3"), i.target))
	i.add("clone", i.run(i.doppel, "clone", i.source, i.target, "--yes"))
	i.add("partclone -b", i.shell("partclone.extfs -q -b -s %s -O %[2]s -L /dev/null && sync %[2]s", i.source, i.target))
	i.must("e2fsck", "-fn", i.target)
}

// saves leaves the last image of each kind.
func (i *imaging) saves(n int64) {
	packers := []struct{ name, command string }{{"zstd3", "zstd -q -3 -T0"}, {"zstd1", "zstd -q -1 -T0"}, {"pigz", "pigz -c"}}
	for k, level := range []string{"default", "fast"} {
		image := filepath.Join(i.images, level)
		os.RemoveAll(image)
		i.add("save "+level, i.run(i.doppel, "save", i.source, level, "--images", i.images, "--compress", level))
		i.sizes[level] = folderSize(image)
		i.peer(packers[k].name, packers[k].command)
	}
	if n == 0 { // far the slowest
		i.peer(packers[2].name, packers[2].command)
	}
}

func (i *imaging) peer(name, packer string) {
	i.add("partclone | "+name, i.shell("partclone.extfs -q -c -s %s -O - -L /dev/null | %s > %[3]s && sync %[3]s", i.source, packer, i.path(name)))
	if info, err := os.Stat(i.path(name)); err == nil {
		i.sizes[name] = info.Size()
	}
}

func folderSize(folder string) (n int64) {
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}

func (i *imaging) report() {
	i.table(i.B, []string{"dd read", "dd write", "dd copy", "partclone alone", "save default", "partclone | zstd3", "save fast", "partclone | zstd1", "partclone | pigz",
		"restore", "zstd | partclone -r", "clone", "partclone -b"}, i.used)
	i.table(i.B, []string{"zstd -1 -T2 alone"}, min(1<<30, i.used))
	fmt.Fprintln(os.Stderr, "stored bytes:", i.sizes)
	i.against(i.B, "save-default/zstd3", "save default", "partclone | zstd3")
	i.against(i.B, "save-fast/zstd1", "save fast", "partclone | zstd1")
	i.against(i.B, "save-fast/zstd3", "save fast", "partclone | zstd3")
	i.against(i.B, "save-default/pigz", "save default", "partclone | pigz")
	i.against(i.B, "restore", "restore", "zstd | partclone -r")
	i.against(i.B, "clone", "clone", "partclone -b")
	rate := func(name string, bytes int64) float64 { return float64(bytes) / i.clock(name) }
	limit := min(rate("zstd -1 -T2 alone", min(1<<30, i.used)), rate("dd read", i.used))
	i.ReportMetric(rate("save fast", i.used)/limit, "save-fast/limit")
	i.ReportMetric(rate("save default", i.used)/limit, "save-default/limit")
	i.ReportMetric(i.clock("dd write")/i.clock("restore"), "restore/dd-write")
	i.ReportMetric(i.clock("dd write")/i.clock("clone"), "clone/dd-write")
	i.ReportMetric(i.clock("dd copy")/i.clock("clone"), "clone/dd-copy")
	i.ReportMetric(float64(i.sizes["default"])/float64(i.sizes["zstd3"]), "size-default/zstd3")
	i.ReportMetric(float64(i.sizes["fast"])/float64(i.sizes["zstd1"]), "size-fast/zstd1")
	i.ReportMetric(max(i.peak("save default"), i.peak("restore"), i.peak("clone")), "peak-MiB")
}

// BenchmarkEmpty saves large volumes with little on them: time goes by what is
// in use, and memory stays as it is.
func BenchmarkEmpty(b *testing.B) {
	for _, size := range []int64{64 << 30, 4 << 40} {
		b.Run(fmt.Sprintf("%dGiB", size>>30), func(b *testing.B) {
			l := newLab(b, "mkfs.ext4")
			file := l.sparse("volume.img", size)
			l.must("mkfs.ext4", "-q", "-F", "-T", "largefile4", file) // else 4 TiB have 64 GiB of inode tables, in use
			device := l.loop(file)
			l.mounted(device, func(folder string) { l.fill(folder, 64<<20) })
			c := l.run(l.doppel, "save", device, l.path("empty"))
			b.ReportMetric(c.clock.Seconds(), "s")
			b.ReportMetric(c.cpu.Seconds(), "cpu-s")
			b.ReportMetric(float64(c.peak)/(1<<20), "peak-MiB")
		})
	}
}
