package pack

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// BenchmarkAppend packs programs of this machine beside the library's encoder,
// frame by frame in turns, on one processor: a ratio above 1 is faster, a size
// below 1 smaller.
func BenchmarkAppend(b *testing.B) {
	frames := programs(64)
	if len(frames) == 0 {
		b.Skip("needs programs in /usr/bin")
	}
	for level, own := range levels() {
		b.Run(level, func(b *testing.B) {
			peer, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(peers[level]), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(2<<windowBits))
			if err != nil {
				b.Fatal(err)
			}
			var took, peerTook time.Duration
			var size, peerSize, total int
			var out []byte
			for b.Loop() {
				for _, f := range frames {
					start := time.Now()
					out = own.Append(out[:0], f)
					middle := time.Now()
					size, total = size+len(out), total+len(f)
					out = peer.EncodeAll(f, out[:0])
					peerTook += time.Since(middle)
					took += middle.Sub(start)
					peerSize += len(out)
				}
			}
			b.ReportMetric(float64(total)/1e6/took.Seconds(), "MB/s")
			b.ReportMetric(float64(peerTook)/float64(took), "x-library")
			b.ReportMetric(float64(size)/float64(peerSize), "size-library")
		})
	}
}

// programs gives up to n frames of 1 MiB.
func programs(n int) (frames [][]byte) {
	files, _ := filepath.Glob("/usr/bin/*")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || len(data) < 1<<20 {
			continue
		}
		for ; len(data) >= 1<<20 && len(frames) < n; data = data[1<<20:] {
			frames = append(frames, data[:1<<20])
		}
	}
	return frames
}
