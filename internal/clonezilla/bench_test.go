package clonezilla

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// benchData is 256 MiB of programs and text, one part in ten zeros, as a disk has them.
func benchData(b *testing.B) []byte {
	const size = 256 << 20
	var data []byte
	for _, pattern := range []string{"/usr/bin/*", "/usr/sbin/*", "/usr/lib/x86_64-linux-gnu/*.so*", "/usr/share/perl/*/*.pl", "/usr/lib/python3/*/*.py"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err == nil && len(data) < size {
				data = append(data, content...)
				data = append(data, make([]byte, len(content)/10)...)
			}
		}
	}
	if len(data) < size {
		b.Skipf("only %d bytes of programs here", len(data))
	}
	return data[:size]
}

// discard is a store that keeps nothing.
type discard struct{ store.Memory }

type discardObject struct{ n *int64 }

func (o discardObject) Write(p []byte) (int, error) { *o.n += int64(len(p)); return len(p), nil }
func (discardObject) Commit() error                 { return nil }
func (discardObject) Abort() error                  { return nil }

func (d *discard) Create(string, os.FileMode) (store.Object, error) {
	return discardObject{new(int64)}, nil
}

// cpuTime is what this process has used of all processors.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWrite prints the writer beside the zstd program on the same bytes,
// in turns, from memory to nowhere: by the clock, and by processor time where
// others use the machine too. We check every frame and sum it twice; zstd does not.
func BenchmarkWrite(b *testing.B) {
	data := benchData(b)
	v := testVolume{image.Volume{Name: "sda1", Size: int64(len(data)), FileSystem: "ext4", BlockSize: 4096, Method: image.Blocks}, data, []extent.Extent{{Length: int64(len(data))}}}
	file := filepath.Join(b.TempDir(), "data")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		b.Fatal(err)
	}
	for _, peer := range []struct {
		level Level
		flags string
	}{{Fast, "-1 -T2"}, {Fast, "-1 -T0"}, {Default, "-3 -T0"}} {
		b.Run(string(peer.level)+"_zstd"+peer.flags, func(b *testing.B) {
			b.SetBytes(v.Size)
			var ours, theirs, oursCPU, theirsCPU time.Duration
			for b.Loop() {
				start, cpu := time.Now(), cpuTime(b)
				if err := save(new(discard), "lab", Options{Level: peer.level}, v); err != nil {
					b.Fatal(err)
				}
				ours, oursCPU = ours+time.Since(start), oursCPU+cpuTime(b)-cpu
				b.StopTimer()
				start = time.Now()
				zstd := exec.Command("zstd", append(strings.Fields(peer.flags), "-qfo", "/dev/null", file)...)
				if out, err := zstd.CombinedOutput(); err != nil {
					b.Skipf("%v: %s", err, out)
				}
				theirs, theirsCPU = theirs+time.Since(start), theirsCPU+zstd.ProcessState.UserTime()+zstd.ProcessState.SystemTime()
				b.StartTimer()
			}
			b.ReportMetric(float64(theirs)/float64(ours), "x-zstd")
			b.ReportMetric(float64(theirsCPU)/float64(oursCPU), "x-zstd-by-cpu")
		})
	}
}

// BenchmarkRead reads a volume from memory, whole and in random places.
func BenchmarkRead(b *testing.B) {
	data := benchData(b)
	v := testVolume{image.Volume{Name: "sda1", Size: int64(len(data)), FileSystem: "ext4", BlockSize: 4096, Method: image.Blocks}, data, []extent.Extent{{Length: int64(len(data))}}}
	s := new(store.Memory)
	mustSave(b, s, "lab", Options{}, v)
	b.Run("records", func(b *testing.B) {
		b.SetBytes(v.Size)
		for b.Loop() {
			saved, err := openImage(b, s, "lab").Open(0)
			if err != nil {
				b.Fatal(err)
			}
			for r := saved.Records(context.Background()); ; {
				rec, err := r.ReadRecord()
				if err == io.EOF {
					break
				}
				if err != nil || !bytes.Equal(rec.Data, data[rec.Offset:][:len(rec.Data)]) {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(v.Size)
		for b.Loop() {
			if r := verify(b, s, "lab"); !r.Restorable {
				b.Fatal(r)
			}
		}
	})
	b.Run("random", func(b *testing.B) {
		saved, err := openImage(b, s, "lab").Open(0)
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 4096)
		for b.Loop() {
			if _, err := saved.ReadAt(buf, rand.Int64N(v.Size-4096)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
