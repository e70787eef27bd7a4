package clonezilla

import (
	"fmt"
	"hash"
	"io"
	"sort"
	"sync"

	"github.com/zeebo/blake3"

	"doppel.live/internal/image"
	"doppel.live/internal/store"
)

// openPartFiles is how many parts of a split volume are open at a time.
const openPartFiles = 8

// partsReader reads the parts of a split volume as one object.
type partsReader struct {
	directory *directory
	names     []string
	starts    []int64 // of each part, and the end of the last

	mu   sync.Mutex // for what follows
	open map[int]store.Reader
}

var _ store.Reader = (*partsReader)(nil)

// openParts opens the file, or all files, of a volume.
func (d *directory) openParts(file string) (store.Reader, error) {
	names, err := d.parts(file)
	if err != nil {
		return nil, err
	}
	if _, split := splitFile(file); !split {
		return d.store.Open(d.path(file))
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: %s is missing", image.ErrDamaged, file)
	}
	r := &partsReader{directory: d, names: names, starts: []int64{0}, open: make(map[int]store.Reader)}
	for i, name := range names {
		r.starts = append(r.starts, r.starts[i]+d.entries[name].Size)
	}
	return r, nil
}

// Size implements store.Reader.
func (r *partsReader) Size() int64 { return r.starts[len(r.names)] }

// ReadAt implements io.ReaderAt.
func (r *partsReader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at byte %d", off)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(p) && off < r.Size() {
		i := sort.Search(len(r.names), func(i int) bool { return r.starts[i+1] > off })
		part, err := r.part(i)
		if err != nil {
			return n, err
		}
		want := min(int64(len(p)-n), r.starts[i+1]-off)
		got, err := part.ReadAt(p[n:n+int(want)], off-r.starts[i])
		n, off = n+got, off+int64(got)
		if int64(got) < want {
			return n, fmt.Errorf("%s: %w", r.names[i], err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// part gives part i, opened.
func (r *partsReader) part(i int) (store.Reader, error) {
	if part, ok := r.open[i]; ok {
		return part, nil
	}
	if len(r.open) == openPartFiles {
		for j, part := range r.open {
			part.Close()
			delete(r.open, j)
		}
	}
	part, err := r.directory.store.Open(r.directory.path(r.names[i]))
	if err == nil {
		r.open[i] = part
	}
	return part, err
}

// Close implements store.Reader.
func (r *partsReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, part := range r.open {
		part.Close()
	}
	clear(r.open)
	return nil
}

// partSums holds the files of a volume of ours, fed from first to last, against
// the list of sums.
type partSums struct {
	verifier *verifier
	names    []string
	left     int64 // bytes of the present file
	hash     hash.Hash
}

func (v *verifier) newPartSums(file string) (*partSums, error) {
	names, err := v.parts(file)
	if err != nil {
		return nil, err
	}
	s := &partSums{verifier: v, names: names, hash: blake3.New()}
	if len(names) > 0 {
		s.left = v.entries[names[0]].Size
	}
	return s, nil
}

func (s *partSums) add(b []byte) error {
	for {
		n := min(int64(len(b)), s.left)
		s.hash.Write(b[:n])
		s.left -= n
		if b = b[n:]; len(b) == 0 {
			return nil
		}
		if err := s.next(); err != nil {
			return err
		}
	}
}

// next ends the present file.
func (s *partSums) next() error {
	if len(s.names) == 0 {
		return fmt.Errorf("%w: the files of the volume are longer than they were", image.ErrDamaged)
	}
	if err := s.verifier.compareWhole(s.names[0], s.hash.Sum(nil)); err != nil {
		return err
	}
	s.hash.Reset()
	if s.names = s.names[1:]; len(s.names) > 0 {
		s.left = s.verifier.entries[s.names[0]].Size
	}
	return nil
}

func (s *partSums) end() error {
	for len(s.names) > 0 {
		if s.left > 0 {
			return fmt.Errorf("%w: %s is longer than its frames", image.ErrDamaged, s.names[0])
		}
		if err := s.next(); err != nil {
			return err
		}
	}
	return nil
}
