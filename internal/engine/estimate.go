package engine

import (
	"io"
	"runtime"
	"time"

	"doppel.live/internal/extent"
	"doppel.live/internal/image"
	"doppel.live/internal/pack"
)

// An estimate reads this many pieces, spread over all that will be read, of
// this many bytes, for at most this long.
const (
	samplePieces = 16
	sampleSize   = 1 << 20
	sampleTime   = 3 * time.Second
)

// Estimate reads a little of what a save will read. ratio is that of
// compressed to plain bytes, rate the bytes per second that reading and
// compressing allow; both are 0 where nothing can be said.
func Estimate(m *image.Manifest, origins []*Origin) (ratio, rate float64) {
	encoder := pack.NewEncoder(pack.Default)
	var plain, stored int64
	var reading, packing, failed time.Duration
	buffer, packed := make([]byte, sampleSize), []byte(nil)
	for _, s := range samples(m, origins) {
		start := time.Now()
		n, err := s.r.ReadAt(buffer[:s.at.Length], s.at.Offset)
		took := time.Since(start)
		if int64(n) < s.at.Length || err != nil && err != io.EOF {
			if failed += took; failed > sampleTime { // a disk that hangs
				break
			}
			continue // the save will say so
		}
		reading += took
		start = time.Now()
		packed = encoder.Append(packed[:0], buffer[:n])
		packing += time.Since(start)
		if plain, stored = plain+int64(n), stored+int64(len(packed)); reading+packing > sampleTime {
			break
		}
	}
	if plain == 0 {
		return 0, 0
	}
	packing /= time.Duration(runtime.GOMAXPROCS(0))
	return float64(stored) / float64(plain), float64(plain) / max(reading, packing).Seconds()
}

type sample struct {
	r  io.ReaderAt
	at extent.Extent // of the disk
}

// samples chooses pieces at equal distances in the data of all volumes.
func samples(m *image.Manifest, origins []*Origin) []sample {
	var total, passed int64
	for _, d := range m.Disks {
		for _, v := range d.Volumes {
			total += v.Used
		}
	}
	step := max(total/samplePieces, sampleSize)
	var chosen []sample
	next := step / 2
	for i, d := range m.Disks {
		for j, v := range d.Volumes {
			for _, e := range origins[i].Allocated[j] {
				for ; next < passed+e.Length; next += step {
					off := e.Offset + next - passed
					chosen = append(chosen, sample{origins[i].Reader, extent.Extent{Offset: v.Offset + off, Length: min(sampleSize, e.End()-off)}})
				}
				passed += e.Length
			}
		}
	}
	return chosen
}

// ReadRate measures how fast a device reads, in bytes per second; a guess at
// how fast it will take what is written.
func ReadRate(r io.ReaderAt, size int64) float64 {
	buffer := make([]byte, sampleSize)
	start, n := time.Now(), int64(0)
	for off := size / 3 &^ (sampleSize - 1); off+sampleSize <= size && n < samplePieces && time.Since(start) < sampleTime; off += sampleSize {
		if _, err := r.ReadAt(buffer, off); err != nil {
			return 0
		}
		n++
	}
	if n == 0 {
		return 0
	}
	return float64(n*sampleSize) / time.Since(start).Seconds()
}
